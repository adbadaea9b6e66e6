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
    bool reads_zero;   /* what is not written reads as zeroes */
    bool can_seek;     /* stream: holes may be left */
} CopyTarget;

/* The target owns blk. */
CopyTarget *copy_target_new_image(BlockBackend *blk, const char *name,
                                  bool reads_zero);
CopyTarget *copy_target_new_stdout(void);
void copy_target_free(CopyTarget *target);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CopyTarget, copy_target_free)

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
