/* SPDX-License-Identifier: MIT */
/*
 * One commit: what the guest's volume has become, into the host's directory.
 *
 *   freeze -> guest-state -> judge -> plan -> save, stage, apply -> finish
 *
 * The overlay is frozen at one moment; the guest goes on. Entries that are
 * half-written or damaged are held back (inode->change->held) and looked at
 * again by the next commit. Calls are made by one thread at a time.
 */
#ifndef VVFAT_COMMIT_H
#define VVFAT_COMMIT_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "block/vvfat/apply.h"
#include "block/vvfat/data-map.h"
#include "block/vvfat/guest-state.h"
#include "block/vvfat/overlay.h"

typedef struct CommitConfig {
    bool may_hold_protected; /* what the host does not allow is no failure */
    /* All outlive the commit. */
    Overlay *overlay;
    GuestState *state;
    DataMap *map;
    HostFs *fs;

    int64_t volume_offset; /* of the volume on the disk, bytes */
    int64_t volume_bytes;
    ApplyOptions apply;

    /* Why the table of partitions is not what it was, or NULL; g_free(). Reads
     * through overlay_read_frozen(). Called when bytes outside the volume were
     * touched. */
    char *(*check_partition)(void *opaque);
    /* As ApplyHooks.event. */
    void (*event)(ApplyEventKind kind, const char *path, const char *detail,
                  void *opaque);
    /*
     * For keeping a journal; NULL without one. Each is 0 or -errno. begin: a
     * plan that is not empty is about to be run (-EFBIG: it is too large to be
     * kept); staged: its temporary files
     * are there, and nothing else has been changed. After an error the host is
     * left as it is. done: it was run, or there was nothing to run; inodes of
     * the state's list of changes that are not held are about to leave it.
     * After an error nothing leaves the overlay's child. A plan that was run,
     * and could not be made durable, has no done of its own: what it did is
     * made durable before the next begin, and the next done is for both.
     */
    int (*begin)(const Plan *plan, void *opaque);
    int (*staged)(const Plan *plan, void *opaque);
    int (*done)(void *opaque);
    /* For a journal, too: an inode that the plan is not about turned out to be
     * on the host no more, or is another directory there. Before done. */
    void (*lost)(Inode *inode, void *opaque);
    /* The guest's side of inodes was brought up to date. Called with the
     * overlay locked. May be NULL. */
    void (*updated)(void *opaque);
    /*
     * For keeping elsewhere what cannot be committed; all or none is NULL.
     * touched: what was written since the last commit. suspended: nothing is
     * committed, so make what the guest wrote durable, with the overlay frozen;
     * 0, or -errno and *words (g_free()) about it. complete: the directory has
     * everything that the guest wrote up to the freeze.
     */
    OverlayVisitor *touched;
    int (*suspended)(void *opaque, char **words);
    void (*complete)(void *opaque);
    void *opaque;
} CommitConfig;

typedef struct Commit Commit;

Commit *commit_new(const CommitConfig *config);
void commit_free(Commit *commit);
/* An inode of the state is about to be freed. */
void commit_retire(Commit *commit, Inode *inode);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Commit, commit_free)

typedef struct CommitResult {
    uint64_t operations; /* on the host, that were planned */
    uint64_t held;       /* inodes that wait, for whatever reason */
    bool failed;         /* some of them because the host failed: */
    int error;           /* -errno of the first such failure, else 0 */
    char *words;         /* about it, unless it is an inode's; or NULL */
    char *suspended;     /* why nothing is committed any more, or NULL */
} CommitResult;

void commit_result_clear(CommitResult *result);

/*
 * Commit everything that can be. closing: nothing of the guest's comes any
 * more; differences between the FATs count no more. 0, and *result; or the
 * -errno of what kept it from starting (a read of the overlay).
 */
int commit_run(Commit *commit, bool closing, CommitResult *result)
    G_GNUC_WARN_UNUSED_RESULT;

/*
 * Find out what a commit would do, and do nothing: what it would commit is
 * held (INODE_WAITS), too. As commit_run().
 */
int commit_look(Commit *commit, bool closing, CommitResult *result)
    G_GNUC_WARN_UNUSED_RESULT;

/* Byte offset on the disk of a cluster. */
int64_t commit_cluster_offset(const Commit *commit, uint32_t cluster);

#endif
