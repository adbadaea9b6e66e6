/* SPDX-License-Identifier: MIT */
#include "block/vvfat/scratch.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "block/error.h"

struct Scratch {
    pthread_mutex_t lock; /* making the file */
    int fd;               /* -1: not made yet */
};

Scratch *scratch_new(void)
{
    Scratch *s = g_new(Scratch, 1);

    pthread_mutex_init(&s->lock, NULL);
    s->fd = -1;
    return s;
}

void scratch_free(Scratch *s)
{
    if (s) {
        if (s->fd >= 0) {
            close(s->fd);
        }
        pthread_mutex_destroy(&s->lock);
        g_free(s);
    }
}

static int open_nameless(void)
{
    g_autofree char *path = g_build_filename(g_get_tmp_dir(), "vvfat-XXXXXX",
                                             NULL);
    int fd = mkostemp(path, O_CLOEXEC);

    if (fd < 0) {
        return -errno;
    }
    unlink(path);
    return fd;
}

static int scratch_fd(Scratch *s, bool make)
{
    int fd;

    pthread_mutex_lock(&s->lock);
    if (s->fd < 0 && make) {
        fd = open_nameless();
        s->fd = MAX(fd, -1);
    } else {
        fd = s->fd;
    }
    pthread_mutex_unlock(&s->lock);
    return fd;
}

int scratch_read(Scratch *s, int64_t offset, void *buf, size_t bytes)
{
    int fd = scratch_fd(s, false);
    uint8_t *out = buf;

    while (bytes) {
        ssize_t n = fd < 0 ? 0 : pread(fd, out, bytes, offset);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return -errno;
        }
        if (n == 0) {
            memset(out, 0, bytes);
            break;
        }
        out += n;
        offset += n;
        bytes -= (size_t)n;
    }
    return 0;
}

int scratch_write(Scratch *s, int64_t offset, const void *buf, size_t bytes)
{
    int fd = scratch_fd(s, true);
    const uint8_t *in = buf;

    if (fd < 0) {
        return fd;
    }
    while (bytes) {
        ssize_t n = pwrite(fd, in, bytes, offset);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n < 0 ? -errno : -EIO;
        }
        in += n;
        offset += n;
        bytes -= (size_t)n;
    }
    return 0;
}

void scratch_clear(Scratch *s)
{
    /* One that cannot be emptied is closed: a new one is made. */
    if (s->fd >= 0 && ftruncate(s->fd, 0) < 0) {
        close(s->fd);
        s->fd = -1;
    }
}

char *scratch_named(const char *pattern, GError **errp)
{
    g_autofree char *path = g_build_filename(g_get_tmp_dir(), pattern, NULL);
    int fd = mkostemp(path, O_CLOEXEC);

    if (fd < 0) {
        block_error_set_errno(errp, errno,
                              "Could not make a temporary file in '%s' "
                              "(TMPDIR names another directory)",
                              g_get_tmp_dir());
        return NULL;
    }
    close(fd);
    return g_steal_pointer(&path);
}

int scratch_claim(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd < 0) {
        return -errno;
    }
    close(fd);
    return 0;
}

int scratch_unpublished(const char *path, char **as)
{
    g_autofree char *dir = g_path_get_dirname(path);
    struct stat st;
    int fd;

    if (lstat(path, &st) == 0) {
        return -EEXIST;
    }
    fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0644);
    if (fd < 0) {
        /* EISDIR: a kernel or file system that does not know of it. */
        return errno == EISDIR || errno == EINVAL ? -EOPNOTSUPP : -errno;
    }
    *as = g_strdup_printf("/proc/self/fd/%d", fd);
    return fd;
}

int scratch_publish(int fd, const char *path)
{
    g_autofree char *as = g_strdup_printf("/proc/self/fd/%d", fd);
    int ret = 0;

    if (fsync(fd) < 0 ||
        linkat(AT_FDCWD, as, AT_FDCWD, path, AT_SYMLINK_FOLLOW) < 0) {
        ret = -errno;
    }
    close(fd);
    return ret;
}

void scratch_abandon(int fd)
{
    close(fd);
}

int scratch_sync_name(const char *path)
{
    g_autofree char *dir = g_path_get_dirname(path);
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int ret = 0;

    if (fd < 0) {
        return -errno;
    }
    /* EINVAL: a file system whose directories need no syncing. */
    if (fsync(fd) < 0 && errno != EINVAL) {
        ret = -errno;
    }
    close(fd);
    return ret;
}

bool scratch_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

void scratch_remove(const char *path)
{
    unlink(path);
}
