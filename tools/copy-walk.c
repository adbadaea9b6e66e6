/* SPDX-License-Identifier: MIT */
#include "tools/copy-walk.h"

#define MIB ((int64_t)1 << 20)
#define HOST_CHUNK_BYTES (16 * MIB) /* until the next look at signals */
#define ZERO_CHUNK_BYTES (1024 * MIB)
#define LONG_ZERO_BYTES (64 * 1024) /* shorter ones are read with the rest */

/* What cannot be told is read, at most so much at a time. */
static void assume_data(CopyWalk *w)
{
    BlockBackend *blk;
    int64_t blk_offset;

    blk = copy_source_locate(w->source, w->position, &blk_offset);
    w->run = (CopyRun){
        .kind = RUN_DATA,
        .offset = w->position,
        .bytes = MIN(w->end - w->position, LONG_ZERO_BYTES),
        .blk = blk,
        .blk_offset = blk_offset,
    };
}

static int load_run(CopyWalk *w)
{
    if (w->run.bytes > 0) {
        return 0;
    }
    int ret = copy_source_status(w->source, w->position, w->end - w->position,
                                 &w->run);
    if (ret < 0 && w->salvages) {
        assume_data(w);
        ret = 0;
    }
    return ret;
}

static void advance(CopyWalk *w, Segment *s, int64_t bytes)
{
    s->bytes += bytes;
    w->position += bytes;
    w->run.offset += bytes;
    w->run.blk_offset += bytes;
    w->run.bytes -= bytes;
}

/* ---- Which part of the run is a segment of its own ---- */

static bool is_for_kernel(const CopyWalk *w)
{
    return w->min_host > 0 && w->run.kind == RUN_HOST &&
           (w->run.of_directory ? w->host_copy != HOST_COPY_NEVER
                                : w->host_copy == HOST_COPY_ALWAYS);
}

/* How much of the run the kernel can copy in one go; 0: it is not worth it.
 * *head: bytes that stand before that. */
static int64_t host_bytes(const CopyWalk *w, int64_t *head)
{
    const CopyRun *run = &w->run;
    int64_t target_offset = run->offset - w->start;
    int64_t a = w->alignment;

    if (!is_for_kernel(w) || (target_offset - run->blk_offset) % a != 0) {
        return 0;
    }
    *head = (a - run->blk_offset % a) % a;
    if (run->bytes - *head < w->min_host) {
        return 0;
    }
    return (run->bytes - *head) / a * a;
}

/* The same for whole clusters of the target; the last may be short. */
static int64_t whole_clusters(const CopyWalk *w, int64_t *head)
{
    const CopyRun *run = &w->run;

    *head = (w->cluster - (run->offset - w->start) % w->cluster) % w->cluster;
    int64_t bytes = MAX(run->bytes - *head, 0);
    if (run->offset + run->bytes < w->end) {
        bytes -= bytes % w->cluster;
    }
    return bytes;
}

/* Bytes of the run that are a segment of their own, behind *head bytes that
 * are read with what stands before; 0: all of the run is. */
static int64_t own_segment(const CopyWalk *w, int64_t *head)
{
    int64_t bytes;

    switch (w->run.kind) {
    case RUN_HOST:
        return host_bytes(w, head);
    case RUN_ZERO:
        bytes = whole_clusters(w, head);
        return bytes >= LONG_ZERO_BYTES ? bytes : 0;
    case RUN_BACKING:
        return whole_clusters(w, head);
    default:
        return 0;
    }
}

static void take_own_segment(CopyWalk *w, Segment *s, int64_t bytes)
{
    switch (w->run.kind) {
    case RUN_HOST:
        s->kind = SEGMENT_HOST;
        bytes = MIN(bytes, HOST_CHUNK_BYTES);
        break;
    case RUN_ZERO:
        s->kind = SEGMENT_ZERO;
        bytes = MIN(bytes, ZERO_CHUNK_BYTES);
        break;
    default:
        s->kind = SEGMENT_SKIP;
        break;
    }
    advance(w, s, bytes);
}

/* ---- Walking ---- */

/* Add the run to a segment that is read. False when that is complete. */
static bool extend_read(CopyWalk *w, Segment *s)
{
    int64_t head = 0;
    int64_t bytes = w->run.bytes;

    if (own_segment(w, &head) > 0) {
        bytes = head;
    }
    advance(w, s, MIN(bytes, w->max_read - s->bytes));
    return bytes > 0 && s->bytes < w->max_read && w->position < w->end;
}

int copy_walk_next(CopyWalk *w, Segment *s)
{
    int64_t head = 0;

    if (w->position >= w->end) {
        return 0;
    }
    *s = (Segment){
        .kind = SEGMENT_READ,
        .offset = w->position - w->start,
        .source_offset = w->position,
    };
    int ret = load_run(w);
    if (ret < 0) {
        return ret;
    }
    int64_t own = own_segment(w, &head);
    if (own > 0 && head == 0) {
        take_own_segment(w, s, own);
        return 1;
    }
    while (extend_read(w, s)) {
        ret = load_run(w);
        if (ret < 0) {
            return ret;
        }
    }
    return 1;
}
