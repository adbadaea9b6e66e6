/* SPDX-License-Identifier: MIT */
/*
 * What is copied: a window over one or several images, end to end. Reading
 * and status may be asked for on any thread.
 */
#ifndef TOOLS_COPY_SOURCE_H
#define TOOLS_COPY_SOURCE_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "block/block.h"

typedef struct CopySource {
    GArray *parts;     /* of the images, in order; see copy-source.c */
    int64_t length;    /* bytes of all images */
    int backing_depth; /* of what RUN_BACKING is: 1 the backing file of each
                          image, 2 the one below that; 0: it is not told */
} CopySource;

typedef enum RunKind {
    RUN_DATA, /* must be read */
    RUN_HOST, /* the same, and stands in a host file in one piece */
    RUN_ZERO,
    RUN_BACKING, /* the image has it from its backing file */
} RunKind;

/* A range with one status, inside one image. */
typedef struct CopyRun {
    RunKind kind;
    bool of_directory;     /* the image is a directory shown as a disk */
    int64_t offset, bytes; /* in the source */
    BlockBackend *blk;     /* the image, and where in it */
    int64_t blk_offset;
} CopyRun;

CopySource *copy_source_new(void);
void copy_source_free(CopySource *source);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CopySource, copy_source_free)

/* Append an image (and own it). -errno when its length cannot be told. */
int copy_source_add(CopySource *source, BlockBackend *blk)
    G_GNUC_WARN_UNUSED_RESULT;

guint copy_source_count(const CopySource *source);
BlockBackend *copy_source_image(const CopySource *source, guint index);

/* The image that a byte stands in, and where in it; NULL: behind the end. */
BlockBackend *copy_source_locate(const CopySource *source, int64_t offset,
                                 int64_t *blk_offset);

/* Read a range, also over the ends of images. 0; or -errno, and *failed is
 * where in the source the request that failed begins. */
int copy_source_read(const CopySource *source, int64_t offset, int64_t bytes,
                     char *buf, int64_t *failed) G_GNUC_WARN_UNUSED_RESULT;

/* The run that begins at offset; at most `bytes` of it. 0 or -errno. */
int copy_source_status(const CopySource *source, int64_t offset, int64_t bytes,
                       CopyRun *run) G_GNUC_WARN_UNUSED_RESULT;

/* Bytes in the range that are not known to be zeroes; -errno. */
int64_t copy_source_count_data(const CopySource *source, int64_t offset,
                               int64_t bytes);

#endif
