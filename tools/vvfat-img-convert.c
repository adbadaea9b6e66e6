/* SPDX-License-Identifier: MIT */
/* vvfat-img convert: images, end to end, to one new image. */
#include <string.h>

#include "block/block.h"
#include "tools/image-copy.h"
#include "tools/target-args.h"
#include "tools/tool-args.h"
#include "tools/tool-image.h"
#include "tools/tool-output.h"

#define MAX_SPARSE_BYTES (16 * 1024 * 1024)
#define DEFAULT_SPARSE_BYTES 4096

enum {
    KEY_TARGET_IMAGE_OPTS = KEY_COMMAND,
    KEY_TARGET_IS_ZERO,
    KEY_SALVAGE,
    KEY_BITMAPS,
};

typedef struct Convert {
    ImageArgs source;
    ImageCopy copy;
    TargetArgs target;
    bool bitmaps;
    bool sparse_given;
} Convert;

static int64_t parse_sparse(const char *text)
{
    int64_t bytes = tool_args_size("buffer size for sparse output", text);

    if (bytes % 512 != 0 || bytes > MAX_SPARSE_BYTES) {
        tool_args_usage("Invalid buffer size for sparse output specified. "
                        "Valid sizes are multiples of 512 up to %d. Select 0 "
                        "to disable sparse detection (fully allocates "
                        "output).",
                        MAX_SPARSE_BYTES);
    }
    return bytes;
}

static unsigned parse_workers(const char *text)
{
    guint64 n;

    if (!g_ascii_string_to_unsigned(text, 10, 1, COPY_MAX_WORKERS, &n, NULL)) {
        tool_args_usage("Invalid number of coroutines. Allowed number of "
                        "coroutines is between 1 and %d",
                        COPY_MAX_WORKERS);
    }
    return (unsigned)n;
}

static void take_option(Convert *c, int key, const char *arg)
{
    ImageCopy *copy = &c->copy;

    switch (key) {
    case 'O':
        copy->format = arg;
        break;
    case 'o':
        target_args_add_options(&c->target, arg);
        break;
    case 'n':
        copy->no_create = true;
        break;
    case 'p':
        copy->wants_progress = true;
        break;
    case 'q':
        copy->quiet = true;
        break;
    case 'c':
        copy->compress = true;
        break;
    case 'B':
        c->target.backing = arg;
        break;
    case 'F':
        c->target.backing_format = arg;
        break;
    case 'r':
        copy->bytes_per_second = tool_args_size("rate limit", arg);
        break;
    case 'S':
        copy->sparse_bytes = parse_sparse(arg);
        c->sparse_given = true;
        break;
    case 'C':
        copy->host_copy = HOST_COPY_ALWAYS;
        break;
    case 'm':
        copy->workers = parse_workers(arg);
        break;
    case 'W':
        copy->out_of_order = true;
        break;
    case 't':
        copy->cache = arg;
        break;
    case KEY_TARGET_IMAGE_OPTS:
        copy->target_image_opts = true;
        break;
    case KEY_TARGET_IS_ZERO:
        copy->target_is_zero = true;
        break;
    case KEY_SALVAGE:
        copy->salvage = true;
        break;
    case KEY_BITMAPS:
        c->bitmaps = true;
        break;
    default:
        image_args_take(&c->source, key, arg);
        break;
    }
}

static void check_options(const Convert *c)
{
    const ImageCopy *copy = &c->copy;

    image_args_check(&c->source);
    image_check_cache("cache option", copy->cache);
    if (c->sparse_given && copy->host_copy == HOST_COPY_ALWAYS) {
        tool_args_usage("Cannot enable copy offloading when -S is used");
    }
    if (copy->target_image_opts && !copy->no_create) {
        tool_args_usage("--target-image-opts requires use of -n flag");
    }
    if (copy->target_is_zero && !copy->no_create) {
        tool_args_usage("--target-is-zero requires use of -n flag");
    }
    if (c->target.text_of_options && copy->no_create) {
        tool_args_usage("-o has no effect when skipping image creation");
    }
    if (copy->target_image_opts && copy->format) {
        tool_args_usage("-O and --target-image-opts are mutually exclusive");
    }
    if (copy->compress && copy->host_copy == HOST_COPY_ALWAYS) {
        tool_args_usage("Cannot enable copy offloading when -c is used");
    }
    if (copy->salvage && copy->host_copy == HOST_COPY_ALWAYS) {
        tool_args_usage("Cannot use copy offloading in salvaging mode");
    }
    if (c->bitmaps) {
        tool_args_usage(
            "--bitmaps is not supported: bitmaps of images cannot be "
            "copied");
    }
}

static bool open_sources(Convert *c, char **names, int n)
{
    for (int i = 0; i < n; i++) {
        if (g_str_equal(names[i], "-") && !c->source.image_opts) {
            tool_error("Cannot read an image from standard input: its size "
                       "must be known first; write it to a file");
            return false;
        }
        BlockBackend *blk = image_open_source(names[i], &c->source);
        if (!blk) {
            return false;
        }
        if (!c->copy.quiet) {
            image_warn_report(blk);
        }
        int ret = copy_source_add(c->copy.source, blk);
        if (ret < 0) {
            g_autofree char *reason = blk_strerror(ret);
            tool_error("Could not get the size of '%s': %s", names[i], reason);
            return false;
        }
    }
    c->copy.bytes = c->copy.source->length;
    return true;
}

static int run_convert(const Command *command, int argc, char **argv)
{
    Convert c = { .copy = { .cache = "unsafe",
                            .sparse_bytes = DEFAULT_SPARSE_BYTES } };
    const char *arg;
    int key, n;

    tool_args_begin(command, argc, argv);
    while ((key = tool_args_next(&arg)) != -1) {
        take_option(&c, key, arg);
    }
    if (c.target.wants_help) {
        g_free(c.target.text_of_options);
        return target_options_print_help(c.copy.format ? c.copy.format : "raw")
                   ? 0
                   : 1;
    }
    check_options(&c);
    if (c.sparse_given) {
        c.copy.host_copy = HOST_COPY_NEVER;
    }
    char **names = tool_args_operands(2, -1, "Must specify image file name",
                                      &n);
    c.copy.target = names[n - 1];
    if (c.copy.quiet) {
        c.copy.wants_progress = false;
    }
    c.copy.source = copy_source_new();
    bool ok = target_args_apply(&c.target, &c.copy, n - 1) &&
              open_sources(&c, names, n - 1) && image_copy(&c.copy);
    copy_source_free(c.copy.source);
    options_free(c.copy.create);
    g_free(c.target.text_of_options);
    return ok ? 0 : 1;
}

static const ToolOption options[] = {
    TOOL_OPTION_FORMAT,
    { 'O', NULL, "FMT", "Format of the target (raw)" },
    { 'o', NULL, "OPTIONS", "Create options of the target; help lists them" },
    { 'n', NULL, NULL, "Write into an existing target, do not create it" },
    TOOL_OPTION_PROGRESS,
    TOOL_OPTION_QUIET,
    { 'S', NULL, "SIZE",
      "Shortest run of zeroes to leave out (4k); 0: allocate all" },
    { 'c', NULL, NULL, "Compress (qcow and qcow2)" },
    { 'B', NULL, "FILE",
      "Backing file of the target: what it has is left out; needs -F" },
    { 'F', NULL, "FMT", "Format of the backing file" },
    { 'r', NULL, "RATE", "Bytes that are written in a second, at most" },
    { 'm', NULL, "NUM", "Threads that copy, 1 to 16" },
    { 'W', NULL, NULL, "Write in any order" },
    { 'C', NULL, NULL,
      "Let the kernel copy, also what stands in images; zeroes stay" },
    { 't', NULL, "CACHE",
      "Cache mode for writing: unsafe (default), writeback or another" },
    TOOL_OPTION_SRC_CACHE,
    TOOL_OPTION_FORCE_SHARE,
    TOOL_OPTION_IMAGE_OPTS,
    { KEY_TARGET_IMAGE_OPTS, "target-image-opts", NULL,
      "The target is given as options; needs -n" },
    { KEY_TARGET_IS_ZERO, "target-is-zero", NULL,
      "The existing target reads as zeroes; needs -n" },
    { KEY_SALVAGE, "salvage", NULL,
      "What cannot be read becomes zeroes, with a warning" },
    TOOL_OPTION_SNAPSHOT,
    { KEY_BITMAPS, "bitmaps", NULL, "Not supported" },
    { 0 },
};

const Command command_convert = {
    .name = "convert",
    .operands = "SOURCE... TARGET",
    .summary = "Copy images, end to end, to a new image",
    .notes = "TARGET '-' is standard output (raw only).\n",
    .options = options,
    .run = run_convert,
};
