/* SPDX-License-Identifier: MIT */
/*
 * The bytes of metadata, computed sector by sector when they are read: FAT
 * entries from the runs of the nodes, directory entries from the nodes, the
 * rest by those who know the format.
 */
#include <string.h>

#include "block/vvfat/dirent.h"
#include "block/vvfat/fat.h"
#include "block/vvfat/layout-int.h"
#include "block/vvfat/partition.h"

/* ---- FAT ---- */

/* The entry of a cluster below next_free; *index is the node that has it or
 * one before, and moves on. */
static uint32_t entry_value(const Layout *layout, uint32_t cluster,
                            uint32_t *index)
{
    while (cluster >= layout->starts[*index + 1]) {
        ++*index;
    }
    return cluster + 1 < layout->starts[*index + 1] ? cluster + 1
                                                    : FAT_ENTRY_EOC;
}

static void render_fat(const Layout *layout, uint64_t sector_number,
                       uint8_t sector[SECTOR_SIZE])
{
    unsigned type = layout->geometry.fat_type;
    uint64_t offset = sector_number * SECTOR_SIZE;
    uint32_t cluster, end, index;

    memset(sector, 0, SECTOR_SIZE);
    fat_entries_in(type, offset, SECTOR_SIZE, &cluster, &end);
    end = MIN(end, layout->next_free);
    for (; cluster < FAT_FIRST_CLUSTER; cluster++) {
        fat_entry_put(type, sector, SECTOR_SIZE, offset, cluster,
                      cluster == 0 ? fat_entry_0(type, layout->geometry.media)
                                   : fat_entry_1(type));
    }
    if (cluster >= end) {
        return;
    }
    index = layout_find(layout, cluster);
    for (; cluster < end; cluster++) {
        fat_entry_put(type, sector, SECTOR_SIZE, offset, cluster,
                      entry_value(layout, cluster, &index));
    }
}

/* ---- Directories ---- */

static void render_own_entry(const Layout *layout, const TreeNode *dir,
                             unsigned slot, FatDirent *entry)
{
    const Tree *tree = layout->tree;
    const TreeNode *meant = slot == 0 ? dir : dir->parent;

    if (!dir->parent) {
        dirent_render_label(tree->label, tree->label_time, entry);
        return;
    }
    /* ".." of a directory in the root is cluster 0, on FAT32 too. */
    dirent_render_dot(meant, slot + 1,
                      meant->parent ? chain_first(&meant->chain) : 0, entry);
}

/* Index of the last child that begins at or before a slot. */
static uint32_t find_child(const TreeNode *dir, uint32_t slot)
{
    uint32_t low = 0, high = dir->n_children;

    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;

        if (dir->children[middle]->slot <= slot) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

static void render_dir(const Layout *layout, const TreeNode *dir,
                       uint64_t sector_number, uint8_t sector[SECTOR_SIZE])
{
    const uint32_t per_sector = SECTOR_SIZE / FAT_DIRENT_SIZE;
    uint32_t slot = (uint32_t)sector_number * per_sector;
    uint32_t end = MIN(slot + per_sector, layout_dir_slots(layout, dir));
    uint32_t own = layout_own_slots(layout, dir);
    FatDirent *entry = (FatDirent *)sector;
    uint32_t child;

    memset(sector, 0, SECTOR_SIZE);
    for (; slot < MIN(own, end); slot++) {
        render_own_entry(layout, dir, slot, entry++);
    }
    if (slot >= end) {
        return;
    }
    child = find_child(dir, slot);
    for (; slot < end; slot++) {
        if (child + 1 < dir->n_children &&
            dir->children[child + 1]->slot <= slot) {
            child++;
        }
        dirent_render(dir->children[child], slot - dir->children[child]->slot,
                      entry++);
    }
}

/* A sector of a directory in the data area. */
static void render_data(const Layout *layout, uint64_t sector_number,
                        uint8_t sector[SECTOR_SIZE])
{
    uint32_t spc = layout->geometry.sectors_per_cluster;
    uint32_t cluster = (uint32_t)(sector_number / spc) + FAT_FIRST_CLUSTER;
    uint32_t index = layout_find(layout, cluster);
    uint32_t first = layout->starts[index] - FAT_FIRST_CLUSTER;

    render_dir(layout, layout->placed[index],
               sector_number - (uint64_t)first * spc, sector);
}

/* ---- Any ---- */

static void render_sector(const Layout *layout, uint64_t lba,
                          uint8_t sector[SECTOR_SIZE])
{
    const Geometry *g = &layout->geometry;
    const Area *area = layout_area(layout, lba);

    switch (area->kind) {
    case AREA_ZERO:
        memset(sector, 0, SECTOR_SIZE);
        break;
    case AREA_MBR:
        partition_render_mbr(g, layout->mbr_code, layout->mbr_code_bytes,
                             sector);
        break;
    case AREA_GPT:
        partition_render_gpt(g, layout->gpt_seed, lba, sector);
        break;
    case AREA_RESERVED:
        boot_render(g, &layout->boot, (uint32_t)(lba - area->base), sector);
        break;
    case AREA_FAT:
        render_fat(layout, lba - area->base, sector);
        break;
    case AREA_ROOT:
        render_dir(layout, layout->tree->root, lba - area->base, sector);
        break;
    case AREA_DATA:
        render_data(layout, lba - area->base, sector);
        break;
    }
}

void layout_read_metadata(const Layout *layout, int64_t offset, int64_t bytes,
                          void *buf)
{
    uint8_t *out = buf;

    while (bytes > 0) {
        uint64_t lba = (uint64_t)offset / SECTOR_SIZE;
        int64_t skip = offset % SECTOR_SIZE;
        int64_t n = MIN(bytes, (int64_t)SECTOR_SIZE - skip);

        if (n == SECTOR_SIZE) {
            render_sector(layout, lba, out);
        } else {
            uint8_t sector[SECTOR_SIZE];

            render_sector(layout, lba, sector);
            memcpy(out, sector + skip, (size_t)n);
        }
        out += n;
        offset += n;
        bytes -= n;
    }
}
