/* SPDX-License-Identifier: MIT */
/*
 * The order in which things get their places.
 *
 * One can be placed when all directories above it, as they will be at the end,
 * stand where they will (so it cannot go below itself), and its name is free.
 * What it waits for is placed first, and what that waits for, on a stack of our
 * own: chains of renames are as long as the guest likes.
 *
 * Waiting for a directory has to be. Waiting for the name need not: what has
 * it can be put aside. Each circle of waiting has one of the second kind, as
 * the directories alone are a tree (plan-hold.c); so when the stack comes to
 * one that is in it, the last wait for a name is ended that way, and what was
 * opened after it comes again later.
 *
 * What is to be removed is never on the stack: it is out of the way at once,
 * replaced or aside.
 */
#include "block/vvfat/plan-int.h"

typedef struct Wait {
    PlanNode *node;
    bool is_for_name; /* the one below it waits for the name that it has */
} Wait;

typedef struct Placing {
    Planner *planner;
    GArray *stack; /* Wait: each waits for the next one */
} Placing;

static void push(Placing *placing, PlanNode *node, bool is_for_name)
{
    Wait wait = { node, is_for_name };

    node->state = NODE_OPEN;
    g_array_append_val(placing->stack, wait);
}

static void put_aside(Planner *planner, PlanNode *node)
{
    if (!node->is_aside) {
        node->is_aside = true;
        planner_add(planner, PLAN_ASIDE, node, node->inode->host_parent, NULL);
    }
}

/* The topmost waits for one that is in the stack. */
static void end_circle(Placing *placing, PlanNode *other, bool is_for_name)
{
    GArray *stack = placing->stack;
    PlanNode *in_the_way = other;

    while (!is_for_name && stack->len > 0) {
        Wait top = g_array_index(stack, Wait, stack->len - 1);

        top.node->state = NODE_NEW;
        g_array_set_size(stack, stack->len - 1);
        is_for_name = top.is_for_name;
        in_the_way = top.node;
    }
    put_aside(placing->planner, in_the_way);
}

static void wait_for(Placing *placing, PlanNode *node, bool is_for_name)
{
    if (node->state == NODE_OPEN) {
        end_circle(placing, node, is_for_name);
    } else {
        push(placing, node, is_for_name);
    }
}

/* What has the name that `node` is to have and is to have another itself, or
 * NULL: then the name is free, or *victim will be replaced. */
static PlanNode *free_name(Planner *planner, const PlanNode *node,
                           Inode **victim)
{
    PlanNode *occupant = node->occupant;

    *victim = NULL;
    if (!occupant || occupant->is_aside || occupant->state == NODE_DONE) {
        return NULL;
    }
    if (!node_is_removed(occupant)) {
        return occupant;
    }
    if (node->inode->is_directory || occupant->inode->is_directory) {
        put_aside(planner, occupant);
    } else {
        occupant->is_replaced = true;
        *victim = occupant->inode;
    }
    return NULL;
}

static void place(Planner *planner, const PlanNode *node, Inode *victim)
{
    Inode *inode = node->inode;

    if (node_moves(node)) {
        planner_add(planner, PLAN_RENAME, node, inode->parent, victim);
        victim = NULL;
    }
    if (inode->is_directory && !inode_is_on_host(inode)) {
        planner_add(planner, PLAN_MKDIR, node, inode->parent, NULL);
    }
    if (node_is_staged(node)) {
        planner_add(planner, PLAN_PLACE, node, inode->parent, victim);
    }
}

/* Place the topmost, or put on top what it waits for. */
static void step(Placing *placing)
{
    GArray *stack = placing->stack;
    PlanNode *node = g_array_index(stack, Wait, stack->len - 1).node;
    PlanNode *first = node->up;

    if (first && first->state != NODE_DONE) {
        wait_for(placing, first, false);
        return;
    }
    if (!node_is_held(node)) {
        Inode *victim;

        first = free_name(placing->planner, node, &victim);
        if (first) {
            wait_for(placing, first, true);
            return;
        }
        place(placing->planner, node, victim);
    }
    node->state = NODE_DONE;
    g_ptr_array_add(placing->planner->placed, node);
    g_array_set_size(stack, stack->len - 1);
}

/* The nearest change from a directory up, itself included. `known` has what
 * was found for others: many changes are in one directory. */
static PlanNode *find_up(const Planner *planner, const Inode *dir,
                         GHashTable *known)
{
    gpointer up = NULL;

    if (!g_hash_table_lookup_extended(known, dir, NULL, &up)) {
        for (const Inode *i = dir; i && !up; i = plan_final_dir(i)) {
            up = planner_find(planner, i);
        }
        g_hash_table_insert(known, (gpointer)dir, up);
    }
    return up;
}

void plan_place(Planner *planner)
{
    g_autoptr(GHashTable) known = g_hash_table_new(NULL, NULL);
    g_autoptr(GArray) stack = g_array_new(FALSE, FALSE, sizeof(Wait));
    Placing placing = { planner, stack };

    for (guint i = 0; i < planner->n_nodes; i++) {
        PlanNode *node = &planner->nodes[i];

        node->up = find_up(planner, plan_final_dir(node->inode), known);
    }
    for (guint i = 0; i < planner->n_nodes; i++) {
        PlanNode *node = &planner->nodes[i];

        if (node->state == NODE_NEW &&
            (!node_is_removed(node) || node_is_held(node))) {
            push(&placing, node, false);
        }
        while (stack->len > 0) {
            step(&placing);
        }
    }
}
