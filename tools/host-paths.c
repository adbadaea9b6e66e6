/* SPDX-License-Identifier: MIT */
/*
 * An image's name opens it again, so it tells everything it reads: the
 * options "filename" and "dir" at any depth are files and directories. Backing
 * files have names of their own.
 * Paths are compared as the kernel resolves them, links and all.
 */
#include "tools/host-paths.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "block/driver.h"
#include "block/filename.h"

/* The path as the kernel resolves it; of one that does not exist yet, its
 * directory resolved and its last part. NULL: not even that exists. */
static char *resolve(const char *path)
{
    char *whole = realpath(path, NULL);

    if (whole) {
        return whole;
    }
    g_autofree char *directory = g_path_get_dirname(path);
    g_autofree char *base = g_path_get_basename(path);
    char *real_directory = realpath(directory, NULL);
    if (!real_directory) {
        return NULL;
    }
    whole = g_build_filename(real_directory, base, NULL);
    free(real_directory);
    return whole;
}

/* Whether `path` is below `directory`; both resolved. */
static bool is_below(const char *path, const char *directory)
{
    size_t n = strlen(directory);

    if (n == 1) {
        return path[0] == '/' && path[1];
    }
    return strncmp(path, directory, n) == 0 && path[n] == '/';
}

static bool is_same_file(const char *a, const char *b)
{
    struct stat st_a, st_b;

    if (g_str_equal(a, b)) {
        return true;
    }
    return stat(a, &st_a) == 0 && stat(b, &st_b) == 0 &&
           (S_ISREG(st_a.st_mode) || S_ISDIR(st_a.st_mode) ||
            S_ISBLK(st_a.st_mode)) &&
           st_a.st_dev == st_b.st_dev && st_a.st_ino == st_b.st_ino;
}

typedef struct Search {
    const char *path; /* resolved */
    HostPathRelation relation;
    char *what;
} Search;

static void compare_value(const char *key, const char *value, void *opaque)
{
    Search *search = opaque;
    const char *dot = strrchr(key, '.');
    const char *leaf = dot ? dot + 1 : key;
    bool is_directory = g_str_equal(leaf, "dir");
    HostPathRelation relation = HOST_PATH_APART;

    if (search->relation != HOST_PATH_APART ||
        (!is_directory && !g_str_equal(leaf, "filename"))) {
        return;
    }
    g_autofree char *resolved = resolve(value);
    if (!resolved) {
        return;
    }
    if (is_same_file(search->path, resolved)) {
        relation = HOST_PATH_SAME;
    } else if (is_directory && is_below(search->path, resolved)) {
        relation = HOST_PATH_INSIDE;
    } else if (is_below(resolved, search->path)) {
        relation = HOST_PATH_AROUND;
    }
    if (relation != HOST_PATH_APART) {
        search->relation = relation;
        search->what = g_strdup(value);
    }
}

/* The options that `name` stands for. */
static Options *options_of_name(const char *name)
{
    Options *options = options_new();

    if (g_str_has_prefix(name, "json:")) {
        if (options_parse_json(options, name + strlen("json:"), NULL)) {
            return options;
        }
    } else if (g_str_has_prefix(name, "fat:")) {
        const BlockDriver *vvfat = bdrv_find_format("vvfat");
        if (vvfat && vvfat->parse_filename(name, options, NULL)) {
            return options;
        }
    }
    options_set(options, "filename", name);
    return options;
}

/* What one image reads, without its backing file. */
static void compare_image(const char *name, Search *search)
{
    g_autoptr(Options) options = options_of_name(name);

    options_foreach(options, compare_value, search);
}

const char *host_path_of(const char *name)
{
    return g_str_has_prefix(name, "file:") ? name + strlen("file:") : name;
}

HostPathRelation host_path_relation(BlockBackend *image, const char *path,
                                    char **what)
{
    g_autofree char *name = blk_get_filename(image);
    g_autofree char *resolved = resolve(path);
    Search search = { .path = resolved };

    *what = NULL;
    if (!name || !resolved) {
        return HOST_PATH_APART;
    }
    compare_image(name, &search);
    const BdrvChild *backing = bdrv_backing(blk_bs(image));
    while (backing && search.relation == HOST_PATH_APART) {
        BlockDriverState *bs = bdrv_child_bs(backing);
        g_autofree char *backing_name = filename_of_node(bs);
        compare_image(backing_name, &search);
        backing = bdrv_backing(bs);
    }
    *what = search.what;
    return search.relation;
}
