/* SPDX-License-Identifier: MIT */
/*
 * The host's file system by POSIX and Linux calls.
 *
 * Every path is resolved from the descriptor of the root by openat2() with
 * RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS. Where the kernel has no openat2()
 * (before 5.6) or a sandbox forbids it, the path is walked one component at a
 * time with O_NOFOLLOW, which comes to the same.
 */
#include "block/vvfat/hostfs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "block/error.h"

typedef struct PosixFs {
    HostFs fs;
    int root;
    char *real; /* of the root, absolute, without links */
    bool have_openat2;
} PosixFs;

struct HostDir {
    DIR *stream;
};

struct HostFile {
    int fd;
};

/* Longest piece of a path given to the kernel at once. */
#define PIECE_MAX (PATH_MAX - 1)

static PosixFs *posix_fs(HostFs *fs)
{
    return fs->opaque;
}

/* ---- Opening below the root ---- */

static int open_piece(int at, const char *path, int flags)
{
    struct open_how how = {
        .flags = (uint64_t)(flags | O_CLOEXEC),
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
    };
    int fd;

    do {
        fd = (int)syscall(SYS_openat2, at, path, &how, sizeof(how));
    } while (fd < 0 && (errno == EINTR || errno == EAGAIN));
    return fd < 0 ? -errno : fd;
}

static int open_component(int at, const char *name, int flags)
{
    int fd;

    if (strcmp(name, "..") == 0) {
        return -EXDEV;
    }
    do {
        fd = openat(at, name, flags | O_NOFOLLOW | O_CLOEXEC);
    } while (fd < 0 && errno == EINTR);
    return fd < 0 ? -errno : fd;
}

/* Bytes of `path` to be opened in one step: all of it, or up to a slash. */
static size_t piece_length(const PosixFs *p, const char *path)
{
    size_t n = strlen(path);
    const char *slash;

    if (!p->have_openat2) {
        slash = strchr(path, '/');
        return slash ? (size_t)(slash - path) : n;
    }
    if (n <= PIECE_MAX) {
        return n;
    }
    slash = memrchr(path, '/', PIECE_MAX);
    return slash ? (size_t)(slash - path) : n;
}

/* A descriptor of a path below the root, or -errno. */
static int open_beneath(const PosixFs *p, const char *path, int flags)
{
    int at = p->root;

    if (!*path) {
        path = ".";
    }
    for (;;) {
        size_t n = piece_length(p, path);
        bool last = path[n] == '\0';
        g_autofree char *piece = g_strndup(path, n);
        int how = last ? flags : O_PATH | O_DIRECTORY;
        int fd = p->have_openat2 ? open_piece(at, piece, how)
                                 : open_component(at, piece, how);

        if (at != p->root) {
            close(at);
        }
        if (fd < 0 || last) {
            return fd;
        }
        at = fd;
        path += n + 1;
    }
}

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
        .dev = in->st_dev,
        .ino = in->st_ino,
        .size = in->st_size,
        .mtime = in->st_mtim.tv_sec,
        .mtime_ns = (uint32_t)in->st_mtim.tv_nsec,
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

static int stat_entry(int at, const char *name, HostStat *out)
{
    struct stat st;

    if (fstatat(at, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        return -errno;
    }
    stat_convert(&st, out);
    if (out->kind == HOST_FILE || out->kind == HOST_DIRECTORY) {
        out->readable = is_readable(at, name, &st);
    }
    return 0;
}

static int posix_stat_at(HostFs *fs, HostDir *dir, const char *name,
                         HostStat *st)
{
    (void)fs;
    return stat_entry(dirfd(dir->stream), name, st);
}

static int posix_stat(HostFs *fs, const char *path, HostStat *st)
{
    PosixFs *p = posix_fs(fs);
    const char *slash = strrchr(path, '/');
    g_autofree char *parent = slash ? g_strndup(path, (size_t)(slash - path))
                                    : g_strdup("");
    const char *name = slash ? slash + 1 : *path ? path : ".";
    int fd = open_beneath(p, parent, O_PATH | O_DIRECTORY);
    int r;

    if (fd < 0) {
        return fd;
    }
    r = stat_entry(fd, name, st);
    close(fd);
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
    int fd = open_beneath(posix_fs(fs), path,
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

static int posix_file_open(HostFs *fs, const char *path, HostFile **file,
                           HostStat *out)
{
    /* Not to hang when a FIFO has taken the file's place. */
    int fd = open_beneath(posix_fs(fs), path,
                          O_RDONLY | O_NONBLOCK | O_NOCTTY);
    struct stat st;
    int r = 0;

    if (fd < 0) {
        return fd;
    }
    if (fstat(fd, &st) < 0) {
        r = -errno;
    } else if (!S_ISREG(st.st_mode)) {
        r = -EINVAL;
    }
    if (r < 0) {
        close(fd);
        return r;
    }
    stat_convert(&st, out);
    *file = g_new(HostFile, 1);
    (*file)->fd = fd;
    return 0;
}

static void posix_file_close(HostFs *fs, HostFile *file)
{
    (void)fs;
    close(file->fd);
    g_free(file);
}

static int posix_file_stat(HostFs *fs, HostFile *file, HostStat *out)
{
    struct stat st;

    (void)fs;
    if (fstat(file->fd, &st) < 0) {
        return -errno;
    }
    stat_convert(&st, out);
    return 0;
}

static ssize_t posix_file_preadv(HostFs *fs, HostFile *file,
                                 const struct iovec *iov, int niov,
                                 int64_t offset)
{
    ssize_t n = preadv(file->fd, iov, niov, offset);

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
    .stat = posix_stat,
    .resolve = posix_resolve,
    .file_open = posix_file_open,
    .file_close = posix_file_close,
    .file_stat = posix_file_stat,
    .file_preadv = posix_file_preadv,
    .file_seek = posix_file_seek,
    .file_fd = posix_file_fd,
};

HostFs *hostfs_posix_new(const char *dir, GError **errp)
{
    int root = open(dir, O_RDONLY | O_DIRECTORY | O_NONBLOCK | O_CLOEXEC);
    PosixFs *p;
    char *real;
    int probe;

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
    probe = open_piece(root, ".", O_PATH | O_DIRECTORY);
    p->have_openat2 = probe >= 0;
    if (probe >= 0) {
        close(probe);
    }
    return &p->fs;
}
