/* SPDX-License-Identifier: MIT */
/* vvfat-img create: an empty image. */
#include <inttypes.h>

#include "block/block.h"
#include "tools/tool-args.h"
#include "tools/tool-image.h"
#include "tools/tool-output.h"

static void print_value(const char *key, const char *value, void *opaque)
{
    (void)opaque;
    if (!g_str_equal(key, "size")) {
        printf(" %s=%s", key, value);
    }
}

static bool has_creation(const char *format, const char *filename)
{
    g_autofree char *help = NULL;

    if (!image_format_exists(format)) {
        tool_error("%s: Unknown file format '%s'", filename, format);
        return false;
    }
    help = bdrv_format_options_help(format, true);
    if (!help) {
        tool_error("%s: Format driver '%s' does not support image creation",
                   filename, format);
        return false;
    }
    return true;
}

static bool create(const char *format, const char *filename,
                   Options *create_options, bool quiet)
{
    g_autoptr(GError) error = NULL;
    const char *size = options_get(create_options, "size");

    if (!size) {
        tool_error("%s: Image creation needs a size parameter", filename);
        return false;
    }
    options_set_int(create_options, "size",
                    tool_args_size("image size", size));
    if (!has_creation(format, filename)) {
        return false;
    }
    if (!bdrv_create(format, filename, create_options, &error)) {
        tool_error("%s: %s", filename, error->message);
        return false;
    }
    if (!quiet) {
        printf("Formatting '");
        tool_print_name(filename);
        printf("', fmt=%s size=%s", format,
               options_get(create_options, "size"));
        options_foreach(create_options, print_value, NULL);
        printf("\n");
    }
    return true;
}

static int run_create(const Command *command, int argc, char **argv)
{
    const char *format = "raw";
    g_autoptr(Options) create_options = options_new();
    g_autoptr(GError) error = NULL;
    bool quiet = false;
    const char *arg;
    int key, n;

    tool_args_begin(command, argc, argv);
    while ((key = tool_args_next(&arg)) != -1) {
        if (key == 'f') {
            format = arg;
        } else if (key == 'q') {
            quiet = true;
        } else if (g_str_equal(arg, "help") || g_str_equal(arg, "?")) {
            g_autofree char *help = bdrv_format_options_help(format, true);
            if (!has_creation(format, "help")) {
                return 1;
            }
            printf("Supported %s options:\n%s", format, help);
            return 0;
        } else if (!options_parse_keyval(create_options, arg, NULL, &error)) {
            tool_args_usage("%s", error->message);
        }
    }
    char **names = tool_args_operands(1, 2, "Expecting image file name", &n);
    if (n == 2) {
        g_autofree char *size = g_strdup_printf(
            "%" PRId64, tool_args_size("image size", names[1]));
        options_set(create_options, "size", size);
    }
    return create(format, names[0], create_options, quiet) ? 0 : 1;
}

static const ToolOption options[] = {
    { 'f', NULL, "FMT", "Format of the image (raw)" },
    { 'o', NULL, "OPTIONS", "Create options; help lists them" },
    TOOL_OPTION_QUIET,
    { 0 },
};

const Command command_create = {
    .name = "create",
    .operands = "FILE [SIZE]",
    .summary = "Create an empty image",
    .options = options,
    .run = run_create,
};
