/* SPDX-License-Identifier: MIT */
/*
 * The host's file system, as a table of functions: the only way from the
 * driver to host files, so that tests can put anything behind it.
 *
 * A HostFs is rooted at one directory. Paths are below that root, of real
 * names ("a/b", "" for the root itself): "..", empty components and symbolic
 * links in a path are refused, so that nothing outside the root is reached,
 * whoever changes the tree meanwhile. Paths may be longer than PATH_MAX.
 *
 * Threads: calls on files may run on any thread, many at a time, also on one
 * file. A HostDir belongs to one thread at a time.
 */
#ifndef VVFAT_HOSTFS_H
#define VVFAT_HOSTFS_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "block/iov.h"

typedef enum HostKind {
    HOST_FILE,
    HOST_DIRECTORY,
    HOST_SYMLINK,
    HOST_OTHER, /* socket, FIFO, device */
} HostKind;

typedef struct HostStat {
    HostKind kind;
    bool readable;  /* by us; a directory: listed and searched */
    bool read_only; /* nobody has write permission by the mode */
    bool is_sparse; /* takes less room than its size */
    uint64_t dev, ino;
    int64_t size;
    int64_t mtime; /* seconds since 1970, */
    uint32_t mtime_ns;
} HostStat;

/* Open directories and files; what they are is the table's own affair. */
typedef struct HostDir HostDir;
typedef struct HostFile HostFile;

typedef struct HostFs HostFs;

/* All return 0 (or what is said) or -errno. */
typedef struct HostFsOps {
    void (*destroy)(HostFs *fs);

    int (*dir_open)(HostFs *fs, const char *path, HostDir **dir);
    /* The next name, without "." and "..", valid until the next call. 1: got
     * one, 0: that was all. */
    int (*dir_next)(HostFs *fs, HostDir *dir, const char **name);
    void (*dir_close)(HostFs *fs, HostDir *dir);

    /* About an entry of an open directory, and about a path. Links are not
     * followed. */
    int (*stat_at)(HostFs *fs, HostDir *dir, const char *name, HostStat *st);
    int (*stat)(HostFs *fs, const char *path, HostStat *st);

    /* The real path below the root of what the symbolic link at `path`
     * finally leads to. -EXDEV: outside the root; -ENOENT: nowhere; -ELOOP.
     * For g_free(). */
    int (*resolve)(HostFs *fs, const char *path, char **real);

    /* Open a regular file for reading, and what it is; -EINVAL when it is no
     * regular file. */
    int (*file_open)(HostFs *fs, const char *path, HostFile **file,
                     HostStat *st);
    void (*file_close)(HostFs *fs, HostFile *file);
    int (*file_stat)(HostFs *fs, HostFile *file, HostStat *st);
    /* As preadv(): bytes read, 0 at the end. niov is at most IOV_MAX. */
    ssize_t (*file_preadv)(HostFs *fs, HostFile *file, const struct iovec *iov,
                           int niov, int64_t offset);
    /* As lseek() with SEEK_DATA or SEEK_HOLE, without a position; -ENXIO: no
     * data from there on, -ENOTSUP or -EINVAL: not known. */
    int64_t (*file_seek)(HostFs *fs, HostFile *file, int64_t offset,
                         bool data);
    /* A descriptor for copying in the kernel, of the table; -ENOTSUP. */
    int (*file_fd)(HostFs *fs, HostFile *file);
} HostFsOps;

struct HostFs {
    const HostFsOps *ops;
    void *opaque;
};

/* The host's own file system, rooted at `dir`. */
HostFs *hostfs_posix_new(const char *dir, GError **errp);

void hostfs_free(HostFs *fs);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(HostFs, hostfs_free)

/*
 * Read exactly `bytes` bytes into the vector, from `iov_offset` of it on.
 * -ENODATA when the file ends before.
 */
int hostfs_read_full(HostFs *fs, HostFile *file, int64_t offset,
                     const IOVector *iov, size_t iov_offset, size_t bytes)
    G_GNUC_WARN_UNUSED_RESULT;

/*
 * A whole small file by its ordinary host name, relative to the current
 * directory and through links as the user's other tools have it: boot code,
 * not contents of the volume. More than max_bytes is an error.
 */
bool hostfs_load(const char *filename, size_t max_bytes, uint8_t **data,
                 size_t *bytes, GError **errp) G_GNUC_WARN_UNUSED_RESULT;

#endif
