/* SPDX-License-Identifier: MIT */
/*
 * Volumes for tests of plans: inodes with two sides, and a judge that runs a
 * plan on a host tree that is no more than a set of paths.
 */
#ifndef TESTS_PLAN_FIXTURE_H
#define TESTS_PLAN_FIXTURE_H

#include "block/vvfat/plan.h"

typedef struct PlanWorld {
    Inode *root;
    GPtrArray *inodes;  /* all but the root; freed with the world */
    GPtrArray *changes; /* those with a `change`, as plan_new() takes them */
    GArray *held;       /* unsigned: change->held as it was before the plan,
                           for each of `changes`; judge_plan() needs it */
} PlanWorld;

PlanWorld *world_new(void);
void world_free(PlanWorld *world);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PlanWorld, world_free)

/* An inode on the host at host_parent (NULL: not on the host), with its guest
 * side the same; not in the list of changes. */
Inode *world_add(PlanWorld *world, bool is_directory, Inode *host_parent,
                 const char *host_name);

/* Give a change to the inode (once); target NULL: to be removed. */
void world_change(PlanWorld *world, Inode *inode, Inode *parent,
                  const char *target_name);

/*
 * Lines "HOST GUEST WORD...": paths of one inode, "-" for none, a slash at the
 * end for directories, after the directories on the host that they are in.
 * Words: "whole", "ranges": its contents; "hidden", "writable", "touched": its
 * entry has other attributes (no longer read-only) or times; "held". Lines
 * without words are not in the list of changes when the inode has the same
 * directory and name on both sides.
 */
PlanWorld *world_parse(const char *text);

/* The lines of a world, as world_parse() takes them. g_free(). */
char *world_to_text(const PlanWorld *world);

/* plan_new(), with what the judge needs to know. */
Plan *world_plan(PlanWorld *world);

/* Run the plan and see what becomes of the host. What is wrong, in words, or
 * NULL. g_free(). */
char *judge_plan(const PlanWorld *world, const Plan *plan);

/* Whether what is held had to be: in words, or NULL. g_free(). */
char *judge_held(const PlanWorld *world);

#endif
