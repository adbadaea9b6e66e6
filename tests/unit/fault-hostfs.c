/* SPDX-License-Identifier: MIT */
#include "tests/unit/fault-hostfs.h"

#include <errno.h>
#include <string.h>

static FaultFs *fault_fs(HostFs *fs)
{
    return fs->opaque;
}

/* 0, or the error when this is a call to fail. */
static int count_call(FaultFs *f, unsigned kind)
{
    int n;

    if (g_atomic_int_get(&f->crashed)) {
        return -EIO;
    }
    if (f->kinds && !(f->kinds & kind)) {
        return 0;
    }
    n = g_atomic_int_add(&f->calls, 1) + 1;
    if (f->on_call) {
        f->on_call(n, f->opaque);
    }
    if (f->fail_at == 0 || n < f->fail_at) {
        return 0;
    }
    if (f->crash) {
        g_atomic_int_set(&f->crashed, 1);
        return -EIO;
    }
    return n == f->fail_at || f->fail_on ? f->error : 0;
}

static void count_open(FaultFs *f)
{
    gint n = g_atomic_int_add(&f->n_open, 1) + 1;
    gint max = g_atomic_int_get(&f->max_open);

    while (n > max &&
           !g_atomic_int_compare_and_exchange(&f->max_open, max, n)) {
        max = g_atomic_int_get(&f->max_open);
    }
}

static void fault_destroy(HostFs *fs)
{
    FaultFs *f = fault_fs(fs);

    hostfs_free(f->inner);
    g_free(f);
}

/* ---- Calls that are passed on as they are ---- */

#define UNWRAP(...) __VA_ARGS__

/* A function of the table: its kind, result, name, parameters after the file
 * system and what it passes on of them. */
#define FORWARD(kind, type, name, parameters, arguments)                      \
    static type fault_##name(HostFs *fs, UNWRAP parameters)                   \
    {                                                                         \
        FaultFs *f = fault_fs(fs);                                            \
        int r = count_call(f, kind);                                          \
                                                                              \
        return r ? r : f->inner->ops->name(f->inner, UNWRAP arguments);       \
    }

FORWARD(HOST_CALL_READ, int, dir_next, (HostDir * dir, const char **name),
        (dir, name))
FORWARD(HOST_CALL_READ, int, stat, (const char *path, HostStat *st),
        (path, st))
FORWARD(HOST_CALL_READ, int, resolve, (const char *path, char **real),
        (path, real))
FORWARD(HOST_CALL_READ, int, file_stat, (HostFile * file, HostStat *st),
        (file, st))
FORWARD(HOST_CALL_READ, int64_t, file_seek,
        (HostFile * file, int64_t offset, bool data), (file, offset, data))
FORWARD(HOST_CALL_READ, int, get_dos_attrib,
        (const char *path, unsigned *attr), (path, attr))
FORWARD(HOST_CALL_READ, int, space, (HostSpace * space), (space))

FORWARD(HOST_CALL_NAME, int, mkdir, (const char *path, unsigned mode),
        (path, mode))
FORWARD(HOST_CALL_NAME, int, rmdir, (const char *path), (path))
FORWARD(HOST_CALL_NAME, int, unlink, (const char *path), (path))
FORWARD(HOST_CALL_NAME, int, rename,
        (const char *from, const char *to, unsigned flags), (from, to, flags))

FORWARD(HOST_CALL_DATA, int, file_truncate, (HostFile * file, int64_t size),
        (file, size))
FORWARD(HOST_CALL_DATA, int, file_allocate,
        (HostFile * file, int64_t offset, int64_t bytes),
        (file, offset, bytes))
FORWARD(HOST_CALL_DATA, int, file_copy,
        (HostFile * in, int64_t in_offset, HostFile *out, int64_t out_offset,
         int64_t bytes),
        (in, in_offset, out, out_offset, bytes))

FORWARD(HOST_CALL_ATTR, int, set_times,
        (const char *path, int64_t mtime, uint32_t mtime_ns),
        (path, mtime, mtime_ns))
FORWARD(HOST_CALL_ATTR, int, file_set_times,
        (HostFile * file, int64_t mtime, uint32_t mtime_ns),
        (file, mtime, mtime_ns))
FORWARD(HOST_CALL_ATTR, int, set_mode, (const char *path, unsigned mode),
        (path, mode))
FORWARD(HOST_CALL_ATTR, int, set_read_only, (const char *path, bool read_only),
        (path, read_only))
FORWARD(HOST_CALL_ATTR, int, set_dos_attrib, (const char *path, unsigned attr),
        (path, attr))

static int fault_copy_metadata(HostFs *fs, const char *from, const char *to,
                               char **left_behind)
{
    FaultFs *f = fault_fs(fs);
    int r = count_call(f, HOST_CALL_ATTR);

    *left_behind = NULL;
    r = r ? r : f->inner->ops->copy_metadata(f->inner, from, to, left_behind);
    if (f->left_behind) {
        g_free(*left_behind);
        *left_behind = g_strdup(f->left_behind);
    }
    return r;
}

FORWARD(HOST_CALL_SYNC, int, file_sync, (HostFile * file), (file))
FORWARD(HOST_CALL_SYNC, int, dir_sync, (const char *path), (path))

static int fault_sync_fs(HostFs *fs)
{
    FaultFs *f = fault_fs(fs);
    int r = count_call(f, HOST_CALL_SYNC);

    return r ? r : f->inner->ops->sync_fs(f->inner);
}

static int fault_lock(HostFs *fs)
{
    FaultFs *f = fault_fs(fs);
    int r = count_call(f, HOST_CALL_OPEN);

    return r ? r : f->inner->ops->lock(f->inner);
}

static void fault_batch(HostFs *fs, bool begin)
{
    hostfs_batch(fault_fs(fs)->inner, begin);
}

/* ---- Calls with more to them ---- */

static int fault_dir_open(HostFs *fs, const char *path, HostDir **dir)
{
    FaultFs *f = fault_fs(fs);
    int r = count_call(f, HOST_CALL_READ);

    r = r ? r : f->inner->ops->dir_open(f->inner, path, dir);
    if (r == 0) {
        count_open(f);
    }
    return r;
}

static void fault_dir_close(HostFs *fs, HostDir *dir)
{
    FaultFs *f = fault_fs(fs);

    g_atomic_int_add(&f->n_open, -1);
    f->inner->ops->dir_close(f->inner, dir);
}

static int fault_dos_attrib_at(HostFs *fs, HostDir *dir, const char *name,
                               unsigned *attr)
{
    FaultFs *f = fault_fs(fs);

    return f->inner->ops->dos_attrib_at(f->inner, dir, name, attr);
}

static int fault_stat_at(HostFs *fs, HostDir *dir, const char *name,
                         HostStat *st)
{
    FaultFs *f = fault_fs(fs);
    int r = count_call(f, HOST_CALL_READ);

    if (f->vanish && strcmp(name, f->vanish) == 0) {
        return -ENOENT;
    }
    r = r ? r : f->inner->ops->stat_at(f->inner, dir, name, st);
    if (f->deny && strcmp(name, f->deny) == 0) {
        st->readable = false;
    }
    return r;
}

static int fault_file_open(HostFs *fs, const char *path, HostFile **file,
                           HostStat *st)
{
    FaultFs *f = fault_fs(fs);
    int r = count_call(f, HOST_CALL_READ);

    g_atomic_int_inc(&f->n_file_opens);
    if (f->open_delay) {
        g_usleep(f->open_delay);
    }
    r = r ? r : f->inner->ops->file_open(f->inner, path, file, st);
    if (r == 0) {
        count_open(f);
    }
    return r;
}

static int fault_file_create(HostFs *fs, const char *path, unsigned mode,
                             HostFile **file)
{
    FaultFs *f = fault_fs(fs);
    int r = count_call(f, HOST_CALL_NAME);

    r = r ? r : f->inner->ops->file_create(f->inner, path, mode, file);
    if (r == 0) {
        count_open(f);
    }
    return r;
}

static int fault_file_open_rw(HostFs *fs, const char *path, HostFile **file,
                              HostStat *st)
{
    FaultFs *f = fault_fs(fs);
    int r = count_call(f, HOST_CALL_OPEN);

    r = r ? r : f->inner->ops->file_open_rw(f->inner, path, file, st);
    if (r == 0) {
        count_open(f);
    }
    return r;
}

static void fault_file_close(HostFs *fs, HostFile *file)
{
    FaultFs *f = fault_fs(fs);

    g_atomic_int_add(&f->n_open, -1);
    f->inner->ops->file_close(f->inner, file);
}

/* The vector, or as much of its beginning as may be moved: one element. */
static const struct iovec *shorten(const FaultFs *f, const struct iovec *iov,
                                   int *niov, struct iovec *part)
{
    int i = 0;

    if (!f->short_io) {
        return iov;
    }
    while (i < *niov - 1 && iov[i].iov_len == 0) {
        i++;
    }
    if (i < *niov) {
        *part = iov[i];
        part->iov_len = MIN(part->iov_len, f->short_io);
        *niov = 1;
    }
    return part;
}

static ssize_t fault_file_preadv(HostFs *fs, HostFile *file,
                                 const struct iovec *iov, int niov,
                                 int64_t offset)
{
    FaultFs *f = fault_fs(fs);
    int r = count_call(f, HOST_CALL_READ);
    struct iovec part;

    iov = shorten(f, iov, &niov, &part);
    return r ? r
             : f->inner->ops->file_preadv(f->inner, file, iov, niov, offset);
}

static ssize_t fault_file_pwritev(HostFs *fs, HostFile *file,
                                  const struct iovec *iov, int niov,
                                  int64_t offset)
{
    FaultFs *f = fault_fs(fs);
    int r = count_call(f, HOST_CALL_DATA);
    struct iovec part;

    iov = shorten(f, iov, &niov, &part);
    return r ? r
             : f->inner->ops->file_pwritev(f->inner, file, iov, niov, offset);
}

static int fault_file_fd(HostFs *fs, HostFile *file)
{
    FaultFs *f = fault_fs(fs);

    return f->inner->ops->file_fd(f->inner, file);
}

static const HostFsOps fault_ops = {
    .destroy = fault_destroy,
    .dir_open = fault_dir_open,
    .dir_next = fault_dir_next,
    .dir_close = fault_dir_close,
    .stat_at = fault_stat_at,
    .dos_attrib_at = fault_dos_attrib_at,
    .stat = fault_stat,
    .resolve = fault_resolve,
    .file_open = fault_file_open,
    .file_close = fault_file_close,
    .file_stat = fault_file_stat,
    .file_preadv = fault_file_preadv,
    .file_seek = fault_file_seek,
    .file_fd = fault_file_fd,
    .mkdir = fault_mkdir,
    .rmdir = fault_rmdir,
    .unlink = fault_unlink,
    .rename = fault_rename,
    .file_create = fault_file_create,
    .file_open_rw = fault_file_open_rw,
    .file_pwritev = fault_file_pwritev,
    .file_truncate = fault_file_truncate,
    .file_allocate = fault_file_allocate,
    .file_copy = fault_file_copy,
    .file_sync = fault_file_sync,
    .dir_sync = fault_dir_sync,
    .sync_fs = fault_sync_fs,
    .set_times = fault_set_times,
    .file_set_times = fault_file_set_times,
    .set_mode = fault_set_mode,
    .set_read_only = fault_set_read_only,
    .get_dos_attrib = fault_get_dos_attrib,
    .set_dos_attrib = fault_set_dos_attrib,
    .copy_metadata = fault_copy_metadata,
    .space = fault_space,
    .lock = fault_lock,
    .batch = fault_batch,
};

FaultFs *fault_fs_new(HostFs *inner)
{
    FaultFs *f = g_new0(FaultFs, 1);

    f->fs.ops = &fault_ops;
    f->fs.opaque = f;
    f->inner = inner;
    return f;
}

HostFs *fault_fs_take_inner(FaultFs *f)
{
    return g_steal_pointer(&f->inner);
}
