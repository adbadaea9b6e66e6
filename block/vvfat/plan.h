/* SPDX-License-Identifier: MIT */
/*
 * From changes to an ordered list of operations on the host.
 *
 * The order is such that running it from the first to the last needs nothing
 * that a later one makes, removes nothing that a later one needs, and never
 * has two things under one name:
 *
 *   1. STAGE: new and replaced files, whole, under temporary names. All bytes
 *      of theirs are read before anything on the host is destroyed.
 *   2. MKDIR, RENAME and PLACE to the final names, each when all directories
 *      above it have theirs. What is in the way is replaced when it is to go
 *      and both are files, put ASIDE when it is to go otherwise; if it stays
 *      in the volume it is moved first, and put ASIDE on a cycle (swaps). One
 *      that moves and has new contents is a RENAME, and then a PLACE over
 *      itself.
 *   3. WRITE: ranges and sizes, in place. Where that takes the read-only
 *      attribute away first, ATTRIBUTES come before it.
 *   4. UNLINK and RMDIR, what is below first. None for what was replaced.
 *   5. ATTRIBUTES and TIMES, directories last, what is below first.
 *
 * What was put ASIDE stays in its directory, below a temporary name, until a
 * RENAME, UNLINK or RMDIR of it.
 *
 * Pure: reads inodes, changes none but change->held. Linear in the number of
 * changes and their depth, whatever the size of the tree; no recursion.
 */
#ifndef VVFAT_PLAN_H
#define VVFAT_PLAN_H

#include <glib.h>
#include <stdbool.h>

#include "block/vvfat/inode.h"

typedef enum PlanKind {
    PLAN_STAGE,
    PLAN_MKDIR,
    PLAN_ASIDE,
    PLAN_RENAME,
    PLAN_PLACE,
    PLAN_WRITE,
    PLAN_UNLINK,
    PLAN_RMDIR,
    PLAN_ATTRIBUTES,
    PLAN_TIMES,
} PlanKind;

typedef struct PlanOp {
    PlanKind kind;
    Inode *inode;
    Inode *dir; /* MKDIR, RENAME, PLACE: directory that it goes to; STAGE:
                         where the temporary file is to be made, on the host
                         and the same at the end of the plan; ASIDE: where it
                         stands; else NULL */
    const char *name; /* MKDIR, RENAME, PLACE: the new host name; owned by the
                         inode's change; STAGE, WRITE: that of a temporary file
                         (apply_choose_names()), or NULL; else NULL */
    Inode *victim;    /* RENAME, PLACE: a file on the host that this replaces,
                         to be removed and never the inode itself, or NULL */
} PlanOp;

typedef struct Plan {
    GArray *ops;       /* PlanOp */
    GStringChunk *own; /* names that it owns, or NULL */
} Plan;

/*
 * Make the plan of all changes in the list (GPtrArray of Inode, each with a
 * `change`) that are not held. What is held stays where it is on the host, so
 * more may have to wait, and are held here, until nothing changes any more:
 * with INODE_PARENT_HELD when the directory will not be on the host, or would
 * be there below the inode itself; with INODE_NAME_TAKEN when one that is held
 * has the name there (a file may not replace it); with INODE_NOT_EMPTY when a
 * directory that is to go would still hold one that is held. A directory that
 * is held and on the host keeps its place there, and others can still be put
 * into it. What is held already gets no further reasons, and none is taken
 * back. For each inode on entry:
 *
 *   inode->parent        the guest's directory; NULL: it is to be removed
 *   change->target_name  host name that it is to have in it; NULL when removed
 *   change->content      for files
 *   host_parent, host_name, host_entry: as on the host now
 *
 * Two changes never have the same target name in one directory, nor has an
 * inode that is not in the list the target name there.
 */
Plan *plan_new(const GPtrArray *changes);
void plan_free(Plan *plan);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Plan, plan_free)

/*
 * The list, an operation a line, for tests and debugging: what is on the host
 * by the path that it has there before the plan is run, and where things go by
 * the path after it. To be asked before any of it is run. g_free().
 */
char *plan_to_text(const Plan *plan);

#endif
