/* SPDX-License-Identifier: MIT */
/* vvfat-img ls: the files of a FAT volume. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tools/tool-args.h"
#include "tools/tool-fat.h"
#include "tools/tool-output.h"

typedef struct Listing {
    FatArgs fat;
    bool json, details, recursive;
    const TreeNode *base; /* paths are told from there */
    JsonWriter *writer;
} Listing;

/* ---- One node ---- */

static void attribute_letters(const TreeNode *node, char text[6])
{
    static const struct {
        uint8_t bit;
        char letter;
    } letters[] = {
        { FAT_ATTR_DIRECTORY, 'd' }, { FAT_ATTR_READ_ONLY, 'r' },
        { FAT_ATTR_HIDDEN, 'h' },    { FAT_ATTR_SYSTEM, 's' },
        { FAT_ATTR_ARCHIVE, 'a' },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(letters); i++) {
        text[i] = node->attr & letters[i].bit ? letters[i].letter : '-';
    }
    text[G_N_ELEMENTS(letters)] = '\0';
}

static char *shown_path(const Listing *l, const TreeNode *node)
{
    return node == l->base ? g_strdup(fat_node_name(node))
                           : fat_node_path(node, l->base);
}

static void print_line(const Listing *l, const TreeNode *node)
{
    g_autofree char *path = shown_path(l, node);

    if (l->details) {
        char attributes[6], time[20];
        attribute_letters(node, attributes);
        fat_time_format(node->mtime, time);
        printf("%s %10" PRIu32 " %s ", attributes, node->size, time);
    }
    tool_print_name(path);
    printf("%s\n", tree_is_directory(node) ? "/" : "");
}

/* ISO 8601 without a zone: FAT has none. */
static void add_time(JsonWriter *w, const char *name, FatTime time,
                     int hundredths)
{
    char text[20];

    if (time.date == 0) {
        return;
    }
    fat_time_format(time, text);
    text[10] = 'T';
    if (hundredths > 0) {
        int seconds = atoi(text + 17) + hundredths / 100;
        g_autofree char *precise = g_strdup_printf("%.17s%02d.%02d", text,
                                                   seconds, hundredths % 100);
        json_string(w, name, precise);
    } else {
        json_string(w, name, text);
    }
}

static void add_short_name(JsonWriter *w, const TreeNode *node)
{
    char text[FAT_SHORT_NAME_SIZE + 2] = "";
    size_t n = 0;

    for (size_t i = 0; i < FAT_SHORT_NAME_SIZE; i++) {
        if (i == 8 && memcmp(node->short_name + 8, "   ", 3) != 0) {
            text[n++] = '.';
        }
        if (node->short_name[i] != ' ') {
            text[n++] = (char)node->short_name[i];
        }
    }
    g_autofree char *clean = tool_json_name(text);
    json_string(w, "short-name", clean);
}

static void add_json(const Listing *l, const TreeNode *node)
{
    JsonWriter *w = l->writer;
    g_autofree char *path = shown_path(l, node);
    g_autofree char *clean = tool_json_name(path);
    FatTime access = { .date = node->adate };
    char attributes[6];

    attribute_letters(node, attributes);
    json_begin_object(w, NULL);
    json_string(w, "path", clean);
    json_string(w, "type", tree_is_directory(node) ? "directory" : "file");
    json_int(w, "size", node->size);
    json_string(w, "attributes", attributes);
    add_short_name(w, node);
    add_time(w, "modified", node->mtime, 0);
    add_time(w, "created", node->ctime, node->ctime_10ms);
    add_time(w, "accessed", access, 0);
    json_end_object(w);
}

static void show(const Listing *l, const TreeNode *node)
{
    if (l->json) {
        add_json(l, node);
    } else {
        print_line(l, node);
    }
}

/* ---- The listing ---- */

/* Parents before children, however deep: by the parent pointers. */
static void show_below(const Listing *l)
{
    g_autoptr(GArray) next = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    const TreeNode *dir = l->base;
    uint32_t i = 0;

    for (;;) {
        if (i < dir->n_children) {
            const TreeNode *node = dir->children[i++];
            show(l, node);
            if (l->recursive && node->n_children > 0) {
                g_array_append_val(next, i);
                dir = node;
                i = 0;
            }
        } else if (next->len == 0) {
            return;
        } else {
            i = g_array_index(next, uint32_t, next->len - 1);
            g_array_set_size(next, next->len - 1);
            dir = dir->parent;
        }
    }
}

static int list(Listing *l, const char *image, const char *path)
{
    FatSource source;
    int status = 1;

    if (fat_source_open(&source, image, &l->fat)) {
        l->base = fat_source_lookup(&source, path);
    }
    if (l->base) {
        if (l->json) {
            l->writer = json_writer_new(true);
            json_begin_array(l->writer, NULL);
        }
        if (tree_is_directory(l->base)) {
            show_below(l);
        } else {
            show(l, l->base);
        }
        if (l->json) {
            json_end_array(l->writer);
            tool_print_json(l->writer);
        }
        status = 0;
    }
    fat_source_close(&source);
    return status;
}

static int run_ls(const Command *command, int argc, char **argv)
{
    Listing l = { .fat = FAT_ARGS_DEFAULT };
    const char *arg;
    int key, n;

    tool_args_begin(command, argc, argv);
    while ((key = tool_args_next(&arg)) != -1) {
        switch (key) {
        case 'l':
            l.details = true;
            break;
        case 'R':
            l.recursive = true;
            break;
        case KEY_OUTPUT:
            l.json = tool_args_output_is_json(arg);
            break;
        default:
            fat_args_take(&l.fat, key, arg);
            break;
        }
    }
    image_args_check(&l.fat.image);
    char **names = tool_args_operands(
        1, 2, "Expecting one image file name, and one path at most", &n);
    return list(&l, names[0], n == 2 ? names[1] : "");
}

static const ToolOption options[] = {
    { 'l', NULL, NULL, "Attributes, size and time of modification, too" },
    { 'R', NULL, NULL, "Directories with all that is below them" },
    TOOL_OPTION_PARTITION,
    TOOL_OPTION_OUTPUT,
    TOOL_OPTION_CODEPAGE,
    TOOL_OPTION_FORMAT,
    TOOL_OPTION_FORCE_SHARE,
    TOOL_OPTION_IMAGE_OPTS,
    { 0 },
};

const Command command_ls = {
    .name = "ls",
    .operands = "IMAGE [PATH]",
    .summary = "List the files of a FAT volume",
    .notes = "Attributes: d directory, r read-only, h hidden, s system, "
             "a archive.\n",
    .options = options,
    .run = run_ls,
};
