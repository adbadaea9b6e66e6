/* SPDX-License-Identifier: MIT */
/* vvfat-img create: an empty image. */
#include <errno.h>
#include <inttypes.h>

#include "block/driver.h"
#include "tools/target-args.h"
#include "tools/tool-args.h"
#include "tools/tool-backing.h"
#include "tools/tool-image.h"
#include "tools/tool-output.h"
#include "util/size.h"

typedef struct Create {
    const char *format, *filename;
    Options *options;           /* for creating it */
    const char *backing;        /* -b, or NULL */
    const char *backing_format; /* -F, or NULL */
    bool unsafe;                /* the backing file is not looked at */
    bool quiet;
} Create;

/* ---- "Formatting ..." ---- */

/* In this order, as qemu-img; those that the user gave, and defaults that an
 * image depends on. */
static const struct {
    const char *name;
    bool with_default;
} printed[] = {
    { "cluster_size", true },   { "preallocation", false },
    { "data_file", false },     { "compression_type", true },
    { "size", true },           { "compat", false },
    { "backing_file", false },  { "backing_fmt", false },
    { "lazy_refcounts", true }, { "refcount_bits", true },
    { "nocow", false },
};

static const OptionDesc *find_option(const OptionDesc *table, const char *name)
{
    for (; table->name; table++) {
        if (g_str_equal(table->name, name)) {
            return table;
        }
    }
    return NULL;
}

static void print_option(const OptionDesc *desc, const char *value)
{
    uint64_t bytes;

    printf(" %s=", desc->name);
    if (desc->type == OPTION_SIZE && size_parse(value, &bytes, NULL)) {
        printf("%" PRIu64, bytes);
    } else {
        tool_print_name(value);
    }
}

static void print_options(const Create *c)
{
    const OptionDesc *table = bdrv_find_format(c->format)->create_options;

    if (g_str_equal(c->format, "raw")) {
        print_option(find_option(table, "size"),
                     options_get(c->options, "size"));
    }
    for (size_t i = 0; i < G_N_ELEMENTS(printed); i++) {
        const OptionDesc *desc = find_option(table, printed[i].name);
        const char *value = options_get(c->options, printed[i].name);
        if (desc && !value && printed[i].with_default) {
            value = desc->def;
        }
        if (value && desc &&
            !(g_str_equal(c->format, "raw") &&
              g_str_equal(desc->name, "size"))) {
            print_option(desc, value);
        }
    }
}

/* ---- Checks ---- */

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

static bool check_backing_options(const Create *c)
{
    if (c->backing && !*c->backing) {
        tool_error("%s: Expected backing file name, got empty string",
                   c->filename);
        return false;
    }
    if ((c->backing || c->backing_format) &&
        !backing_is_supported(c->format)) {
        tool_error("%s: Backing %s not supported for file format '%s'",
                   c->filename, c->backing ? "file" : "format", c->format);
        return false;
    }
    if (c->backing_format && !c->backing) {
        tool_error("%s: Backing format cannot be used without backing file",
                   c->filename);
        return false;
    }
    return true;
}

static bool refuse_without_format(const Create *c, BlockBackend *backing)
{
    tool_error("%s: Backing file specified without backing format",
               c->filename);
    if (backing) {
        tool_hint("Detected format of %s.", blk_get_format_name(backing));
    }
    return false;
}

/* The size is that of the backing file, unless another one is given. */
static bool take_backing_size(const Create *c, BlockBackend *backing)
{
    int64_t length = backing ? blk_getlength(backing) : 0;

    if (length < 0) {
        g_autofree char *reason = blk_strerror((int)length);
        tool_error("%s: Could not get size of '%s': %s", c->filename,
                   c->backing, reason);
        return false;
    }
    if (backing && !options_has(c->options, "size")) {
        options_set_int(c->options, "size", length);
    }
    return true;
}

/* *opened: the backing file if it is a directory, or NULL. */
static bool check_backing(const Create *c, BlockBackend **opened)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(BlockBackend) backing = NULL;

    if (!check_backing_options(c)) {
        return false;
    }
    if (!c->backing) {
        return true;
    }
    if (!c->unsafe) {
        backing = backing_open(c->filename, c->backing, c->backing_format,
                               &error);
        if (!backing) {
            tool_error("%s: %s", c->filename, error->message);
            if (error->code != ELOOP) {
                tool_hint("Could not open backing image.");
            }
            return false;
        }
    }
    if (!c->backing_format) {
        return refuse_without_format(c, backing);
    }
    if (!take_backing_size(c, backing)) {
        return false;
    }
    if (backing_is_directory(c->backing, c->backing_format)) {
        *opened = g_steal_pointer(&backing);
    }
    return true;
}

/* ---- Creating ---- */

/* What the backing directory is like goes into the image. */
static bool record_directory(const Create *c, BlockBackend *backing)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Options) options = options_new();
    g_autoptr(BlockBackend) blk = NULL;

    options_set(options, "driver", c->format);
    blk = blk_open(c->filename, options, BDRV_O_RDWR | BDRV_O_NO_BACKING,
                   &error);
    if (!blk || blk_record_fingerprint(blk, backing, &error) < 0) {
        tool_error("%s: %s", c->filename, error->message);
        return false;
    }
    return true;
}

static bool create(const Create *c)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(BlockBackend) backing = NULL;

    if (!has_creation(c->format, c->filename) || !check_backing(c, &backing)) {
        return false;
    }
    const char *size = options_get(c->options, "size");
    if (!size) {
        tool_error("%s: Image creation needs a size parameter", c->filename);
        return false;
    }
    options_set_int(c->options, "size", tool_args_size("image size", size));
    if (!bdrv_create(c->format, c->filename, c->options, &error)) {
        tool_error("%s: %s", c->filename, error->message);
        return false;
    }
    if (backing && !record_directory(c, backing)) {
        return false;
    }
    if (!c->quiet) {
        printf("Formatting '");
        tool_print_name(c->filename);
        printf("', fmt=%s", c->format);
        print_options(c);
        printf("\n");
    }
    return true;
}

/* False when the options are asked for. */
static bool add_options(Create *c, const char *text)
{
    g_autoptr(GError) error = NULL;

    if (target_options_are_help(text)) {
        return false;
    }
    if (!options_parse_keyval(c->options, text, NULL, &error)) {
        tool_args_usage("%s", error->message);
    }
    return true;
}

static void take_size(const Create *c, const char *text)
{
    int64_t bytes = tool_args_size("image size", text);

    if (options_has(c->options, "size")) {
        tool_args_usage("%s: The image size must be specified only once",
                        c->filename);
    }
    options_set_int(c->options, "size", bytes);
}

static int run_create(const Command *command, int argc, char **argv)
{
    g_autoptr(Options) create_options = options_new();
    Create c = { .format = "raw", .options = create_options };
    bool help = false;
    const char *arg;
    int key, n;

    tool_args_begin(command, argc, argv);
    while ((key = tool_args_next(&arg)) != -1) {
        switch (key) {
        case 'f':
            c.format = arg;
            break;
        case 'b':
            c.backing = arg;
            break;
        case 'F':
            c.backing_format = arg;
            break;
        case 'u':
            c.unsafe = true;
            break;
        case 'q':
            c.quiet = true;
            break;
        default:
            help = !add_options(&c, arg) || help;
            break;
        }
    }
    if (help) {
        return target_options_print_help(c.format) ? 0 : 1;
    }
    char **names = tool_args_operands(1, -1, "Expecting image file name", &n);
    if (n > 2) {
        tool_args_usage("Unexpected argument: %s", names[2]);
    }
    c.filename = names[0];
    target_options_take_backing(c.options, &c.backing, &c.backing_format);
    if (n == 2) {
        take_size(&c, names[1]);
    }
    return create(&c) ? 0 : 1;
}

static const ToolOption options[] = {
    { 'f', NULL, "FMT", "Format of the image (raw)" },
    { 'b', NULL, "FILE", "Backing file: what is not written is read from it" },
    { 'F', NULL, "FMT", "Format of the backing file; needed with -b" },
    { 'u', NULL, NULL, "Do not look at the backing file; SIZE is needed" },
    { 'o', NULL, "OPTIONS", "Create options; help lists them" },
    TOOL_OPTION_QUIET,
    { 0 },
};

const Command command_create = {
    .name = "create",
    .operands = "FILE [SIZE]",
    .summary = "Create an empty image",
    .notes = "Without SIZE the image gets the size of its backing file.\n",
    .options = options,
    .run = run_create,
};
