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
    SEGMENT_SKIP, /* whole clusters that the backing file has */
    SEGMENT_HOST, /* a long run in a host file: the kernel can copy it */
    SEGMENT_READ, /* everything else, short runs of all kinds together up to
                     a buffer: one read fetches hundreds of small files */
} SegmentKind;

typedef struct Segment {
    SegmentKind kind;
    int64_t offset, bytes; /* from the start of what is walked */
    int64_t source_offset; /* where in the source; but for SEGMENT_READ all of
                              it stands in one image */
} Segment;

/* Which runs in host files the kernel is to copy. Zeroes in them are then
 * copied as they are, not found and left out. */
typedef enum HostCopy {
    HOST_COPY_DIRECTORIES, /* of files in directories shown as disks */
    HOST_COPY_NEVER,
    HOST_COPY_ALWAYS, /* those of images, too */
} HostCopy;

/*
 * Segments begin and end where clusters of the target do, but for the last: a
 * cluster that is written in pieces costs a copy of the rest of it.
 */
typedef struct CopyWalk {
    const CopySource *source;
    int64_t start, end; /* in the source */
    int64_t cluster;    /* of the target, bytes; 1: it has none */
    int64_t max_read;   /* bytes of a SEGMENT_READ at most: whole clusters */
    HostCopy host_copy;
    int64_t min_host;  /* bytes of a SEGMENT_HOST at least; 0: none */
    int64_t alignment; /* of a SEGMENT_HOST, in image and target: whole
                          clusters */

    int64_t position; /* in the source: the next segment begins there */
    bool salvages;    /* a status that cannot be told counts as data */
    CopyRun run;      /* what follows there; no bytes: not known */
} CopyWalk;

/* The next segment; 1, 0 at the end, or -errno (then the walk's position tells
 * where). */
int copy_walk_next(CopyWalk *walk, Segment *segment) G_GNUC_WARN_UNUSED_RESULT;

#endif
