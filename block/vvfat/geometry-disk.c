/* SPDX-License-Identifier: MIT */
/*
 * Disks: the original's shape while everything fits, else one that grows, or
 * one of the size asked for; and where the partition stands.
 */
#include <errno.h>
#include <inttypes.h>

#include "block/error.h"
#include "block/vvfat/fat.h"
#include "block/vvfat/geometry-int.h"
#include "block/vvfat/partition.h"
#include "util/size.h"

#define ORIGINAL_START 63u
#define ORIGINAL_SPC 16u
#define GPT_FIRST_USABLE (1u + GPT_PRIMARY_SECTORS)
#define GPT_BACKUP_SECTORS GPT_PRIMARY_SECTORS
/* Smaller disks (32 MiB) begin their partition closer to the start. */
#define ALIGNED_DISK_SECTORS (32u * MIB_SECTORS)
#define FREE_MIN (64u << 20)

/* ---- The disk around the volume ---- */

static void set_drive(Geometry *g, const GeometryRequest *request,
                      uint64_t sectors)
{
    uint64_t cylinders;

    g->partition = request->partition_given ? request->partition
                   : request->esp           ? PARTITION_GPT
                                            : PARTITION_MBR;
    g->disk_sectors = sectors;
    g->drive_number = 0x80;
    g->media = FAT_MEDIA_DISK;
    g->heads = sectors <= ORIGINAL_SECTORS16 ? 16 : 255;
    g->sectors_per_track = 63;
    cylinders = sectors / (g->heads * g->sectors_per_track);
    g->cylinders = (uint32_t)CLAMP(cylinders, 1, UINT16_MAX);
}

/* First sector of the volume. */
static uint64_t volume_start(const Geometry *g, const GeometryRequest *request,
                             bool original)
{
    uint64_t align = request->align / SECTOR_SIZE;
    uint64_t least = g->partition == PARTITION_GPT ? GPT_FIRST_USABLE : 1;

    if (g->partition == PARTITION_NONE) {
        return 0;
    }
    if (!align && g->partition == PARTITION_MBR &&
        (original || g->disk_sectors < ALIGNED_DISK_SECTORS)) {
        return ORIGINAL_START;
    }
    if (!align) {
        align = g->disk_sectors < ALIGNED_DISK_SECTORS ? 8 : MIB_SECTORS;
    }
    return (least + align - 1) / align * align;
}

/* Where the volume has to end. Before a backup GPT it is a boundary as round
 * as the start, up to 1 MiB, where partitioning tools want to see it. */
static uint64_t volume_limit(const Geometry *g, uint64_t start)
{
    uint64_t limit = g->disk_sectors, unit = MIB_SECTORS;

    if (g->partition != PARTITION_GPT || limit < GPT_BACKUP_SECTORS) {
        return limit;
    }
    while (start % unit) {
        unit /= 2;
    }
    return (limit - GPT_BACKUP_SECTORS) / unit * unit;
}

static bool set_bounds(const Geometry *g, const GeometryRequest *request,
                       bool original, Trial *t, GError **errp)
{
    t->start = volume_start(g, request, original);
    t->end = volume_limit(g, t->start);
    if (t->start >= t->end) {
        g_autofree char *size = size_format(g->disk_sectors * SECTOR_SIZE);

        block_error_set(errp, EINVAL,
                        "A disk of %s has no room for a partition at sector "
                        "%" PRIu64 "; ask for a larger 'size' or a smaller "
                        "'align'",
                        size, t->start);
        return false;
    }
    return true;
}

/* ---- As large as needed ---- */

/* Sectors of a disk that has `clusters` clusters of FAT32. */
static uint64_t disk_sectors_for(const Geometry *g,
                                 const GeometryRequest *request,
                                 uint64_t clusters, uint32_t spc)
{
    uint64_t fat = (fat_bytes(32, clusters) + SECTOR_SIZE - 1) / SECTOR_SIZE;
    uint64_t reserved = 32 + MAX(spc, 8); /* with what the alignment adds */
    uint64_t sectors = volume_start(g, request, false) + reserved +
                       FAT_COUNT * fat + clusters * spc;

    if (g->partition == PARTITION_GPT) {
        sectors += MIB_SECTORS; /* the backup, and what its boundary costs */
    }
    sectors = (sectors + MIB_SECTORS - 1) / MIB_SECTORS * MIB_SECTORS;
    return MAX(sectors, ORIGINAL_SECTORS16);
}

/* Clusters for all there is and the room to leave; at most what no disk of
 * ours can have, so that nothing overflows. */
static uint64_t clusters_wanted(const GeometryRequest *request,
                                uint32_t cluster_size)
{
    uint64_t most = MAX_DISK_SECTORS * SECTOR_SIZE / cluster_size + 1;
    uint64_t need = request->clusters_needed(cluster_size, true,
                                             request->opaque);
    uint64_t free;

    need = MIN(need, most);
    free = request->free_given ? request->free
                               : MAX(FREE_MIN, need * cluster_size / 8);
    need += MIN(free / cluster_size + 1, most);
    return MAX(need, geometry_min_clusters(32));
}

static bool choose_grown(Geometry *g, const GeometryRequest *request,
                         GError **errp)
{
    Trial t = { .fat_type = 32, .align_data = true };
    uint64_t sectors;
    uint32_t spc = request->cluster_size ? request->cluster_size / SECTOR_SIZE
                                         : 8;

    /* The start of the partition depends on whether the disk is large. */
    set_drive(g, request, ORIGINAL_SECTORS16);
    for (;;) {
        uint64_t clusters = clusters_wanted(request, spc * SECTOR_SIZE);

        sectors = disk_sectors_for(g, request, clusters, spc);
        if (request->cluster_size ||
            geometry_usual_cluster(32, sectors) <= spc) {
            break;
        }
        spc *= 2;
    }

    set_drive(g, request, MIN(sectors, MAX_DISK_SECTORS));
    t.sectors_per_cluster = spc;
    if (!set_bounds(g, request, false, &t, errp)) {
        return false;
    }
    if (geometry_try(g, &t) != TRIAL_OK) {
        geometry_error_clusters(errp, g);
        return false;
    }
    if (!geometry_fits(g, request)) {
        geometry_error_full(errp, g, request);
        return false;
    }
    return true;
}

/* ---- As the original has it ---- */

/*
 * The original's size, and with its options alone its exact shape. False with
 * *errp clear: it does not fit and the disk may grow.
 */
static bool choose_original(Geometry *g, const GeometryRequest *request,
                            GError **errp)
{
    unsigned type = request->fat_type ? request->fat_type : 16;
    bool may_grow = request->fat_type == 0 || type == 32;
    TrialResult r;
    Trial t = {
        .fat_type = type,
        .sectors_per_cluster = request->cluster_size
                                   ? request->cluster_size / SECTOR_SIZE
                               : type == 32 ? 8
                                            : ORIGINAL_SPC,
        .root_entries =
            may_grow ? ORIGINAL_ROOT_ENTRIES
                     : geometry_root_entries(request, ORIGINAL_ROOT_ENTRIES),
    };

    set_drive(g, request,
              type == 12 ? ORIGINAL_SECTORS12 : ORIGINAL_SECTORS16);
    if (!set_bounds(g, request, true, &t, errp)) {
        return false;
    }
    t.align_data = !(type != 32 && t.start == ORIGINAL_START &&
                     t.sectors_per_cluster == ORIGINAL_SPC);
    r = geometry_try(g, &t);
    if (r == TRIAL_MANY && !request->fat_type) {
        t.fat_type = 32; /* what small clusters come to */
        r = geometry_try(g, &t);
    }
    if (r == TRIAL_OK && geometry_fits(g, request)) {
        return true;
    }
    if (r != TRIAL_OK && !may_grow) {
        geometry_error_clusters(errp, g);
    } else if (!may_grow) {
        geometry_error_full(errp, g, request);
    }
    return false;
}

bool geometry_choose_disk(Geometry *g, const GeometryRequest *request,
                          GError **errp)
{
    GError *error = NULL;
    Trial frame = { .align_data = true };

    if (!request->size) {
        if (choose_original(g, request, &error)) {
            return true;
        }
        if (error) {
            g_propagate_error(errp, error);
            return false;
        }
        return choose_grown(g, request, errp);
    }

    set_drive(g, request,
              request->size / SECTOR_SIZE +
                  (request->size % SECTOR_SIZE != 0));
    if (!set_bounds(g, request, false, &frame, errp)) {
        return false;
    }
    frame.root_entries = geometry_root_entries(
        request, g->disk_sectors < 4096 ? 112 : ORIGINAL_ROOT_ENTRIES);
    return geometry_choose_sized(g, request, &frame, errp);
}
