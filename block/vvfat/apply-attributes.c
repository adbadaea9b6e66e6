/* SPDX-License-Identifier: MIT */
/*
 * Attributes and times. What the host cannot keep is no reason to hold a
 * change back for ever: it is told once, and the change is done.
 */
#include <errno.h>

#include "block/vvfat/apply-int.h"
#include "block/vvfat/dirent.h"

/* Kept in the extended attribute; read-only is the host's permission. */
#define DOS_ATTRIBUTES (FAT_ATTR_HIDDEN | FAT_ATTR_SYSTEM | FAT_ATTR_ARCHIVE)

/* Whether the call failed because of what the host is, not of what happened.
 * It is told once. */
static bool is_not_kept(Apply *apply, int r, const char *path)
{
    if (r == -ENOTSUP || r == -EINVAL) {
        if (!apply->told_no_attributes) {
            apply_event(apply, APPLY_NOT_KEPT, path,
                        "the file system does not keep hidden, system and "
                        "archive attributes");
        }
        apply->told_no_attributes = true;
        return true;
    }
    if (r == -EPERM) {
        if (!apply->told_not_ours) {
            apply_event(apply, APPLY_NOT_KEPT, path,
                        "times and permissions of files of other users stay "
                        "as they are");
        }
        apply->told_not_ours = true;
        return true;
    }
    return false;
}

/* The file of the inode, which must still be it. False: the inode is held. */
static bool find(Apply *apply, Inode *inode, const char *path, HostStat *st,
                 int *look)
{
    *look = apply_look(apply, inode, st);
    if (*look < 0) {
        apply_fail(apply, inode, *look, "stat", path);
        return false;
    }
    if (*look == LOOK_GONE || *look == LOOK_OTHER) {
        apply_hold_text(apply, inode, INODE_CONFLICT, 0, path,
                        "the file is gone from the host");
        return false;
    }
    return true;
}

/* ---- ATTRIBUTES ---- */

/* An extended attribute takes permission to write. */
static int set_dos(Apply *apply, const char *path, const HostStat *st,
                   unsigned attr)
{
    const HostFsOps *ops = apply->fs->ops;
    int r = ops->set_dos_attrib(apply->fs, path, attr);
    int back;

    if (r != -EACCES || !st->read_only ||
        ops->set_mode(apply->fs, path, st->mode | 0200) < 0) {
        return r;
    }
    r = ops->set_dos_attrib(apply->fs, path, attr);
    back = ops->set_mode(apply->fs, path, st->mode);
    return r < 0 ? r : back;
}

static int apply_dos(Apply *apply, const Inode *inode, const char *path,
                     const HostStat *st)
{
    unsigned plain = inode->is_directory ? 0 : FAT_ATTR_ARCHIVE;
    unsigned mask = DOS_ATTRIBUTES |
                    (inode->is_directory ? 0u : FAT_ATTR_READ_ONLY);
    unsigned attr = inode->entry.attr & mask;
    unsigned now = 0;
    int r = apply->fs->ops->get_dos_attrib(apply->fs, path, &now);

    if (r == -ENODATA || r == -ENOTSUP) {
        if ((attr & DOS_ATTRIBUTES) == plain) {
            return 0; /* as a file without the attribute has it */
        }
        now = ~attr;
        r = r == -ENODATA ? 0 : r;
    }
    if (r < 0 || (now & mask) == attr) {
        return r;
    }
    return set_dos(apply, path, st,
                   attr | (inode->is_directory ? FAT_ATTR_DIRECTORY : 0u));
}

void apply_op_attributes(Apply *apply, const PlanOp *op)
{
    Inode *inode = op->inode;
    bool read_only = inode->entry.attr & FAT_ATTR_READ_ONLY;
    g_autofree char *path = inode_host_path(inode);
    const char *call = "set attributes of";
    HostStat st;
    int look, r;

    if (!path) {
        apply_hold(apply, inode, INODE_CONFLICT);
        return;
    }
    /* Those of a link would be another file's. */
    if (!inode->link_path) {
        if (!find(apply, inode, path, &st, &look)) {
            return;
        }
        r = apply_dos(apply, inode, path, &st);
        r = is_not_kept(apply, r, path) ? 0 : r;
        /* A directory that nobody may write is not what the bit means. */
        if (r == 0 && !inode->is_directory && st.read_only != read_only) {
            call = "set permissions of";
            r = apply->fs->ops->set_read_only(apply->fs, path, read_only);
            r = is_not_kept(apply, r, path) ? 0 : r;
        }
        if (r < 0) {
            apply_fail(apply, inode, r, call, path);
            return;
        }
        apply_set_dirty(apply, inode);
    }
    inode->host_entry.attr = inode->entry.attr;
}

/* ---- TIMES ---- */

static bool has_time(const Apply *apply, const HostStat *st, FatTime time)
{
    bool clamped;
    FatTime now = dirent_time_from_unix(st->mtime, st->mtime_ns,
                                        apply->options.utc, NULL, &clamped);

    return now.date == time.date && now.time == time.time;
}

/* Whether nothing is to be done: a new file got its time when it was made. */
static bool is_timed(const Apply *apply, const Inode *inode, FatTime time)
{
    int64_t seconds = dirent_time_to_unix(time, apply->options.utc);

    return !inode->is_directory && inode_has_entry_time(inode) &&
           !inode->change->is_torn &&
           (!g_hash_table_contains(apply->dirty, inode) ||
            inode->host.mtime_ns == seconds * NS_A_SECOND);
}

/* Down to what FAT cannot say, where we have written the file: its time is
 * the guest's. That of any other file is left as it is. */
static bool needs_time(const Apply *apply, Inode *inode, const HostStat *st,
                       FatTime time)
{
    int64_t seconds = dirent_time_to_unix(time, apply->options.utc);

    return !has_time(apply, st, time) ||
           (g_hash_table_contains(apply->dirty, inode) &&
            (st->mtime != seconds || st->mtime_ns != 0));
}

/* The host file is this version because of us. */
static void take_version(Apply *apply, Inode *inode, const HostStat *st)
{
    apply_lock(apply);
    inode->host = apply_host_id(st);
    apply_unlock(apply);
    inode->change->is_torn = false;
}

static int set_time(Apply *apply, Inode *inode, const char *path, FatTime time)
{
    int64_t seconds = dirent_time_to_unix(time, apply->options.utc);
    HostStat st;
    int r = apply->fs->ops->set_times(apply->fs, path, seconds, 0);

    if (r < 0) {
        return is_not_kept(apply, r, path) ? 0 : r;
    }
    inode->change->is_torn = !inode->is_directory; /* till it is known */
    apply_lock(apply);
    inode->host.mtime_ns = seconds * NS_A_SECOND;
    apply_unlock(apply);
    apply_set_dirty(apply, inode);
    r = apply->fs->ops->stat(apply->fs, path, &st);
    if (r == 0 && apply_same_file(&st, &inode->host)) {
        take_version(apply, inode, &st);
    }
    return r;
}

void apply_op_times(Apply *apply, const PlanOp *op)
{
    Inode *inode = op->inode;
    FatTime time = {
        .date = le16_get(inode->entry.mdate),
        .time = le16_get(inode->entry.mtime),
    };
    g_autofree char *path = inode_host_path(inode);
    HostStat st;
    int look = LOOK_SAME, r = 0;

    if (!path) {
        apply_hold(apply, inode, INODE_CONFLICT);
        return;
    }
    if (is_timed(apply, inode, time)) {
        return;
    }
    if (!inode->link_path) {
        if (!find(apply, inode, path, &st, &look)) {
            return;
        }
        if (look == LOOK_SAME && needs_time(apply, inode, &st, time)) {
            r = set_time(apply, inode, path, time);
        } else if (!has_time(apply, &st, time)) {
            /* The host's change is the later one, and stays to be seen. */
            apply_event(apply, APPLY_CONFLICT, path,
                        "it was changed on the host: its time is kept");
        } else if (look == LOOK_SAME || st.size == inode->host.size) {
            take_version(apply, inode, &st); /* an earlier run set it */
        }
    }
    if (r < 0) {
        apply_fail(apply, inode, r, "set time of", path);
        return;
    }
    inode->host_entry.mtime = inode->entry.mtime;
    inode->host_entry.mdate = inode->entry.mdate;
}
