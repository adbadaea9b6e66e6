/* SPDX-License-Identifier: MIT */
/*
 * The host's file system by POSIX and Linux calls: attributes.
 *
 * A file is opened for reading, so that what is changed is what was found,
 * whatever happens to its name. One that we may not read, but own, is opened
 * as a mere place (O_PATH); calls on descriptors refuse those, but the link to
 * it in /proc/self/fd leads to just that file.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "block/vvfat/hostfs-dos-attrib.h"
#include "block/vvfat/hostfs-posix-int.h"
#include "block/vvfat/hostfs-xattr.h"

#define DOS_ATTRIB "user.DOSATTRIB"

/* The number is the same wherever the kernel's generic table is used. */
#if !defined(SYS_getxattrat) &&                                               \
    (defined(__x86_64__) || defined(__aarch64__) || defined(__riscv))
#define SYS_getxattrat 464
#endif

typedef struct Place {
    int fd;
    bool by_name; /* the descriptor is for finding only */
    char name[sizeof("/proc/self/fd/") + 11];
    struct stat st;
} Place;

static int result(int r)
{
    return r < 0 ? -errno : 0;
}

static void place_close(Place *place)
{
    close(place->fd);
}

static int place_open(const PosixFs *p, const char *path, Place *place)
{
    int r;

    place->fd = posix_open_beneath(p, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    place->by_name = place->fd == -EACCES;
    if (place->by_name) {
        place->fd = posix_open_beneath(p, path, O_PATH);
    }
    if (place->fd < 0) {
        return place->fd == -ENXIO ? -EINVAL : place->fd;
    }
    r = result(fstat(place->fd, &place->st));
    if (r == 0 && S_ISLNK(place->st.st_mode)) {
        r = -ELOOP;
    } else if (r == 0 && !S_ISREG(place->st.st_mode) &&
               !S_ISDIR(place->st.st_mode)) {
        r = -EINVAL;
    }
    if (r < 0) {
        place_close(place);
        return r;
    }
    snprintf(place->name, sizeof(place->name), "/proc/self/fd/%d", place->fd);
    return 0;
}

/* ---- Times and mode ---- */

int posix_set_times(HostFs *fs, const char *path, int64_t mtime,
                    uint32_t mtime_ns)
{
    const struct timespec times[2] = {
        { .tv_nsec = UTIME_OMIT },
        { .tv_sec = mtime, .tv_nsec = mtime_ns },
    };
    Place place;
    int r = place_open(posix_fs(fs), path, &place);

    if (r < 0) {
        return r;
    }
    r = result(place.by_name ? utimensat(AT_FDCWD, place.name, times, 0)
                             : futimens(place.fd, times));
    place_close(&place);
    return r;
}

int posix_file_set_times(HostFs *fs, HostFile *file, int64_t mtime,
                         uint32_t mtime_ns)
{
    const struct timespec times[2] = {
        { .tv_nsec = UTIME_OMIT },
        { .tv_sec = mtime, .tv_nsec = mtime_ns },
    };

    (void)fs;
    return result(futimens(file->fd, times));
}

static int place_chmod(const Place *place, mode_t mode)
{
    if ((place->st.st_mode & 07777) == mode) {
        return 0;
    }
    return result(place->by_name ? chmod(place->name, mode)
                                 : fchmod(place->fd, mode));
}

int posix_set_mode(HostFs *fs, const char *path, unsigned mode)
{
    Place place;
    int r = place_open(posix_fs(fs), path, &place);

    if (r < 0) {
        return r;
    }
    r = place_chmod(&place, mode & 07777);
    place_close(&place);
    return r;
}

int posix_set_read_only(HostFs *fs, const char *path, bool read_only)
{
    Place place;
    mode_t mode;
    int r = place_open(posix_fs(fs), path, &place);

    if (r < 0) {
        return r;
    }
    mode = place.st.st_mode & 07777;
    if (read_only) {
        mode &= ~(mode_t)(S_IWUSR | S_IWGRP | S_IWOTH);
    } else if (!(mode & (S_IWUSR | S_IWGRP | S_IWOTH))) {
        mode |= S_IWUSR;
    }
    r = place_chmod(&place, mode);
    place_close(&place);
    return r;
}

/* ---- Extended attributes ---- */

/* Bytes read into `buf`, of XATTR_SIZE_MAX, or -errno. */
static ssize_t get_attr(const Place *place, const char *name, uint8_t *buf)
{
    ssize_t n = place->by_name
                    ? getxattr(place->name, name, buf, XATTR_SIZE_MAX)
                    : fgetxattr(place->fd, name, buf, XATTR_SIZE_MAX);

    return n < 0 ? -errno : n;
}

static int set_attr(const Place *place, const char *name, const void *value,
                    size_t bytes)
{
    return result(place->by_name
                      ? setxattr(place->name, name, value, bytes, 0)
                      : fsetxattr(place->fd, name, value, bytes, 0));
}

static int remove_attr(const Place *place, const char *name)
{
    return result(place->by_name ? removexattr(place->name, name)
                                 : fremovexattr(place->fd, name));
}

int posix_get_dos_attrib(HostFs *fs, const char *path, unsigned *attr)
{
    g_autofree uint8_t *buf = g_malloc(XATTR_SIZE_MAX);
    Place place;
    ssize_t n;
    int r = place_open(posix_fs(fs), path, &place);

    if (r < 0) {
        return r;
    }
    n = get_attr(&place, DOS_ATTRIB, buf);
    place_close(&place);
    return n < 0 ? (int)n : dos_attrib_parse(buf, (size_t)n, attr);
}

/* getxattrat() (Linux 6.13); -1 with ENOSYS where the headers do not know it.
 * The argument is the kernel's struct xattr_args. */
static ssize_t call_getxattrat(int dirfd, const char *name, int flags,
                               void *value, uint32_t bytes)
{
#ifdef SYS_getxattrat
    struct {
        uint64_t value;
        uint32_t size, flags;
    } args = { .value = (uint64_t)(uintptr_t)value, .size = bytes };

    return syscall(SYS_getxattrat, dirfd, name, flags, DOS_ATTRIB, &args,
                   sizeof(args));
#else
    (void)dirfd, (void)name, (void)flags, (void)value, (void)bytes;
    errno = ENOSYS;
    return -1;
#endif
}

void posix_probe_attr(PosixFs *p)
{
    uint8_t value;

    p->have_getxattrat = call_getxattrat(p->root, "", AT_EMPTY_PATH, &value,
                                         sizeof(value)) >= 0 ||
                         errno == ENODATA || errno == ERANGE ||
                         errno == ENOTSUP;
}

/* Through /proc, which takes more than twice as long. */
static ssize_t get_by_proc(int dirfd, const char *name, void *value,
                           size_t bytes)
{
    char path[sizeof("/proc/self/fd//") + 3 * sizeof(int) + NAME_MAX];

    if (g_snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", dirfd, name) >=
        (int)sizeof(path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    return lgetxattr(path, DOS_ATTRIB, value, bytes);
}

static ssize_t get_entry_attr(const PosixFs *p, int dirfd, const char *name,
                              void *value, uint32_t bytes)
{
    return p->have_getxattrat
               ? call_getxattrat(dirfd, name, AT_SYMLINK_NOFOLLOW, value,
                                 bytes)
               : get_by_proc(dirfd, name, value, bytes);
}

/* Asked of every file of a scan: one call, as a rule. */
int posix_entry_dos_attrib(const PosixFs *p, int dirfd, const char *name,
                           unsigned *attr)
{
    uint8_t small[256];
    g_autofree uint8_t *large = NULL;
    const uint8_t *value = small;
    ssize_t n = get_entry_attr(p, dirfd, name, small, sizeof(small));

    if (n < 0 && errno == ERANGE) {
        value = large = g_malloc(XATTR_SIZE_MAX);
        n = get_entry_attr(p, dirfd, name, large, XATTR_SIZE_MAX);
    }
    return n < 0 ? -errno : dos_attrib_parse(value, (size_t)n, attr);
}

int posix_set_dos_attrib(HostFs *fs, const char *path, unsigned attr)
{
    g_autofree uint8_t *buf = g_malloc(XATTR_SIZE_MAX);
    g_autoptr(GByteArray) value = NULL;
    Place place;
    ssize_t n;
    int r = place_open(posix_fs(fs), path, &place);

    if (r < 0) {
        return r;
    }
    n = get_attr(&place, DOS_ATTRIB, buf);
    if (n == -ENODATA) {
        n = 0;
    }
    if (n < 0) {
        place_close(&place);
        return (int)n;
    }
    value = dos_attrib_change(buf, (size_t)n, attr);
    if (value->len != (size_t)n || memcmp(value->data, buf, value->len) != 0) {
        r = set_attr(&place, DOS_ATTRIB, value->data, value->len);
    }
    place_close(&place);
    return r;
}

/* ---- Copying all of it ---- */

typedef struct MetadataCopy {
    Place from, to;
    uint8_t *names; /* of the attributes of one of them, NUL after each */
    size_t names_bytes;
    uint8_t *value, *other; /* room for one attribute of each */
    GString *left;          /* what stays behind; names */
    bool has_acl;           /* one that stays behind */
    int error;              /* the first */
} MetadataCopy;

/* With so many bytes free a file system is not full. */
#define ROOM (UINT64_C(1) << 20)

static void note_error(MetadataCopy *copy, int r)
{
    if (r < 0 && copy->error == 0) {
        copy->error = r;
    }
}

static void leave(MetadataCopy *copy, const char *name)
{
    g_string_append_printf(copy->left, "%s%s", copy->left->len ? ", " : "",
                           name);
    copy->has_acl |= strcmp(name, XATTR_ACL) == 0;
}

static bool has_room(const Place *place)
{
    struct statvfs st;

    return fstatvfs(place->fd, &st) == 0 && st.f_frsize > 0 &&
           st.f_bavail >= ROOM / st.f_frsize;
}

/* An attribute was copied, or not: -errno. */
static void note_attr(MetadataCopy *copy, const char *name, int r)
{
    if (r < 0 && xattr_may_stay_behind(name, r, has_room(&copy->to))) {
        leave(copy, name);
    } else {
        note_error(copy, r);
    }
}

static void list_attrs(MetadataCopy *copy, const Place *place)
{
    char *names = (char *)copy->names;
    ssize_t n = place->by_name ? listxattr(place->name, names, XATTR_LIST_MAX)
                               : flistxattr(place->fd, names, XATTR_LIST_MAX);

    copy->names_bytes = n < 0 ? 0 : (size_t)n;
    if (n < 0 && errno != ENOTSUP) {
        note_error(copy, -errno);
    }
}

/* Setting what is there already may be forbidden, as of security labels. */
static void copy_attr(MetadataCopy *copy, const char *name)
{
    ssize_t n, m;

    if (xattr_is_of_contents(name)) {
        return;
    }
    n = get_attr(&copy->from, name, copy->value);
    if (n < 0) {
        note_attr(copy, name, n == -ENODATA ? 0 : (int)n);
        return;
    }
    m = get_attr(&copy->to, name, copy->other);
    if (m != n || memcmp(copy->value, copy->other, (size_t)n) != 0) {
        note_attr(copy, name,
                  set_attr(&copy->to, name, copy->value, (size_t)n));
    }
}

/* A new file may have got attributes from its directory, such as an access
 * list, which the other one does not have. */
static void drop_attr(MetadataCopy *copy, const char *name)
{
    if (xattr_is_own(name) &&
        get_attr(&copy->from, name, copy->value) == -ENODATA) {
        note_error(copy, remove_attr(&copy->to, name));
    }
}

static void each_attr(MetadataCopy *copy,
                      void (*call)(MetadataCopy *copy, const char *name))
{
    const char *name = (const char *)copy->names;
    const char *end = name + copy->names_bytes;

    for (; name < end; name += strlen(name) + 1) {
        call(copy, name);
    }
}

static int place_chown(const Place *place, uid_t uid, gid_t gid)
{
    return result(place->by_name ? chown(place->name, uid, gid)
                                 : fchown(place->fd, uid, gid));
}

static void copy_owner(MetadataCopy *copy)
{
    const struct stat *want = &copy->from.st;
    const struct stat *have = &copy->to.st;
    int r = 0;

    if (want->st_uid != have->st_uid || want->st_gid != have->st_gid) {
        r = place_chown(&copy->to, want->st_uid, want->st_gid);
    }
    if (r == -EPERM && want->st_gid != have->st_gid) {
        /* A group that we are in is ours to give. */
        r = place_chown(&copy->to, (uid_t)-1, want->st_gid);
    }
    note_error(copy, r == -EPERM ? 0 : r);
    note_error(copy, result(fstat(copy->to.fd, &copy->to.st)));
    if (want->st_uid != have->st_uid) {
        leave(copy, "owner");
    }
    if (want->st_gid != have->st_gid) {
        leave(copy, "group");
    }
}

/* Last: it may take the right to set the others away, and setting them
 * changes it. Without its access list the group would get more than it had. */
static void copy_mode(MetadataCopy *copy)
{
    mode_t mode = copy->from.st.st_mode & (copy->has_acl ? 01707 : 01777);

    note_error(copy, result(fstat(copy->to.fd, &copy->to.st)));
    note_error(copy, place_chmod(&copy->to, mode));
}

int posix_copy_metadata(HostFs *fs, const char *from, const char *to,
                        char **left_behind)
{
    g_autofree uint8_t *buf = g_malloc(2 * XATTR_SIZE_MAX + XATTR_LIST_MAX);
    MetadataCopy copy = {
        .value = buf,
        .other = buf + XATTR_SIZE_MAX,
        .names = buf + 2 * XATTR_SIZE_MAX,
    };
    int r = place_open(posix_fs(fs), from, &copy.from);

    *left_behind = NULL;
    if (r < 0) {
        return r;
    }
    r = place_open(posix_fs(fs), to, &copy.to);
    if (r < 0) {
        place_close(&copy.from);
        return r;
    }
    copy.left = g_string_new(NULL);
    copy_owner(&copy);
    list_attrs(&copy, &copy.from);
    each_attr(&copy, copy_attr);
    list_attrs(&copy, &copy.to);
    each_attr(&copy, drop_attr);
    copy_mode(&copy);
    place_close(&copy.to);
    place_close(&copy.from);
    *left_behind = g_string_free(copy.left, copy.left->len == 0);
    return copy.error;
}
