/* SPDX-License-Identifier: MIT */
/* vvfat-img info: what an image is. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "block/block.h"
#include "block/vvfat/kept-probe.h"
#include "tools/info-snapshots.h"
#include "tools/tool-args.h"
#include "tools/tool-image.h"
#include "tools/tool-output.h"
#include "util/size.h"

enum { KEY_BACKING_CHAIN = KEY_COMMAND };

typedef struct InfoArgs {
    ImageArgs image;
    bool json, chain, quiet;
} InfoArgs;

/* One image of the chain. */
typedef struct ImageInfo {
    BdrvInfo *info;
    Options *snapshots; /* taken out of info->specific */
} ImageInfo;

static void image_info_free(void *opaque)
{
    ImageInfo *image = opaque;

    bdrv_info_free(image->info);
    options_free(image->snapshots);
    g_free(image);
}

/* ---- For people ---- */

/* The parts of `key` that `previous` does not begin with, as headings with
 * their depth, then the value. */
typedef struct Nested {
    char *previous;
} Nested;

static void print_heading(const char *part, int depth)
{
    g_autofree char *text = g_strdup(part);

    if (g_ascii_isdigit(text[0])) {
        printf("%*s[%s]:\n", 4 * depth, "", text);
    } else {
        printf("%*s%s:\n", 4 * depth, "", g_strdelimit(text, "-", ' '));
    }
}

static void print_fact(const char *key, const char *value, void *opaque)
{
    Nested *nested = opaque;
    g_auto(GStrv) parts = g_strsplit(key, ".", -1);
    g_auto(GStrv) old = g_strsplit(nested->previous, ".", -1);
    guint last = g_strv_length(parts) - 1;
    bool same = true;

    if (g_str_has_prefix(key, "report.") ||
        g_str_has_prefix(key, "pending.")) {
        return;
    }
    for (guint i = 0; i < last; i++) {
        same = same && old[i] && g_str_equal(old[i], parts[i]);
        if (!same) {
            print_heading(parts[i], (int)i + 1);
        }
    }
    g_autofree char *clean = tool_escape(value, false);
    bool is_flag = g_str_equal(value, "on") || g_str_equal(value, "off");
    bool is_element = g_ascii_isdigit(parts[last][0]);
    printf("%*s%s%s%s: %s\n", 4 * ((int)last + 1), "", is_element ? "[" : "",
           g_strdelimit(parts[last], "-", ' '), is_element ? "]" : "",
           !is_flag                   ? clean
           : g_str_equal(value, "on") ? "true"
                                      : "false");
    g_free(nested->previous);
    nested->previous = g_strdup(key);
}

typedef char *InfoLine(const BdrvInfo *info, unsigned i);

static void print_list(const BdrvInfo *info, const char *heading,
                       InfoLine *entry)
{
    for (unsigned i = 0;; i++) {
        g_autofree char *line = entry(info, i);
        if (!line) {
            return;
        }
        if (i == 0) {
            printf("%s:\n", heading);
        }
        g_autofree char *clean = tool_escape(line, true);
        printf("    %s\n", clean);
    }
}

static void print_backing(const BdrvInfo *info)
{
    if (info->backing_filename) {
        g_autofree char *name = tool_escape(info->backing_filename, false);
        const char *full = info->full_backing_filename;
        printf("backing file: %s", name);
        if (full && !g_str_equal(full, info->backing_filename)) {
            g_autofree char *clean = tool_escape(full, false);
            printf(" (actual path: %s)", clean);
        }
        printf("\n");
    }
    if (info->backing_format) {
        g_autofree char *format = tool_escape(info->backing_format, false);
        printf("backing file format: %s\n", format);
    }
}

static void print_human(const ImageInfo *image, bool quiet)
{
    const BdrvInfo *info = image->info;
    g_autofree char *size = size_format((uint64_t)info->virtual_size);
    g_autofree char *name = tool_escape(info->filename, false);

    printf("image: %s\nfile format: %s\nvirtual size: %s (%" PRId64
           " bytes)\n",
           name, info->format, size, info->virtual_size);
    if (info->allocated_size < 0) {
        printf("disk size: unavailable\n");
    } else {
        g_autofree char *allocated =
            size_format((uint64_t)info->allocated_size);
        printf("disk size: %s\n", allocated);
    }
    if (info->encrypted) {
        printf("encrypted: yes\n");
    }
    if (info->cluster_size > 0) {
        printf("cluster_size: %" PRId64 "\n", info->cluster_size);
    }
    if (info->dirty) {
        printf("cleanly shut down: no\n");
    }
    print_backing(info);
    info_snapshots_print(image->snapshots);
    if (info->specific && options_size(info->specific) > 0) {
        Nested nested = { .previous = g_strdup("") };
        printf("Format specific information:\n");
        options_foreach(info->specific, print_fact, &nested);
        g_free(nested.previous);
        if (!quiet) {
            print_list(info, "Not in the directory yet", image_pending_line);
            print_list(info, "Not as in the directory", image_report_line);
        }
    }
}

/* ---- JSON ---- */

static void add_string(JsonWriter *w, const char *name, const char *value)
{
    if (value) {
        g_autofree char *clean = tool_json_name(value);
        json_string(w, name, clean);
    }
}

static void write_json(JsonWriter *w, const ImageInfo *image)
{
    const BdrvInfo *info = image->info;

    json_begin_object(w, NULL);
    add_string(w, "backing-filename-format", info->backing_format);
    info_snapshots_write(image->snapshots, w);
    json_int(w, "virtual-size", info->virtual_size);
    add_string(w, "filename", info->filename);
    if (info->cluster_size > 0) {
        json_int(w, "cluster-size", info->cluster_size);
    }
    json_string(w, "format", info->format);
    if (info->allocated_size >= 0) {
        json_int(w, "actual-size", info->allocated_size);
    }
    if (info->encrypted) {
        json_bool(w, "encrypted", true);
    }
    if (info->specific && options_size(info->specific) > 0) {
        json_begin_object(w, "format-specific");
        json_string(w, "type", info->specific_format);
        json_options(w, "data", info->specific);
        json_end_object(w);
    }
    add_string(w, "full-backing-filename", info->full_backing_filename);
    add_string(w, "backing-filename", info->backing_filename);
    json_bool(w, "dirty-flag", info->dirty);
    json_end_object(w);
}

/* ---- The chain ---- */

/* An overlay says which directory it belongs to, and how to open that. */
static void add_directory(BlockBackend *blk, const char *name, BdrvInfo *info)
{
    g_autoptr(Options) directory = NULL;
    g_autofree char *open = NULL;

    if (!g_str_equal(info->format, "qcow2")) {
        return;
    }
    directory = kept_probe(blk, name);
    if (!directory) {
        return;
    }
    if (!info->specific) {
        info->specific = options_new();
    }
    open = options_to_json(directory);
    options_set(info->specific, "overlay.of", options_get(directory, "dir"));
    options_set(info->specific, "overlay.open-with", open);
}

/* The image alone: whether its backing file is there does not matter. flags:
 * further ones. */
static ImageInfo *load_info(const char *name, const ImageArgs *args,
                            unsigned flags)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(BlockBackend)
        blk = image_open_flags(name, args, BDRV_O_NO_BACKING | flags);

    if (!blk) {
        return NULL;
    }
    BdrvInfo *info = blk_get_info(blk, &error);
    if (!info) {
        tool_error("%s: %s", name, error->message);
        return NULL;
    }
    add_directory(blk, name, info);
    ImageInfo *image = g_new0(ImageInfo, 1);
    image->info = info;
    image->snapshots = options_take_prefix(info->specific, "snapshots");
    return image;
}

/* What tells an image from others: its file, which may have many names, or
 * what else its name says. */
static char *image_identity(const char *name)
{
    struct stat st;

    return stat(name, &st) == 0
               ? g_strdup_printf("%ju:%ju", (uintmax_t)st.st_dev,
                                 (uintmax_t)st.st_ino)
               : g_strdup(name);
}

/* After an error with the backing file of the last image: who needs it. */
static void say_who_needs_it(const GPtrArray *chain)
{
    g_autoptr(GString) text = g_string_new(NULL);

    for (guint i = chain->len; i-- > 0;) {
        const ImageInfo *image = g_ptr_array_index(chain, i);

        g_string_append_printf(text, "%s the backing file of '%s'",
                               text->len > 0 ? "," : "It is",
                               image->info->filename);
    }
    if (text->len > 0) {
        tool_error("%s", text->str);
    }
}

/* The images from `name` down, or NULL with the error printed. */
static GPtrArray *load_chain(const char *name, const InfoArgs *args)
{
    g_autoptr(GPtrArray)
        chain = g_ptr_array_new_with_free_func(image_info_free);
    g_autoptr(GHashTable)
        seen = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    ImageArgs image = args->image;
    const char *next = name;

    while (next) {
        if (!g_hash_table_add(seen, image_identity(next))) {
            tool_error("Backing file '%s' creates an infinite loop.", next);
            return NULL;
        }
        ImageInfo *loaded = load_info(next, &image,
                                      next == name ? 0 : BDRV_O_BACKING);
        if (!loaded) {
            say_who_needs_it(chain);
            return NULL;
        }
        g_ptr_array_add(chain, loaded);
        next = args->chain ? loaded->info->full_backing_filename : NULL;
        image.image_opts = false;
        image.format = loaded->info->backing_format;
    }
    return g_steal_pointer(&chain);
}

static void print_chain(const GPtrArray *chain, const InfoArgs *args)
{
    if (!args->json) {
        for (guint i = 0; i < chain->len; i++) {
            printf("%s", i > 0 ? "\n" : "");
            print_human(g_ptr_array_index(chain, i), args->quiet);
        }
        return;
    }
    JsonWriter *w = json_writer_new(true);
    if (args->chain) {
        json_begin_array(w, NULL);
    }
    for (guint i = 0; i < chain->len; i++) {
        write_json(w, g_ptr_array_index(chain, i));
    }
    if (args->chain) {
        json_end_array(w);
    }
    tool_print_json(w);
}

static int run_info(const Command *command, int argc, char **argv)
{
    InfoArgs args = { 0 };
    const char *arg;
    int key, n;

    tool_args_begin(command, argc, argv);
    while ((key = tool_args_next(&arg)) != -1) {
        if (key == KEY_OUTPUT) {
            args.json = tool_args_output_is_json(arg);
        } else if (key == KEY_BACKING_CHAIN) {
            args.chain = true;
        } else if (key == 'q') {
            args.quiet = true;
        } else {
            image_args_take(&args.image, key, arg);
        }
    }
    image_args_check(&args.image);
    char **names = tool_args_operands(1, 1, "Expecting one image file name",
                                      &n);
    g_autoptr(GPtrArray) chain = load_chain(names[0], &args);
    if (!chain) {
        return 1;
    }
    print_chain(chain, &args);
    return 0;
}

static const ToolOption options[] = {
    TOOL_OPTION_FORMAT,
    TOOL_OPTION_OUTPUT,
    { KEY_BACKING_CHAIN, "backing-chain", NULL,
      "Describe the backing files, too" },
    { 'q', NULL, NULL, "Do not list what is not as in the directory" },
    TOOL_OPTION_FORCE_SHARE,
    TOOL_OPTION_IMAGE_OPTS,
    { 0 },
};

const Command command_info = {
    .name = "info",
    .operands = "IMAGE",
    .summary = "Describe an image",
    .options = options,
    .run = run_info,
};
