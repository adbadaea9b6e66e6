/* SPDX-License-Identifier: MIT */
/*
 * What an overlay that is kept says of itself: whose it is, and the volume
 * that it holds. Pure.
 */
#ifndef VVFAT_KEPT_IDENTITY_H
#define VVFAT_KEPT_IDENTITY_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "block/vvfat/fingerprint.h"
#include "block/vvfat/geometry.h"

typedef struct KeptIdentity {
    char *dir;    /* absolute, as it was when the overlay was made */
    char *shape;  /* VvfatConfig.shape */
    uint64_t dev; /* of the directory */
    uint64_t ino;
    bool utc;      /* the volume's times are UTC */
    uint32_t unit; /* of the overlay, bytes */
    Geometry geometry;
    uint8_t boot[SECTOR_SIZE]; /* the volume's boot sector */
    uint8_t mbr[SECTOR_SIZE];  /* the disk's first sector */
    bool has_fingerprint;      /* overlays of before have none */
    Fingerprint fingerprint;   /* of the disk as it was made */
} KeptIdentity;

void kept_identity_clear(KeptIdentity *identity);

GByteArray *kept_identity_encode(const KeptIdentity *identity);

/* Into a zeroed one. False: the bytes are none. */
bool kept_identity_decode(const GByteArray *bytes, KeptIdentity *identity)
    G_GNUC_WARN_UNUSED_RESULT;

#endif
