/* SPDX-License-Identifier: MIT */
/*
 * Writing in place: only what differs, so that a file that gets the bytes it
 * has is not touched; unless what it shows may not be on its disk.
 *
 * In between the file is neither the old nor the new one. The change says so
 * (is_torn), and whoever runs the plan again writes all ranges again. A file
 * with more names than one (hard links, a symbolic link) is not written in
 * place, since the others may be outside: the guest's version takes the place
 * of this name as a new file.
 */
#include <errno.h>
#include <string.h>

#include "block/iov.h"
#include "block/vvfat/apply-int.h"

typedef struct Writing {
    Inode *inode;
    const char *path;
    HostFile *file;
    int64_t size;     /* of the guest's file */
    int64_t old_size; /* of the host's */
    bool is_changed;  /* something has been written */
    const char *call; /* that failed */
} Writing;

/* ---- Opening ---- */

/* Open for writing, also without write permission: the guest had it when it
 * wrote, and the attribute comes later. The mode stays. */
static int open_rw(Apply *apply, Writing *w, HostStat *st)
{
    const HostFsOps *ops = apply->fs->ops;
    int r = ops->file_open_rw(apply->fs, w->path, &w->file, st);
    int back;

    w->call = "open";
    if (r != -EACCES || ops->stat(apply->fs, w->path, st) < 0 ||
        !st->read_only || ops->set_mode(apply->fs, w->path, st->mode | 0200)) {
        return r;
    }
    back = (int)st->mode;
    r = ops->file_open_rw(apply->fs, w->path, &w->file, st);
    back = ops->set_mode(apply->fs, w->path, (unsigned)back);
    if (r == 0 && back < 0) {
        w->call = "chmod";
        ops->file_close(apply->fs, w->file);
        return back;
    }
    return r;
}

/* From here on the file is not what the host side says. */
static void touch(Writing *w)
{
    w->inode->change->is_torn = true;
    w->is_changed = true;
}

/* ---- Ranges ---- */

/* Host bytes of a range, zeroes where the file has ended. */
static int read_host(Apply *apply, Writing *w, int64_t offset, size_t bytes)
{
    int64_t left = MAX(w->old_size - offset, 0);
    size_t n = (size_t)MIN((int64_t)bytes, left);
    IOVector iov;

    memset(apply->host + n, 0, bytes - n);
    iov_init_buf(&iov, apply->host, n);
    w->call = "read";
    return n ? hostfs_read_full(apply->fs, w->file, offset, &iov, 0, n) : 0;
}

static int write_run(Apply *apply, Writing *w, int64_t offset, size_t from,
                     size_t to)
{
    touch(w);
    return hostfs_write_full(apply->fs, w->file, offset + (int64_t)from,
                             apply->guest + from, to - from);
}

/* Write the blocks that differ. */
static int write_differences(Apply *apply, Writing *w, int64_t offset,
                             size_t bytes)
{
    size_t from = 0;
    int r = 0;

    if (memcmp(apply->guest, apply->host, bytes) == 0) {
        return 0;
    }
    w->call = "write";
    apply_lock(apply);
    for (size_t at = 0; r == 0 && at < bytes; at += APPLY_BLOCK) {
        size_t n = MIN(APPLY_BLOCK, bytes - at);
        bool same = memcmp(apply->guest + at, apply->host + at, n) == 0;
        size_t to = same ? at : at + n;

        if (from < to && (same || to == bytes)) {
            r = write_run(apply, w, offset, from, to);
        }
        from = same ? at + n : from;
    }
    apply_unlock(apply);
    return r;
}

/* Write all, whatever is there. */
static int write_anew(Apply *apply, Writing *w, int64_t offset, size_t bytes)
{
    int r;

    w->call = "write";
    apply_lock(apply);
    r = write_run(apply, w, offset, 0, bytes);
    apply_unlock(apply);
    return r;
}

static int write_range(Apply *apply, Writing *w, InodeRange range)
{
    int64_t end = MIN(range.offset + range.bytes, w->size);
    int r = 0;

    for (int64_t at = range.offset; r == 0 && at < end; at += APPLY_CHUNK) {
        size_t bytes = (size_t)MIN((int64_t)APPLY_CHUNK, end - at);

        w->call = "read the guest's bytes of";
        r = apply->hooks.read(w->inode, at, (int64_t)bytes, apply->guest,
                              apply->hooks.opaque);
        if (r == 0 && w->inode->is_unsynced) {
            r = write_anew(apply, w, at, bytes);
            continue;
        }
        r = r < 0 ? r : read_host(apply, w, at, bytes);
        r = r < 0 ? r : write_differences(apply, w, at, bytes);
    }
    return r;
}

/* Room for what is written behind the end, before anything is: a full disk is
 * to leave the file as it was. */
static int allocate(Apply *apply, Writing *w, const GArray *ranges)
{
    const InodeRange *last;
    int64_t end;
    int r;

    if (!ranges || ranges->len == 0) {
        return 0;
    }
    last = &g_array_index(ranges, InodeRange, ranges->len - 1);
    end = MIN(last->offset + last->bytes, w->size);
    if (end <= w->old_size) {
        return 0;
    }
    w->call = "allocate";
    touch(w); /* its time changes, if nothing else */
    r = apply->fs->ops->file_allocate(apply->fs, w->file, w->old_size,
                                      end - w->old_size);
    return r == -ENOTSUP ? 0 : r;
}

static int set_size(Apply *apply, Writing *w)
{
    HostStat st;
    int r = apply->fs->ops->file_stat(apply->fs, w->file, &st);

    w->call = "truncate";
    if (r < 0 || st.size == w->size) {
        return r;
    }
    apply_lock(apply);
    touch(w);
    r = apply->fs->ops->file_truncate(apply->fs, w->file, w->size);
    if (r == 0) {
        /* From now on nobody looks for what is behind it. */
        w->inode->host.size = w->size;
    }
    apply_unlock(apply);
    return r;
}

static int write_all(Apply *apply, Writing *w)
{
    const GArray *ranges = w->inode->change->ranges;
    int r = allocate(apply, w, ranges);

    for (guint i = 0; r == 0 && ranges && i < ranges->len; i++) {
        r = write_range(apply, w, g_array_index(ranges, InodeRange, i));
    }
    return r < 0 ? r : set_size(apply, w);
}

/* ---- The operation ---- */

/* What runs with the rights of others does so no more when a guest writes it.
 * The kernel sees to that unless we are root. */
static int drop_rights(Apply *apply, const char *path, const HostStat *st)
{
    return st->mode & 06000
               ? apply->fs->ops->set_mode(apply->fs, path, st->mode & 01777)
               : 0;
}

/* What the file is now, whether all was written or not. */
static int note_written(Apply *apply, Writing *w)
{
    Inode *inode = w->inode;
    HostStat st;
    int r = apply->fs->ops->file_stat(apply->fs, w->file, &st);

    if (r < 0) {
        return r;
    }
    apply_lock(apply);
    inode->host = apply_host_id(&st);
    inode->is_sparse = st.is_sparse;
    apply_unlock(apply);
    if (w->is_changed) {
        apply_note_times(apply, inode, &st);
    }
    inode->change->is_torn = false;
    return 0;
}

static void write_open(Apply *apply, Writing *w)
{
    Inode *inode = w->inode;
    bool was_torn = inode->change->is_torn;
    int r = write_all(apply, w);

    if (w->is_changed || was_torn || inode->is_unsynced) {
        int noted = note_written(apply, w);

        w->call = r == 0 && noted < 0 ? "stat" : w->call;
        r = r < 0 ? r : noted;
        apply_set_dirty(apply, inode);
    }
    apply->fs->ops->file_close(apply->fs, w->file);
    if (r < 0) {
        apply_fail(apply, inode, r, w->call, w->path);
    } else {
        inode->change->content = CONTENT_SAME;
    }
}

/* The guest's version, whole: beside the host's, or in its place. */
static void write_elsewhere(Apply *apply, const PlanOp *op, bool is_beside)
{
    Inode *inode = op->inode;
    g_autofree char *name = g_strdup(inode->host_name);
    ApplyMove m = {
        .inode = inode,
        .dir = inode->host_parent,
        .name = name,
        .victim = inode,
        .temp_name = is_beside ? op->name : NULL,
        .is_beside = is_beside,
    };

    apply_place_guest(apply, &m);
}

void apply_op_write(Apply *apply, const PlanOp *op)
{
    Inode *inode = op->inode;
    InodeChange *change = inode->change;
    g_autofree char *path = inode_host_path(inode);
    Writing w = { .inode = inode, .path = path, .size = inode_size(inode) };
    HostStat st;
    int look, r;

    if (change->content == CONTENT_SAME) {
        return;
    }
    if (!path) {
        apply_hold(apply, inode, INODE_CONFLICT);
        return;
    }
    look = apply_look(apply, inode, &st);
    if (look < 0) {
        apply_fail(apply, inode, look, "stat", path);
        return;
    }
    if (look != LOOK_SAME) {
        write_elsewhere(apply, op, true);
        return;
    }
    if (inode->link_path || st.nlink > 1 || change->content == CONTENT_WHOLE) {
        write_elsewhere(apply, op, false);
        return;
    }
    r = open_rw(apply, &w, &st);
    if (r < 0) {
        apply_fail(apply, inode, r, w.call, path);
        return;
    }
    if (!apply_same_file(&st, &inode->host) ||
        (!change->is_torn && !apply_same_version(&st, &inode->host))) {
        apply->fs->ops->file_close(apply->fs, w.file);
        write_elsewhere(apply, op, true);
        return;
    }
    w.old_size = st.size;
    r = drop_rights(apply, path, &st);
    if (r < 0) {
        apply->fs->ops->file_close(apply->fs, w.file);
        apply_fail(apply, inode, r, "chmod", path);
        return;
    }
    write_open(apply, &w);
}
