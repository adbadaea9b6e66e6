/* SPDX-License-Identifier: MIT */
/* The host's file system by POSIX and Linux calls: names and contents. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "block/vvfat/hostfs-posix-int.h"

#define COPY_MAX (INT64_C(1) << 30) /* bytes a call */

static int result(int r)
{
    return r < 0 ? -errno : 0;
}

/* ---- Names ---- */

/* A call on an entry of a directory, as mkdirat(). */
typedef int EntryCall(int at, const char *name, mode_t arg);

static int call_on_entry(HostFs *fs, const char *path, EntryCall *call,
                         mode_t arg)
{
    PosixFs *p = posix_fs(fs);
    const char *name;
    int at = posix_get_parent(p, path, &name);
    int r;

    if (at < 0) {
        return at;
    }
    r = result(call(at, name, arg));
    posix_dir_put(p, at);
    return r;
}

static int unlink_entry(int at, const char *name, mode_t flags)
{
    return unlinkat(at, name, (int)flags);
}

int posix_mkdir(HostFs *fs, const char *path, unsigned mode)
{
    return call_on_entry(fs, path, mkdirat, mode);
}

int posix_rmdir(HostFs *fs, const char *path)
{
    int r = call_on_entry(fs, path, unlink_entry, AT_REMOVEDIR);

    posix_dir_forget(posix_fs(fs), path);
    return r;
}

int posix_unlink(HostFs *fs, const char *path)
{
    return call_on_entry(fs, path, unlink_entry, 0);
}

/* An entry of an open directory. */
typedef struct Entry {
    int at;
    const char *name;
} Entry;

/* Give the file another name and take the first one away: the only way
 * without renameat2() that never replaces anything. Gives -ENOTSUP when it
 * cannot be done for what is there. */
static int link_and_unlink(Entry from, Entry to)
{
    struct stat st;

    if (fstatat(from.at, from.name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        return -errno;
    }
    if (S_ISDIR(st.st_mode)) {
        return -ENOTSUP;
    }
    if (linkat(from.at, from.name, to.at, to.name, 0) < 0) {
        return errno == EPERM || errno == EMLINK ? -ENOTSUP : -errno;
    }
    if (unlinkat(from.at, from.name, 0) < 0) {
        int r = -errno;

        unlinkat(to.at, to.name, 0);
        return r;
    }
    return 0;
}

static int rename_noreplace(Entry from, Entry to)
{
    struct stat st;
    int r = link_and_unlink(from, to);

    if (r != -ENOTSUP) {
        return r;
    }
    if (fstatat(to.at, to.name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        return -EEXIST;
    }
    if (errno != ENOENT) {
        return -errno;
    }
    return result(renameat(from.at, from.name, to.at, to.name));
}

static int rename_entry(Entry from, Entry to, unsigned flags)
{
    bool exchange = flags & HOST_RENAME_EXCHANGE;
    int r;

    if (flags == 0) {
        return result(renameat(from.at, from.name, to.at, to.name));
    }
    r = result(renameat2(from.at, from.name, to.at, to.name,
                         exchange ? RENAME_EXCHANGE : RENAME_NOREPLACE));
    /* The kernel, a sandbox or the file system does not know the flag. */
    if (r == -ENOSYS || r == -EINVAL || r == -ENOTSUP) {
        return exchange ? -ENOTSUP : rename_noreplace(from, to);
    }
    return r;
}

static bool is_below(const char *path, const char *dir)
{
    size_t n = strlen(dir);

    return strncmp(path, dir, n) == 0 && path[n] == '/';
}

int posix_rename(HostFs *fs, const char *from, const char *to, unsigned flags)
{
    PosixFs *p = posix_fs(fs);
    Entry old, new;
    int r;

    old.at = posix_get_parent(p, from, &old.name);
    if (old.at < 0) {
        return old.at;
    }
    new.at = posix_get_parent(p, to, &new.name);
    r = new.at < 0 ? new.at : rename_entry(old, new, flags);
    if (new.at >= 0) {
        posix_dir_put(p, new.at);
    }
    posix_dir_put(p, old.at);
    posix_dir_forget(p, from);
    posix_dir_forget(p, to);
    /* The kernel says the same when it does not know the flag. */
    if (r == -ENOTSUP && (is_below(to, from) || is_below(from, to))) {
        return -EINVAL;
    }
    return r;
}

/* ---- Contents ---- */

int posix_file_create(HostFs *fs, const char *path, unsigned mode,
                      HostFile **file)
{
    PosixFs *p = posix_fs(fs);
    const char *name;
    int at = posix_get_parent(p, path, &name);
    int fd, r;

    if (at < 0) {
        return at;
    }
    do {
        fd = openat(at, name,
                    O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_NOCTTY |
                        O_CLOEXEC,
                    mode);
    } while (fd < 0 && errno == EINTR);
    r = result(fd);
    posix_dir_put(p, at);
    if (r == 0) {
        *file = posix_file_new(fd);
    }
    return r;
}

int posix_file_open_rw(HostFs *fs, const char *path, HostFile **file,
                       HostStat *st)
{
    int r = posix_open_file(posix_fs(fs), path, O_RDWR, file, st);

    /* Of directories, and of sockets. */
    return r == -EISDIR || r == -ENXIO ? -EINVAL : r;
}

ssize_t posix_file_pwritev(HostFs *fs, HostFile *file, const struct iovec *iov,
                           int niov, int64_t offset)
{
    ssize_t n = pwritev(file->fd, iov, niov, offset);

    (void)fs;
    return n < 0 ? -errno : n;
}

int posix_file_truncate(HostFs *fs, HostFile *file, int64_t size)
{
    int r;

    (void)fs;
    do {
        r = result(ftruncate(file->fd, size));
    } while (r == -EINTR);
    return r;
}

int posix_file_allocate(HostFs *fs, HostFile *file, int64_t offset,
                        int64_t bytes)
{
    int r;

    (void)fs;
    if (bytes == 0) {
        return 0;
    }
    do {
        r = result(fallocate(file->fd, FALLOC_FL_KEEP_SIZE, offset, bytes));
    } while (r == -EINTR);
    return r == -ENOSYS ? -ENOTSUP : r;
}

/* Nothing came over: the file has ended, or it cannot be copied so. */
static int copy_ended(const HostFile *in, int64_t offset)
{
    struct stat st;

    if (fstat(in->fd, &st) < 0) {
        return -errno;
    }
    return st.st_size > offset ? -ENOTSUP : -ENODATA;
}

int posix_file_copy(HostFs *fs, HostFile *in, int64_t in_offset, HostFile *out,
                    int64_t out_offset, int64_t bytes)
{
    struct file_clone_range range = {
        .src_fd = in->fd,
        .src_offset = (uint64_t)in_offset,
        .src_length = (uint64_t)bytes,
        .dest_offset = (uint64_t)out_offset,
    };

    (void)fs;
    /* A length of 0 would mean everything. */
    if (bytes == 0 || ioctl(out->fd, FICLONERANGE, &range) == 0) {
        return 0;
    }
    while (bytes) {
        ssize_t n = copy_file_range(in->fd, &in_offset, out->fd, &out_offset,
                                    (size_t)MIN(bytes, COPY_MAX), 0);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return errno == EXDEV || errno == EINVAL || errno == ENOSYS
                       ? -ENOTSUP
                       : -errno;
        }
        if (n == 0) {
            return copy_ended(in, in_offset);
        }
        bytes -= n;
    }
    return 0;
}

/* ---- Making it durable ---- */

int posix_file_sync(HostFs *fs, HostFile *file)
{
    int r;

    (void)fs;
    do {
        r = result(fsync(file->fd));
    } while (r == -EINTR);
    return r;
}

int posix_dir_sync(HostFs *fs, const char *path)
{
    PosixFs *p = posix_fs(fs);
    int fd = posix_open_beneath(p, path, O_RDONLY | O_DIRECTORY);
    int r;

    if (fd == -EACCES) {
        /* One may write in a directory without reading it. */
        fd = posix_open_beneath(p, path, O_PATH | O_DIRECTORY);
    }
    if (fd < 0) {
        return fd;
    }
    do {
        r = result(fsync(fd));
    } while (r == -EINTR);
    if (r == -EBADF) {
        r = posix_sync_fs(fs);
    } else if (r == -EINVAL) {
        /* The file system does not sync single directories. */
        r = result(syncfs(fd));
    }
    close(fd);
    return r;
}

int posix_sync_fs(HostFs *fs)
{
    return result(syncfs(posix_fs(fs)->root));
}

/* ---- The whole ---- */

int posix_space(HostFs *fs, HostSpace *space)
{
    struct statvfs st;

    if (fstatvfs(posix_fs(fs)->root, &st) < 0) {
        return -errno;
    }
    space->total = (uint64_t)st.f_blocks * st.f_frsize;
    space->free = (uint64_t)st.f_bavail * st.f_frsize;
    return 0;
}

int posix_lock(HostFs *fs)
{
    int root = posix_fs(fs)->root;
    struct statvfs st;
    int r;

    if (fstatvfs(root, &st) == 0 && (st.f_flag & ST_RDONLY)) {
        return -EROFS;
    }
    do {
        r = result(flock(root, LOCK_EX | LOCK_NB));
    } while (r == -EINTR);
    /* Of network file systems that lock no directory. */
    return r == -EBADF || r == -EINVAL || r == -ENOLCK || r == -ENOSYS
               ? -ENOTSUP
               : r;
}

void posix_unlock(HostFs *fs)
{
    (void)!flock(posix_fs(fs)->root, LOCK_UN);
}
