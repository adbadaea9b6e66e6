/* SPDX-License-Identifier: MIT */
/*
 * The reserved sectors of a volume: boot sector, FSInfo, their backups.
 * Writing them for a geometry, and reading any volume's parameters. Pure.
 */
#ifndef VVFAT_BOOT_H
#define VVFAT_BOOT_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "block/vvfat/fat-format.h"
#include "block/vvfat/geometry.h"

#define BOOT_VOLUME_ID_DEFAULT 0xfabe1afdu
#define BOOT_FSINFO_SECTOR 1u
#define BOOT_BACKUP_SECTOR 6u

typedef struct BootParams {
    uint32_t volume_id;
    uint8_t label[FAT_SHORT_NAME_SIZE];
    const uint8_t *code; /* the whole boot sector(s) of the user's file, of
                            which we take all but our parameters; or NULL */
    size_t code_bytes;   /* FAT12/16: at most 512; FAT32: up to the reserved
                            sectors, FSInfo and the backups left out */
    uint32_t free_clusters; /* FAT32: FSInfo */
    uint32_t next_free;
} BootParams;

/* Sector 0..reserved_sectors-1 of the volume. */
void boot_render(const Geometry *g, const BootParams *params,
                 uint32_t sector_number, uint8_t sector[SECTOR_SIZE]);

/* Parameters of a volume, read and checked. */
typedef struct BootInfo {
    unsigned fat_type;
    uint32_t bytes_per_sector; /* 512, 1024, 2048, 4096 */
    uint32_t sectors_per_cluster;
    uint32_t reserved_sectors;
    uint32_t fat_count;
    uint32_t sectors_per_fat;
    uint32_t root_entries;
    uint64_t total_sectors;
    uint32_t root_cluster;  /* FAT32 */
    uint32_t fsinfo_sector; /* 0: none */
    uint32_t backup_sector; /* 0: none */
    uint32_t hidden_sectors;
    uint32_t root_start, root_sectors, data_start; /* sectors */
    uint32_t cluster_count;
    uint8_t media;
    uint8_t active_fat;   /* FAT32 without mirroring; else 0 */
    bool mirrored;
    bool dirty;           /* the boot sector's dirty bit */
    bool has_ext;         /* the three below are there */
    uint32_t volume_id;
    uint8_t label[FAT_SHORT_NAME_SIZE];
    char oem_name[9];
} BootInfo;

/*
 * Read a boot sector. Fails, saying what is wrong, when it is none of FAT or
 * describes a volume that cannot be (fields out of range, FATs too small for
 * the clusters, larger than volume_bytes).
 */
bool boot_parse(const uint8_t sector[SECTOR_SIZE], uint64_t volume_bytes,
                BootInfo *info, GError **errp) G_GNUC_WARN_UNUSED_RESULT;

#endif
