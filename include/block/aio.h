/* SPDX-License-Identifier: MIT */
/*
 * Asynchronous requests.
 *
 * An AioContext is where completions arrive. A program makes one for each
 * thread that has an event loop, submits requests with it, and calls
 * aio_context_dispatch() when its descriptor is readable (or hangs the source
 * of aio_context_create_source() into its GMainContext): the completion
 * functions run there, on that thread, and nowhere else.
 *
 * Requests are carried out by a context's workers, many at a time and in any
 * order. As with a disk, the program sees to it that those which overlap are
 * not under way together, unless they only read; and a flush covers what had
 * completed when it was submitted.
 *
 * A drained section (blk_drained_begin()) keeps requests waiting, but neither
 * the thread that submits them nor a worker. Closing a backend waits until its
 * requests have been carried out; they complete as they would have.
 *
 * Threads: any may submit to a context; one at a time dispatches it. A
 * completion function may submit, cancel others, dispatch, close the backend
 * that it came from, and drop the context.
 */
#ifndef BLOCK_AIO_H
#define BLOCK_AIO_H

#include "block/block.h"

G_BEGIN_DECLS

typedef struct AioContext AioContext;

/* A request under way. It is gone once its completion function has been
 * called, or its context given up. */
typedef struct BlockAIOCB BlockAIOCB;

/* ret: what the synchronous call would have returned, or -ECANCELED. Until it
 * returns, blk_strerror(ret) has the request's words. */
typedef void BlockCompletionFunc(void *opaque, int ret);

/* ---- Contexts ---- */

/* workers: requests carried out at a time, 1..1024; 0: a good number. They are
 * threads, started as they are needed. Fails when the system has no descriptor
 * or no thread left. */
AioContext *aio_context_new(unsigned workers, GError **errp)
    G_GNUC_WARN_UNUSED_RESULT;
AioContext *aio_context_ref(AioContext *ctx);

/* With the last reference the context is given up: no completion function is
 * called any more. Requests under way are carried out, but nobody is told. ctx
 * may be NULL. */
void aio_context_unref(AioContext *ctx);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(AioContext, aio_context_unref)

/* Readable while completions or events wait, and at times when none does any
 * more, until the next dispatch. For poll() and its like alone; the context's
 * own, not to be read or closed. */
int aio_context_get_fd(AioContext *ctx);

/* Call the functions of all that waits now, in order; never blocks. How many.
 * One that dispatches itself has the others called that still wait. */
unsigned aio_context_dispatch(AioContext *ctx);

/* Wait at most timeout_ms milliseconds (-1: without end) until something
 * waits, and dispatch it. How many; 0 at once when nothing is under way and
 * nothing waits. */
unsigned aio_context_poll(AioContext *ctx, int timeout_ms);

/* Dispatch until no request of the context is under way. Not for who keeps
 * some of them waiting in a drained section. */
void aio_context_drain(AioContext *ctx);

/* For g_source_attach(): dispatches the context in that GMainContext. It
 * holds a reference; the caller owns the source. A completion function may run
 * a main loop of the GMainContext. */
GSource *aio_context_create_source(AioContext *ctx);

/* ---- Requests ---- */

/*
 * As their synchronous namesakes; the range is as long as the vector. The
 * elements of the vector are copied; the memory that they describe must stay
 * until completion. Never block, and never fail by themselves: every error
 * arrives in the completion function, which is called once, from a dispatch
 * (of another thread perhaps, before this has returned).
 */
BlockAIOCB *blk_aio_preadv(BlockBackend *blk, AioContext *ctx, int64_t offset,
                           const IOVector *iov, unsigned flags,
                           BlockCompletionFunc *done, void *opaque);
BlockAIOCB *blk_aio_pwritev(BlockBackend *blk, AioContext *ctx, int64_t offset,
                            const IOVector *iov, unsigned flags,
                            BlockCompletionFunc *done, void *opaque);
BlockAIOCB *blk_aio_pwrite_zeroes(BlockBackend *blk, AioContext *ctx,
                                  int64_t offset, int64_t bytes,
                                  unsigned flags, BlockCompletionFunc *done,
                                  void *opaque);
BlockAIOCB *blk_aio_pdiscard(BlockBackend *blk, AioContext *ctx,
                             int64_t offset, int64_t bytes,
                             BlockCompletionFunc *done, void *opaque);
BlockAIOCB *blk_aio_flush(BlockBackend *blk, AioContext *ctx,
                          BlockCompletionFunc *done, void *opaque);
BlockAIOCB *blk_aio_commit(BlockBackend *blk, AioContext *ctx, bool finish,
                           BlockCompletionFunc *done, void *opaque);

/*
 * Give a request up, if no worker has begun it: it completes with -ECANCELED
 * at once, and nothing was done. Otherwise it completes as if this had not
 * been called. The completion function is called in either case, not from
 * here. Not beside a dispatch that could call it.
 */
void blk_aio_cancel(BlockAIOCB *acb);

G_END_DECLS

#endif
