/* SPDX-License-Identifier: MIT */
#include "block/vvfat/commit.h"

#include <errno.h>

#include "block/vvfat/commit-int.h"

#define MOST_OVERTAKEN 3 /* times by the host, before that is a failure */

/* ---- For apply ---- */

static int hook_read(const Inode *inode, int64_t offset, int64_t bytes,
                     void *buf, void *opaque)
{
    return commit_read_file(opaque, inode, offset, bytes, buf);
}

static void hook_lock(void *opaque)
{
    overlay_lock(((Commit *)opaque)->config.overlay);
}

static void hook_unlock(void *opaque)
{
    overlay_unlock(((Commit *)opaque)->config.overlay);
}

static void hook_forget(Inode *inode, void *opaque)
{
    DataMap *map = ((Commit *)opaque)->config.map;

    /* Before the commit is over, nobody is to look for a file that is gone:
     * what the guest needs of it was saved, and the rest is free clusters. But
     * what waits, or is still to be there, had bytes that are lost now. */
    if (inode->change && !inode->change->held && !inode->change->target_name) {
        data_map_remove(map, inode);
    }
    data_map_forget(map, inode);
    if (inode->is_directory) {
        g_ptr_array_add(((Commit *)opaque)->gone, inode);
    }
}

void commit_retire(Commit *c, Inode *inode)
{
    apply_retire(c->apply, inode);
}

static void hook_moved(const Inode *inode, const char *from, const char *to,
                       void *opaque)
{
    Commit *c = opaque;

    c->links_moved |= linked_follow(guest_state_linked(c->config.state),
                                    &inode->host, from, to);
}

static void hook_event(ApplyEventKind kind, const char *path,
                       const char *detail, void *opaque)
{
    Commit *c = opaque;

    if (c->config.event) {
        c->config.event(kind, path, detail, c->config.opaque);
    }
}

Commit *commit_new(const CommitConfig *config)
{
    Commit *c = g_new0(Commit, 1);
    const BootInfo *boot = guest_state_boot(config->state);
    ApplyHooks hooks = {
        .read = hook_read,
        .lock = hook_lock,
        .unlock = hook_unlock,
        .forget = hook_forget,
        .event = hook_event,
        .opaque = c,
    };

    /* Nobody makes links as long as the volume is open. */
    if (!linked_is_empty(guest_state_linked(config->state))) {
        hooks.moved = hook_moved;
    }
    c->config = *config;
    c->removed = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    c->gone = g_ptr_array_new();
    c->cluster_size = boot->sectors_per_cluster * boot->bytes_per_sector;
    c->data_offset = config->volume_offset +
                     (int64_t)boot->data_start * boot->bytes_per_sector;
    c->apply = apply_new(config->fs, &config->apply, &hooks);
    return c;
}

void commit_free(Commit *c)
{
    if (c) {
        apply_free(c->apply);
        g_hash_table_unref(c->removed);
        g_ptr_array_unref(c->gone);
        g_free(c);
    }
}

int64_t commit_cluster_offset(const Commit *c, uint32_t cluster)
{
    return c->data_offset +
           (int64_t)(cluster - FAT_FIRST_CLUSTER) * c->cluster_size;
}

void commit_result_clear(CommitResult *result)
{
    g_free(result->suspended);
    g_free(result->words);
    *result = (CommitResult){ 0 };
}

/* ---- One commit ---- */

void commit_touch(int64_t offset, int64_t bytes, void *opaque)
{
    Commit *c = opaque;
    int64_t start = c->config.volume_offset;
    int64_t end = start + c->config.volume_bytes;

    if (c->config.touched) {
        c->config.touched(offset, bytes, c->config.opaque);
    }
    c->outside_touched |= offset < start || offset + bytes > end;
    bytes = MIN(offset + bytes, end) - MAX(offset, start);
    if (bytes > 0) {
        guest_state_touch(c->config.state, MAX(offset - start, 0), bytes);
    }
}

char *commit_check_suspended(Commit *c)
{
    char *reason = NULL;

    if (c->outside_touched && c->config.check_partition) {
        reason = c->config.check_partition(c->config.opaque);
        c->outside_touched = reason != NULL;
    }
    return reason ? reason : g_strdup(guest_state_suspended(c->config.state));
}

/* Judge all changes, and give those that are to be planned. What turns out to
 * be no change needs no host. */
GPtrArray *commit_judge_all(Commit *c)
{
    const GPtrArray *changes = guest_state_changes(c->config.state);
    GPtrArray *planned = g_ptr_array_new();

    for (guint i = 0; i < changes->len; i++) {
        Inode *inode = g_ptr_array_index(changes, i);

        commit_judge(c, inode);
    }
    commit_hold_predecessors(changes);
    for (guint i = 0; i < changes->len; i++) {
        Inode *inode = g_ptr_array_index(changes, i);

        if (inode->change->held || commit_differs(c, inode)) {
            g_ptr_array_add(planned, inode);
        }
    }
    return planned;
}

void commit_hold_unsaved(Commit *c, Inode *inode, int error, const char *what)
{
    InodeChange *change = inode->change;

    g_free(change->detail);
    if (error == -EIDRM) {
        g_autofree char *path = inode_path(inode);

        change->held |= INODE_CONFLICT;
        change->detail = g_strdup_printf("%s of its old contents is gone from "
                                         "the host",
                                         what);
        hook_event(APPLY_CONFLICT, path, change->detail, c);
        return;
    }
    change->held |= INODE_IO_ERROR;
    change->error = error;
    change->detail = g_strdup_printf(
        "%s of its old contents could not be kept "
        "in the overlay %s: %s",
        what, overlay_place(c->config.overlay), g_strerror(-error));
}

/* What the guest still needs of the bytes that are about to be changed. */
static void save_doomed(Commit *c, GPtrArray *planned)
{
    for (guint i = 0; i < planned->len; i++) {
        Inode *inode = g_ptr_array_index(planned, i);
        int ret = 0;

        if (inode->change->held) {
            continue;
        }
        if (!commit_doomed(c, inode, inode, commit_save_run, &ret)) {
            commit_hold_unsaved(c, inode, ret, "what the guest still needs");
        } else {
            commit_save_linked(c, inode);
        }
    }
}

/* The host could not make durable what was done: nothing leaves the overlay,
 * and the next commit does it again. */
static void hold_all(Commit *c, int error, const char *detail)
{
    const GPtrArray *changes = guest_state_changes(c->config.state);

    for (guint i = 0; i < changes->len; i++) {
        InodeChange *change = ((Inode *)g_ptr_array_index(changes, i))->change;

        if (!change->held) {
            change->held |= INODE_IO_ERROR;
            change->error = error;
            if (detail) {
                g_free(change->detail);
                change->detail = g_strdup(detail);
            }
        }
    }
}

/* The host side of an inode that the plan is not about has changed. */
static void tell_lost(Commit *c, Inode *inode)
{
    if (c->config.lost) {
        c->config.lost(inode, c->config.opaque);
    }
}

/* What the guest has in a directory that is gone is new, from now on. */
static void forget_children(Commit *c, const Inode *dir)
{
    for (uint32_t i = 0; i < dir->n_children; i++) {
        Inode *child = dir->children[i];

        if (apply_forget_below_gone(c->apply, child)) {
            guest_state_change(c->config.state, child);
            child->change->held |= INODE_PARENT_HELD;
            tell_lost(c, child);
        }
    }
}

/* Apply knows the inodes of the plan alone. Others that were on the host below
 * what is gone wait, or are as they were, below what the guest has moved. */
static void forget_below_gone(Commit *c)
{
    const GPtrArray *changes = guest_state_changes(c->config.state);

    for (guint i = 0; c->gone->len && i < changes->len; i++) {
        Inode *inode = g_ptr_array_index(changes, i);

        if (apply_forget_below_gone(c->apply, inode)) {
            tell_lost(c, inode);
        }
    }
    /* Directories that are forgotten come to the end of the list. */
    for (guint i = 0; i < c->gone->len; i++) {
        forget_children(c, g_ptr_array_index(c->gone, i));
    }
    g_ptr_array_set_size(c->gone, 0);
}

/* After CommitConfig.begin or .staged. */
static int recorded(Commit *c, int ret)
{
    g_autofree char *detail = NULL;

    if (ret == -EFBIG) {
        detail = g_strdup_printf(
            "these are more changes than one commit can record in the "
            "overlay %s. The disk shows all of them: copy its files "
            "elsewhere, or remove some on it, and commit more often",
            overlay_place(c->config.overlay));
    } else if (ret < 0) {
        detail = g_strdup_printf("what was to be done could not be recorded "
                                 "in the overlay %s: %s",
                                 overlay_place(c->config.overlay),
                                 g_strerror(-ret));
    }
    if (detail) {
        hold_all(c, ret, detail);
    }
    return ret;
}

static int run_ops(Commit *c, Plan *plan)
{
    bool is_kept = c->config.begin && plan->ops->len;
    int ret = apply_resync(c->apply);

    if (ret == 0 && is_kept) {
        apply_choose_names(plan);
        ret = recorded(c, c->config.begin(plan, c->config.opaque));
    }
    if (ret == 0) {
        apply_stage(c->apply, plan);
        ret = is_kept ? recorded(c, c->config.staged(plan, c->config.opaque))
                      : 0;
    }
    return ret < 0 ? ret : apply_run(c->apply, plan);
}

static void run_plan(Commit *c, CommitResult *result)
{
    g_autoptr(GPtrArray) planned = commit_judge_all(c);
    g_autoptr(Plan) plan = NULL;
    int failed;

    save_doomed(c, planned);
    plan = plan_new(planned);
    result->operations = plan->ops->len;
    failed = run_ops(c, plan);
    forget_below_gone(c);
    if (failed) {
        g_autofree char *detail = g_strdup_printf(
            "the directory could not be synced: %s", g_strerror(-failed));

        hold_all(c, failed, detail);
        result->failed = true;
        c->error = failed;
    }
    commit_tell_links(c);
    apply_discard_staged(c->apply, planned);
}

/* What was done leaves overlay and list of changes. False: nothing may leave
 * the child, since what is kept of the volume does not say so. */
static bool finish(Commit *c, CommitResult *result)
{
    int ret;

    commit_finish(c);
    if (apply_is_unsynced(c->apply)) {
        return false; /* all is held, and the plan goes on with the next */
    }
    ret = c->config.done ? c->config.done(c->config.opaque) : 0;
    commit_settle(c);
    if (ret < 0) {
        result->failed = true;
        c->error = ret;
    }
    return ret == 0;
}

static void count_held(Commit *c, CommitResult *result)
{
    const GPtrArray *changes = guest_state_changes(c->config.state);

    result->held = changes->len;
    for (guint i = 0; i < changes->len; i++) {
        const Inode *inode = g_ptr_array_index(changes, i);

        result->failed |= (inode->change->held & INODE_IO_ERROR) ||
                          (inode_is_shut_out(inode) &&
                           !c->config.may_hold_protected);
    }
}

/* Nothing is committed: what was written is made durable elsewhere. */
static void keep_suspended(Commit *c, CommitResult *result)
{
    if (c->config.suspended) {
        result->error = c->config.suspended(c->config.opaque, &result->words);
        result->failed = result->error < 0;
    }
}

static void tell_complete(Commit *c, const CommitResult *result)
{
    if (c->config.complete && !result->suspended && !result->failed &&
        result->held == 0) {
        c->config.complete(c->config.opaque);
    }
}

static int run_once(Commit *c, bool closing, CommitResult *result)
{
    bool may_trim = true;
    int ret;

    commit_result_clear(result);
    c->error = 0;
    overlay_freeze(c->config.overlay, commit_touch, c);
    ret = guest_state_update(c->config.state, closing);
    if (c->config.updated) {
        overlay_lock(c->config.overlay);
        c->config.updated(c->config.opaque);
        overlay_unlock(c->config.overlay);
    }
    result->suspended = commit_check_suspended(c);
    if (!result->suspended) {
        run_plan(c, result);
        may_trim = finish(c, result);
        result->error = c->error;
    } else if (ret == 0) {
        keep_suspended(c, result);
    }
    count_held(c, result);
    if (ret == 0) {
        tell_complete(c, result);
    }
    overlay_thaw(c->config.overlay);
    if (may_trim) {
        overlay_trim(c->config.overlay);
    }
    return ret;
}

/* A directory of the guest's, and those above it. */
static void make_again(Commit *c, Inode *dir)
{
    if (!dir || !dir->host_parent || dir->is_linked_to) {
        return;
    }
    make_again(c, dir->host_parent);
    if (apply_make_again(c->apply, dir)) {
        guest_state_change(c->config.state, dir);
        tell_lost(c, dir);
    }
}

/* The host may have taken something away after it was looked at, or a directory
 * at any time, which nobody looks at. Who looks again finds a file gone, and
 * knows what to do; directories that are needed are made again here. False:
 * there is nothing to run again for. */
static bool prepare_again(Commit *c)
{
    const GPtrArray *changes = guest_state_changes(c->config.state);
    guint n = changes->len; /* directories come behind them */
    bool found = false;

    for (guint i = 0; i < n; i++) {
        const Inode *inode = g_ptr_array_index(changes, i);

        if (inode->change->held & INODE_IO_ERROR &&
            apply_is_gone(inode->change->error)) {
            make_again(c, inode->parent);
            found = true;
        }
    }
    return found;
}

int commit_run(Commit *c, bool closing, CommitResult *result)
{
    int ret = run_once(c, closing, result);

    for (int i = 0; i < MOST_OVERTAKEN && ret == 0 && prepare_again(c); i++) {
        ret = run_once(c, closing, result);
    }
    return ret;
}
