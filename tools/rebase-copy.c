/* SPDX-License-Identifier: MIT */
/*
 * Where the image has nothing itself, and the old and the new backing file
 * differ, it gets what the old one has. Read through the image that is just
 * what the image reads as, so the old chain needs no handle of its own; and
 * the image shows the same at any time.
 */
#include "tools/rebase-copy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/partial-file.h"
#include "tools/progress.h"
#include "tools/tool-output.h"

#define BUFFER_BYTES ((int64_t)2 << 20)
#define MIN_UNIT_BYTES 4096

typedef struct Rebase {
    const RebaseCopy *copy;
    BlockBackend *image;
    int64_t length;    /* of the image */
    int64_t new_bytes; /* of the new backing file */
    int64_t unit;      /* compared and written as a whole: a cluster */
    uint8_t *old_data, *new_data; /* BUFFER_BYTES */
    Progress progress;
} Rebase;

/* Always false. */
static bool fail(Rebase *r, const char *doing, int ret)
{
    g_autofree char *reason = blk_strerror(ret);

    progress_break(&r->progress);
    tool_error("error while %s: %s", doing, reason);
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
    return inside > 0 ? blk_pread(r->copy->new_backing, offset, inside,
                                  r->new_data, 0)
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
    if (blk_block_status(r->copy->new_backing, offset,
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

    if (r->copy->depth > 0 && status->depth >= r->copy->depth) {
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

/* ---- The whole ---- */

static bool prepare(Rebase *r)
{
    g_autoptr(BdrvInfo) info = blk_get_info(r->image, NULL);
    int64_t cluster = info ? info->cluster_size : 0;

    r->unit = CLAMP(cluster, MIN_UNIT_BYTES, BUFFER_BYTES);
    r->length = blk_getlength(r->image);
    r->new_bytes = r->copy->new_backing ? blk_getlength(r->copy->new_backing)
                                        : 0;
    if (r->length < 0 || r->new_bytes < 0) {
        return fail(r, "reading the sizes", (int)MIN(r->length, r->new_bytes));
    }
    if (posix_memalign((void **)&r->old_data, MIN_UNIT_BYTES, BUFFER_BYTES) !=
            0 ||
        posix_memalign((void **)&r->new_data, MIN_UNIT_BYTES, BUFFER_BYTES) !=
            0) {
        return fail(r, "beginning", -ENOMEM);
    }
    return true;
}

bool rebase_copy(const RebaseCopy *copy)
{
    Rebase r = { .copy = copy, .image = copy->image };
    int64_t offset = 0;

    progress_begin(&r.progress, 0, copy->wants_progress);
    bool ok = prepare(&r);
    r.progress.total = (uint64_t)MAX(r.length, 0);
    while (ok && offset < r.length && !partial_file_interrupted()) {
        int64_t done = rebase_piece(&r, offset);

        ok = done > 0;
        offset += done;
        progress_add(&r.progress, (uint64_t)done);
    }
    ok = ok && offset == r.length;
    progress_end(&r.progress, ok);
    free(r.old_data);
    free(r.new_data);
    if (!ok) {
        return false;
    }
    int ret = blk_flush(copy->image);
    return ret == 0 || fail(&r, "flushing the image", ret);
}
