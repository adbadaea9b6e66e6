/* SPDX-License-Identifier: MIT */
/*
 * vvfat-img rebase: another backing file below an image.
 *
 * Safe mode keeps what the image shows: where it has nothing itself, and the
 * old and the new backing file differ, it gets what the old one has. Read
 * through the image that is just what the image reads as, so the old chain
 * needs no handle of its own. Nothing changes for a reader until the record
 * does, which is last, after a flush: the image is whole whenever this stops.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block/block.h"
#include "tools/image-chain.h"
#include "tools/partial-file.h"
#include "tools/progress.h"
#include "tools/tool-args.h"
#include "tools/tool-image.h"
#include "tools/tool-output.h"

#define BUFFER_BYTES ((int64_t)2 << 20)
#define MIN_UNIT_BYTES 4096

typedef struct Rebase {
    const char *name;
    ImageArgs args;      /* cache: of the image */
    const char *backing; /* -b; "": none */
    const char *format;  /* -F, or NULL */
    const char *backing_cache;
    bool unsafe, wants_progress;

    BlockBackend *image;
    int64_t length;            /* of image */
    BlockBackend *new_backing; /* NULL: none */
    int64_t new_bytes;         /* of new_backing */
    int depth;    /* of the new backing file in the old chain; 0: not in it */
    int64_t unit; /* compared and written as a whole: a cluster */
    uint8_t *old_data, *new_data; /* BUFFER_BYTES */
    Progress progress;
} Rebase;

/* ---- Errors ---- */

static bool fail(Rebase *r, const char *doing, int ret)
{
    g_autofree char *reason = blk_strerror(ret);

    progress_break(&r->progress);
    tool_error("error while %s: %s", doing, reason);
    return false;
}

static bool fail_to_change(const Rebase *r, const char *reason)
{
    tool_error("Could not change the backing file to '%s': %s",
               r->backing ? r->backing : "", reason);
    return false;
}

/* ---- Writing ---- */

/* Whether the image itself has all of the range. 1, 0 or -errno. */
static int is_allocated(BlockBackend *image, int64_t offset, int64_t bytes)
{
    while (bytes > 0) {
        g_auto(BdrvBlockStatus) status = { 0 };
        int ret = blk_block_status(image, offset, bytes, 0, &status);

        if (ret < 0) {
            return ret;
        }
        if (status.depth > 0 || !(status.flags & BDRV_BLOCK_ALLOCATED)) {
            return 0;
        }
        offset += status.bytes;
        bytes -= status.bytes;
    }
    return 1;
}

/* Make the range zeroes. 1 if the image has them itself now; 0 if it has
 * nothing there; or -errno. */
static int try_zeroes(const Rebase *r, int64_t offset, int64_t bytes,
                      unsigned flags)
{
    int ret = blk_pwrite_zeroes(r->image, offset, bytes, flags);

    return ret < 0 ? ret : is_allocated(r->image, offset, bytes);
}

/*
 * A driver that finds nothing but zeroes below the image has no need to note
 * them in it. As data first, they are its own, and become zeroes then; unless
 * its format cannot tell them from nothing.
 */
static int write_zeroes(const Rebase *r, int64_t offset, int64_t bytes,
                        const uint8_t *zeroes)
{
    int ret = try_zeroes(r, offset, bytes, 0);

    if (ret != 0) {
        return MIN(ret, 0);
    }
    ret = blk_pwrite(r->image, offset, bytes, zeroes, 0);
    if (ret == 0) {
        ret = try_zeroes(r, offset, bytes, BDRV_REQ_MAY_UNMAP);
    }
    if (ret != 0) {
        return MIN(ret, 0);
    }
    return blk_pwrite(r->image, offset, bytes, zeroes, 0);
}

static int write_old(const Rebase *r, int64_t offset, int64_t bytes,
                     const uint8_t *data)
{
    if (data[0] == 0 && memcmp(data, data + 1, (size_t)bytes - 1) == 0) {
        return write_zeroes(r, offset, bytes, data);
    }
    return blk_pwrite(r->image, offset, bytes, data, 0);
}

/* The first bytes that are equal, or differ (*differ), in whole units. */
static int64_t next_piece(const Rebase *r, int64_t offset, int64_t done,
                          int64_t bytes, bool *differ)
{
    int64_t end = done;

    while (end < bytes) {
        int64_t n = MIN(r->unit - (offset + end) % r->unit, bytes - end);
        bool differs = memcmp(r->old_data + end, r->new_data + end,
                              (size_t)n) != 0;
        if (end > done && differs != *differ) {
            break;
        }
        *differ = differs;
        end += n;
    }
    return end - done;
}

static bool write_differences(Rebase *r, int64_t offset, int64_t bytes)
{
    for (int64_t done = 0; done < bytes;) {
        bool differ = false;
        int64_t n = next_piece(r, offset, done, bytes, &differ);
        int ret = differ ? write_old(r, offset + done, n, r->old_data + done)
                         : 0;
        if (ret < 0) {
            return fail(r, "writing to the image", ret);
        }
        done += n;
    }
    return true;
}

/* ---- Comparing ---- */

/* Behind its end the new backing file reads as zeroes. */
static int read_new(const Rebase *r, int64_t offset, int64_t bytes)
{
    int64_t inside = CLAMP(r->new_bytes - offset, 0, bytes);

    memset(r->new_data + inside, 0, (size_t)(bytes - inside));
    return inside > 0
               ? blk_pread(r->new_backing, offset, inside, r->new_data, 0)
               : 0;
}

static bool compare_data(Rebase *r, int64_t offset, int64_t bytes)
{
    int ret = blk_pread(r->image, offset, bytes, r->old_data, 0);
    if (ret < 0) {
        return fail(r, "reading from the old backing file", ret);
    }
    ret = read_new(r, offset, bytes);
    if (ret < 0) {
        return fail(r, "reading from the new backing file", ret);
    }
    return write_differences(r, offset, bytes);
}

/* ---- What need not be compared ---- */

static bool is_own(const BdrvBlockStatus *status)
{
    return status->depth == 0 && (status->flags & BDRV_BLOCK_ALLOCATED);
}

/* How many bytes from offset on are zeroes in the new backing file, too; 0:
 * it may have data there. */
static int64_t new_zeroes(const Rebase *r, int64_t offset, int64_t bytes)
{
    g_auto(BdrvBlockStatus) status = { 0 };

    if (offset >= r->new_bytes) {
        return bytes;
    }
    if (blk_block_status(r->new_backing, offset,
                         MIN(bytes, r->new_bytes - offset), BDRV_WANT_PRECISE,
                         &status) < 0) {
        return 0; /* reading will tell */
    }
    return status.flags & BDRV_BLOCK_ZERO ? status.bytes : 0;
}

/* How many bytes of a range with this status, which the image does not have,
 * are the same in the new backing file for sure: whole units. */
static int64_t known_equal(const Rebase *r, int64_t offset,
                           const BdrvBlockStatus *status)
{
    int64_t bytes = 0;

    if (r->depth > 0 && status->depth >= r->depth) {
        bytes = status->bytes; /* from the new backing file already */
    } else if (status->flags & BDRV_BLOCK_ZERO) {
        bytes = new_zeroes(r, offset, status->bytes);
    }
    int64_t end = offset + bytes;
    if (end < r->length) {
        end -= end % r->unit;
    }
    return MAX(end - offset, 0);
}

/* Extend a range that the image does not have to the end of its last unit, as
 * far as the image does not have that either. Bytes, or -errno. */
static int64_t complete_unit(const Rebase *r, int64_t offset, int64_t bytes)
{
    int64_t end = offset + bytes;

    while (end < r->length && end % r->unit != 0) {
        g_auto(BdrvBlockStatus) status = { 0 };
        int ret = blk_block_status(r->image, end, r->unit - end % r->unit, 0,
                                   &status);
        if (ret < 0) {
            return ret;
        }
        if (is_own(&status)) {
            break;
        }
        end += status.bytes;
    }
    return end - offset;
}

/* ---- All of it ---- */

/* The start of a range. How many bytes were done; 0 with the error printed. */
static int64_t rebase_piece(Rebase *r, int64_t offset)
{
    g_auto(BdrvBlockStatus) status = { 0 };
    int ret = blk_block_status(r->image, offset, r->length - offset,
                               BDRV_WANT_PRECISE, &status);

    if (ret < 0) {
        fail(r, "reading image metadata", ret);
        return 0;
    }
    if (is_own(&status)) {
        return status.bytes;
    }
    int64_t bytes = known_equal(r, offset, &status);
    if (bytes > 0) {
        return bytes;
    }
    bytes = MIN(status.bytes, BUFFER_BYTES - offset % r->unit);
    bytes = complete_unit(r, offset, bytes);
    if (bytes < 0) {
        fail(r, "reading image metadata", (int)bytes);
        return 0;
    }
    return compare_data(r, offset, bytes) ? bytes : 0;
}

static bool copy_differences(Rebase *r)
{
    int64_t offset = 0;

    progress_begin(&r->progress, (uint64_t)r->length, r->wants_progress);
    while (offset < r->length && !partial_file_interrupted()) {
        int64_t done = rebase_piece(r, offset);
        if (done == 0) {
            break;
        }
        offset += done;
        progress_add(&r->progress, (uint64_t)done);
    }
    progress_end(&r->progress, offset == r->length);
    return offset == r->length;
}

/* ---- The steps ---- */

static bool open_image(Rebase *r)
{
    unsigned flags = BDRV_O_RDWR | BDRV_O_UNMAP |
                     (r->unsafe ? BDRV_O_NO_BACKING : 0);

    r->image = image_open_with(r->name, &r->args, flags);
    return r->image != NULL;
}

static bool has_backing(const Rebase *r)
{
    return r->backing && *r->backing;
}

static bool open_new_backing(Rebase *r)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Options) options = options_new();
    g_autofree char *image = blk_get_filename(r->image);
    g_autofree char *full = bdrv_full_backing_filename(image, r->backing,
                                                       &error);

    if (r->format) {
        options_set(options, "driver", r->format);
    }
    if (full && image_chain_is_same(full, image)) {
        block_error_set(&error, EINVAL, "it is the image itself");
    } else if (full) {
        r->new_backing = blk_open(full, options,
                                  image_cache_flags(r->backing_cache), &error);
    }
    if (!r->new_backing) {
        tool_error("Could not open new backing file '%s': %s", r->backing,
                   error->message);
        return false;
    }
    r->depth = image_chain_find(r->image, full);
    r->new_bytes = blk_getlength(r->new_backing);
    if (r->new_bytes < 0) {
        g_autofree char *reason = blk_strerror((int)r->new_bytes);
        tool_error("Could not get the size of '%s': %s", r->backing, reason);
    }
    return r->new_bytes >= 0;
}

static bool prepare_copying(Rebase *r)
{
    g_autoptr(BdrvInfo) info = blk_get_info(r->image, NULL);
    int64_t cluster = info ? info->cluster_size : 0;

    r->length = blk_getlength(r->image);
    if (r->length < 0) {
        g_autofree char *reason = blk_strerror((int)r->length);
        tool_error("Could not get the size of '%s': %s", r->name, reason);
        return false;
    }
    r->unit = CLAMP(cluster, MIN_UNIT_BYTES, BUFFER_BYTES);
    if (posix_memalign((void **)&r->old_data, MIN_UNIT_BYTES, BUFFER_BYTES) !=
            0 ||
        posix_memalign((void **)&r->new_data, MIN_UNIT_BYTES, BUFFER_BYTES) !=
            0) {
        tool_error("Not enough memory");
        return false;
    }
    return true;
}

static bool flush_image(const Rebase *r)
{
    int ret = blk_flush(r->image);

    if (ret < 0) {
        g_autofree char *reason = blk_strerror(ret);
        tool_error("error while flushing '%s': %s", r->name, reason);
    }
    return ret == 0;
}

static bool change_record(const Rebase *r)
{
    g_autoptr(GError) error = NULL;
    int ret =
        blk_change_backing_file(r->image, has_backing(r) ? r->backing : NULL,
                                has_backing(r) ? r->format : NULL, &error);

    return ret < 0 ? fail_to_change(r, error->message) : flush_image(r);
}

static bool rebase_opened(Rebase *r)
{
    if (!r->unsafe && has_backing(r) && !open_new_backing(r)) {
        return false;
    }
    if (has_backing(r) && !r->format) {
        return fail_to_change(r, "backing format must be specified");
    }
    if (!r->unsafe && (!prepare_copying(r) || !copy_differences(r))) {
        return false;
    }
    return flush_image(r) && change_record(r);
}

static bool rebase(Rebase *r)
{
    if (r->format && !image_format_exists(r->format)) {
        tool_error("Invalid format name: '%s'", r->format);
        return false;
    }
    partial_file_begin(r->name); /* for the signals: no file is made */
    bool ok = open_image(r) && rebase_opened(r);
    free(r->old_data);
    free(r->new_data);
    blk_close(r->new_backing);
    blk_close(r->image);
    partial_file_end();
    return ok;
}

/* ---- The command line ---- */

static void take_option(Rebase *r, int key, const char *arg)
{
    switch (key) {
    case 'b':
        r->backing = arg;
        break;
    case 'F':
        r->format = arg;
        break;
    case 'p':
        r->wants_progress = true;
        break;
    case 'q':
        break; /* there is nothing but errors to print */
    case 't':
        r->args.cache = arg;
        break;
    case 'T':
        r->backing_cache = arg;
        break;
    case 'u':
        r->unsafe = true;
        break;
    default:
        image_args_take(&r->args, key, arg);
        break;
    }
}

static int run_rebase(const Command *command, int argc, char **argv)
{
    Rebase r = { .args.cache = "writeback", .backing_cache = "writeback" };
    const char *arg;
    int key, n;

    tool_args_begin(command, argc, argv);
    while ((key = tool_args_next(&arg)) != -1) {
        take_option(&r, key, arg);
    }
    r.name = tool_args_operands(1, 1, "Expecting one image file name", &n)[0];
    if (!r.unsafe && !r.backing) {
        tool_args_usage("Must specify backing file (-b) or use unsafe mode "
                        "(-u)");
    }
    image_check_cache("cache option", r.args.cache);
    image_check_cache("source cache option", r.backing_cache);
    image_args_check(&r.args);
    return rebase(&r) ? 0 : 1;
}

static const ToolOption options[] = {
    TOOL_OPTION_FORMAT,
    { 'b', NULL, "FILE", "The new backing file; \"\": none" },
    { 'F', NULL, "FMT", "Format of the new backing file" },
    { 'u', NULL, NULL, "Change the record alone, whatever the files hold" },
    { 't', NULL, "CACHE", "Cache mode for the image (writeback)" },
    TOOL_OPTION_SRC_CACHE,
    TOOL_OPTION_IMAGE_OPTS,
    TOOL_OPTION_PROGRESS,
    TOOL_OPTION_QUIET,
    { 0 },
};

const Command command_rebase = {
    .name = "rebase",
    .operands = "IMAGE",
    .summary = "Put another backing file below an image",
    .options = options,
    .run = run_rebase,
};
