/* SPDX-License-Identifier: MIT */
/*
 * Host clusters, allocated: first fit, from `free_hint` on.
 *
 * A cluster is taken by raising its refcount in memory. What is wanted may lie
 * beyond the refcount blocks there are; they are made then, and placed behind
 * what is being allocated.
 */
#include <assert.h>
#include <errno.h>

#include "block/qcow2/qcow2.h"

/* More frees than this (or more bytes) do not wait for the guest to flush. */
#define MAX_WAITING_FREES 4096
#define MAX_WAITING_BYTES (INT64_C(256) << 20)

static int64_t max_clusters(const Qcow2State *s)
{
    return (int64_t)(QCOW2_MAX_HOST_OFFSET >> s->cluster_bits);
}

/* So much waits to be freed that the file would grow without need. */
static int relieve_frees(Qcow2State *s)
{
    if (s->frees->len - s->frees_durable <= MAX_WAITING_FREES &&
        s->frees_bytes <= MAX_WAITING_BYTES) {
        return 0;
    }
    return qcow2_write_back(s);
}

/* Where the first n free clusters in a row are; *first_free: the first free
 * one of all. */
static int find_free(Qcow2State *s, int64_t n, int64_t *found,
                     int64_t *first_free)
{
    int64_t at = s->free_hint;

    *first_free = -1;
    for (;;) {
        bool is_free;
        int64_t run;

        if (n > max_clusters(s) || at > max_clusters(s) - n) {
            bdrv_set_io_error("The image cannot grow beyond the offsets that "
                              "its tables can hold");
            return -EFBIG;
        }
        int ret = qcow2_refcount_run(s, at, n, &is_free, &run);
        if (ret < 0) {
            return ret;
        }
        if (is_free && *first_free < 0) {
            *first_free = at;
        }
        if (is_free && run == n) {
            *found = at;
            return 0;
        }
        at += run;
    }
}

/* Take n clusters that are free. */
static int take(Qcow2State *s, int64_t cluster, int64_t n)
{
    int64_t offset = cluster << s->cluster_bits;
    int64_t bytes = n << s->cluster_bits;
    int ret = qcow2_overlap_check(s, offset, bytes);

    if (ret == 0) {
        ret = qcow2_refcount_add(s, cluster, n, 1);
    }
    if (ret == 0) {
        s->fresh_offset = MAX(s->fresh_offset, offset + bytes);
    }
    return ret;
}

int64_t qcow2_alloc_clusters(Qcow2State *s, int64_t bytes)
{
    int64_t n = bytes >> s->cluster_bits;
    int64_t found = 0, first_free = 0;

    assert(bytes > 0 && qcow2_in_cluster(s, bytes) == 0);
    int ret = relieve_frees(s);
    if (ret == 0) {
        ret = find_free(s, n, &found, &first_free);
    }
    if (ret == 0) {
        ret = take(s, found, n);
    }
    if (ret < 0) {
        return ret;
    }
    s->free_hint = first_free == found ? found + n : first_free;
    return found << s->cluster_bits;
}

int64_t qcow2_alloc_clusters_at(Qcow2State *s, int64_t offset, int64_t bytes)
{
    int64_t cluster = offset >> s->cluster_bits;
    int64_t n = bytes >> s->cluster_bits;
    bool is_free;
    int64_t run;

    assert(bytes > 0 && qcow2_in_cluster(s, offset | bytes) == 0);
    if (cluster >= max_clusters(s)) {
        return 0;
    }
    n = MIN(n, max_clusters(s) - cluster);
    int ret = relieve_frees(s);
    if (ret == 0) {
        ret = qcow2_refcount_run(s, cluster, n, &is_free, &run);
    }
    if (ret < 0 || !is_free) {
        return ret;
    }
    ret = take(s, cluster, run);
    if (ret < 0) {
        return ret;
    }
    if (s->free_hint >= cluster && s->free_hint < cluster + run) {
        s->free_hint = cluster + run;
    }
    return run << s->cluster_bits;
}

/* ---- Compressed clusters ---- */

/* Behind the offset where the field of a compressed cluster's entry ends. */
static int64_t packed_limit(const Qcow2State *s)
{
    return INT64_C(1) << MIN(56u, 70 - s->cluster_bits);
}

/* Room behind the last one: its offset, 0 if there is none, or -errno. */
static int64_t append_packed(Qcow2State *s, int64_t bytes)
{
    int64_t offset = s->packed_offset;
    int64_t next = qcow2_cluster_end(s, offset);
    bool straddles = offset + bytes > next;
    uint64_t refcount;

    if (offset == 0) {
        return 0;
    }
    int ret = qcow2_refcount_get(s, offset >> s->cluster_bits, &refcount);
    if (ret < 0) {
        return ret;
    }
    if (refcount == s->refcount_max) {
        return 0;
    }
    if (straddles) {
        int64_t got = qcow2_alloc_clusters_at(s, next, s->cluster_size);

        if (got <= 0) {
            return got;
        }
    }
    ret = qcow2_refcount_add(s, offset >> s->cluster_bits, 1, 1);
    if (ret < 0 && straddles) {
        qcow2_free_now(s, next, s->cluster_size);
    }
    return ret < 0 ? ret : offset;
}

int64_t qcow2_alloc_packed(Qcow2State *s, int64_t bytes)
{
    assert(bytes > 0 && bytes <= s->cluster_size);
    int64_t offset = append_packed(s, bytes);

    if (offset == 0) {
        offset = qcow2_alloc_clusters(s, s->cluster_size);
    }
    if (offset < 0) {
        return offset;
    }
    if (offset > packed_limit(s) - bytes) {
        qcow2_free_now(s, offset, bytes);
        bdrv_set_io_error("The image is too large for compressed clusters");
        return -EFBIG;
    }
    int64_t end = offset + bytes;
    s->packed_offset = qcow2_in_cluster(s, end) == 0 ? 0 : end;
    return offset;
}
