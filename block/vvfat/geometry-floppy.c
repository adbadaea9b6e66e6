/* SPDX-License-Identifier: MIT */
/*
 * Floppies: the standard formats with the parameters that DOS expects, and
 * any other size with sensible ones. Only the root directory may be larger
 * than usual, when it has to hold more.
 */
#include <errno.h>
#include <stddef.h>

#include "block/error.h"
#include "block/vvfat/geometry-int.h"

typedef struct FloppyFormat {
    uint16_t sectors;
    uint8_t cylinders, heads, sectors_per_track;
    uint8_t sectors_per_cluster;
    uint8_t root_entries;
    uint8_t media;
} FloppyFormat;

/* Microsoft's formats; all FAT12. */
static const FloppyFormat formats[] = {
    { 320, 40, 1, 8, 1, 64, 0xfe },    /* 160 KB */
    { 360, 40, 1, 9, 1, 64, 0xfc },    /* 180 KB */
    { 640, 40, 2, 8, 2, 112, 0xff },   /* 320 KB */
    { 720, 40, 2, 9, 2, 112, 0xfd },   /* 360 KB */
    { 1280, 80, 2, 8, 2, 112, 0xfb },  /* 640 KB */
    { 1440, 80, 2, 9, 2, 112, 0xf9 },  /* 720 KB */
    { 2400, 80, 2, 15, 1, 224, 0xf9 }, /* 1.2 MB */
    { 2880, 80, 2, 18, 1, 224, 0xf0 }, /* 1.44 MB */
    { 5760, 80, 2, 36, 2, 240, 0xf0 }, /* 2.88 MB */
};

static const FloppyFormat *format_find(uint64_t sectors)
{
    for (size_t i = 0; i < G_N_ELEMENTS(formats); i++) {
        if (formats[i].sectors == sectors) {
            return &formats[i];
        }
    }
    return NULL;
}

static void set_drive(Geometry *g, uint64_t sectors,
                      const FloppyFormat *format)
{
    g->partition = PARTITION_NONE;
    g->disk_sectors = sectors;
    g->drive_number = 0;
    g->media = format ? format->media : FAT_MEDIA_FLOPPY;
    g->heads = format ? format->heads : 2;
    g->sectors_per_track = format            ? format->sectors_per_track
                           : sectors <= 2880 ? 18
                                             : 36;
    sectors = (sectors + g->heads * g->sectors_per_track - 1) /
              (g->heads * g->sectors_per_track);
    g->cylinders = (uint32_t)MIN(sectors, UINT16_MAX);
}

/* One of the standard formats, or FAT16 with one sector a cluster on 2.88. */
static bool choose_standard(Geometry *g, const GeometryRequest *request,
                            const FloppyFormat *format, GError **errp)
{
    Trial t = {
        .fat_type = request->fat_type ? request->fat_type : 12,
        .sectors_per_cluster =
            request->cluster_size     ? request->cluster_size / SECTOR_SIZE
            : request->fat_type == 16 ? 1
                                      : format->sectors_per_cluster,
        .end = format->sectors,
        .root_entries = geometry_root_entries(request, format->root_entries),
    };

    set_drive(g, format->sectors, format);
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

bool geometry_choose_floppy(Geometry *g, const GeometryRequest *request,
                            GError **errp)
{
    uint64_t sectors = request->size / SECTOR_SIZE +
                       (request->size % SECTOR_SIZE != 0);
    Trial frame = { .end = sectors };

    if (!request->size && request->fat_type == 32) {
        block_error_set(errp, EINVAL,
                        "FAT32 has at least %u clusters, more than a floppy "
                        "has sectors; leave out 'floppy', ask for 'fat-type' "
                        "12 or 16, or give a 'size' of 64M or more",
                        geometry_min_clusters(32));
        return false;
    }
    if (!request->size) {
        sectors = request->fat_type == 12 ? 2880 : 5760;
        return choose_standard(g, request, format_find(sectors), errp);
    }
    if ((request->fat_type == 0 || request->fat_type == 12) &&
        format_find(sectors)) {
        return choose_standard(g, request, format_find(sectors), errp);
    }
    set_drive(g, sectors, NULL);
    frame.root_entries = geometry_root_entries(request, 224);
    return geometry_choose_sized(g, request, &frame, errp);
}
