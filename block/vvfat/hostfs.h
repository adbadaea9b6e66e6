/* SPDX-License-Identifier: MIT */
/*
 * The host's file system, as a table of functions: the only way from the
 * driver to host files, so that tests can put anything behind it.
 *
 * A HostFs is rooted at one directory. Paths are below that root, of real
 * names ("a/b", "" for the root itself): "..", empty components and symbolic
 * links in a path are refused, so that nothing outside the root is reached,
 * whoever changes the tree meanwhile. Paths may be longer than PATH_MAX. The
 * last component is never followed either: where it is a link, unlink(),
 * rename() and stat() mean the link, and other calls refuse it (-ELOOP, or
 * -ENOTDIR of one that wants a directory).
 *
 * Threads: all calls but those on a HostDir may run on any thread, many at a
 * time, also on one file. A HostDir belongs to one thread at a time, but for
 * stat_at() and dos_attrib_at().
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
    bool writable;  /* by us; a directory: entries made and removed. Of an open
                     * file: whether it was opened for that. */
    bool read_only; /* nobody has write permission by the mode */
    bool is_sparse; /* takes less room than its size */
    unsigned mode;  /* permissions, 0 to 07777 */
    uint64_t dev, ino, nlink;
    int64_t size;
    int64_t mtime; /* seconds since 1970, */
    uint32_t mtime_ns;
    int64_t ctime; /* of the last change of anything, not settable */
    uint32_t ctime_ns;
} HostStat;

/* Room for us on the file system of the root, in bytes. */
typedef struct HostSpace {
    uint64_t total, free;
} HostSpace;

/* How rename() treats what is there. */
enum {
    HOST_RENAME_NOREPLACE = 1 << 0, /* -EEXIST when `to` exists */
    HOST_RENAME_EXCHANGE = 1 << 1,  /* both exist and swap their names */
};

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
    /* As get_dos_attrib() below, of a file or directory in an open one; links
     * are not followed. */
    int (*dos_attrib_at)(HostFs *fs, HostDir *dir, const char *name,
                         unsigned *attr);

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

    /* ---- Names. Durable with dir_sync() of the directories concerned. ---- */

    /* The umask applies to `mode`. -EEXIST, also where a link is. */
    int (*mkdir)(HostFs *fs, const char *path, unsigned mode);
    int (*rmdir)(HostFs *fs, const char *path);
    /* Anything but a directory (-EISDIR). */
    int (*unlink)(HostFs *fs, const char *path);
    /* As renameat2(); without flags `to` is replaced, and nothing happens
     * where both names are links of one file. One of the flags at most.
     * NOREPLACE works on every file system; where one cannot do it in one
     * step, a file has both names for a moment, and what has no links (such
     * as a directory) may replace what somebody makes in that moment.
     * EXCHANGE does not (-ENOTSUP). */
    int (*rename)(HostFs *fs, const char *from, const char *to,
                  unsigned flags);

    /* ---- Contents. Durable, with size and times, with file_sync(). ---- */

    /* A new file, open for reading and writing; the umask applies. -EEXIST,
     * also where a link is. */
    int (*file_create)(HostFs *fs, const char *path, unsigned mode,
                       HostFile **file);
    /* Open a regular file for reading and writing, as it is, and what it is;
     * -EINVAL when it is no regular file. */
    int (*file_open_rw)(HostFs *fs, const char *path, HostFile **file,
                        HostStat *st);
    /* As pwritev(): bytes written, possibly fewer than given. niov is at most
     * IOV_MAX. */
    ssize_t (*file_pwritev)(HostFs *fs, HostFile *file,
                            const struct iovec *iov, int niov, int64_t offset);
    int (*file_truncate)(HostFs *fs, HostFile *file, int64_t size);
    /* Room for a range, so that writing there needs none; the size stays.
     * -ENOTSUP: the file system cannot promise it. */
    int (*file_allocate)(HostFs *fs, HostFile *file, int64_t offset,
                         int64_t bytes);
    /* Share or copy a range in the kernel, between different files. After an
     * error any part of it may have been copied. -ENOTSUP: not possible
     * between these files, copy it otherwise; -ENODATA: `in` ends before. */
    int (*file_copy)(HostFs *fs, HostFile *in, int64_t in_offset,
                     HostFile *out, int64_t out_offset, int64_t bytes);
    int (*file_sync)(HostFs *fs, HostFile *file);
    /* The names in a directory. */
    int (*dir_sync)(HostFs *fs, const char *path);
    /* Everything on the file system of the root. */
    int (*sync_fs)(HostFs *fs);

    /* ---- Attributes, of files and directories (-EINVAL: neither) ---- */

    /* The modification time; the access time stays. */
    int (*set_times)(HostFs *fs, const char *path, int64_t mtime,
                     uint32_t mtime_ns);
    int (*file_set_times)(HostFs *fs, HostFile *file, int64_t mtime,
                          uint32_t mtime_ns);
    int (*set_mode)(HostFs *fs, const char *path, unsigned mode);
    /* Take everybody's write permission away, or give the owner's back: who
     * else had it is not known any more. */
    int (*set_read_only)(HostFs *fs, const char *path, bool read_only);
    /* FAT attributes in the extended attribute user.DOSATTRIB, as Samba keeps
     * them. -ENODATA: there are none; -EINVAL: not understood; -ENOTSUP: the
     * file system has no such attributes. Setting keeps what else Samba put
     * there, and takes permission to read and to write (-EACCES). */
    int (*get_dos_attrib)(HostFs *fs, const char *path, unsigned *attr);
    int (*set_dos_attrib)(HostFs *fs, const char *path, unsigned attr);
    /* Mode, owner and all extended attributes with access lists, so that `to`
     * can take the place of `from`. What we are not allowed to give it, or its
     * file system has no place for, stays behind, which is no error
     * (*left_behind: names for the user, for g_free(); NULL: nothing); where
     * that is an access list, the group gets no permissions, either. What runs
     * with the rights of others (set-user-ID and set-group-ID bits,
     * capabilities) and what signs the contents is not copied: the bytes are a
     * guest's. Goes on after an error and returns the first. */
    int (*copy_metadata)(HostFs *fs, const char *from, const char *to,
                         char **left_behind);

    /* ---- The whole ---- */

    int (*space)(HostFs *fs, HostSpace *space);
    /* Be the only one to write below the root, of those who ask, until
     * unlock() or until this HostFs is freed. -EWOULDBLOCK: another one is;
     * -EROFS: nobody can, on a file system mounted read-only; -ENOTSUP.
     * unlock NULL: nobody is ever kept out. */
    int (*lock)(HostFs *fs);
    void (*unlock)(HostFs *fs);
    /* Many calls of this thread follow, or they are over. In between they may
     * find a directory once for several calls, and so for a moment where it was
     * before somebody else moved it. One batch at a time, begun and ended by
     * the only thread that changes names meanwhile. NULL: it makes no
     * difference. */
    void (*batch)(HostFs *fs, bool begin);
} HostFsOps;

struct HostFs {
    const HostFsOps *ops;
    void *opaque;
};

/* The host's own file system, rooted at `dir`. */
HostFs *hostfs_posix_new(const char *dir, GError **errp);

/*
 * What the driver opens a directory with: hostfs_posix_new(), or what a test
 * has put in its place, while nothing was being opened (NULL: the host's own
 * again).
 */
typedef HostFs *HostFsOpener(const char *dir, GError **errp);
HostFs *hostfs_open(const char *dir, GError **errp);
void hostfs_set_opener(HostFsOpener *opener);

void hostfs_free(HostFs *fs);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(HostFs, hostfs_free)

/* HostFsOps.batch, where there is one. */
void hostfs_batch(HostFs *fs, bool begin);

/*
 * Read exactly `bytes` bytes into the vector, from `iov_offset` of it on.
 * -ENODATA when the file ends before.
 */
int hostfs_read_full(HostFs *fs, HostFile *file, int64_t offset,
                     const IOVector *iov, size_t iov_offset, size_t bytes)
    G_GNUC_WARN_UNUSED_RESULT;

/*
 * Write exactly `bytes` bytes. After an error some of them may be there.
 */
int hostfs_write_full(HostFs *fs, HostFile *file, int64_t offset,
                      const void *buf, size_t bytes) G_GNUC_WARN_UNUSED_RESULT;

/*
 * The hole or data at an offset of an open file that has, or should have,
 * `size` bytes: where it ends, at most `end`. Only holes of whole sectors (512
 * bytes) count. A file that has shrunk has no holes: reading it is to fail.
 */
int64_t hostfs_find_hole(HostFs *fs, HostFile *file, int64_t size,
                         int64_t offset, int64_t end, bool *is_hole);

/*
 * A whole small file by its ordinary host name, relative to the current
 * directory and through links as the user's other tools have it: boot code,
 * not contents of the volume. More than max_bytes is an error.
 */
bool hostfs_load(const char *filename, size_t max_bytes, uint8_t **data,
                 size_t *bytes, GError **errp) G_GNUC_WARN_UNUSED_RESULT;

#endif
