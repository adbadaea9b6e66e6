/* SPDX-License-Identifier: MIT */
/*
 * Discards, and giving back the room of what lost its reference.
 *
 * Where there is no backing file, the entries of what is discarded become 0,
 * and its part of the file goes through these stages:
 *
 *   1. `freed`: its reference is gone in memory; on the disk it may be there
 *   2. `leaving`: the tables that say so were written, then flushed
 *      (`leaving_is_durable`); and the requests that may have seen the
 *      reference have ended
 *   3. it is discarded in the file, whose length stays: only blocks go
 *
 * Nothing is put there again, so that nobody waits for it; but a request that
 * still reads a compressed cluster must not find zeroes. Requests are counted
 * in two epochs. What was freed in one leaves with its end, when no request of
 * the one before is left; then what may still use it is all that is counted
 * for the epoch that ended.
 *
 * Where there is a backing file, an entry of 0 would show what that holds, and
 * the format has no clusters of zeroes: the cluster stays, and only its
 * contents are discarded, in place. A stream cannot be.
 */
#include <errno.h>

#include "block/qcow/qcow.h"

/* A part of the file. */
typedef struct Part {
    int64_t offset, bytes;
} Part;

/* With more waiting, they are brought on their way without a flush from
 * outside; with twice as many, further ones are lost room. */
#define MAX_WAITING 65536u

void qcow_frees_init(QcowState *s)
{
    s->freed = g_array_new(FALSE, FALSE, sizeof(Part));
    s->leaving = g_array_new(FALSE, FALSE, sizeof(Part));
}

void qcow_frees_clear(QcowState *s)
{
    g_clear_pointer(&s->freed, g_array_unref);
    g_clear_pointer(&s->leaving, g_array_unref);
}

void qcow_frees_forget(QcowState *s)
{
    g_array_set_size(s->freed, 0);
    g_array_set_size(s->leaving, 0);
}

/* ---- Requests ---- */

unsigned qcow_request_begin(QcowState *s)
{
    pthread_rwlock_rdlock(&s->contents);
    pthread_mutex_lock(&s->lock);
    unsigned epoch = s->epoch;
    s->running[epoch]++;
    pthread_mutex_unlock(&s->lock);
    return epoch;
}

void qcow_request_end(QcowState *s, unsigned epoch)
{
    pthread_mutex_lock(&s->lock);
    s->running[epoch]--;
    pthread_mutex_unlock(&s->lock);
    pthread_rwlock_unlock(&s->contents);
}

/* ---- Giving back ---- */

static void free_later(QcowState *s, int64_t offset, int64_t bytes)
{
    Part part = { offset, bytes };

    if (s->freed->len > 0) {
        Part *last = &g_array_index(s->freed, Part, s->freed->len - 1);

        if (last->offset + last->bytes == offset) {
            last->bytes += bytes;
            return;
        }
    }
    if (s->freed->len < 2 * MAX_WAITING) {
        g_array_append_val(s->freed, part);
    }
}

/* Let what was freed leave, if nothing does yet: its epoch ends. The tables
 * were written. Whether something is leaving. */
static bool begin_leaving(QcowState *s)
{
    GArray *empty = s->leaving;

    if (s->leaving->len == 0 && s->freed->len > 0 &&
        s->running[!s->epoch] == 0) {
        s->leaving = s->freed;
        s->freed = empty;
        s->leaving_is_durable = false;
        s->leaving_number++;
        s->epoch = !s->epoch;
    }
    return s->leaving->len > 0;
}

/* Without the lock meanwhile: others may have ended what began here. */
static int make_durable(QcowState *s)
{
    uint64_t number = s->leaving_number;

    pthread_mutex_unlock(&s->lock);
    int ret = bdrv_flush(bdrv_child_bs(s->file));
    pthread_mutex_lock(&s->lock);
    if (ret == 0 && number == s->leaving_number) {
        s->leaving_is_durable = true;
    }
    return ret;
}

/* The same. What fails is lost room. */
static void discard_leaving(QcowState *s)
{
    g_autoptr(GArray) parts = s->leaving;

    s->leaving = g_array_new(FALSE, FALSE, sizeof(Part));
    pthread_mutex_unlock(&s->lock);
    for (guint i = 0; i < parts->len; i++) {
        const Part *part = &g_array_index(parts, Part, i);

        (void)!bdrv_pdiscard(s->file, part->offset, part->bytes);
    }
    pthread_mutex_lock(&s->lock);
}

static int flush_locked(QcowState *s)
{
    int ret = 0;

    /* Once more for what was freed while something was leaving already. */
    for (int i = 0; i < 2; i++) {
        ret = qcow_write_back(s);
        if (ret < 0 || !begin_leaving(s)) {
            break;
        }
        ret = s->leaving_is_durable ? 0 : make_durable(s);
        if (ret < 0 || !s->leaving_is_durable || s->leaving->len == 0 ||
            s->running[!s->epoch] > 0) {
            break;
        }
        discard_leaving(s);
    }
    return ret;
}

int qcow_flush(BlockDriverState *bs)
{
    QcowState *s = bdrv_opaque(bs);

    /* What leaves must not be taken again by a file that is emptied. */
    pthread_rwlock_rdlock(&s->contents);
    pthread_mutex_lock(&s->lock);
    int ret = flush_locked(s);
    pthread_mutex_unlock(&s->lock);
    pthread_rwlock_unlock(&s->contents);
    return ret;
}

/* ---- Discards ---- */

/* The run at the beginning of a range, within one L2 table. Lock held; the
 * range is held in `busy`. */
static int drop_run(QcowState *s, int64_t offset, const QcowMapping *run)
{
    bool compressed = run->type == QCOW_COMPRESSED;
    int64_t size = qcow_cluster_end(s, run->bytes);
    int ret = qcow_table_set(s, offset, size, 0, 0);

    if (ret == 0) {
        free_later(s, run->host_offset, compressed ? run->host_bytes : size);
    }
    return ret;
}

/* Called and left with the lock held. */
static int discard_in_place(QcowState *s, const QcowMapping *run)
{
    pthread_mutex_unlock(&s->lock);
    int ret = bdrv_pdiscard(s->file, run->host_offset, run->bytes);
    pthread_mutex_lock(&s->lock);
    return ret;
}

/* The same. At most *bytes; how far it went is in *bytes. */
static int discard_run(QcowState *s, int64_t offset, int64_t *bytes)
{
    int64_t behind = qcow_backing_reach(s, offset);
    QcowMapping run;
    int ret = qcow_map(s, offset,
                       MIN(*bytes, qcow_table_end(s, offset) - offset), &run);

    if (ret < 0) {
        return ret;
    }
    if (behind > 0) {
        run.bytes = MIN(run.bytes, behind);
    }
    *bytes = run.bytes;
    if (run.type == QCOW_UNALLOCATED) {
        return 0;
    }
    if (behind == 0) {
        return drop_run(s, offset, &run);
    }
    return run.type == QCOW_NORMAL ? discard_in_place(s, &run) : 0;
}

static int discard_range(QcowState *s, int64_t offset, int64_t bytes)
{
    int64_t end = offset + bytes;
    LockedRange range;
    int ret = 0;

    pthread_mutex_lock(&s->lock);
    range_lock_take(&s->busy, &range, offset, qcow_cluster_end(s, end),
                    &s->lock);
    while (ret == 0 && offset < end) {
        int64_t part = end - offset;

        ret = discard_run(s, offset, &part);
        offset += part;
        /* Others get a chance. */
        pthread_mutex_unlock(&s->lock);
        pthread_mutex_lock(&s->lock);
    }
    range_lock_release(&s->busy, &range);
    pthread_mutex_unlock(&s->lock);
    return ret;
}

static bool many_are_waiting(QcowState *s)
{
    pthread_mutex_lock(&s->lock);
    bool many = s->freed->len >= MAX_WAITING;
    pthread_mutex_unlock(&s->lock);
    return many;
}

int qcow_pdiscard(BlockDriverState *bs, int64_t offset, int64_t bytes)
{
    QcowState *s = bdrv_opaque(bs);
    int64_t end = offset + bytes;

    if (qcow_cluster_start(s, offset) != offset ||
        (qcow_cluster_start(s, end) != end && end != s->header.size)) {
        return -ENOTSUP;
    }
    unsigned epoch = qcow_request_begin(s);
    int ret = discard_range(s, offset, bytes);
    qcow_request_end(s, epoch);
    return ret == 0 && many_are_waiting(s) ? qcow_flush(bs) : ret;
}
