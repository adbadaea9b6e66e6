/* SPDX-License-Identifier: MIT */
#include "tools/tool-fat.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "block/vvfat/dirent.h"
#include "block/vvfat/kept-probe.h"
#include "tools/tool-args.h"
#include "tools/tool-output.h"

static int parse_number(const char *what, const char *text, guint64 max)
{
    guint64 n;

    if (!g_ascii_string_to_unsigned(text, 10, 0, max, &n, NULL)) {
        tool_args_usage("Invalid %s '%s'", what, text);
    }
    return (int)n;
}

bool fat_args_take(FatArgs *args, int key, const char *arg)
{
    switch (key) {
    case 'P':
        args->partition = parse_number("partition", arg, 65535);
        return true;
    case KEY_CODEPAGE:
        args->codepage = (unsigned)parse_number("code page", arg, G_MAXINT);
        return true;
    default:
        return image_args_take(&args->image, key, arg);
    }
}

/* There is no volume: an overlay is made to be opened with its directory. */
static void hint_at_overlay(BlockBackend *blk, const char *name,
                            const FatArgs *args)
{
    g_autoptr(Options)
        directory = args->image.image_opts ? NULL : kept_probe(blk, name);

    if (directory) {
        tool_hint("It is the overlay of '%s'; 'vvfat-img check' tells what "
                  "waits in it, and nbdkit shows the disk, with rw=on and "
                  "overlay=%s",
                  options_get(directory, "dir"), name);
    }
}

bool fat_source_open(FatSource *source, const char *name, const FatArgs *args)
{
    g_autoptr(GError) error = NULL;

    *source = (FatSource){ .blk = image_open_source(name, &args->image) };
    if (!source->blk) {
        return false;
    }
    source->fat = fat_image_open(source->blk, args->partition, args->codepage,
                                 &error);
    if (source->fat) {
        source->view = fat_image_load(source->fat, false, &error);
    }
    if (!source->view) {
        tool_error("%s: %s", name, error->message);
        hint_at_overlay(source->blk, name, args);
        return false;
    }
    if (source->view->n_damage > 0) {
        tool_warning("%s: the volume is damaged; 'vvfat-img check' tells "
                     "where",
                     name);
    }
    return true;
}

void fat_source_close(FatSource *source)
{
    fat_image_free(source->fat);
    blk_close(source->blk);
}

/* The path with each part as the volume has it. */
static char *path_in_volume(const char *path)
{
    g_auto(GStrv) parts = g_strsplit(path, "/", -1);

    for (char **part = parts; *part; part++) {
        char *mapped = names_map(*part);
        if (mapped) {
            g_free(*part);
            *part = mapped;
        }
    }
    return g_strjoinv("/", parts);
}

const TreeNode *fat_source_lookup(const FatSource *source, const char *path)
{
    const TreeNode *node = tree_lookup(source->view->tree, path);

    if (!node) {
        g_autofree char *mapped = path_in_volume(path);
        node = tree_lookup(source->view->tree, mapped);
    }
    if (!node) {
        g_autofree char *clean = tool_escape(path, false);
        tool_error("'%s': %s", clean, g_strerror(ENOENT));
    }
    return node;
}

const char *fat_node_name(const TreeNode *node)
{
    return node->host_name ? node->host_name : node->name;
}

char *fat_node_path(const TreeNode *node, const TreeNode *base)
{
    GString *path = g_string_new("");

    for (; node && node != base; node = node->parent) {
        if (path->len > 0) {
            g_string_prepend_c(path, '/');
        }
        g_string_prepend(path, fat_node_name(node));
    }
    return g_string_free(path, FALSE);
}

void fat_time_format(FatTime time, char text[20])
{
    if (time.date == 0) {
        strcpy(text, "-------------------");
        return;
    }
    /* As UTC both ways: the volume's own digits, made possible ones. */
    time_t seconds = (time_t)dirent_time_to_unix(time, true);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    strftime(text, 20, "%Y-%m-%d %H:%M:%S", &tm);
}
