/* SPDX-License-Identifier: MIT */
/* What the parts of the host's file system by POSIX calls share: hostfs-posix
 * reads, -path finds, -dirs keeps what was found for a moment, -write changes
 * names and contents, -attr attributes. */
#ifndef VVFAT_HOSTFS_POSIX_INT_H
#define VVFAT_HOSTFS_POSIX_INT_H

#include "block/vvfat/hostfs.h"

/* A directory that a batch has found. */
typedef struct PosixDir {
    char *path; /* NULL: none */
    int fd;
    unsigned users;
    uint64_t used; /* PosixFs.dir_uses of the last time */
    int64_t found; /* when, in milliseconds */
} PosixDir;

#define POSIX_DIRS 8

typedef struct PosixFs {
    HostFs fs;
    int root;
    char *real; /* of the root, absolute, without links */
    bool have_openat2, have_getxattrat;
    PosixDir dirs[POSIX_DIRS]; /* of the thread whose batch it is */
    uint64_t dir_uses;
} PosixFs;

struct HostFile {
    int fd;
};

static inline PosixFs *posix_fs(HostFs *fs)
{
    return fs->opaque;
}

/* ---- hostfs-posix-path.c ---- */

/* Learn what the kernel can do; the root is open. */
void posix_probe(PosixFs *p);

/* A descriptor of a path below the root, by open() flags, or -errno. */
int posix_open_beneath(const PosixFs *p, const char *path, int flags);

/* A descriptor, for finding only, of the directory that `path` names an entry
 * of, and that entry's name, in `path`. -EINVAL: it names none. It goes back
 * with posix_dir_put(). */
int posix_get_parent(PosixFs *p, const char *path, const char **name);

/* ---- hostfs-posix-dirs.c ---- */

void posix_batch(HostFs *fs, bool begin);

/* A descriptor, for finding only, of the directory whose path the first n
 * bytes are; and it is used no more. -errno. */
int posix_dir_get(PosixFs *p, const char *path, size_t n);
void posix_dir_put(PosixFs *p, int fd);
/* What the path led to may be another place now, with all below it. */
void posix_dir_forget(PosixFs *p, const char *path);

/* ---- hostfs-posix.c ---- */

/* Takes the descriptor. */
HostFile *posix_file_new(int fd);
int posix_open_file(const PosixFs *p, const char *path, int flags,
                    HostFile **file, HostStat *st);
/* Whatever is open there counts as readable. */
int posix_stat_fd(int fd, HostStat *st);

/* ---- hostfs-posix-write.c ---- */

int posix_mkdir(HostFs *fs, const char *path, unsigned mode);
int posix_rmdir(HostFs *fs, const char *path);
int posix_unlink(HostFs *fs, const char *path);
int posix_rename(HostFs *fs, const char *from, const char *to, unsigned flags);
int posix_file_create(HostFs *fs, const char *path, unsigned mode,
                      HostFile **file);
int posix_file_open_rw(HostFs *fs, const char *path, HostFile **file,
                       HostStat *st);
ssize_t posix_file_pwritev(HostFs *fs, HostFile *file, const struct iovec *iov,
                           int niov, int64_t offset);
int posix_file_truncate(HostFs *fs, HostFile *file, int64_t size);
int posix_file_allocate(HostFs *fs, HostFile *file, int64_t offset,
                        int64_t bytes);
int posix_file_copy(HostFs *fs, HostFile *in, int64_t in_offset, HostFile *out,
                    int64_t out_offset, int64_t bytes);
int posix_file_sync(HostFs *fs, HostFile *file);
int posix_dir_sync(HostFs *fs, const char *path);
int posix_sync_fs(HostFs *fs);
int posix_space(HostFs *fs, HostSpace *space);
int posix_lock(HostFs *fs);
void posix_unlock(HostFs *fs);

/* ---- hostfs-posix-attr.c ---- */

/* As posix_probe(). */
void posix_probe_attr(PosixFs *p);
int posix_set_times(HostFs *fs, const char *path, int64_t mtime,
                    uint32_t mtime_ns);
int posix_file_set_times(HostFs *fs, HostFile *file, int64_t mtime,
                         uint32_t mtime_ns);
int posix_set_mode(HostFs *fs, const char *path, unsigned mode);
int posix_set_read_only(HostFs *fs, const char *path, bool read_only);
int posix_get_dos_attrib(HostFs *fs, const char *path, unsigned *attr);
int posix_entry_dos_attrib(const PosixFs *p, int dirfd, const char *name,
                           unsigned *attr);
int posix_set_dos_attrib(HostFs *fs, const char *path, unsigned attr);
int posix_copy_metadata(HostFs *fs, const char *from, const char *to,
                        char **left_behind);

#endif
