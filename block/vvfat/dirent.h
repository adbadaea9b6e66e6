/* SPDX-License-Identifier: MIT */
/*
 * Directory entries: times, the entries of a node, and reading them back.
 * Pure.
 */
#ifndef VVFAT_DIRENT_H
#define VVFAT_DIRENT_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "block/vvfat/fat-format.h"
#include "block/vvfat/tree.h"

/* ---- Times ---- */

/*
 * Seconds since 1970 (and nanoseconds) to FAT's form, in local time or UTC.
 * Outside 1980-01-01..2107-12-31 the nearest end is taken and *clamped set.
 * ten_ms (may be NULL): hundredths of a second beyond the even second.
 */
FatTime dirent_time_from_unix(int64_t seconds, uint32_t nanoseconds, bool utc,
                              uint8_t *ten_ms, bool *clamped);

/* Back to seconds since 1970. Impossible dates (month 0 or 13, 31 February)
 * give the nearest possible one. */
int64_t dirent_time_to_unix(FatTime time, bool utc);

/* ---- Writing ---- */

/* Entries of 32 bytes that a node takes in its parent: 1..21. */
unsigned dirent_slots(const TreeNode *node);

/* Entry `index` (0..dirent_slots()-1) of a node; the last is the short one. */
void dirent_render(const TreeNode *node, unsigned index, FatDirent *entry);

/* "." and "..": cluster of the directory meant (0: the root), its times. */
void dirent_render_dot(const TreeNode *dir, unsigned dots, uint32_t cluster,
                       FatDirent *entry);

void dirent_render_label(const uint8_t label[FAT_SHORT_NAME_SIZE],
                         FatTime time, FatDirent *entry);

/* ---- Reading ---- */

typedef enum DirentKind {
    DIRENT_FILE,   /* or directory, by attr */
    DIRENT_DOT,    /* "." */
    DIRENT_DOTDOT, /* ".." */
    DIRENT_LABEL,  /* volume label */
    DIRENT_END,    /* end mark: nothing follows */
} DirentKind;

/* Defects, as bits: found while the long name was put together. */
#define DIRENT_ORPHAN_LONG 0x1u /* long-name entries that belong to nothing */
#define DIRENT_BAD_CHECKSUM 0x2u
#define DIRENT_BAD_ORDER 0x4u
#define DIRENT_BAD_SHORT_NAME 0x8u
#define DIRENT_BAD_LONG_NAME 0x10u /* illegal units */
#define DIRENT_BAD_PADDING 0x20u   /* behind the long name */
#define DIRENT_BAD_RESERVED 0x40u  /* type or cluster of a long-name entry */

typedef struct DirentItem {
    DirentKind kind;
    unsigned defects;    /* DIRENT_*: what stood before or in this entry */
    uint32_t first_slot; /* of its entries in the directory */
    uint32_t n_slots;    /* long ones included when they are its own */
    FatDirent entry;     /* the short entry */
    unsigned long_units; /* 0: no (valid) long name */
    uint16_t long_name[FAT_LONG_MAX_UNITS];
} DirentItem;

/* A reader over a directory fed in pieces of whole entries. */
typedef struct DirentReader {
    uint32_t slot; /* of the next entry */
    /* long name being put together */
    bool in_long;
    unsigned defects;
    uint8_t checksum, next_order, n_long;
    uint32_t long_slot;
    uint16_t units[FAT_LONG_MAX_UNITS + FAT_LONG_UNITS];
} DirentReader;

void dirent_reader_init(DirentReader *reader);

/*
 * Feed one entry. True when *item is complete (deleted entries and parts of
 * long names complete nothing). Call dirent_reader_finish() at the end.
 */
bool dirent_reader_feed(DirentReader *reader, const FatDirent *entry,
                        DirentItem *item);

/* Defects of long-name entries that were left hanging at the end. */
unsigned dirent_reader_finish(DirentReader *reader);

#endif
