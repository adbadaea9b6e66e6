/* SPDX-License-Identifier: MIT */
/*
 * Running a plan on the host.
 *
 * Each operation looks at what is there first, and can be run twice: what it
 * would make is already there (the same file, by its inode number), and it is
 * done. A second run needs the inodes as they are, or as they were before the
 * first one together with what the changes said after staging; is_torn is to
 * be set, then, for files that were to be written in place.
 *
 * Nothing that the host changed meanwhile is overwritten or removed: the
 * guest's version is put beside it under a name of its own, and reported. An
 * operation that fails holds back its own inode (change->held and ->error),
 * and what depends on it; all others go on. A PLACE of a file that stands
 * elsewhere on the host moves that one first: it leaves nothing behind.
 *
 * One thread; other threads read host files at the same time, and look at the
 * host's side of inodes only between lock() and unlock().
 */
#ifndef VVFAT_APPLY_H
#define VVFAT_APPLY_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "block/vvfat/hostfs.h"
#include "block/vvfat/plan.h"

typedef struct ApplyOptions {
    unsigned file_mode, dir_mode; /* of new ones; umask applies */
    bool utc;                     /* the volume's times are UTC */
} ApplyOptions;

/* What happened that a user wants to know of; strings are valid during the
 * call. */
typedef enum ApplyEventKind {
    APPLY_CONFLICT, /* detail: what became of it, in words: the name that the
                       guest's version has now, or what was kept */
    APPLY_DANGLING, /* detail: why the link leads nowhere any more */
    APPLY_FAILED,   /* detail: which host call failed, and how */
    APPLY_NOT_KEPT, /* detail: what the host does not let a file have */
} ApplyEventKind;

typedef struct ApplyHooks {
    /* Bytes of the guest's file, as of this commit: 0 or -errno; -EIDRM: they
     * were those of a host file that is gone, or another one. The range lies
     * inside its size. Not called between lock and unlock. */
    int (*read)(const Inode *inode, int64_t offset, int64_t bytes, void *buf,
                void *opaque);
    /* Before the host's data of an inode (its file is replaced, removed or
     * written in place) or its name is changed, and after that: readers keep
     * off between the two. Never nested. */
    void (*lock)(void *opaque);
    void (*unlock)(void *opaque);
    /* The host's file of this inode is another one from now on, or none:
     * forget what is open. Called between lock and unlock. */
    void (*forget)(Inode *inode, void *opaque);
    /* A file or directory has another path below the root now. Called between
     * lock and unlock. May be NULL. */
    void (*moved)(const Inode *inode, const char *from, const char *to,
                  void *opaque);
    /* May be NULL. path: on the host, below the root. */
    void (*event)(ApplyEventKind kind, const char *path, const char *detail,
                  void *opaque);
    void *opaque;
} ApplyHooks;

typedef struct Apply Apply;

/* All must outlive it. */
Apply *apply_new(HostFs *fs, const ApplyOptions *options,
                 const ApplyHooks *hooks);
void apply_free(Apply *apply);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Apply, apply_free)

/*
 * Before step 1, where the plan is recorded: choose the names of the temporary
 * files that it makes, so that they can be told from others after a crash. A
 * file of a STAGE stands under its name when that step is over, if it was made;
 * one of a WRITE never gives its name to another file. Temporary files that
 * turn out to be needed beyond that get other names.
 */
void apply_choose_names(Plan *plan);

/*
 * Step 1, PLAN_STAGE: write the temporary files, and make them durable. A file
 * whose contents turn out to be those of its host file is not written:
 * change->content becomes CONTENT_SAME. change->temp_* and ->staged are set.
 * A change that has a temporary file from an earlier run keeps it: discard it
 * first where the guest has written since. Nothing that was there is changed.
 * Where a change is held now, its bytes may
 * still be in host files that the plan removes: make another plan, or copy
 * them, before step 2.
 */
void apply_stage(Apply *apply, Plan *plan);

/*
 * Step 2, everything else, and make it durable. Afterwards each inode of the
 * plan either has its host side (host_parent, host_name, alias, host,
 * host_entry) as the guest has it, or its change is held and says why; a held
 * one may have been done in part (renamed, but not written): the host side
 * says what is there. host_chain is not touched. An inode that is to go and is
 * gone has host_name NULL.
 *
 * 0, or the -errno of what made the host not durable: then nothing of this run
 * may be counted on, and the guest's bytes are to be kept: until a later run
 * returns 0, whose plan is made from them again. What it finds done already is
 * done once more where that is needed (inode->is_unsynced).
 */
int apply_run(Apply *apply, Plan *plan) G_GNUC_WARN_UNUSED_RESULT;

/*
 * A directory can turn out to be gone when something below it could not be
 * looked at: then that is gone, too, and its change waits until its directory
 * is there again. True when that was so. Step 2 does this for the inodes of
 * the plan.
 */
bool apply_forget_below_gone(Apply *apply, Inode *inode);

/* Whether the last run has left something that is not durable. */
bool apply_is_unsynced(const Apply *apply);

/* The inode is about to be freed. */
void apply_retire(Apply *apply, Inode *inode);

/* Before another plan is begun: sync that once more. 0 or -errno: then none
 * may be begun, since a power cut would leave two of them to be told apart. */
int apply_resync(Apply *apply) G_GNUC_WARN_UNUSED_RESULT;

/* A directory that the host has removed, or put another one in the place of,
 * is made again, or is that one from now on. False: it was there, or cannot be
 * made. */
bool apply_make_again(Apply *apply, Inode *dir);

/* Remove what staging left of changes that are held now. Their bytes must be
 * somewhere else: a host file that they came from may be gone. What cannot be
 * removed is forgotten by the change, and tried again by the next step 1. */
void apply_discard_staged(Apply *apply, GPtrArray *changes);

/* A path for what is put aside in a directory. g_free(). */
char *apply_aside_path(const Inode *dir);

/* Whether a file that was to get the name `wanted` may stand below `name`
 * instead: put aside, or beside what has its name. */
bool apply_may_stand_at(const char *name, const char *wanted,
                        bool is_directory);

/* Whether this -errno is of a missing file, or of a directory above it that is
 * none any more. */
bool apply_is_gone(int r);

/* What a host file is known by. */
InodeHostId apply_host_id(const HostStat *st);

#endif
