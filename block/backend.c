/* SPDX-License-Identifier: MIT */
/*
 * Backends: opening and closing, and what a program asks about the device.
 */
#include "block/backend.h"

#include <errno.h>

#include "block/drain.h"
#include "block/filename.h"
#include "block/graph.h"
#include "block/info.h"
#include "block/io.h"
#include "block/open.h"

#define PERM_OF_WRITERS                                                       \
    (BLK_PERM_WRITE | BLK_PERM_WRITE_UNCHANGED | BLK_PERM_RESIZE)

BlockBackend *blk_open_with_perm(const char *name, const Options *options,
                                 unsigned flags, unsigned perm,
                                 unsigned shared, GError **errp)
{
    BlockBackend *blk = g_new0(BlockBackend, 1);
    BlockDriverState *bs;

    bs = open_node(name, options ? options_copy(options) : options_new(),
                   flags & ~BDRV_O_RESIZE, errp);
    if (bs == NULL) {
        g_free(blk);
        return NULL;
    }
    if ((bs->open_flags & BDRV_O_AUTO_RDONLY) && node_is_read_only(bs)) {
        perm &= ~PERM_OF_WRITERS;
    }
    if (bs->open_flags & BDRV_O_FORCE_SHARE) {
        shared = BLK_PERM_ALL;
    }
    blk->allow_resize = (flags & BDRV_O_RESIZE) != 0;
    blk->root = child_attach(NULL, blk, bs, "root", &child_of_bds, 0, perm,
                             shared, errp);
    if (blk->root == NULL) {
        g_free(blk);
        return NULL;
    }
    aio_count_init(&blk->aio);
    return blk;
}

BlockBackend *blk_open(const char *name, const Options *options,
                       unsigned flags, GError **errp)
{
    unsigned perm = BLK_PERM_CONSISTENT_READ;
    unsigned shared = BLK_PERM_CONSISTENT_READ | BLK_PERM_WRITE_UNCHANGED;

    if (flags & BDRV_O_RDWR) {
        perm |= BLK_PERM_WRITE;
    }
    if (flags & BDRV_O_RESIZE) {
        perm |= BLK_PERM_RESIZE;
    }
    if (flags & BDRV_O_FORCE_SHARE) {
        shared = BLK_PERM_ALL;
    }
    return blk_open_with_perm(name, options, flags, perm, shared, errp);
}

void blk_close(BlockBackend *blk)
{
    if (blk == NULL) {
        return;
    }
    while (blk->drained > 0) {
        blk_drained_end(blk);
    }
    aio_count_wait_all(&blk->aio);
    drain_exempt_begin();
    (void)!bdrv_flush(blk->root->bs);
    drain_exempt_end();
    child_detach(blk->root);
    aio_count_clear(&blk->aio);
    g_free(blk);
}

/* ---- Asking ---- */

BlockDriverState *blk_bs(BlockBackend *blk)
{
    return blk->root->bs;
}

int64_t blk_getlength(BlockBackend *blk)
{
    return node_length(blk_bs(blk));
}

bool blk_is_read_only(BlockBackend *blk)
{
    return node_is_read_only(blk_bs(blk));
}

char *blk_get_filename(BlockBackend *blk)
{
    return filename_of_node(blk_bs(blk));
}

const char *blk_get_format_name(BlockBackend *blk)
{
    return blk_bs(blk)->drv->format_name;
}

BdrvLimits blk_get_limits(BlockBackend *blk)
{
    return blk_bs(blk)->limits;
}

/* ---- Draining ---- */

/* Requests that are in a queue still are under way, too. */
void blk_drained_begin(BlockBackend *blk)
{
    aio_count_wait_earlier(&blk->aio);
    blk->drained++;
    node_drain_begin(blk_bs(blk));
}

void blk_drained_end(BlockBackend *blk)
{
    node_drain_end(blk_bs(blk));
    blk->drained--;
}

void blk_drain(BlockBackend *blk)
{
    blk_drained_begin(blk);
    blk_drained_end(blk);
}
