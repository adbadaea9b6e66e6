/* SPDX-License-Identifier: MIT */
/*
 * A source cut into segments, by its block status, from its start to its end.
 * Not locked.
 */
#ifndef TOOLS_COPY_WALK_H
#define TOOLS_COPY_WALK_H

#include <stdbool.h>
#include <stdint.h>

#include "tools/copy-source.h"

typedef enum SegmentKind {
    SEGMENT_ZERO, /* a long run of zeroes */
    SEGMENT_HOST, /* a long run in a host file: the kernel can copy it */
    SEGMENT_READ, /* everything else, short runs of all kinds together up to
                     a buffer: one read fetches hundreds of small files */
} SegmentKind;

typedef struct Segment {
    SegmentKind kind;
    int64_t offset, bytes; /* from the start of what is walked */
    BlockBackend *blk;     /* the one image it stands in, and where */
    int64_t blk_offset;
} Segment;

/* Which runs in host files the kernel is to copy. Zeroes in them are then
 * copied as they are, not found and left out. */
typedef enum HostCopy {
    HOST_COPY_DIRECTORIES, /* of files in directories shown as disks */
    HOST_COPY_NEVER,
    HOST_COPY_ALWAYS, /* those of images, too */
} HostCopy;

typedef struct CopyWalk {
    const CopySource *source;
    int64_t start, end; /* in the source */
    int64_t max_read;   /* bytes of a SEGMENT_READ at most */
    HostCopy host_copy;
    int64_t min_host;  /* bytes of a SEGMENT_HOST at least; 0: none */
    int64_t alignment; /* of a SEGMENT_HOST, in image and target */

    int64_t position; /* in the source: the next segment begins there */
    CopyRun run;      /* what follows there; no bytes: not known */
} CopyWalk;

/* The next segment; 1, 0 at the end, or -errno (then segment->blk and
 * blk_offset tell where). */
int copy_walk_next(CopyWalk *walk, Segment *segment) G_GNUC_WARN_UNUSED_RESULT;

#endif
