/* SPDX-License-Identifier: MIT */
/*
 * Requests of backends. Unlike a node's parents, a program never gets past
 * the end of the device.
 */
#include <errno.h>
#include <inttypes.h>

#include "block/backend.h"
#include "block/drain.h"
#include "block/graph.h"
#include "block/io.h"

int backend_check_range(const BlockDriverState *bs, int64_t offset,
                        int64_t bytes)
{
    int ret = io_check_range(bs, offset, bytes);

    if (ret < 0) {
        return ret;
    }
    if (bs->drv == &bdrv_no_medium) {
        bdrv_set_io_error("There is no medium in the device");
        return -ENOMEDIUM;
    }
    int64_t length = node_length(bs);
    if (offset > length || bytes > length - offset) {
        bdrv_set_io_error("%" PRId64 " bytes at offset %" PRId64
                          " reach past the end of the device at %" PRId64,
                          bytes, offset, length);
        return -EIO;
    }
    return 0;
}

/* A request for a range begins: 0, or why it cannot be carried out. */
static int enter_range(BlockBackend *blk, int64_t offset, int64_t bytes)
{
    return backend_check_range(backend_enter(blk), offset, bytes);
}

int blk_preadv(BlockBackend *blk, int64_t offset, int64_t bytes,
               const IOVector *iov, unsigned flags)
{
    int ret = enter_range(blk, offset, bytes);

    if (ret == 0) {
        ret = bdrv_preadv(blk->root, offset, bytes, iov, flags);
    }
    backend_leave(blk);
    return ret;
}

int blk_pwritev(BlockBackend *blk, int64_t offset, int64_t bytes,
                const IOVector *iov, unsigned flags)
{
    int ret = enter_range(blk, offset, bytes);

    if (ret == 0) {
        ret = bdrv_pwritev(blk->root, offset, bytes, iov, flags);
    }
    backend_leave(blk);
    return ret;
}

int blk_pread(BlockBackend *blk, int64_t offset, int64_t bytes, void *buf,
              unsigned flags)
{
    int ret = enter_range(blk, offset, bytes);

    if (ret == 0) {
        ret = bdrv_pread(blk->root, offset, bytes, buf, flags);
    }
    backend_leave(blk);
    return ret;
}

int blk_pwrite(BlockBackend *blk, int64_t offset, int64_t bytes,
               const void *buf, unsigned flags)
{
    int ret = enter_range(blk, offset, bytes);

    if (ret == 0) {
        ret = bdrv_pwrite(blk->root, offset, bytes, buf, flags);
    }
    backend_leave(blk);
    return ret;
}

int blk_pwrite_zeroes(BlockBackend *blk, int64_t offset, int64_t bytes,
                      unsigned flags)
{
    int ret = enter_range(blk, offset, bytes);

    if (ret == 0) {
        ret = bdrv_pwrite_zeroes(blk->root, offset, bytes, flags);
    }
    backend_leave(blk);
    return ret;
}

int blk_pdiscard(BlockBackend *blk, int64_t offset, int64_t bytes)
{
    int ret = enter_range(blk, offset, bytes);

    if (ret == 0) {
        ret = bdrv_pdiscard(blk->root, offset, bytes);
    }
    backend_leave(blk);
    return ret;
}

int blk_flush(BlockBackend *blk)
{
    int ret = bdrv_flush(backend_enter(blk));

    backend_leave(blk);
    return ret;
}

static int node_status(BlockDriverState *bs, int64_t offset, int64_t bytes,
                       unsigned want, BdrvBlockStatus *status)
{
    int ret = backend_check_range(bs, offset, bytes > 0 ? 1 : 0);

    if (ret < 0) {
        return ret;
    }
    if (bytes <= 0) {
        bdrv_set_io_error("Block status of %" PRId64 " bytes was asked for",
                          bytes);
        return -EINVAL;
    }
    bytes = MIN(bytes, node_length(bs) - offset);
    return bdrv_block_status(bs, offset, bytes, want, status);
}

int blk_block_status(BlockBackend *blk, int64_t offset, int64_t bytes,
                     unsigned want, BdrvBlockStatus *status)
{
    int ret;

    *status = (BdrvBlockStatus){ 0 };
    ret = node_status(backend_enter(blk), offset, bytes, want, status);
    backend_leave(blk);
    return ret;
}

int blk_truncate(BlockBackend *blk, int64_t size, bool exact,
                 PreallocMode prealloc, GError **errp)
{
    int ret;

    backend_enter(blk);
    ret = bdrv_truncate(blk->root, size, exact, prealloc, errp);
    backend_leave(blk);
    return ret;
}

int blk_make_empty(BlockBackend *blk, GError **errp)
{
    BlockDriverState *bs = backend_enter(blk);
    int ret;

    node_enter(bs);
    if (bs->drv->make_empty == NULL) {
        ret = -ENOTSUP;
        block_error_set(errp, ENOTSUP,
                        "Images of the format '%s' cannot be emptied",
                        bs->drv->format_name);
    } else if ((ret = io_check_write(blk->root, 0, 0, 0)) < 0) {
        g_autofree char *reason = blk_strerror(ret);
        block_error_set(errp, -ret, "Could not empty the image: %s", reason);
    } else {
        ret = bs->drv->make_empty(bs, errp);
        bs->write_generation++;
    }
    node_leave(bs);
    backend_leave(blk);
    return ret;
}

static int change_backing_file(BlockBackend *blk, const char *backing,
                               const char *format, GError **errp)
{
    BlockDriverState *bs = blk_bs(blk);
    int ret;

    node_enter(bs);
    if (bs->drv->change_backing_file == NULL) {
        ret = -ENOTSUP;
        block_error_set(errp, ENOTSUP,
                        bs->drv->supports_backing
                            ? "Images of the format '%s' keep the backing "
                              "file that they were created with"
                            : "Images of the format '%s' have no backing file",
                        bs->drv->format_name);
    } else if ((ret = io_check_write(blk->root, 0, 0, 0)) < 0) {
        g_autofree char *reason = blk_strerror(ret);
        block_error_set(errp, -ret, "Could not change the backing file: %s",
                        reason);
    } else {
        ret = bs->drv->change_backing_file(bs, backing, format, errp);
        bs->write_generation++;
        if (ret == 0) {
            bdrv_set_backing_file(bs, backing, format);
        }
    }
    node_leave(bs);
    return ret;
}

int blk_change_backing_file(BlockBackend *blk, const char *backing,
                            const char *format, GError **errp)
{
    int ret;

    if (format && backing == NULL) {
        block_error_set(errp, EINVAL, "A backing format needs a backing file");
        return -EINVAL;
    }
    backend_enter(blk);
    ret = change_backing_file(blk, backing, format, errp);
    backend_leave(blk);
    return ret;
}

int blk_check(BlockBackend *blk, BdrvCheckResult *result, unsigned fix,
              GError **errp)
{
    BlockDriverState *bs = blk_bs(blk);
    int ret;

    io_error_clear();
    /* What a request is about to refer to would look like a leak. */
    node_drain_begin(bs);
    if (bs->drv->check == NULL) {
        ret = -ENOTSUP;
        block_error_set(errp, ENOTSUP,
                        "Images of the format '%s' cannot be checked",
                        bs->drv->format_name);
    } else if (fix && (ret = io_check_write(blk->root, 0, 0, 0)) < 0) {
        g_autofree char *reason = blk_strerror(ret);
        block_error_set(errp, -ret, "Could not repair the image: %s", reason);
    } else {
        ret = bs->drv->check(bs, result, fix, errp);
        bs->write_generation += fix != 0;
    }
    node_drain_end(bs);
    return ret;
}

int backend_commit(BlockDriverState *bs, BdrvCommitMode mode, GError **errp)
{
    int ret = 0;

    /* Whatever shows the node that has something to commit. */
    while (bs && !bs->drv->commit) {
        bs = node_primary(bs);
    }
    if (bs) {
        node_enter(bs);
        ret = bs->drv->commit(bs, mode, errp);
        node_leave(bs);
    }
    return ret;
}

int blk_commit(BlockBackend *blk, bool finish, GError **errp)
{
    BlockDriverState *bs = backend_enter(blk);
    int ret = backend_commit(bs, finish ? BDRV_COMMIT_FINISH : BDRV_COMMIT_NOW,
                             errp);

    backend_leave(blk);
    return ret;
}
