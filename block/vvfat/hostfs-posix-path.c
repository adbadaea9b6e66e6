/* SPDX-License-Identifier: MIT */
/*
 * Finding what a path below the root means, without leaving it.
 *
 * Every path is resolved from the descriptor of the root by openat2() with
 * RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS. Where the kernel has no openat2()
 * (before 5.6) or a sandbox forbids it, the path is walked one component at a
 * time with O_NOFOLLOW, which comes to the same.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "block/vvfat/hostfs-posix-int.h"

/* Longest piece of a path given to the kernel at once. */
#define PIECE_MAX (PATH_MAX - 1)

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

int posix_open_beneath(const PosixFs *p, const char *path, int flags)
{
    int at = p->root;

    if (!*path) {
        path = ".";
    }
    for (;;) {
        size_t n = piece_length(p, path);
        bool last = path[n] == '\0';
        g_autofree char *front = last ? NULL : g_strndup(path, n);
        const char *piece = last ? path : front;
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

int posix_get_parent(PosixFs *p, const char *path, const char **name)
{
    const char *slash = strrchr(path, '/');

    *name = slash ? slash + 1 : path;
    if (*path == '/' || strstr(path, "//") || !**name ||
        strcmp(*name, ".") == 0 || strcmp(*name, "..") == 0) {
        return -EINVAL;
    }
    return posix_dir_get(p, path, slash ? (size_t)(slash - path) : 0);
}

void posix_probe(PosixFs *p)
{
    int fd = open_piece(p->root, ".", O_PATH | O_DIRECTORY);

    p->have_openat2 = fd >= 0;
    if (fd >= 0) {
        close(fd);
    }
}
