/* SPDX-License-Identifier: MIT */
/*
 * The shape of a volume from its bounds, type and cluster size, and what is
 * common to floppies and disks.
 *
 * Where clusters are 4 KiB or more, and the shape is not the original's, the
 * number of reserved sectors is raised until clusters stand on multiples of
 * their size on the disk: a host file system can then share the blocks of a
 * file with an image that is made from it.
 */
#include "block/vvfat/geometry.h"

#include <errno.h>
#include <inttypes.h>

#include "block/error.h"
#include "block/vvfat/fat.h"
#include "block/vvfat/geometry-int.h"
#include "util/size.h"

#define ENTRIES_PER_SECTOR (SECTOR_SIZE / FAT_DIRENT_SIZE)
#define FAT32_MIN_RESERVED 32u
#define HOST_BLOCK_SECTORS 8u /* 4 KiB */
/* Below this size (4 MiB) sectors are worth more than alignment. */
#define ALIGN_MIN_SECTORS 8192u

/* ---- One shape ---- */

uint32_t geometry_min_clusters(unsigned fat_type)
{
    switch (fat_type) {
    case 12:
        return 1;
    case 16:
        return FAT12_MAX_CLUSTERS + 1 + FAT_THRESHOLD_MARGIN;
    default:
        return FAT16_MAX_CLUSTERS + 1 + FAT_THRESHOLD_MARGIN;
    }
}

uint32_t geometry_max_clusters(unsigned fat_type)
{
    switch (fat_type) {
    case 12:
        return FAT12_MAX_CLUSTERS - FAT_THRESHOLD_MARGIN;
    case 16:
        return FAT16_MAX_CLUSTERS - FAT_THRESHOLD_MARGIN;
    default:
        return FAT32_MAX_CLUSTERS;
    }
}

static uint64_t fat_sectors(unsigned fat_type, uint64_t clusters)
{
    return (fat_bytes(fat_type, clusters) + SECTOR_SIZE - 1) / SECTOR_SIZE;
}

/* Sectors of one FAT when `room` sectors are to hold both FATs and all the
 * clusters: the least that cover the clusters which they leave room for. */
static uint64_t fat_sectors_for(unsigned fat_type, uint64_t room, uint32_t spc)
{
    uint64_t low = 1, high = fat_sectors(fat_type, room / spc);

    while (low < high) {
        uint64_t sectors = low + (high - low) / 2;
        uint64_t left = room - MIN(room, FAT_COUNT * sectors);

        if (fat_sectors(fat_type, left / spc) <= sectors) {
            high = sectors;
        } else {
            low = sectors + 1;
        }
    }
    return low;
}

TrialResult geometry_try(Geometry *g, const Trial *t)
{
    uint64_t total = MIN(t->end - t->start, UINT32_MAX);
    uint32_t spc = t->sectors_per_cluster;
    uint64_t reserved = t->fat_type == 32 ? FAT32_MIN_RESERVED : 1;
    uint64_t fats, data, clusters;

    g->fat_type = t->fat_type;
    g->sectors_per_cluster = spc;
    g->volume_start = t->start;
    g->root_entries = t->fat_type == 32 ? 0 : t->root_entries;
    g->root_sectors = g->root_entries / ENTRIES_PER_SECTOR;
    g->cluster_count = 0;
    if (total < reserved + g->root_sectors + FAT_COUNT + spc) {
        return TRIAL_FEW;
    }

    fats = fat_sectors_for(t->fat_type, total - reserved - g->root_sectors,
                           spc);
    data = reserved + FAT_COUNT * fats + g->root_sectors;
    if (t->align_data && total >= ALIGN_MIN_SECTORS) {
        uint64_t unit = MAX(spc, HOST_BLOCK_SECTORS);
        uint64_t pad = (unit - (t->start + data) % unit) % unit;

        reserved += pad;
        data += pad;
    }
    if (data + spc > total) {
        return TRIAL_FEW;
    }
    clusters = (total - data) / spc;

    g->reserved_sectors = (uint32_t)reserved;
    g->sectors_per_fat = (uint32_t)fats;
    g->root_start = (uint32_t)(reserved + FAT_COUNT * fats);
    g->data_start = (uint32_t)data;
    g->cluster_count = (uint32_t)clusters;
    g->volume_sectors = g->partition == PARTITION_NONE ? total
                                                       : data + clusters * spc;
    if (clusters < geometry_min_clusters(t->fat_type)) {
        return TRIAL_FEW;
    }
    return clusters > geometry_max_clusters(t->fat_type) ? TRIAL_MANY
                                                         : TRIAL_OK;
}

/* ---- Whether it does ---- */

static uint64_t clusters_needed(const GeometryRequest *request,
                                uint32_t cluster_size, bool with_root)
{
    uint64_t free = request->free_given ? request->free : 0;

    return request->clusters_needed(cluster_size, with_root, request->opaque) +
           free / cluster_size + (free % cluster_size != 0);
}

bool geometry_fits(const Geometry *g, const GeometryRequest *request)
{
    bool is_fat32 = g->fat_type == 32;

    return (is_fat32 || request->root_entries <= g->root_entries) &&
           clusters_needed(request, geometry_cluster_size(g), is_fat32) <=
               g->cluster_count;
}

uint32_t geometry_root_entries(const GeometryRequest *request, uint32_t usual)
{
    uint32_t need = MIN(request->root_entries, MAX_ROOT_ENTRIES);

    need = (need + ENTRIES_PER_SECTOR - 1) / ENTRIES_PER_SECTOR *
           ENTRIES_PER_SECTOR;
    return MAX(need, usual);
}

#define MB_BYTES (1000.0 * 1024) /* as the original counts */

void geometry_error_full(GError **errp, const Geometry *g,
                         const GeometryRequest *request)
{
    uint64_t need = clusters_needed(request, geometry_cluster_size(g),
                                    g->fat_type == 32);
    double bytes = (double)need * geometry_cluster_size(g);
    g_autofree char *what =
        g->fat_type != 32 && request->root_entries > g->root_entries
            ? g_strdup_printf("its top level needs %u entries, and %u is the "
                              "most",
                              request->root_entries, g->root_entries)
            : g_strdup_printf(
                  "%.2f MB are needed%s", bytes / MB_BYTES,
                  request->free_given ? ", with what 'free' asks for" : "");
    const char *remedy = request->size ? "ask for a larger 'size', or for none"
                         : request->floppy ? "leave out 'floppy'"
                         : request->fat_type == 12 || request->fat_type == 16
                             ? "ask for 'fat-type' 32, or for none"
                             : "a disk has at most 2 TiB";

    block_error_set(errp, ENOSPC,
                    "Directory does not fit in FAT%u (capacity %.2f MB): "
                    "%s; %s",
                    g->fat_type,
                    (double)g->volume_sectors * SECTOR_SIZE / MB_BYTES, what,
                    remedy);
}

void geometry_error_clusters(GError **errp, const Geometry *g)
{
    g_autofree char *disk = size_format(g->disk_sectors * SECTOR_SIZE);

    block_error_set(errp, EINVAL,
                    "FAT%u has %u to %u clusters, and a disk of %s with "
                    "clusters of %u bytes would have %u; ask for another "
                    "'fat-type', 'size' or 'cluster-size'",
                    g->fat_type, geometry_min_clusters(g->fat_type),
                    geometry_max_clusters(g->fat_type), disk,
                    geometry_cluster_size(g), g->cluster_count);
}

/* ---- What was asked for ---- */

static bool request_check(const GeometryRequest *r, GError **errp)
{
    const char *wrong = NULL;

    if (r->fat_type != 0 && r->fat_type != 12 && r->fat_type != 16 &&
        r->fat_type != 32) {
        wrong = "Valid FAT types are only 12, 16 and 32";
    } else if (r->cluster_size &&
               (r->cluster_size < SECTOR_SIZE ||
                r->cluster_size > FAT_MAX_CLUSTER_SIZE ||
                (r->cluster_size & (r->cluster_size - 1)))) {
        wrong = "'cluster-size' must be a power of two from 512 to 65536";
    } else if (r->align % SECTOR_SIZE) {
        wrong = "'align' must be a multiple of 512 bytes";
    } else if (r->size > MAX_DISK_SECTORS * SECTOR_SIZE) {
        wrong = "'size' must not be larger than 2 TiB";
    } else if (r->floppy && r->partition_given &&
               r->partition != PARTITION_NONE) {
        wrong = "A floppy has no partition table; leave out 'partition' or "
                "'floppy'";
    } else if (r->esp && (r->floppy || (r->partition_given &&
                                        r->partition == PARTITION_NONE))) {
        wrong = "An EFI system partition ('esp') needs a partition table; "
                "ask for 'partition' gpt or mbr, without 'floppy'";
    } else if (r->align && (r->floppy || (r->partition_given &&
                                          r->partition == PARTITION_NONE))) {
        wrong = "'align' places a partition, and there is none";
    }
    if (wrong) {
        block_error_set(errp, EINVAL, "%s", wrong);
    }
    return !wrong;
}

bool geometry_choose(Geometry *g, const GeometryRequest *request,
                     GError **errp)
{
    *g = (Geometry){ .floppy = request->floppy, .esp = request->esp };
    if (!request_check(request, errp)) {
        return false;
    }
    if (request->floppy) {
        return geometry_choose_floppy(g, request, errp);
    }
    return geometry_choose_disk(g, request, errp);
}

void geometry_lba_to_chs(const Geometry *g, uint64_t lba, uint8_t chs[3])
{
    uint64_t track = lba / g->sectors_per_track;
    uint64_t cylinder = track / g->heads;

    if (cylinder > 1023) {
        chs[0] = chs[1] = chs[2] = 0xff;
        return;
    }
    chs[0] = (uint8_t)(track % g->heads);
    chs[1] = (uint8_t)((lba % g->sectors_per_track + 1) |
                       (cylinder >> 8 << 6));
    chs[2] = (uint8_t)cylinder;
}
