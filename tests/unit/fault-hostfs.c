/* SPDX-License-Identifier: MIT */
#include "fault-hostfs.h"

#include <errno.h>
#include <string.h>

static FaultFs *fault_fs(HostFs *fs)
{
    return fs->opaque;
}

/* 0, or the error when this is the call to fail. */
static int count_call(FaultFs *f)
{
    return g_atomic_int_add(&f->calls, 1) + 1 == f->fail_at ? f->error : 0;
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

static int fault_dir_open(HostFs *fs, const char *path, HostDir **dir)
{
    FaultFs *f = fault_fs(fs);
    int r = count_call(f);

    r = r ? r : f->inner->ops->dir_open(f->inner, path, dir);
    if (r == 0) {
        count_open(f);
    }
    return r;
}

static int fault_dir_next(HostFs *fs, HostDir *dir, const char **name)
{
    FaultFs *f = fault_fs(fs);
    int r = count_call(f);

    return r ? r : f->inner->ops->dir_next(f->inner, dir, name);
}

static void fault_dir_close(HostFs *fs, HostDir *dir)
{
    FaultFs *f = fault_fs(fs);

    g_atomic_int_add(&f->n_open, -1);
    f->inner->ops->dir_close(f->inner, dir);
}

static int fault_stat_at(HostFs *fs, HostDir *dir, const char *name,
                         HostStat *st)
{
    FaultFs *f = fault_fs(fs);
    int r = count_call(f);

    if (f->vanish && strcmp(name, f->vanish) == 0) {
        return -ENOENT;
    }
    r = r ? r : f->inner->ops->stat_at(f->inner, dir, name, st);
    if (f->deny && strcmp(name, f->deny) == 0) {
        st->readable = false;
    }
    return r;
}

static int fault_stat(HostFs *fs, const char *path, HostStat *st)
{
    FaultFs *f = fault_fs(fs);
    int r = count_call(f);

    return r ? r : f->inner->ops->stat(f->inner, path, st);
}

static int fault_resolve(HostFs *fs, const char *path, char **real)
{
    FaultFs *f = fault_fs(fs);
    int r = count_call(f);

    return r ? r : f->inner->ops->resolve(f->inner, path, real);
}

static int fault_file_open(HostFs *fs, const char *path, HostFile **file,
                           HostStat *st)
{
    FaultFs *f = fault_fs(fs);
    int r = count_call(f);

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

static void fault_file_close(HostFs *fs, HostFile *file)
{
    FaultFs *f = fault_fs(fs);

    g_atomic_int_add(&f->n_open, -1);
    f->inner->ops->file_close(f->inner, file);
}

static int fault_file_stat(HostFs *fs, HostFile *file, HostStat *st)
{
    FaultFs *f = fault_fs(fs);
    int r = count_call(f);

    return r ? r : f->inner->ops->file_stat(f->inner, file, st);
}

static ssize_t fault_file_preadv(HostFs *fs, HostFile *file,
                                 const struct iovec *iov, int niov,
                                 int64_t offset)
{
    FaultFs *f = fault_fs(fs);
    int r = count_call(f);

    return r ? r
             : f->inner->ops->file_preadv(f->inner, file, iov, niov, offset);
}

static int64_t fault_file_seek(HostFs *fs, HostFile *file, int64_t offset,
                               bool data)
{
    FaultFs *f = fault_fs(fs);
    int r = count_call(f);

    return r ? r : f->inner->ops->file_seek(f->inner, file, offset, data);
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
    .stat = fault_stat,
    .resolve = fault_resolve,
    .file_open = fault_file_open,
    .file_close = fault_file_close,
    .file_stat = fault_file_stat,
    .file_preadv = fault_file_preadv,
    .file_seek = fault_file_seek,
    .file_fd = fault_file_fd,
};

FaultFs *fault_fs_new(HostFs *inner)
{
    FaultFs *f = g_new0(FaultFs, 1);

    f->fs.ops = &fault_ops;
    f->fs.opaque = f;
    f->inner = inner;
    return f;
}
