/* SPDX-License-Identifier: MIT */
/*
 * Where the bytes of a directory's disk lie, in few bytes: two layouts with
 * the same fingerprint have every file at the same place. An image that holds
 * changes to one of them can stand on the other. Pure.
 */
#ifndef VVFAT_FINGERPRINT_H
#define VVFAT_FINGERPRINT_H

#include <stdint.h>

#include "block/vvfat/layout.h"

#define FINGERPRINT_DIGEST_BYTES 32u

typedef struct Fingerprint {
    uint64_t disk_bytes;
    uint64_t n_files, n_directories; /* the root counts */
    uint32_t cluster_bytes;
    uint8_t digest[FINGERPRINT_DIGEST_BYTES]; /* SHA-256 */
} Fingerprint;

/*
 * The shape of the volume; and, in the order of the disk, each file's and
 * directory's name, size, first cluster and number of entries. Not times,
 * attributes and contents. The time goes with the number of files.
 */
Fingerprint fingerprint_of_layout(const Layout *layout);

#endif
