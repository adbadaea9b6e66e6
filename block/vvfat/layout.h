/* SPDX-License-Identifier: MIT */
/*
 * Where everything stands: a tree and a geometry as the regions of a disk.
 *
 * Nothing is stored that can be computed: sectors of the FAT come from the
 * runs of the nodes, directory entries from the nodes (each knows its slot),
 * boot sectors and partition tables from the geometry. Immutable once made;
 * any number of threads may read. Pure.
 */
#ifndef VVFAT_LAYOUT_H
#define VVFAT_LAYOUT_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "block/vvfat/boot.h"
#include "block/vvfat/geometry.h"
#include "block/vvfat/tree.h"

typedef struct LayoutRequest {
    GeometryRequest geometry; /* clusters_needed, opaque and root_entries are
                                 filled in by layout_new() */
    uint32_t volume_id;
    uint8_t label[FAT_SHORT_NAME_SIZE];
    const uint8_t *boot_code, *mbr_code; /* copied; NULL: none */
    size_t boot_code_bytes, mbr_code_bytes;
} LayoutRequest;

typedef struct Layout Layout;

/* Place the tree (owned by the layout from now on, also on failure). */
Layout *layout_new(Tree *tree, const LayoutRequest *request, GError **errp);
void layout_free(Layout *layout);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Layout, layout_free)

const Geometry *layout_geometry(const Layout *layout);
const Tree *layout_tree(const Layout *layout);
int64_t layout_disk_bytes(const Layout *layout);
uint32_t layout_free_clusters(const Layout *layout);
uint32_t layout_volume_id(const Layout *layout);

typedef enum RegionKind {
    REGION_ZERO,     /* gaps, free clusters, unused tails */
    REGION_METADATA, /* computed: layout_read_metadata() */
    REGION_FILE,     /* bytes of node's host file, from file_offset on */
} RegionKind;

typedef struct Region {
    RegionKind kind;
    int64_t start, end;   /* bytes of the disk; contains the offset asked */
    const TreeNode *node; /* REGION_FILE */
    int64_t file_offset;  /* of `start` in the file */
} Region;

/* The region around an offset (0..disk bytes - 1); maximal where that costs
 * nothing: runs of free clusters are one region. */
void layout_region(const Layout *layout, int64_t offset, Region *region);

/* Compute bytes of metadata. The range lies inside one REGION_METADATA. */
void layout_read_metadata(const Layout *layout, int64_t offset, int64_t bytes,
                          void *buf);

#endif
