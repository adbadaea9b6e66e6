/* SPDX-License-Identifier: MIT */
/*
 * Host clusters, freed.
 *
 * `frees` is a queue in the order of time. An entry goes through these stages:
 *
 *   1. its reference is gone in memory; on the disk it may still be there
 *   2. steps 1 to 3 were written since: it is sealed, nothing is added to it
 *   3. and flushed: it is durable
 *   4. the requests that began before it have ended. If the file is to shrink,
 *      the clusters are discarded there, without the lock; they still have
 *      their refcount, so nobody takes them meanwhile (`frees_leaving`)
 *   5. the refcounts are lowered in memory: the clusters can be allocated
 *
 * Requests are numbered, and an entry has the number of the last that may have
 * seen its reference; numbers do not fall along the queue, so what can be done
 * is always at its head.
 */
#include <limits.h>

#include "block/qcow2/qcow2-host.h"

/* Clusters of this range have refcount 0 now: nobody knows them any more. */
static void forget_clusters(Qcow2State *s, int64_t cluster, int64_t n,
                            bool discard)
{
    int64_t offset = cluster << s->cluster_bits;
    int64_t bytes = n << s->cluster_bits;

    qcow2_lower_hints(s, cluster);
    if (s->packed_offset > offset && s->packed_offset < offset + bytes) {
        s->packed_offset = 0;
    }
    table_cache_drop(s->l2_cache, offset, bytes);
    table_cache_drop(s->refcount_cache, offset, bytes);
    qcow2_overlap_remove(s, offset, bytes);
    if (discard) {
        (void)!bdrv_pdiscard(s->file, offset, bytes);
    }
}

/* Whatever fails here leaves leaked clusters. */
static void free_range(Qcow2State *s, int64_t offset, int64_t bytes,
                       bool discard)
{
    int64_t cluster = offset >> s->cluster_bits;
    int64_t end = qcow2_cluster_end(s, offset + bytes) >> s->cluster_bits;

    if (qcow2_refcount_add(s, cluster, end - cluster, -1) < 0) {
        return;
    }
    while (cluster < end) {
        uint64_t refcount;
        int64_t run;

        if (qcow2_refcount_run(s, cluster, end - cluster, &refcount, &run) <
            0) {
            return;
        }
        if (refcount == 0) {
            forget_clusters(s, cluster, run, discard);
        }
        cluster += run;
    }
}

void qcow2_free_now(Qcow2State *s, int64_t offset, int64_t bytes)
{
    free_range(s, offset, bytes, s->discards_host);
}

/* ---- The queue ---- */

void qcow2_free_later(Qcow2State *s, int64_t offset, int64_t bytes)
{
    Qcow2Free entry = { .offset = offset,
                        .bytes = bytes,
                        .number = s->request_number };
    Qcow2Free *last = NULL;

    if (s->frees->len > s->frees_sealed) {
        last = &g_array_index(s->frees, Qcow2Free, s->frees->len - 1);
    }
    s->frees_bytes += bytes;
    /* Of packed bytes, each piece is one reference to the cluster. */
    if (last != NULL && last->offset + last->bytes == offset &&
        qcow2_in_cluster(s, last->offset | last->bytes | bytes) == 0) {
        last->bytes += bytes;
        last->number = entry.number;
        return;
    }
    g_array_append_val(s->frees, entry);
}

int64_t qcow2_frees_seal(Qcow2State *s)
{
    s->frees_sealed = s->frees->len;
    s->frees_bytes = 0;
    return s->frees_done + s->frees_sealed;
}

void qcow2_frees_are_durable(Qcow2State *s, int64_t seal)
{
    int64_t left = MAX(seal - s->frees_done, 0);

    s->frees_durable = MAX(s->frees_durable, (unsigned)left);
}

/* Entries at the head that wait for nothing, at most `max`. */
static unsigned count_ready(const Qcow2State *s, unsigned max)
{
    unsigned n = 0;

    while (n < MIN(s->frees_durable, max) &&
           (s->first_request == NULL ||
            s->first_request->number >
                g_array_index(s->frees, Qcow2Free, n).number)) {
        n++;
    }
    return n;
}

static void remove_first(Qcow2State *s, unsigned n)
{
    if (n > 0) {
        g_array_remove_range(s->frees, 0, n);
        s->frees_sealed -= n;
        s->frees_durable -= n;
        s->frees_done += n;
    }
}

/* Lower the refcounts of the first n entries. */
static void finish_frees(Qcow2State *s, unsigned n, bool discard)
{
    for (unsigned i = 0; i < n; i++) {
        Qcow2Free entry = g_array_index(s->frees, Qcow2Free, i);

        free_range(s, entry.offset, entry.bytes, discard);
    }
    remove_first(s, n);
}

void qcow2_carry_out_frees(Qcow2State *s)
{
    if (!s->frees_leaving) {
        finish_frees(s, count_ready(s, UINT_MAX), s->discards_host);
    }
}

/* ---- Discarding ---- */

#define BATCH 128

static gint compare_offsets(gconstpointer a, gconstpointer b)
{
    const Qcow2Free *left = a, *right = b;

    return (left->offset > right->offset) - (left->offset < right->offset);
}

/*
 * Carry out an entry as far as others refer to the clusters, too. Those that
 * nothing else refers to are left, with their refcount of 1: appended to sole.
 */
static void split_entry(Qcow2State *s, const Qcow2Free *entry, GArray *sole)
{
    int64_t cluster = entry->offset >> s->cluster_bits;
    int64_t end = qcow2_cluster_end(s, entry->offset + entry->bytes) >>
                  s->cluster_bits;
    uint64_t refcount;
    int64_t run;

    for (; cluster < end; cluster += run) {
        if (qcow2_refcount_run(s, cluster, end - cluster, &refcount, &run) <
            0) {
            return;
        }
        const Qcow2Free rest = {
            .offset = cluster << s->cluster_bits,
            .bytes = run << s->cluster_bits,
            .number = entry->number,
        };
        if (refcount != 1) {
            (void)!qcow2_refcount_add(s, cluster, run, -1);
            continue;
        }
        if (s->packed_offset > rest.offset &&
            s->packed_offset < rest.offset + rest.bytes) {
            s->packed_offset = 0;
        }
        g_array_append_val(sole, rest);
    }
}

/* In order, neighbours together. */
static void merge_ranges(GArray *ranges)
{
    guint n = 0;

    g_array_sort(ranges, compare_offsets);
    for (guint i = 0; i < ranges->len; i++) {
        Qcow2Free next = g_array_index(ranges, Qcow2Free, i);
        Qcow2Free *last = &g_array_index(ranges, Qcow2Free, MAX(n, 1) - 1);

        if (n > 0 && last->offset + last->bytes == next.offset) {
            last->bytes += next.bytes;
            last->number = MAX(last->number, next.number);
        } else {
            g_array_index(ranges, Qcow2Free, n++) = next;
        }
    }
    g_array_set_size(ranges, n);
}

/* The first n entries become those that only the discard is missing to. */
static void split_frees(Qcow2State *s, unsigned n, GArray *sole)
{
    for (unsigned i = 0; i < n; i++) {
        split_entry(s, &g_array_index(s->frees, Qcow2Free, i), sole);
    }
    merge_ranges(sole);
    remove_first(s, n);
    g_array_prepend_vals(s->frees, sole->data, sole->len);
    s->frees_sealed += sole->len;
    s->frees_durable += sole->len;
    s->frees_done -= sole->len;
}

void qcow2_discard_frees(Qcow2State *s)
{
    unsigned n;

    if (!s->discards_host || s->frees_leaving) {
        qcow2_carry_out_frees(s);
        return;
    }
    s->frees_leaving = true;
    while ((n = count_ready(s, BATCH)) > 0) {
        g_autoptr(GArray) sole = g_array_new(FALSE, FALSE, sizeof(Qcow2Free));

        split_frees(s, n, sole);
        pthread_mutex_unlock(&s->lock);
        for (guint i = 0; i < sole->len; i++) {
            const Qcow2Free *range = &g_array_index(sole, Qcow2Free, i);

            (void)!bdrv_pdiscard(s->file, range->offset, range->bytes);
        }
        pthread_mutex_lock(&s->lock);
        finish_frees(s, sole->len, false);
    }
    s->frees_leaving = false;
}

/* ---- Requests ---- */

void qcow2_request_begin(Qcow2State *s, Qcow2Request *request)
{
    request->number = ++s->request_number;
    request->next = NULL;
    request->prev = s->last_request;
    if (s->last_request != NULL) {
        s->last_request->next = request;
    } else {
        s->first_request = request;
    }
    s->last_request = request;
}

void qcow2_request_end(Qcow2State *s, Qcow2Request *request)
{
    bool was_oldest = request->prev == NULL;

    if (request->prev != NULL) {
        request->prev->next = request->next;
    } else {
        s->first_request = request->next;
    }
    if (request->next != NULL) {
        request->next->prev = request->prev;
    } else {
        s->last_request = request->prev;
    }
    /* Discarding takes long: the next flush does it. */
    if (was_oldest && s->frees_durable > 0 && !s->discards_host) {
        qcow2_carry_out_frees(s);
    }
}
