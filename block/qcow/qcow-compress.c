/* SPDX-License-Identifier: MIT */
/*
 * Compressed clusters. Their streams stand one behind the other, at any byte.
 *
 * A long write becomes batches: clusters that become smaller go together as
 * streams into one piece of the file; those that do not, together, as normal
 * ones. Compressing is done without any lock.
 */
#include <errno.h>
#include <inttypes.h>

#include "block/deflate.h"
#include "block/qcow/qcow.h"

#define BATCH_BYTES (256 * 1024)
#define BATCH_CLUSTERS 512

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

/* Add `bytes` of the device, which are in `cluster`. */
static int batch_add(QcowState *s, Batch *batch, const uint8_t *cluster,
                     int64_t bytes, int64_t start, const IOVector *iov)
{
    int ret = batch_has_room(s, batch) ? 0 : batch_end(s, batch, start, iov);

    if (ret < 0) {
        return ret;
    }
    int64_t size = deflate_cluster(batch->streams + batch->used,
                                   s->cluster_size, cluster, s->cluster_size);
    if (size == -ENOSPC) {
        ret = batch->n > 0 ? batch_end(s, batch, start, iov) : 0;
        batch->as_is += bytes;
        return ret;
    }
    if (size < 0) {
        return (int)size;
    }
    if (batch->as_is > 0) {
        /* The stream stands at the start of the memory already. */
        ret = batch_end(s, batch, start, iov);
    }
    batch->size[batch->n++] = (uint32_t)size;
    batch->used += size;
    return ret;
}

static int write_whole(QcowState *s, int64_t offset, int64_t end,
                       const IOVector *iov, int64_t start)
{
    g_autofree uint8_t *cluster = g_try_malloc((size_t)s->cluster_size);
    g_autofree uint8_t *streams = g_try_malloc(BATCH_BYTES);
    g_autofree Batch *batch = g_try_new0(Batch, 1);
    int ret = 0;

    if (cluster == NULL || streams == NULL || batch == NULL) {
        return -ENOMEM;
    }
    batch->offset = offset;
    batch->streams = streams;
    for (; ret == 0 && offset < end; offset += s->cluster_size) {
        int64_t n = MIN(end - offset, s->cluster_size);

        iov_to_buf(iov, (size_t)(offset - start), cluster, (size_t)n);
        memset(cluster + n, 0, (size_t)(s->cluster_size - n));
        ret = batch_add(s, batch, cluster, n, start, iov);
    }
    return ret < 0 ? ret : batch_end(s, batch, start, iov);
}

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
