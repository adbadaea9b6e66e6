/* SPDX-License-Identifier: MIT */
/*
 * Between the files of plan: one plan being made.
 *
 *   plan.c        nodes, and the list from its parts
 *   plan-hold.c   what has to wait because something else does
 *   plan-place.c  the order of what gets a new place
 */
#ifndef VVFAT_PLAN_INT_H
#define VVFAT_PLAN_INT_H

#include "block/vvfat/plan.h"

/* A name in a directory of the host: the key of Planner.places. */
typedef struct PlanPlace {
    const Inode *dir;
    const char *name;
} PlanPlace;

typedef enum PlanState {
    NODE_NEW,
    NODE_OPEN, /* waits for another to be placed */
    NODE_DONE, /* it and all above it stand where they are going to */
} PlanState;

/* A change, and the others that it has to do with (NULL: none). */
typedef struct PlanNode PlanNode;
struct PlanNode {
    Inode *inode;
    PlanPlace host;
    PlanNode *occupant;    /* has its target name on the host now */
    PlanNode *wanter;      /* has its host place for a target */
    PlanNode *first_child; /* changes whose guest directory it is */
    PlanNode *next_child;
    PlanNode *up;     /* nearest change above it, at the end */
    Inode *stage_dir; /* for a new directory: where to stage for it */
    PlanState state;
    guint walk;    /* the last walk that came by */
    guint n_below; /* directories right in it that are still to be removed */
    bool is_aside;
    bool is_replaced; /* as the victim of another */
    bool is_granted;  /* its attributes were set before writing */
};

typedef struct Planner {
    PlanNode *nodes; /* in the order of the list */
    guint n_nodes;
    GHashTable *by_inode; /* Inode -> PlanNode */
    GHashTable *places;   /* PlanPlace -> PlanNode, of what is on the host */
    GPtrArray *placed;    /* PlanNode: what stays, what is above first */
    guint walk;
    GArray *ops; /* PlanOp */
} Planner;

/* The change of an inode (NULL: none), or NULL. */
PlanNode *planner_find(const Planner *planner, const Inode *inode);

void planner_add(Planner *planner, PlanKind kind, const PlanNode *node,
                 Inode *dir, Inode *victim);

/* Hold all that cannot be without what is held. */
void plan_hold(Planner *planner);

/* Give everything its place: step 2, and `placed`. After plan_hold(). */
void plan_place(Planner *planner);

static inline bool node_is_held(const PlanNode *node)
{
    return node->inode->change->held != 0;
}

static inline bool node_is_removed(const PlanNode *node)
{
    return node->inode->change->target_name == NULL;
}

/* Whether it is to have another place on the host than it has. */
bool node_moves(const PlanNode *node);

/* Whether a file under a temporary name is made for it. */
bool node_is_staged(const PlanNode *node);

/* The directory that an inode is in on the host when the plan was run; NULL
 * for the root and for what is not there then. */
Inode *plan_final_dir(const Inode *inode);

/* The name that it has then, or NULL. */
const char *plan_final_name(const Inode *inode);

#endif
