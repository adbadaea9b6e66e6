/* SPDX-License-Identifier: MIT */
/*
 * Discards are hints: what does not fill whole units is left alone, and a
 * driver that cannot discard is no error.
 */
#include <errno.h>

#include "block/io.h"
#include "block/probe.h"
#include "block/request.h"

static int discard_units(BlockDriverState *bs, int64_t offset, int64_t end,
                         int64_t unit)
{
    while (offset < end) {
        int64_t piece = io_piece(end - offset, bs->limits.max_pdiscard, unit);
        int ret = bs->drv->pdiscard(bs, offset, piece);

        if (ret == -ENOTSUP) {
            return 0;
        }
        if (ret < 0) {
            return ret;
        }
        offset += piece;
    }
    return 0;
}

int node_pdiscard(BlockDriverState *bs, int64_t offset, int64_t bytes)
{
    const BdrvLimits *limits = &bs->limits;
    int64_t unit = MAX(limits->pdiscard_alignment, limits->request_alignment);
    int64_t end = offset + bytes;
    TrackedRequest req;

    if (!(bs->open_flags & BDRV_O_UNMAP) || bs->drv->pdiscard == NULL) {
        return 0;
    }
    if (offset % unit != 0) {
        offset += unit - offset % unit;
    }
    if (end != node_length(bs)) {
        end -= end % unit;
    }
    if (offset >= end) {
        return 0;
    }
    bool guarded = probe_guard_covers(bs, offset);
    bool tracked = guarded || limits->request_alignment > 1;
    int ret = 0;
    if (guarded) {
        probe_guard_begin(&req, bs, end);
        ret = probe_guard_write(bs, offset, end - offset, NULL);
    } else if (tracked) {
        request_begin(&req, bs, offset, end, false);
    }
    if (ret == 0) {
        ret = discard_units(bs, offset, end, unit);
    } else if (ret == -EPERM) {
        io_error_clear(); /* what would look like a format stays as it is */
        ret = 0;
    }
    node_written(bs, end, ret);
    if (tracked) {
        request_end(&req);
    }
    return ret;
}
