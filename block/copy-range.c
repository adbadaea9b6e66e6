/* SPDX-License-Identifier: MIT */
/*
 * Copying without moving bytes through the process.
 *
 * The source is asked first (copy_range_from); its drivers pass the request
 * down until one knows the host file that holds the bytes and calls
 * bdrv_copy_host_range(), which asks the target (copy_range_to); its drivers
 * pass it down to the one that has the target's host file.
 *
 *     blk_copy_range -> source -> ... -> bdrv_copy_host_range
 *                                            -> target -> ... -> the kernel
 *
 * On the target the request counts as a write. -ENOTSUP means that nothing was
 * copied, so once a piece has been, the rest is copied by reading and writing.
 */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "block/backend.h"
#include "block/drain.h"
#include "block/io.h"
#include "block/probe.h"
#include "block/request.h"

#define BOUNCE_BYTES (1024 * 1024)

/* Where the rest comes from when the kernel has stopped helping. */
typedef struct CopySource {
    BlockDriverState *bs; /* NULL: the host file */
    int fd;
    int64_t offset;
} CopySource;

/* ---- Reading and writing instead ---- */

static int read_host_file(int fd, int64_t offset, int64_t bytes, uint8_t *buf)
{
    while (bytes > 0) {
        ssize_t n = pread(fd, buf, (size_t)bytes, offset);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n < 0 ? -errno : -EIO; /* shorter than it was */
        }
        buf += n;
        offset += n;
        bytes -= n;
    }
    return 0;
}

/* dst is entered, and the range tracked. */
static int bounce(const CopySource *src, BlockDriverState *dst,
                  int64_t dst_offset, int64_t bytes)
{
    int64_t size =
        MIN(bytes, MAX(BOUNCE_BYTES, (int64_t)dst->limits.request_alignment));
    void *buf = NULL;
    int ret = 0;

    if (posix_memalign(&buf, 4096, (size_t)size) != 0) {
        return -ENOMEM;
    }
    for (int64_t done = 0; ret == 0 && done < bytes;) {
        int64_t piece = MIN(size, bytes - done);
        IOVector iov;

        iov_init_buf(&iov, buf, (size_t)piece);
        ret = src->bs
                  ? node_preadv(src->bs, src->offset + done, piece, &iov)
                  : read_host_file(src->fd, src->offset + done, piece, buf);
        if (ret == 0) {
            ret = node_write_padded(dst, dst_offset + done, piece, &iov, 0);
        }
        done += piece;
    }
    free(buf);
    return ret;
}

/* ---- In the kernel ---- */

/* A whole range as pieces that both sides take. */
static int copy_pieces(const CopySource *src, BlockDriverState *dst,
                       int64_t dst_offset, int64_t bytes)
{
    const BdrvLimits *limits = &dst->limits;
    int64_t limit = limits->max_transfer;
    int64_t unit = limits->request_alignment;
    int64_t done = 0;
    int ret = 0;

    if (src->bs) {
        const BdrvLimits *theirs = &src->bs->limits;

        unit = MAX(unit, theirs->request_alignment);
        if (limit == 0 ||
            (theirs->max_transfer && theirs->max_transfer < limit)) {
            limit = theirs->max_transfer;
        }
    }
    while (ret == 0 && done < bytes) {
        int64_t piece = io_piece(bytes - done, limit, unit);

        ret = src->bs
                  ? src->bs->drv->copy_range_from(src->bs, src->offset + done,
                                                  dst, dst_offset + done,
                                                  piece, 0)
                  : dst->drv->copy_range_to(dst, src->fd, src->offset + done,
                                            dst_offset + done, piece, 0);
        if (ret == 0) {
            done += piece;
        }
    }
    if (ret == -ENOTSUP && done > 0) {
        const CopySource rest = { src->bs, src->fd, src->offset + done };

        io_error_clear(); /* what was said of it is no longer the reason */
        ret = bounce(&rest, dst, dst_offset + done, bytes - done);
    }
    return ret;
}

/* Both nodes are entered, and the write was checked. */
static int copy_tracked(const CopySource *src, BlockDriverState *dst,
                        int64_t dst_offset, int64_t bytes, unsigned flags)
{
    bool tracked = dst->limits.request_alignment > 1 ||
                   dst_offset + bytes > node_length(dst);
    TrackedRequest req;

    /* Past the end of such a node nothing can be copied before it grows. */
    if (dst->drv->copy_range_to == NULL ||
        !node_range_is_aligned(dst, dst_offset, bytes) ||
        probe_guard_covers(dst, dst_offset) ||
        (dst_offset + bytes > node_length(dst) && !dst->drv->grows_by_write)) {
        return -ENOTSUP;
    }
    if (tracked) {
        request_begin(&req, dst, dst_offset, dst_offset + bytes, false);
    }
    int ret = copy_pieces(src, dst, dst_offset, bytes);
    node_written(dst, dst_offset + bytes, ret);
    if (tracked) {
        request_end(&req);
    }
    if (ret == 0 && (flags & BDRV_REQ_FUA)) {
        ret = node_flush(dst);
    }
    return ret;
}

static bool can_copy_from(BlockDriverState *bs, int64_t offset, int64_t bytes)
{
    return bs->drv->copy_range_from && offset + bytes <= node_length(bs) &&
           node_range_is_aligned(bs, offset, bytes);
}

/*
 * Enter both nodes. Never wait for one while in the other: who drains both
 * would wait for us.
 */
static void enter_both(BlockDriverState *a, BlockDriverState *b)
{
    for (;;) {
        node_enter(a);
        if (node_try_enter(b)) {
            return;
        }
        node_leave(a);
        node_wait_entry(b);
    }
}

static int copy_between(BlockBackend *src, int64_t src_offset,
                        BlockBackend *dst, int64_t dst_offset, int64_t bytes,
                        unsigned flags)
{
    BlockDriverState *from = blk_bs(src);
    BlockDriverState *to = blk_bs(dst);
    const CopySource source = { .bs = from, .offset = src_offset };
    int ret = backend_check_range(from, src_offset, bytes);

    if (ret == 0) {
        ret = backend_check_range(to, dst_offset, bytes);
    }
    if (ret < 0) {
        return ret;
    }
    if (from == to && src_offset < dst_offset + bytes &&
        dst_offset < src_offset + bytes && bytes > 0) {
        bdrv_set_io_error("The ranges to copy within node '%s' overlap",
                          to->node_name);
        return -EINVAL;
    }
    enter_both(from, to);
    ret = io_check_write(dst->root, dst_offset, bytes, 0);
    if (ret == 0 && bytes > 0) {
        ret = can_copy_from(from, src_offset, bytes)
                  ? copy_tracked(&source, to, dst_offset, bytes, flags)
                  : -ENOTSUP;
    }
    node_leave(to);
    node_leave(from);
    return ret;
}

int blk_copy_range(BlockBackend *src, int64_t src_offset, BlockBackend *dst,
                   int64_t dst_offset, int64_t bytes, unsigned flags)
{
    backend_enter(src);
    while (!gate_try_enter(&dst->gate)) {
        backend_leave(src);
        gate_wait_entry(&dst->gate);
        backend_enter(src);
    }
    int ret = copy_between(src, src_offset, dst, dst_offset, bytes, flags);

    backend_leave(dst);
    backend_leave(src);
    return ret;
}

/* ---- For drivers ---- */

/* Whether the core above may have passed a range on as it is. */
static bool fits_limits(const BlockDriverState *bs, int64_t bytes)
{
    return bs->limits.max_transfer == 0 || bytes <= bs->limits.max_transfer;
}

int bdrv_copy_range_from_child(BdrvChild *child, int64_t offset,
                               BlockDriverState *dst, int64_t dst_offset,
                               int64_t bytes, unsigned flags)
{
    BlockDriverState *bs = child->bs;
    int ret = io_check_range(bs, offset, bytes);

    if (ret < 0 || bytes == 0) {
        return ret;
    }
    node_enter(bs);
    ret = can_copy_from(bs, offset, bytes) && fits_limits(bs, bytes)
              ? bs->drv->copy_range_from(bs, offset, dst, dst_offset, bytes,
                                         flags)
              : -ENOTSUP;
    node_leave(bs);
    return ret;
}

int bdrv_copy_range_to_child(BdrvChild *child, int fd, int64_t fd_offset,
                             int64_t offset, int64_t bytes, unsigned flags)
{
    BlockDriverState *bs = child->bs;
    const CopySource source = { .fd = fd, .offset = fd_offset };
    int ret = io_check_range(bs, offset, bytes);

    if (ret < 0) {
        return ret;
    }
    node_enter(bs);
    ret = io_check_write(child, offset, bytes, 0);
    if (ret == 0 && bytes > 0) {
        ret = copy_tracked(&source, bs, offset, bytes, flags);
    }
    node_leave(bs);
    return ret;
}

int bdrv_copy_host_range(int fd, int64_t fd_offset, BlockDriverState *dst,
                         int64_t dst_offset, int64_t bytes, unsigned flags)
{
    if (fd_offset < 0 || bytes <= 0 || fd_offset > INT64_MAX - bytes) {
        return -EINVAL;
    }
    if (dst->drv->copy_range_to == NULL ||
        !node_range_is_aligned(dst, dst_offset, bytes)) {
        return -ENOTSUP;
    }
    return dst->drv->copy_range_to(dst, fd, fd_offset, dst_offset, bytes,
                                   flags);
}
