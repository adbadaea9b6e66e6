/* SPDX-License-Identifier: MIT */
/*
 * The guest's view of its volume, kept up to date: guest-view for a volume
 * that is being written. What was touched since the last update is read again,
 * and nothing else: changed sectors of the FAT give the chains to follow
 * again, changed directories the entries to look at again.
 *
 * An update costs what was touched (whole directories at a time), not what the
 * volume holds. Any bytes end it, whatever they are, and a damaged or
 * half-written entry holds back itself alone: its inode has `defects`.
 *
 * How inodes are recognised again (guest-match.c): by directory and entry; by
 * first cluster, when an entry disappeared here and appears there; by name,
 * when a file was written anew. One that disappeared keeps its clusters as an
 * orphan until the guest frees them or an entry has them again.
 *
 * Pure: bytes come through functions. One thread at a time.
 */
#ifndef VVFAT_GUEST_STATE_H
#define VVFAT_GUEST_STATE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "block/vvfat/boot.h"
#include "block/vvfat/inode.h"
#include "block/vvfat/layout.h"
#include "block/vvfat/linked.h"
#include "block/vvfat/names.h"

/* Bytes at an offset from the volume's start; 0 or -errno. */
typedef int GuestStateRead(void *opaque, int64_t offset, int64_t bytes,
                           void *buf);

typedef struct GuestStateConfig {
    BootInfo boot; /* of the volume as it was opened */
    uint64_t volume_bytes;
    const Codepage *codepage; /* outlives the state */
    GuestStateRead *read;     /* the volume as it is to be looked at now */
    GuestStateRead *initial;  /* as it was opened; NULL: as if all FATs had
                                 been zeroes */
    /* Whether the guest wrote a cluster since it was committed. */
    bool (*is_dirty)(void *opaque, uint32_t cluster);
    /* An inode is about to be freed: nobody is to know it any more, nor its
     * host_chain to have clusters. May be NULL. */
    void (*retire)(void *opaque, Inode *inode);
    void *opaque;
} GuestStateConfig;

typedef struct GuestState GuestState;

/* A volume with a root directory alone. */
GuestState *guest_state_new(const GuestStateConfig *config);
void guest_state_free(GuestState *state);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GuestState, guest_state_free)

/* Take over the tree of the layout that the volume was made from: inodes with
 * both sides alike. Their names stay the tree's: it outlives the state. */
void guest_state_add_layout(GuestState *state, const Layout *layout);

/*
 * Take over inodes that were kept, the root first, in the place of everything:
 * tied together, with the guest's side as of some time in the past. What is
 * written since then is to be touched; everything else is looked at anyhow.
 */
void guest_state_restore(GuestState *state, const GPtrArray *inodes);

/* All inodes, the root first; g_ptr_array_unref(). */
GPtrArray *guest_state_inodes(const GuestState *state);

/* What it shows through symbolic links: of the inodes that it was made with,
 * those that it still has. */
Linked *guest_state_linked(const GuestState *state);

/* Bytes of the volume were written. Cheap: notes it for the next update. */
void guest_state_touch(GuestState *state, int64_t offset, int64_t bytes);

/*
 * Look at everything touched. 0, or the -errno of a read that failed: then
 * what could not be read counts as touched, and the next update tries again.
 * closing: no more will come from the guest, so where the FATs differ the
 * first one counts.
 */
int guest_state_update(GuestState *state, bool closing)
    G_GNUC_WARN_UNUSED_RESULT;

/* Why commits must stop, in words: the guest has formatted the volume or
 * changed its parameters. NULL: they need not. As of the last update, which
 * then has looked at the boot sector alone. */
const char *guest_state_suspended(const GuestState *state);

Inode *guest_state_root(const GuestState *state);
const BootInfo *guest_state_boot(const GuestState *state);

/* Inodes whose sides differ, or may: each has a `change`. Owned by the state,
 * and changed by the functions below and by updates alone. */
const GPtrArray *guest_state_changes(const GuestState *state);

/* Put an inode into the list, if it is not in it. */
void guest_state_change(GuestState *state, Inode *inode);

/* Both sides are alike (or there is none left: then the inode is freed): out
 * of the list. */
void guest_state_settle(GuestState *state, Inode *inode);

/* The inode that has a cluster, and the cluster's index in its chain (index
 * may be NULL); NULL: none. Orphans count. */
Inode *guest_state_owner(const GuestState *state, uint32_t cluster,
                         uint64_t *index);

/* Whether the FAT says that a cluster is in use: 1, 0 or -errno. */
int guest_state_allocated(GuestState *state, uint32_t cluster);

/* Whether the inode is in the guest's tree: up to the root. */
bool guest_state_is_linked(const GuestState *state, const Inode *inode);

#endif
