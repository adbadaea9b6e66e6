/* SPDX-License-Identifier: MIT */
/*
 * What has to wait because something else does.
 *
 * One that is held keeps the place that it has on the host, if any. That can
 * make others wait, each for its own reason, and these others again; so a list
 * of those that were held and have not been looked at yet is worked off until
 * it is empty. Each comes into it once.
 *
 * The guest's tree and the host's are trees, but what is made of both, some of
 * it held, need not be: the guest turned a/b into b/a, and b is held, so a can
 * not go into it. Any such circle goes through a directory that is held and
 * has another directory for the guest (else it would be a circle of the guest's
 * tree), and through one that is not held and has, too (or it were one of the
 * host's). So it is found by going up from each of the former, and is undone
 * by holding one of the latter. No circle is missed: when the last one of its
 * held directories is looked at, all of it is there. They are looked at when
 * nothing else is left, as one that waits anyway may end a circle.
 */
#include "block/vvfat/plan-int.h"

typedef struct Holding {
    Planner *planner;
    GPtrArray *pending; /* PlanNode: held, and what follows is not known */
    GPtrArray *kept;    /* PlanNode: held directories that do not go where the
                           guest has them, to be looked at for circles */
} Holding;

static void hold(Holding *holding, PlanNode *node, unsigned why)
{
    if (!node_is_held(node)) {
        node->inode->change->held = why;
        g_ptr_array_add(holding->pending, node);
    }
}

/* Whether it is on the host, and where it is now. */
static bool keeps_place(const PlanNode *node)
{
    return inode_is_on_host(node->inode) &&
           (node_is_held(node) ||
            (!node_is_removed(node) && !node_moves(node)));
}

/* Whether the guest's directory of a change is one on the host or to be made
 * there. */
static bool has_directory(const Planner *planner, const PlanNode *node)
{
    const Inode *dir = node->inode->parent;
    const PlanNode *above = planner_find(planner, dir);

    if (!dir || (above && node_is_removed(above) && !node_is_held(above))) {
        return false;
    }
    return inode_is_on_host(dir) || (above && !node_is_held(above));
}

static void hold_at_first(Holding *holding)
{
    Planner *planner = holding->planner;

    for (guint i = 0; i < planner->n_nodes; i++) {
        if (node_is_held(&planner->nodes[i])) {
            g_ptr_array_add(holding->pending, &planner->nodes[i]);
        }
    }
    for (guint i = 0; i < planner->n_nodes; i++) {
        PlanNode *node = &planner->nodes[i];

        if (node_is_removed(node)) {
            continue;
        }
        if (!has_directory(planner, node)) {
            hold(holding, node, INODE_PARENT_HELD);
        } else if (node->occupant && keeps_place(node->occupant)) {
            hold(holding, node, INODE_NAME_TAKEN);
        }
    }
}

/* Whether the guest has it in another directory than the host, or in none. */
static bool changes_directory(const PlanNode *node)
{
    return inode_is_on_host(node->inode) &&
           (node_is_removed(node) ||
            node->inode->parent != node->inode->host_parent);
}

/* Whether going up from a directory comes back to it. There may be another
 * circle further up. */
static bool is_below_itself(Planner *planner, const PlanNode *node)
{
    guint walk = ++planner->walk;

    for (const Inode *i = node->inode; i; i = plan_final_dir(i)) {
        PlanNode *at = planner_find(planner, i);

        if (at && at->walk == walk) {
            return at == node;
        }
        if (at) {
            at->walk = walk;
        }
    }
    return false;
}

/* Hold the first one above `node` that goes into another directory: all below
 * it is then as it is on the host now. */
static void break_circle(Holding *holding, const PlanNode *node)
{
    for (const Inode *i = plan_final_dir(node->inode); i != node->inode;
         i = plan_final_dir(i)) {
        PlanNode *at = planner_find(holding->planner, i);

        if (at && !node_is_held(at) && changes_directory(at)) {
            hold(holding, at, INODE_PARENT_HELD);
            return;
        }
    }
}

/* What follows from holding one that is on the host. */
static void spread_on_host(Holding *holding, PlanNode *node)
{
    Planner *planner = holding->planner;
    PlanNode *above = planner_find(planner, node->inode->host_parent);

    if (node->wanter) {
        hold(holding, node->wanter, INODE_NAME_TAKEN);
    }
    if (above && node_is_removed(above)) {
        hold(holding, above, INODE_NOT_EMPTY);
    }
    if (node->inode->is_directory && changes_directory(node)) {
        g_ptr_array_add(holding->kept, node);
    }
}

static void spread(Holding *holding, PlanNode *node)
{
    if (inode_is_on_host(node->inode)) {
        spread_on_host(holding, node);
        return;
    }
    for (PlanNode *i = node->first_child; i; i = i->next_child) {
        hold(holding, i, INODE_PARENT_HELD);
    }
}

static void spread_all(Holding *holding)
{
    GPtrArray *pending = holding->pending;

    for (guint i = 0; i < pending->len; i++) {
        spread(holding, pending->pdata[i]);
    }
    g_ptr_array_set_size(pending, 0);
}

void plan_hold(Planner *planner)
{
    g_autoptr(GPtrArray) pending = g_ptr_array_new();
    g_autoptr(GPtrArray) kept = g_ptr_array_new();
    Holding holding = { planner, pending, kept };

    hold_at_first(&holding);
    spread_all(&holding);
    for (guint i = 0; i < kept->len; i++) {
        const PlanNode *node = kept->pdata[i];

        if (is_below_itself(planner, node)) {
            break_circle(&holding, node);
            spread_all(&holding);
        }
    }
}
