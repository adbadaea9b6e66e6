/* SPDX-License-Identifier: MIT */
/*
 * Limits of a node: its driver's, on top of what it has from its children. A
 * filter is as its child is, but for the alignment: unaligned requests pass
 * it and are aligned below.
 */
#include "block/limits.h"

#include <errno.h>
#include <inttypes.h>

#include "block/graph.h"

static int64_t min_limit(int64_t a, int64_t b)
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

/* Requests go on to the children that hold what this node shows. */
static void merge_children(const BlockDriverState *bs, BdrvLimits *limits)
{
    for (guint i = 0; i < bs->children->len; i++) {
        const BdrvChild *child = g_ptr_array_index(bs->children, i);
        const BdrvLimits *theirs = &child->bs->limits;

        if (!(child->role & (BDRV_CHILD_DATA | BDRV_CHILD_FILTERED))) {
            continue;
        }
        if (child->role & BDRV_CHILD_FILTERED) {
            *limits = *theirs;
            limits->request_alignment = 1;
            continue;
        }
        limits->opt_transfer = MAX(limits->opt_transfer, theirs->opt_transfer);
        limits->max_transfer = min_limit(limits->max_transfer,
                                         theirs->max_transfer);
        limits->min_copy_range = MAX(limits->min_copy_range,
                                     theirs->min_copy_range);
    }
}

bool limits_refresh(BlockDriverState *bs, GError **errp)
{
    BdrvLimits limits = { .request_alignment = 1 };

    merge_children(bs, &limits);
    if (bs->drv->refresh_limits) {
        bs->drv->refresh_limits(bs, &limits);
    }
    uint32_t alignment = limits.request_alignment;
    if (alignment == 0 || (alignment & (alignment - 1)) != 0 ||
        alignment > BDRV_MAX_ALIGNMENT) {
        block_error_set(errp, EINVAL,
                        "The driver '%s' wants requests aligned to %u bytes; "
                        "only powers of two up to %" PRId64 " are possible",
                        bs->drv->format_name, alignment, BDRV_MAX_ALIGNMENT);
        return false;
    }
    if (limits.max_transfer != 0) {
        limits.max_transfer -= limits.max_transfer % alignment;
        limits.max_transfer = MAX(limits.max_transfer, alignment);
    }
    bs->limits = limits;
    return true;
}
