/* SPDX-License-Identifier: MIT */
/* Between the files of scan: one scan under way. */
#ifndef VVFAT_SCAN_INT_H
#define VVFAT_SCAN_INT_H

#include "block/vvfat/scan.h"

typedef struct Scan {
    HostFs *fs;
    const ScanOptions *options;
    Report *report;
    Tree *tree;
    GPtrArray *pending;  /* TreeNode: directories still to be listed */
    GHashTable *lost;    /* TreeNode: directories that could not be */
    GStringChunk *names; /* of the directory being listed */
    bool no_attributes;  /* the host's file system keeps none of FAT's */
    uint64_t n_linked;   /* entries taken so far that stand below links */
} Scan;

/* Path of an entry of dir, for messages. */
char *scan_path(const TreeNode *dir, const char *name);

/* The index of a device number in tree->devices. */
uint32_t scan_device(Tree *tree, uint64_t dev);

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
