/* SPDX-License-Identifier: MIT */
/*
 * vvfat-img compare: whether two images have the same contents.
 *
 * Exit status: 0 the same, 1 different, 2 could not be opened (or a usage
 * error), 3 the status of a range is not known, 4 could not be read.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "block/block.h"
#include "tools/progress.h"
#include "tools/tool-args.h"
#include "tools/tool-image.h"
#include "tools/tool-output.h"

#define BUFFER_BYTES (2 * 1024 * 1024)
#define GRAIN 512 /* mismatches are told to that precision */

enum {
    STATUS_SAME = 0,
    STATUS_DIFFERENT = 1,
    STATUS_OPEN = 2,
    STATUS_RANGE = 3,
    STATUS_READ = 4,
};

typedef struct Side {
    BlockBackend *blk;
    const char *name;
    int64_t length;
    void *buf;
} Side;

typedef struct Comparison {
    Side side[2];
    bool strict, quiet;
    Progress progress;
} Comparison;

static int read_error(Comparison *c, const Side *side, int64_t offset, int ret)
{
    g_autofree char *reason = blk_strerror(ret);

    progress_break(&c->progress);
    tool_error("Error while reading offset %" PRId64 " of %s: %s", offset,
               side->name, reason);
    return STATUS_READ;
}

static int differ(Comparison *c, const char *what, int64_t offset,
                  const char *rest)
{
    progress_break(&c->progress);
    if (!c->quiet) {
        printf("%s %" PRId64 "%s!\n", what, offset, rest);
    }
    return STATUS_DIFFERENT;
}

/* The first grain in which the two differ, or -1; b NULL: zeroes. */
static int64_t first_difference(const char *a, const char *b, int64_t bytes)
{
    static const char zeroes[GRAIN];

    if (b && memcmp(a, b, (size_t)bytes) == 0) {
        return -1;
    }
    for (int64_t pos = 0; pos < bytes; pos += GRAIN) {
        size_t n = (size_t)MIN(GRAIN, bytes - pos);
        if (memcmp(a + pos, b ? b + pos : zeroes, n) != 0) {
            return pos;
        }
    }
    return -1;
}

/* The flags of the range at offset and its length, *bytes at most. */
static int load_status(Comparison *c, const Side *side, int64_t offset,
                       int64_t *bytes, unsigned *flags)
{
    g_auto(BdrvBlockStatus) status = { 0 };
    int ret = blk_block_status(side->blk, offset, *bytes, BDRV_WANT_PRECISE,
                               &status);

    if (ret < 0) {
        g_autofree char *reason = blk_strerror(ret);
        progress_break(&c->progress);
        tool_error("Sector allocation test failed for %s: %s", side->name,
                   reason);
        return STATUS_RANGE;
    }
    *bytes = status.bytes;
    *flags = status.flags;
    return STATUS_SAME;
}

/* Compare a range of both, or (other NULL) of one with zeroes. */
static int compare_bytes(Comparison *c, Side *side, Side *other,
                         int64_t offset, int64_t bytes)
{
    for (int64_t done = 0; done < bytes;) {
        int64_t n = MIN(bytes - done, BUFFER_BYTES);
        int ret = blk_pread(side->blk, offset + done, n, side->buf, 0);
        if (ret < 0) {
            return read_error(c, side, offset + done, ret);
        }
        if (other) {
            ret = blk_pread(other->blk, offset + done, n, other->buf, 0);
            if (ret < 0) {
                return read_error(c, other, offset + done, ret);
            }
        }
        int64_t at = first_difference(side->buf, other ? other->buf : NULL, n);
        if (at >= 0) {
            return differ(c, "Content mismatch at offset", offset + done + at,
                          "");
        }
        done += n;
        progress_add(&c->progress, (uint64_t)n);
    }
    return STATUS_SAME;
}

static int compare_common(Comparison *c, int64_t common)
{
    Side *a = &c->side[0], *b = &c->side[1];

    for (int64_t offset = 0; offset < common;) {
        int64_t bytes = common - offset;
        unsigned flags_a, flags_b;
        int status = load_status(c, a, offset, &bytes, &flags_a);
        if (status == STATUS_SAME) {
            status = load_status(c, b, offset, &bytes, &flags_b);
        }
        if (status != STATUS_SAME) {
            return status;
        }
        const unsigned strict = BDRV_BLOCK_ALLOCATED | BDRV_BLOCK_DATA |
                                BDRV_BLOCK_ZERO;
        if (c->strict && (flags_a & strict) != (flags_b & strict)) {
            return differ(c, "Strict mode: Offset", offset,
                          " block status mismatch");
        }
        if (flags_a & flags_b & BDRV_BLOCK_ZERO) {
            progress_add(&c->progress, (uint64_t)bytes);
        } else if (flags_a & BDRV_BLOCK_ZERO) {
            status = compare_bytes(c, b, NULL, offset, bytes);
        } else if (flags_b & BDRV_BLOCK_ZERO) {
            status = compare_bytes(c, a, NULL, offset, bytes);
        } else {
            status = compare_bytes(c, a, b, offset, bytes);
        }
        if (status != STATUS_SAME) {
            return status;
        }
        offset += bytes;
    }
    return STATUS_SAME;
}

/* What the longer one has behind the end of the other must be zeroes. */
static int compare_rest(Comparison *c, Side *longer, int64_t offset)
{
    while (offset < longer->length) {
        int64_t bytes = longer->length - offset;
        unsigned flags;
        int status = load_status(c, longer, offset, &bytes, &flags);
        if (status != STATUS_SAME) {
            return status;
        }
        if (flags & BDRV_BLOCK_ZERO) {
            progress_add(&c->progress, (uint64_t)bytes);
        } else {
            status = compare_bytes(c, longer, NULL, offset, bytes);
            if (status != STATUS_SAME) {
                return status;
            }
        }
        offset += bytes;
    }
    return STATUS_SAME;
}

static int compare_contents(Comparison *c)
{
    Side *a = &c->side[0], *b = &c->side[1];
    int64_t common = MIN(a->length, b->length);
    int status = compare_common(c, common);

    if (status != STATUS_SAME || a->length == b->length) {
        return status;
    }
    if (!c->quiet) {
        progress_break(&c->progress);
        printf("Warning: Image size mismatch!\n");
    }
    return compare_rest(c, a->length > common ? a : b, common);
}

static int compare(Comparison *c, bool wants_progress)
{
    int64_t length = MAX(c->side[0].length, c->side[1].length);

    if (c->strict && c->side[0].length != c->side[1].length) {
        if (!c->quiet) {
            printf("Strict mode: Image size mismatch!\n");
        }
        return STATUS_DIFFERENT;
    }
    progress_begin(&c->progress, (uint64_t)length, wants_progress);
    int status = compare_contents(c);
    progress_end(&c->progress, status == STATUS_SAME);
    if (status == STATUS_SAME && !c->quiet) {
        printf("Images are identical.\n");
    }
    return status;
}

static bool open_side(Side *side, const char *name, const ImageArgs *args)
{
    side->name = name;
    side->blk = image_open_source(name, args);
    if (!side->blk) {
        return false;
    }
    side->length = blk_getlength(side->blk);
    if (side->length < 0) {
        g_autofree char *reason = blk_strerror((int)side->length);
        tool_error("Can't get size of %s: %s", name, reason);
        return false;
    }
    side->buf = image_try_buffer(BUFFER_BYTES);
    if (!side->buf) {
        tool_error("There is no memory for a buffer of %d bytes",
                   BUFFER_BYTES);
        return false;
    }
    return true;
}

static int open_and_compare(char **names, const ImageArgs args[2],
                            Comparison *c, bool wants_progress)
{
    int status = STATUS_OPEN;

    if (open_side(&c->side[0], names[0], &args[0]) &&
        open_side(&c->side[1], names[1], &args[1])) {
        status = compare(c, wants_progress && !c->quiet);
    }
    for (int i = 0; i < 2; i++) {
        blk_close(c->side[i].blk);
        free(c->side[i].buf);
    }
    return status;
}

static int run_compare(const Command *command, int argc, char **argv)
{
    ImageArgs first = { 0 };
    Comparison c = { 0 };
    const char *second_format = NULL;
    bool wants_progress = false;
    const char *arg;
    int key, n;

    tool_args_begin(command, argc, argv);
    while ((key = tool_args_next(&arg)) != -1) {
        switch (key) {
        case 'F':
            second_format = arg;
            break;
        case 's':
            c.strict = true;
            break;
        case 'p':
            wants_progress = true;
            break;
        case 'q':
            c.quiet = true;
            break;
        default:
            image_args_take(&first, key, arg);
            break;
        }
    }
    ImageArgs second = first;
    second.format = second_format;
    image_args_check(&first);
    image_args_check(&second);
    char **names = tool_args_operands(2, 2, "Expecting two image file names",
                                      &n);
    return open_and_compare(names, (ImageArgs[]){ first, second }, &c,
                            wants_progress);
}

static const ToolOption options[] = {
    { 'f', NULL, "FMT", "Format of the first image; probed when not given" },
    { 'F', NULL, "FMT", "Format of the second image; probed when not given" },
    { 's', NULL, NULL, "Sizes and allocation must be the same, too" },
    TOOL_OPTION_PROGRESS,
    TOOL_OPTION_QUIET,
    TOOL_OPTION_SRC_CACHE,
    TOOL_OPTION_FORCE_SHARE,
    TOOL_OPTION_IMAGE_OPTS,
    { 0 },
};

const Command command_compare = {
    .name = "compare",
    .operands = "IMAGE1 IMAGE2",
    .summary = "Compare the contents of two images",
    .notes = "Exit status: 0 the same, 1 different, 2 and above an error.\n",
    .options = options,
    .usage_status = STATUS_OPEN,
    .run = run_compare,
};
