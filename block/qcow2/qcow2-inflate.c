/* SPDX-License-Identifier: MIT */
/*
 * Reading compressed clusters.
 *
 * A cluster can only be inflated whole, so one of which a part was read is
 * kept for the next small read. What is kept is known by the offset of its
 * stream in the file. That is enough: whoever inflates a cluster is a request
 * that looked it up, and until that request ends the stream's place is not
 * used again; and when a place is given to a new stream, before any entry
 * refers to that, what is kept of the place is forgotten. So nothing old can
 * be put here after that, and nothing new before.
 *
 * Several clusters of one request are inflated in parallel.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "block/deflate.h"
#include "block/qcow2/qcow2-data.h"
#include "util/parallel.h"

#define CACHE_SLOTS 16
#define CACHE_BYTES (INT64_C(1) << 20)
#define GROUP_BYTES (INT64_C(4) << 20)

/* ---- Clusters that are kept ---- */

typedef struct Inflated {
    int64_t host_offset;
    unsigned refs; /* the lock of the cache */
    uint64_t used;
    uint8_t *data;
} Inflated;

struct Qcow2InflateCache {
    pthread_mutex_t lock;
    unsigned n;                   /* slots in use at most */
    Inflated *slots[CACHE_SLOTS]; /* NULL: empty */
    uint64_t clock;
};

Qcow2InflateCache *qcow2_inflate_cache_new(int64_t cluster_size)
{
    Qcow2InflateCache *cache = g_new0(Qcow2InflateCache, 1);

    pthread_mutex_init(&cache->lock, NULL);
    cache->n = (unsigned)CLAMP(CACHE_BYTES / cluster_size, 4, CACHE_SLOTS);
    return cache;
}

static void inflated_unref_locked(Inflated *inflated)
{
    if (inflated && --inflated->refs == 0) {
        g_free(inflated->data);
        g_free(inflated);
    }
}

void qcow2_inflate_cache_free(Qcow2InflateCache *cache)
{
    if (cache == NULL) {
        return;
    }
    for (unsigned i = 0; i < cache->n; i++) {
        inflated_unref_locked(cache->slots[i]);
    }
    pthread_mutex_destroy(&cache->lock);
    g_free(cache);
}

static void inflated_unref(Qcow2InflateCache *cache, Inflated *inflated)
{
    pthread_mutex_lock(&cache->lock);
    inflated_unref_locked(inflated);
    pthread_mutex_unlock(&cache->lock);
}

static Inflated *cache_find(Qcow2InflateCache *cache, int64_t host_offset)
{
    Inflated *found = NULL;

    pthread_mutex_lock(&cache->lock);
    for (unsigned i = 0; found == NULL && i < cache->n; i++) {
        Inflated *slot = cache->slots[i];

        if (slot && slot->host_offset == host_offset) {
            found = slot;
            found->refs++;
            found->used = ++cache->clock;
        }
    }
    pthread_mutex_unlock(&cache->lock);
    return found;
}

/* In place of the one that was used least recently, or of its like. */
static void cache_insert(Qcow2InflateCache *cache, Inflated *inflated)
{
    unsigned victim = 0;

    pthread_mutex_lock(&cache->lock);
    for (unsigned i = 0; i < cache->n; i++) {
        const Inflated *slot = cache->slots[i];
        const Inflated *worst = cache->slots[victim];

        if (slot && slot->host_offset == inflated->host_offset) {
            victim = i;
            break;
        }
        if (worst && (slot == NULL || slot->used < worst->used)) {
            victim = i;
        }
    }
    inflated_unref_locked(cache->slots[victim]);
    cache->slots[victim] = inflated;
    inflated->refs++;
    inflated->used = ++cache->clock;
    pthread_mutex_unlock(&cache->lock);
}

void qcow2_inflate_cache_forget(Qcow2InflateCache *cache, int64_t host_offset)
{
    pthread_mutex_lock(&cache->lock);
    for (unsigned i = 0; i < cache->n; i++) {
        if (cache->slots[i] && cache->slots[i]->host_offset == host_offset) {
            inflated_unref_locked(cache->slots[i]);
            cache->slots[i] = NULL;
        }
    }
    pthread_mutex_unlock(&cache->lock);
}

/* ---- One cluster ---- */

static int stream_error(const Qcow2State *s, int64_t host_offset, int ret)
{
    if (ret == -EIO) {
        bdrv_set_io_error("The compressed cluster at byte %" PRId64
                          " of the image '%s' is damaged",
                          host_offset, bdrv_node_name(s->bs));
    }
    return ret;
}

static int inflate_from_file(Qcow2State *s, const Qcow2Mapping *mapping,
                             uint8_t *dst)
{
    g_autofree void *stream = g_try_malloc((gsize)mapping->host_bytes);

    if (stream == NULL) {
        return -ENOMEM;
    }
    int ret = bdrv_pread(s->file, mapping->host_offset, mapping->host_bytes,
                         stream, 0);
    if (ret < 0) {
        return ret;
    }
    ret = inflate_cluster(dst, s->cluster_size, stream, mapping->host_bytes);
    return stream_error(s, mapping->host_offset, ret);
}

/* The cluster, with a reference for the caller, or NULL and *ret. */
static Inflated *inflated_get(Qcow2State *s, const Qcow2Mapping *mapping,
                              int *ret)
{
    Inflated *inflated = cache_find(s->inflated, mapping->host_offset);

    *ret = 0;
    if (inflated) {
        return inflated;
    }
    inflated = g_new0(Inflated, 1);
    inflated->host_offset = mapping->host_offset;
    inflated->refs = 1;
    inflated->data = g_try_malloc((gsize)s->cluster_size);
    *ret = inflated->data ? inflate_from_file(s, mapping, inflated->data)
                          : -ENOMEM;
    if (*ret < 0) {
        g_free(inflated->data);
        g_free(inflated);
        return NULL;
    }
    cache_insert(s->inflated, inflated);
    return inflated;
}

int qcow2_read_compressed(Qcow2State *s, const Qcow2Mapping *mapping,
                          int64_t skip, int64_t bytes, const IOVector *iov,
                          size_t iov_offset)
{
    int ret;
    Inflated *inflated = inflated_get(s, mapping, &ret);

    if (inflated) {
        iov_from_buf(iov, iov_offset, inflated->data + skip, (size_t)bytes);
        inflated_unref(s->inflated, inflated);
    }
    return ret;
}

/* ---- Many whole clusters ---- */

typedef struct InflateJob {
    const Qcow2Mapping *mapping;
    int64_t dst_bytes;
    const uint8_t *stream;
    uint8_t *dst;
    uint8_t *bounce; /* dst, if the caller's memory is in pieces */
    uint8_t *memory; /* streams from this job's on, to be freed */
    size_t iov_offset;
    int ret;
} InflateJob;

static void inflate_one(void *opaque, unsigned i)
{
    InflateJob *job = (InflateJob *)opaque + i;

    job->ret = inflate_cluster(job->dst, job->dst_bytes, job->stream,
                               job->mapping->host_bytes);
}

/* Streams usually stand one behind the other: how many of them are read at
 * once, into the memory of the first. */
static int read_streams(Qcow2State *s, InflateJob *jobs, unsigned n,
                        unsigned *count)
{
    int64_t start = jobs[0].mapping->host_offset;
    int64_t end = start + jobs[0].mapping->host_bytes;
    unsigned k = 1;

    while (k < n && jobs[k].mapping->host_offset >= start &&
           jobs[k].mapping->host_offset <= end) {
        end = MAX(end,
                  jobs[k].mapping->host_offset + jobs[k].mapping->host_bytes);
        k++;
    }
    jobs[0].memory = g_try_malloc((gsize)(end - start));
    if (jobs[0].memory == NULL) {
        return -ENOMEM;
    }
    for (unsigned i = 0; i < k; i++) {
        jobs[i].stream = jobs[0].memory + jobs[i].mapping->host_offset - start;
    }
    *count = k;
    return bdrv_pread(s->file, start, end - start, jobs[0].memory, 0);
}

static int find_destination(InflateJob *job, const IOVector *iov)
{
    g_auto(IOVector) part;

    iov_init_slice(&part, iov, job->iov_offset, (size_t)job->dst_bytes);
    if (part.niov == 1) {
        job->dst = part.iov[0].iov_base;
        return 0;
    }
    job->dst = job->bounce = g_try_malloc((gsize)job->dst_bytes);
    return job->dst ? 0 : -ENOMEM;
}

static int run_jobs(Qcow2State *s, InflateJob *jobs, unsigned n,
                    const IOVector *iov)
{
    unsigned count = 0;
    int ret = 0;

    for (unsigned i = 0; ret == 0 && i < n; i++) {
        ret = find_destination(&jobs[i], iov);
    }
    for (unsigned i = 0; ret == 0 && i < n; i += count) {
        ret = read_streams(s, &jobs[i], n - i, &count);
    }
    if (ret == 0) {
        parallel_for(n, inflate_one, jobs);
    }
    for (unsigned i = 0; i < n; i++) {
        if (ret == 0) {
            ret = stream_error(s, jobs[i].mapping->host_offset, jobs[i].ret);
        }
        if (ret == 0 && jobs[i].bounce) {
            iov_from_buf(iov, jobs[i].iov_offset, jobs[i].bounce,
                         (size_t)jobs[i].dst_bytes);
        }
        g_free(jobs[i].bounce);
        g_free(jobs[i].memory);
    }
    return ret;
}

int qcow2_read_compressed_runs(Qcow2State *s, const Qcow2Mapping *runs,
                               unsigned n, int64_t skip, const IOVector *iov,
                               size_t iov_offset)
{
    unsigned group = (unsigned)MAX(GROUP_BYTES / s->cluster_size,
                                   parallel_width());
    g_autofree InflateJob *jobs = g_new0(InflateJob, MIN(group, n));
    unsigned n_jobs = 0;
    int ret = 0;

    for (unsigned i = 0; ret == 0 && i < n; i++) {
        if (runs[i].bytes < s->cluster_size) {
            ret = qcow2_read_compressed(s, &runs[i], i == 0 ? skip : 0,
                                        runs[i].bytes, iov, iov_offset);
        } else {
            jobs[n_jobs++] = (InflateJob){
                .mapping = &runs[i],
                .dst_bytes = s->cluster_size,
                .iov_offset = iov_offset,
            };
        }
        if (ret == 0 && (n_jobs == group || (i == n - 1 && n_jobs > 0))) {
            ret = run_jobs(s, jobs, n_jobs, iov);
            n_jobs = 0;
        }
        iov_offset += (size_t)runs[i].bytes;
    }
    return ret;
}
