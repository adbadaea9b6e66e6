/* SPDX-License-Identifier: MIT */
/*
 * What happens to a device by itself, told to the program that holds it.
 *
 * blk_get_info() has the state of all of this at any time; events say when it
 * changes. So a program adds its handler first and asks for the information
 * then: what was found when the device was opened (with overlay=FILE: what has
 * changed on the host meanwhile, what has waited since) is there already.
 */
#ifndef BLOCK_EVENT_H
#define BLOCK_EVENT_H

#include "block/aio.h"

G_BEGIN_DECLS

/* Paths of files are below DIR, in UTF-8, other bytes as \xNN. */
typedef enum BlkEventKind {
    /* A commit has ended that had something to do, or that failed; error: 0,
     * or the negative errno that a flush would give; detail: its words, or
     * NULL. It comes after the other events of the same commit, and before a
     * flush or blk_commit() that waits for it returns. */
    BLK_EVENT_COMMIT,
    /* A file of the guest waits; path: where the guest has it; detail: why. */
    BLK_EVENT_HELD_BACK,
    /* It does not wait any more: it is in the directory, or the guest has
     * removed it. path: as it was told. */
    BLK_EVENT_RELEASED,
    /* A file had changed on the host, too; path: the file on the host; detail:
     * what happened, with the name that the guest's version has now. */
    BLK_EVENT_CONFLICT,
    /* Nothing is committed any more, since the guest has formatted or
     * repartitioned the disk; detail: why. */
    BLK_EVENT_SUSPENDED,
    /* Commits go on. */
    BLK_EVENT_RESUMED,
    /* What could not be committed was kept; path: of that image, absolute;
     * detail: why it was not committed. Or it is lost, since no image could be
     * made: path NULL; error, detail: why. */
    BLK_EVENT_RESCUED,
    /* The device shows another medium (blk_change_medium()): geometry, length
     * and contents are others now; path: its name. Told before the first
     * request meets it. error -ENOMEDIUM: there is none any more. */
    BLK_EVENT_MEDIUM_CHANGED,
} BlkEventKind;

/* Valid during the call. Strings that do not apply are NULL. */
typedef struct BlkEvent {
    BlkEventKind kind;
    int error;        /* 0 or a negative errno */
    const char *node; /* name of the node that it comes from */
    const char *path;
    const char *detail;
} BlkEvent;

/* blk: NULL from the moment on when blk_close() was called. */
typedef void BlkEventFunc(BlockBackend *blk, const BlkEvent *event,
                          void *opaque);

/* "commit", "held-back", ...; static. */
const char *blk_event_name(BlkEventKind kind);

/*
 * Have func called for each event of the device, one call after the other.
 * Any thread may add and remove handlers, beside requests.
 *
 * ctx: from aio_context_dispatch(), in order; the last events, of closing, are
 * delivered after blk_close(). func may do everything that a completion
 * function may. The handler holds the context until it is removed or the
 * backend is closed; who closes it without dispatching any more gives the last
 * events up.
 *
 * ctx NULL: at once, on the thread where it happens, which may be one of the
 * library's, and the last ones during blk_close(). func must be quick, since
 * requests wait for it. It may ask (blk_get_info(), blk_getlength() and the
 * like) and remove its own handler, but not make requests of, drain, change or
 * close this backend.
 *
 * destroy: for opaque, when no further call will come, on any thread, once;
 * may be NULL. Returns a handle, never 0.
 */
unsigned blk_add_event_handler(BlockBackend *blk, AioContext *ctx,
                               BlkEventFunc *func, void *opaque,
                               GDestroyNotify destroy);

/* No call comes any more, not even for what waits in the context. When it
 * returns, func is not running, unless it is called from func. A handle that
 * there is not (any more) is ignored. */
void blk_remove_event_handler(BlockBackend *blk, unsigned handle);

G_END_DECLS

#endif
