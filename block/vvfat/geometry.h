/* SPDX-License-Identifier: MIT */
/*
 * From what was asked for and how much there is to hold, to the immutable
 * shape of the disk: partition, FATs, root directory, clusters. Pure.
 */
#ifndef VVFAT_GEOMETRY_H
#define VVFAT_GEOMETRY_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "block/vvfat/fat-format.h"

typedef enum PartitionTable {
    PARTITION_NONE,
    PARTITION_MBR,
    PARTITION_GPT,
} PartitionTable;

typedef struct GeometryRequest {
    unsigned fat_type;       /* 12, 16, 32; 0: ours to choose */
    bool floppy;
    uint64_t size;           /* bytes of the disk; 0: automatic */
    uint32_t cluster_size;   /* bytes; 0: automatic */
    bool free_given;
    uint64_t free;           /* bytes to leave free when size is automatic */
    bool partition_given;
    PartitionTable partition;
    uint64_t align;          /* bytes; 0: automatic */
    bool esp;

    /* What must fit. clusters_needed: clusters of `cluster_size` bytes that
     * all files and directories take; with_root: on FAT32 the root directory
     * is one of them. root_entries: entries of 32 bytes in the root. */
    uint64_t (*clusters_needed)(uint32_t cluster_size, bool with_root,
                                const void *opaque);
    const void *opaque;
    uint32_t root_entries;
} GeometryRequest;

typedef struct Geometry {
    unsigned fat_type; /* 12, 16, 32 */
    bool floppy;
    bool esp;
    PartitionTable partition;
    uint64_t disk_sectors;
    uint32_t cylinders, heads, sectors_per_track; /* cylinders: at most 65535 */

    /* The volume, in sectors of the disk. */
    uint64_t volume_start, volume_sectors;

    /* Inside the volume, in sectors from its start. */
    uint32_t reserved_sectors;
    uint32_t sectors_per_fat; /* two FATs, one behind the other */
    uint32_t root_start;      /* FAT12/16: first sector of the root */
    uint32_t root_sectors;    /* 0 on FAT32 */
    uint32_t data_start;      /* first sector of cluster 2 */

    uint32_t root_entries; /* FAT12/16 */
    uint32_t sectors_per_cluster;
    uint32_t cluster_count; /* data clusters: numbers 2..cluster_count+1 */
    uint8_t media;
    uint8_t drive_number;
} Geometry;

#define FAT_COUNT 2u

/*
 * Work out the shape. Without `size`: the original's geometry if it holds
 * everything (and `free`, when given), else FAT32 aligned at 1 MiB, with
 * `free` or a default to spare; a floppy never grows. Errors (ENOSPC for what
 * does not fit, EINVAL for what contradicts itself) say what to ask for.
 */
bool geometry_choose(Geometry *g, const GeometryRequest *request,
                     GError **errp) G_GNUC_WARN_UNUSED_RESULT;

static inline uint32_t geometry_cluster_size(const Geometry *g)
{
    return g->sectors_per_cluster * SECTOR_SIZE;
}

/* Byte offset on the disk of a cluster (2..cluster_count+1). */
static inline int64_t geometry_cluster_offset(const Geometry *g,
                                              uint32_t cluster)
{
    return (int64_t)(g->volume_start + g->data_start +
                     (uint64_t)(cluster - FAT_FIRST_CLUSTER) *
                         g->sectors_per_cluster) * SECTOR_SIZE;
}

/* CHS as an MBR has it; FF FF FF when lba lies outside 1024 cylinders. */
void geometry_lba_to_chs(const Geometry *g, uint64_t lba, uint8_t chs[3]);

#endif
