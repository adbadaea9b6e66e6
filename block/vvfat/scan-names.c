/* SPDX-License-Identifier: MIT */
/*
 * The names of one directory: what FAT cannot hold is mapped, names that FAT
 * would take for the same are told apart, and short names are given.
 *
 * Two passes over a table that compares names as they are folded: first every
 * name claims its folded form, in sorted order; then those that came too late
 * get "name~2", with a counter for each form, so that thousands that collide
 * are done in linear time and no renamed file takes the name of an innocent
 * one.
 *
 * A long name must not equal another's short name either. Names that are valid
 * 8.3 names themselves have theirs reserved before any is generated, which
 * settles it for ASCII; beyond that, case folding of Unicode and of the code
 * page can disagree, and each short name is compared.
 */
#include <errno.h>
#include <string.h>

#include "block/error.h"
#include "block/vvfat/scan-int.h"

typedef struct Naming {
    Scan *scan;
    const TreeNode *dir;
    TreeNode **nodes;
    uint32_t n;
    GHashTable *folded; /* long names, the tree's -> the next number to try */
    bool ascii;         /* every long name is */
} Naming;

#define FIRST_NUMBER 2u

/* `number` is behind the name proper, before the extension. */
static char *numbered_name(const char *name, unsigned number)
{
    g_autofree char *tail = g_strdup_printf("~%u", number);
    const char *dot = strrchr(name, '.');
    const char *ext = dot && dot != name ? dot : "";
    size_t stem = strlen(name) - strlen(ext);
    uint16_t units[FAT_LONG_MAX_UNITS];

    for (;;) {
        g_autofree char *base = g_strndup(name, stem);
        char *result = g_strconcat(base, tail, ext, NULL);

        if (names_utf8_to_utf16(result, units) >= 0) {
            return result;
        }
        g_free(result);
        if (stem == 0) { /* all extension: cut that */
            ext = "";
            stem = strlen(name);
        }
        stem = (size_t)(g_utf8_prev_char(name + stem) - name);
    }
}

static void report_renamed(const Naming *naming, const TreeNode *node,
                           const char *why)
{
    g_autofree char *path = scan_path(naming->dir, node->host_name);

    report_add(naming->scan->report, REPORT_RENAMED, path, "now '%s', as %s",
               node->name, why);
}

/* ---- Long names ---- */

/* The next number to try for what is folded like `name`. False: it had one. */
static bool claim(Naming *naming, const char *name, unsigned number)
{
    return g_hash_table_insert(naming->folded, (char *)name,
                               GUINT_TO_POINTER(number));
}

/* A name of its own for a node whose folded name is taken. */
static void make_distinct(Naming *naming, TreeNode *node)
{
    const char *wanted = node->name;
    unsigned number =
        GPOINTER_TO_UINT(g_hash_table_lookup(naming->folded, wanted));

    for (;; number++) {
        g_autofree char *name = numbered_name(wanted, number);

        if (!g_hash_table_contains(naming->folded, name)) {
            node->name = arena_strdup(naming->scan->tree->arena, name);
            break;
        }
    }
    claim(naming, node->name, FIRST_NUMBER);
    claim(naming, wanted, number + 1);
}

static void assign_long_names(Naming *naming)
{
    g_autoptr(GPtrArray) late = g_ptr_array_new();

    for (uint32_t i = 0; i < naming->n; i++) {
        TreeNode *node = naming->nodes[i];
        g_autofree char *mapped = names_map(node->host_name);

        if (mapped) {
            node->name = arena_strdup(naming->scan->tree->arena, mapped);
            report_renamed(naming, node, "FAT cannot hold the name");
        }
        naming->ascii &= g_str_is_ascii(node->name);
        if (!claim(naming, node->name, FIRST_NUMBER)) {
            g_ptr_array_add(late, node);
        }
    }
    for (unsigned i = 0; i < late->len; i++) {
        make_distinct(naming, late->pdata[i]);
        report_renamed(naming, late->pdata[i],
                       "to FAT the name is the same as another");
    }
}

/* ---- Short names ---- */

/* Whether the short name is the long name of another node. */
static bool short_name_collides(const Naming *naming, const TreeNode *node)
{
    g_autofree char *text = NULL;

    if (naming->ascii) {
        return false;
    }
    text = names_short_to_utf8(naming->scan->options->codepage,
                               node->short_name, 0);
    return !names_fold_equal(text, node->name) &&
           g_hash_table_contains(naming->folded, text);
}

static bool assign_short_name(const Naming *naming, ShortNames *names,
                              TreeNode *node, GError **errp)
{
    do {
        if (!short_names_assign(names, node->name, node->short_name)) {
            g_autofree char *path = scan_path(naming->dir, node->host_name);
            g_autofree char *text = report_escape(path);

            block_error_set(errp, ENOSPC,
                            "No short name is left for '%s': "
                            "too many names in its directory are alike",
                            text);
            return false;
        }
    } while (short_name_collides(naming, node));
    return true;
}

static bool assign_short_names(const Naming *naming, GError **errp)
{
    g_autoptr(ShortNames)
        names = short_names_new(naming->scan->options->codepage);
    g_autoptr(GPtrArray) others = g_ptr_array_new();

    for (uint32_t i = 0; i < naming->n; i++) {
        TreeNode *node = naming->nodes[i];

        if (!short_names_reserve(names, node->name, node->short_name) ||
            short_name_collides(naming, node)) {
            g_ptr_array_add(others, node);
        }
    }
    for (unsigned i = 0; i < others->len; i++) {
        if (!assign_short_name(naming, names, others->pdata[i], errp)) {
            return false;
        }
    }
    return true;
}

bool scan_names(Scan *scan, const TreeNode *dir, TreeNode **nodes, uint32_t n,
                GError **errp)
{
    g_autoptr(GHashTable)
        folded = g_hash_table_new(names_fold_hash, names_fold_equal);
    Naming naming = {
        .scan = scan,
        .dir = dir,
        .nodes = nodes,
        .n = n,
        .folded = folded,
        .ascii = true,
    };

    assign_long_names(&naming);
    return assign_short_names(&naming, errp);
}
