/* SPDX-License-Identifier: MIT */
/*
 * Reading the disk: computed metadata, zeroes, and bytes of host files
 * straight into the caller's buffers. Any number of threads; readers of
 * different files never wait for each other's I/O.
 */
#ifndef VVFAT_READ_H
#define VVFAT_READ_H

#include "block/driver.h"
#include "block/iov.h"
#include "block/vvfat/hostfs.h"
#include "block/vvfat/layout.h"

typedef struct DiskReader DiskReader;

/* Both must outlive the reader. */
DiskReader *disk_reader_new(const Layout *layout, HostFs *fs);
void disk_reader_free(DiskReader *reader);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DiskReader, disk_reader_free)

/*
 * Fill the vector with the disk's bytes from offset on; the range lies inside
 * the disk. -EIO, with a message, for a file that is not what was scanned any
 * more: never other bytes.
 */
int disk_reader_preadv(DiskReader *reader, int64_t offset, const IOVector *iov)
    G_GNUC_WARN_UNUSED_RESULT;

/* Fill part of a vector with metadata of one region. */
void disk_read_metadata(const Layout *layout, int64_t offset,
                        const IOVector *iov, size_t iov_offset, size_t bytes);

typedef struct DiskExtent {
    int64_t bytes;        /* >= 1 */
    bool is_zero;         /* reads as zeroes */
    const TreeNode *node; /* bytes of its host file, or NULL */
    int64_t file_offset;
} DiskExtent;

/*
 * What is at offset, for at most `bytes`; both are multiples of 512 and so is
 * the answer. precise: look for holes in sparse host files.
 */
int disk_reader_extent(DiskReader *reader, int64_t offset, int64_t bytes,
                       bool precise, DiskExtent *extent)
    G_GNUC_WARN_UNUSED_RESULT;

/* Files shorter than this are not worth a copy in the kernel of their own. */
#define DISK_READER_MIN_COPY (64 * 1024)

/*
 * Copy a range that lies in one host file into dst without moving it through
 * our memory. -ENOTSUP when it does not, or cannot be copied so.
 */
int disk_reader_copy(DiskReader *reader, int64_t offset, BlockDriverState *dst,
                     int64_t dst_offset, int64_t bytes, unsigned flags)
    G_GNUC_WARN_UNUSED_RESULT;

#endif
