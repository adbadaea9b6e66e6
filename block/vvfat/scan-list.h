/* SPDX-License-Identifier: MIT */
/*
 * What is in directories, as the host says: names in the order of their bytes,
 * and what each one is. Directories that a scan comes to soon are looked into
 * ahead of it, on several threads when there is much to look at; the scan takes
 * everything in its own order, so it does not show.
 */
#ifndef VVFAT_SCAN_LIST_H
#define VVFAT_SCAN_LIST_H

#include <glib.h>
#include <stdbool.h>

#include "block/vvfat/hostfs.h"

typedef struct ScanEntry {
    const char *name;     /* the list's */
    const char *left_out; /* why nobody looked what it is, or NULL; static */
    HostStat st;
    int ret;      /* of stat_at() */
    int attr_ret; /* of dos_attrib_at(): -ENODATA if it was not asked */
    unsigned attr;
} ScanEntry;

typedef struct ScanList ScanList;
typedef struct ScanLister ScanLister;

/* hidden: look at names with a leading dot, too. fs outlives it. */
ScanLister *scan_lister_new(HostFs *fs, bool hidden);
/* With all its lists. */
void scan_lister_free(ScanLister *lister);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ScanLister, scan_lister_free)

/* How many more directories are to be begun before they are needed. */
unsigned scan_lister_room(const ScanLister *lister);

/* A directory that is going to be needed; takes over path. */
ScanList *scan_list_begin(ScanLister *lister, char *path);

/* How many entries there are, at most UINT32_MAX; or -errno: of opening the
 * directory (*opened is false) or of reading it. */
int64_t scan_list_count(ScanLister *lister, ScanList *list, bool *opened);

/* Entry i. To be asked for in turn; valid until the next one is. */
const ScanEntry *scan_list_entry(ScanLister *lister, ScanList *list,
                                 unsigned i);

/* All entries were taken. */
void scan_list_end(ScanLister *lister, ScanList *list);

#endif
