/* SPDX-License-Identifier: MIT */
/*
 * The disk as a list of areas, and the data area as nodes in the order of
 * their clusters: any offset is found by two binary searches.
 */
#include "block/vvfat/layout.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "block/error.h"
#include "block/vvfat/fat.h"
#include "block/vvfat/layout-int.h"
#include "block/vvfat/partition.h"

/* ---- Areas ---- */

/* Add what comes next; zeroes that follow zeroes are one area. */
static void area_add(Layout *layout, AreaKind kind, uint64_t end,
                     uint64_t base)
{
    Area *last = layout->n_areas ? &layout->areas[layout->n_areas - 1] : NULL;
    uint64_t start = last ? last->end : 0;

    if (end <= start) {
        return;
    }
    if (last && kind == AREA_ZERO && last->kind == AREA_ZERO) {
        last->end = end;
        return;
    }
    layout->areas[layout->n_areas++] = (Area){
        .kind = kind,
        .start = start,
        .end = end,
        .base = base,
    };
}

static uint64_t sectors_of(uint64_t bytes)
{
    return (bytes + SECTOR_SIZE - 1) / SECTOR_SIZE;
}

static void add_volume(Layout *layout)
{
    const Geometry *g = &layout->geometry;
    uint64_t start = g->volume_start;
    uint64_t fat = start + g->reserved_sectors;
    uint64_t used = sectors_of(
        fat_bytes(g->fat_type, layout->next_free - FAT_FIRST_CLUSTER));
    uint64_t root = start + g->root_start;
    uint64_t data = start + g->data_start;

    area_add(layout, AREA_RESERVED, fat, start);
    for (unsigned i = 0; i < FAT_COUNT; i++) {
        area_add(layout, AREA_FAT, fat + used, fat);
        area_add(layout, AREA_ZERO, fat + g->sectors_per_fat, 0);
        fat += g->sectors_per_fat;
    }
    if (g->root_sectors) {
        area_add(layout, AREA_ROOT,
                 root +
                     sectors_of(layout_dir_bytes(layout, layout->tree->root)),
                 root);
    }
    area_add(layout, AREA_ZERO, data, 0);
    area_add(layout, AREA_DATA,
             data + (uint64_t)(layout->next_free - FAT_FIRST_CLUSTER) *
                        g->sectors_per_cluster,
             data);
}

static void add_areas(Layout *layout)
{
    const Geometry *g = &layout->geometry;

    if (g->partition != PARTITION_NONE) {
        area_add(layout, AREA_MBR, 1, 0);
    }
    if (g->partition == PARTITION_GPT) {
        area_add(layout, AREA_GPT, 1 + GPT_PRIMARY_SECTORS, 0);
    }
    area_add(layout, AREA_ZERO, g->volume_start, 0);
    add_volume(layout);
    if (g->partition == PARTITION_GPT) {
        area_add(layout, AREA_ZERO, g->disk_sectors - GPT_PRIMARY_SECTORS, 0);
        area_add(layout, AREA_GPT, g->disk_sectors, 0);
    }
    area_add(layout, AREA_ZERO, g->disk_sectors, 0);
}

const Area *layout_area(const Layout *layout, uint64_t sector)
{
    const Area *area = layout->areas;

    while (area->end <= sector) {
        area++;
    }
    return area;
}

/* ---- Making one ---- */

/* The GUIDs of a GPT derive from what identifies the disk. */
static void make_gpt_seed(Layout *layout)
{
    const Geometry *g = &layout->geometry;
    g_autofree char *facts = g_strdup_printf(
        "vvfat %.*s %08x %" PRIu64 " %" PRIu64 " %" PRIu64 " %u",
        (int)FAT_SHORT_NAME_SIZE, (const char *)layout->boot.label,
        layout->boot.volume_id, g->disk_sectors, g->volume_start,
        g->volume_sectors, g->sectors_per_cluster);
    GChecksum *sum = g_checksum_new(G_CHECKSUM_SHA256);
    uint8_t digest[32];
    gsize n = sizeof(digest);

    g_checksum_update(sum, (const guchar *)facts, -1);
    g_checksum_get_digest(sum, digest, &n);
    g_checksum_free(sum);
    memcpy(layout->gpt_seed, digest, sizeof(layout->gpt_seed));
}

static void set_label(Layout *layout, const LayoutRequest *request)
{
    static const uint8_t none[] = "NO NAME    ";
    Tree *tree = layout->tree;

    memcpy(tree->label, request->label, sizeof(tree->label));
    tree->has_label = false;
    for (size_t i = 0; i < sizeof(tree->label); i++) {
        tree->has_label |= tree->label[i] != ' ';
    }
    memcpy(layout->boot.label, tree->has_label ? tree->label : none,
           sizeof(layout->boot.label));
}

static bool set_code(Layout *layout, const LayoutRequest *request,
                     GError **errp)
{
    const Geometry *g = &layout->geometry;

    if (request->boot_code &&
        !boot_code_check(g->fat_type, g->reserved_sectors, request->boot_code,
                         request->boot_code_bytes, errp)) {
        return false;
    }
    if (request->mbr_code && g->partition == PARTITION_NONE) {
        block_error_set(errp, EINVAL,
                        "'mbr-code' needs a partition table; "
                        "without one, 'boot-code' is what a disk begins "
                        "with");
        return false;
    }
    layout->boot_code = g_memdup2(request->boot_code,
                                  request->boot_code_bytes);
    layout->boot.code = layout->boot_code;
    layout->boot.code_bytes = request->boot_code_bytes;
    layout->mbr_code_bytes = MIN(request->mbr_code_bytes,
                                 sizeof(((MbrSector *)0)->code));
    layout->mbr_code = g_memdup2(request->mbr_code, layout->mbr_code_bytes);
    return true;
}

static bool set_geometry(Layout *layout, const LayoutRequest *request,
                         GError **errp)
{
    GeometryRequest geometry = request->geometry;

    geometry.clusters_needed = layout_clusters_needed;
    geometry.opaque = layout;
    geometry.root_entries = layout_dir_slots(layout, layout->tree->root);
    return geometry_choose(&layout->geometry, &geometry, errp);
}

Layout *layout_new(Tree *tree, const LayoutRequest *request, GError **errp)
{
    g_autoptr(Layout) layout = g_new0(Layout, 1);
    const Geometry *g = &layout->geometry;
    uint32_t end;

    layout->tree = tree;
    set_label(layout, request);
    if (!layout_place_entries(layout, errp) ||
        !set_geometry(layout, request, errp) ||
        !set_code(layout, request, errp)) {
        return NULL;
    }
    layout_place_clusters(layout);

    end = g->cluster_count + FAT_FIRST_CLUSTER;
    layout->boot.volume_id = request->volume_id;
    layout->boot.free_clusters = end - layout->next_free;
    layout->boot.next_free = layout->next_free < end ? layout->next_free
                                                     : FAT_FSINFO_UNKNOWN;
    make_gpt_seed(layout);
    add_areas(layout);
    return g_steal_pointer(&layout);
}

void layout_free(Layout *layout)
{
    if (layout) {
        tree_free(layout->tree);
        g_free(layout->placed);
        g_free(layout->starts);
        g_free(layout->boot_code);
        g_free(layout->mbr_code);
        g_free(layout);
    }
}

const Geometry *layout_geometry(const Layout *layout)
{
    return &layout->geometry;
}

const Tree *layout_tree(const Layout *layout)
{
    return layout->tree;
}

int64_t layout_disk_bytes(const Layout *layout)
{
    return (int64_t)(layout->geometry.disk_sectors * SECTOR_SIZE);
}

uint32_t layout_free_clusters(const Layout *layout)
{
    return layout->boot.free_clusters;
}

uint32_t layout_volume_id(const Layout *layout)
{
    return layout->boot.volume_id;
}

/* ---- Regions ---- */

/* Narrow a region to the node that has the offset: its bytes, or the zeroes
 * between them and the end of its clusters. */
static void data_region(const Layout *layout, int64_t offset, Region *region)
{
    const Geometry *g = &layout->geometry;
    uint64_t cluster_size = geometry_cluster_size(g);
    uint32_t cluster =
        (uint32_t)((uint64_t)(offset - region->start) / cluster_size) +
        FAT_FIRST_CLUSTER;
    const TreeNode *node = layout->placed[layout_find(layout, cluster)];
    const ClusterRun *run = chain_runs(&node->chain);
    int64_t bytes = tree_is_directory(node)
                        ? (int64_t)layout_dir_bytes(layout, node)
                        : (int64_t)node->size;

    region->start = geometry_cluster_offset(g, run->first);
    region->end = region->start + (int64_t)(run->count * cluster_size);
    if (offset >= region->start + bytes) {
        region->start += bytes;
        region->kind = REGION_ZERO;
        return;
    }
    region->end = region->start + bytes;
    if (!tree_is_directory(node)) {
        region->kind = REGION_FILE;
        region->node = node;
    }
}

void layout_region(const Layout *layout, int64_t offset, Region *region)
{
    const Area *area = layout_area(layout, (uint64_t)offset / SECTOR_SIZE);

    *region = (Region){
        .kind = area->kind == AREA_ZERO ? REGION_ZERO : REGION_METADATA,
        .start = (int64_t)(area->start * SECTOR_SIZE),
        .end = (int64_t)(area->end * SECTOR_SIZE),
    };
    if (area->kind == AREA_DATA) {
        data_region(layout, offset, region);
    }
}
