/* SPDX-License-Identifier: MIT */
/*
 * Reading a boot sector, from the raw fields to a volume that can be.
 *
 * Nothing is asked for that readers do without: neither the jump nor the
 * type's name is looked at. The type follows from the number of clusters,
 * with the one exception that all systems but Windows make: a volume with the
 * fields of FAT32 (no 16-bit size of the FAT) is FAT32 however small it is,
 * since its FAT and root directory could not be found otherwise.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "block/error.h"
#include "block/vvfat/boot.h"
#include "block/vvfat/fat.h"

#define EXT_SIGNATURE_ID_ONLY 0x28 /* a volume id, but no label */
#define FLAG_NO_MIRROR 0x80u
#define FLAG_ACTIVE_FAT 0x0fu
#define NO_SECTOR 0xffffu

static bool is_power_of_two(uint32_t n)
{
    return n != 0 && (n & (n - 1)) == 0;
}

static bool refuse(GError **errp, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

static bool refuse(GError **errp, const char *fmt, ...)
{
    g_autofree char *what = NULL;
    va_list ap;

    va_start(ap, fmt);
    what = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    block_error_set(errp, EINVAL, "Not a FAT volume: %s", what);
    return false;
}

/* The fields that every FAT has, each for itself. */
static bool parse_bpb(const FatBpb *bpb, BootInfo *info, GError **errp)
{
    info->bytes_per_sector = le16_get(bpb->bytes_per_sector);
    info->sectors_per_cluster = bpb->sectors_per_cluster;
    info->reserved_sectors = le16_get(bpb->reserved_sectors);
    info->fat_count = bpb->fat_count;
    info->root_entries = le16_get(bpb->root_entries);
    info->sectors_per_fat = le16_get(bpb->sectors_per_fat16);
    info->media = bpb->media;
    info->hidden_sectors = le32_get(bpb->hidden_sectors);
    info->total_sectors = le16_get(bpb->total_sectors16);
    if (info->total_sectors == 0) {
        info->total_sectors = le32_get(bpb->total_sectors32);
    }
    if (!is_power_of_two(info->bytes_per_sector) ||
        info->bytes_per_sector < 512 || info->bytes_per_sector > 4096) {
        return refuse(errp,
                      "its sectors have %u bytes, not 512, 1024, 2048 or 4096",
                      info->bytes_per_sector);
    }
    if (!is_power_of_two(info->sectors_per_cluster)) {
        return refuse(errp,
                      "its clusters have %u sectors, which is no power of two",
                      info->sectors_per_cluster);
    }
    if (info->reserved_sectors == 0) {
        return refuse(errp, "it has no reserved sectors");
    }
    if (info->fat_count == 0) {
        return refuse(errp, "it has no FAT");
    }
    if (!fat_media_is_valid(info->media)) {
        return refuse(errp,
                      "its media byte is 0x%02x, not 0xf0 or 0xf8 to 0xff",
                      info->media);
    }
    for (unsigned i = 0; i < sizeof(bpb->oem_name); i++) {
        uint8_t c = bpb->oem_name[i];

        info->oem_name[i] = (char)(c >= 0x20 && c < 0x7f ? c : '.');
    }
    return true;
}

/* The fields of FAT32 alone. */
static bool parse_fat32(const FatBootSector32 *boot, BootInfo *info,
                        GError **errp)
{
    unsigned flags = le16_get(boot->flags);
    unsigned version = le16_get(boot->version);

    info->fat_type = 32;
    info->sectors_per_fat = le32_get(boot->sectors_per_fat32);
    info->root_cluster = le32_get(boot->root_cluster);
    info->fsinfo_sector = le16_get(boot->fsinfo_sector);
    info->backup_sector = le16_get(boot->backup_boot_sector);
    info->mirrored = !(flags & FLAG_NO_MIRROR);
    if (!info->mirrored) {
        info->active_fat = flags & FLAG_ACTIVE_FAT;
    }
    if (version != 0) {
        return refuse(errp, "it has version %u.%u of FAT32; only 0.0 is known",
                      version >> 8, version & 0xff);
    }
    if (info->root_entries != 0) {
        return refuse(errp,
                      "it is FAT32 with a fixed root directory of %u entries",
                      info->root_entries);
    }
    if (info->active_fat >= info->fat_count) {
        return refuse(errp, "its active FAT is number %u of %u",
                      info->active_fat, info->fat_count);
    }
    if (info->fsinfo_sector == NO_SECTOR ||
        info->fsinfo_sector >= info->reserved_sectors) {
        info->fsinfo_sector = 0;
    }
    if (info->backup_sector == NO_SECTOR ||
        info->backup_sector >= info->reserved_sectors) {
        info->backup_sector = 0;
    }
    return true;
}

/* The places of everything, and how many clusters that leaves. */
static bool place_regions(BootInfo *info, GError **errp)
{
    uint64_t fats = (uint64_t)info->fat_count * info->sectors_per_fat;
    uint64_t root_start = info->reserved_sectors + fats;
    uint64_t root_sectors = ((uint64_t)info->root_entries * FAT_DIRENT_SIZE +
                             info->bytes_per_sector - 1) /
                            info->bytes_per_sector;
    uint64_t data_start = root_start + root_sectors;
    uint64_t clusters;

    if (info->sectors_per_fat == 0) {
        return refuse(errp, "its FAT has no sectors");
    }
    if (data_start >= info->total_sectors) {
        return refuse(errp,
                      "its %" PRIu64 " sectors leave no room "
                      "for data, which would begin at sector %" PRIu64,
                      info->total_sectors, data_start);
    }
    clusters = (info->total_sectors - data_start) / info->sectors_per_cluster;
    if (clusters == 0) {
        return refuse(errp, "it is smaller than one cluster");
    }
    if (clusters > FAT32_MAX_CLUSTERS) {
        return refuse(errp,
                      "it has %" PRIu64 " clusters; FAT32 "
                      "numbers %u at most",
                      clusters, FAT32_MAX_CLUSTERS);
    }
    info->root_start = (uint32_t)root_start;
    info->root_sectors = (uint32_t)root_sectors;
    info->data_start = (uint32_t)data_start;
    info->cluster_count = (uint32_t)clusters;
    return true;
}

/* The type, and whether everything suits it. */
static bool check_type(BootInfo *info, GError **errp)
{
    uint64_t fat_size = (uint64_t)info->sectors_per_fat *
                        info->bytes_per_sector;

    if (info->fat_type != 32) {
        info->fat_type = fat_type_of(info->cluster_count);
        if (info->fat_type == 32) {
            return refuse(errp,
                          "it has %u clusters, too many for FAT16, and "
                          "not the fields of FAT32",
                          info->cluster_count);
        }
        if (info->root_entries == 0) {
            return refuse(errp, "its root directory has no entries");
        }
    } else if (info->root_cluster < FAT_FIRST_CLUSTER ||
               info->root_cluster - FAT_FIRST_CLUSTER >= info->cluster_count) {
        return refuse(errp,
                      "its root directory begins at cluster %u; it has "
                      "2 to %u",
                      info->root_cluster, info->cluster_count + 1);
    }
    if (fat_bytes(info->fat_type, info->cluster_count) > fat_size) {
        return refuse(errp,
                      "its FATs of %" PRIu64 " bytes are too "
                      "small for %u clusters of FAT%u",
                      fat_size, info->cluster_count, info->fat_type);
    }
    return true;
}

static void parse_ext(const FatExtendedBpb *ext, BootInfo *info)
{
    if (ext->signature != FAT_EXT_SIGNATURE &&
        ext->signature != EXT_SIGNATURE_ID_ONLY) {
        return;
    }
    info->dirty = ext->dirty & FAT_BOOT_DIRTY;
    info->volume_id = le32_get(ext->volume_id);
    if (ext->signature == FAT_EXT_SIGNATURE) {
        info->has_ext = true;
        memcpy(info->label, ext->label, sizeof(info->label));
    }
}

bool boot_parse(const uint8_t sector[SECTOR_SIZE], uint64_t volume_bytes,
                BootInfo *info, GError **errp)
{
    const FatBootSector16 *boot16 = (const FatBootSector16 *)sector;
    const FatBootSector32 *boot32 = (const FatBootSector32 *)sector;
    uint64_t bytes;

    memset(info, 0, sizeof(*info));
    memset(info->label, ' ', sizeof(info->label));
    info->mirrored = true;
    if (!parse_bpb(&boot16->bpb, info, errp)) {
        return false;
    }
    if (info->sectors_per_fat == 0) {
        if (!parse_fat32(boot32, info, errp)) {
            return false;
        }
        parse_ext(&boot32->ext, info);
    } else {
        parse_ext(&boot16->ext, info);
    }
    if (!place_regions(info, errp) || !check_type(info, errp)) {
        return false;
    }
    bytes = info->total_sectors * info->bytes_per_sector;
    if (bytes > volume_bytes) {
        block_error_set(
            errp, EINVAL,
            "The FAT volume is cut off: its boot sector says %" PRIu64
            " bytes, there are %" PRIu64,
            bytes, volume_bytes);
        return false;
    }
    return true;
}
