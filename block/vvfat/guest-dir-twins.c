/* SPDX-License-Identifier: MIT */
/*
 * Names that a directory has twice, in whatever case.
 *
 * Only names that came or went, in the parts that were read, can have made or
 * ended a pair. They are collected, and then met in the order of the slots,
 * also among the children that were not read.
 */
#include "block/vvfat/guest-dir-int.h"

/* Alike for names that differ in the case of ASCII letters alone. */
static guint fold_hash(gconstpointer name)
{
    guint hash = 5381;

    for (const guchar *c = name; *c; c++) {
        hash = hash * 33 + (*c | 0x20u);
    }
    return hash;
}

static gboolean fold_equal(gconstpointer a, gconstpointer b)
{
    return g_ascii_strcasecmp(a, b) == 0;
}

/* Whether the names in a part are those of its children, in their order. Then
 * who is a twin is known. */
static bool keep_twins(const DirRead *r, const DirPart *part)
{
    uint32_t n = part->end_child - part->child;

    if (part->end_entry - part->entry != n) {
        return false;
    }
    for (uint32_t i = 0; i < n; i++) {
        GuestEntry *e = &g_array_index(r->entries, GuestEntry,
                                       part->entry + i);
        const Inode *child = r->dir->children[part->child + i];

        if (g_strcmp0(e->name, child->name) != 0) {
            return false;
        }
        e->defects |= child->defects & INODE_NAME_TWICE;
    }
    return true;
}

/* Names that came or went, each with whether it was met; NULL: none did. */
static GHashTable *changed_names(const DirRead *r)
{
    GHashTable *names = NULL;

    for (guint i = 0; i < r->parts->len; i++) {
        const DirPart *part = &g_array_index(r->parts, DirPart, i);

        if (keep_twins(r, part)) {
            continue;
        }
        names = names ? names : g_hash_table_new(fold_hash, fold_equal);
        for (uint32_t j = part->child; j < part->end_child; j++) {
            g_hash_table_insert(names, (char *)r->dir->children[j]->name,
                                NULL);
        }
        for (guint j = part->entry; j < part->end_entry; j++) {
            g_hash_table_insert(
                names, g_array_index(r->entries, GuestEntry, j).name, NULL);
        }
    }
    return names;
}

/* Meet a name: whether another entry had it before. *defects says so, then. */
static bool meet(GHashTable *names, const char *name, unsigned *defects)
{
    gpointer key, met;
    unsigned old = *defects;

    if (!g_hash_table_lookup_extended(names, name, &key, &met)) {
        return false;
    }
    *defects = met ? old | INODE_NAME_TWICE : old & ~INODE_NAME_TWICE;
    g_hash_table_insert(names, key, key);
    return *defects != old;
}

/* The later one of two waits. Many names of one hash cost the guest's own
 * commits their speed, and nobody else anything. */
void guest_dir_twins(const DirRead *r)
{
    g_autoptr(GHashTable) names = changed_names(r);
    const Inode *dir = r->dir;
    uint32_t at = 0;

    if (!names) {
        return;
    }
    for (guint i = 0; i <= r->parts->len; i++) {
        const DirPart *part = i < r->parts->len
                                  ? &g_array_index(r->parts, DirPart, i)
                                  : NULL;

        for (; at < (part ? part->child : dir->n_children); at++) {
            Inode *child = dir->children[at];

            if (meet(names, child->name, &child->defects)) {
                guest_state_change(r->s, child);
            }
        }
        for (guint j = part ? part->entry : 0; part && j < part->end_entry;
             j++) {
            GuestEntry *e = &g_array_index(r->entries, GuestEntry, j);

            meet(names, e->name, &e->defects);
        }
        at = part ? part->end_child : at;
    }
}
