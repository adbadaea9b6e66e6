/* SPDX-License-Identifier: MIT */
/*
 * What happens to a device by itself, told to the program that holds it.
 *
 * blk_get_info() has the state of all of this at any time; events say when it
 * changes.
 */
#ifndef BLOCK_EVENT_H
#define BLOCK_EVENT_H

#include "block/aio.h"

G_BEGIN_DECLS

typedef enum BlkEventKind {
    /* A commit has ended; error: 0, or the negative errno that a flush would
     * give; detail: its words, or NULL. */
    BLK_EVENT_COMMIT,
    /* A file of the guest waits; path: below DIR; detail: why. */
    BLK_EVENT_HELD_BACK,
    /* It does not wait any more. */
    BLK_EVENT_RELEASED,
    /* A file had changed on the host, too; path: the guest's version; detail:
     * what happened. */
    BLK_EVENT_CONFLICT,
    /* Nothing is committed any more, since the guest has formatted or
     * repartitioned the disk; detail: why. */
    BLK_EVENT_SUSPENDED,
    /* Commits go on. */
    BLK_EVENT_RESUMED,
    /* What could not be committed was kept; path: of that image. */
    BLK_EVENT_RESCUED,
    /* The device shows another medium (blk_change_medium()): geometry,
     * length and contents are others now; path: its name. */
    BLK_EVENT_MEDIUM_CHANGED,
} BlkEventKind;

/* Valid during the call. Strings that do not apply are NULL. */
typedef struct BlkEvent {
    BlkEventKind kind;
    int error;
    const char *node; /* name of the node that it comes from */
    const char *path;
    const char *detail;
} BlkEvent;

typedef void BlkEventFunc(BlockBackend *blk, const BlkEvent *event,
                          void *opaque);

/* "commit", "held-back", ...; static. */
const char *blk_event_name(BlkEventKind kind);

/*
 * Have func called for each event of the device, in order. ctx: from
 * aio_context_dispatch(); the last events, of closing, are delivered after
 * blk_close(), with blk NULL. NULL: at once, on the thread where it happens,
 * which may be one of the library's; func must then be quick and may not make
 * requests of, close or change this backend. destroy: for opaque, when no
 * further call will come; may be NULL. Returns a handle, never 0.
 */
unsigned blk_add_event_handler(BlockBackend *blk, AioContext *ctx,
                               BlkEventFunc *func, void *opaque,
                               GDestroyNotify destroy);

/* When it returns, func is not running, unless it is called from func. */
void blk_remove_event_handler(BlockBackend *blk, unsigned handle);

G_END_DECLS

#endif
