/* SPDX-License-Identifier: MIT */
/*
 * The "file" driver: creating and resizing.
 *
 * A target is locked before it is emptied, so that an image in use stays as
 * it is. On failure a file that was created is removed again, under that lock
 * only: once the lock was refused, the file is another process's, whoever
 * made it. A file that could not be grown has its old size again.
 *
 * Two that lock at the same moment may refuse each other (file-lock.c); both
 * try again after a short while of random length, so that one succeeds.
 */
#include "block/file-posix.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define ZERO_CHUNK (INT64_C(1024) * 1024)

#define OPEN_ATTEMPTS 40 /* as many links as Linux follows */
#define LOCK_ATTEMPTS 6
#define LOCK_PAUSE_MAX_US 8000

/* Without "metadata": a plain file has none of its own. */
static const char *const prealloc_values[] = { "off", "falloc", "full", NULL };
static const PreallocMode prealloc_modes[] = { PREALLOC_MODE_OFF,
                                               PREALLOC_MODE_FALLOC,
                                               PREALLOC_MODE_FULL };

const OptionDesc file_create_options[] = {
    { .name = "size", .type = OPTION_SIZE, .help = "size of the image" },
    { .name = "preallocation",
      .type = OPTION_ENUM,
      .def = "off",
      .values = prealloc_values,
      .help = "reserve the space (falloc), or write it with zeroes (full)" },
    { .name = "nocow",
      .type = OPTION_BOOL,
      .def = "off",
      .help = "no copy-on-write for this file, on btrfs" },
    { .name = NULL },
};

static int write_zeroes(int fd, int64_t offset, int64_t end)
{
    g_autofree char *zeroes = g_try_malloc0((size_t)ZERO_CHUNK);

    if (zeroes == NULL) {
        return -ENOMEM;
    }
    while (offset < end) {
        size_t n = (size_t)MIN(end - offset, ZERO_CHUNK);
        int ret = file_write_all(fd, zeroes, n, offset);
        if (ret < 0) {
            return ret;
        }
        offset += (int64_t)n;
    }
    /* Delayed allocation tells a full disk only now. */
    return fdatasync(fd) < 0 ? -errno : 0;
}

static int grow(int fd, int64_t from, int64_t to, PreallocMode prealloc)
{
    int ret;

    switch (prealloc) {
    case PREALLOC_MODE_FALLOC:
        do {
            ret = posix_fallocate(fd, from, to - from);
        } while (ret == EINTR);
        return -ret;
    case PREALLOC_MODE_FULL:
        return write_zeroes(fd, from, to);
    default:
        return ftruncate(fd, to) < 0 ? -errno : 0;
    }
}

static bool resize_file(int fd, const char *filename, int64_t size,
                        PreallocMode prealloc, GError **errp)
{
    int64_t length = file_fd_length(fd, false);
    int ret = length < 0 ? (int)length : 0;

    if (prealloc == PREALLOC_MODE_METADATA) {
        block_error_set(errp, ENOTSUP,
                        "Cannot preallocate metadata in '%s': a plain file "
                        "has none (use off, falloc or full)",
                        filename);
        return false;
    }
    if (ret == 0 && size > length) {
        ret = grow(fd, length, size, prealloc);
        if (ret < 0 && ftruncate(fd, length) < 0) {
            /* It keeps the space; the error below is the one to report. */
            (void)errno;
        }
    } else if (ret == 0 && size < length && prealloc != PREALLOC_MODE_OFF) {
        block_error_set(errp, ENOTSUP, "Cannot shrink '%s' with preallocation",
                        filename);
        return false;
    } else if (ret == 0 && size < length && ftruncate(fd, size) < 0) {
        ret = -errno;
    }
    if (ret < 0) {
        block_error_set_errno(
            errp, -ret, "Could not resize '%s' to %" G_GINT64_FORMAT " bytes",
            filename, size);
    }
    return ret == 0;
}

/* A device has the size it has: that must do. */
static bool check_device_size(int fd, const char *filename, int64_t size,
                              bool exact, GError **errp)
{
    int64_t length = file_fd_length(fd, true);

    if (length < 0) {
        block_error_set_errno(errp, (int)-length,
                              "Could not find the size of '%s'", filename);
        return false;
    }
    if (size > length || (exact && size < length)) {
        block_error_set(errp, size > length ? ENOSPC : ENOTSUP,
                        "Cannot make the device '%s' %" G_GINT64_FORMAT
                        " bytes: it has %" G_GINT64_FORMAT,
                        filename, size, length);
        return false;
    }
    return true;
}

int file_truncate(BlockDriverState *bs, int64_t size, bool exact,
                  PreallocMode prealloc, GError **errp)
{
    FileState *s = bdrv_opaque(bs);
    GError *error = NULL;
    bool ok;

    if (s->is_device && prealloc != PREALLOC_MODE_OFF) {
        block_error_set(&error, ENOTSUP,
                        "Preallocation means nothing on the device '%s'",
                        s->filename);
        ok = false;
    } else if (s->is_device) {
        ok = check_device_size(s->fd, s->filename, size, exact, &error);
    } else {
        ok = resize_file(s->fd, s->filename, size, prealloc, &error);
    }
    file_map_forget(s);
    if (ok) {
        return 0;
    }
    int ret = block_error_to_errno(error);
    g_propagate_error(errp, error);
    return ret;
}

/* ---- Creating ---- */

typedef struct CreateTarget {
    const char *path;
    char *file; /* the path, or where it leads if that is made now */
    int fd;
    bool created; /* by us, and nobody else */
    bool locked;
} CreateTarget;

/* Whether what was created still has its name. */
static bool has_its_name(const CreateTarget *t)
{
    struct stat ours, there;

    return fstat(t->fd, &ours) == 0 && lstat(t->file, &there) == 0 &&
           ours.st_dev == there.st_dev && ours.st_ino == there.st_ino;
}

/* If the file is a link, go on where it leads. */
static void follow_link(CreateTarget *t)
{
    g_autofree char *target = g_file_read_link(t->file, NULL);

    if (target != NULL) {
        g_autofree char *dir = g_path_get_dirname(t->file);
        char *next = g_path_is_absolute(target)
                         ? g_strdup(target)
                         : g_build_filename(dir, target, NULL);
        g_free(t->file);
        t->file = next;
    }
}

/* Open what is there, else create it; sets `created` when nobody else did.
 * O_EXCL does not follow a link that leads to no file yet: we do. */
static int open_or_create(CreateTarget *t)
{
    const int flags = O_RDWR | O_CLOEXEC | O_NOCTTY;

    t->file = g_strdup(t->path);
    for (int attempt = 0; attempt < OPEN_ATTEMPTS; attempt++) {
        int fd = open(t->file, flags);
        if (fd >= 0 || errno != ENOENT) {
            return fd;
        }
        fd = open(t->file, flags | O_CREAT | O_EXCL, 0644);
        t->created = fd >= 0;
        if (fd >= 0 || errno != EEXIST) {
            return fd;
        }
        follow_link(t); /* or another process was faster */
    }
    errno = ELOOP;
    return -1;
}

static bool open_target(CreateTarget *t, GError **errp)
{
    struct stat st;

    /* Before open(), which would wait for the other end of a FIFO. */
    if (stat(t->path, &st) == 0 && !file_check_type(&st, t->path, errp)) {
        return false;
    }
    t->fd = open_or_create(t);
    if (t->fd < 0 || fstat(t->fd, &st) < 0) {
        block_error_set_errno(errp, errno, "Could not create '%s'", t->path);
        return false;
    }
    return file_check_type(&st, t->path, errp);
}

/* What another program has open for writing is not ours to empty, even if
 * that program would tolerate it. */
static bool lock_target(CreateTarget *t, GError **errp)
{
    FileLock lock = { .fd = file_lock_works(t->fd) ? t->fd : -1 };

    for (int attempt = 1; !t->locked; attempt++) {
        GError *error = NULL;

        t->locked = file_lock_take(
            &lock, t->path, BLK_PERM_WRITE | BLK_PERM_RESIZE,
            BLK_PERM_CONSISTENT_READ | BLK_PERM_WRITE_UNCHANGED, &error);
        if (!t->locked &&
            (error->code != EAGAIN || attempt == LOCK_ATTEMPTS)) {
            g_propagate_error(errp, error);
            return false;
        }
        if (!t->locked) {
            g_error_free(error);
            g_usleep((gulong)g_random_int_range(1, LOCK_PAUSE_MAX_US));
        }
    }
    return true;
}

static void unlock_target(const CreateTarget *t)
{
    FileLock lock = { .fd = t->locked ? t->fd : -1 };

    file_lock_keep(&lock, 0, BLK_PERM_ALL);
}

/* Must be set while the file is empty. Where files are not copied on write
 * anyway, there is nothing to turn off. */
static bool set_nocow(int fd, const char *path, GError **errp)
{
    int attr;

    if (ioctl(fd, FS_IOC_GETFLAGS, &attr) == 0) {
        attr |= FS_NOCOW_FL;
        if (ioctl(fd, FS_IOC_SETFLAGS, &attr) == 0) {
            return true;
        }
    }
    if (errno == ENOTTY || errno == EOPNOTSUPP || errno == EINVAL ||
        errno == ENOSYS) {
        return true;
    }
    block_error_set_errno(errp, errno,
                          "Could not turn off copy-on-write for '%s'", path);
    return false;
}

/* Give the locked target the size and properties asked for. */
static bool make_image(int fd, const char *path, const OptionValues *values,
                       GError **errp)
{
    int64_t size = (int64_t)option_values_size(values, "size");
    PreallocMode prealloc =
        prealloc_modes[option_values_enum(values, "preallocation")];
    struct stat st;

    if (fstat(fd, &st) == 0 && S_ISBLK(st.st_mode)) {
        return check_device_size(fd, path, size, false, errp);
    }
    if (ftruncate(fd, 0) < 0) {
        block_error_set_errno(errp, errno, "Could not empty '%s'", path);
        return false;
    }
    return (!option_values_bool(values, "nocow") ||
            set_nocow(fd, path, errp)) &&
           resize_file(fd, path, size, prealloc, errp);
}

bool file_create(const char *filename, Options *options, GError **errp)
{
    g_autoptr(OptionValues) values = NULL;

    values = option_values_absorb(file_create_options, options, errp);
    if (values == NULL) {
        return false;
    }
    if (g_str_has_prefix(filename, "file:")) {
        filename += strlen("file:");
    }
    CreateTarget t = { .path = filename, .fd = -1 };
    bool ok = open_target(&t, errp) && lock_target(&t, errp) &&
              make_image(t.fd, filename, values, errp);
    if (!ok && t.created && t.locked && has_its_name(&t)) {
        (void)unlink(t.file);
    }
    /* With the lock the right to remove the file is gone. Closing alone would
     * give it up late: see file_close(). */
    unlock_target(&t);
    /* Network file systems report a full disk here. */
    if (t.fd >= 0 && close(t.fd) < 0 && ok && errno != EINTR) {
        block_error_set_errno(errp, errno, "Could not create '%s'", filename);
        ok = false;
    }
    g_free(t.file);
    return ok;
}
