/* SPDX-License-Identifier: MIT */
/* Between the files of guest-state. */
#ifndef VVFAT_GUEST_STATE_INT_H
#define VVFAT_GUEST_STATE_INT_H

#include "block/vvfat/dirent.h"
#include "block/vvfat/guest-state.h"
#include "util/interval-map.h"
#include "util/sparse-bitmap.h"

/* Multiples of a sector and of the entries of all types, and a FAT12, 6 KiB at
 * most, is in one page: no entry straddles two. */
#define FAT_PAGE_SIZE 6144u

#define CHAIN_DEFECTS                                                         \
    (INODE_CHAIN_BAD | INODE_CHAIN_LOOP | INODE_CROSS_LINK |                  \
     INODE_CHAIN_SHORT | INODE_FATS_DIFFER)

/*
 * States of an inode that is not in the guest's tree (parent NULL): an
 * *orphan* has clusters that are still allocated, and keeps them; one without
 * is *gone*, and waits in the list of changes to be removed from the host.
 */
struct GuestState {
    GuestStateConfig config;
    uint32_t cluster_size;
    Inode *root;
    uint64_t last_id;
    char *suspended; /* words, or NULL */
    bool closing;    /* the first FAT is right */

    Linked *linked;
    IntervalMap *owners;   /* cluster -> Inode, index in its chain */
    GPtrArray *changes;    /* Inode */
    GPtrArray *defective;  /* Inode: followed again by every update */
    GPtrArray *orphans;    /* Inode */
    GHashTable *lost_from; /* Inode, an orphan -> id of the directory that it
                              was in, which may be gone */

    /* The active FAT as of the last update. */
    GHashTable *pages;    /* number -> FAT_PAGE_SIZE bytes */
    SparseBitmap *differ; /* clusters whose entries in the FATs differ */

    /* Touched since the last update. */
    bool boot_touched, root_touched;
    GHashTable *touched_pages;      /* numbers */
    GHashTable *touched_dirs;       /* Inode */
    SparseBitmap *touched_clusters; /* of directories, until they are read */

    /* During an update. */
    GPtrArray *stale;     /* Inode, is_stale: chains to follow again */
    GPtrArray *to_read;   /* Inode: directories */
    GHashTable *unlinked; /* Inode: directories to be read, once they are in
                             the tree again */
    GArray *appeared;     /* GuestEntry */
    GHashTable *retired;  /* Inode: to be freed when the update is over */
};

/* An entry of a directory, as just read. */
typedef struct GuestEntry {
    Inode *dir;
    FatDirent entry;
    uint32_t slot, n_slots;
    char *name; /* owned */
    unsigned defects;
} GuestEntry;

Inode *guest_inode_new(GuestState *s, bool is_directory);

/* Free the inodes of s->retired, which nobody needs any more. */
void guest_retire(GuestState *s);

/* The inode's chain has to be followed again from cluster `from` of it on. */
void guest_mark_stale(GuestState *s, Inode *inode, uint32_t from);

/* ---- The FAT (guest-fat.c) ---- */

/* The entry of a cluster (2..) as of the last guest_fat_update(). */
int guest_fat_get(GuestState *s, uint32_t cluster, uint32_t *value)
    G_GNUC_WARN_UNUSED_RESULT;

/* Note that bytes of the FATs (offset from the volume's start) were
 * touched. */
void guest_fat_touch(GuestState *s, int64_t offset, int64_t bytes);

/* Read the pages touched; the owners of clusters whose entry has changed, or
 * is no longer the same in both FATs, or is again, become stale. */
int guest_fat_update(GuestState *s) G_GNUC_WARN_UNUSED_RESULT;

/* ---- Chains (guest-owner.c) ---- */

/* Follow the chain of an inode again, from where it is stale. */
int guest_chain_update(GuestState *s, Inode *inode) G_GNUC_WARN_UNUSED_RESULT;

/* Give up the clusters of an inode's chain from index `from` on. */
void guest_chain_release(GuestState *s, Inode *inode, uint64_t from);

/* ---- Inodes without an entry (guest-orphan.c) ---- */

/* The entry of an inode has disappeared. */
void guest_orphan_add(GuestState *s, Inode *inode);

/* An entry has it again. */
void guest_orphan_adopt(GuestState *s, Inode *inode);

/* See which are gone, and, with them, what they held. */
int guest_orphans_update(GuestState *s) G_GNUC_WARN_UNUSED_RESULT;

/* ---- Directories (guest-dir.c, guest-match.c) ---- */

/* Read all of s->to_read, the last first: children that are as they were stay,
 * those that have disappeared become orphans, entries that are new go to
 * s->appeared. A directory that cannot be read counts as touched; the others
 * are read all the same. */
int guest_dirs_read(GuestState *s) G_GNUC_WARN_UNUSED_RESULT;

/* A directory's children are its entries, as of now. */
void guest_dir_known(GuestState *s, Inode *dir);

/* Give each entry of s->appeared an inode, known or new, and read the new
 * directories among them. */
int guest_match(GuestState *s) G_GNUC_WARN_UNUSED_RESULT;

void guest_entry_clear(GuestEntry *entry);

/* Take over what an entry says of the inode that it is of. */
void guest_entry_apply(GuestState *s, Inode *child, GuestEntry *e);

#endif
