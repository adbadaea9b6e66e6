/* SPDX-License-Identifier: MIT */
/* A scan of a temporary tree, and what it gives as text. A failure fails the
 * test. */
#ifndef TESTS_SCAN_FIXTURE_H
#define TESTS_SCAN_FIXTURE_H

#include "vvfat-fixture.h"

typedef struct Scanned {
    HostFs *fs;
    Report *report;
    Tree *tree;
} Scanned;

Scanned scan(const TempTree *t);
Scanned scan_with(const TempTree *t, const ScanOptions *options);
void scanned_clear(Scanned *s);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Scanned, scanned_clear)

/* The message of a scan that fails with this errno. g_free(). */
char *scan_refused(HostFs *fs, const ScanOptions *options, int code);

/* "path;" for each node, in order; "/" behind directories. g_free(). */
char *listing(const Tree *tree);

#endif
