/* SPDX-License-Identifier: MIT */
/*
 * Writing: from the caller's memory, or from a host file by a copy in the
 * kernel.
 *
 * Clusters that are this image's alone are written in place, with the lock
 * taken only to look them up. For anything else the request takes the rest of
 * its range in `busy`, looks again, allocates, writes whole clusters (see
 * qcow2-cow.c) and then sets the entries: until then, nobody sees them.
 */
#include <errno.h>

#include "block/qcow2/qcow2-cow.h"

#define BATCH_RUNS 16

typedef struct PlacedRun {
    int64_t offset, bytes; /* of the guest */
    int64_t host;
} PlacedRun;

/* Runs from offset on that may be written in place: *n of them, maybe 0. */
static int map_in_place(const Qcow2Source *src, int64_t offset,
                        PlacedRun *runs, unsigned *n)
{
    Qcow2State *s = src->s;

    *n = 0;
    while (*n < BATCH_RUNS && offset < src->end) {
        Qcow2Mapping m;
        int ret = qcow2_map(s, offset, src->end - offset, &m);

        if (ret == 0 && (m.type != QCOW2_NORMAL || !m.copied)) {
            break;
        }
        if (ret == 0) {
            ret = qcow2_overlap_check(s, m.host_offset, m.bytes);
        }
        if (ret < 0) {
            return ret;
        }
        runs[(*n)++] = (PlacedRun){ offset, m.bytes, m.host_offset };
        offset += m.bytes;
    }
    return 0;
}

static int write_in_place(Qcow2Source *src, const PlacedRun *runs, unsigned n)
{
    int ret = 0;

    for (unsigned i = 0; ret == 0 && i < n; i++) {
        ret = qcow2_source_write(src, runs[i].offset, runs[i].bytes,
                                 runs[i].host);
    }
    return ret;
}

/* ---- Allocation ---- */

static bool is_reserved(const Qcow2Mapping *m)
{
    return m->type == QCOW2_ZERO_ALLOC && m->copied;
}

static bool wants_cluster(const Qcow2Mapping *m)
{
    return !is_reserved(m) && !(m->type == QCOW2_NORMAL && m->copied);
}

/* Clusters from fill->start on that need new ones: sets fill->end. */
static int find_unplaced(const Qcow2Source *src, Qcow2Fill *fill)
{
    int64_t end = qcow2_cluster_end(src->s, src->end);
    Qcow2Mapping m;

    fill->end = fill->start;
    while (fill->end < end) {
        int ret = qcow2_map(src->s, fill->end, end - fill->end, &m);
        if (ret < 0) {
            return ret;
        }
        if (!wants_cluster(&m)) {
            break;
        }
        fill->end += m.bytes;
    }
    return 0;
}

/* New clusters for fill->start..end, behind those of what goes before it in
 * the guest if they are free; fill->end comes closer if there are fewer. */
static int allocate(Qcow2State *s, Qcow2Fill *fill)
{
    int64_t fresh_offset = s->fresh_offset;
    int64_t bytes = fill->end - fill->start;
    int64_t got = 0;
    Qcow2Mapping m = { .type = QCOW2_UNALLOCATED };

    if (fill->start > 0) {
        int ret = qcow2_map(s, fill->start - s->cluster_size, s->cluster_size,
                            &m);
        if (ret < 0) {
            return ret;
        }
    }
    if (m.type == QCOW2_NORMAL) {
        fill->host = m.host_offset + s->cluster_size;
        got = qcow2_alloc_clusters_at(s, fill->host, bytes);
    }
    if (got == 0) {
        fill->host = qcow2_alloc_clusters(s, bytes);
        got = fill->host < 0 ? fill->host : bytes;
    }
    if (got < 0) {
        return (int)got;
    }
    fill->end = fill->start + got;
    fill->allocated = true;
    fill->first_fresh = fill->host >= fresh_offset;
    fill->last_fresh = fill->host + got - s->cluster_size >= fresh_offset;
    return 0;
}

/* Clusters for the data from offset on, and what they held before. */
static int place(const Qcow2Source *src, int64_t offset, Qcow2Fill *fill)
{
    Qcow2State *s = src->s;
    Qcow2Mapping m;

    *fill = (Qcow2Fill){ .start = qcow2_cluster_start(s, offset) };
    int64_t bytes = qcow2_cluster_end(s, src->end) - fill->start;
    int ret = qcow2_map(s, fill->start, bytes, &m);

    if (ret == 0 && is_reserved(&m)) {
        fill->end = fill->start + m.bytes;
        fill->host = m.host_offset;
        ret = qcow2_overlap_check(s, fill->host, m.bytes);
    } else if (ret == 0) {
        ret = find_unplaced(src, fill);
        if (ret == 0) {
            ret = allocate(s, fill);
        }
    }
    if (ret < 0) {
        return ret;
    }
    fill->data_start = offset;
    fill->data_end = MIN(fill->end, src->end);
    ret = qcow2_map(s, fill->start, s->cluster_size, &fill->first);
    if (ret == 0) {
        ret = qcow2_map(s, fill->end - s->cluster_size, s->cluster_size,
                        &fill->last);
    }
    if (ret < 0 && fill->allocated) {
        qcow2_free_now(s, fill->host, fill->end - fill->start);
    }
    return ret;
}

/* Let the entries refer to what was written, or give it back. */
static int link_clusters(Qcow2State *s, const Qcow2Fill *fill, int ret)
{
    int64_t n = (fill->end - fill->start) >> s->cluster_bits;
    int64_t done = 0;

    if (ret == 0) {
        ret = qcow2_l2_set(s, fill->start, n,
                           (uint64_t)fill->host | QCOW2_COPIED,
                           (uint64_t)s->cluster_size, &done);
    }
    if (ret < 0 && fill->allocated && done < n) {
        qcow2_free_now(s, fill->host + (done << s->cluster_bits),
                       (n - done) << s->cluster_bits);
    }
    return ret;
}

/* The lock is held, and the range is in `busy`. */
static int write_allocating(Qcow2Source *src, int64_t *offset)
{
    Qcow2State *s = src->s;
    Qcow2Fill fill;
    int ret = place(src, *offset, &fill);

    if (ret < 0) {
        return ret;
    }
    pthread_mutex_unlock(&s->lock);
    ret = qcow2_fill_write(src, &fill);
    pthread_mutex_lock(&s->lock);
    ret = link_clusters(s, &fill, ret);
    *offset = fill.data_end;
    return ret;
}

/* ---- A request ---- */

static int write_locked(Qcow2Source *src, LockedRange *range, bool *busy)
{
    Qcow2State *s = src->s;
    int64_t offset = src->offset;
    PlacedRun runs[BATCH_RUNS];
    unsigned n;
    int ret = qcow2_prepare_change(s);

    while (ret == 0 && offset < src->end) {
        ret = map_in_place(src, offset, runs, &n);
        if (ret < 0) {
            break;
        }
        if (n > 0) {
            pthread_mutex_unlock(&s->lock);
            ret = write_in_place(src, runs, n);
            pthread_mutex_lock(&s->lock);
            offset = runs[n - 1].offset + runs[n - 1].bytes;
        } else if (!*busy) {
            /* Others may change the entries while this waits: look again. */
            range_lock_take(&s->busy, range, qcow2_cluster_start(s, offset),
                            qcow2_cluster_end(s, src->end), &s->lock);
            *busy = true;
        } else {
            ret = write_allocating(src, &offset);
        }
    }
    return ret;
}

static int write_request(Qcow2Source *src)
{
    Qcow2State *s = src->s;
    Qcow2Request request;
    LockedRange range;
    bool busy = false;

    pthread_mutex_lock(&s->lock);
    qcow2_request_begin(s, &request);
    int ret = write_locked(src, &range, &busy);
    if (busy) {
        range_lock_release(&s->busy, &range);
    }
    qcow2_request_end(s, &request);
    pthread_mutex_unlock(&s->lock);
    return ret;
}

int qcow2_pwritev(BlockDriverState *bs, int64_t offset, int64_t bytes,
                  const IOVector *iov, unsigned flags)
{
    Qcow2Source src = {
        .s = bdrv_opaque(bs),
        .offset = offset,
        .end = offset + bytes,
        .iov = iov,
    };

    return flags & BDRV_REQ_WRITE_COMPRESSED
               ? qcow2_pwritev_compressed(src.s, offset, bytes, iov)
               : write_request(&src);
}

int qcow2_copy_range_to(BlockDriverState *bs, int fd, int64_t fd_offset,
                        int64_t offset, int64_t bytes, unsigned flags)
{
    Qcow2Source src = {
        .s = bdrv_opaque(bs),
        .offset = offset,
        .end = offset + bytes,
        .fd = fd,
        .fd_offset = fd_offset,
    };

    (void)flags; /* FUA is the core's */
    return write_request(&src);
}
