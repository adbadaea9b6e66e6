/* SPDX-License-Identifier: MIT */
/*
 * vvfat-img commit: what an image and those between it and the base hold, to
 * the base. The image is emptied last, when the base has it all on the disk:
 * whatever happens before that, nothing is lost.
 *
 * What an overlay keeps of a writable directory goes into the directory.
 */
#include "block/block.h"
#include "block/vvfat/kept-probe.h"
#include "tools/commit-directory.h"
#include "tools/copy-engine.h"
#include "tools/image-chain.h"
#include "tools/partial-file.h"
#include "tools/tool-args.h"
#include "tools/tool-image.h"
#include "tools/tool-output.h"

#define SPARSE_BYTES 4096

typedef struct Commit {
    const char *name;
    ImageArgs args;
    const char *base; /* -b, or NULL: the backing file */
    bool drop;        /* leave the image as it is afterwards */
    bool quiet;
    bool wants_progress;
    int64_t bytes_per_second;
    int depth;                  /* of the base */
    CommitDirectory *directory; /* what the base is, or NULL */
} Commit;

/* ---- Which image is the base ---- */

static bool find_base(Commit *c)
{
    /* One that was interrupted has changed the directory, and goes on with the
     * disk as it was. Before anything is written, all is opened anew. */
    unsigned flags = commit_directory_is_interrupted(c->name, &c->args)
                         ? BDRV_O_ANY_BACKING
                         : 0;
    g_autoptr(BlockBackend) blk = image_open_flags(c->name, &c->args, flags);

    if (!blk) {
        return false;
    }
    c->depth = c->base ? image_chain_find(blk, c->base)
                       : MIN(image_chain_length(blk), 1);
    if (c->depth == 0 && c->base) {
        tool_error("Did not find '%s' in the backing chain of '%s'", c->base,
                   c->name);
    } else if (c->depth == 0) {
        tool_error("Image does not have a backing file");
    }
    return c->depth > 0 && commit_directory_new(blk, c->depth, &c->directory);
}

/* ---- Committing ---- */

static bool grow_base(const Commit *c, BlockBackend *base, int64_t length)
{
    g_autoptr(GError) error = NULL;

    if (blk_getlength(base) >= length ||
        blk_truncate(base, length, false, PREALLOC_MODE_OFF, &error) == 0) {
        return true;
    }
    tool_error("Could not resize the backing file of '%s': %s", c->name,
               error->message);
    return false;
}

/* Owns both. The base is flushed when this succeeds. */
static bool copy_to_base(const Commit *c, CopySource *source,
                         CopyTarget *target)
{
    source->backing_depth = c->depth;
    const CopyJob job = {
        .source = source,
        .target = target,
        .bytes = source->length,
        .sparse_bytes = SPARSE_BYTES,
        .host_copy = HOST_COPY_NEVER,
        .bytes_per_second = c->bytes_per_second,
        .out_of_order = true,
        .wants_progress = c->wants_progress,
    };
    return copy_run(&job);
}

static bool empty_image(const Commit *c, BlockBackend *top)
{
    g_autoptr(GError) error = NULL;

    if (blk_make_empty(top, &error) < 0) {
        tool_error("Could not empty %s: %s", c->name, error->message);
        return false;
    }
    int ret = blk_flush(top);
    if (ret < 0) {
        g_autofree char *reason = blk_strerror(ret);
        tool_error("Could not empty %s: %s", c->name, reason);
    }
    return ret == 0;
}

static bool commit_opened(const Commit *c, BlockBackend *top,
                          BlockBackend *base)
{
    g_autofree char *base_name = blk_get_filename(base);
    g_autoptr(CopySource) source = copy_source_new();
    g_autoptr(CopyTarget) target = copy_target_new_image(base, base_name);
    int ret = copy_source_add(source, top);

    if (ret < 0) {
        g_autofree char *reason = blk_strerror(ret);
        tool_error("Could not get the size of '%s': %s", c->name, reason);
        return false;
    }
    bool ok = grow_base(c, base, source->length) &&
              copy_to_base(c, source, target);
    /* The image is the only place of what is not in the base. */
    if (ok) {
        ok = c->directory
                 ? commit_directory_write(c->directory, base, base_name)
                 : image_finish(base, base_name);
    }
    return ok && (c->drop || empty_image(c, top));
}

/* ---- The overlay of a directory ---- */

/* The options that open the directory, or NULL: it is an image like others. */
static Options *find_directory(const Commit *c)
{
    g_autoptr(BlockBackend) blk = NULL;

    if (c->args.image_opts || c->base) {
        return NULL;
    }
    blk = blk_open(c->name, NULL, BDRV_O_NO_BACKING, NULL);
    return blk ? kept_probe(blk, c->name) : NULL;
}

static bool commit_directory(const Commit *c, const Options *options)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(BlockBackend) blk = blk_open(NULL, options, BDRV_O_RDWR, &error);
    g_autofree char *dir = tool_escape(options_get(options, "dir"), true);

    if (!blk) {
        tool_error("Could not open '%s': %s", c->name, error->message);
        return false;
    }
    if (blk_commit(blk, true, &error) < 0) {
        tool_error("%s", error->message);
        return false;
    }
    if (!c->quiet) {
        printf("Committed into '%s'.\n", dir);
    }
    return true;
}

/* The directory has become another disk, on which the emptied image stands. If
 * it cannot stand there, all is committed nevertheless. */
static void record_directory(const Commit *c)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Options) options = image_options_new(c->name, c->args.format,
                                                   c->args.image_opts);
    g_autoptr(BlockBackend) blk = NULL;

    if (options) {
        blk = blk_open(c->args.image_opts ? NULL : c->name, options,
                       BDRV_O_RDWR, &error);
    }
    if (blk) {
        (void)!blk_record_fingerprint(blk, NULL, &error);
    }
    if (error) {
        tool_warning("%s", error->message);
    }
}

static bool commit(Commit *c)
{
    g_autoptr(Options) directory = find_directory(c);
    BlockBackend *top, *base;
    bool ok;

    if (directory) {
        return commit_directory(c, directory);
    }
    if (!find_base(c)) {
        return false;
    }
    partial_file_begin(c->name); /* for the signals: no file is made */
    ok = image_chain_open(c->name, &c->args, c->depth,
                          c->directory ? commit_directory_options(c->directory)
                                       : NULL,
                          &top, &base) &&
         commit_opened(c, top, base);
    partial_file_end();
    if (ok && c->directory) {
        commit_directory_done(c->directory);
    }
    if (ok && !c->quiet) {
        printf("Image committed.\n");
    }
    if (ok && c->directory && !c->drop) {
        record_directory(c);
    }
    commit_directory_free(c->directory);
    return ok;
}

/* ---- The command line ---- */

static void take_option(Commit *c, int key, const char *arg)
{
    switch (key) {
    case 'b':
        c->base = arg;
        c->drop = true; /* those in between are of no use afterwards */
        break;
    case 'd':
        c->drop = true;
        break;
    case 'p':
        c->wants_progress = true;
        break;
    case 'q':
        c->quiet = true;
        break;
    case 'r':
        c->bytes_per_second = tool_args_size("rate limit", arg);
        break;
    case 't':
        c->args.cache = arg;
        break;
    default:
        image_args_take(&c->args, key, arg);
        break;
    }
}

static int run_commit(const Command *command, int argc, char **argv)
{
    Commit c = { .args.cache = "writeback" };
    const char *arg;
    int key, n;

    tool_args_begin(command, argc, argv);
    while ((key = tool_args_next(&arg)) != -1) {
        take_option(&c, key, arg);
    }
    c.name = tool_args_operands(1, 1, "Expecting one image file name", &n)[0];
    image_check_cache("cache option", c.args.cache);
    image_args_check(&c.args);
    return commit(&c) ? 0 : 1;
}

static const ToolOption options[] = {
    TOOL_OPTION_FORMAT,
    { 'b', NULL, "BASE", "Commit to this image of the chain; implies -d" },
    { 'd', NULL, NULL, "Do not empty the image afterwards" },
    { 'r', NULL, "RATE", "Write so many bytes a second at most" },
    { 't', NULL, "CACHE", "Cache mode for all images (writeback)" },
    TOOL_OPTION_IMAGE_OPTS,
    TOOL_OPTION_PROGRESS,
    TOOL_OPTION_QUIET,
    { 0 },
};

const Command command_commit = {
    .name = "commit",
    .operands = "IMAGE",
    .summary = "Write what an image holds to its backing file",
    .options = options,
    .run = run_commit,
};
