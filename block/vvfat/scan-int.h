/* SPDX-License-Identifier: MIT */
/* Between the files of scan: one scan under way. */
#ifndef VVFAT_SCAN_INT_H
#define VVFAT_SCAN_INT_H

#include "block/vvfat/scan-list.h"
#include "block/vvfat/scan.h"

/* A directory still to be listed. */
typedef struct ScanPending {
    TreeNode *dir;
    ScanList *list; /* NULL: not begun yet */
} ScanPending;

typedef struct Scan {
    HostFs *fs;
    const ScanOptions *options;
    Report *report;
    Tree *tree;
    ScanLister *lister;
    GArray *pending;   /* ScanPending: a stack */
    GHashTable *lost;  /* TreeNode: directories that could not be listed */
    uint64_t n_linked; /* entries taken so far that stand below links */
} Scan;

/* Path of an entry of dir, for messages. */
char *scan_path(const TreeNode *dir, const char *name);

/* ---- scan-node.c ---- */

/* The index of a device number in tree->devices. */
uint32_t scan_device(Tree *tree, uint64_t dev);

/* Times and identity of what the node stands for. */
void scan_node_describe(Scan *scan, TreeNode *node, const HostStat *st);

/* A node for an entry of dir that is taken. target: where a link leads, whose
 * *st is that; or NULL. Takes over target. */
TreeNode *scan_node_new(Scan *scan, TreeNode *dir, const ScanEntry *entry,
                        const HostStat *st, char *target);

/* ---- scan-link.c, scan-names.c ---- */

typedef enum LinkResult {
    LINK_FAILED, /* *errp is set */
    LINK_SKIPPED,
    LINK_TAKEN, /* *st and *target describe what it stands for */
} LinkResult;

/* What is to become of the symbolic link `name` in dir. */
LinkResult scan_link(Scan *scan, const TreeNode *dir, const char *name,
                     HostStat *st, char **target, GError **errp);

/*
 * Give the children of dir, sorted by host_name, their long names (mapped,
 * and distinct) and short names.
 */
bool scan_names(Scan *scan, const TreeNode *dir, TreeNode **nodes, uint32_t n,
                GError **errp);

#endif
