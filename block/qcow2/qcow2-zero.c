/* SPDX-License-Identifier: MIT */
/*
 * Zeroes, discards, and dropping clusters altogether: nothing is written but
 * entries. What a run of clusters becomes is decided run by run; the lock is
 * let go of now and then, the range stays in `busy`.
 */
#include <errno.h>

#include "block/qcow2/qcow2-data.h"

/* Runs after which others get a chance. */
#define RUNS_AT_ONCE 64

typedef enum Change {
    CHANGE_ZERO,       /* read as zeroes; a host cluster stays reserved */
    CHANGE_ZERO_UNMAP, /* read as zeroes, without host clusters */
    CHANGE_DISCARD,    /* the same; contents need not become zeroes */
    CHANGE_UNMAP,      /* read as the backing file */
} Change;

/* What entries become: `entry` for the first, + step for each further one. */
typedef struct NewEntries {
    bool change;
    uint64_t entry, step;
} NewEntries;

/* Zeroes without a host cluster: not allocated, unless there is something
 * behind it. */
static int drop(const Qcow2State *s, bool behind, bool was_allocated,
                NewEntries *new)
{
    if (behind && !s->has_zero_clusters) {
        return -ENOTSUP;
    }
    new->change = behind || was_allocated;
    new->entry = behind ? QCOW2_ZERO : 0;
    return 0;
}

static int zero_entries(const Qcow2State *s, const Qcow2Mapping *run,
                        bool unmap, bool behind, NewEntries *new)
{
    switch (run->type) {
    case QCOW2_UNALLOCATED:
        return drop(s, behind, false, new);
    case QCOW2_ZERO_PLAIN:
        return 0;
    case QCOW2_ZERO_ALLOC:
        new->change = unmap;
        new->entry = QCOW2_ZERO;
        return 0;
    case QCOW2_NORMAL:
    case QCOW2_COMPRESSED_CLUSTER:
        break;
    }
    if (!s->has_zero_clusters) {
        return behind || !unmap ? -ENOTSUP : drop(s, false, true, new);
    }
    new->change = true;
    new->entry = QCOW2_ZERO;
    if (run->type == QCOW2_NORMAL && run->copied && !unmap) {
        new->entry |= (uint64_t)run->host_offset | QCOW2_COPIED;
        new->step = (uint64_t)s->cluster_size;
    }
    return 0;
}

static int new_entries(const Qcow2State *s, const Qcow2Mapping *run,
                       Change change, bool behind, NewEntries *new)
{
    bool allocated = run->type != QCOW2_UNALLOCATED;

    *new = (NewEntries){ .change = false };
    switch (change) {
    case CHANGE_ZERO:
    case CHANGE_ZERO_UNMAP:
        return zero_entries(s, run, change == CHANGE_ZERO_UNMAP, behind, new);
    case CHANGE_DISCARD:
        if (run->type == QCOW2_ZERO_PLAIN) {
            return 0;
        }
        return drop(s, behind, allocated, new);
    case CHANGE_UNMAP:
        new->change = allocated;
        break;
    }
    return 0;
}

/* The run at offset; at most bytes. How far it went in *bytes. */
static int change_run(Qcow2State *s, int64_t offset, int64_t *bytes,
                      Change change)
{
    Qcow2Mapping run;
    NewEntries new;
    int64_t done;
    int ret = qcow2_map(s, offset, MIN(*bytes, qcow2_l2_reach(s)), &run);

    if (ret < 0) {
        return ret;
    }
    int64_t behind = qcow2_backing_left(s, offset);
    if (behind > 0) {
        run.bytes = MIN(run.bytes, behind);
    }
    *bytes = run.bytes;
    ret = new_entries(s, &run, change, behind > 0, &new);
    if (ret < 0 || !new.change) {
        return ret;
    }
    ret = qcow2_prepare_change(s);
    if (ret < 0) {
        return ret;
    }
    return qcow2_l2_set(s, offset,
                        qcow2_cluster_end(s, run.bytes) >> s->cluster_bits,
                        new.entry, new.step, &done);
}

static int change_range(Qcow2State *s, int64_t offset, int64_t bytes,
                        Change change, bool may_unlock)
{
    unsigned runs = 0;

    while (bytes > 0) {
        int64_t part = bytes;
        int ret = change_run(s, offset, &part, change);

        if (ret < 0) {
            return ret;
        }
        offset += part;
        bytes -= part;
        if (may_unlock && ++runs % RUNS_AT_ONCE == 0) {
            pthread_mutex_unlock(&s->lock);
            pthread_mutex_lock(&s->lock);
        }
    }
    return 0;
}

static int change_busy(Qcow2State *s, int64_t offset, int64_t bytes,
                       Change change)
{
    int64_t end = offset + bytes;
    LockedRange range;

    if (qcow2_in_cluster(s, offset) != 0 ||
        (qcow2_in_cluster(s, end) != 0 && end != s->size)) {
        return -ENOTSUP;
    }
    pthread_mutex_lock(&s->lock);
    range_lock_take(&s->busy, &range, offset, qcow2_cluster_end(s, end),
                    &s->lock);
    int ret = change_range(s, offset, bytes, change, true);
    range_lock_release(&s->busy, &range);
    pthread_mutex_unlock(&s->lock);
    return ret;
}

int qcow2_pwrite_zeroes(BlockDriverState *bs, int64_t offset, int64_t bytes,
                        unsigned flags)
{
    return change_busy(bdrv_opaque(bs), offset, bytes,
                       flags & BDRV_REQ_MAY_UNMAP ? CHANGE_ZERO_UNMAP
                                                  : CHANGE_ZERO);
}

int qcow2_pdiscard(BlockDriverState *bs, int64_t offset, int64_t bytes)
{
    return change_busy(bdrv_opaque(bs), offset, bytes, CHANGE_DISCARD);
}

int qcow2_zero_busy(Qcow2State *s, int64_t offset, int64_t bytes)
{
    return change_range(s, offset, bytes, CHANGE_ZERO_UNMAP, false);
}

int qcow2_unmap(Qcow2State *s, int64_t offset, int64_t bytes)
{
    int64_t start = qcow2_cluster_end(s, offset);
    int64_t end = offset + bytes;

    /* The device's last cluster is whole if nothing of it is left. */
    end = end >= s->size ? qcow2_cluster_end(s, end)
                         : qcow2_cluster_start(s, end);
    return change_range(s, start, MAX(end - start, 0), CHANGE_UNMAP, false);
}
