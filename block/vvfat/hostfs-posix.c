/* SPDX-License-Identifier: MIT */
/* The host's file system by POSIX and Linux calls: reading, and the table. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "block/error.h"
#include "block/vvfat/hostfs-posix-int.h"

struct HostDir {
    DIR *stream;
    uid_t euid; /* when it was opened: asked once for all entries */
};

/* ---- Asking ---- */

static HostKind kind_of(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG:
        return HOST_FILE;
    case S_IFDIR:
        return HOST_DIRECTORY;
    case S_IFLNK:
        return HOST_SYMLINK;
    default:
        return HOST_OTHER;
    }
}

static void stat_convert(const struct stat *in, HostStat *out)
{
    *out = (HostStat){
        .kind = kind_of(in->st_mode),
        .readable = true,
        .read_only = !(in->st_mode & (S_IWUSR | S_IWGRP | S_IWOTH)),
        .is_sparse = in->st_blocks < in->st_size / 512,
        .mode = in->st_mode & 07777,
        .dev = in->st_dev,
        .ino = in->st_ino,
        .nlink = in->st_nlink,
        .size = in->st_size,
        .mtime = in->st_mtim.tv_sec,
        .mtime_ns = (uint32_t)in->st_mtim.tv_nsec,
        .ctime = in->st_ctim.tv_sec,
        .ctime_ns = (uint32_t)in->st_ctim.tv_nsec,
    };
}

/* Asks the kernel only when the mode does not let everybody in. */
static bool is_readable(int at, const char *name, const struct stat *st)
{
    mode_t need = S_IRUSR | S_IRGRP | S_IROTH;
    int how = R_OK;

    if (S_ISDIR(st->st_mode)) {
        need |= S_IXUSR | S_IXGRP | S_IXOTH;
        how |= X_OK;
    }
    return (st->st_mode & need) == need ||
           faccessat(at, name, how, AT_EACCESS) == 0;
}

/* Asks the kernel only about files of others, and what the mode forbids: a
 * read-only mount shows when it comes to writing. */
static bool is_writable(int at, const char *name, const struct stat *st,
                        uid_t euid)
{
    mode_t need = S_IWUSR;
    int how = W_OK;

    if (S_ISDIR(st->st_mode)) {
        need |= S_IXUSR;
        how |= X_OK;
    }
    return (st->st_uid == euid && (st->st_mode & need) == need) ||
           faccessat(at, name, how, AT_EACCESS) == 0;
}

static int stat_entry(int at, const char *name, uid_t euid, HostStat *out)
{
    struct stat st;

    if (fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        return -errno;
    }
    stat_convert(&st, out);
    if (out->kind == HOST_FILE || out->kind == HOST_DIRECTORY) {
        out->readable = is_readable(at, name, &st);
        out->writable = is_writable(at, name, &st, euid);
    }
    return 0;
}

int posix_stat_fd(int fd, HostStat *out)
{
    struct stat st;

    if (fstat(fd, &st) < 0) {
        return -errno;
    }
    stat_convert(&st, out);
    return 0;
}

static int posix_dos_attrib_at(HostFs *fs, HostDir *dir, const char *name,
                               unsigned *attr)
{
    return posix_entry_dos_attrib(posix_fs(fs), dirfd(dir->stream), name,
                                  attr);
}

static int posix_stat_at(HostFs *fs, HostDir *dir, const char *name,
                         HostStat *st)
{
    (void)fs;
    return stat_entry(dirfd(dir->stream), name, dir->euid, st);
}

static int posix_stat(HostFs *fs, const char *path, HostStat *st)
{
    PosixFs *p = posix_fs(fs);
    const char *name = ".";
    int fd = *path ? posix_get_parent(p, path, &name)
                   : posix_dir_get(p, "", 0);
    int r;

    if (fd < 0) {
        return fd;
    }
    r = stat_entry(fd, name, geteuid(), st);
    posix_dir_put(p, fd);
    return r;
}

static int posix_resolve(HostFs *fs, const char *path, char **real)
{
    PosixFs *p = posix_fs(fs);
    g_autofree char *name = g_strconcat(p->real, "/", path, NULL);
    size_t n = strlen(p->real);
    char *target = realpath(name, NULL);

    if (!target) {
        return -errno;
    }
    if (strcmp(p->real, "/") == 0) {
        *real = g_strdup(target + 1);
    } else if (strncmp(target, p->real, n) == 0 &&
               (target[n] == '/' || target[n] == '\0')) {
        *real = g_strdup(target[n] ? target + n + 1 : "");
    } else {
        free(target);
        return -EXDEV;
    }
    free(target);
    return 0;
}

/* ---- Directories ---- */

static int posix_dir_open(HostFs *fs, const char *path, HostDir **dir)
{
    int fd = posix_open_beneath(posix_fs(fs), path,
                                O_RDONLY | O_DIRECTORY | O_NONBLOCK);
    DIR *stream;

    if (fd < 0) {
        return fd;
    }
    stream = fdopendir(fd);
    if (!stream) {
        int r = -errno;

        close(fd);
        return r;
    }
    *dir = g_new(HostDir, 1);
    (*dir)->stream = stream;
    (*dir)->euid = geteuid();
    return 0;
}

static int posix_dir_next(HostFs *fs, HostDir *dir, const char **name)
{
    struct dirent *entry;

    (void)fs;
    do {
        errno = 0;
        entry = readdir(dir->stream);
        if (!entry) {
            return -errno;
        }
    } while (strcmp(entry->d_name, ".") == 0 ||
             strcmp(entry->d_name, "..") == 0);
    *name = entry->d_name;
    return 1;
}

static void posix_dir_close(HostFs *fs, HostDir *dir)
{
    (void)fs;
    closedir(dir->stream);
    g_free(dir);
}

/* ---- Files ---- */

int posix_open_file(const PosixFs *p, const char *path, int flags,
                    HostFile **file, HostStat *out)
{
    /* Not to hang when a FIFO has taken the file's place. */
    int fd = posix_open_beneath(p, path, flags | O_NONBLOCK | O_NOCTTY);
    int r;

    if (fd < 0) {
        return fd;
    }
    r = posix_stat_fd(fd, out);
    if (r == 0 && out->kind != HOST_FILE) {
        r = -EINVAL;
    }
    if (r < 0) {
        close(fd);
        return r;
    }
    out->writable = (flags & O_ACCMODE) != O_RDONLY;
    *file = posix_file_new(fd);
    return 0;
}

static int posix_file_open(HostFs *fs, const char *path, HostFile **file,
                           HostStat *out)
{
    return posix_open_file(posix_fs(fs), path, O_RDONLY, file, out);
}

HostFile *posix_file_new(int fd)
{
    HostFile *file = g_new(HostFile, 1);

    file->fd = fd;
    return file;
}

static void posix_file_close(HostFs *fs, HostFile *file)
{
    (void)fs;
    close(file->fd);
    g_free(file);
}

static int posix_file_stat(HostFs *fs, HostFile *file, HostStat *out)
{
    (void)fs;
    return posix_stat_fd(file->fd, out);
}

static ssize_t posix_file_preadv(HostFs *fs, HostFile *file,
                                 const struct iovec *iov, int niov,
                                 int64_t offset)
{
    /* The shorter way in, which most requests can take. */
    ssize_t n = niov == 1
                    ? pread(file->fd, iov->iov_base, iov->iov_len, offset)
                    : preadv(file->fd, iov, niov, offset);

    (void)fs;
    return n < 0 ? -errno : n;
}

static int64_t posix_file_seek(HostFs *fs, HostFile *file, int64_t offset,
                               bool data)
{
    /* The position belongs to nobody: all reading is by preadv(). */
    off_t at = lseek(file->fd, offset, data ? SEEK_DATA : SEEK_HOLE);

    (void)fs;
    return at < 0 ? -errno : at;
}

static int posix_file_fd(HostFs *fs, HostFile *file)
{
    (void)fs;
    return file->fd;
}

/* ---- The table ---- */

static void posix_destroy(HostFs *fs)
{
    PosixFs *p = posix_fs(fs);

    posix_batch(fs, false);
    /* A process that another thread is just starting has the descriptor, too,
     * until it runs its program: closing alone does not unlock. */
    flock(p->root, LOCK_UN);
    close(p->root);
    free(p->real);
    g_free(p);
}

static const HostFsOps posix_ops = {
    .destroy = posix_destroy,
    .dir_open = posix_dir_open,
    .dir_next = posix_dir_next,
    .dir_close = posix_dir_close,
    .stat_at = posix_stat_at,
    .dos_attrib_at = posix_dos_attrib_at,
    .stat = posix_stat,
    .resolve = posix_resolve,
    .file_open = posix_file_open,
    .file_close = posix_file_close,
    .file_stat = posix_file_stat,
    .file_preadv = posix_file_preadv,
    .file_seek = posix_file_seek,
    .file_fd = posix_file_fd,
    .mkdir = posix_mkdir,
    .rmdir = posix_rmdir,
    .unlink = posix_unlink,
    .rename = posix_rename,
    .file_create = posix_file_create,
    .file_open_rw = posix_file_open_rw,
    .file_pwritev = posix_file_pwritev,
    .file_truncate = posix_file_truncate,
    .file_allocate = posix_file_allocate,
    .file_copy = posix_file_copy,
    .file_sync = posix_file_sync,
    .dir_sync = posix_dir_sync,
    .sync_fs = posix_sync_fs,
    .batch = posix_batch,
    .file_set_times = posix_file_set_times,
    .set_times = posix_set_times,
    .set_mode = posix_set_mode,
    .set_read_only = posix_set_read_only,
    .get_dos_attrib = posix_get_dos_attrib,
    .set_dos_attrib = posix_set_dos_attrib,
    .copy_metadata = posix_copy_metadata,
    .space = posix_space,
    .lock = posix_lock,
    .unlock = posix_unlock,
};

HostFs *hostfs_posix_new(const char *dir, GError **errp)
{
    int root = open(dir, O_RDONLY | O_DIRECTORY | O_NONBLOCK | O_CLOEXEC);
    PosixFs *p;
    char *real;

    if (root < 0) {
        block_error_set_errno(errp, errno, "Could not open directory '%s'",
                              dir);
        return NULL;
    }
    real = realpath(dir, NULL);
    if (!real) {
        block_error_set_errno(errp, errno,
                              "Could not find the real path of '%s'", dir);
        close(root);
        return NULL;
    }
    p = g_new0(PosixFs, 1);
    p->fs.ops = &posix_ops;
    p->fs.opaque = p;
    p->root = root;
    p->real = real;
    posix_probe(p);
    posix_probe_attr(p);
    return &p->fs;
}
