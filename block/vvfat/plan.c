/* SPDX-License-Identifier: MIT */
/*
 * The changes as nodes that know of each other, and the list from its parts.
 *
 * A place on the host can be wanted by one change at most, and one at most has
 * it: `occupant` and `wanter` are pairs. All else that matters between two
 * changes is which directory is in which, before and after.
 */
#include "block/vvfat/plan-int.h"

#include <string.h>

/* ---- What becomes of an inode ---- */

Inode *plan_final_dir(const Inode *inode)
{
    const InodeChange *change = inode->change;

    if (!change || change->held != 0) {
        return inode->host_parent;
    }
    return change->target_name ? inode->parent : NULL;
}

const char *plan_final_name(const Inode *inode)
{
    const InodeChange *change = inode->change;

    return change && change->held == 0 ? change->target_name
                                       : inode->host_name;
}

bool node_moves(const PlanNode *node)
{
    const Inode *inode = node->inode;

    return inode_is_on_host(inode) && !node_is_removed(node) &&
           (inode->host_parent != inode->parent ||
            strcmp(inode->host_name, inode->change->target_name) != 0);
}

bool node_is_staged(const PlanNode *node)
{
    return !node->inode->is_directory && !node_is_removed(node) &&
           (!inode_is_on_host(node->inode) ||
            node->inode->change->content == CONTENT_WHOLE);
}

/* ---- Nodes ---- */

static guint place_hash(gconstpointer opaque)
{
    const PlanPlace *place = opaque;

    return g_str_hash(place->name) * 31 + g_direct_hash(place->dir);
}

static gboolean place_equal(gconstpointer a, gconstpointer b)
{
    const PlanPlace *one = a, *other = b;

    return one->dir == other->dir && strcmp(one->name, other->name) == 0;
}

PlanNode *planner_find(const Planner *planner, const Inode *inode)
{
    return inode && inode->change
               ? g_hash_table_lookup(planner->by_inode, inode)
               : NULL;
}

static void add_nodes(Planner *planner, const GPtrArray *changes)
{
    for (guint i = 0; i < planner->n_nodes; i++) {
        PlanNode *node = &planner->nodes[i];
        Inode *inode = changes->pdata[i];

        node->inode = inode;
        g_hash_table_insert(planner->by_inode, inode, node);
        if (inode_is_on_host(inode)) {
            node->host = (PlanPlace){ inode->host_parent, inode->host_name };
            g_hash_table_insert(planner->places, &node->host, node);
        }
    }
}

static void connect_nodes(Planner *planner)
{
    /* Backwards, so that children are in the order of the list. */
    for (guint i = planner->n_nodes; i > 0; i--) {
        PlanNode *node = &planner->nodes[i - 1];
        const Inode *inode = node->inode;
        PlanPlace target = { inode->parent, inode->change->target_name };
        PlanNode *dir = planner_find(planner, inode->parent);

        if (node_is_removed(node)) {
            continue;
        }
        node->occupant = g_hash_table_lookup(planner->places, &target);
        if (node->occupant == node) {
            node->occupant = NULL;
        }
        if (node->occupant) {
            node->occupant->wanter = node;
        }
        if (dir) {
            node->next_child = dir->first_child;
            dir->first_child = node;
        }
    }
}

static void planner_init(Planner *planner, const GPtrArray *changes)
{
    *planner = (Planner){
        .nodes = g_new0(PlanNode, changes->len),
        .n_nodes = changes->len,
        .by_inode = g_hash_table_new(NULL, NULL),
        .places = g_hash_table_new(place_hash, place_equal),
        .placed = g_ptr_array_new(),
        .ops = g_array_new(FALSE, FALSE, sizeof(PlanOp)),
    };
    add_nodes(planner, changes);
    connect_nodes(planner);
}

/* All but the operations. */
static void planner_clear(Planner *planner)
{
    g_hash_table_unref(planner->places);
    g_hash_table_unref(planner->by_inode);
    g_ptr_array_unref(planner->placed);
    g_free(planner->nodes);
}

void planner_add(Planner *planner, PlanKind kind, const PlanNode *node,
                 Inode *dir, Inode *victim)
{
    bool is_named = kind == PLAN_MKDIR || kind == PLAN_RENAME ||
                    kind == PLAN_PLACE;
    PlanOp op = {
        .kind = kind,
        .inode = node->inode,
        .dir = dir,
        .name = is_named ? node->inode->change->target_name : NULL,
        .victim = victim,
    };

    g_array_append_val(planner->ops, op);
}

/* ---- Staging ---- */

/* The nearest directory that is on the host already, from `dir` up. What it
 * finds is kept on the way, so that deep new trees take linear time. */
static Inode *find_stage_dir(Planner *planner, Inode *dir)
{
    Inode *found = dir;

    while (!inode_is_on_host(found)) {
        const PlanNode *node = planner_find(planner, found);

        found = node->stage_dir ? node->stage_dir : found->parent;
    }
    for (Inode *i = dir; !inode_is_on_host(i); i = i->parent) {
        PlanNode *node = planner_find(planner, i);

        if (node->stage_dir) {
            break;
        }
        node->stage_dir = found;
    }
    return found;
}

static void plan_stages(Planner *planner)
{
    for (guint i = 0; i < planner->n_nodes; i++) {
        const PlanNode *node = &planner->nodes[i];

        if (!node_is_held(node) && node_is_staged(node)) {
            planner_add(planner, PLAN_STAGE, node,
                        find_stage_dir(planner, node->inode->parent), NULL);
        }
    }
}

/* ---- Attributes, times, and writing ---- */

static bool wants_attributes(const Inode *inode)
{
    uint8_t has = inode->host_entry.attr;

    if (!inode_is_on_host(inode)) { /* what a file that is made is taken for */
        has = inode->is_directory ? 0 : FAT_ATTR_ARCHIVE;
    }
    return ((inode->entry.attr ^ has) & FAT_ATTR_DOS) != 0;
}

static bool wants_times(const Inode *inode)
{
    return !inode_is_on_host(inode) ||
           (!inode->is_directory && inode->change->content != CONTENT_SAME) ||
           !inode_has_entry_time(inode);
}

static void plan_writes(Planner *planner)
{
    for (guint i = 0; i < planner->placed->len; i++) {
        PlanNode *node = planner->placed->pdata[i];
        const Inode *inode = node->inode;

        if (node_is_held(node) || inode->is_directory ||
            node_is_staged(node) || inode->change->content == CONTENT_SAME) {
            continue;
        }
        if ((inode->host_entry.attr & FAT_ATTR_READ_ONLY) &&
            !(inode->entry.attr & FAT_ATTR_READ_ONLY)) {
            planner_add(planner, PLAN_ATTRIBUTES, node, NULL, NULL);
            node->is_granted = true;
        }
        planner_add(planner, PLAN_WRITE, node, NULL, NULL);
    }
}

static void plan_looks(Planner *planner, const PlanNode *node)
{
    if (node_is_held(node)) {
        return;
    }
    if (!node->is_granted && wants_attributes(node->inode)) {
        planner_add(planner, PLAN_ATTRIBUTES, node, NULL, NULL);
    }
    if (wants_times(node->inode)) {
        planner_add(planner, PLAN_TIMES, node, NULL, NULL);
    }
}

static void plan_all_looks(Planner *planner)
{
    const GPtrArray *placed = planner->placed;

    for (guint i = 0; i < placed->len; i++) {
        const PlanNode *node = placed->pdata[i];

        if (!node->inode->is_directory) {
            plan_looks(planner, node);
        }
    }
    /* What is above was placed first. */
    for (guint i = placed->len; i > 0; i--) {
        const PlanNode *node = placed->pdata[i - 1];

        if (node->inode->is_directory) {
            plan_looks(planner, node);
        }
    }
}

/* ---- Removing ---- */

static bool is_rmdir(const PlanNode *node)
{
    return node && node_is_removed(node) && !node_is_held(node) &&
           node->inode->is_directory && inode_is_on_host(node->inode);
}

static void plan_rmdirs(Planner *planner)
{
    for (guint i = 0; i < planner->n_nodes; i++) {
        const PlanNode *node = &planner->nodes[i];
        PlanNode *above = planner_find(planner, node->inode->host_parent);

        if (is_rmdir(node) && is_rmdir(above)) {
            above->n_below++;
        }
    }
    for (guint i = 0; i < planner->n_nodes; i++) {
        PlanNode *node = &planner->nodes[i];

        /* Each that is the last of those in its directory is followed by the
         * directory; `state` says that it is done, for when it comes up. */
        while (is_rmdir(node) && node->n_below == 0 &&
               node->state != NODE_DONE) {
            planner_add(planner, PLAN_RMDIR, node, NULL, NULL);
            node->state = NODE_DONE;
            node = planner_find(planner, node->inode->host_parent);
            if (is_rmdir(node)) {
                node->n_below--;
            }
        }
    }
}

static void plan_removals(Planner *planner)
{
    for (guint i = 0; i < planner->n_nodes; i++) {
        const PlanNode *node = &planner->nodes[i];

        if (node_is_removed(node) && !node_is_held(node) &&
            !node->inode->is_directory && inode_is_on_host(node->inode) &&
            !node->is_replaced) {
            planner_add(planner, PLAN_UNLINK, node, NULL, NULL);
        }
    }
    plan_rmdirs(planner);
}

/* ---- The whole ---- */

Plan *plan_new(const GPtrArray *changes)
{
    Plan *plan = g_new0(Plan, 1);
    Planner planner;

    planner_init(&planner, changes);
    plan_hold(&planner);
    plan_stages(&planner);
    plan_place(&planner);
    plan_writes(&planner);
    plan_removals(&planner);
    plan_all_looks(&planner);
    plan->ops = planner.ops;
    planner_clear(&planner);
    return plan;
}

void plan_free(Plan *plan)
{
    if (plan) {
        g_array_unref(plan->ops);
        if (plan->own) {
            g_string_chunk_free(plan->own);
        }
        g_free(plan);
    }
}
