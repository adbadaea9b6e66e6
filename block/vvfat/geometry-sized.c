/* SPDX-License-Identifier: MIT */
/*
 * A volume of a size that was asked for: type and cluster size.
 *
 * The usual type for the size comes first, then the others; in each the usual
 * cluster size for the volume, moved by powers of two until the number of
 * clusters is in the type's range, then smaller ones, which waste less behind
 * small files.
 */
#include <stddef.h>

#include "block/vvfat/geometry-int.h"

#define MIB(n) ((uint64_t)(n)*MIB_SECTORS)
#define MAX_SPC (FAT_MAX_CLUSTER_SIZE / SECTOR_SIZE)

uint32_t geometry_usual_cluster(unsigned fat_type, uint64_t sectors)
{
    switch (fat_type) {
    case 12:
        return sectors < MIB(4) ? 1 : 8;
    case 16:
        return 8;
    default:
        return sectors <= MIB(260)         ? 1
               : sectors <= MIB(8 * 1024)  ? 8
               : sectors <= MIB(16 * 1024) ? 16
               : sectors <= MIB(32 * 1024) ? 32
                                           : 64;
    }
}

static unsigned usual_type(uint64_t disk_sectors)
{
    return disk_sectors <= MIB(16) ? 12 : disk_sectors <= MIB(512) ? 16 : 32;
}

typedef enum TypeResult {
    TYPE_OK,
    TYPE_FULL,       /* possible, and too small */
    TYPE_IMPOSSIBLE, /* no cluster size gives a number in range */
} TypeResult;

/* The cluster size to begin with, in g. */
static TypeResult usual_shape(Geometry *g, const GeometryRequest *request,
                              Trial *t)
{
    TrialResult r;

    if (request->cluster_size) {
        t->sectors_per_cluster = request->cluster_size / SECTOR_SIZE;
        return geometry_try(g, t) == TRIAL_OK ? TYPE_OK : TYPE_IMPOSSIBLE;
    }
    t->sectors_per_cluster = geometry_usual_cluster(t->fat_type,
                                                    t->end - t->start);
    r = geometry_try(g, t);
    while (r == TRIAL_MANY && t->sectors_per_cluster < MAX_SPC) {
        t->sectors_per_cluster *= 2;
        r = geometry_try(g, t);
    }
    while (r == TRIAL_FEW && t->sectors_per_cluster > 1) {
        t->sectors_per_cluster /= 2;
        r = geometry_try(g, t);
    }
    return r == TRIAL_OK ? TYPE_OK : TYPE_IMPOSSIBLE;
}

static TypeResult try_type(Geometry *g, const GeometryRequest *request,
                           Trial t)
{
    Geometry usual;
    TypeResult r = usual_shape(g, request, &t);

    if (r != TYPE_OK || geometry_fits(g, request)) {
        return r;
    }
    usual = *g;
    while (!request->cluster_size && t.sectors_per_cluster > 1) {
        t.sectors_per_cluster /= 2;
        if (geometry_try(g, &t) != TRIAL_OK) {
            break;
        }
        if (geometry_fits(g, request)) {
            return TYPE_OK;
        }
    }
    *g = usual;
    return TYPE_FULL;
}

/* Types in the order in which they are tried; 0 ends the list. The usual one
 * for the size and those with more clusters come first; one with fewer is for
 * clusters so large that no other has enough of them. */
static void list_types(const Geometry *g, const GeometryRequest *request,
                       unsigned types[4])
{
    static const unsigned all[] = { 12, 16, 32 };
    unsigned usual = usual_type(g->disk_sectors), n = 0;

    if (request->fat_type) {
        types[n++] = request->fat_type;
    } else {
        for (size_t i = 0; i < G_N_ELEMENTS(all); i++) {
            if (all[i] >= usual) {
                types[n++] = all[i];
            }
        }
        for (size_t i = G_N_ELEMENTS(all); i > 0; i--) {
            if (all[i - 1] < usual) {
                types[n++] = all[i - 1];
            }
        }
    }
    types[n] = 0;
}

bool geometry_choose_sized(Geometry *g, const GeometryRequest *request,
                           const Trial *frame, GError **errp)
{
    Geometry failed = { 0 };
    unsigned types[4];
    bool is_full = false;

    list_types(g, request, types);
    for (size_t i = 0; types[i]; i++) {
        Geometry attempt = *g;
        Trial t = *frame;
        TypeResult r;

        t.fat_type = types[i];
        r = try_type(&attempt, request, t);
        if (r == TYPE_OK) {
            *g = attempt;
            return true;
        }
        /* The first type that is possible explains the failure best. */
        if (!failed.fat_type || (r == TYPE_FULL && !is_full)) {
            failed = attempt;
            is_full = r == TYPE_FULL;
        }
    }
    if (is_full) {
        geometry_error_full(errp, &failed, request);
    } else {
        geometry_error_clusters(errp, &failed);
    }
    return false;
}
