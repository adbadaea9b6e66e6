/* SPDX-License-Identifier: MIT */
#include "tools/commit-directory.h"

#include <string.h>
#include <unistd.h>

#include "block/driver.h"
#include "block/vvfat/vvfat-options.h"
#include "tools/tool-image.h"
#include "tools/tool-output.h"

#define SUFFIX ".vvfat-commit"
#define PREFIX "fat:"

struct CommitDirectory {
    char *overlay;
    bool was_there; /* of a commit before */
    bool has_begun; /* the directory may have changed */
    bool is_done;
    Options *options;
};

/* ---- Whether it is one ---- */

static BlockDriverState *node_at(BlockBackend *blk, int depth)
{
    BlockDriverState *bs = blk_bs(blk);

    while (depth-- > 0) {
        bs = bdrv_child_bs(bdrv_backing(bs));
    }
    return bs;
}

/* The node at the end of the "file" children: what makes the bytes. */
static BlockDriverState *protocol_of(BlockDriverState *bs)
{
    BdrvChild *file = bdrv_child(bs, "file");

    while (file) {
        bs = bdrv_child_bs(file);
        file = bdrv_child(bs, "file");
    }
    return bs;
}

static bool is_recorded_writable(const char *name)
{
    g_autoptr(Options) options = options_new();

    return !g_str_has_prefix(name, PREFIX) ||
           (vvfat_parse_filename(name, options, NULL) &&
            options_has(options, "rw"));
}

static bool check_base(BlockDriverState *base, const char *image)
{
    g_autofree char *name = bdrv_get_filename(base);
    g_autofree char *shown = tool_escape(name, true);

    if (protocol_of(base) != base) {
        tool_error("The backing file of '%s' is a directory that is not "
                   "opened as one: record its format as vvfat, by "
                   "vvfat-img rebase -u -F vvfat",
                   image);
        return false;
    }
    if (!is_recorded_writable(name)) {
        tool_error("'%s' may not be written to, the way it is recorded. To "
                   "commit into the directory, record it with rw: vvfat-img "
                   "rebase -u -F vvfat -b '" PREFIX "rw:%s' '%s'",
                   shown, shown + strlen(PREFIX), image);
        return false;
    }
    return true;
}

bool commit_directory_is_interrupted(const char *name, const ImageArgs *args)
{
    g_autofree char *overlay = g_strconcat(name, SUFFIX, NULL);

    /* What options name is found when it is open. */
    return args->image_opts || g_str_has_prefix(name, "json:") ||
           access(overlay, F_OK) == 0;
}

bool commit_directory_new(BlockBackend *blk, int depth,
                          CommitDirectory **directory)
{
    BlockDriverState *base = node_at(blk, depth);
    g_autofree char *image = bdrv_get_filename(protocol_of(blk_bs(blk)));
    CommitDirectory *d;

    *directory = NULL;
    if (strcmp(bdrv_driver(protocol_of(base))->format_name, "vvfat") != 0) {
        return true;
    }
    if (!check_base(base, image)) {
        return false;
    }
    d = g_new0(CommitDirectory, 1);
    d->overlay = g_strconcat(image, SUFFIX, NULL);
    d->was_there = access(d->overlay, F_OK) == 0;
    d->options = options_new();
    options_set(d->options, "overlay", d->overlay);
    /* Nothing, before everything is there. */
    options_set(d->options, "commit", "manual");
    *directory = d;
    return true;
}

void commit_directory_free(CommitDirectory *d)
{
    if (!d) {
        return;
    }
    if (d->is_done || (!d->has_begun && !d->was_there)) {
        unlink(d->overlay);
    }
    options_free(d->options);
    g_free(d->overlay);
    g_free(d);
}

const Options *commit_directory_options(const CommitDirectory *d)
{
    return d->options;
}

/* ---- Writing ---- */

static void print_pending(BlockBackend *base)
{
    g_autoptr(BdrvInfo) info = blk_get_info(base, NULL);

    for (unsigned i = 0; info && info->specific; i++) {
        g_autofree char *line = image_pending_line(info, i);

        if (!line) {
            return;
        }
        tool_error("Not committed: %s", line);
    }
}

bool commit_directory_write(CommitDirectory *d, BlockBackend *base,
                            const char *base_name)
{
    g_autoptr(GError) error = NULL;

    d->has_begun = true;
    if (blk_commit(base, false, &error) < 0) {
        tool_error("%s: %s", base_name, error->message);
    }
    if (!image_finish(base, base_name)) {
        print_pending(base);
        return false;
    }
    return error == NULL;
}

void commit_directory_done(CommitDirectory *d)
{
    d->is_done = true;
}
