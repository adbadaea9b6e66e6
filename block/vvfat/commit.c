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
     * what the guest needs of it was saved, and the rest is free clusters. */
    if (inode->change && !inode->change->target_name) {
        data_map_remove(map, inode);
    }
    data_map_forget(map, inode);
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

static bool save_run(Commit *c, Inode *inode, ClusterRun run, void *opaque)
{
    int *ret = opaque;

    (void)inode;
    *ret = overlay_save(c->config.overlay, commit_cluster_offset(c, run.first),
                        (int64_t)run.count * c->cluster_size);
    return *ret == 0;
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
        if (!commit_doomed(c, inode, inode, save_run, &ret)) {
            inode->change->held |= INODE_IO_ERROR;
            inode->change->error = ret;
            inode->change->detail = g_strdup_printf(
                "what the guest still needs of its old contents could not be "
                "kept in the overlay %s: %s",
                overlay_place(c->config.overlay), g_strerror(-ret));
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

/* After CommitConfig.begin or .staged. */
static int recorded(Commit *c, int ret)
{
    g_autofree char *detail = NULL;

    if (ret < 0) {
        detail = g_strdup_printf("what was to be done could not be recorded "
                                 "in the overlay %s: %s",
                                 overlay_place(c->config.overlay),
                                 g_strerror(-ret));
        hold_all(c, ret, detail);
    }
    return ret;
}

static int run_ops(Commit *c, Plan *plan)
{
    bool is_kept = c->config.begin && plan->ops->len;
    int ret = is_kept ? recorded(c, c->config.begin(plan, c->config.opaque))
                      : 0;

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
    if (failed) {
        hold_all(c, failed, NULL);
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
        const InodeChange *change =
            ((Inode *)g_ptr_array_index(changes, i))->change;

        result->failed |= (change->held & INODE_IO_ERROR) != 0;
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

/* Whether the host took something away after it was looked at. Who looks again
 * finds it gone, and knows what to do. */
static bool was_overtaken(const Commit *c)
{
    const GPtrArray *changes = guest_state_changes(c->config.state);

    for (guint i = 0; i < changes->len; i++) {
        const InodeChange *change =
            ((Inode *)g_ptr_array_index(changes, i))->change;

        if (change->held & INODE_IO_ERROR && apply_is_gone(change->error)) {
            return true;
        }
    }
    return false;
}

int commit_run(Commit *c, bool closing, CommitResult *result)
{
    int ret = run_once(c, closing, result);

    for (int i = 0; i < MOST_OVERTAKEN && ret == 0 && was_overtaken(c); i++) {
        ret = run_once(c, closing, result);
    }
    return ret;
}
