/* SPDX-License-Identifier: MIT */
/* Between the files of geometry: one attempt at a shape. */
#ifndef VVFAT_GEOMETRY_INT_H
#define VVFAT_GEOMETRY_INT_H

#include "block/vvfat/geometry.h"

#define MIB_SECTORS 2048u
#define ORIGINAL_SECTORS12 64512u   /* 64 x 16 x 63 */
#define ORIGINAL_SECTORS16 1032192u /* 1024 x 16 x 63, 504 MiB */
#define ORIGINAL_ROOT_ENTRIES 512u
#define MAX_ROOT_ENTRIES 65520u              /* 16 bits, whole sectors */
#define MAX_DISK_SECTORS (UINT64_C(1) << 32) /* 2 TiB */

/* What a shape is made from. g already holds disk_sectors, CHS, media, drive
 * number, floppy, esp and partition. */
typedef struct Trial {
    unsigned fat_type;
    uint32_t sectors_per_cluster;
    uint64_t start, end;   /* the sectors of the disk that it may take */
    uint32_t root_entries; /* FAT12/16, at least */
    bool align_data;       /* clusters on multiples of their size */
} Trial;

typedef enum TrialResult {
    TRIAL_OK,
    TRIAL_FEW,  /* too few clusters for the type, or no room at all */
    TRIAL_MANY, /* too many */
} TrialResult;

/* Work out FATs, root and clusters. cluster_count is set even when it is out
 * of the type's range. */
TrialResult geometry_try(Geometry *g, const Trial *trial);

/* Clusters that a type may have, our distance from the thresholds kept. */
uint32_t geometry_min_clusters(unsigned fat_type);
uint32_t geometry_max_clusters(unsigned fat_type);

/* Whether everything asked for fits, room to leave free included. */
bool geometry_fits(const Geometry *g, const GeometryRequest *request);

/* Root entries that hold what is needed, at least `usual`. */
uint32_t geometry_root_entries(const GeometryRequest *request, uint32_t usual);

/* The usual cluster size, in sectors, for a volume of so many sectors. */
uint32_t geometry_usual_cluster(unsigned fat_type, uint64_t sectors);

/*
 * A volume of a given size: the type asked for, or the usual one for the size
 * and then the others; the usual cluster size, then smaller ones, until
 * everything fits.
 */
bool geometry_choose_sized(Geometry *g, const GeometryRequest *request,
                           const Trial *frame, GError **errp);

bool geometry_choose_floppy(Geometry *g, const GeometryRequest *request,
                            GError **errp);
bool geometry_choose_disk(Geometry *g, const GeometryRequest *request,
                          GError **errp);

/* Errors. */
void geometry_error_full(GError **errp, const Geometry *g,
                         const GeometryRequest *request);
void geometry_error_clusters(GError **errp, const Geometry *g);

#endif
