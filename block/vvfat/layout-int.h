/* SPDX-License-Identifier: MIT */
/* Between the files of layout. */
#ifndef VVFAT_LAYOUT_INT_H
#define VVFAT_LAYOUT_INT_H

#include "block/vvfat/layout.h"

/* A stretch of the disk, in sectors; they follow one another without a gap
 * from 0 to the end of the disk. */
typedef enum AreaKind {
    AREA_ZERO,
    AREA_MBR,
    AREA_GPT,
    AREA_RESERVED, /* boot sector and what follows it */
    AREA_FAT,      /* the part with entries of allocated clusters */
    AREA_ROOT,     /* FAT12/16: the part of the root with entries */
    AREA_DATA,     /* allocated clusters */
} AreaKind;

typedef struct Area {
    AreaKind kind;
    uint64_t start, end;
    uint64_t base; /* where what is computed begins: `start` counts from it */
} Area;

#define MAX_AREAS 16u

struct Layout {
    Tree *tree;
    Geometry geometry;
    BootParams boot;
    uint8_t *boot_code, *mbr_code;
    size_t mbr_code_bytes;
    uint8_t gpt_seed[16];

    /* Nodes that have clusters, in the order of these, and without holes:
     * each begins where the one before it ends. Where they begin is repeated
     * in `starts`, and next_free at its end: searching goes through nothing
     * else. */
    TreeNode **placed;
    uint32_t *starts; /* n_placed + 1 */
    uint32_t n_placed;
    uint32_t next_free; /* first cluster that is not allocated */

    Area areas[MAX_AREAS];
    unsigned n_areas;
};

/* Entries of 32 bytes that stand in front of the children: dots, or the
 * label of the root. */
unsigned layout_own_slots(const Layout *layout, const TreeNode *dir);

/* Entries of 32 bytes in a directory. */
uint32_t layout_dir_slots(const Layout *layout, const TreeNode *dir);

/* Bytes of a directory that are computed: its entries, in whole sectors. */
uint64_t layout_dir_bytes(const Layout *layout, const TreeNode *dir);

/* Give every entry of the tree its slot. */
bool layout_place_entries(Layout *layout, GError **errp);

/* Clusters that everything takes; a GeometryRequest.clusters_needed on a
 * Layout. */
uint64_t layout_clusters_needed(uint32_t cluster_size, bool with_root,
                                const void *opaque);

/* Give every directory and file its clusters; they fit. */
void layout_place_clusters(Layout *layout);

/* Index of the placed node that has a cluster below next_free; there is one. */
uint32_t layout_find(const Layout *layout, uint32_t cluster);

/* The area that has a sector. */
const Area *layout_area(const Layout *layout, uint64_t sector);

#endif
