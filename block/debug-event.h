/* SPDX-License-Identifier: MIT */
/* Who listens to bdrv_debug_event(). */
#ifndef BLOCK_DEBUG_EVENT_H
#define BLOCK_DEBUG_EVENT_H

#include "block/block-int.h"

/* A node was published, or is about to be closed. */
void debug_listener_added(const BlockDriverState *bs);
void debug_listener_removed(const BlockDriverState *bs);

#endif
