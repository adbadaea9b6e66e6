/* SPDX-License-Identifier: MIT */
/* vvfat-img dd: a part of an image to a new image. */
#include <string.h>

#include "block/block.h"
#include "tools/image-copy.h"
#include "tools/tool-args.h"
#include "tools/tool-image.h"
#include "tools/tool-output.h"

#define SPARSE_BYTES 4096

typedef struct Operands {
    const char *input, *output;
    int64_t block_bytes;
    int64_t count; /* -1: to the end */
    int64_t skip;
} Operands;

static void take_operand(Operands *o, char *text)
{
    char *value = strchr(text, '=');

    if (!value) {
        tool_args_usage("unrecognized operand %s", text);
    }
    *value++ = '\0';
    if (g_str_equal(text, "if")) {
        o->input = value;
    } else if (g_str_equal(text, "of")) {
        o->output = value;
    } else if (g_str_equal(text, "bs")) {
        o->block_bytes = tool_args_size("bs", value);
        if (o->block_bytes < 1 || o->block_bytes > INT32_MAX) {
            tool_args_usage("Invalid bs specified. Must be between 1 and %d.",
                            INT32_MAX);
        }
    } else if (g_str_equal(text, "count")) {
        o->count = tool_args_size("count", value);
    } else if (g_str_equal(text, "skip")) {
        o->skip = tool_args_size("skip", value);
    } else {
        tool_args_usage("unrecognized operand %s", text);
    }
}

/* a * b, no more than `limit`. */
static int64_t product_up_to(int64_t a, int64_t b, int64_t limit)
{
    int64_t product;

    return __builtin_mul_overflow(a, b, &product) ? limit
                                                  : MIN(product, limit);
}

static void set_range(ImageCopy *copy, const Operands *o)
{
    int64_t length = copy->source->length;

    copy->offset = product_up_to(o->skip, o->block_bytes, length);
    copy->bytes = length - copy->offset;
    if (copy->bytes == 0 && o->skip > 0) {
        tool_error("%s: cannot skip to specified offset", o->input);
    }
    if (o->count >= 0) {
        copy->bytes = product_up_to(o->count, o->block_bytes, copy->bytes);
    }
}

static bool run_copy(ImageCopy *copy, const Operands *o, const ImageArgs *args)
{
    BlockBackend *blk = image_open_source(o->input, args);

    if (!blk) {
        return false;
    }
    image_warn_report(blk);
    int ret = copy_source_add(copy->source, blk);
    if (ret < 0) {
        g_autofree char *reason = blk_strerror(ret);
        tool_error("Could not get the size of '%s': %s", o->input, reason);
        return false;
    }
    set_range(copy, o);
    return image_copy(copy);
}

static int run_dd(const Command *command, int argc, char **argv)
{
    Operands o = { .block_bytes = 512, .count = -1 };
    ImageArgs args = { 0 };
    ImageCopy copy = { .format = "raw",
                       .cache = "unsafe",
                       .sparse_bytes = SPARSE_BYTES };
    const char *arg;
    int key, n;

    tool_args_begin(command, argc, argv);
    while ((key = tool_args_next(&arg)) != -1) {
        if (key == 'O') {
            copy.format = arg;
        } else {
            image_args_take(&args, key, arg);
        }
    }
    image_args_check(&args);
    char **operands = tool_args_operands(0, -1, "", &n);
    for (int i = 0; i < n; i++) {
        take_operand(&o, operands[i]);
    }
    if (!o.input || !o.output) {
        tool_args_usage("Must specify both input and output files");
    }
    if (!image_format_exists(copy.format)) {
        tool_error("Unknown file format '%s'", copy.format);
        return 1;
    }
    copy.target = o.output;
    copy.source = copy_source_new();
    bool ok = run_copy(&copy, &o, &args);
    copy_source_free(copy.source);
    return ok ? 0 : 1;
}

static const ToolOption options[] = {
    TOOL_OPTION_FORMAT,
    { 'O', NULL, "FMT", "Format of the output (raw)" },
    TOOL_OPTION_FORCE_SHARE,
    TOOL_OPTION_IMAGE_OPTS,
    { 0 },
};

const Command command_dd = {
    .name = "dd",
    .operands = "[bs=BYTES] [count=N] [skip=N] if=INPUT of=OUTPUT",
    .summary = "Copy a part of an image to a new image",
    .notes = "  bs=BYTES                   Size of a block (512)\n"
             "  count=N                    Copy N blocks at most\n"
             "  skip=N                     Leave out N blocks at the start\n",
    .options = options,
    .run = run_dd,
};
