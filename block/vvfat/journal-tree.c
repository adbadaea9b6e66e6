/* SPDX-License-Identifier: MIT */
#include "block/vvfat/journal-tree.h"

#include <stdlib.h>

#define ROOT 1u

struct JournalTree {
    GHashTable *inodes; /* number -> JournalInode; keys stand in the inodes */
};

static void free_inode(gpointer inode)
{
    journal_inode_free(inode);
}

JournalTree *journal_tree_new(void)
{
    JournalTree *tree = g_new(JournalTree, 1);

    tree->inodes = g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL,
                                         free_inode);
    return tree;
}

void journal_tree_free(JournalTree *tree)
{
    if (tree) {
        g_hash_table_unref(tree->inodes);
        g_free(tree);
    }
}

void journal_tree_put(JournalTree *tree, JournalInode *inode)
{
    g_hash_table_replace(tree->inodes, &inode->inode->id, inode);
}

void journal_tree_drop(JournalTree *tree, uint64_t number)
{
    g_hash_table_remove(tree->inodes, &number);
}

guint journal_tree_size(const JournalTree *tree)
{
    return g_hash_table_size(tree->inodes);
}

static JournalInode *find(const JournalTree *tree, uint64_t number)
{
    return g_hash_table_lookup(tree->inodes, &number);
}

Inode *journal_tree_get(const JournalTree *tree, uint64_t number)
{
    JournalInode *j = find(tree, number);

    return j ? j->inode : NULL;
}

/* ---- The host's side ---- */

static bool link_hosts(JournalTree *tree)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, tree->inodes);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        JournalInode *j = value;
        JournalInode *dir = find(tree, j->host_parent);

        if (j->host_parent == 0) {
            continue;
        }
        if (!dir || !dir->inode->is_directory ||
            !inode_is_on_host(dir->inode)) {
            return false;
        }
        j->inode->host_parent = dir->inode;
    }
    return true;
}

typedef Inode **Side(Inode *inode);

static Inode **guest_side(Inode *inode)
{
    return &inode->parent;
}

static Inode **host_side(Inode *inode)
{
    return &inode->host_parent;
}

/* Whether all ways up end; those that lead in a circle are cut where `cut`
 * says so. Each inode is passed once. */
static bool ends_everywhere(JournalTree *tree, Side *side, bool cut)
{
    g_autoptr(GHashTable) passed = g_hash_table_new(NULL, NULL);
    GHashTableIter iter;
    gpointer value;
    gsize walk = 0;
    bool ends = true;

    g_hash_table_iter_init(&iter, tree->inodes);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        Inode *inode = ((JournalInode *)value)->inode;
        gpointer mark = GSIZE_TO_POINTER(++walk);

        while (inode && !g_hash_table_contains(passed, inode)) {
            Inode **up = side(inode);

            g_hash_table_insert(passed, inode, mark);
            if (*up && g_hash_table_lookup(passed, *up) == mark) {
                ends = false;
                *up = cut ? NULL : *up;
            }
            inode = *up;
        }
    }
    return ends || cut;
}

/* ---- The guest's side ---- */

static void link_guests(JournalTree *tree)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, tree->inodes);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        JournalInode *j = value;
        JournalInode *dir = find(tree, j->parent);

        if (dir && dir->inode->is_directory) {
            j->inode->parent = dir->inode;
        }
    }
    ends_everywhere(tree, guest_side, true);
}

static int compare_slots(const void *a, const void *b)
{
    const Inode *one = *(Inode *const *)a;
    const Inode *other = *(Inode *const *)b;

    return (one->slot > other->slot) - (one->slot < other->slot);
}

static void fill_directories(JournalTree *tree)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, tree->inodes);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        Inode *inode = ((JournalInode *)value)->inode;

        if (inode->parent) {
            inode->parent->n_children++;
        }
    }
    g_hash_table_iter_init(&iter, tree->inodes);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        Inode *inode = ((JournalInode *)value)->inode;

        if (inode->is_directory) {
            inode->children = g_new(Inode *, inode->n_children);
            inode->n_children = 0;
        }
    }
    g_hash_table_iter_init(&iter, tree->inodes);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        Inode *inode = ((JournalInode *)value)->inode;

        if (inode->parent) {
            inode->parent->children[inode->parent->n_children++] = inode;
        }
    }
    g_hash_table_iter_init(&iter, tree->inodes);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        Inode *inode = ((JournalInode *)value)->inode;

        if (inode->n_children) {
            qsort(inode->children, inode->n_children, sizeof(Inode *),
                  compare_slots);
        }
    }
}

bool journal_tree_link(JournalTree *tree)
{
    JournalInode *root = find(tree, ROOT);

    if (!root || !link_hosts(tree) ||
        !ends_everywhere(tree, host_side, false)) {
        return false;
    }
    link_guests(tree);
    fill_directories(tree);
    return true;
}

GPtrArray *journal_tree_list(const JournalTree *tree)
{
    GPtrArray *inodes = g_ptr_array_new();
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, tree->inodes);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        g_ptr_array_add(inodes, ((JournalInode *)value)->inode);
    }
    return inodes;
}

GPtrArray *journal_tree_take(JournalTree *tree)
{
    GPtrArray *inodes = g_ptr_array_new();
    GHashTableIter iter;
    gpointer value;

    g_ptr_array_add(inodes, NULL); /* the root's place */
    g_hash_table_iter_init(&iter, tree->inodes);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        JournalInode *j = value;

        if (j->inode->id == ROOT) {
            inodes->pdata[0] = j->inode;
        } else {
            g_ptr_array_add(inodes, j->inode);
        }
        g_hash_table_iter_steal(&iter);
        g_free(j);
    }
    return inodes;
}
