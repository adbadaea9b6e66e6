/* SPDX-License-Identifier: MIT */
/* The event handlers of a backend, and whom a node's events reach. */
#ifndef BLOCK_EVENT_HANDLERS_H
#define BLOCK_EVENT_HANDLERS_H

#include "block/block-int.h"

EventHandlers *event_handlers_new(void);

/* The backend is about to be closed: handlers get NULL for it from now on. */
void event_handlers_closing(EventHandlers *handlers);

/* It is closed: nothing more comes; what was sent to a context still does. */
void event_handlers_free(EventHandlers *handlers);

/* To the handlers of one backend. event->node is set. */
void event_deliver(EventHandlers *handlers, const BlkEvent *event);

/* Whether the calling thread is in a handler of this backend that is called at
 * once: requests under way may be waiting for it. */
bool event_is_inside(const BlockBackend *blk);

/* Under the graph lock. The last edge to a node is about to go: who is above
 * it now hears its driver's last events. */
void event_keep_listeners(BlockDriverState *bs);

/* The node is freed. */
void event_forget_listeners(BlockDriverState *bs);

#endif
