/* SPDX-License-Identifier: MIT */
/*
 * Compressed clusters. Their streams stand one behind the other, at any byte.
 *
 * A long write is compressed group by group, a group on all processors and
 * without any lock. What comes of that becomes batches, in order: clusters that
 * became smaller go together as streams into one piece of the file; those that
 * did not, together, as normal ones.
 */
#include <errno.h>
#include <inttypes.h>

#include "block/deflate.h"
#include "block/qcow/qcow.h"
#include "util/parallel.h"

#define BATCH_BYTES (256 * 1024)
#define BATCH_CLUSTERS 512

/* Enough that it does not matter when a processor has nothing left to do. */
#define GROUP_BYTES (INT64_C(1) << 20)

int qcow_read_cluster(QcowState *s, const QcowMapping *mapping,
                      uint8_t *cluster, uint8_t *stream)
{
    int ret = bdrv_pread(s->file, mapping->host_offset, mapping->host_bytes,
                         stream, 0);

    if (ret < 0) {
        return ret;
    }
    ret = inflate_cluster(cluster, s->cluster_size, stream,
                          mapping->host_bytes);
    if (ret == -EIO) {
        bdrv_set_io_error("The image of node '%s' is damaged: the compressed "
                          "cluster at offset %" PRId64
                          " cannot be decompressed",
                          bdrv_node_name(s->bs), mapping->host_offset);
    }
    return ret;
}

/* Clusters of a request that follow each other. */
typedef struct Batch {
    int64_t offset;                /* of the first, on the device */
    size_t n;                      /* clusters that became smaller */
    int64_t used;                  /* bytes of `streams` */
    int64_t as_is;                 /* guest bytes that did not; then n is 0 */
    uint8_t *streams;              /* BATCH_BYTES */
    uint32_t size[BATCH_CLUSTERS]; /* of each stream */
} Batch;

/* Let the entries name the streams at `host`. Lock held. */
static int set_entries(QcowState *s, const Batch *batch, int64_t host)
{
    unsigned offset_bits = 63 - s->header.cluster_bits;
    int ret = 0;

    for (size_t i = 0; ret == 0 && i < batch->n; i++) {
        uint64_t entry = QCOW_COMPRESSED_BIT | (uint64_t)host |
                         (uint64_t)batch->size[i] << offset_bits;

        ret = qcow_table_set(s, batch->offset + (int64_t)i * s->cluster_size,
                             s->cluster_size, entry, 0);
        host += batch->size[i];
    }
    return ret;
}

/* The clusters are held in `busy`. Called and left with the lock held. */
static int write_streams(QcowState *s, const Batch *batch)
{
    int ret = qcow_table_prepare(s, batch->offset);

    if (ret < 0) {
        return ret;
    }
    int64_t host = qcow_alloc(s, batch->used, 1);
    if (host < 0) {
        return (int)host;
    }
    pthread_mutex_unlock(&s->lock);
    ret = bdrv_pwrite(s->file, host, batch->used, batch->streams, 0);
    pthread_mutex_lock(&s->lock);
    if (ret < 0) {
        qcow_alloc_undo(s, host, batch->used);
        return ret;
    }
    return set_entries(s, batch, host);
}

/* Bytes of the request that are no whole cluster are written as they are. */
static int write_as_is(QcowState *s, int64_t offset, int64_t bytes,
                       const IOVector *iov, int64_t start)
{
    g_auto(IOVector) part;

    iov_init_slice(&part, iov, (size_t)(offset - start), (size_t)bytes);
    return bytes > 0 ? qcow_write(s, offset, bytes, &part) : 0;
}

/* Write the batch and begin another behind it. */
static int batch_end(QcowState *s, Batch *batch, int64_t start,
                     const IOVector *iov)
{
    int64_t bytes = batch->as_is + (int64_t)batch->n * s->cluster_size;
    int ret = 0;

    if (batch->as_is > 0) {
        ret = write_as_is(s, batch->offset, batch->as_is, iov, start);
    } else if (batch->n > 0) {
        LockedRange range;

        pthread_mutex_lock(&s->lock);
        range_lock_take(&s->busy, &range, batch->offset, batch->offset + bytes,
                        &s->lock);
        ret = write_streams(s, batch);
        range_lock_release(&s->busy, &range);
        pthread_mutex_unlock(&s->lock);
    }
    batch->offset += bytes;
    batch->n = 0;
    batch->used = batch->as_is = 0;
    return ret;
}

/* Whether another stream can come into the batch: all of one L2 table. */
static bool batch_has_room(const QcowState *s, const Batch *batch)
{
    int64_t end = batch->offset + (int64_t)batch->n * s->cluster_size;

    return batch->n < BATCH_CLUSTERS &&
           batch->used <= BATCH_BYTES - s->cluster_size &&
           (batch->n == 0 || end < qcow_table_end(s, batch->offset));
}

/* ---- Groups ---- */

/* Clusters that are compressed at a time. */
typedef struct Group {
    const QcowState *s;
    int64_t offset, bytes; /* of the device */
    unsigned n;            /* clusters */
    uint8_t *data;         /* whole clusters, the last one filled up */
    uint8_t *streams;      /* as much room for each */
    int64_t *size;         /* of the stream, or -errno */
} Group;

static void compress_one(void *opaque, unsigned i)
{
    const Group *group = opaque;
    int64_t cluster = group->s->cluster_size;

    group->size[i] = deflate_cluster(group->streams + i * cluster, cluster,
                                     group->data + i * cluster, cluster);
}

/* iov holds the group from `skip` on. */
static void group_compress(Group *group, const IOVector *iov, int64_t skip)
{
    int64_t end = qcow_cluster_end(group->s, group->bytes);

    group->n = (unsigned)(end >> group->s->header.cluster_bits);
    iov_to_buf(iov, (size_t)skip, group->data, (size_t)group->bytes);
    memset(group->data + group->bytes, 0, (size_t)(end - group->bytes));
    parallel_for(group->n, compress_one, group);
}

/* Add cluster i of the group. */
static int batch_add(QcowState *s, Batch *batch, const Group *group,
                     unsigned i, int64_t start, const IOVector *iov)
{
    int64_t at = (int64_t)i * s->cluster_size;
    int64_t size = group->size[i];
    int ret = batch_has_room(s, batch) ? 0 : batch_end(s, batch, start, iov);

    if (ret < 0) {
        return ret;
    }
    if (size == -ENOSPC) {
        ret = batch->n > 0 ? batch_end(s, batch, start, iov) : 0;
        batch->as_is += MIN(s->cluster_size, group->bytes - at);
        return ret;
    }
    if (size < 0) {
        return (int)size;
    }
    if (batch->as_is > 0) {
        ret = batch_end(s, batch, start, iov);
    }
    memcpy(batch->streams + batch->used, group->streams + at, (size_t)size);
    batch->size[batch->n++] = (uint32_t)size;
    batch->used += size;
    return ret;
}

static int write_groups(QcowState *s, Group *group, Batch *batch, int64_t end,
                        const IOVector *iov, int64_t start)
{
    int ret = 0;

    for (; ret == 0 && group->offset < end; group->offset += group->bytes) {
        group->bytes = MIN(end - group->offset, GROUP_BYTES);
        group_compress(group, iov, group->offset - start);
        for (unsigned i = 0; ret == 0 && i < group->n; i++) {
            ret = batch_add(s, batch, group, i, start, iov);
        }
    }
    return ret < 0 ? ret : batch_end(s, batch, start, iov);
}

static int write_whole(QcowState *s, int64_t offset, int64_t end,
                       const IOVector *iov, int64_t start)
{
    gsize bytes = (gsize)MIN(qcow_cluster_end(s, end - offset), GROUP_BYTES);
    g_autofree uint8_t *data = g_try_malloc(bytes);
    g_autofree uint8_t *out = g_try_malloc(bytes);
    g_autofree int64_t *size = g_try_new(int64_t,
                                         bytes >> s->header.cluster_bits);
    g_autofree uint8_t *streams = g_try_malloc(BATCH_BYTES);
    g_autofree Batch *batch = g_try_new0(Batch, 1);
    Group group = {
        .s = s, .offset = offset, .data = data, .streams = out, .size = size
    };

    if (!data || !out || !size || !streams || !batch) {
        return -ENOMEM;
    }
    batch->offset = offset;
    batch->streams = streams;
    return write_groups(s, &group, batch, end, iov, start);
}

/* ---- Requests ---- */

int qcow_write_compressed(QcowState *s, int64_t offset, int64_t bytes,
                          const IOVector *iov)
{
    int64_t end = offset + bytes;
    int64_t first = MIN(qcow_cluster_end(s, offset), end);
    int64_t last = end == s->header.size ? end : qcow_cluster_start(s, end);

    last = MAX(first, last);
    int ret = write_as_is(s, offset, first - offset, iov, offset);
    if (ret == 0 && first < last) {
        ret = write_whole(s, first, last, iov, offset);
    }
    if (ret == 0) {
        ret = write_as_is(s, last, end - last, iov, offset);
    }
    return ret;
}
