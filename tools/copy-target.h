/* SPDX-License-Identifier: MIT */
/*
 * What is copied to: an image, or standard output as a raw stream.
 *
 * An image takes writes on any thread, in any order. A stream takes them one
 * after the other, without a gap, from one thread at a time.
 */
#ifndef TOOLS_COPY_TARGET_H
#define TOOLS_COPY_TARGET_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "block/block.h"

typedef struct CopyTarget {
    BlockBackend *blk; /* NULL: standard output */
    char *name;        /* for messages */
    int64_t zero_from; /* what is not written reads as zeroes from here on */
    int64_t cluster;   /* image: bytes of a cluster; 1: has none */
    bool compress;     /* image: whole clusters are written compressed */
    int64_t data_end;  /* image: a write that ends here goes on with zeroes
                          up to .. */
    int64_t pad_end;   /* .. here: the rest of a sector */
    bool can_seek;     /* stream: holes may be left */
    bool only_changes; /* image: what it shows already is not written. A disk
                          that is a directory need not bring there what is
                          there, and refuses writes to some files. */
} CopyTarget;

#define COPY_TARGET_NO_ZEROES INT64_MAX /* for zero_from */

/* The target owns blk. */
CopyTarget *copy_target_new_image(BlockBackend *blk, const char *name);
CopyTarget *copy_target_new_stdout(void);
void copy_target_free(CopyTarget *target);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CopyTarget, copy_target_free)

/* How many bytes are best written at a time: whole clusters. most: no more
 * than that, if a cluster is not; 0: as many as you like. */
int64_t copy_target_buffer_bytes(const CopyTarget *target, int64_t most);

/* 0 or -errno. The offset of a stream is where it stands. */
int copy_target_write(CopyTarget *target, int64_t offset, int64_t bytes,
                      const void *buf) G_GNUC_WARN_UNUSED_RESULT;

/* allocate: take room on the disk, as written zeroes would. */
int copy_target_write_zeroes(CopyTarget *target, int64_t offset, int64_t bytes,
                             bool allocate) G_GNUC_WARN_UNUSED_RESULT;

/* Everything has been written: flush. */
int copy_target_finish(CopyTarget *target) G_GNUC_WARN_UNUSED_RESULT;

/* The words for an error that one of these calls gave on this thread. */
char *copy_target_strerror(const CopyTarget *target, int ret);

#endif
