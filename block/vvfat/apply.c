/* SPDX-License-Identifier: MIT */
/*
 * Running a plan: its operations in their order, what is held back and why,
 * and when things are made durable.
 *
 *   stage   temporary files, then a sync of them: from here on every new byte
 *           is on the disk under some name
 *   run     names, ranges, removals, attributes; then a sync of all that was
 *           changed, files and directories
 *
 * Each operation finds out for itself what is there and what is left to do,
 * from the inode (where the file was, and its identity) and the change (what
 * was staged). So a plan whose run was cut off anywhere is run again from its
 * beginning, with the inodes as they are or as they were.
 */
#include "block/vvfat/apply.h"

#include <string.h>

#include "block/vvfat/apply-int.h"

/* ---- What came of it ---- */

void apply_event(Apply *apply, ApplyEventKind kind, const char *path,
                 const char *detail)
{
    if (apply->hooks.event) {
        apply->hooks.event(kind, path, detail, apply->hooks.opaque);
    }
}

void apply_event_beside(Apply *apply, const char *path, const char *name)
{
    g_autofree char *text = g_strdup_printf("the guest's version is '%s'",
                                            name);

    apply_event(apply, APPLY_CONFLICT, path, text);
}

void apply_hold(Apply *apply, Inode *inode, unsigned why)
{
    (void)apply;
    inode->change->held |= why;
}

void apply_hold_text(Apply *apply, Inode *inode, unsigned why, int error,
                     const char *path, const char *text)
{
    InodeChange *change = inode->change;

    change->held |= why;
    change->error = error;
    g_free(change->detail);
    change->detail = g_strdup(text);
    apply_event(apply, why & INODE_IO_ERROR ? APPLY_FAILED : APPLY_CONFLICT,
                path, text);
}

/* The host's own change: no failure of it. */
static void hold_lost(Apply *apply, Inode *inode)
{
    g_autofree char *path = inode_path(inode);

    apply_hold_text(apply, inode, INODE_CONFLICT, 0, path,
                    "what the guest did not write of it is gone from the "
                    "host");
}

void apply_fail(Apply *apply, Inode *inode, int error, const char *call,
                const char *path)
{
    if (error == -EIDRM) {
        hold_lost(apply, inode);
        return;
    }
    g_autofree char *text = g_strdup_printf("%s '%s': %s", call, path,
                                            g_strerror(-error));

    apply_hold_text(apply, inode, INODE_IO_ERROR, error, path, text);
}

bool apply_has_dir(Apply *apply, Inode *inode, const Inode *dir)
{
    if (!dir || !inode_is_on_host(dir)) {
        apply_hold(apply, inode, INODE_PARENT_HELD);
        return false;
    }
    return true;
}

/* A file that would have been replaced stays, and so does its change. */
static void hold_victim(const PlanOp *op)
{
    InodeChange *change = op->victim ? op->victim->change : NULL;
    const InodeChange *why = op->inode->change;

    if (!change || !why->held ||
        !apply_stands_at(op->victim, op->dir, op->name)) {
        return;
    }
    change->held |= why->held;
    change->error = why->error;
    g_free(change->detail);
    change->detail = g_strdup(why->detail);
}

void apply_lock(Apply *apply)
{
    apply->hooks.lock(apply->hooks.opaque);
}

void apply_unlock(Apply *apply)
{
    apply->hooks.unlock(apply->hooks.opaque);
}

/* ---- The steps ---- */

static void clear_source(gpointer source)
{
    g_free(((ApplySource *)source)->path);
}

Apply *apply_new(HostFs *fs, const ApplyOptions *options,
                 const ApplyHooks *hooks)
{
    Apply *apply = g_new0(Apply, 1);

    apply->fs = fs;
    apply->options = *options;
    apply->hooks = *hooks;
    apply->dirty = g_hash_table_new(NULL, NULL);
    apply->asides = g_array_new(FALSE, FALSE, sizeof(ApplyAside));
    apply->told_behind = g_hash_table_new_full(g_str_hash, g_str_equal, g_free,
                                               NULL);
    apply->leftovers = g_ptr_array_new_with_free_func(g_free);
    apply->sources = g_array_new(FALSE, FALSE, sizeof(ApplySource));
    g_array_set_clear_func(apply->sources, clear_source);
    apply->guest = g_malloc(APPLY_CHUNK);
    apply->host = g_malloc(APPLY_CHUNK);
    return apply;
}

void apply_free(Apply *apply)
{
    if (apply) {
        g_hash_table_destroy(apply->dirty);
        g_array_unref(apply->asides);
        g_hash_table_unref(apply->told_behind);
        g_ptr_array_unref(apply->leftovers);
        g_array_unref(apply->sources);
        g_free(apply->guest);
        g_free(apply->host);
        g_free(apply);
    }
}

static const PlanOp *op_at(const Plan *plan, guint i)
{
    return &g_array_index(plan->ops, PlanOp, i);
}

void apply_stage(Apply *apply, Plan *plan)
{
    g_autoptr(GHashTable) victims = g_hash_table_new(NULL, NULL);
    g_autoptr(GPtrArray) staged = g_ptr_array_new();

    apply->plan = plan;
    apply_sweep(apply); /* while directories are where they were */
    hostfs_batch(apply->fs, true);
    for (guint i = 0; i < plan->ops->len; i++) {
        const PlanOp *op = op_at(plan, i);

        if (op->kind == PLAN_PLACE && op->victim) {
            g_hash_table_insert(victims, op->inode, op->victim);
        }
    }
    for (guint i = 0; i < plan->ops->len; i++) {
        const PlanOp *op = op_at(plan, i);

        if (op->kind != PLAN_STAGE || op->inode->change->held) {
            continue;
        }
        apply_op_stage(apply, op, g_hash_table_lookup(victims, op->inode));
        if (op->inode->change->temp_name && !op->inode->change->held) {
            g_ptr_array_add(staged, op->inode);
        }
    }
    apply_sync_staged(apply, staged);
    hostfs_batch(apply->fs, false);
    apply->plan = NULL;
}

static void run_op(Apply *apply, const PlanOp *op)
{
    static void (*const run[])(Apply * apply, const PlanOp *op) = {
        [PLAN_MKDIR] = apply_op_mkdir,
        [PLAN_ASIDE] = apply_op_aside,
        [PLAN_RENAME] = apply_op_rename,
        [PLAN_PLACE] = apply_op_place,
        [PLAN_WRITE] = apply_op_write,
        [PLAN_UNLINK] = apply_op_unlink,
        [PLAN_RMDIR] = apply_op_rmdir,
        [PLAN_ATTRIBUTES] = apply_op_attributes,
        [PLAN_TIMES] = apply_op_times,
    };

    if (op->kind != PLAN_STAGE && !op->inode->change->held) {
        run[op->kind](apply, op);
    }
    hold_victim(op);
}

bool apply_forget_below_gone(Apply *apply, Inode *inode)
{
    InodeChange *change = inode->change;

    if (!inode_is_on_host(inode) || inode_is_reachable(inode)) {
        return false;
    }
    apply_lock(apply);
    apply_forget(apply, inode);
    apply_unlock(apply);
    if (change && change->target_name && !change->held) {
        apply_hold(apply, inode, INODE_PARENT_HELD);
    }
    return true;
}

int apply_run(Apply *apply, Plan *plan)
{
    int r;

    apply->plan = plan;
    hostfs_batch(apply->fs, true);
    for (guint i = 0; i < plan->ops->len; i++) {
        run_op(apply, op_at(plan, i));
    }
    apply_end_asides(apply);
    for (guint i = 0; i < plan->ops->len; i++) {
        const PlanOp *op = op_at(plan, i);

        apply_forget_below_gone(apply, op->inode);
        if (op->victim) {
            apply_forget_below_gone(apply, op->victim);
        }
    }
    apply->plan = NULL;
    r = apply_sync_dirty(apply);
    hostfs_batch(apply->fs, false);
    return r;
}

void apply_discard_staged(Apply *apply, GPtrArray *changes)
{
    bool is_unsynced = apply_is_unsynced(apply);

    for (guint i = 0; i < changes->len; i++) {
        Inode *inode = g_ptr_array_index(changes, i);

        if (inode->change && inode->change->held) {
            apply_drop_temp(apply, inode);
        }
    }
    /* A power cut is not to bring back what nobody knows the names of by then.
     * Where it does, it is in nobody's way. After a run that could not be
     * synced the next one begins with all of it. */
    if (!is_unsynced && apply_is_unsynced(apply)) {
        (void)!apply_sync_dirty(apply);
    }
}
