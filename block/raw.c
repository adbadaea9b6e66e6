/* SPDX-License-Identifier: MIT */
/*
 * The "raw" driver: the bytes of the image are the bytes of the device; with
 * `offset` and `size`, a window into them. Nothing is locked: the window does
 * not change after opening.
 *
 * Without a window the node is a filter in all but name, and takes of its
 * child exactly what its own parents need. That goes for a window too: raw has
 * no metadata that would need more.
 */
#include <errno.h>
#include <string.h>

#include "block/drivers.h"
#include "block/file-posix.h"

typedef struct RawState {
    BdrvChild *file;
    int64_t offset;
    int64_t size;  /* of the window, with has_size */
    bool has_size; /* else everything from offset on */
} RawState;

static const OptionDesc raw_options[] = {
    { .name = "offset",
      .type = OPTION_SIZE,
      .help = "where in the image the device begins" },
    { .name = "size",
      .type = OPTION_SIZE,
      .help = "size of the device (default: up to the end of the image)" },
    { .name = NULL },
};

/* Anything can be a raw image; whoever recognises it wins. */
static int raw_probe(const uint8_t *buf, size_t size, const char *filename)
{
    (void)buf;
    (void)size;
    (void)filename;
    return 1;
}

static bool check_window(BlockDriverState *bs, GError **errp)
{
    const RawState *s = bdrv_opaque(bs);
    int64_t length = bdrv_getlength(bdrv_child_bs(s->file));

    if (length < 0) {
        block_error_set_errno(errp, (int)-length,
                              "Could not find the size of the image");
        return false;
    }
    if (s->offset > length) {
        block_error_set(errp, EINVAL,
                        "Option offset (%" G_GINT64_FORMAT
                        ") lies behind the end of the image, which has "
                        "%" G_GINT64_FORMAT " bytes",
                        s->offset, length);
        return false;
    }
    if (s->has_size && s->size > length - s->offset) {
        block_error_set(errp, EINVAL,
                        "Option size (%" G_GINT64_FORMAT
                        ") is more than the image has behind offset "
                        "%" G_GINT64_FORMAT ": %" G_GINT64_FORMAT " bytes",
                        s->size, s->offset, length - s->offset);
        return false;
    }
    return true;
}

static bool raw_open(BlockDriverState *bs, Options *options, unsigned flags,
                     GError **errp)
{
    RawState *s = bdrv_opaque(bs);
    g_autoptr(OptionValues) values = NULL;

    values = option_values_absorb(raw_options, options, errp);
    (void)flags;
    if (values == NULL) {
        return false;
    }
    s->offset = (int64_t)option_values_size(values, "offset");
    s->size = (int64_t)option_values_size(values, "size");
    s->has_size = option_values_given(values, "size");

    bool window = s->offset > 0 || s->has_size;
    unsigned role = window ? BDRV_CHILD_DATA | BDRV_CHILD_PRIMARY
                           : BDRV_CHILD_FILTERED | BDRV_CHILD_PRIMARY;
    s->file = bdrv_open_child(bs, options, "file", &child_of_bds, role, false,
                              errp);
    return s->file != NULL && (!window || check_window(bs, errp));
}

static void raw_close(BlockDriverState *bs)
{
    (void)bs; /* the core detaches the child */
}

static int64_t raw_getlength(BlockDriverState *bs)
{
    const RawState *s = bdrv_opaque(bs);
    int64_t length = bdrv_getlength(bdrv_child_bs(s->file));

    if (length < 0 || s->has_size) {
        return length < 0 ? length : s->size;
    }
    return MAX(length - s->offset, 0);
}

/*
 * From the device's offset to the image's. A range outside the window gives
 * -EIO for reading, and -ENOSPC for writing, as a full device would.
 */
static int map_range(const RawState *s, int64_t *offset, int64_t bytes,
                     bool writing)
{
    int outside = writing ? -ENOSPC : -EIO;

    if (s->has_size && (*offset > s->size || bytes > s->size - *offset)) {
        return outside;
    }
    if (*offset > INT64_MAX - s->offset ||
        bytes > INT64_MAX - s->offset - *offset) {
        return outside;
    }
    *offset += s->offset;
    return 0;
}

static int raw_preadv(BlockDriverState *bs, int64_t offset, int64_t bytes,
                      const IOVector *iov, unsigned flags)
{
    const RawState *s = bdrv_opaque(bs);
    int ret = map_range(s, &offset, bytes, false);

    return ret < 0 ? ret : bdrv_preadv(s->file, offset, bytes, iov, flags);
}

static int raw_pwritev(BlockDriverState *bs, int64_t offset, int64_t bytes,
                       const IOVector *iov, unsigned flags)
{
    const RawState *s = bdrv_opaque(bs);
    int ret = map_range(s, &offset, bytes, true);

    return ret < 0 ? ret : bdrv_pwritev(s->file, offset, bytes, iov, flags);
}

static int raw_pwrite_zeroes(BlockDriverState *bs, int64_t offset,
                             int64_t bytes, unsigned flags)
{
    const RawState *s = bdrv_opaque(bs);
    int ret = map_range(s, &offset, bytes, true);

    return ret < 0 ? ret : bdrv_pwrite_zeroes(s->file, offset, bytes, flags);
}

static int raw_pdiscard(BlockDriverState *bs, int64_t offset, int64_t bytes)
{
    const RawState *s = bdrv_opaque(bs);
    int ret = map_range(s, &offset, bytes, true);

    return ret < 0 ? ret : bdrv_pdiscard(s->file, offset, bytes);
}

static int raw_block_status(BlockDriverState *bs, unsigned want,
                            int64_t offset, int64_t bytes,
                            BdrvBlockStatus *status)
{
    const RawState *s = bdrv_opaque(bs);
    int ret = map_range(s, &offset, bytes, false);

    (void)want;
    if (ret < 0) {
        return ret;
    }
    status->flags = BDRV_BLOCK_RAW | BDRV_BLOCK_OFFSET_VALID;
    status->bytes = bytes;
    status->map = offset;
    status->file = bdrv_child_bs(s->file);
    return 0;
}

static int raw_copy_range_from(BlockDriverState *bs, int64_t offset,
                               BlockDriverState *dst, int64_t dst_offset,
                               int64_t bytes, unsigned flags)
{
    const RawState *s = bdrv_opaque(bs);
    int ret = map_range(s, &offset, bytes, false);

    return ret < 0 ? ret
                   : bdrv_copy_range_from_child(s->file, offset, dst,
                                                dst_offset, bytes, flags);
}

static int raw_copy_range_to(BlockDriverState *bs, int fd, int64_t fd_offset,
                             int64_t offset, int64_t bytes, unsigned flags)
{
    const RawState *s = bdrv_opaque(bs);
    int ret = map_range(s, &offset, bytes, true);

    return ret < 0 ? ret
                   : bdrv_copy_range_to_child(s->file, fd, fd_offset, offset,
                                              bytes, flags);
}

static int raw_truncate(BlockDriverState *bs, int64_t size, bool exact,
                        PreallocMode prealloc, GError **errp)
{
    const RawState *s = bdrv_opaque(bs);

    if (s->has_size) {
        block_error_set(errp, ENOTSUP,
                        "Cannot resize a raw image opened with a fixed size; "
                        "open it without the option size");
        return -ENOTSUP;
    }
    if (size > INT64_MAX - s->offset) {
        block_error_set(errp, EFBIG,
                        "The image cannot have %" G_GINT64_FORMAT
                        " bytes behind offset %" G_GINT64_FORMAT,
                        size, s->offset);
        return -EFBIG;
    }
    return bdrv_truncate(s->file, size + s->offset, exact, prealloc, errp);
}

static void raw_refresh_limits(BlockDriverState *bs, BdrvLimits *limits)
{
    (void)bs;
    /* Flags are passed on: the child's core does what its driver cannot. */
    limits->supported_write_flags = BDRV_REQ_FUA;
    limits->supported_zero_flags = BDRV_REQ_FUA | BDRV_REQ_MAY_UNMAP |
                                   BDRV_REQ_NO_FALLBACK;
}

static void raw_child_perm(BlockDriverState *bs, BdrvChild *child,
                           unsigned role, unsigned perm, unsigned shared,
                           unsigned *nperm, unsigned *nshared)
{
    (void)bs;
    (void)child;
    (void)role;
    *nperm = perm;
    *nshared = shared;
}

static bool raw_create(const char *filename, Options *options, GError **errp)
{
    return bdrv_create("file", filename, options, errp);
}

static bool raw_measure(Options *options, BlockDriverState *source,
                        BdrvMeasure *measure, GError **errp)
{
    g_autoptr(OptionValues) values = NULL;

    values = option_values_absorb(file_create_options, options, errp);
    if (values == NULL) {
        return false;
    }
    int64_t size = source != NULL
                       ? bdrv_getlength(source)
                       : (int64_t)option_values_size(values, "size");
    if (size < 0) {
        block_error_set_errno(errp, (int)-size,
                              "Could not find the size of the source");
        return false;
    }
    measure->required = (uint64_t)size;
    measure->fully_allocated = (uint64_t)size;
    return true;
}

static const char *const raw_strong_opts[] = { "offset", "size", NULL };

const BlockDriver bdrv_raw = {
    .format_name = "raw",
    .instance_size = sizeof(RawState),
    .is_format = true,
    .grows_by_write = true,
    .writable_probe = true,
    .options = raw_options,
    .create_options = file_create_options,
    .strong_runtime_opts = raw_strong_opts,
    .probe = raw_probe,
    .open = raw_open,
    .close = raw_close,
    .create = raw_create,
    .refresh_limits = raw_refresh_limits,
    .getlength = raw_getlength,
    .preadv = raw_preadv,
    .pwritev = raw_pwritev,
    .pwrite_zeroes = raw_pwrite_zeroes,
    .pdiscard = raw_pdiscard,
    .truncate = raw_truncate,
    .block_status = raw_block_status,
    .copy_range_from = raw_copy_range_from,
    .copy_range_to = raw_copy_range_to,
    .measure = raw_measure,
    .child_perm = raw_child_perm,
};
