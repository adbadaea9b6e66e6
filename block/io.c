/* SPDX-License-Identifier: MIT */
/*
 * Reading and writing: checks, and the entry points of parents.
 *
 * A parent may read past the end of a node: those bytes are zeroes, since an
 * image may end in the middle of a block. It may write past the end if it has
 * the permission to resize and the node can be resized: formats allocate so.
 */
#include "block/io.h"

#include <errno.h>
#include <inttypes.h>

#include "block/drain.h"
#include "block/probe.h"
#include "block/request.h"

/* ---- Checks ---- */

int io_check_range(const BlockDriverState *bs, int64_t offset, int64_t bytes)
{
    if (offset < 0 || bytes < 0 || offset > BDRV_MAX_LENGTH ||
        bytes > BDRV_MAX_LENGTH - offset) {
        bdrv_set_io_error("No such range on node '%s': %" PRId64
                          " bytes at offset %" PRId64,
                          bs->node_name, bytes, offset);
        return -EIO;
    }
    return 0;
}

static int check_write_perm(const BdrvChild *child, unsigned flags)
{
    unsigned enough = BLK_PERM_WRITE;

    if (node_is_read_only(child->bs)) {
        bdrv_set_io_error("Node '%s' is read-only", child->bs->node_name);
        return -EACCES;
    }
    if (flags & BDRV_REQ_WRITE_UNCHANGED) {
        enough |= BLK_PERM_WRITE_UNCHANGED;
    }
    if (!(child->perm & enough)) {
        bdrv_set_io_error("Node '%s' was opened without the permission to "
                          "write",
                          child->bs->node_name);
        return -EPERM;
    }
    return 0;
}

int io_check_write(const BdrvChild *child, int64_t offset, int64_t bytes,
                   unsigned flags)
{
    BlockDriverState *bs = child->bs;
    int ret = check_write_perm(child, flags);

    if (ret < 0) {
        return ret;
    }
    if (offset + bytes > node_length(bs) &&
        (!(child->perm & BLK_PERM_RESIZE) || bs->drv->truncate == NULL)) {
        bdrv_set_io_error("Node '%s' cannot grow: %" PRId64
                          " bytes at offset %" PRId64
                          " lie past its end at %" PRId64,
                          bs->node_name, bytes, offset, node_length(bs));
        return -EIO;
    }
    return 0;
}

static int check_vector(const BlockDriverState *bs, int64_t bytes,
                        const IOVector *iov)
{
    if ((uint64_t)bytes != iov->size) {
        bdrv_set_io_error("A request of %" PRId64 " bytes on node '%s' came "
                          "with a vector of %zu",
                          bytes, bs->node_name, iov->size);
        return -EINVAL;
    }
    return 0;
}

/* ---- On a node ---- */

int node_preadv(BlockDriverState *bs, int64_t offset, int64_t bytes,
                const IOVector *iov)
{
    int64_t length = node_length(bs);
    int64_t inside = offset < length ? MIN(bytes, length - offset) : 0;

    if (inside == bytes) {
        return node_read_padded(bs, offset, bytes, iov);
    }
    iov_memset(iov, (size_t)inside, 0, (size_t)(bytes - inside));
    if (inside == 0) {
        return 0;
    }
    g_auto(IOVector) part;
    iov_init_slice(&part, iov, 0, (size_t)inside);
    return node_read_padded(bs, offset, inside, &part);
}

void node_written(BlockDriverState *bs, int64_t end, int ret)
{
    int64_t length = bs->length;

    while (ret == 0 && end > length &&
           !atomic_compare_exchange_weak(&bs->length, &length, end)) {
    }
    bs->write_generation++;
}

int node_pwritev(BlockDriverState *bs, int64_t offset, int64_t bytes,
                 const IOVector *iov, unsigned flags)
{
    int64_t mask = (int64_t)bs->limits.request_alignment - 1;
    int64_t end = offset + bytes;
    bool guarded = probe_guard_covers(bs, offset);
    unsigned native = bs->limits.supported_write_flags;
    TrackedRequest req;
    int ret = 0;

    if (flags & BDRV_REQ_WRITE_COMPRESSED & ~native) {
        return -ENOTSUP;
    }
    if (end > node_length(bs) && !bs->drv->grows_by_write) {
        ret = node_grow(bs, end);
        if (ret < 0) {
            return ret;
        }
    }
    bool tracked = guarded || mask > 0 || end > node_length(bs);
    flags = node_request_flags(bs, flags);
    if (guarded) {
        probe_guard_begin(&req, bs, end);
        ret = probe_guard_write(bs, offset, bytes, iov);
    } else if (tracked) {
        request_begin(&req, bs, offset, end, ((offset | bytes) & mask) != 0);
    }
    if (ret == 0) {
        ret = node_write_padded(bs, offset, bytes, iov, flags);
        node_written(bs, end, ret);
    }
    if (tracked) {
        request_end(&req);
    }
    if (ret == 0 && (flags & BDRV_REQ_FUA & ~native)) {
        ret = node_flush(bs);
    }
    return ret;
}

/* A write that turns out to be zeroes, if the node looks for that. */
static bool is_zeroes(const BlockDriverState *bs, int64_t bytes,
                      const IOVector *iov, unsigned *flags)
{
    if (bs->detect_zeroes == DETECT_ZEROES_OFF ||
        (*flags & BDRV_REQ_WRITE_COMPRESSED) ||
        !iov_is_zero(iov, 0, (size_t)bytes)) {
        return false;
    }
    if (bs->detect_zeroes == DETECT_ZEROES_UNMAP) {
        *flags |= BDRV_REQ_MAY_UNMAP;
    }
    return true;
}

/* ---- Entry points ---- */

int bdrv_preadv(BdrvChild *child, int64_t offset, int64_t bytes,
                const IOVector *iov, unsigned flags)
{
    BlockDriverState *bs = child->bs;
    int ret = io_check_range(bs, offset, bytes);

    (void)flags; /* none is known for reads */
    if (ret == 0) {
        ret = check_vector(bs, bytes, iov);
    }
    if (ret < 0 || bytes == 0) {
        return ret;
    }
    node_enter(bs);
    ret = node_preadv(bs, offset, bytes, iov);
    node_leave(bs);
    return ret;
}

int bdrv_pwritev(BdrvChild *child, int64_t offset, int64_t bytes,
                 const IOVector *iov, unsigned flags)
{
    BlockDriverState *bs = child->bs;
    int ret = io_check_range(bs, offset, bytes);

    if (ret == 0) {
        ret = check_vector(bs, bytes, iov);
    }
    if (ret < 0) {
        return ret;
    }
    node_enter(bs);
    ret = io_check_write(child, offset, bytes, flags);
    if (ret == 0 && bytes > 0) {
        ret = is_zeroes(bs, bytes, iov, &flags)
                  ? node_pwrite_zeroes(bs, offset, bytes, flags)
                  : node_pwritev(bs, offset, bytes, iov, flags);
    }
    node_leave(bs);
    return ret;
}

int bdrv_pwrite_zeroes(BdrvChild *child, int64_t offset, int64_t bytes,
                       unsigned flags)
{
    BlockDriverState *bs = child->bs;
    int ret = io_check_range(bs, offset, bytes);

    if (ret < 0) {
        return ret;
    }
    node_enter(bs);
    ret = io_check_write(child, offset, bytes, flags);
    if (ret == 0 && bytes > 0) {
        ret = node_pwrite_zeroes(bs, offset, bytes, flags);
    }
    node_leave(bs);
    return ret;
}

int bdrv_pdiscard(BdrvChild *child, int64_t offset, int64_t bytes)
{
    BlockDriverState *bs = child->bs;
    int ret = io_check_range(bs, offset, bytes);

    if (ret < 0) {
        return ret;
    }
    node_enter(bs);
    ret = check_write_perm(child, 0);
    if (ret == 0) {
        /* Past the end there is nothing to drop. */
        bytes = MIN(bytes, node_length(bs) - offset);
        ret = bytes > 0 ? node_pdiscard(bs, offset, bytes) : 0;
    }
    node_leave(bs);
    return ret;
}

int bdrv_flush(BlockDriverState *bs)
{
    node_enter(bs);
    int ret = node_flush(bs);
    node_leave(bs);
    return ret;
}

int bdrv_pread(BdrvChild *child, int64_t offset, int64_t bytes, void *buf,
               unsigned flags)
{
    IOVector iov;

    if (bytes < 0) {
        return -EIO;
    }
    iov_init_buf(&iov, buf, (size_t)bytes);
    return bdrv_preadv(child, offset, bytes, &iov, flags);
}

int bdrv_pwrite(BdrvChild *child, int64_t offset, int64_t bytes,
                const void *buf, unsigned flags)
{
    IOVector iov;

    if (bytes < 0) {
        return -EIO;
    }
    iov_init_buf(&iov, (void *)buf, (size_t)bytes);
    return bdrv_pwritev(child, offset, bytes, &iov, flags);
}
