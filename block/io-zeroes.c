/* SPDX-License-Identifier: MIT */
/*
 * Making a range read as zeroes. Partial blocks at the ends are read-modify-
 * writes; whole ones go to the driver, where it can, in its own units; what it
 * cannot is written from a buffer of zeroes.
 */
#include <errno.h>

#include "block/io.h"
#include "block/probe.h"
#include "block/request.h"

#define ZERO_BUFFER_BYTES (64 * 1024)
#define ZERO_WRITE_BYTES (1024 * 1024)

/* Never written. Aligned for drivers that do direct I/O. */
static uint8_t zero_buffer[ZERO_BUFFER_BYTES] __attribute__((aligned(4096)));

/* How far a request for zeroes got, and what is left to do for FUA. */
typedef struct ZeroRequest {
    BlockDriverState *bs;
    unsigned flags;
    int64_t length;     /* where the node ends for its driver */
    bool driver_cannot; /* it said -ENOTSUP */
    bool needs_flush;   /* FUA was asked for where it is not supported */
} ZeroRequest;

static void zero_vector_init(IOVector *iov, int64_t bytes)
{
    iov_init(iov);
    while (bytes > 0) {
        size_t part = (size_t)MIN(bytes, ZERO_BUFFER_BYTES);

        iov_add(iov, zero_buffer, part);
        bytes -= (int64_t)part;
    }
}

/* Write zeroes as data, aligned or not. */
static int write_zeroes(ZeroRequest *zero, int64_t offset, int64_t bytes)
{
    int ret = 0;

    if (zero->flags & BDRV_REQ_FUA & ~zero->bs->limits.supported_write_flags) {
        zero->needs_flush = true;
    }
    while (ret == 0 && bytes > 0) {
        int64_t piece = MIN(bytes, ZERO_WRITE_BYTES);
        g_auto(IOVector) iov;

        zero_vector_init(&iov, piece);
        ret = node_write_padded(zero->bs, offset, piece, &iov,
                                zero->flags & BDRV_REQ_FUA);
        offset += piece;
        bytes -= piece;
    }
    return ret;
}

/*
 * How many bytes from offset on the driver can zero in one call; 0 if they
 * are to be written up to its next unit, which sets *written.
 */
static int64_t driver_piece(const ZeroRequest *zero, int64_t offset,
                            int64_t bytes, int64_t *written)
{
    const BdrvLimits *limits = &zero->bs->limits;
    int64_t unit = MAX(limits->pwrite_zeroes_alignment,
                       limits->request_alignment);
    int64_t ahead = offset % unit;

    *written = MIN(bytes, ahead ? unit - ahead : bytes);
    if (zero->driver_cannot || zero->bs->drv->pwrite_zeroes == NULL) {
        *written = bytes;
        return 0;
    }
    if (ahead) {
        return 0;
    }
    if (offset + bytes < zero->length) {
        bytes -= bytes % unit;
    }
    return io_piece(bytes, limits->max_pwrite_zeroes, unit);
}

/* Whole blocks. */
static int zero_blocks(ZeroRequest *zero, int64_t offset, int64_t bytes)
{
    BlockDriverState *bs = zero->bs;
    unsigned native = bs->limits.supported_zero_flags;

    while (bytes > 0) {
        int64_t piece, written;
        int ret;

        piece = driver_piece(zero, offset, bytes, &written);
        if (piece > 0) {
            ret = bs->drv->pwrite_zeroes(bs, offset, piece,
                                         zero->flags & native);
            if (ret == -ENOTSUP && !(zero->flags & BDRV_REQ_NO_FALLBACK)) {
                zero->driver_cannot = true;
                io_error_clear(); /* its words are no longer the reason */
                continue;
            }
            if (ret == 0 && (zero->flags & BDRV_REQ_FUA & ~native)) {
                zero->needs_flush = true;
            }
        } else if (zero->flags & BDRV_REQ_NO_FALLBACK) {
            ret = -ENOTSUP;
        } else {
            piece = written;
            ret = write_zeroes(zero, offset, piece);
        }
        if (ret < 0) {
            return ret;
        }
        offset += piece;
        bytes -= piece;
    }
    return 0;
}

/* Head, whole blocks, tail. */
static int zero_range(ZeroRequest *zero, int64_t offset, int64_t bytes)
{
    int64_t mask = (int64_t)zero->bs->limits.request_alignment - 1;
    int64_t end = offset + bytes;
    int64_t first = (offset + mask) & ~mask;
    int64_t last = end == zero->length ? end : end & ~mask;
    int ret = 0;

    if (first > last || (first == last && first != offset)) {
        return write_zeroes(zero, offset, bytes);
    }
    if (offset < first) {
        ret = write_zeroes(zero, offset, first - offset);
    }
    if (ret == 0 && first < last) {
        ret = zero_blocks(zero, first, last - first);
    }
    if (ret == 0 && last < end) {
        ret = write_zeroes(zero, last, end - last);
    }
    return ret;
}

/*
 * The part of the range past the end: a longer node has zeroes there. Bytes
 * left to do, up to the old end, or -errno.
 */
static int64_t zero_by_growing(ZeroRequest *zero, int64_t offset,
                               int64_t bytes)
{
    BlockDriverState *bs = zero->bs;
    int64_t length = node_length(bs);
    g_autoptr(GError) error = NULL;

    if (offset + bytes <= length) {
        return bytes;
    }
    int ret = bs->drv->truncate(bs, offset + bytes, false, PREALLOC_MODE_OFF,
                                &error);
    if (ret < 0) {
        bdrv_set_io_error("%s", error ? error->message : g_strerror(-ret));
        return ret;
    }
    node_written(bs, offset + bytes, 0);
    zero->length = node_length(bs);
    zero->needs_flush = (zero->flags & BDRV_REQ_FUA) != 0;
    return MAX(length - offset, 0);
}

int node_zero_new_part(BlockDriverState *bs, int64_t offset, int64_t bytes,
                       int64_t length)
{
    ZeroRequest zero = { .bs = bs, .length = length };

    return zero_range(&zero, offset, bytes);
}

/*
 * The same for a driver that does not grow by writing: before the request is
 * tracked, since resizing is a request of its own.
 */
static int64_t zero_by_resizing(ZeroRequest *zero, int64_t offset,
                                int64_t bytes)
{
    int64_t length = node_length(zero->bs);

    if (zero->bs->drv->grows_by_write || offset + bytes <= length) {
        return bytes;
    }
    int ret = node_grow(zero->bs, offset + bytes);
    zero->needs_flush = (zero->flags & BDRV_REQ_FUA) != 0;
    return ret < 0 ? ret : MAX(length - offset, 0);
}

/* While a request covers the range. */
static int zero_tracked(ZeroRequest *zero, int64_t offset, int64_t bytes)
{
    zero->length = node_length(zero->bs);
    bytes = zero_by_growing(zero, offset, bytes);
    return bytes > 0 ? zero_range(zero, offset, bytes) : (int)bytes;
}

int node_pwrite_zeroes(BlockDriverState *bs, int64_t offset, int64_t bytes,
                       unsigned flags)
{
    int64_t mask = (int64_t)bs->limits.request_alignment - 1;
    int64_t end = offset + bytes;
    ZeroRequest zero = { .bs = bs, .flags = node_request_flags(bs, flags) };
    TrackedRequest req;

    if (!(bs->open_flags & BDRV_O_UNMAP)) {
        zero.flags &= ~BDRV_REQ_MAY_UNMAP;
    }
    /* A driver that does not know the flag may be slow itself. */
    if (flags & BDRV_REQ_NO_FALLBACK & ~bs->limits.supported_zero_flags) {
        return -ENOTSUP;
    }
    bytes = zero_by_resizing(&zero, offset, bytes);
    if (bytes < 0) {
        return (int)bytes;
    }
    int ret = 0;
    bool guarded = probe_guard_covers(bs, offset);
    bool growing = offset + bytes > node_length(bs);
    bool tracked = guarded || growing || mask > 0;
    /* Growing must not cut off what others write further behind. */
    int64_t tracked_end = growing ? BDRV_MAX_LENGTH : offset + bytes;
    if (guarded) {
        probe_guard_begin(&req, bs, tracked_end);
        ret = probe_guard_write(bs, offset, bytes, NULL);
    } else if (tracked) {
        request_begin(&req, bs, offset, tracked_end,
                      growing || ((offset | bytes) & mask) != 0);
    }
    if (ret == 0) {
        ret = zero_tracked(&zero, offset, bytes);
    }
    node_written(bs, end, ret);
    if (tracked) {
        request_end(&req);
    }
    if (ret == 0 && zero.needs_flush) {
        ret = node_flush(bs);
    }
    return ret;
}
