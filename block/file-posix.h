/* SPDX-License-Identifier: MIT */
/*
 * The "file" driver, inside: host files and block devices as nodes.
 *
 *   file-posix.c   options, opening, reopening, permissions, the driver table
 *   file-io.c      reading, writing, flushing, zeroes, discard
 *   file-map.c     block status: where the holes are
 *   file-copy.c    cloning, and copying without a buffer
 *   file-create.c  creating and resizing
 *   file-lock.c    locks between processes
 *
 * Locks. All I/O is positioned (nobody relies on the file offset), so requests
 * run side by side without a lock. What they learn (methods that the host
 * lacks, a failed flush) is in atomic words; the last seen data extent and
 * the device that cannot clone are under `lock`. fd changes when reopening
 * only, with the node drained.
 */
#ifndef BLOCK_FILE_POSIX_H
#define BLOCK_FILE_POSIX_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "block/driver.h"
#include "block/file-lock.h"

/* Methods that this file is known not to have: bits of FileState.lacks. */
#define FILE_LACKS_ZERO_RANGE 0x01u
#define FILE_LACKS_PUNCH 0x02u
#define FILE_LACKS_ZEROOUT 0x04u
#define FILE_LACKS_DISCARD 0x08u
#define FILE_LACKS_SEEK_DATA 0x10u
#define FILE_LACKS_ALLOCATE 0x20u

typedef struct FileState {
    char *filename;
    int fd;
    int reopen_fd; /* from reopen_prepare to commit or abort, else -1 */
    bool writable, reopen_writable;
    bool is_device;      /* a block device, not a regular file */
    int64_t block_size;  /* of the file system or device */
    dev_t device;        /* that the file is on */
    bool copies_pages;   /* copy_file_range() there is the page cache's work */
    FileLock image_lock; /* owns its fd, so that reopening leaves it alone */

    atomic_uint lacks;      /* FILE_LACKS_* */
    atomic_int flush_error; /* errno of the first failed flush, or 0 */

    pthread_mutex_t lock;
    int64_t data_start, data_end; /* lock: a range known to be data */
    unsigned data_generation;     /* lock: grows when data may turn hole */
    bool clone_refused;           /* lock: no cloning from ... */
    dev_t clone_refused_dev;      /* lock: ... this device */
} FileState;

/* file-posix.c */

/* Refuse what is no image; `name` is for the message. */
bool file_check_type(const struct stat *st, const char *name, GError **errp)
    G_GNUC_WARN_UNUSED_RESULT;

/* Bytes of the file or device, or -errno. */
int64_t file_fd_length(int fd, bool is_device);

/* file-io.c */

int file_preadv(BlockDriverState *bs, int64_t offset, int64_t bytes,
                const IOVector *iov, unsigned flags);
int file_pwritev(BlockDriverState *bs, int64_t offset, int64_t bytes,
                 const IOVector *iov, unsigned flags);
int file_pwrite_zeroes(BlockDriverState *bs, int64_t offset, int64_t bytes,
                       unsigned flags);
int file_pdiscard(BlockDriverState *bs, int64_t offset, int64_t bytes);
int file_flush(BlockDriverState *bs);

/* Set the words for an error of a request and give -err. */
int file_io_error(const FileState *s, const char *doing, int64_t offset,
                  int err);

/* Write the whole buffer, whatever the kernel splits. 0 or -errno. */
int file_write_all(int fd, const void *buf, size_t bytes, int64_t offset);

/* file-map.c */

int file_block_status(BlockDriverState *bs, unsigned want, int64_t offset,
                      int64_t bytes, BdrvBlockStatus *status);

/* Data may have become a hole: forget what is known. */
void file_map_forget(FileState *s);

/* file-copy.c */

int file_copy_range_from(BlockDriverState *bs, int64_t offset,
                         BlockDriverState *dst, int64_t dst_offset,
                         int64_t bytes, unsigned flags);
int file_copy_range_to(BlockDriverState *bs, int fd, int64_t fd_offset,
                       int64_t offset, int64_t bytes, unsigned flags);

/* file-create.c */

/* size, preallocation, nocow; raw images take the same. */
extern const OptionDesc file_create_options[];

bool file_create(const char *filename, Options *options, GError **errp);
int file_truncate(BlockDriverState *bs, int64_t size, bool exact,
                  PreallocMode prealloc, GError **errp);

#endif
