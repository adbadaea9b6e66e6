/* SPDX-License-Identifier: MIT */
/*
 * Named points that a driver reaches, told to the drivers that listen
 * (blkdebug): the node itself, its ancestors, and the chain of its PRIMARY
 * children. They are called without a lock, since they may sleep, but
 * pinned, so that they stay open meanwhile. As long as no listening node is
 * open an event costs one atomic read.
 */
#include "block/debug-event.h"

#include "block/drain.h"
#include "block/graph.h"

static atomic_int listeners;

void debug_listener_added(const BlockDriverState *bs)
{
    if (bs->drv->debug_event) {
        listeners++;
    }
}

void debug_listener_removed(const BlockDriverState *bs)
{
    if (bs->drv->debug_event) {
        listeners--;
    }
}

/* Under the graph lock. */
static void pin_listener(BlockDriverState *bs, GPtrArray *pinned)
{
    if (bs->drv->debug_event && bs->is_open && bs->refcnt > 0 &&
        !g_ptr_array_find(pinned, bs, NULL)) {
        node_pin(bs);
        g_ptr_array_add(pinned, bs);
    }
}

static void pin_ancestors(BlockDriverState *bs, GPtrArray *pinned)
{
    for (guint i = 0; i < bs->parents->len; i++) {
        const BdrvChild *edge = g_ptr_array_index(bs->parents, i);

        if (edge->parent_bs) {
            pin_listener(edge->parent_bs, pinned);
            pin_ancestors(edge->parent_bs, pinned);
        }
    }
}

void bdrv_debug_event(BlockDriverState *bs, const char *event)
{
    if (atomic_load(&listeners) == 0) {
        return;
    }
    g_autoptr(GPtrArray) pinned = g_ptr_array_new();

    graph_lock();
    pin_ancestors(bs, pinned);
    for (BlockDriverState *below = bs; below; below = node_primary(below)) {
        pin_listener(below, pinned);
    }
    graph_unlock();
    for (guint i = 0; i < pinned->len; i++) {
        BlockDriverState *listener = g_ptr_array_index(pinned, i);

        listener->drv->debug_event(listener, event);
        node_unpin(listener);
    }
}
