/* SPDX-License-Identifier: MIT */
/* Reading a directory again: guest-dir.c, -parts.c, -twins.c. */
#ifndef VVFAT_GUEST_DIR_INT_H
#define VVFAT_GUEST_DIR_INT_H

#include "block/vvfat/guest-state-int.h"

/* A part of a directory that is read again, and the children in it. */
typedef struct DirPart {
    uint32_t first, end;       /* slots */
    uint32_t child, end_child; /* indices of children */
    guint entry, end_entry;    /* of those read */
} DirPart;

typedef struct DirRead {
    GuestState *s;
    Inode *dir;
    GArray *parts;   /* DirPart */
    GArray *entries; /* GuestEntry, of all parts */
    bool has_dot;    /* "." where it belongs, leading to the directory */
    bool is_cut;     /* it ends before a part that is not read */
} DirRead;

/* ---- guest-dir-parts.c ---- */

/* Into an array of DirPart, ascending: what has to be read of a directory that
 * is known, or all of one. */
void guest_dir_parts(const GuestState *s, const Inode *dir, GArray *parts);
void guest_dir_whole(const GuestState *s, const Inode *dir, GArray *parts);

/* ---- guest-dir-twins.c ---- */

/* Which of the entries have a name that an earlier one has; also children
 * between the parts, where that has changed. */
void guest_dir_twins(const DirRead *r);

#endif
