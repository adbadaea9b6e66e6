/* SPDX-License-Identifier: MIT */
/*
 * What a check looks at beyond the tree: every entry of the FATs, and all
 * that a volume says twice (mirrors, backup boot sector, label) or counts
 * (FSInfo).
 *
 * Lost clusters are those that the FAT has allocated and the walk of the tree
 * did not reach. They are counted as chains by their beginnings: those that no
 * other lost cluster leads to. So the FAT is read once, in order.
 */
#include <errno.h>
#include <string.h>

#include "block/vvfat/fat.h"
#include "block/vvfat/guest-load.h"
#include "block/vvfat/volume.h"

#define NO_LABEL "NO NAME    "

/* ---- The FAT's entries ---- */

typedef struct LostClusters {
    Bitmap *lost;
    Bitmap *led_to;        /* by another lost cluster */
    uint64_t n_astray;     /* lead to no cluster of the volume */
    uint32_t first_astray; /* the first of them */
} LostClusters;

static void count_lost(GuestLoad *load, LostClusters *lost, uint32_t cluster,
                       uint32_t value)
{
    bitmap_set(lost->lost, cluster);
    load->view->lost_clusters++;
    if (volume_has_cluster(load->volume, value)) {
        bitmap_set(lost->led_to, value);
    } else if (value != FAT_ENTRY_EOC && lost->n_astray++ == 0) {
        lost->first_astray = cluster;
    }
}

static int count_clusters(GuestLoad *load, LostClusters *lost)
{
    GuestView *view = load->view;
    uint32_t end = volume_boot_info(load->volume)->cluster_count +
                   FAT_FIRST_CLUSTER;

    for (uint32_t cluster = FAT_FIRST_CLUSTER; cluster < end; cluster++) {
        uint32_t value;
        int ret = volume_fat_get(load->volume, cluster, &value);

        if (ret < 0) {
            return ret;
        }
        if (value == FAT_ENTRY_FREE) {
            view->free_clusters++;
        } else if (value == FAT_ENTRY_BAD) {
            view->bad_clusters++;
        } else {
            view->used_clusters++;
            if (!bitmap_test(load->used, cluster)) {
                count_lost(load, lost, cluster, value);
            }
        }
    }
    return 0;
}

static void report_lost(GuestLoad *load, const LostClusters *lost)
{
    GuestView *view = load->view;
    uint64_t end = (uint64_t)volume_boot_info(load->volume)->cluster_count +
                   FAT_FIRST_CLUSTER;

    if (lost->n_astray) {
        problem_add(view, PROBLEM_FAT_VALUE, PROBLEM_DAMAGE, NULL,
                    "%" G_GUINT64_FORMAT
                    " entries of the FAT lead outside the volume, first that "
                    "of cluster %u",
                    lost->n_astray, lost->first_astray);
    }
    for (uint64_t i = bitmap_next_set(lost->lost, 0); i < end;
         i = bitmap_next_set(lost->lost, i + 1)) {
        view->lost_chains += !bitmap_test(lost->led_to, i);
    }
    if (view->lost_clusters) {
        /* Loops have no beginning. */
        view->lost_chains = MAX(view->lost_chains, 1);
        problem_add(view, PROBLEM_LOST_CLUSTERS, PROBLEM_DAMAGE, NULL,
                    "%" G_GUINT64_FORMAT
                    " clusters are allocated, but belong to no file "
                    "(%" G_GUINT64_FORMAT " chains)",
                    view->lost_clusters, view->lost_chains);
    }
}

static int check_clusters(GuestLoad *load)
{
    uint64_t n = (uint64_t)volume_boot_info(load->volume)->cluster_count +
                 FAT_FIRST_CLUSTER;
    g_autoptr(Bitmap) lost_map = bitmap_try_new(n);
    g_autoptr(Bitmap) led_to_map = bitmap_try_new(n);
    LostClusters lost = { .lost = lost_map, .led_to = led_to_map };
    int ret;

    if (!lost_map || !led_to_map) {
        return -ENOMEM;
    }
    load->view->used_clusters = 0;
    ret = count_clusters(load, &lost);
    if (ret == 0) {
        report_lost(load, &lost);
    }
    return ret;
}

/* ---- Media byte ---- */

static int check_media(GuestLoad *load)
{
    const BootInfo *info = volume_boot_info(load->volume);
    uint32_t expected = fat_entry_0(info->fat_type, info->media);
    uint32_t value;
    int ret = volume_fat_get(load->volume, 0, &value);

    if (ret == 0 && value != expected) {
        /* Formatters that forget which media byte they gave the boot sector
         * are common; any will do. */
        bool is_media = value == fat_entry_0(info->fat_type, value & 0xff) &&
                        fat_media_is_valid(value & 0xff);

        problem_add(load->view, PROBLEM_FAT_MEDIA,
                    is_media ? PROBLEM_NOTE : PROBLEM_DAMAGE, NULL,
                    "the FAT begins with 0x%x; by the media byte of the boot "
                    "sector it is 0x%x",
                    value, expected);
    }
    return ret;
}

/* ---- Mirrors ---- */

typedef struct Mirror {
    uint64_t differ; /* entries of clusters */
    uint32_t first;  /* cluster of the first of them */
    bool head;       /* FAT[0] or FAT[1] differ */
} Mirror;

/* Compare what two pieces of FATs, both from `offset`, say. */
static void compare_entries(const GuestLoad *load, const uint8_t *one,
                            const uint8_t *other, size_t bytes, int64_t offset,
                            Mirror *mirror)
{
    const BootInfo *info = volume_boot_info(load->volume);
    uint32_t first, end;

    fat_entries_in(info->fat_type, offset, bytes, &first, &end);
    end = MIN(end, info->cluster_count + FAT_FIRST_CLUSTER);
    for (uint32_t cluster = first; cluster < end; cluster++) {
        uint32_t a, b;

        if (!fat_entry_get(info->fat_type, one, bytes, offset, cluster, &a) ||
            !fat_entry_get(info->fat_type, other, bytes, offset, cluster,
                           &b) ||
            a == b) {
            continue;
        }
        if (cluster < FAT_FIRST_CLUSTER) {
            mirror->head = true;
        } else if (mirror->differ++ == 0) {
            mirror->first = cluster;
        }
    }
}

static void report_mirror(GuestLoad *load, uint32_t fat, const Mirror *mirror)
{
    const BootInfo *info = volume_boot_info(load->volume);

    if (mirror->differ) {
        problem_add(load->view, PROBLEM_FAT_MIRROR, PROBLEM_DAMAGE, NULL,
                    "FAT %u differs from FAT %u in %" G_GUINT64_FORMAT
                    " entries, first in that of cluster %u",
                    fat + 1, info->active_fat + 1u, mirror->differ,
                    mirror->first);
    } else if (mirror->head) {
        problem_add(load->view, PROBLEM_FAT_MIRROR, PROBLEM_NOTE, NULL,
                    "FAT %u differs from FAT %u in what it says of the "
                    "volume's state",
                    fat + 1, info->active_fat + 1u);
    }
}

static int check_mirror(GuestLoad *load, uint32_t fat)
{
    const BootInfo *info = volume_boot_info(load->volume);
    int64_t active = volume_fat_offset(load->volume, info->active_fat);
    int64_t copy = volume_fat_offset(load->volume, fat);
    int64_t end = fat_bytes(info->fat_type, info->cluster_count);
    const int64_t piece = GUEST_LOAD_BUFFER / 2;
    uint8_t *one = load->buffer;
    uint8_t *other = one + piece;
    Mirror mirror = { 0 };

    for (int64_t offset = 0; offset < end; offset += piece) {
        int64_t n = MIN(piece, end - offset);
        int ret = volume_read(load->volume, active + offset, n, one);

        if (ret == 0) {
            ret = volume_read(load->volume, copy + offset, n, other);
        }
        if (ret < 0) {
            return ret;
        }
        if (memcmp(one, other, n) != 0) {
            compare_entries(load, one, other, n, offset, &mirror);
        }
    }
    report_mirror(load, fat, &mirror);
    return 0;
}

static int check_mirrors(GuestLoad *load)
{
    const BootInfo *info = volume_boot_info(load->volume);
    int ret = 0;

    for (uint32_t fat = 0; info->mirrored && ret == 0 && fat < info->fat_count;
         fat++) {
        if (fat != info->active_fat) {
            ret = check_mirror(load, fat);
        }
    }
    return ret;
}

/* ---- FSInfo ---- */

static bool fsinfo_is_one(const FatFsInfo *fsinfo)
{
    return le32_get(fsinfo->lead_magic) == FAT_FSINFO_LEAD_MAGIC &&
           le32_get(fsinfo->struct_magic) == FAT_FSINFO_STRUCT_MAGIC &&
           le32_get(fsinfo->trail_magic) == FAT_FSINFO_TRAIL_MAGIC;
}

static int check_fsinfo(GuestLoad *load)
{
    const BootInfo *info = volume_boot_info(load->volume);
    GuestView *view = load->view;
    FatFsInfo fsinfo;
    uint32_t count, next;
    int ret;

    if (info->fat_type != 32 || !info->fsinfo_sector) {
        return 0;
    }
    ret = volume_read(load->volume,
                      (int64_t)info->fsinfo_sector * info->bytes_per_sector,
                      sizeof(fsinfo), &fsinfo);
    if (ret < 0) {
        return ret;
    }
    if (!fsinfo_is_one(&fsinfo)) {
        problem_add(view, PROBLEM_FSINFO, PROBLEM_DAMAGE, NULL,
                    "sector %u is no FSInfo sector: its signatures are wrong",
                    info->fsinfo_sector);
        return 0;
    }
    count = le32_get(fsinfo.free_clusters);
    next = le32_get(fsinfo.next_free);
    if (count != FAT_FSINFO_UNKNOWN && count != view->free_clusters) {
        /* While a volume is mounted the count may lag behind. */
        problem_add(view, PROBLEM_FSINFO,
                    info->dirty ? PROBLEM_NOTE : PROBLEM_DAMAGE, NULL,
                    "FSInfo counts %u free clusters; there are "
                    "%" G_GUINT64_FORMAT,
                    count, view->free_clusters);
    }
    if (next != FAT_FSINFO_UNKNOWN &&
        !volume_has_cluster(load->volume, next)) {
        problem_add(view, PROBLEM_FSINFO, PROBLEM_NOTE, NULL,
                    "FSInfo's hint for the next free cluster, %u, is no "
                    "cluster of the volume",
                    next);
    }
    return 0;
}

/* ---- Backup boot sector ---- */

/* Whether two boot sectors agree in what describes the volume: all from the
 * bytes of a sector to the backup's own place. */
static bool boot_params_equal(const uint8_t *one, const uint8_t *other)
{
    size_t start = offsetof(FatBpb, bytes_per_sector);
    size_t end = offsetof(FatBootSector32, reserved);

    return memcmp(one + start, other + start, end - start) == 0 &&
           memcmp(one + 510, other + 510, 2) == 0;
}

static int check_backup(GuestLoad *load)
{
    const BootInfo *info = volume_boot_info(load->volume);
    uint8_t boot[SECTOR_SIZE], backup[SECTOR_SIZE];
    int ret;

    if (info->fat_type != 32 || !info->backup_sector) {
        return 0;
    }
    ret = volume_read(load->volume, 0, sizeof(boot), boot);
    if (ret == 0) {
        ret =
            volume_read(load->volume,
                        (int64_t)info->backup_sector * info->bytes_per_sector,
                        sizeof(backup), backup);
    }
    if (ret < 0) {
        return ret;
    }
    /* The dirty mark goes into the boot sector alone. */
    boot[offsetof(FatBootSector32, ext.dirty)] = 0;
    backup[offsetof(FatBootSector32, ext.dirty)] = 0;
    if (!boot_params_equal(boot, backup)) {
        problem_add(load->view, PROBLEM_BOOT_BACKUP, PROBLEM_DAMAGE, NULL,
                    "the backup in sector %u describes another volume than "
                    "the boot sector",
                    info->backup_sector);
    } else if (memcmp(boot, backup, sizeof(boot)) != 0) {
        problem_add(load->view, PROBLEM_BOOT_BACKUP, PROBLEM_NOTE, NULL,
                    "the backup in sector %u differs from the boot sector in "
                    "code, label or volume id",
                    info->backup_sector);
    }
    return 0;
}

/* ---- Label ---- */

static void check_label(GuestLoad *load)
{
    const BootInfo *info = volume_boot_info(load->volume);
    const Tree *tree = load->view->tree;
    const void *root = tree->has_label ? (const void *)tree->label : NO_LABEL;

    /* Windows changes the root directory's alone. */
    if (info->has_ext && memcmp(info->label, root, sizeof(info->label)) != 0) {
        problem_add(load->view, PROBLEM_LABEL, PROBLEM_NOTE, NULL,
                    "the label in the boot sector is not that of the root "
                    "directory");
    }
}

int guest_check_volume(GuestLoad *load)
{
    static int (*const checks[])(GuestLoad * load) = {
        check_backup, check_media, check_mirrors, check_clusters, check_fsinfo,
    };
    int ret = 0;

    check_label(load);
    for (size_t i = 0; ret == 0 && i < G_N_ELEMENTS(checks); i++) {
        ret = checks[i](load);
    }
    return ret;
}
