/* SPDX-License-Identifier: MIT */
/* Between the files of reconcile. */
#ifndef VVFAT_RECONCILE_INT_H
#define VVFAT_RECONCILE_INT_H

#include "block/vvfat/linked.h"
#include "block/vvfat/reconcile.h"

/* Something that a directory holds. */
typedef struct ReconcileFound {
    Inode *dir;
    char *name;
    HostStat st;
} ReconcileFound;

/* An inode of the plan. */
typedef struct ReconcileFate {
    Inode *inode;
    Inode *dir;                  /* where it was to go, or NULL */
    const char *name;            /* the name there */
    const JournalStaged *staged; /* or NULL */
    bool is_changed;             /* contents, times or attributes, in place */
    bool is_placed;              /* a new file was to take its place */
    bool goes;                   /* removed, or replaced by another */
    bool is_settled;
} ReconcileFate;

/* A temporary name of the plan. */
typedef struct ReconcileTemp {
    Inode *dir;
    const char *name;
    /* Files that may have it: the temporary one, once that was made durable,
     * and what it may have taken the place of; ino 0: none. */
    InodeHostId staged, old, victim;
} ReconcileTemp;

typedef struct Reconcile {
    HostFs *fs;
    const JournalTree *tree;
    Report *report;
    bool has_begun;    /* the plan, to change what was there */
    Linked *linked;    /* of the tree */
    GHashTable *fates; /* Inode -> ReconcileFate */
    GHashTable *dirs;  /* Inode -> whether it was listed */
    GHashTable *found; /* inode number -> GPtrArray of ReconcileFound */
    GHashTable *temps; /* of ReconcileTemp, by directory and name */
} Reconcile;

/* ---- The plan's temporary files (reconcile-temp.c) ---- */

GHashTable *reconcile_temps_new(void);

/* After reconcile_note_plan() has found the fates. */
void reconcile_note_temps(Reconcile *r, const JournalPlan *plan);

/* Whatever has a temporary name, and was found: removed, or put aside, if it is
 * a matter of the plan. 0 or -errno. */
int reconcile_clear_temp(Reconcile *r, Inode *dir, const char *name)
    G_GNUC_WARN_UNUSED_RESULT;


/* What became of the inodes of the plan is to be found out. */
void reconcile_note_plan(Reconcile *r, const JournalPlan *plan);

/* A directory that is to be listed. */
void reconcile_note_dir(Reconcile *r, Inode *dir);

/* List the directories of which it is known where they are, each once; what
 * they hold goes to r->found, the plan's temporary files are removed.
 * *progress: there were any. 0 or -errno. */
int reconcile_list_dirs(Reconcile *r, bool *progress)
    G_GNUC_WARN_UNUSED_RESULT;

#endif
