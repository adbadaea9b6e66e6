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
 * order; those that overlap must not be under way together, as with a disk. A
 * flush covers what had completed when it was submitted.
 *
 * Threads: any may submit to a context; one at a time dispatches it. A
 * completion function may submit, cancel others, close the backend that it
 * came from, and drop the context.
 */
#ifndef BLOCK_AIO_H
#define BLOCK_AIO_H

#include "block/block.h"

G_BEGIN_DECLS

typedef struct AioContext AioContext;

/* A request under way. It is gone when its completion function was called. */
typedef struct BlockAIOCB BlockAIOCB;

/* ret: what the synchronous call would have returned, or -ECANCELED. Until it
 * returns, blk_strerror(ret) has the request's words. */
typedef void BlockCompletionFunc(void *opaque, int ret);

/* ---- Contexts ---- */

/* workers: requests carried out at a time, 1..1024; 0: a good number. Fails
 * when the system has no descriptor left. */
AioContext *aio_context_new(unsigned workers, GError **errp)
    G_GNUC_WARN_UNUSED_RESULT;
AioContext *aio_context_ref(AioContext *ctx);

/* Requests under way keep the context; when it is given up before they have
 * completed, they are carried out, but nobody is told. */
void aio_context_unref(AioContext *ctx);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(AioContext, aio_context_unref)

/* Readable while completions or events wait. For poll() and its like alone;
 * the context's own, not to be read or closed. */
int aio_context_get_fd(AioContext *ctx);

/* Call the functions of all that waits now; never blocks. How many. */
unsigned aio_context_dispatch(AioContext *ctx);

/* Wait at most timeout_ms milliseconds (-1: without end) until something
 * waits, and dispatch it. How many; 0 at once when nothing is under way and
 * nothing waits. */
unsigned aio_context_poll(AioContext *ctx, int timeout_ms);

/* Dispatch until no request of the context is under way. */
void aio_context_drain(AioContext *ctx);

/* For g_source_attach(): dispatches the context in that GMainContext. It
 * holds a reference; the caller owns the source. */
GSource *aio_context_create_source(AioContext *ctx);

/* ---- Requests ---- */

/*
 * As their synchronous namesakes. The elements of the vector are copied; the
 * memory that they describe must stay until completion. Never fail by
 * themselves: every error arrives in the completion function, once, never
 * before the call has returned.
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
 * Give a request up, if no worker has begun it: it completes with -ECANCELED,
 * and nothing was done. Otherwise it completes as if this had not been called.
 * The completion function is called in either case, not from here.
 */
void blk_aio_cancel(BlockAIOCB *acb);

G_END_DECLS

#endif
