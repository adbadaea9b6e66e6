/* SPDX-License-Identifier: MIT */
/*
 * The host as a set of paths, on which a plan is run. What an inode is to
 * become is worked out here anew, by recursion from what is held.
 */
#include <string.h>

#include "tests/unit/plan-fixture.h"

typedef struct Item {
    Inode *inode;
    char *path;
    bool is_temp;    /* a staged file, or one that was put aside */
    bool is_staged;  /* with the guest's contents */
    bool is_written; /* in place */
    bool has_attributes, has_times; /* the guest's */
} Item;

typedef struct Judge {
    const PlanWorld *world;
    GPtrArray *items; /* Item; the root first, with path "" */
    unsigned n_temps;
    int phase;
    bool seen_directories; /* in the last phase */
    GPtrArray *closed;     /* Item: directories done with in the last phase */
    char *error;
} Judge;

static void item_free(gpointer opaque)
{
    Item *item = opaque;

    g_free(item->path);
    g_free(item);
}

static void fail(Judge *judge, const char *what, const Inode *inode)
{
    if (!judge->error) {
        judge->error = g_strdup_printf("%s: %s", what,
                                       !inode ? ""
                                       : inode->change &&
                                               inode->change->target_name
                                           ? inode->change->target_name
                                           : inode->host_name);
    }
}

/* ---- What is to be ---- */

static bool is_changed(const Inode *inode)
{
    return inode->change && inode->change->held == 0;
}

static bool is_to_go(const Inode *inode)
{
    return is_changed(inode) && !inode->change->target_name;
}

static bool is_new(const Inode *inode)
{
    return inode->host_name == NULL;
}

static bool has_new_contents(const Inode *inode)
{
    return is_changed(inode) && !inode->is_directory &&
           inode->change->target_name &&
           (is_new(inode) || inode->change->content == CONTENT_WHOLE);
}

static char *join(const char *dir, const char *name)
{
    return *dir ? g_strconcat(dir, "/", name, NULL) : g_strdup(name);
}

/* The path at the end; NULL: not on the host then. */
static char *expected_path(const Judge *judge, const Inode *inode)
{
    if (inode == judge->world->root) {
        return g_strdup("");
    }
    if (is_to_go(inode) || (!is_changed(inode) && is_new(inode))) {
        return NULL;
    }
    g_autofree char *dir = expected_path(
        judge, is_changed(inode) ? inode->parent : inode->host_parent);
    return dir ? join(dir, is_changed(inode) ? inode->change->target_name
                                             : inode->host_name)
               : NULL;
}

/* ---- The host ---- */

static Item *item_at(const Judge *judge, const char *path)
{
    for (guint i = 0; i < judge->items->len; i++) {
        Item *item = judge->items->pdata[i];

        if (g_str_equal(item->path, path)) {
            return item;
        }
    }
    return NULL;
}

static Item *item_of(const Judge *judge, const Inode *inode, bool is_staged)
{
    for (guint i = 0; i < judge->items->len; i++) {
        Item *item = judge->items->pdata[i];

        if (item->inode == inode &&
            (item->is_temp && item->is_staged) == is_staged) {
            return item;
        }
    }
    return NULL;
}

static bool is_within(const char *path, const char *dir)
{
    size_t n = strlen(dir);

    return strncmp(path, dir, n) == 0 && path[n] == '/';
}

static Item *add_item(Judge *judge, Inode *inode, char *path)
{
    Item *item = g_new0(Item, 1);

    item->inode = inode;
    item->path = path;
    g_ptr_array_add(judge->items, item);
    return item;
}

static void move_item(Judge *judge, Item *item, char *path)
{
    g_autofree char *old = g_steal_pointer(&item->path);

    item->path = path;
    for (guint i = 0; i < judge->items->len; i++) {
        Item *below = judge->items->pdata[i];

        if (is_within(below->path, old)) {
            char *moved = g_strconcat(path, below->path + strlen(old), NULL);

            g_free(below->path);
            below->path = moved;
        }
    }
}

static void judge_init(Judge *judge)
{
    judge->items = g_ptr_array_new_with_free_func(item_free);
    judge->closed = g_ptr_array_new();
    add_item(judge, judge->world->root, g_strdup(""));
    for (guint i = 0; i < judge->world->inodes->len; i++) {
        Inode *inode = judge->world->inodes->pdata[i];

        if (!is_new(inode)) {
            add_item(judge, inode, inode_host_path(inode));
        }
    }
}

/* ---- Operations ---- */

/* The path of a directory that has to be there, and at its last place. */
static const char *ready_dir(Judge *judge, const Inode *dir)
{
    const Item *item = dir ? item_of(judge, dir, false) : NULL;
    g_autofree char *expected = dir ? expected_path(judge, dir) : NULL;

    if (!item || !dir->is_directory) {
        fail(judge, "into a directory that is not there", dir);
        return NULL;
    }
    if (!expected || !g_str_equal(item->path, expected)) {
        fail(judge, "into a directory that is not ready", dir);
        return NULL;
    }
    return item->path;
}

static char *target_path(Judge *judge, const PlanOp *op)
{
    const char *dir = ready_dir(judge, op->dir);

    if (!op->name || op->dir != op->inode->parent ||
        op->name != op->inode->change->target_name) {
        fail(judge, "a target that is not the inode's", op->inode);
    }
    return dir && op->name ? join(dir, op->name) : NULL;
}

/* Take away what is at the target, where the plan says so. `self`: the item
 * that may be there without being a victim. */
static void clear_target(Judge *judge, const PlanOp *op, const char *path,
                         const Item *self)
{
    Item *there = item_at(judge, path);

    if (op->victim && (!there || there->inode != op->victim)) {
        fail(judge, "the victim is not there", op->inode);
    } else if (!there || there == self) {
        return;
    } else if (there->inode != op->victim) {
        fail(judge, "over something that is no victim", op->inode);
    } else if (there->inode->is_directory || op->inode->is_directory) {
        fail(judge, "a directory is replaced, or replaces", op->inode);
    } else if (!is_to_go(there->inode)) {
        fail(judge, "the victim was to stay", there->inode);
    } else {
        g_ptr_array_remove(judge->items, there);
    }
}

static void run_stage(Judge *judge, const PlanOp *op)
{
    const Item *dir = item_of(judge, op->dir, false);
    const Inode *near = op->inode->parent;

    while (near && is_new(near)) {
        near = near->parent;
    }
    if (!dir || near != op->dir || is_to_go(op->dir)) {
        fail(judge, "staged in the wrong directory", op->inode);
    } else if (!has_new_contents(op->inode) ||
               item_of(judge, op->inode, true)) {
        fail(judge, "staged without need", op->inode);
    } else {
        g_autofree char *name = g_strdup_printf("#%u", judge->n_temps++);
        Item *item = add_item(judge, op->inode, join(dir->path, name));

        item->is_temp = item->is_staged = true;
    }
}

static void run_mkdir(Judge *judge, const PlanOp *op)
{
    char *path = target_path(judge, op);

    if (path && (item_at(judge, path) || item_of(judge, op->inode, false) ||
                 !op->inode->is_directory)) {
        fail(judge, "a directory that cannot be made", op->inode);
    }
    if (path) {
        add_item(judge, op->inode, path);
    }
}

static void run_aside(Judge *judge, const PlanOp *op)
{
    Item *item = item_of(judge, op->inode, false);
    const Item *dir = item_of(judge, op->dir, false);
    g_autofree char *name = g_strdup_printf("#%u", judge->n_temps++);

    if (!item || !dir || item->is_temp || op->dir != op->inode->host_parent ||
        op->name) {
        fail(judge, "put aside from where it is not", op->inode);
        return;
    }
    g_autofree char *old = join(dir->path, op->inode->host_name);
    if (!g_str_equal(item->path, old)) {
        fail(judge, "put aside after it was moved", op->inode);
    }
    move_item(judge, item, join(dir->path, name));
    item->is_temp = true;
}

static void run_rename(Judge *judge, const PlanOp *op)
{
    char *path = target_path(judge, op);
    Item *item = item_of(judge, op->inode, false);

    if (!path) {
        return;
    }
    if (!item || g_str_equal(item->path, path) ||
        is_within(path, item->path)) {
        fail(judge, "a rename that cannot be", op->inode);
        g_free(path);
        return;
    }
    clear_target(judge, op, path, NULL);
    move_item(judge, item, path);
    item->is_temp = false;
}

static void run_place(Judge *judge, const PlanOp *op)
{
    char *path = target_path(judge, op);
    Item *staged = item_of(judge, op->inode, true);
    Item *old = item_of(judge, op->inode, false);

    if (!path) {
        return;
    }
    if (!staged || (old && !g_str_equal(old->path, path))) {
        fail(judge, "a file that cannot be placed", op->inode);
        g_free(path);
        return;
    }
    clear_target(judge, op, path, old);
    if (old) {
        g_ptr_array_remove(judge->items, old);
    }
    move_item(judge, staged, path);
    staged->is_temp = false;
}

static void run_write(Judge *judge, const PlanOp *op)
{
    Item *item = item_of(judge, op->inode, false);

    if (!item || item->is_written || op->inode->is_directory ||
        ((op->inode->host_entry.attr & FAT_ATTR_READ_ONLY) &&
         !item->has_attributes)) {
        fail(judge, "a file that cannot be written", op->inode);
    } else {
        item->is_written = true;
    }
}

static void run_remove(Judge *judge, const PlanOp *op)
{
    Item *item = item_of(judge, op->inode, false);

    if (!item || !is_to_go(op->inode) ||
        op->inode->is_directory != (op->kind == PLAN_RMDIR)) {
        fail(judge, "it cannot be removed", op->inode);
        return;
    }
    for (guint i = 0; i < judge->items->len; i++) {
        const Item *below = judge->items->pdata[i];

        if (is_within(below->path, item->path)) {
            fail(judge, "a directory is removed that is not empty", op->inode);
        }
    }
    g_ptr_array_remove(judge->items, item);
}

/* In the last phase: files first, and no directory after one above it. */
static void check_last_phase(Judge *judge, Item *item)
{
    judge->seen_directories |= item->inode->is_directory;
    if (judge->seen_directories && !item->inode->is_directory) {
        fail(judge, "a file after directories", item->inode);
    }
    for (guint i = 0; i < judge->closed->len; i++) {
        const Item *above = judge->closed->pdata[i];

        if (is_within(item->path, above->path)) {
            fail(judge, "after a directory above it", item->inode);
        }
    }
    if (item->inode->is_directory) {
        g_ptr_array_add(judge->closed, item);
    }
}

static void run_look(Judge *judge, const PlanOp *op)
{
    Item *item = item_of(judge, op->inode, false);
    bool is_times = op->kind == PLAN_TIMES;

    if (!item || item->has_times || (!is_times && item->has_attributes)) {
        fail(judge, "attributes or times out of turn", op->inode);
        return;
    }
    if (judge->phase == 4) {
        check_last_phase(judge, item);
    }
    item->has_times |= is_times;
    item->has_attributes |= !is_times;
}

static const struct {
    int phase;
    void (*run)(Judge *judge, const PlanOp *op);
} kinds[] = {
    [PLAN_STAGE] = { 0, run_stage },     [PLAN_MKDIR] = { 1, run_mkdir },
    [PLAN_ASIDE] = { 1, run_aside },     [PLAN_RENAME] = { 1, run_rename },
    [PLAN_PLACE] = { 1, run_place },     [PLAN_WRITE] = { 2, run_write },
    [PLAN_UNLINK] = { 3, run_remove },   [PLAN_RMDIR] = { 3, run_remove },
    [PLAN_ATTRIBUTES] = { 4, run_look }, [PLAN_TIMES] = { 4, run_look },
};

static void run_op(Judge *judge, const PlanOp *op, const PlanOp *next)
{
    int phase = kinds[op->kind].phase;

    if (op->kind == PLAN_ATTRIBUTES && next && next->kind == PLAN_WRITE &&
        next->inode == op->inode) {
        phase = kinds[PLAN_WRITE].phase;
    }
    if (phase < judge->phase) {
        fail(judge, "in a phase that is over", op->inode);
    }
    judge->phase = phase;
    if (!is_changed(op->inode)) {
        fail(judge, "one that is held or not changed", op->inode);
    }
    kinds[op->kind].run(judge, op);
}

/* ---- The end ---- */

static bool attributes_differ(const Inode *inode)
{
    unsigned usual = inode->is_directory ? 0 : FAT_ATTR_ARCHIVE;
    unsigned has = is_new(inode) ? usual : inode->host_entry.attr;

    return ((inode->entry.attr ^ has) & 0x27) != 0;
}

static bool times_differ(const Inode *inode)
{
    return is_new(inode) ||
           (!inode->is_directory && inode->change->content != CONTENT_SAME) ||
           memcmp(&inode->entry.mtime, &inode->host_entry.mtime, 4) != 0;
}

static void check_end_of(Judge *judge, const Inode *inode)
{
    g_autofree char *path = expected_path(judge, inode);
    const Item *item = item_of(judge, inode, false);
    bool counts = is_changed(inode) && !is_to_go(inode);

    if (!path != !item || item_of(judge, inode, true)) {
        fail(judge, item ? "left over" : "lost", inode);
    } else if (item && (!g_str_equal(item->path, path) || item->is_temp)) {
        fail(judge, "in the wrong place", inode);
    } else if (item &&
               (item->is_staged != has_new_contents(inode) ||
                item->is_written !=
                    (counts && !inode->is_directory && !item->is_staged &&
                     inode->change->content == CONTENT_RANGES))) {
        fail(judge, "wrong contents", inode);
    } else if (item &&
               (item->has_attributes != (counts && attributes_differ(inode)) ||
                item->has_times != (counts && times_differ(inode)))) {
        fail(judge, "wrong attributes or times", inode);
    }
}

char *judge_plan(const PlanWorld *world, const Plan *plan)
{
    Judge judge = { .world = world };
    const GArray *ops = plan->ops;

    judge_init(&judge);
    for (guint i = 0; i < ops->len && !judge.error; i++) {
        run_op(&judge, &g_array_index(ops, PlanOp, i),
               i + 1 < ops->len ? &g_array_index(ops, PlanOp, i + 1) : NULL);
    }
    for (guint i = 0; i < world->inodes->len && !judge.error; i++) {
        check_end_of(&judge, world->inodes->pdata[i]);
    }
    g_ptr_array_unref(judge.closed);
    g_ptr_array_unref(judge.items);
    return judge.error;
}

/* ---- What was held ---- */

static bool is_held(const Inode *inode)
{
    return inode->change && inode->change->held != 0;
}

/* Whether `inode` is `ancestor` or below it on the host. */
static bool is_below_on_host(const Inode *inode, const Inode *ancestor)
{
    while (inode && inode != ancestor) {
        inode = inode->host_parent;
    }
    return inode != NULL;
}

/* Whether a directory that is held was to leave `inode` for elsewhere: then it
 * may be that the inode would have come to be below itself. */
static bool has_one_that_stays(const PlanWorld *world, const Inode *inode)
{
    for (guint i = 0; i < world->changes->len; i++) {
        const Inode *other = world->changes->pdata[i];

        if (other != inode && other->is_directory && is_held(other) &&
            !is_new(other) && other->parent != other->host_parent &&
            is_below_on_host(other, inode)) {
            return inode->parent != inode->host_parent;
        }
    }
    return false;
}

static bool has_cause(const PlanWorld *world, const Inode *inode)
{
    unsigned why = inode->change->held;
    bool is_move = inode->change->target_name != NULL;

    if (why == INODE_PARENT_HELD) {
        return is_move && ((is_held(inode->parent) && is_new(inode->parent)) ||
                           has_one_that_stays(world, inode));
    }
    for (guint i = 0; i < world->changes->len; i++) {
        const Inode *other = world->changes->pdata[i];

        if (!is_held(other) || is_new(other) || other == inode) {
            continue;
        }
        if (why == INODE_NOT_EMPTY && !is_move &&
            other->host_parent == inode) {
            return true;
        }
        if (why == INODE_NAME_TAKEN && is_move &&
            other->host_parent == inode->parent &&
            g_str_equal(other->host_name, inode->change->target_name)) {
            return true;
        }
    }
    return false;
}

char *judge_held(const PlanWorld *world)
{
    for (guint i = 0; i < world->changes->len; i++) {
        const Inode *inode = world->changes->pdata[i];
        unsigned before = g_array_index(world->held, unsigned, i);

        if (before ? inode->change->held != before
                   : is_held(inode) && !has_cause(world, inode)) {
            return g_strdup_printf("number %u is held (0x%x) without cause", i,
                                   inode->change->held);
        }
    }
    return NULL;
}
