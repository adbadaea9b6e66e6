/* SPDX-License-Identifier: MIT */
/*
 * vvfat-img rebase: another backing file below an image.
 *
 * The record changes last, when all that it needs is in the image and on the
 * disk: the image shows what it should whenever this stops.
 */
#include <errno.h>

#include "block/driver.h"
#include "tools/image-chain.h"
#include "tools/partial-file.h"
#include "tools/rebase-copy.h"
#include "tools/tool-args.h"
#include "tools/tool-backing.h"
#include "tools/tool-image.h"
#include "tools/tool-output.h"

typedef struct Rebase {
    const char *name;
    ImageArgs args;      /* cache: of the image */
    const char *backing; /* -b; "": none */
    const char *format;  /* -F, or NULL */
    const char *backing_cache;
    bool unsafe, wants_progress;

    BlockBackend *image;
    BlockBackend *new_backing; /* NULL: none */
    int depth; /* of the new one in the chain of the image; 0: not in it */
} Rebase;

/* ---- The steps ---- */

static bool has_backing(const Rebase *r)
{
    return r->backing && *r->backing;
}

static bool fail_to_change(const Rebase *r, const char *reason)
{
    tool_error("Could not change the backing file to '%s': %s",
               r->backing ? r->backing : "", reason);
    return false;
}

static BlockBackend *open_new_backing(const Rebase *r, const char *full,
                                      GError **errp)
{
    g_autofree char *image = blk_get_filename(r->image);
    g_autoptr(Options) options = options_new();

    if (image_chain_is_same(full, image)) {
        block_error_set(errp, EINVAL, "it is the image itself");
        return NULL;
    }
    if (image_chain_leads_to(full, r->format, image)) {
        block_error_set(
            errp, EINVAL,
            "the image itself lies below it: that would be a loop");
        return NULL;
    }
    if (r->format) {
        options_set(options, "driver", r->format);
    }
    return blk_open(full, options,
                    BDRV_O_BACKING | image_cache_flags(r->backing_cache),
                    errp);
}

/* Find and open the new backing file. */
static bool take_new_backing(Rebase *r)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *full = bdrv_resolve_backing_file(blk_bs(r->image),
                                                      r->backing, &error);

    if (full) {
        r->new_backing = open_new_backing(r, full, &error);
    }
    if (!r->new_backing) {
        tool_error("Could not open new backing file '%s': %s", r->backing,
                   error->message);
        return false;
    }
    r->depth = image_chain_find(r->image, full);
    /* What it holds by another format is something else. */
    if (r->depth > 0 && !g_str_equal(image_chain_format(r->image, r->depth),
                                     blk_get_format_name(r->new_backing))) {
        r->depth = 0;
    }
    return true;
}

static bool change_record(const Rebase *r)
{
    g_autoptr(GError) error = NULL;
    int ret =
        blk_change_backing_file(r->image, has_backing(r) ? r->backing : NULL,
                                has_backing(r) ? r->format : NULL, &error);

    if (ret < 0) {
        return fail_to_change(r, error->message);
    }
    /* What the image holds is the new directory's from now on. */
    if (r->new_backing) {
        ret = blk_record_fingerprint(r->image, r->new_backing, &error);
    }
    if (ret < 0) {
        return fail_to_change(r, error->message);
    }
    ret = blk_flush(r->image);
    if (ret < 0) {
        g_autofree char *reason = blk_strerror(ret);
        return fail_to_change(r, reason);
    }
    return true;
}

/* Nothing needs the new backing file, but what a directory is like now is
 * recorded. */
static void look_at_directory(Rebase *r)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *full = NULL;

    if (!has_backing(r) || !backing_is_directory(r->backing, r->format)) {
        return;
    }
    full = bdrv_resolve_backing_file(blk_bs(r->image), r->backing, &error);
    if (full) {
        r->new_backing = open_new_backing(r, full, &error);
    }
    if (!r->new_backing) {
        tool_warning("What '%s' is like is not recorded: %s", r->backing,
                     error->message);
    }
}

static bool copy_differences(const Rebase *r)
{
    const RebaseCopy copy = {
        .image = r->image,
        .new_backing = r->new_backing,
        .depth = r->depth,
        .wants_progress = r->wants_progress,
    };
    return rebase_copy(&copy);
}

static bool rebase_opened(Rebase *r)
{
    if (!r->unsafe && has_backing(r) && !take_new_backing(r)) {
        return false;
    }
    if (has_backing(r) && !r->format) {
        return fail_to_change(r, "backing format must be specified");
    }
    if (r->unsafe) {
        look_at_directory(r);
    }
    return (r->unsafe || copy_differences(r)) && change_record(r);
}

static bool rebase(Rebase *r)
{
    unsigned flags = BDRV_O_RDWR | BDRV_O_UNMAP |
                     (r->unsafe ? BDRV_O_NO_BACKING : 0);

    if (r->format && !image_format_exists(r->format)) {
        tool_error("Invalid format name: '%s'", r->format);
        return false;
    }
    partial_file_begin(r->name); /* for the signals: no file is made */
    r->image = image_open_flags(r->name, &r->args, flags);
    bool ok = r->image && rebase_opened(r);
    ok = image_finish(r->image, r->name) && ok;
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
