/* SPDX-License-Identifier: MIT */
/*
 * A host directory to a tree: names mapped and made unique, short names,
 * times, sizes. Sorted by the host names' bytes, so that one tree gives one
 * image. What cannot be taken is reported or refused.
 */
#ifndef VVFAT_SCAN_H
#define VVFAT_SCAN_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "block/vvfat/hostfs.h"
#include "block/vvfat/names.h"
#include "block/vvfat/report.h"
#include "block/vvfat/tree.h"

typedef enum SymlinkPolicy {
    SYMLINKS_INSIDE, /* follow what stays within the directory */
    SYMLINKS_SKIP,
    SYMLINKS_ERROR,
} SymlinkPolicy;

typedef enum UnsupportedPolicy {
    UNSUPPORTED_ERROR,
    UNSUPPORTED_SKIP,
} UnsupportedPolicy;

typedef struct ScanOptions {
    SymlinkPolicy symlinks;
    UnsupportedPolicy unsupported; /* files over 4 GiB - 1, or unreadable.
                                      Sockets, FIFOs and devices have nothing
                                      to hold: always skipped, and reported */
    bool hidden;                   /* take names with a leading dot */
    bool utc;                      /* times in UTC, not local time */
    int64_t clamp_time;            /* SOURCE_DATE_EPOCH: no later time is
                                      shown; INT64_MAX: none */
    const Codepage *codepage;
    uint32_t max_linked; /* files and directories below links that are too
                                      many: links can multiply a small tree
                                      without end. 0: SCAN_MAX_LINKED */
} ScanOptions;

#define SCAN_MAX_LINKED (1u << 20)

/*
 * Scan the directory that `fs` has as its root. Errors name the path and the
 * option that helps.
 */
Tree *scan_directory(HostFs *fs, const ScanOptions *options, Report *report,
                     GError **errp);

#endif
