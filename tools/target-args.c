/* SPDX-License-Identifier: MIT */
#include "tools/target-args.h"

#include "tools/tool-backing.h"
#include "tools/tool-image.h"
#include "tools/tool-output.h"

/* ---- Create options ---- */

bool target_options_are_help(const char *text)
{
    return g_str_equal(text, "help") || g_str_equal(text, "?");
}

bool target_options_print_help(const char *format)
{
    g_autofree char *help = bdrv_format_options_help(format, true);

    if (!help) {
        tool_error(image_format_exists(format)
                       ? "Format driver '%s' does not support image creation"
                       : "Unknown file format '%s'",
                   format);
        return false;
    }
    printf("Supported %s options:\n%s", format, help);
    return true;
}

void target_options_take_backing(Options *options, const char **backing,
                                 const char **format)
{
    if (*backing) {
        options_set(options, "backing_file", *backing);
    }
    if (*format) {
        options_set(options, "backing_fmt", *format);
    }
    *backing = options_get(options, "backing_file");
    *format = options_get(options, "backing_fmt");
}

/* ---- The target of a copy ---- */

void target_args_add_options(TargetArgs *args, const char *text)
{
    char *joined = args->text_of_options
                       ? g_strconcat(args->text_of_options, ",", text, NULL)
                       : g_strdup(text);

    g_free(args->text_of_options);
    args->text_of_options = joined;
    args->wants_help = args->wants_help || target_options_are_help(text);
}

static bool check_stdout(const ImageCopy *copy)
{
    if (!g_str_equal(copy->target, "-") || copy->target_image_opts) {
        return true;
    }
    if (!g_str_equal(copy->format, "raw")) {
        tool_error("Only a raw image can be written to standard output; name "
                   "a file for format %s",
                   copy->format);
        return false;
    }
    if (copy->no_create) {
        tool_error("-n needs a target that exists, not standard output");
        return false;
    }
    return true;
}

static bool parse_options(TargetArgs *args, ImageCopy *copy)
{
    g_autoptr(GError) error = NULL;

    copy->create = options_new();
    if (args->text_of_options &&
        !options_parse_keyval(copy->create, args->text_of_options, NULL,
                              &error)) {
        tool_error("%s", error->message);
        return false;
    }
    /* The size is that of the sources. */
    g_free(options_take(copy->create, "size"));
    target_options_take_backing(copy->create, &args->backing,
                                &args->backing_format);
    copy->has_backing = args->backing != NULL;
    return true;
}

/* -c: known for certain once the target is open; what certainly cannot must
 * not be created first. */
static bool check_features(const TargetArgs *args, const ImageCopy *copy)
{
    const char *prealloc = options_get(copy->create, "preallocation");

    if (!copy->format) {
        return true;
    }
    if (copy->compress && !backing_is_supported(copy->format)) {
        tool_error("Compression not supported for this file format");
        return false;
    }
    if (copy->compress && prealloc && !g_str_equal(prealloc, "off")) {
        tool_error("Compression and preallocation not supported at the same "
                   "time");
        return false;
    }
    if (args->backing && !backing_is_supported(copy->format)) {
        tool_error("Backing file not supported for file format '%s'",
                   copy->format);
        return false;
    }
    return true;
}

static bool check_backing(const TargetArgs *args, const ImageCopy *copy,
                          int n_sources)
{
    if (!args->backing) {
        if (args->backing_format) {
            tool_error("%s: error while converting %s: Backing format cannot "
                       "be used without backing file",
                       copy->target, copy->format);
        }
        return !args->backing_format;
    }
    if (n_sources > 1) {
        tool_error("Having a backing file for the target makes no sense when "
                   "concatenating multiple input images");
        return false;
    }
    if (copy->target_is_zero) {
        tool_error("Cannot use --target-is-zero when the destination image "
                   "has a backing file");
        return false;
    }
    if (copy->no_create) {
        return true;
    }
    if (!args->backing_format) {
        tool_error("Use of backing file requires explicit backing format");
        return false;
    }
    g_autoptr(GError) error = NULL;
    g_autoptr(BlockBackend) blk = backing_open(copy->target, args->backing,
                                               args->backing_format, &error);
    if (!blk) {
        tool_error("Could not open '%s': Could not open backing file: %s",
                   copy->target, error->message);
    }
    return blk != NULL;
}

bool target_args_apply(TargetArgs *args, ImageCopy *copy, int n_sources)
{
    if (!copy->format && !copy->target_image_opts) {
        copy->format = "raw";
    }
    if (copy->format && !image_format_exists(copy->format)) {
        tool_error("Unknown file format '%s'", copy->format);
        return false;
    }
    return check_stdout(copy) && parse_options(args, copy) &&
           check_features(args, copy) && check_backing(args, copy, n_sources);
}
