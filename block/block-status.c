/* SPDX-License-Identifier: MIT */
/*
 * Block status: where the contents of a range come from.
 *
 * On one node, the driver answers for whole blocks. It may pass the question
 * on (RAW: ask `file` at `map`), or ask for a look whether its data is a hole
 * one node further down (RECURSE). Over a chain of backing files the first
 * layer that has the range allocated decides; what none has is zeroes.
 */
#include <errno.h>
#include <inttypes.h>

#include "block/drain.h"
#include "block/graph.h"
#include "block/io.h"

void bdrv_block_status_clear(BdrvBlockStatus *status)
{
    g_free(status->host_file);
    *status = (BdrvBlockStatus){ 0 };
}

/* Cut the first `skip` bytes off, and what is beyond `bytes`. */
static void status_trim(BdrvBlockStatus *status, int64_t skip, int64_t bytes)
{
    status->bytes = MIN(status->bytes - skip, bytes);
    if (status->flags & BDRV_BLOCK_OFFSET_VALID) {
        status->map += skip;
    }
}

/* A driver that does not say: a filter shows its child, others have data. */
static void default_status(BlockDriverState *bs, int64_t offset, int64_t bytes,
                           BdrvBlockStatus *status)
{
    status->bytes = bytes;
    status->map = offset;
    if (bs->drv->is_filter && bs->primary) {
        status->flags = BDRV_BLOCK_RAW | BDRV_BLOCK_OFFSET_VALID;
        status->file = node_primary(bs);
        return;
    }
    status->flags = BDRV_BLOCK_DATA;
    if (bs->drv->protocol_name) {
        status->flags |= BDRV_BLOCK_OFFSET_VALID;
        status->file = bs;
    }
}

/* Ask the driver about the whole blocks around the range. */
static int driver_status(BlockDriverState *bs, unsigned want, int64_t offset,
                         int64_t bytes, BdrvBlockStatus *status)
{
    int64_t mask = (int64_t)bs->limits.request_alignment - 1;
    int64_t start = offset & ~mask;
    int64_t end = MIN((offset + bytes + mask) & ~mask, node_length(bs));

    if (bs->drv->block_status == NULL) {
        default_status(bs, offset, bytes, status);
        return 0;
    }
    int ret = bs->drv->block_status(bs, want, start, end - start, status);
    if (ret < 0) {
        return ret;
    }
    if (status->bytes <= offset - start || status->bytes > end - start ||
        ((status->flags & BDRV_BLOCK_RAW) && status->file == NULL)) {
        bdrv_set_io_error("The driver '%s' gave a status of %" PRId64
                          " bytes for %" PRId64 " bytes at offset %" PRId64,
                          bs->drv->format_name, status->bytes, end - start,
                          start);
        return -EIO;
    }
    status_trim(status, offset - start, bytes);
    return 0;
}

static int chain_status(BlockDriverState *bs, unsigned want, int64_t offset,
                        int64_t bytes, BdrvBlockStatus *status);

/* RAW: the status is that of `file` at `map`. */
static int pass_on(unsigned want, BdrvBlockStatus *status)
{
    BlockDriverState *file = status->file;
    int64_t map = status->map;
    int64_t bytes = status->bytes;

    bdrv_block_status_clear(status);
    return chain_status(file, want, map, bytes, status);
}

/* RECURSE: data that is a hole in the file reads as zeroes. */
static int look_for_zeroes(const BlockDriverState *bs, unsigned want,
                           BdrvBlockStatus *status)
{
    const unsigned needed = BDRV_BLOCK_RECURSE | BDRV_BLOCK_DATA |
                            BDRV_BLOCK_OFFSET_VALID;
    g_auto(BdrvBlockStatus) below = { 0 };

    if ((status->flags & needed) != needed ||
        (status->flags & BDRV_BLOCK_ZERO) || !(want & BDRV_WANT_PRECISE) ||
        status->file == NULL || status->file == bs) {
        return 0;
    }
    int ret = chain_status(status->file, want & ~BDRV_WANT_HOST_FILE,
                           status->map, status->bytes, &below);
    if (ret < 0) {
        return ret;
    }
    status->flags |= below.flags & BDRV_BLOCK_ZERO;
    status->bytes = MIN(status->bytes, below.bytes);
    return 0;
}

/* This node alone. bytes is in 1..; past the end there are zeroes. */
static int node_status(BlockDriverState *bs, unsigned want, int64_t offset,
                       int64_t bytes, BdrvBlockStatus *status)
{
    int64_t length = node_length(bs);
    int ret;

    *status = (BdrvBlockStatus){ 0 };
    if (offset >= length) {
        status->flags = BDRV_BLOCK_ZERO | BDRV_BLOCK_ALLOCATED;
        status->bytes = bytes;
        return 0;
    }
    bytes = MIN(bytes, length - offset);
    ret = driver_status(bs, want, offset, bytes, status);
    bool passed_on = ret == 0 && (status->flags & BDRV_BLOCK_RAW);
    if (passed_on) {
        ret = pass_on(want, status);
    } else if (ret == 0) {
        ret = look_for_zeroes(bs, want, status);
    }
    if (ret < 0) {
        bdrv_block_status_clear(status);
        return ret;
    }
    /* A driver that passed on has the flags of the chain below already. */
    if (status->flags & BDRV_BLOCK_DATA ||
        (!passed_on && (status->flags & BDRV_BLOCK_ZERO))) {
        status->flags |= BDRV_BLOCK_ALLOCATED;
    }
    status->flags &= ~(BDRV_BLOCK_RAW | BDRV_BLOCK_RECURSE);
    return 0;
}

/* The node, and its backing file for what the node does not have. */
static int chain_status(BlockDriverState *bs, unsigned want, int64_t offset,
                        int64_t bytes, BdrvBlockStatus *status)
{
    node_enter(bs);
    int ret = node_status(bs, want, offset, bytes, status);
    if (ret == 0 && !(status->flags & BDRV_BLOCK_ALLOCATED)) {
        BlockDriverState *backing = node_backing(bs);

        bytes = status->bytes;
        if (backing == NULL || offset >= node_length(backing)) {
            status->flags |= BDRV_BLOCK_ZERO;
        } else {
            bdrv_block_status_clear(status);
            ret = chain_status(backing, want, offset, bytes, status);
            status->depth++;
        }
    }
    if (ret == 0) {
        /* The node below may have another end. */
        status->flags &= ~BDRV_BLOCK_EOF;
        if (offset + status->bytes >= node_length(bs)) {
            status->flags |= BDRV_BLOCK_EOF;
        }
    }
    node_leave(bs);
    return ret;
}

int bdrv_block_status(BlockDriverState *bs, int64_t offset, int64_t bytes,
                      unsigned want, BdrvBlockStatus *status)
{
    int ret = io_check_range(bs, offset, bytes);

    *status = (BdrvBlockStatus){ 0 };
    if (ret < 0 || bytes == 0) {
        return ret < 0 ? ret : -EINVAL;
    }
    return chain_status(bs, want, offset, bytes, status);
}
