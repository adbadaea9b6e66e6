/* SPDX-License-Identifier: MIT */
/*
 * Host clusters, allocated: first fit. free_hint tells where the first free
 * cluster may be, and run_hints[k - 1] where the first run of 1 << k free
 * clusters may begin; so neither used clusters nor holes that are too small are
 * looked at again and again.
 *
 * A cluster is taken by raising its refcount in memory. What is wanted may lie
 * beyond the refcount blocks there are; they are made then, and placed behind
 * what is being allocated.
 */
#include <assert.h>
#include <errno.h>

#include "block/qcow2/qcow2-host.h"

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

/* ---- Hints ---- */

/* The hint for runs of 1 << k clusters. */
static int64_t *hint(Qcow2State *s, unsigned k)
{
    return k == 0 ? &s->free_hint : &s->run_hints[k - 1];
}

/* The longest runs that there is a hint for and that n clusters contain. */
static unsigned hint_class(int64_t n)
{
    return MIN(63u - (unsigned)__builtin_clzll((uint64_t)n), QCOW2_RUN_HINTS);
}

/* Clusters were taken. */
static void raise_hints(Qcow2State *s, int64_t cluster, int64_t n)
{
    for (unsigned k = 0; k <= QCOW2_RUN_HINTS; k++) {
        if (*hint(s, k) >= cluster && *hint(s, k) < cluster + n) {
            *hint(s, k) = cluster + n;
        }
    }
}

void qcow2_lower_hints(Qcow2State *s, int64_t cluster)
{
    for (unsigned k = 0; k <= QCOW2_RUN_HINTS; k++) {
        /* It may be the last that a run before it lacked. */
        int64_t start = MAX(cluster - ((INT64_C(1) << k) - 1), 0);

        *hint(s, k) = MIN(*hint(s, k), start);
    }
}

/* ---- Whole clusters ---- */

/* The first n free clusters in a row, or -errno. */
static int64_t find_free(Qcow2State *s, int64_t n)
{
    unsigned class = hint_class(n);
    bool is_first = true; /* the first run of its class */
    int64_t at = 0;

    for (unsigned k = 0; k <= class; k++) {
        at = MAX(at, *hint(s, k));
    }
    for (;;) {
        uint64_t refcount;
        int64_t run;
        int ret = qcow2_refcount_skip_used(s, &at);

        if (ret < 0) {
            return ret;
        }
        if (n > max_clusters(s) || at > max_clusters(s) - n) {
            bdrv_set_io_error("The image cannot grow beyond the offsets that "
                              "its tables can hold");
            return -EFBIG;
        }
        ret = qcow2_refcount_run(s, at, n, &refcount, &run);
        if (ret < 0) {
            return ret;
        }
        if (is_first && run >> class > 0) {
            *hint(s, class) = at;
            is_first = false;
        }
        if (run == n) {
            return at;
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
        raise_hints(s, cluster, n);
        s->fresh_offset = MAX(s->fresh_offset, offset + bytes);
    }
    return ret;
}

int64_t qcow2_alloc_clusters(Qcow2State *s, int64_t bytes)
{
    int64_t n = bytes >> s->cluster_bits;

    assert(bytes > 0 && qcow2_in_cluster(s, bytes) == 0);
    int ret = relieve_frees(s);
    if (ret < 0) {
        return ret;
    }
    int64_t found = find_free(s, n);
    if (found < 0) {
        return found;
    }
    ret = take(s, found, n);
    return ret < 0 ? ret : found << s->cluster_bits;
}

int64_t qcow2_alloc_clusters_at(Qcow2State *s, int64_t offset, int64_t bytes)
{
    int64_t cluster = offset >> s->cluster_bits;
    int64_t n = bytes >> s->cluster_bits;
    uint64_t refcount = 0;
    int64_t run = 0;

    assert(bytes > 0 && qcow2_in_cluster(s, offset | bytes) == 0);
    if (cluster >= max_clusters(s)) {
        return 0;
    }
    n = MIN(n, max_clusters(s) - cluster);
    int ret = relieve_frees(s);
    if (ret == 0) {
        ret = qcow2_refcount_run(s, cluster, n, &refcount, &run);
    }
    if (ret < 0 || refcount != 0) {
        return ret;
    }
    ret = take(s, cluster, run);
    return ret < 0 ? ret : run << s->cluster_bits;
}

/* ---- Compressed clusters ---- */

/* Behind the offset where the field of a compressed cluster's entry ends. */
static int64_t packed_limit(const Qcow2State *s)
{
    return INT64_C(1) << MIN(56u, 70 - s->cluster_bits);
}

/*
 * Room behind the last one, if it is there: its offset; else that of a new
 * cluster, 0 if there is none yet, or -errno. A stream that does not fit goes
 * on in the next cluster if that is the one to be taken now; the file does not
 * grow for it while there are free clusters.
 */
static int64_t append_packed(Qcow2State *s, int64_t bytes)
{
    int64_t offset = s->packed_offset;
    int64_t next = qcow2_cluster_end(s, offset);
    bool straddles = offset + bytes > next;
    uint64_t refcount;

    if (offset == 0) {
        return 0;
    }
    if (straddles) {
        int64_t got = qcow2_alloc_clusters(s, s->cluster_size);

        /* Frees that were carried out for that may have taken the last. */
        if (got < 0 || got != next || s->packed_offset != offset) {
            return got;
        }
    }
    int ret = qcow2_refcount_get(s, offset >> s->cluster_bits, &refcount);
    if (ret == 0 && refcount == s->refcount_max) {
        return straddles ? next : 0;
    }
    if (ret == 0) {
        ret = qcow2_refcount_add(s, offset >> s->cluster_bits, 1, 1);
    }
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
