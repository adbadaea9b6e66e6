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

int backend_check_range(BlockBackend *blk, int64_t offset, int64_t bytes)
{
    BlockDriverState *bs = blk_bs(blk);

    io_error_clear();
    int ret = io_check_range(bs, offset, bytes);
    if (ret < 0) {
        return ret;
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

int blk_preadv(BlockBackend *blk, int64_t offset, int64_t bytes,
               const IOVector *iov, unsigned flags)
{
    int ret = backend_check_range(blk, offset, bytes);

    return ret < 0 ? ret : bdrv_preadv(blk->root, offset, bytes, iov, flags);
}

int blk_pwritev(BlockBackend *blk, int64_t offset, int64_t bytes,
                const IOVector *iov, unsigned flags)
{
    int ret = backend_check_range(blk, offset, bytes);

    return ret < 0 ? ret : bdrv_pwritev(blk->root, offset, bytes, iov, flags);
}

int blk_pread(BlockBackend *blk, int64_t offset, int64_t bytes, void *buf,
              unsigned flags)
{
    int ret = backend_check_range(blk, offset, bytes);

    return ret < 0 ? ret : bdrv_pread(blk->root, offset, bytes, buf, flags);
}

int blk_pwrite(BlockBackend *blk, int64_t offset, int64_t bytes,
               const void *buf, unsigned flags)
{
    int ret = backend_check_range(blk, offset, bytes);

    return ret < 0 ? ret : bdrv_pwrite(blk->root, offset, bytes, buf, flags);
}

int blk_pwrite_zeroes(BlockBackend *blk, int64_t offset, int64_t bytes,
                      unsigned flags)
{
    int ret = backend_check_range(blk, offset, bytes);

    return ret < 0 ? ret : bdrv_pwrite_zeroes(blk->root, offset, bytes, flags);
}

int blk_pdiscard(BlockBackend *blk, int64_t offset, int64_t bytes)
{
    int ret = backend_check_range(blk, offset, bytes);

    return ret < 0 ? ret : bdrv_pdiscard(blk->root, offset, bytes);
}

int blk_flush(BlockBackend *blk)
{
    io_error_clear();
    return bdrv_flush(blk_bs(blk));
}

int blk_block_status(BlockBackend *blk, int64_t offset, int64_t bytes,
                     unsigned want, BdrvBlockStatus *status)
{
    int64_t length = blk_getlength(blk);
    int ret = backend_check_range(blk, offset, bytes > 0 ? 1 : 0);

    *status = (BdrvBlockStatus){ 0 };
    if (ret < 0) {
        return ret;
    }
    if (bytes <= 0) {
        bdrv_set_io_error("Block status of %" PRId64 " bytes was asked for",
                          bytes);
        return -EINVAL;
    }
    bytes = MIN(bytes, length - offset);
    return bdrv_block_status(blk_bs(blk), offset, bytes, want, status);
}

int blk_truncate(BlockBackend *blk, int64_t size, bool exact,
                 PreallocMode prealloc, GError **errp)
{
    io_error_clear();
    return bdrv_truncate(blk->root, size, exact, prealloc, errp);
}

int blk_make_empty(BlockBackend *blk, GError **errp)
{
    BlockDriverState *bs = blk_bs(blk);
    int ret;

    io_error_clear();
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
    return ret;
}

int blk_change_backing_file(BlockBackend *blk, const char *backing,
                            const char *format, GError **errp)
{
    BlockDriverState *bs = blk_bs(blk);
    int ret;

    io_error_clear();
    if (format && backing == NULL) {
        block_error_set(errp, EINVAL, "A backing format needs a backing file");
        return -EINVAL;
    }
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

int blk_commit(BlockBackend *blk, bool finish, GError **errp)
{
    BlockDriverState *bs = blk_bs(blk);
    int ret = 0;

    io_error_clear();
    /* Whatever shows the node that has something to commit. */
    while (bs && !bs->drv->commit) {
        bs = node_primary(bs);
    }
    if (bs) {
        node_enter(bs);
        ret = bs->drv->commit(bs, finish, errp);
        node_leave(bs);
    }
    return ret;
}
