/* SPDX-License-Identifier: MIT */
/*
 * Flushing. Each change counts write_generation up once it is done, before its
 * caller hears of it. A flush covers the generation it found when it began; a
 * node whose flushed_generation is as high has nothing to do. After a failure
 * it stays behind, so that the next flush tries again. A node that was just
 * opened is behind, too, for what others left to be flushed.
 */
#include "block/io.h"

/* The children that hold what this node wrote: not the backing file. */
static int flush_children(BlockDriverState *bs)
{
    int result = 0;

    for (guint i = 0; i < bs->children->len; i++) {
        BdrvChild *child = g_ptr_array_index(bs->children, i);

        if (child->role & BDRV_CHILD_COW) {
            continue;
        }
        int ret = bdrv_flush(child->bs);
        if (result == 0) {
            result = ret;
        }
    }
    return result;
}

unsigned node_request_flags(const BlockDriverState *bs, unsigned flags)
{
    return bs->open_flags & BDRV_O_NO_FLUSH ? flags & ~BDRV_REQ_FUA : flags;
}

/* NO_FLUSH spares the wait for the disk, where the bytes end. What a format
 * still holds in memory must reach its file, and errors their caller. */
static bool is_not_flushed(const BlockDriverState *bs)
{
    return (bs->open_flags & BDRV_O_NO_FLUSH) && bs->children->len == 0;
}

int node_flush(BlockDriverState *bs)
{
    int ret = 0;

    if (node_is_read_only(bs) || is_not_flushed(bs)) {
        return 0;
    }
    uint64_t generation = bs->write_generation;

    pthread_mutex_lock(&bs->flush_lock);
    if (bs->flushed_generation < generation) {
        if (bs->drv->flush) {
            ret = bs->drv->flush(bs);
        }
        ret = ret == 0 ? flush_children(bs) : MIN(ret, 0);
        if (ret == 0) {
            bs->flushed_generation = generation;
        }
    }
    pthread_mutex_unlock(&bs->flush_lock);
    return ret;
}
