/* SPDX-License-Identifier: MIT */
/*
 * Any volume: loaded, checked, every file read.
 *
 * The input makes a small volume of a chosen type, with a few files and
 * directories, and then patches it: so short inputs reach deep. A volume is
 * kept as its first sectors, the first bytes of its FATs and of its data;
 * all else reads as zeroes.
 *
 * Input: byte 0, the type (0-2: FAT12, 16, 32; bit 2: larger clusters); then
 * patches: byte 0, place (bits 0-1: reserved sectors, FAT, second FAT, root
 * and data) and length - 1 (bits 2-5); bytes 1-2, offset; then the bytes.
 */
#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "block/vvfat/fat.h"
#include "block/vvfat/guest-view.h"
#include "block/vvfat/names.h"

#define RESERVED_BYTES (8 * SECTOR_SIZE)
#define FAT_BYTES 2048
#define DATA_BYTES (64 * SECTOR_SIZE)
#define MAX_READ (256 * 1024)

typedef struct Area {
    int64_t start;
    size_t bytes;
    uint8_t *data;
} Area;

typedef struct Disk {
    Area area[4]; /* reserved, FAT, second FAT, root directory and data */
    uint64_t bytes;
    unsigned fat_type;
    int64_t root, data; /* bytes from the start of the volume */
    uint32_t cluster_size;
} Disk;

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

/* ---- The volume ---- */

static uint8_t reserved_data[RESERVED_BYTES];
static uint8_t fat_data[2][FAT_BYTES];
static uint8_t root_data[DATA_BYTES];

static int disk_read(void *opaque, int64_t offset, int64_t bytes, void *buf)
{
    const Disk *disk = opaque;

    memset(buf, 0, bytes);
    for (size_t i = 0; i < G_N_ELEMENTS(disk->area); i++) {
        const Area *area = &disk->area[i];
        int64_t start = MAX(offset, area->start);
        int64_t end = MIN(offset + bytes, area->start + (int64_t)area->bytes);

        if (start < end) {
            memcpy((uint8_t *)buf + (start - offset),
                   area->data + (start - area->start), end - start);
        }
    }
    return 0;
}

static void put_boot(Disk *disk, uint32_t clusters, uint32_t per_cluster)
{
    bool is_32 = disk->fat_type == 32;
    uint32_t reserved = RESERVED_BYTES / SECTOR_SIZE;
    uint32_t fat_sectors =
        (fat_bytes(disk->fat_type, clusters) + SECTOR_SIZE - 1) / SECTOR_SIZE;
    uint32_t root_sectors = is_32 ? 0 : 4;
    uint32_t total = reserved + 2 * fat_sectors + root_sectors +
                     clusters * per_cluster;
    FatBootSector32 *boot = (FatBootSector32 *)reserved_data;
    FatExtendedBpb *ext = is_32 ? &boot->ext : &((FatBootSector16 *)boot)->ext;

    memcpy(boot->bpb.jump, "\xeb\x3c\x90", 3);
    memcpy(boot->bpb.oem_name, "MSWIN4.1", 8);
    le16_put(&boot->bpb.bytes_per_sector, SECTOR_SIZE);
    boot->bpb.sectors_per_cluster = per_cluster;
    le16_put(&boot->bpb.reserved_sectors, reserved);
    boot->bpb.fat_count = 2;
    le16_put(&boot->bpb.root_entries, root_sectors * 16);
    le32_put(&boot->bpb.total_sectors32, total);
    boot->bpb.media = FAT_MEDIA_DISK;
    if (is_32) {
        le32_put(&boot->sectors_per_fat32, fat_sectors);
        le32_put(&boot->root_cluster, 2);
        le16_put(&boot->fsinfo_sector, 1);
        le16_put(&boot->backup_boot_sector, 6);
    } else {
        le16_put(&boot->bpb.sectors_per_fat16, fat_sectors);
    }
    ext->signature = FAT_EXT_SIGNATURE;
    memcpy(ext->label, "LABEL      ", sizeof(ext->label));
    le16_put(&boot->magic, FAT_BOOT_MAGIC);
    memcpy(reserved_data + 6 * SECTOR_SIZE, boot, SECTOR_SIZE);

    disk->bytes = (uint64_t)total * SECTOR_SIZE;
    disk->cluster_size = per_cluster * SECTOR_SIZE;
    disk->root = (int64_t)(reserved + 2 * fat_sectors) * SECTOR_SIZE;
    disk->data = disk->root + (int64_t)root_sectors * SECTOR_SIZE;
    disk->area[0] = (Area){ 0, sizeof(reserved_data), reserved_data };
    for (unsigned i = 0; i < 2; i++) {
        disk->area[1 + i] = (Area){
            (int64_t)(reserved + i * fat_sectors) * SECTOR_SIZE,
            MIN(FAT_BYTES, fat_sectors * SECTOR_SIZE),
            fat_data[i],
        };
    }
    disk->area[3] = (Area){ disk->root, sizeof(root_data), root_data };
}

static void put_fsinfo(void)
{
    FatFsInfo *fsinfo = (FatFsInfo *)(reserved_data + SECTOR_SIZE);

    le32_put(&fsinfo->lead_magic, FAT_FSINFO_LEAD_MAGIC);
    le32_put(&fsinfo->struct_magic, FAT_FSINFO_STRUCT_MAGIC);
    le32_put(&fsinfo->trail_magic, FAT_FSINFO_TRAIL_MAGIC);
    le32_put(&fsinfo->free_clusters, FAT_FSINFO_UNKNOWN);
    le32_put(&fsinfo->next_free, FAT_FSINFO_UNKNOWN);
}

static void put_link(const Disk *disk, uint32_t cluster, uint32_t value)
{
    for (unsigned i = 0; i < 2; i++) {
        fat_entry_put(disk->fat_type, fat_data[i], FAT_BYTES, 0, cluster,
                      value);
    }
}

static FatDirent *put_entry(FatDirent *at, const char *name, uint8_t attr,
                            uint32_t cluster, uint32_t bytes)
{
    memcpy(at->name, name, sizeof(at->name));
    at->attr = attr;
    le16_put(&at->cluster_low, cluster);
    le16_put(&at->mdate, 0x5821);
    le32_put(&at->size, bytes);
    return at + 1;
}

static FatDirent *put_long_name(FatDirent *at, const char *text,
                                const char *short_name)
{
    FatLongDirent entry = { .order = 1 | FAT_LONG_LAST,
                            .attr = FAT_ATTR_LONG_NAME };
    le16 *unit[FAT_LONG_UNITS];

    entry.checksum = names_checksum((const uint8_t *)short_name);
    for (unsigned i = 0; i < FAT_LONG_UNITS; i++) {
        unit[i] = i < 5    ? &entry.name1[i]
                  : i < 11 ? &entry.name2[i - 5]
                           : &entry.name3[i - 11];
        le16_put(unit[i], i <= strlen(text) ? (uint8_t)text[i] : 0xffff);
    }
    memcpy(at, &entry, sizeof(entry));
    return at + 1;
}

static FatDirent *cluster_at(const Disk *disk, uint32_t cluster)
{
    return (FatDirent *)(root_data + (disk->data - disk->root) +
                         (size_t)(cluster - 2) * disk->cluster_size);
}

static void put_files(const Disk *disk)
{
    uint32_t root = disk->fat_type == 32 ? 2 : 0;
    uint32_t first = root ? 3 : 2;
    FatDirent *at = root ? cluster_at(disk, 2) : (FatDirent *)root_data;

    put_link(disk, 0, fat_entry_0(disk->fat_type, FAT_MEDIA_DISK));
    put_link(disk, 1, fat_entry_1(disk->fat_type));
    if (root) {
        put_link(disk, root, FAT_ENTRY_EOC);
    }
    at = put_entry(at, "LABEL      ", FAT_ATTR_VOLUME_ID, 0, 0);
    at = put_entry(at, "A       BIN", FAT_ATTR_ARCHIVE, first,
                   3 * disk->cluster_size - 1);
    put_link(disk, first, first + 1);
    put_link(disk, first + 1, first + 2);
    put_link(disk, first + 2, FAT_ENTRY_EOC);
    at = put_long_name(at, "long name", "LONGNA~1   ");
    at = put_entry(at, "LONGNA~1   ", FAT_ATTR_DIRECTORY, first + 3, 0);
    put_link(disk, first + 3, FAT_ENTRY_EOC);
    at = put_entry(at, "EMPTY      ", FAT_ATTR_ARCHIVE, 0, 0);

    at = cluster_at(disk, first + 3);
    at = put_entry(at, ".          ", FAT_ATTR_DIRECTORY, first + 3, 0);
    at = put_entry(at, "..         ", FAT_ATTR_DIRECTORY, 0, 0);
    at = put_entry(at, "SUB        ", FAT_ATTR_DIRECTORY, first + 4, 0);
    put_link(disk, first + 4, FAT_ENTRY_EOC);
    at = put_entry(at, "B       TXT", FAT_ATTR_READ_ONLY, first + 5, 9);
    put_link(disk, first + 5, FAT_ENTRY_EOC);

    at = cluster_at(disk, first + 4);
    at = put_entry(at, ".          ", FAT_ATTR_DIRECTORY, first + 4, 0);
    put_entry(at, "..         ", FAT_ATTR_DIRECTORY, first + 3, 0);
}

static void make_disk(Disk *disk, uint8_t kind)
{
    static const unsigned types[] = { 12, 16, 32, 12 };
    static const uint32_t clusters[] = { 60, 4200, 300, 4000 };

    memset(reserved_data, 0, sizeof(reserved_data));
    memset(fat_data, 0, sizeof(fat_data));
    memset(root_data, 0, sizeof(root_data));
    disk->fat_type = types[kind % 4];
    put_boot(disk, clusters[kind % 4], kind & 4 ? 4 : 1);
    put_fsinfo();
    put_files(disk);
}

static void patch_disk(Disk *disk, const uint8_t *input, size_t size)
{
    while (size > 3) {
        Area *area = &disk->area[input[0] % 4];
        size_t n = (input[0] >> 2) % 16 + 1;
        size_t offset = (input[1] | (size_t)input[2] << 8) % area->bytes;

        input += 3;
        size -= 3;
        n = MIN(n, size);
        memcpy(area->data + offset, input, MIN(n, area->bytes - offset));
        input += n;
        size -= n;
    }
}

/* ---- What must hold ---- */

typedef struct Seen {
    Volume *volume;
    uint64_t clusters, files, directories;
    int64_t left_to_read;
} Seen;

static void must(bool condition)
{
    if (!condition) {
        abort();
    }
}

static void read_file(Seen *seen, const TreeNode *node)
{
    static uint8_t buf[4096];
    int64_t readable = volume_file_readable(seen->volume, node);

    must(readable <= node->size);
    for (int64_t offset = 0; offset < readable && seen->left_to_read > 0;
         offset += sizeof(buf)) {
        int64_t n = MIN((int64_t)sizeof(buf), readable - offset);

        must(volume_read_file(seen->volume, node, offset, n, buf) == 0);
        seen->left_to_read -= n;
    }
    if (readable < node->size) {
        must(volume_read_file(seen->volume, node, readable, 1, buf) < 0);
    }
}

static bool see_node(TreeNode *node, void *opaque)
{
    Seen *seen = opaque;
    g_autofree char *path = guest_view_path(node);

    seen->clusters += chain_length(&node->chain);
    must(strlen(path) < 32768);
    must(!node->parent || (*node->name && !strchr(node->name, '/')));
    if (node->parent && node->host_name) {
        must(*node->host_name && !strchr(node->host_name, '/') &&
             strcmp(node->host_name, ".") != 0 &&
             strcmp(node->host_name, "..") != 0 &&
             strlen(node->host_name) <= 255);
    }
    if (tree_is_directory(node)) {
        seen->directories++;
    } else {
        seen->files++;
        read_file(seen, node);
    }
    return true;
}

static void check_view(Volume *volume, const GuestView *view, bool full)
{
    const BootInfo *info = volume_boot_info(volume);
    Seen seen = { .volume = volume, .left_to_read = MAX_READ };
    uint64_t damage = 0;

    tree_walk(view->tree, see_node, &seen);
    must(seen.files == view->tree->n_files);
    must(seen.directories == view->tree->n_directories);
    must(seen.clusters + view->lost_clusters == view->used_clusters);
    must(!full ||
         view->used_clusters + view->free_clusters + view->bad_clusters ==
             info->cluster_count);
    must(view->problems->len <= GUEST_VIEW_MAX_PROBLEMS + 12);
    for (guint i = 0; i < view->problems->len; i++) {
        const Problem *p = g_ptr_array_index(view->problems, i);

        damage += p->is_damage;
        must(*p->text && strcmp(problem_kind_name(p->kind), "unknown") != 0);
    }
    must(damage <= view->n_damage);
    must(view->more_problems || damage == view->n_damage);
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    g_autoptr(Volume) volume = NULL;
    Disk disk;

    if (size == 0) {
        return 0;
    }
    make_disk(&disk, input[0]);
    patch_disk(&disk, input + 1, size - 1);
    volume = volume_open(disk_read, &disk, disk.bytes, NULL, NULL);
    if (!volume) {
        return 0;
    }
    for (int full = 0; full < 2; full++) {
        g_autoptr(GuestView) view = guest_view_load(volume, full, NULL);

        must(view != NULL);
        check_view(volume, view, full);
        must(size > 1 || view->problems->len == 0);
    }
    return 0;
}
