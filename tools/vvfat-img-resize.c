/* SPDX-License-Identifier: MIT */
/* vvfat-img resize: another size for an image. */
#include <string.h>

#include "block/block.h"
#include "tools/tool-args.h"
#include "tools/tool-image.h"
#include "tools/tool-output.h"
#include "util/size.h"

enum { KEY_PREALLOCATION = KEY_COMMAND, KEY_SHRINK };

typedef struct Resize {
    const char *name;
    ImageArgs args;
    char sign; /* '+', '-' or 0: the size is the new one */
    int64_t size;
    PreallocMode prealloc;
    bool shrink;
    bool quiet;
} Resize;

static PreallocMode parse_prealloc(const char *text)
{
    static const char *const modes[] = { "off", "metadata", "falloc", "full" };

    for (size_t i = 0; i < G_N_ELEMENTS(modes); i++) {
        if (g_str_equal(text, modes[i])) {
            return (PreallocMode)i;
        }
    }
    tool_args_usage("Invalid preallocation mode '%s'", text);
}

static bool parse_size(Resize *r, const char *text)
{
    uint64_t bytes;

    if (*text == '+' || *text == '-') {
        r->sign = *text++;
    }
    if (!size_parse(text, &bytes, NULL)) {
        tool_error("Parameter 'size' expects a non-negative number below "
                   "2^63");
        tool_hint("Optional suffix k, M, G, T, P or E means kilo-, mega-, "
                  "giga-, tera-, peta-");
        tool_hint("and exabytes, respectively.");
        return false;
    }
    r->size = (int64_t)bytes;
    return true;
}

/* ---- Resizing ---- */

/* The new size; 0: it is none. */
static int64_t new_size(const Resize *r, int64_t current)
{
    int64_t size = r->size;

    if (r->sign == '+' && __builtin_add_overflow(current, r->size, &size)) {
        return 0;
    }
    if (r->sign == '-') {
        size = current - r->size;
    }
    return MAX(size, 0);
}

static bool check_size(const Resize *r, int64_t current, int64_t size)
{
    if (size <= 0) {
        tool_error("New image size must be positive");
        return false;
    }
    if (size <= current && r->prealloc != PREALLOC_MODE_OFF) {
        tool_error("Preallocation can only be used for growing images");
        return false;
    }
    if (size < current && !r->shrink) {
        tool_error("Use the --shrink option to perform a shrink operation.");
        tool_warning("Shrinking an image will delete all data beyond the "
                     "shrunken image's end. Before performing such an "
                     "operation, make sure there is no important data there.");
        return false;
    }
    return true;
}

static bool resize_opened(const Resize *r, BlockBackend *blk)
{
    g_autoptr(GError) error = NULL;
    int64_t current = blk_getlength(blk);
    if (current < 0) {
        g_autofree char *reason = blk_strerror((int)current);
        tool_error("Failed to inquire current image length: %s", reason);
        return false;
    }
    int64_t size = new_size(r, current);
    if (!check_size(r, current, size)) {
        return false;
    }
    if (blk_truncate(blk, size, false, r->prealloc, &error) < 0) {
        tool_error("Could not resize '%s': %s", r->name, error->message);
        return false;
    }
    int ret = blk_flush(blk);
    if (ret < 0) {
        g_autofree char *reason = blk_strerror(ret);
        tool_error("Could not resize '%s': %s", r->name, reason);
        return false;
    }
    return true;
}

static bool resize(const Resize *r)
{
    g_autoptr(BlockBackend)
        blk = image_open_flags(r->name, &r->args, BDRV_O_RDWR | BDRV_O_RESIZE);
    bool ok = blk && resize_opened(r, blk);

    ok = image_finish(blk, r->name) && ok;
    if (ok && !r->quiet) {
        printf("Image resized.\n");
    }
    return ok;
}

/* ---- The command line ---- */

static void take_option(Resize *r, int key, const char *arg)
{
    switch (key) {
    case KEY_PREALLOCATION:
        r->prealloc = parse_prealloc(arg);
        break;
    case KEY_SHRINK:
        r->shrink = true;
        break;
    case 'q':
        r->quiet = true;
        break;
    default:
        image_args_take(&r->args, key, arg);
        break;
    }
}

/* "-1M" is a size, not an option: the last word is taken first. */
static bool last_is_size(int argc, char **argv)
{
    return argc > 2 && (g_ascii_isdigit(argv[argc - 1][0]) ||
                        g_ascii_isdigit(argv[argc - 1][1]));
}

static int run_resize(const Command *command, int argc, char **argv)
{
    const char *expecting = argc < 3 ? "Not enough arguments"
                                     : "Expecting image file name and size";
    Resize r = { .prealloc = PREALLOC_MODE_OFF };
    const char *size = NULL;
    const char *arg;
    int key, n;

    if (argc > 1 && last_is_size(argc, argv)) {
        size = argv[--argc];
    }
    tool_args_begin(command, argc, argv);
    while ((key = tool_args_next(&arg)) != -1) {
        take_option(&r, key, arg);
    }
    char **names = tool_args_operands(size ? 1 : 2, size ? 1 : 2, expecting,
                                      &n);
    r.name = names[0];
    image_args_check(&r.args);
    return parse_size(&r, size ? size : names[1]) && resize(&r) ? 0 : 1;
}

static const ToolOption options[] = {
    TOOL_OPTION_FORMAT,
    { KEY_PREALLOCATION, "preallocation", "MODE",
      "Room for what is new: off, metadata, falloc or full" },
    { KEY_SHRINK, "shrink", NULL, "Allow data behind the new end to be lost" },
    TOOL_OPTION_IMAGE_OPTS,
    TOOL_OPTION_QUIET,
    { 0 },
};

const Command command_resize = {
    .name = "resize",
    .operands = "IMAGE [+|-]SIZE",
    .summary = "Change the size of an image",
    .options = options,
    .run = run_resize,
};
