/* SPDX-License-Identifier: MIT */
/*
 * Giving a name to what is on the host already: a file or directory that the
 * guest renamed, or a temporary file.
 *
 * A name that is taken is only ever replaced where the plan says so and what
 * is there is what it was: everything else is renamed without replacing, and
 * goes beside what has the name.
 */
#include <errno.h>
#include <string.h>

#include "block/vvfat/apply-int.h"

/* ---- One rename ---- */

/* The file from its temporary name is the inode's host file now. */
static void take_staged(Apply *apply, Inode *inode)
{
    InodeChange *change = inode->change;
    int64_t ns = change->staged.mtime_ns;
    int64_t below = ((ns % NS_A_SECOND) + NS_A_SECOND) % NS_A_SECOND;
    HostStat st = {
        .mtime = (ns - below) / NS_A_SECOND,
        .mtime_ns = (uint32_t)below,
    };

    if (inode_is_on_host(inode)) {
        apply_forget(apply, inode);
    }
    inode->host = change->staged;
    inode->is_sparse = change->staged_sparse;
    apply_note_times(apply, inode, &st);
    g_clear_pointer(&change->temp_name, g_free);
    change->temp_dir = NULL;
    change->content = CONTENT_SAME;
    change->is_torn = false;
    apply_set_dirty(apply, inode);
}

/* The inode has the name: say so in it. Between lock and unlock. */
static void moved(Apply *apply, const ApplyMove *m, const char *name)
{
    if (inode_is_on_host(m->inode)) {
        apply_set_dirty(apply, m->inode->host_parent);
    }
    if (m->victim && m->victim != m->inode &&
        apply_stands_at(m->victim, m->dir, m->name)) {
        apply_forget(apply, m->victim); /* replaced, or not the guest's */
    }
    if (m->is_placing) {
        take_staged(apply, m->inode);
    }
    apply_settle(apply, m->inode, m->dir, name);
    apply_set_dirty(apply, m->dir);
}

static int rename_to(Apply *apply, const ApplyMove *m, const char *name,
                     unsigned flags)
{
    g_autofree char *to = inode_host_path_at(m->dir, name);
    int r;

    apply_lock(apply);
    r = apply->fs->ops->rename(apply->fs, m->from, to, flags);
    if (r == 0) {
        moved(apply, m, name);
    }
    apply_unlock(apply);
    return r;
}

/* The victim has a temporary name. 0 if it is what it was, or gone; -EEXIST if
 * the host has changed it; the error when it cannot be looked at. */
static int judge_old(Apply *apply, const ApplyMove *m)
{
    HostStat st;
    int r = apply->fs->ops->stat(apply->fs, m->from, &st);

    if (r < 0) {
        return apply_is_gone(r) ? 0 : r;
    }
    return apply_judge(m->victim, &st) == LOOK_SAME ? 0 : -EEXIST;
}

bool apply_remove_old(Apply *apply, Inode *inode, const char *old)
{
    int r = apply->fs->ops->unlink(apply->fs, old);

    if (r < 0 && !apply_is_gone(r)) {
        apply_fail(apply, inode, r, "unlink", old);
        return false;
    }
    return true;
}

/* What leads to the new name, as far as it may not be durable. */
static int sync_way(Apply *apply, const Inode *inode)
{
    int r = 0;

    for (Inode *dir = inode->host_parent; r == 0 && dir;
         dir = dir->host_parent) {
        g_autofree char *path = NULL;

        if (g_hash_table_contains(apply->dirty, dir)) {
            path = inode_host_path(dir);
            r = apply->fs->ops->dir_sync(apply->fs, path);
        }
    }
    return r;
}

static void remove_later(Apply *apply, const char *path)
{
    HostStat st;

    if (apply->fs->ops->stat(apply->fs, path, &st) == 0) {
        ApplySource source = { g_strdup(path), apply_host_id(&st) };

        g_array_append_val(apply->sources, source);
    }
}

void apply_remove_source(Apply *apply, Inode *inode, const char *path)
{
    int r = sync_way(apply, inode);

    if (r < 0) {
        apply_fail(apply, inode, r, "sync the new name of", path);
    }
    if (r < 0 || !apply_remove_old(apply, inode, path)) {
        remove_later(apply, path);
    }
}

char *apply_aside_path(const Inode *dir)
{
    g_autofree char *name = g_strdup_printf(APPLY_ASIDE_PREFIX "%08x%08x",
                                            g_random_int(), g_random_int());

    return inode_host_path_at(dir, name);
}

/* What has the temporary name is the host's, and cannot have its own back: no
 * later run is to take it for a temporary file. */
static void keep_old(Apply *apply, const ApplyMove *m, const char *to)
{
    g_autofree char *aside = apply_aside_path(m->dir);
    int r = apply->fs->ops->rename(apply->fs, m->from, aside,
                                   HOST_RENAME_NOREPLACE);
    g_autofree char *text =
        g_strdup_printf("it was changed on the host, whose version is '%s'",
                        r == 0 ? aside : m->from);

    apply_event(apply, APPLY_CONFLICT, to, text);
}

/*
 * A temporary file and its victim swap their names, and the victim is looked
 * at where nobody else looks for it, before it goes: what the host has done to
 * it in the last moment is not lost. -EEXIST: it did something, and has its
 * file back; -ENOTSUP: the file system cannot.
 */
static int exchange_with(Apply *apply, const ApplyMove *m)
{
    const HostFsOps *ops = apply->fs->ops;
    g_autofree char *to = inode_host_path_at(m->dir, m->name);
    int judged = 0, r;
    bool back = false;

    apply_lock(apply);
    r = ops->rename(apply->fs, m->from, to, HOST_RENAME_EXCHANGE);
    if (r == 0) {
        judged = judge_old(apply, m);
        back = judged < 0 &&
               ops->rename(apply->fs, m->from, to, HOST_RENAME_EXCHANGE) == 0;
    }
    if (r == 0 && !back) {
        moved(apply, m, m->name);
    }
    apply_unlock(apply);
    if (r < 0 || back) {
        return r < 0 ? r : judged;
    }
    /* Where it can neither be looked at nor go back, the last look holds. */
    if (judged == -EEXIST) {
        keep_old(apply, m, to);
    } else if (!apply_remove_old(apply, m->inode, m->from)) {
        apply_remove_made(apply, m->from);
    }
    return 0;
}

/* In the place of the victim, which was as it should be a moment ago. */
static int replace(Apply *apply, const ApplyMove *m)
{
    int r = m->is_placing && !m->victim->link_path && !m->victim->is_directory
                ? exchange_with(apply, m)
                : -ENOTSUP;

    if (r == -ENOENT) { /* the host has removed one of them */
        return rename_to(apply, m, m->name, HOST_RENAME_NOREPLACE);
    }
    return r == -ENOTSUP ? rename_to(apply, m, m->name, 0) : r;
}

/*
 * `from` and the name are links of one file, or one name in different case
 * where the host's file system does not tell them apart. Taking `from` away
 * first and looking again is right for both.
 */
static int merge_links(Apply *apply, const ApplyMove *m)
{
    const HostFsOps *ops = apply->fs->ops;
    g_autofree char *to = inode_host_path_at(m->dir, m->name);
    g_autofree char *between = apply_aside_path(m->dir);
    int r;

    apply_lock(apply);
    r = ops->rename(apply->fs, m->from, between, HOST_RENAME_NOREPLACE);
    if (r == 0) {
        r = ops->rename(apply->fs, between, to, HOST_RENAME_NOREPLACE);
        if (r == -EEXIST) {
            r = ops->unlink(apply->fs, between);
        }
        if (r < 0) {
            int back = ops->rename(apply->fs, between, m->from,
                                   HOST_RENAME_NOREPLACE);

            (void)back; /* its other name is still there */
        }
    }
    if (r == 0) {
        moved(apply, m, m->name);
    }
    apply_unlock(apply);
    return r;
}

/* ---- What has the name ---- */

/* Something that was not to be replaced has the name. 0: done, -EEXIST: go
 * beside it, -EBUSY: held. */
static int name_taken(Apply *apply, const ApplyMove *m)
{
    g_autofree char *to = inode_host_path_at(m->dir, m->name);
    const InodeHostId *id = m->is_placing ? &m->inode->change->staged
                                          : &m->inode->host;
    HostStat st;
    int r = apply->fs->ops->stat(apply->fs, to, &st);

    if (r < 0) {
        return apply_is_gone(r) ? -EEXIST : r;
    }
    if (apply_same_file(&st, id)) {
        return st.kind == HOST_DIRECTORY || st.nlink < 2
                   ? rename_to(apply, m, m->name, 0)
                   : merge_links(apply, m);
    }
    if (apply_is_planned_at(apply, m->inode, m->dir, m->name)) {
        apply_hold(apply, m->inode, INODE_NAME_TAKEN);
        return -EBUSY;
    }
    return -EEXIST;
}

static int move_beside(Apply *apply, const ApplyMove *m)
{
    g_autofree char *path = inode_host_path_at(m->dir, m->name);
    int r = -EEXIST;

    for (unsigned n = 1; r == -EEXIST && n <= APPLY_CONFLICT_NAMES; n++) {
        g_autofree char *name = apply_conflict_name(m->name, n,
                                                    m->inode->is_directory);

        r = rename_to(apply, m, name, HOST_RENAME_NOREPLACE);
        if (r == 0) {
            apply_event_beside(apply, path, name);
        }
    }
    return r;
}

/* ---- Moving ---- */

static bool may_replace(const ApplyMove *m)
{
    const InodeChange *change = m->victim->change;

    return m->victim == m->inode ||
           (change && !change->target_name && !change->held);
}

/* To the name itself. As name_taken(). */
static int move_there(Apply *apply, const ApplyMove *m)
{
    int r;

    if (m->victim && apply_stands_at(m->victim, m->dir, m->name)) {
        int look = apply_look(apply, m->victim, NULL);

        if (look < 0) {
            return look;
        }
        if (look == LOOK_CHANGED || look == LOOK_OTHER) {
            return -EEXIST;
        }
        if (look == LOOK_SAME && !may_replace(m)) {
            apply_hold(apply, m->inode, INODE_NAME_TAKEN);
            return -EBUSY;
        }
        if (look == LOOK_SAME && !m->is_placing &&
            m->victim->host.dev == m->inode->host.dev &&
            m->victim->host.ino == m->inode->host.ino) {
            return merge_links(apply, m);
        }
        if (look == LOOK_SAME) {
            return replace(apply, m);
        }
    }
    r = rename_to(apply, m, m->name, HOST_RENAME_NOREPLACE);
    return r == -EEXIST ? name_taken(apply, m) : r;
}

bool apply_move(Apply *apply, const ApplyMove *m, bool *exdev)
{
    int r = m->is_beside ? -EEXIST : move_there(apply, m);

    if (r == -EEXIST) {
        r = move_beside(apply, m);
    }
    if (r == -EXDEV && exdev) {
        *exdev = true;
    } else if (r < 0 && !(r == -EBUSY && m->inode->change->held)) {
        apply_fail(apply, m->inode, r, "rename", m->from);
    }
    return r == 0;
}
