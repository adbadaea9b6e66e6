/* SPDX-License-Identifier: MIT */
/*
 * An image in the middle of a chain is opened with the chain, not beside it:
 * so it has the format that is recorded for it, its locks are taken once, and
 * reads through the chain see what is written to it. The chain lets others
 * write its images; other processes are kept out by the locks all the same.
 */
#include "tools/image-chain.h"

#include <sys/stat.h>

#include "block/driver.h"
#include "tools/tool-output.h"

#define BASE_NODE "vvfat-img-base"

/* Of a chain that is looked through by names: one that is longer, or a loop,
 * fails elsewhere. */
#define MAX_DEPTH 1000

/* ---- Finding ---- */

static BlockDriverState *below(BlockDriverState *bs)
{
    BdrvChild *backing = bdrv_backing(bs);

    return backing ? bdrv_child_bs(backing) : NULL;
}

bool image_chain_is_same(const char *a, const char *b)
{
    struct stat sa, sb;

    return g_str_equal(a, b) ||
           (stat(a, &sa) == 0 && stat(b, &sb) == 0 && sa.st_dev == sb.st_dev &&
            sa.st_ino == sb.st_ino);
}

/* Whether `name` is the image below `overlay`. */
static bool names_backing(BlockDriverState *overlay, const char *name,
                          bool as_recorded)
{
    g_autofree char *backing = bdrv_get_filename(below(overlay));
    g_autofree char *full = as_recorded ? bdrv_resolve_backing_file(overlay,
                                                                    name, NULL)
                                        : g_strdup(name);

    return full && image_chain_is_same(full, backing);
}

static int find(BlockDriverState *top, const char *name, bool as_recorded)
{
    int depth = 1;

    for (BlockDriverState *bs = top; below(bs); bs = below(bs), depth++) {
        if (names_backing(bs, name, as_recorded)) {
            return depth;
        }
    }
    return 0;
}

int image_chain_find(BlockBackend *blk, const char *name)
{
    int depth = find(blk_bs(blk), name, true);

    return depth > 0 ? depth : find(blk_bs(blk), name, false);
}

bool image_chain_leads_to(const char *name, const char *format,
                          const char *image)
{
    g_autofree char *next = g_strdup(name);
    g_autofree char *driver = g_strdup(format);

    for (int i = 0; next && i < MAX_DEPTH; i++) {
        g_autoptr(Options) options = options_new();

        if (image_chain_is_same(next, image)) {
            return true;
        }
        if (driver) {
            options_set(options, "driver", driver);
        }
        g_autoptr(BlockBackend) blk = blk_open(
            next, options,
            BDRV_O_NO_BACKING | BDRV_O_FORCE_SHARE | BDRV_O_BACKING, NULL);
        g_autoptr(BdrvInfo) info = blk ? blk_get_info(blk, NULL) : NULL;

        g_free(next);
        g_free(driver);
        next = info ? g_steal_pointer(&info->full_backing_filename) : NULL;
        driver = info ? g_steal_pointer(&info->backing_format) : NULL;
    }
    return false;
}

int image_chain_length(BlockBackend *blk)
{
    int length = 0;

    for (BlockDriverState *bs = below(blk_bs(blk)); bs; bs = below(bs)) {
        length++;
    }
    return length;
}

const char *image_chain_format(BlockBackend *blk, int depth)
{
    BlockDriverState *bs = blk_bs(blk);

    for (; depth > 0; depth--) {
        bs = below(bs);
    }
    return bdrv_driver(bs)->format_name;
}

/* ---- Opening ---- */

/* "backing.backing.KEY", for the image `depth` below. */
static void set_below(Options *options, int depth, const char *key,
                      const char *value)
{
    g_autoptr(GString) path = g_string_new(NULL);

    for (int i = 0; i < depth; i++) {
        g_string_append(path, "backing.");
    }
    g_string_append(path, key);
    options_set(options, path->str, value);
}

typedef struct Below {
    Options *options;
    int depth;
} Below;

static void set_base_option(const char *key, const char *value, void *opaque)
{
    const Below *below = opaque;

    set_below(below->options, below->depth, key, value);
}

static BlockBackend *open_top(const char *name, const ImageArgs *args,
                              int depth, const Options *base_options)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Options)
        options = image_options_new(name, args->format, args->image_opts);

    if (!options) {
        return NULL;
    }
    set_below(options, depth, "node-name", BASE_NODE);
    set_below(options, depth, "read-only", "off");
    if (base_options) {
        Below below = { options, depth };

        options_foreach(base_options, set_base_option, &below);
    }
    BlockBackend *blk = blk_open_with_perm(
        args->image_opts ? NULL : name, options,
        BDRV_O_RDWR | BDRV_O_UNMAP | image_cache_flags(args->cache),
        BLK_PERM_CONSISTENT_READ | BLK_PERM_WRITE, BLK_PERM_ALL, &error);
    if (!blk) {
        tool_error("%s", error->message);
    }
    return blk;
}

/* The node is there already: a raw image shows it as it is. */
static BlockBackend *open_base(const ImageArgs *args)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Options) options = options_new();

    options_set(options, "driver", "raw");
    options_set(options, "file", BASE_NODE);
    BlockBackend *blk = blk_open(NULL, options,
                                 BDRV_O_RDWR | BDRV_O_RESIZE | BDRV_O_UNMAP |
                                     image_cache_flags(args->cache),
                                 &error);
    if (!blk) {
        tool_error("Could not write to the backing file: %s", error->message);
    }
    return blk;
}

bool image_chain_open(const char *name, const ImageArgs *args, int depth,
                      const Options *base_options, BlockBackend **top,
                      BlockBackend **base)
{
    *base = NULL;
    *top = open_top(name, args, depth, base_options);
    if (*top) {
        *base = open_base(args);
    }
    if (!*base) {
        g_clear_pointer(top, blk_close);
    }
    return *base != NULL;
}
