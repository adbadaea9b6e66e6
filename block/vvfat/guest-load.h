/* SPDX-License-Identifier: MIT */
/*
 * Inside guest-view: what its parts share while a view is loaded. Users want
 * guest-view.h.
 */
#ifndef VVFAT_GUEST_LOAD_H
#define VVFAT_GUEST_LOAD_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "block/vvfat/dirent.h"
#include "block/vvfat/guest-view.h"
#include "util/bitmap.h"

typedef struct GuestLoad {
    Volume *volume;
    GuestView *view;
    bool full;
    Bitmap *used;       /* clusters in chains of the tree, by number */
    GPtrArray *pending; /* directories (TreeNode) to read, in order */
    GArray *shared;     /* CrossLink: clusters that a second chain ran into */
    uint8_t *buffer;    /* for directories and FATs */
} GuestLoad;

#define GUEST_LOAD_BUFFER 65536u

/* ---- Problems (problem.c) ---- */

#define PROBLEM_NOTE 0u
#define PROBLEM_DAMAGE 1u
#define PROBLEM_LEFT_OUT 3u /* damage, too */

/*
 * Record a problem of a node, or of the whole volume (NULL). The node need not
 * be a child of its parent yet. Returns the problem's index in view->problems,
 * -1 when it is only counted.
 */
int problem_add(GuestView *view, ProblemKind kind, unsigned severity,
                const TreeNode *node, const char *fmt, ...)
    G_GNUC_PRINTF(5, 6);

/* Add to the text of a problem. */
void problem_append(GuestView *view, int index, const char *fmt, ...)
    G_GNUC_PRINTF(3, 4);

void problem_free(Problem *problem);

/* ---- Chains (guest-chain.c) ---- */

typedef struct CrossLink {
    uint32_t cluster;
    int problem; /* as problem_add() returned it */
} CrossLink;

/*
 * Follow the chain from `first` on into node->chain, as far as it is sound and
 * no other chain has its clusters; record what is wrong with it. node->parent,
 * name, attr and size are set. 0 or -errno.
 */
int guest_chain_follow(GuestLoad *load, TreeNode *node, uint32_t first);

/* Say at each cross-link who the other owner is. */
void guest_chain_name_owners(GuestLoad *load);

/* ---- Names (guest-names.c) ---- */

/*
 * Give a node the name of its entry: the long one where it is sound, else the
 * short one; and its host name. Sets node->parent, too. Records the defects
 * of the item.
 */
void guest_names_set(GuestLoad *load, TreeNode *node, TreeNode *dir,
                     const DirentItem *item);

/* Record DIRENT_* defects that belong to no file. */
void guest_names_report_stray(GuestLoad *load, const TreeNode *dir,
                              unsigned defects);

/* Look for names that a directory has twice. */
void guest_names_check(GuestLoad *load, const TreeNode *dir);

/* ---- The whole volume (guest-check.c) ---- */

/* All that needs more than what the tree touches. 0 or -errno. */
int guest_check_volume(GuestLoad *load);

#endif
