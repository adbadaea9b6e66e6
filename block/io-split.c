/* SPDX-License-Identifier: MIT */
/* One request as the calls that the driver can take, of max_transfer bytes. */
#include <errno.h>

#include "block/io.h"

int64_t io_piece(int64_t bytes, int64_t limit, int64_t alignment)
{
    if (limit <= 0 || bytes <= limit) {
        return bytes;
    }
    return MAX(limit - limit % alignment, alignment);
}

typedef int DriverTransfer(BlockDriverState *bs, int64_t offset, int64_t bytes,
                           const IOVector *iov, unsigned flags);

static int transfer(BlockDriverState *bs, DriverTransfer *call, int64_t offset,
                    int64_t bytes, const IOVector *iov, unsigned flags)
{
    const BdrvLimits *limits = &bs->limits;
    int64_t done = 0;

    if (call == NULL) {
        bdrv_set_io_error("Driver '%s' cannot do this", bs->drv->format_name);
        return -ENOTSUP;
    }
    if (limits->max_transfer <= 0 || bytes <= limits->max_transfer) {
        return call(bs, offset, bytes, iov, flags);
    }
    while (done < bytes) {
        int64_t piece = io_piece(bytes - done, limits->max_transfer,
                                 limits->request_alignment);
        g_auto(IOVector) part;

        iov_init_slice(&part, iov, (size_t)done, (size_t)piece);
        int ret = call(bs, offset + done, piece, &part, flags);
        if (ret < 0) {
            return ret;
        }
        done += piece;
    }
    return 0;
}

int driver_preadv(BlockDriverState *bs, int64_t offset, int64_t bytes,
                  const IOVector *iov)
{
    return transfer(bs, bs->drv->preadv, offset, bytes, iov, 0);
}

int driver_pwritev(BlockDriverState *bs, int64_t offset, int64_t bytes,
                   const IOVector *iov, unsigned flags)
{
    return transfer(bs, bs->drv->pwritev, offset, bytes, iov,
                    flags & bs->limits.supported_write_flags);
}
