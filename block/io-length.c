/* SPDX-License-Identifier: MIT */
/*
 * The length of a node. It is kept, since asking a file costs a system call:
 * taken from the driver when the node is opened and resized, raised by writes
 * past the end.
 *
 * A node that grows over a backing file longer than itself gets zeroes there
 * before the new length is known, so that reads end where they did.
 */
#include <errno.h>
#include <inttypes.h>

#include "block/drain.h"
#include "block/graph.h"
#include "block/io.h"
#include "block/request.h"

int64_t node_length(const BlockDriverState *bs)
{
    while (bs->drv->getlength == NULL && bs->primary) {
        bs = bs->primary->bs;
    }
    return bs->length;
}

int64_t bdrv_getlength(BlockDriverState *bs)
{
    return node_length(bs);
}

int node_refresh_length(BlockDriverState *bs)
{
    if (bs->drv->getlength == NULL) {
        return bs->primary ? 0 : -EINVAL;
    }
    int64_t length = bs->drv->getlength(bs);
    if (length < 0) {
        return (int)length;
    }
    if (length > BDRV_MAX_LENGTH) {
        return -EFBIG;
    }
    bs->length = length;
    return 0;
}

/*
 * What a backing file has in the new part must not come to light. The new
 * length is not known to others yet, so nobody sees or writes that part.
 */
static int hide_backing(BlockDriverState *bs, int64_t old_length,
                        int64_t length)
{
    const BlockDriverState *backing = node_backing(bs);
    int64_t mask = (int64_t)bs->limits.request_alignment - 1;

    if (backing == NULL || node_length(backing) <= old_length) {
        return 0;
    }
    int64_t end = MIN(length, (node_length(backing) + mask) & ~mask);
    return end > old_length
               ? node_zero_new_part(bs, old_length, end - old_length, length)
               : 0;
}

/* While a serialising request covers everything behind the shorter end. */
static int change_length(BlockDriverState *bs, int64_t size, bool exact,
                         PreallocMode prealloc, GError **errp)
{
    int64_t old_length = node_length(bs);
    int ret = bs->drv->truncate(bs, size, exact, prealloc, errp);
    int hidden = 0;

    bs->write_generation++;
    if (ret == 0 && bs->drv->getlength) {
        hidden = hide_backing(bs, old_length, bs->drv->getlength(bs));
    }
    if (hidden < 0) {
        (void)!bs->drv->truncate(bs, old_length, false, PREALLOC_MODE_OFF,
                                 NULL);
    }
    int length_ret = node_refresh_length(bs);
    if (ret < 0) {
        return ret;
    }
    if (hidden == 0) {
        hidden = length_ret;
    }
    if (hidden < 0) {
        block_error_set_errno(errp, -hidden,
                              "Could not complete resizing node '%s'",
                              bs->node_name);
    }
    return hidden;
}

static int node_truncate(BlockDriverState *bs, int64_t size, bool exact,
                         PreallocMode prealloc, GError **errp)
{
    TrackedRequest req;

    /* Writes past the shorter end do not run beside it where they are tracked
     * (request.h); elsewhere one that was under way makes the node longer
     * again, and is known to have. */
    request_begin(&req, bs, MIN(node_length(bs), size), BDRV_MAX_LENGTH, true);
    int ret = change_length(bs, size, exact, prealloc, errp);
    request_end(&req);
    return ret;
}

int node_grow(BlockDriverState *bs, int64_t end)
{
    g_autoptr(GError) error = NULL;
    TrackedRequest req;
    int ret = 0;

    request_begin(&req, bs, node_length(bs), BDRV_MAX_LENGTH, true);
    /* Another request may have been quicker. */
    if (end > node_length(bs)) {
        ret = change_length(bs, end, false, PREALLOC_MODE_OFF, &error);
    }
    request_end(&req);
    if (ret < 0) {
        bdrv_set_io_error("%s", error ? error->message : g_strerror(-ret));
    }
    return ret;
}

static bool truncate_is_allowed(const BdrvChild *child, int64_t size,
                                GError **errp)
{
    const BlockDriverState *bs = child->bs;

    if (size < 0 || size > BDRV_MAX_LENGTH) {
        block_error_set(errp, size < 0 ? EINVAL : EFBIG,
                        "No image can have %" PRId64 " bytes", size);
    } else if (bs->drv->truncate == NULL) {
        block_error_set(errp, ENOTSUP,
                        "Images of the format '%s' cannot be resized",
                        bs->drv->format_name);
    } else if (node_is_read_only(bs)) {
        block_error_set(errp, EACCES, "Node '%s' is read-only", bs->node_name);
    } else if (!(child->perm & BLK_PERM_RESIZE)) {
        block_error_set(errp, EPERM,
                        "Node '%s' was opened without the permission to "
                        "resize",
                        bs->node_name);
    } else {
        return true;
    }
    return false;
}

int bdrv_truncate(BdrvChild *child, int64_t size, bool exact,
                  PreallocMode prealloc, GError **errp)
{
    g_autoptr(GError) error = NULL;
    int ret;

    node_enter(child->bs);
    if (truncate_is_allowed(child, size, &error)) {
        ret = node_truncate(child->bs, size, exact, prealloc, &error);
    } else {
        ret = block_error_to_errno(error);
    }
    node_leave(child->bs);
    if (error) {
        g_propagate_error(errp, g_steal_pointer(&error));
    }
    return ret;
}
