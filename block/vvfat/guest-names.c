/* SPDX-License-Identifier: MIT */
/*
 * The names of a volume's entries: which one counts, what it is on the host,
 * and which a directory has twice.
 *
 * Duplicates are found by sorting the folded names of a directory. A hash
 * table would be as fast on honest volumes, but a hostile one could fill a
 * directory with names of one hash.
 */
#include "block/vvfat/guest-load.h"

#include <string.h>

#include "block/vvfat/volume.h"

/* ---- Names of entries ---- */

/* Whether the name can stand in a path. */
static bool is_component(const char *name)
{
    return *name && !strchr(name, '/') && strcmp(name, ".") != 0 &&
           strcmp(name, "..") != 0;
}

/* The short name, made fit to stand in a path if it is not. */
static char *short_name(GuestLoad *load, const TreeNode *node, bool *sound)
{
    char *name = names_short_to_utf8(volume_codepage(load->volume),
                                     node->short_name, node->case_flags);

    *sound = is_component(name);
    if (!*sound) {
        g_strdelimit(name, "/", '_');
        if (!is_component(name)) {
            g_free(name);
            name = g_strdup("_");
        }
    }
    return name;
}

static void set_name(GuestLoad *load, TreeNode *node, const char *name,
                     const char *host)
{
    node->name = arena_strdup(load->view->tree->arena, name);
    if (host) {
        node->host_name = strcmp(host, name) == 0
                              ? node->name
                              : arena_strdup(load->view->tree->arena, host);
    }
}

static void set_short_name(GuestLoad *load, TreeNode *node)
{
    bool sound;
    g_autofree char *name = short_name(load, node, &sound);
    const char *why = NULL;
    g_autofree char *host = sound ? names_unmap(name, &why) : NULL;

    set_name(load, node, name, host);
    if (!host && sound) {
        problem_add(load->view, PROBLEM_UNSAFE_NAME, PROBLEM_NOTE, node,
                    "cannot be the name of a host file: %s", why);
    }
}

/* Long-name entries that could not be used: readers pass over them, and old
 * systems leave them behind when they rename or delete. */
static void report_stray(GuestLoad *load, const TreeNode *node,
                         unsigned defects, const char *where)
{
    const char *what = NULL;

    if (defects & DIRENT_BAD_CHECKSUM) {
        what = "belong to another short name";
    } else if (defects & DIRENT_BAD_ORDER) {
        what = "are out of order";
    } else if (defects & DIRENT_ORPHAN_LONG) {
        what = "belong to nothing";
    }
    if (what) {
        problem_add(load->view, PROBLEM_LONG_NAME, PROBLEM_NOTE, node,
                    "there are long-name entries %s that %s", where, what);
    }
}

void guest_names_report_stray(GuestLoad *load, const TreeNode *dir,
                              unsigned defects)
{
    report_stray(load, dir, defects, "in it");
}

static void report_defects(GuestLoad *load, const TreeNode *node,
                           const DirentItem *item)
{
    report_stray(load, node, item->defects, "before it");
    if (item->defects & DIRENT_BAD_LONG_NAME) {
        problem_add(load->view, PROBLEM_LONG_NAME, PROBLEM_DAMAGE, node,
                    "its long name has characters that FAT does not allow");
    }
    if (item->defects & DIRENT_BAD_RESERVED) {
        problem_add(load->view, PROBLEM_LONG_NAME, PROBLEM_DAMAGE, node,
                    "its long-name entries have a type or a cluster, which "
                    "must be 0");
    }
    if (item->defects & DIRENT_BAD_PADDING) {
        problem_add(load->view, PROBLEM_LONG_NAME, PROBLEM_NOTE, node,
                    "its long name is not padded as it should be");
    }
    if (item->defects & DIRENT_BAD_SHORT_NAME) {
        problem_add(load->view, PROBLEM_SHORT_NAME, PROBLEM_DAMAGE, node,
                    "its short name has characters that FAT does not allow");
    }
}

void guest_names_set(GuestLoad *load, TreeNode *node, TreeNode *dir,
                     const DirentItem *item)
{
    g_autofree char *name = NULL;
    g_autofree char *host = NULL;
    const char *why = NULL;

    node->parent = dir;
    if (item->long_units) {
        name = names_utf16_to_utf8(item->long_name, item->long_units);
        host = names_to_host(item->long_name, item->long_units, &why);
    }
    if (!name) {
        set_short_name(load, node);
    } else if (is_component(name)) {
        node->has_long_name = true;
        set_name(load, node, name, host);
        if (!host) {
            problem_add(load->view, PROBLEM_UNSAFE_NAME, PROBLEM_NOTE, node,
                        "cannot be the name of a host file: %s", why);
        }
    } else {
        set_short_name(load, node);
        problem_add(load->view, PROBLEM_UNSAFE_NAME, PROBLEM_DAMAGE, node,
                    "its long name '%s' is not used: %s", name,
                    why ? why : "it cannot stand in a path");
    }
    report_defects(load, node, item);
}

/* ---- Duplicates ---- */

typedef struct NameKey {
    const char *folded;
    uint32_t index; /* of the child */
    bool is_short;
} NameKey;

static int compare_keys(const void *a, const void *b)
{
    const NameKey *first = a;
    const NameKey *second = b;
    int order = strcmp(first->folded, second->folded);

    return order ? order
                 : (first->index > second->index) -
                       (first->index < second->index);
}

static void add_key(GArray *keys, GStringChunk *strings, const char *name,
                    uint32_t index, bool is_short)
{
    g_autofree char *folded = names_fold(name);
    NameKey key = { g_string_chunk_insert(strings, folded), index, is_short };

    g_array_append_val(keys, key);
}

static char *key_name(GuestLoad *load, const TreeNode *dir, NameKey key)
{
    const TreeNode *node = dir->children[key.index];

    if (key.is_short) {
        return names_short_to_utf8(volume_codepage(load->volume),
                                   node->short_name, 0);
    }
    return g_strdup(node->name);
}

/*
 * Names that differ in the case of ASCII letters alone are duplicates to
 * every system. With other letters it is a matter of tables: Linux keeps
 * apart what Windows does not.
 */
static void report_duplicate(GuestLoad *load, const TreeNode *dir,
                             NameKey first, NameKey second)
{
    g_autofree char *one = key_name(load, dir, first);
    g_autofree char *other = key_name(load, dir, second);
    bool same = g_ascii_strcasecmp(one, other) == 0;

    problem_add(
        load->view, PROBLEM_DUPLICATE_NAME,
        same ? PROBLEM_DAMAGE : PROBLEM_NOTE, dir->children[second.index],
        "its %s name '%s' is also the %s name of '%s'",
        second.is_short ? "short" : "long", other,
        first.is_short ? "short" : "long", dir->children[first.index]->name);
}

void guest_names_check(GuestLoad *load, const TreeNode *dir)
{
    g_autoptr(GArray) keys = g_array_new(FALSE, FALSE, sizeof(NameKey));
    GStringChunk *strings = g_string_chunk_new(4096);
    const NameKey *key;
    guint first = 0;

    for (uint32_t i = 0; i < dir->n_children; i++) {
        const TreeNode *node = dir->children[i];
        g_autofree char *name = names_short_to_utf8(
            volume_codepage(load->volume), node->short_name, 0);

        add_key(keys, strings, name, i, true);
        if (node->has_long_name) {
            add_key(keys, strings, node->name, i, false);
        }
    }
    g_array_sort(keys, compare_keys);
    key = (const NameKey *)keys->data;
    for (guint i = 1; i < keys->len; i++) {
        if (strcmp(key[first].folded, key[i].folded) != 0) {
            first = i;
        } else if (key[i].index != key[first].index &&
                   key[i].index != key[i - 1].index) {
            report_duplicate(load, dir, key[first], key[i]);
        }
    }
    g_string_chunk_free(strings);
}
