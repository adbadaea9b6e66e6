/* SPDX-License-Identifier: MIT */
/*
 * Information about images. A node that says nothing itself is as the node it
 * shows.
 */
#include "block/info.h"

#include <errno.h>

#include "block/backend.h"
#include "block/drain.h"
#include "block/filename.h"
#include "block/graph.h"
#include "block/io.h"
#include "block/open-backing.h"

int64_t node_allocated_size(BlockDriverState *bs)
{
    int64_t sum = 0;
    bool any = false;

    if (bs->drv->get_allocated_size) {
        return bs->drv->get_allocated_size(bs);
    }
    for (guint i = 0; i < bs->children->len; i++) {
        const BdrvChild *child = g_ptr_array_index(bs->children, i);

        if (child->role & BDRV_CHILD_COW) {
            continue;
        }
        int64_t bytes = node_allocated_size(child->bs);
        if (bytes < 0) {
            return bytes;
        }
        sum += bytes;
        any = true;
    }
    return any ? sum : -ENOTSUP;
}

int64_t blk_get_allocated_size(BlockBackend *blk)
{
    BlockDriverState *bs = backend_ask(blk);

    node_enter(bs);
    int64_t bytes = node_allocated_size(bs);
    node_leave(bs);
    backend_ask_end(blk);
    return bytes;
}

/* Filters, and raw, which guards what is probed from its child. */
static BlockDriverState *shown_node(const BlockDriverState *bs)
{
    return bs->drv->is_filter || bs->drv->writable_probe ? node_primary(bs)
                                                         : NULL;
}

bool node_has_zero_init(BlockDriverState *bs)
{
    while (bs->drv->has_zero_init == NULL) {
        bs = shown_node(bs);
        if (bs == NULL) {
            return false;
        }
    }
    /* What is not written is as in the backing file. */
    return bs->backing == NULL && bs->drv->has_zero_init(bs);
}

bool blk_has_zero_init(BlockBackend *blk)
{
    bool has_zero_init = node_has_zero_init(backend_look(blk));

    backend_look_end(blk);
    return has_zero_init;
}

static bool node_info(BlockDriverState *bs, BdrvInfo *info, GError **errp)
{
    while (bs->drv->info == NULL) {
        bs = shown_node(bs);
        if (bs == NULL) {
            return true;
        }
    }
    info->specific_format = bs->drv->format_name;
    return bs->drv->info(bs, info, errp);
}

/* The backing file that this node records, or one that it shows. */
static void backing_info(BlockDriverState *bs, BdrvInfo *info)
{
    while (bs && info->backing_filename == NULL) {
        backing_get_recorded(bs, &info->backing_filename,
                             &info->backing_format,
                             &info->full_backing_filename);
        bs = shown_node(bs);
    }
}

BdrvInfo *blk_get_info(BlockBackend *blk, GError **errp)
{
    BlockDriverState *bs = backend_ask(blk);
    BdrvInfo *info = g_new0(BdrvInfo, 1);

    info->virtual_size = node_length(bs);
    info->read_only = node_is_read_only(bs);
    info->format = bs->drv->format_name;
    info->filename = filename_of_node(bs);
    info->specific = options_new();
    backing_info(bs, info);
    node_enter(bs);
    info->allocated_size = MAX(node_allocated_size(bs), -1);
    bool ok = node_info(bs, info, errp);
    node_leave(bs);
    backend_ask_end(blk);
    if (!ok) {
        g_clear_pointer(&info, bdrv_info_free);
    }
    return info;
}

void bdrv_info_free(BdrvInfo *info)
{
    if (info == NULL) {
        return;
    }
    g_free(info->filename);
    g_free(info->backing_filename);
    g_free(info->backing_format);
    g_free(info->full_backing_filename);
    options_free(info->specific);
    g_free(info);
}
