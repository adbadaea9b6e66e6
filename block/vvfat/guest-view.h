/* SPDX-License-Identifier: MIT */
/*
 * Any FAT volume as a validated tree, with the list of what is wrong with it.
 *
 * Tolerant where readers must be: a damaged entry holds back itself, not the
 * rest. Exact about what is wrong: each problem has a kind, a path and words.
 * Pure: bytes come through a function. Memory goes with the tree and with one
 * bit a cluster (three in a full check), not with the size of the volume. Any
 * volume ends the walk: nothing is followed twice, and nothing recurses. One
 * thread at a time.
 */
#ifndef VVFAT_GUEST_VIEW_H
#define VVFAT_GUEST_VIEW_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "block/vvfat/boot.h"
#include "block/vvfat/names.h"
#include "block/vvfat/tree.h"

/* Read bytes at an offset from the volume's start; 0 or -errno. */
typedef int VolumeRead(void *opaque, int64_t offset, int64_t bytes, void *buf);

/* How many of the bytes from an offset on are known to be zeroes without
 * reading them; 0: none, or it cannot be told. */
typedef int64_t VolumeZeroes(void *opaque, int64_t offset, int64_t bytes);

typedef enum ProblemKind {
    PROBLEM_BOOT_BACKUP,   /* FAT32 backup boot sector differs */
    PROBLEM_FSINFO,        /* signature or counts wrong */
    PROBLEM_DIRTY,         /* not unmounted cleanly: a note, no damage */
    PROBLEM_FAT_MEDIA,     /* FAT[0] is not the media byte */
    PROBLEM_FAT_MIRROR,    /* the FATs differ */
    PROBLEM_FAT_VALUE,     /* an entry points outside the volume */
    PROBLEM_LOST_CLUSTERS, /* allocated, in no file */
    PROBLEM_CROSS_LINK,    /* a cluster in two chains */
    PROBLEM_CHAIN_LOOP,
    PROBLEM_CHAIN_BAD,   /* runs into a free, bad or outside cluster */
    PROBLEM_CHAIN_SHORT, /* fewer clusters than the size needs */
    PROBLEM_CHAIN_LONG,  /* more clusters than the size needs */
    PROBLEM_DIR_DOTS,    /* "." or ".." missing or wrong */
    PROBLEM_DIR_SIZE,    /* a directory with a size, or too large */
    PROBLEM_DIR_ENTRY,   /* entry that is no file, directory or label */
    PROBLEM_AFTER_END,   /* entries behind the end mark: a note */
    PROBLEM_LONG_NAME,   /* orphaned or damaged long-name entries */
    PROBLEM_SHORT_NAME,  /* illegal bytes */
    PROBLEM_UNSAFE_NAME, /* cannot be a host name ("..", a slash) */
    PROBLEM_DUPLICATE_NAME,
    PROBLEM_LABEL, /* more than one, or not the boot sector's */
} ProblemKind;

typedef struct Problem {
    ProblemKind kind;
    bool is_damage; /* false: a note that a reader may ignore */
    bool left_out;  /* the entry at `path` is not in the tree */
    char *path;     /* of the entry held back or concerned; NULL: volume */
    char *text;
} Problem;

typedef struct Volume Volume;

/* Read the boot sector and prepare reading; codepage NULL: 437. The codepage
 * must outlive the volume. */
Volume *volume_open(VolumeRead *read, void *opaque, uint64_t volume_bytes,
                    const Codepage *cp, GError **errp);
void volume_free(Volume *volume);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Volume, volume_free)

/* Have volume_file_zeroes() ask; with the `opaque` of reading. */
void volume_set_zeroes(Volume *volume, VolumeZeroes *zeroes);

const BootInfo *volume_boot_info(const Volume *volume);

/* Bytes of a cluster, and a cluster's byte offset from the volume's start. */
uint32_t volume_cluster_size(const Volume *volume);
int64_t volume_cluster_offset(const Volume *volume, uint32_t cluster);

/*
 * Read part of a file. The range must lie inside node->size; a part that the
 * chain does not reach is -EIO.
 */
int volume_read_file(Volume *volume, const TreeNode *node, int64_t offset,
                     int64_t bytes, void *buf) G_GNUC_WARN_UNUSED_RESULT;

/* How many bytes of such a range are known to be zeroes from its start on. */
int64_t volume_file_zeroes(const Volume *volume, const TreeNode *node,
                           int64_t offset, int64_t bytes);

/* Bytes of a file that its chain reaches: node->size, unless damaged. */
int64_t volume_file_readable(const Volume *volume, const TreeNode *node);

/* As many problems of nodes are kept; those of the whole volume, a dozen at
 * most, all are. */
#define GUEST_VIEW_MAX_PROBLEMS 1000u

/*
 * Nodes have the volume's names. A node's host_name is that of the file that
 * an extraction would make (names.h), or NULL when there can be none.
 */
typedef struct GuestView {
    Tree *tree; /* what can be reached. A node whose chain is damaged is in
                   it; its chain ends where the damage begins. A cluster that
                   two chains have belongs to the one in the earlier
                   directory or entry, breadth first */
    GPtrArray *problems;    /* Problem */
    uint64_t more_problems; /* further ones, which were not kept */
    uint64_t n_damage;      /* problems with is_damage, kept or not */
    uint64_t n_left_out;    /* problems with left_out, kept or not */

    /* Of the whole FAT, when loaded in full; else 0 but for used_clusters,
     * which then are those of the tree. */
    uint64_t used_clusters, free_clusters, bad_clusters;
    uint64_t lost_clusters, lost_chains; /* among the used ones */
} GuestView;

/* full: look at the whole FAT too (lost clusters, mirrors, FSInfo, values),
 * as a check does; without it only what the tree touches is read. NULL and
 * *errp on a read error or when there is no memory. */
GuestView *guest_view_load(Volume *volume, bool full, GError **errp);
void guest_view_free(GuestView *view);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(GuestView, guest_view_free)

/* Path of a node below the root, as in problems: as tree_path(), but when it
 * is very long only ".../" and its end. g_free(). */
char *guest_view_path(const TreeNode *node);

/* "cross-link" and the like, as JSON output prints it. */
const char *problem_kind_name(ProblemKind kind);

#endif
