/* SPDX-License-Identifier: MIT */
/*
 * Between creating a target and opening it nobody holds its lock: another
 * process may empty it, make it another size, even fill it. So it is created
 * empty, and gets its size once it is open and locked.
 *
 * An image with a backing file cannot grow so, for then what is added reads as
 * zeroes rather than as the backing file, and some formats cannot grow at all.
 * Such an image is created in its size, and looked at once it is locked: it
 * must have that size and backing file still, and nothing in it.
 */
#include "tools/image-copy.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "block/driver.h"
#include "tools/host-paths.h"
#include "tools/partial-file.h"
#include "tools/tool-image.h"
#include "tools/tool-output.h"

#define SECTOR_BYTES 512

static bool refuse_relation(HostPathRelation relation, const char *target,
                            const char *what)
{
    switch (relation) {
    case HOST_PATH_APART:
        return true;
    case HOST_PATH_SAME:
        tool_error("'%s' is source and target; choose another target", target);
        return false;
    case HOST_PATH_INSIDE:
        tool_error("The target '%s' lies inside the source directory '%s' "
                   "and would become a part of itself; choose a target "
                   "outside of it",
                   target, what);
        return false;
    case HOST_PATH_AROUND:
        tool_error("The target '%s' is a directory that holds the source "
                   "'%s'; name a file",
                   target, what);
        return false;
    }
    return false;
}

static bool check_apart(const ImageCopy *copy, const char *path)
{
    for (guint i = 0; i < copy_source_count(copy->source); i++) {
        g_autofree char *what = NULL;
        BlockBackend *blk = copy_source_image(copy->source, i);
        HostPathRelation relation = host_path_relation(blk, path, &what);
        if (!refuse_relation(relation, path, what)) {
            return false;
        }
    }
    return true;
}

/* An image that was created has whole sectors. */
static void pad_target(const ImageCopy *copy, CopyTarget *target)
{
    int64_t length = target->blk ? blk_getlength(target->blk) : 0;

    if (!copy->no_create && length > copy->bytes &&
        length - copy->bytes < SECTOR_BYTES) {
        target->data_end = copy->bytes;
        target->pad_end = length;
    }
}

static bool run(const ImageCopy *copy, CopyTarget *target)
{
    CopyJob job = {
        .source = copy->source,
        .target = target,
        .offset = copy->offset,
        .bytes = copy->bytes,
        .sparse_bytes = copy->sparse_bytes,
        .host_copy = copy->host_copy,
        .workers = copy->workers,
        .bytes_per_second = copy->bytes_per_second,
        .salvage = copy->salvage,
        .quiet = copy->quiet,
        .out_of_order = copy->out_of_order && target->blk,
        .wants_progress = copy->wants_progress,
    };
    pad_target(copy, target);
    return copy_run(&job);
}

/* ---- Standard output ---- */

static bool copy_to_stdout(const ImageCopy *copy)
{
    struct stat st;

    if (isatty(STDOUT_FILENO)) {
        tool_error("Will not write an image to a terminal; redirect standard "
                   "output");
        return false;
    }
    if (fstat(STDOUT_FILENO, &st) == 0 && S_ISREG(st.st_mode)) {
        g_autofree char *path = g_file_read_link("/proc/self/fd/1", NULL);
        if (path && !check_apart(copy, path)) {
            return false;
        }
    }
    g_autoptr(CopyTarget) target = copy_target_new_stdout();
    return run(copy, target);
}

/* ---- Images ---- */

static bool fail_converting(const ImageCopy *copy, const GError *error)
{
    tool_error("%s: error while converting %s: %s", copy->target, copy->format,
               error->message);
    return false;
}

static const char *wanted_option(const ImageCopy *copy, const char *name)
{
    return copy->create ? options_get(copy->create, name) : NULL;
}

/* Whether the target can be created empty and then grow. */
static bool can_grow(const ImageCopy *copy)
{
    const BlockDriver *drv = bdrv_find_format(copy->format);

    return drv && drv->truncate && !wanted_option(copy, "backing_file");
}

/* Of what is created in its size: images have whole sectors. */
static int64_t created_bytes(const ImageCopy *copy)
{
    return copy->bytes +
           (SECTOR_BYTES - copy->bytes % SECTOR_BYTES) % SECTOR_BYTES;
}

static bool create_image(const ImageCopy *copy)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Options) options = copy->create ? options_copy(copy->create)
                                              : options_new();

    options_set_int(options, "size", can_grow(copy) ? 0 : created_bytes(copy));
    if (bdrv_create(copy->format, copy->target, options, &error)) {
        return true;
    }
    (void)fail_converting(copy, error);
    if (error->code == ENOTSUP) {
        tool_hint("'convert -n' writes into what exists, such as fat:rw:DIR");
    }
    return false;
}

static bool check_size(const ImageCopy *copy, BlockBackend *blk)
{
    int64_t length = blk_getlength(blk);

    if (length < 0) {
        g_autofree char *reason = blk_strerror((int)length);
        tool_error("Could not get the size of '%s': %s", copy->target, reason);
        return false;
    }
    if (length < copy->bytes) {
        tool_error("output file is smaller than input file");
        tool_hint("'%s' has %" G_GINT64_FORMAT " bytes, and what is copied "
                  "has %" G_GINT64_FORMAT,
                  copy->target, length, copy->bytes);
        return false;
    }
    return true;
}

/* From where on what is not written reads as zeroes. */
static int64_t zero_from(const ImageCopy *copy, BlockBackend *blk)
{
    if (copy->no_create) {
        return copy->target_is_zero ? 0 : COPY_TARGET_NO_ZEROES;
    }
    BdrvChild *backing = bdrv_backing(blk_bs(blk));
    if (backing) {
        int64_t length = bdrv_getlength(bdrv_child_bs(backing));
        return length < 0 ? COPY_TARGET_NO_ZEROES : length;
    }
    return blk_has_zero_init(blk) ? 0 : COPY_TARGET_NO_ZEROES;
}

/* Owns blk. */
static CopyTarget *target_of(const ImageCopy *copy, BlockBackend *blk)
{
    g_autofree char *name = blk_get_filename(blk);
    CopyTarget *target = copy_target_new_image(
        blk, copy->target_image_opts ? name : copy->target);

    target->zero_from = zero_from(copy, blk);
    target->compress = copy->compress;
    return target;
}

static bool check_compression(const ImageCopy *copy, BlockBackend *blk)
{
    if (copy->compress && !(blk_get_limits(blk).supported_write_flags &
                            BDRV_REQ_WRITE_COMPRESSED)) {
        tool_error("Compression not supported for this file format");
        return false;
    }
    return true;
}

/* A directory changes while it is written to: it cannot be read, nor what is
 * in it. */
static bool check_directory(const ImageCopy *copy, BlockBackend *blk)
{
    g_autoptr(BdrvInfo) info = blk_get_info(blk, NULL);
    const char *dir = info && info->specific
                          ? options_get(info->specific, "directory")
                          : NULL;

    for (guint i = 0; dir && i < copy_source_count(copy->source); i++) {
        g_autofree char *what = NULL;

        if (host_path_relation(copy_source_image(copy->source, i), dir,
                               &what) != HOST_PATH_APART) {
            tool_error("The source lies in the directory '%s' that is to be "
                       "written to, or is a part of it",
                       dir);
            return false;
        }
    }
    return true;
}

/* What was copied over a directory's disk must have its layout. */
static bool finish_existing(BlockBackend *blk, const char *name)
{
    g_autoptr(BdrvInfo) info = NULL;

    if (image_finish(blk, name)) {
        return true;
    }
    info = blk_get_info(blk, NULL);
    if (info && info->specific &&
        options_get(info->specific, "commit.suspended")) {
        tool_hint("The image must have the layout of the directory's disk, as "
                  "one that was made of it has: the same size= and type. "
                  "'vvfat-img extract' takes the files out of any image");
    }
    return false;
}

static bool copy_to_existing(const ImageCopy *copy)
{
    BlockBackend *blk = image_open_target(
        copy->target, copy->format, copy->target_image_opts, copy->cache);
    if (!blk) {
        return false;
    }
    g_autoptr(CopyTarget) target = target_of(copy, blk);
    bool ok = check_directory(copy, blk) && check_compression(copy, blk) &&
              check_size(copy, blk) && run(copy, target);
    return finish_existing(blk, target->name) && ok;
}

/* The driver has judged the value when it created the image. */
static PreallocMode wanted_prealloc(const ImageCopy *copy)
{
    const char *value = wanted_option(copy, "preallocation");

    if (g_strcmp0(value, "metadata") == 0) {
        return PREALLOC_MODE_METADATA;
    }
    if (g_strcmp0(value, "falloc") == 0) {
        return PREALLOC_MODE_FALLOC;
    }
    return g_strcmp0(value, "full") == 0 ? PREALLOC_MODE_FULL
                                         : PREALLOC_MODE_OFF;
}

/* A file is emptied before; a device has the size it has. */
static bool set_size(const ImageCopy *copy, BlockBackend *blk)
{
    g_autoptr(GError) error = NULL;
    bool is_file = blk_has_zero_init(blk);

    if ((is_file &&
         blk_truncate(blk, 0, false, PREALLOC_MODE_OFF, &error) < 0) ||
        blk_truncate(blk, copy->bytes, false,
                     is_file ? wanted_prealloc(copy) : PREALLOC_MODE_OFF,
                     &error) < 0) {
        return fail_converting(copy, error);
    }
    return true;
}

/* Whether nothing was written into an image without size changes. */
static bool is_empty(BlockBackend *blk, int64_t length)
{
    for (int64_t offset = 0; offset < length;) {
        g_auto(BdrvBlockStatus) status = { 0 };
        if (blk_block_status(blk, offset, length - offset, 0, &status) < 0 ||
            (status.depth == 0 && (status.flags & BDRV_BLOCK_DATA))) {
            return false;
        }
        offset += status.bytes;
    }
    return true;
}

static bool check_untouched(const ImageCopy *copy, BlockBackend *blk)
{
    g_autoptr(BdrvInfo) info = blk_get_info(blk, NULL);

    if (!info || info->virtual_size != created_bytes(copy) ||
        g_strcmp0(info->backing_filename,
                  wanted_option(copy, "backing_file")) != 0 ||
        !is_empty(blk, info->virtual_size)) {
        tool_error("'%s' was changed by another program meanwhile",
                   copy->target);
        return false;
    }
    return true;
}

static bool prepare_created(const ImageCopy *copy, BlockBackend *blk)
{
    return check_compression(copy, blk) &&
           (can_grow(copy) ? set_size(copy, blk)
                           : check_untouched(copy, blk)) &&
           check_size(copy, blk);
}

static bool copy_to_created(const ImageCopy *copy)
{
    BlockBackend *blk = image_open_created(copy->target, copy->format,
                                           copy->cache);
    if (!blk) {
        return false;
    }
    g_autoptr(CopyTarget) target = target_of(copy, blk);
    if (!partial_file_own()) {
        tool_error("'%s' was replaced by another file meanwhile; it is left "
                   "alone",
                   copy->target);
        return false;
    }
    bool ok = prepare_created(copy, blk) && run(copy, target);
    /* Closing a format writes the tables that it holds: not into a file that
     * was emptied. */
    bool at_rest = !partial_file_is_lost(ok) || blk_flush(blk) == 0;
    partial_file_settle(ok, at_rest);
    return ok;
}

static bool copy_to_new(const ImageCopy *copy)
{
    bool ok = false;

    partial_file_begin(host_path_of(copy->target));
    if (create_image(copy)) {
        partial_file_created();
        ok = copy_to_created(copy);
    }
    partial_file_end();
    return ok;
}

bool image_copy(const ImageCopy *copy)
{
    copy->source->backing_depth = copy->has_backing ? 1 : 0;
    if (!copy->target_image_opts && g_str_equal(copy->target, "-")) {
        return copy_to_stdout(copy);
    }
    if (!copy->target_image_opts &&
        !check_apart(copy, host_path_of(copy->target))) {
        return false;
    }
    return copy->no_create ? copy_to_existing(copy) : copy_to_new(copy);
}
