/* SPDX-License-Identifier: MIT */
/* Between the files of commit. */
#ifndef VVFAT_COMMIT_INT_H
#define VVFAT_COMMIT_INT_H

#include "block/vvfat/commit.h"

struct Commit {
    CommitConfig config;
    Apply *apply;
    int64_t data_offset; /* of the first cluster, from the disk's start */
    uint32_t cluster_size;
    bool outside_touched; /* bytes outside the volume */
    int error;            /* the first failure of the host, in this commit */
    /* Of this commit, where there are links: */
    GHashTable *removed; /* host paths that are to go */
    bool links_moved;    /* targets of some */
    GPtrArray *gone;     /* Inode: directories that have left the host */
};

/* Clusters that so many bytes take. */
static inline uint64_t commit_clusters(const Commit *c, int64_t bytes)
{
    return (uint64_t)(bytes + c->cluster_size - 1) / c->cluster_size;
}

/* ---- Beginning (commit.c) ---- */

/* An OverlayVisitor of what was touched. */
void commit_touch(int64_t offset, int64_t bytes, void *opaque);

/* Why nothing may be committed, or NULL; g_free(). */
char *commit_check_suspended(Commit *c);

/* Judge all changes, and give those that are to be planned. */
GPtrArray *commit_judge_all(Commit *c);

/*
 * What is still needed of the host file of an inode, which is about to change,
 * could not be read or kept (error): the inode is held. Where the host has that
 * file no more (-EIDRM), that is the host's right, and a conflict. what: who
 * needs it ("what the guest ...").
 */
void commit_hold_unsaved(Commit *c, Inode *inode, int error, const char *what);

/* ---- Judging (commit-judge.c) ---- */

/*
 * Fill in the change of an inode: what it is to be on the host, whether its
 * contents differ, or why it must wait.
 */
void commit_judge(Commit *c, Inode *inode);

/*
 * The guest has replaced a file, and the new one must wait: then the old one
 * stays on the host meanwhile. After all changes were judged.
 */
void commit_hold_predecessors(const GPtrArray *changes);

/* Whether there is anything to do: not so when both sides turn out alike. */
bool commit_differs(const Commit *c, const Inode *inode);

/* ---- Contents (commit-content.c) ---- */

/* Compare the clusters of a file with what is mapped: change->content and
 * ->ranges. */
void commit_examine(Commit *c, Inode *inode);

/* Whether the host's file, the one that the inode has now, will be gone after
 * the change, or another one. */
bool commit_goes(const Inode *inode);

/*
 * Clusters mapped to the inode's host file whose bytes will not be there after
 * the change (inode goes, is written anew, or in some ranges), and that the
 * guest has in use: those of the inode itself, or of another one that shows
 * the same file. Visits runs; false when the visitor returned false.
 */
typedef bool CommitRunVisitor(Commit *c, Inode *inode, ClusterRun run,
                              void *opaque);
bool commit_doomed(Commit *c, Inode *inode, Inode *shown_by,
                   CommitRunVisitor *visit, void *opaque);

/* A CommitRunVisitor: have the run in the overlay. opaque is an int: 0 or
 * -errno. */
bool commit_save_run(Commit *c, Inode *inode, ClusterRun run, void *opaque);

/* The guest's bytes of a file; ApplyHooks.read. */
int commit_read_file(Commit *c, const Inode *inode, int64_t offset,
                     int64_t bytes, void *buf);

/* ---- Symbolic links (commit-linked.c) ---- */

/*
 * What inodes beyond symbolic links will need of the host file that is about
 * to be changed, into the overlay; they have it from there from now on. Where
 * that fails, the inode is held.
 */
void commit_save_linked(Commit *c, Inode *inode);

/*
 * Whether the guest has written a detached file: where it is not refused, it
 * waits. With a kept overlay, which has all that was written anyhow, this is
 * not known after opening it again, and false.
 */
bool commit_is_written(Commit *c, const Inode *inode);

/* What was done to targets of links: tell. */
void commit_tell_links(Commit *c);

/* ---- Finishing (commit-finish.c) ---- */

/* The plan was run: what is done is mapped to the host, and leaves the
 * overlay; */
void commit_finish(Commit *c);
/* and the list of changes. */
void commit_settle(Commit *c);

#endif
