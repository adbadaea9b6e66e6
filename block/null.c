/* SPDX-License-Identifier: MIT */
/*
 * The "null" driver: a device that forgets what is written and reads as
 * zeroes, for measuring everything around it. Its state does not change after
 * opening, so there is nothing to lock.
 */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "block/drivers.h"

#define NULL_MAX_LATENCY_NS UINT64_C(3600000000000) /* an hour */

typedef struct NullState {
    int64_t size;
    uint64_t latency_ns;
    bool read_zeroes;
} NullState;

static const OptionDesc null_options[] = {
    { .name = "size",
      .type = OPTION_SIZE,
      .def = "1G",
      .help = "size of the device" },
    { .name = "read-zeroes",
      .type = OPTION_BOOL,
      .def = "on",
      .help = "reads give zeroes (off: they leave the buffer alone, for "
              "benchmarks)" },
    { .name = "latency-ns",
      .type = OPTION_NUMBER,
      .def = "0",
      .max = NULL_MAX_LATENCY_NS,
      .help = "nanoseconds that each request takes" },
    { .name = NULL },
};

static bool null_parse_filename(const char *filename, Options *options,
                                GError **errp)
{
    (void)options;
    if (strcmp(filename, "null:") != 0) {
        block_error_set(errp, EINVAL,
                        "'%s': nothing may follow 'null:'; its options are "
                        "size, read-zeroes and latency-ns",
                        filename);
        return false;
    }
    return true;
}

static bool null_open(BlockDriverState *bs, Options *options, unsigned flags,
                      GError **errp)
{
    NullState *s = bdrv_opaque(bs);
    g_autoptr(OptionValues) values = NULL;

    values = option_values_absorb(null_options, options, errp);
    (void)flags;
    if (values == NULL) {
        return false;
    }
    s->size = (int64_t)option_values_size(values, "size");
    s->latency_ns = option_values_number(values, "latency-ns");
    s->read_zeroes = option_values_bool(values, "read-zeroes");
    return true;
}

static void null_close(BlockDriverState *bs)
{
    (void)bs;
}

static int64_t null_getlength(BlockDriverState *bs)
{
    const NullState *s = bdrv_opaque(bs);

    return s->size;
}

static int64_t null_get_allocated_size(BlockDriverState *bs)
{
    (void)bs;
    return 0;
}

static int null_wait(BlockDriverState *bs)
{
    const NullState *s = bdrv_opaque(bs);
    struct timespec left = {
        .tv_sec = (time_t)(s->latency_ns / 1000000000u),
        .tv_nsec = (long)(s->latency_ns % 1000000000u),
    };

    while (s->latency_ns > 0 && nanosleep(&left, &left) < 0 &&
           errno == EINTR) {
    }
    return 0;
}

static int null_preadv(BlockDriverState *bs, int64_t offset, int64_t bytes,
                       const IOVector *iov, unsigned flags)
{
    const NullState *s = bdrv_opaque(bs);

    (void)offset;
    (void)flags;
    if (s->read_zeroes) {
        iov_memset(iov, 0, 0, (size_t)bytes);
    }
    return null_wait(bs);
}

static int null_pwritev(BlockDriverState *bs, int64_t offset, int64_t bytes,
                        const IOVector *iov, unsigned flags)
{
    (void)offset;
    (void)bytes;
    (void)iov;
    (void)flags;
    return null_wait(bs);
}

static int null_pwrite_zeroes(BlockDriverState *bs, int64_t offset,
                              int64_t bytes, unsigned flags)
{
    (void)offset;
    (void)bytes;
    (void)flags;
    return null_wait(bs);
}

static int null_pdiscard(BlockDriverState *bs, int64_t offset, int64_t bytes)
{
    (void)offset;
    (void)bytes;
    return null_wait(bs);
}

static int null_block_status(BlockDriverState *bs, unsigned want,
                             int64_t offset, int64_t bytes,
                             BdrvBlockStatus *status)
{
    const NullState *s = bdrv_opaque(bs);

    (void)want;
    status->flags = BDRV_BLOCK_ALLOCATED | BDRV_BLOCK_OFFSET_VALID |
                    (s->read_zeroes ? BDRV_BLOCK_ZERO : BDRV_BLOCK_DATA);
    status->bytes = bytes;
    status->map = offset;
    status->file = bs;
    return 0;
}

static void null_refresh_limits(BlockDriverState *bs, BdrvLimits *limits)
{
    (void)bs;
    limits->supported_write_flags = BDRV_REQ_FUA;
    limits->supported_zero_flags = BDRV_REQ_FUA | BDRV_REQ_MAY_UNMAP |
                                   BDRV_REQ_NO_FALLBACK;
}

static bool null_has_zero_init(BlockDriverState *bs)
{
    const NullState *s = bdrv_opaque(bs);

    return s->read_zeroes;
}

static const char *const null_strong_opts[] = { "size", NULL };

const BlockDriver bdrv_null = {
    .format_name = "null",
    .protocol_name = "null",
    .instance_size = sizeof(NullState),
    .generated = true,
    .options = null_options,
    .strong_runtime_opts = null_strong_opts,
    .parse_filename = null_parse_filename,
    .open = null_open,
    .close = null_close,
    .refresh_limits = null_refresh_limits,
    .getlength = null_getlength,
    .get_allocated_size = null_get_allocated_size,
    .preadv = null_preadv,
    .pwritev = null_pwritev,
    .pwrite_zeroes = null_pwrite_zeroes,
    .pdiscard = null_pdiscard,
    .flush = null_wait,
    .block_status = null_block_status,
    .has_zero_init = null_has_zero_init,
};
