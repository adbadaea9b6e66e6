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
    const uint8_t *code; /* the user's boot sector(s): see below; or NULL */
    size_t code_bytes;
    uint32_t free_clusters; /* FAT32: FSInfo */
    uint32_t next_free;
} BootParams;

/*
 * The user's boot code is the image of a boot sector, as other systems write
 * one. Of its first sector we take the jump (3 bytes) and everything behind
 * the parameters (from byte 62 on FAT12/16, 90 on FAT32) up to the mark 55 AA;
 * name, parameters, label and mark are ours. On FAT32 it may go on: further
 * sectors stand at their place in the reserved ones, but for FSInfo (1) and
 * the copy of sectors 0 to 2 (6 to 8), which are ours.
 *
 * Fails, saying why, when the code cannot be used: no jump at the start, a
 * jump into the parameters (it is made for another FAT type), too long.
 */
bool boot_code_check(unsigned fat_type, uint32_t reserved_sectors,
                     const uint8_t *code, size_t bytes, GError **errp)
    G_GNUC_WARN_UNUSED_RESULT;

/* Sector 0..reserved_sectors-1 of the volume. The code has been checked. */
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
    uint32_t root_cluster;  /* FAT32; else 0 */
    uint32_t fsinfo_sector; /* 0: none */
    uint32_t backup_sector; /* 0: none */
    uint32_t hidden_sectors;
    uint32_t root_start, root_sectors, data_start; /* sectors */
    uint32_t cluster_count;
    uint8_t media;
    uint8_t active_fat; /* FAT32 without mirroring; else 0 */
    bool mirrored;
    bool dirty;   /* the boot sector's dirty bit */
    bool has_ext; /* volume_id and label are there */
    uint32_t volume_id;
    uint8_t label[FAT_SHORT_NAME_SIZE];
    char oem_name[9]; /* printable ASCII */
} BootInfo;

/*
 * Read a boot sector. Fails, saying what is wrong, when it is none of FAT or
 * describes a volume that cannot be (fields out of range, FATs too small for
 * the clusters, larger than volume_bytes). What passes can be trusted: all
 * regions lie within the volume, in this order.
 */
bool boot_parse(const uint8_t sector[SECTOR_SIZE], uint64_t volume_bytes,
                BootInfo *info, GError **errp) G_GNUC_WARN_UNUSED_RESULT;

#endif
