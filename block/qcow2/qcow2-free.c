/* SPDX-License-Identifier: MIT */
/*
 * Host clusters, freed.
 *
 * `frees` is a queue in the order of time. An entry goes through three stages:
 *
 *   1. its reference is gone in memory; on the disk it may still be there
 *   2. steps 1 to 3 were written and flushed since: the first `frees_durable`
 *      entries
 *   3. the requests that began before it have ended: its refcounts are lowered
 *      in memory, and the clusters can be allocated again
 *
 * Requests are numbered, and an entry has the number of the last that may have
 * seen its reference; numbers do not fall along the queue, so what can be done
 * is always at its head.
 */
#include "block/qcow2/qcow2.h"

/* Clusters of this range have refcount 0 now: nobody knows them any more. */
static void forget_clusters(Qcow2State *s, int64_t cluster, int64_t n)
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
    if (s->discards_host) {
        (void)!bdrv_pdiscard(s->file, offset, bytes);
    }
}

/* Whatever fails here leaves leaked clusters. */
void qcow2_free_now(Qcow2State *s, int64_t offset, int64_t bytes)
{
    int64_t cluster = offset >> s->cluster_bits;
    int64_t end = qcow2_cluster_end(s, offset + bytes) >> s->cluster_bits;

    if (qcow2_refcount_add(s, cluster, end - cluster, -1) < 0) {
        return;
    }
    while (cluster < end) {
        bool is_free;
        int64_t run;

        if (qcow2_refcount_run(s, cluster, end - cluster, &is_free, &run) <
            0) {
            return;
        }
        if (is_free) {
            forget_clusters(s, cluster, run);
        }
        cluster += run;
    }
}

void qcow2_free_later(Qcow2State *s, int64_t offset, int64_t bytes)
{
    Qcow2Free entry = { .offset = offset,
                        .bytes = bytes,
                        .number = s->request_number };
    Qcow2Free *last = NULL;

    if (s->frees->len > s->frees_durable) {
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

void qcow2_frees_are_durable(Qcow2State *s)
{
    s->frees_durable = s->frees->len;
    s->frees_bytes = 0;
    qcow2_carry_out_frees(s);
}

void qcow2_carry_out_frees(Qcow2State *s)
{
    unsigned done = 0;

    while (done < s->frees_durable) {
        Qcow2Free entry = g_array_index(s->frees, Qcow2Free, done);

        if (s->first_request != NULL &&
            s->first_request->number <= entry.number) {
            break;
        }
        qcow2_free_now(s, entry.offset, entry.bytes);
        done++;
    }
    if (done > 0) {
        g_array_remove_range(s->frees, 0, done);
        s->frees_durable -= done;
    }
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
    if (was_oldest && s->frees_durable > 0) {
        qcow2_carry_out_frees(s);
    }
}
