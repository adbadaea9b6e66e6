/* SPDX-License-Identifier: MIT */
/*
 * The inodes that a journal has, put together from its records: whichever
 * record of an inode comes last counts. Pure.
 */
#ifndef VVFAT_JOURNAL_TREE_H
#define VVFAT_JOURNAL_TREE_H

#include "block/vvfat/journal-codec.h"

typedef struct JournalTree JournalTree;

JournalTree *journal_tree_new(void);
/* Frees the inodes, too, unless they were taken. */
void journal_tree_free(JournalTree *tree);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(JournalTree, journal_tree_free)

/* Takes it over, in the place of one with the same number. */
void journal_tree_put(JournalTree *tree, JournalInode *inode);
void journal_tree_drop(JournalTree *tree, uint64_t number);
guint journal_tree_size(const JournalTree *tree);

/*
 * Tie them together: parents on both sides, children in the order of their
 * entries. The guest's side is looked at again anyhow, so what has no parent
 * there, or leads in a circle, becomes an orphan; the host's side must be
 * sound. False: it is not.
 */
bool journal_tree_link(JournalTree *tree) G_GNUC_WARN_UNUSED_RESULT;

/* After that: the inode with a number, or NULL. */
Inode *journal_tree_get(const JournalTree *tree, uint64_t number);

/* All, still the tree's; g_ptr_array_unref(). */
GPtrArray *journal_tree_list(const JournalTree *tree);

/* All, the root first; owned by the caller from now on, one by one. */
GPtrArray *journal_tree_take(JournalTree *tree);

#endif
