/* SPDX-License-Identifier: MIT */
#include "block/vvfat/extract-host.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#define HOLE_SIZE 4096u /* of the smallest hole made */

/* ---- Names ---- */

static bool is_component(const char *name)
{
    return *name && !strchr(name, '/') && strcmp(name, ".") != 0 &&
           strcmp(name, "..") != 0;
}

static int open_beneath(int dir, const char *name, int flags, mode_t mode)
{
    struct open_how how = {
        .flags = (uint64_t)(flags | O_NOFOLLOW | O_CLOEXEC),
        .mode = mode,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
    };
    long fd;

    if (!is_component(name)) {
        return -EINVAL;
    }
    fd = syscall(SYS_openat2, dir, name, &how, sizeof(how));
    if (fd < 0 && (errno == ENOSYS || errno == EPERM)) {
        /* An old kernel, or a sandbox that does not know the call. For one
         * component O_NOFOLLOW says as much. */
        fd = openat(dir, name, flags | O_NOFOLLOW | O_CLOEXEC, mode);
    }
    return fd < 0 ? -errno : (int)fd;
}

/* ---- Identity ---- */

guint file_id_hash(gconstpointer id)
{
    const FileId *file = id;
    uint64_t mixed = ((uint64_t)file->ino ^ ((uint64_t)file->dev << 32)) *
                     UINT64_C(0x9e3779b97f4a7c15);

    return (guint)(mixed >> 32);
}

gboolean file_id_equal(gconstpointer a, gconstpointer b)
{
    const FileId *one = a;
    const FileId *other = b;

    return one->dev == other->dev && one->ino == other->ino;
}

int extract_identify(int fd, FileId *id)
{
    struct stat st;

    if (fstat(fd, &st) < 0) {
        return -errno;
    }
    *id = (FileId){ st.st_dev, st.st_ino };
    return 0;
}

/* ---- Directories ---- */

int extract_open_target(const char *dir)
{
    int fd;

    if (mkdir(dir, 0777) < 0 && errno != EEXIST) {
        return -errno;
    }
    fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? -errno : fd;
}

int extract_is_empty(int dir)
{
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;
    int result = 1;

    if (!stream) {
        result = -errno;
        if (fd >= 0) {
            close(fd);
        }
        return result;
    }
    errno = 0;
    while (result == 1 && (entry = readdir(stream))) {
        result = !is_component(entry->d_name);
        errno = 0;
    }
    if (result == 1 && errno) {
        result = -errno;
    }
    closedir(stream);
    return result;
}

int extract_make_dir(int dir, const char *name, bool reuse)
{
    if (!is_component(name)) {
        return -EINVAL;
    }
    if (mkdirat(dir, name, 0777) < 0 && !(errno == EEXIST && reuse)) {
        return -errno;
    }
    int fd = open_beneath(dir, name, O_RDONLY | O_DIRECTORY, 0);
    struct stat st;
    if (fd == -ENOTDIR && fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
        S_ISLNK(st.st_mode)) {
        return -ELOOP;
    }
    return fd;
}

int extract_open_parent(int dir, const FileId *expected)
{
    int fd = openat(dir, "..",
                    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    FileId id = { 0 };
    int ret;

    if (fd < 0) {
        return -errno;
    }
    ret = extract_identify(fd, &id);
    if (ret == 0 && !file_id_equal(&id, expected)) {
        ret = -ESTALE;
    }
    if (ret < 0) {
        close(fd);
        return ret;
    }
    return fd;
}

/* ---- Files ---- */

int extract_create(int dir, const char *name)
{
    return open_beneath(dir, name, O_WRONLY | O_CREAT | O_EXCL, 0666);
}

int extract_remove_old(int dir, const char *name, GHashTable *spare)
{
    struct stat st;

    if (!is_component(name)) {
        return -EINVAL;
    }
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
        return -errno;
    }
    if (S_ISDIR(st.st_mode)) {
        return -EISDIR;
    }
    if (g_hash_table_contains(spare, &(FileId){ st.st_dev, st.st_ino })) {
        return -EEXIST;
    }
    return unlinkat(dir, name, 0) < 0 ? -errno : 0;
}

void extract_remove(int dir, const char *name)
{
    if (is_component(name)) {
        unlinkat(dir, name, 0);
    }
}

static int write_all(int fd, int64_t offset, const uint8_t *buf, size_t bytes)
{
    while (bytes > 0) {
        ssize_t n = pwrite(fd, buf, bytes, offset);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n < 0 ? -errno : -EIO;
        }
        buf += n;
        offset += n;
        bytes -= (size_t)n;
    }
    return 0;
}

/* Length of the first block: up to where a hole could begin. */
static size_t block_length(int64_t offset, size_t bytes)
{
    return MIN(bytes, HOLE_SIZE - (size_t)(offset % HOLE_SIZE));
}

static bool is_zero(const uint8_t *buf, size_t bytes)
{
    return buf[0] == 0 && memcmp(buf, buf + 1, bytes - 1) == 0;
}

int extract_write(int fd, int64_t offset, const uint8_t *buf, size_t bytes)
{
    size_t data = 0; /* bytes at buf that are to be written */

    while (data < bytes) {
        size_t block = block_length(offset + (int64_t)data, bytes - data);

        if (is_zero(buf + data, block)) {
            int ret = write_all(fd, offset, buf, data);

            if (ret < 0) {
                return ret;
            }
            buf += data + block;
            offset += (int64_t)(data + block);
            bytes -= data + block;
            data = 0;
        } else {
            data += block;
        }
    }
    return write_all(fd, offset, buf, data);
}

/* ---- Attributes ---- */

int extract_set_dos_attributes(int fd, unsigned attributes)
{
    char text[16];
    int length = snprintf(text, sizeof(text), "0x%x", attributes);

    return fsetxattr(fd, "user.DOSATTRIB", text, (size_t)length, 0) < 0
               ? -errno
               : 0;
}

int extract_clear_write_mode(int fd)
{
    struct stat st;

    if (fstat(fd, &st) < 0 || fchmod(fd, st.st_mode & 07555) < 0) {
        return -errno;
    }
    return 0;
}

int extract_set_times(int fd, int64_t access, int64_t modification)
{
    const struct timespec times[2] = {
        { .tv_sec = access },
        { .tv_sec = modification },
    };

    return futimens(fd, times) < 0 ? -errno : 0;
}
