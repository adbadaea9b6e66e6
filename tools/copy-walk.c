/* SPDX-License-Identifier: MIT */
#include "tools/copy-walk.h"

#define MIB ((int64_t)1 << 20)
#define HOST_CHUNK_BYTES (16 * MIB) /* until the next look at signals */
#define ZERO_CHUNK_BYTES (1024 * MIB)
#define LONG_ZERO_BYTES (64 * 1024) /* shorter ones are read with the rest */

static int load_run(CopyWalk *w)
{
    if (w->run.bytes > 0) {
        return 0;
    }
    return copy_source_status(w->source, w->position, w->end - w->position,
                              &w->run);
}

static void advance(CopyWalk *w, Segment *s, int64_t bytes)
{
    s->bytes += bytes;
    w->position += bytes;
    w->run.offset += bytes;
    w->run.blk_offset += bytes;
    w->run.bytes -= bytes;
}

static bool is_for_kernel(const CopyWalk *w)
{
    return w->min_host > 0 && w->run.kind == RUN_HOST &&
           (w->run.of_directory ? w->host_copy != HOST_COPY_NEVER
                                : w->host_copy == HOST_COPY_ALWAYS);
}

/*
 * How much of the run the kernel can copy in one go; 0: it is not worth it.
 * *head: bytes that stand before that, to be read.
 */
static int64_t host_bytes(const CopyWalk *w, int64_t *head)
{
    const CopyRun *run = &w->run;
    int64_t target_offset = run->offset - w->start;
    int64_t a = w->alignment;

    *head = 0;
    if (!is_for_kernel(w) || (target_offset - run->blk_offset) % a != 0) {
        return 0;
    }
    *head = (a - run->blk_offset % a) % a;
    if (run->bytes - *head < w->min_host) {
        return 0;
    }
    return (run->bytes - *head) / a * a;
}

static bool is_long_zero(const CopyRun *run)
{
    return run->kind == RUN_ZERO && run->bytes >= LONG_ZERO_BYTES;
}

/* Add the run to a segment that is read. False when that is complete. */
static bool extend_read(CopyWalk *w, Segment *s)
{
    int64_t head;
    int64_t bytes = w->run.bytes;

    if (w->run.blk != s->blk || is_long_zero(&w->run)) {
        return false;
    }
    if (host_bytes(w, &head) > 0) {
        bytes = head;
    }
    advance(w, s, MIN(bytes, w->max_read - s->bytes));
    return bytes > 0 && s->bytes < w->max_read && w->position < w->end;
}

int copy_walk_next(CopyWalk *w, Segment *s)
{
    int64_t head;

    if (w->position >= w->end) {
        return 0;
    }
    int ret = load_run(w);
    *s = (Segment){
        .kind = SEGMENT_READ,
        .offset = w->position - w->start,
        .blk = w->run.blk,
        .blk_offset = w->run.blk_offset,
    };
    if (ret < 0) {
        return ret;
    }
    int64_t whole = host_bytes(w, &head);
    if (whole > 0 && head == 0) {
        s->kind = SEGMENT_HOST;
        advance(w, s, MIN(whole, HOST_CHUNK_BYTES));
        return 1;
    }
    if (is_long_zero(&w->run)) {
        s->kind = SEGMENT_ZERO;
        advance(w, s, MIN(w->run.bytes, ZERO_CHUNK_BYTES));
        return 1;
    }
    while (extend_read(w, s)) {
        ret = load_run(w);
        if (ret < 0) {
            s->blk = w->run.blk;
            return ret;
        }
    }
    return 1;
}
