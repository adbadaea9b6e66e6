/* SPDX-License-Identifier: MIT */
/* vvfat-img measure: how large an image would get. */
#include <inttypes.h>

#include "block/block.h"
#include "tools/target-args.h"
#include "tools/tool-args.h"
#include "tools/tool-image.h"
#include "tools/tool-output.h"

enum { KEY_SIZE = KEY_COMMAND };

typedef struct MeasureArgs {
    ImageArgs image;
    const char *format;      /* of the image to be made */
    const char *option_text; /* -o */
    int64_t size;            /* -1: not given */
    bool json;
} MeasureArgs;

/* Bitmaps are not copied, so they need no room; told, as by qemu-img, where
 * both images could have some: qcow2 of version 3. */
static bool tells_bitmaps(const MeasureArgs *args, BlockBackend *blk,
                          const Options *create)
{
    const char *compat = options_get(create, "compat");
    g_autoptr(BdrvInfo) info = blk ? blk_get_info(blk, NULL) : NULL;

    if (!info || !g_str_equal(args->format, "qcow2") ||
        !g_str_equal(info->format, "qcow2") ||
        g_strcmp0(compat, "0.10") == 0 || g_strcmp0(compat, "v2") == 0) {
        return false;
    }
    return g_strcmp0(options_get(info->specific, "compat"), "1.1") == 0;
}

static void print_measure(const BdrvMeasure *m, bool bitmaps, bool json)
{
    if (!json) {
        printf("required size: %" PRIu64 "\nfully allocated size: %" PRIu64
               "\n%s",
               m->required, m->fully_allocated,
               bitmaps ? "bitmaps size: 0\n" : "");
        return;
    }
    JsonWriter *w = json_writer_new(true);
    json_begin_object(w, NULL);
    if (bitmaps) {
        json_int(w, "bitmaps", 0);
    }
    json_int(w, "required", (int64_t)m->required);
    json_int(w, "fully-allocated", (int64_t)m->fully_allocated);
    json_end_object(w);
    tool_print_json(w);
}

static bool measure(const MeasureArgs *args, const char *name)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Options) create = options_new();
    g_autoptr(BlockBackend) blk = NULL;
    BdrvMeasure result = { 0 };

    if (args->option_text &&
        !options_parse_keyval(create, args->option_text, NULL, &error)) {
        tool_error("%s", error->message);
        return false;
    }
    if (!image_format_exists(args->format)) {
        tool_error("Unknown file format '%s'", args->format);
        return false;
    }
    if (name) {
        blk = image_open_source(name, &args->image);
        if (!blk) {
            return false;
        }
    } else {
        options_set_int(create, "size", args->size);
    }
    if (!bdrv_measure(args->format, create, blk, &result, &error)) {
        tool_error("%s", error->message);
        return false;
    }
    print_measure(&result, tells_bitmaps(args, blk, create), args->json);
    return true;
}

static int run_measure(const Command *command, int argc, char **argv)
{
    MeasureArgs args = { .format = "raw", .size = -1 };
    const char *arg;
    int key, n;

    tool_args_begin(command, argc, argv);
    while ((key = tool_args_next(&arg)) != -1) {
        if (key == KEY_OUTPUT) {
            args.json = tool_args_output_is_json(arg);
        } else if (key == KEY_SIZE) {
            args.size = tool_args_size("image size", arg);
        } else if (key == 'O') {
            args.format = arg;
        } else if (key == 'o') {
            args.option_text = arg;
        } else {
            image_args_take(&args.image, key, arg);
        }
    }
    image_args_check(&args.image);
    if (args.option_text && target_options_are_help(args.option_text)) {
        return target_options_print_help(args.format) ? 0 : 1;
    }
    char **names = tool_args_operands(
        0, 1, "At most one filename argument is allowed.", &n);
    if (n == 0 && args.size < 0) {
        tool_args_usage("Either --size N or one filename must be specified.");
    }
    if (n == 1 && args.size >= 0) {
        tool_args_usage("--size N cannot be used together with a filename.");
    }
    return measure(&args, n ? names[0] : NULL) ? 0 : 1;
}

static const ToolOption options[] = {
    TOOL_OPTION_FORMAT,
    TOOL_OPTION_OUTPUT,
    { 'O', NULL, "FMT", "Format of the image to be made (raw)" },
    { 'o', NULL, "OPTIONS", "Its create options; help lists them" },
    { KEY_SIZE, "size", "SIZE", "Its size, when there is no image yet" },
    TOOL_OPTION_SNAPSHOT,
    TOOL_OPTION_FORCE_SHARE,
    TOOL_OPTION_IMAGE_OPTS,
    { 0 },
};

const Command command_measure = {
    .name = "measure",
    .operands = "[IMAGE]",
    .summary = "Tell how large a converted image would get",
    .options = options,
    .run = run_measure,
};
