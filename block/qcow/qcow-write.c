/* SPDX-License-Identifier: MIT */
/*
 * Writing. What is a cluster of the file already is written in place. A run
 * of others becomes new clusters in one piece of the file, written whole, in
 * one request, with what they held before around it; then their entries
 * change.
 */
#include <errno.h>

#include "block/qcow/qcow.h"

static int write_normal(const QcowState *s, int64_t host_offset, int64_t bytes,
                        const IOVector *iov, int64_t at)
{
    g_auto(IOVector) part;

    iov_init_slice(&part, iov, (size_t)at, (size_t)bytes);
    return bdrv_pwritev(s->file, host_offset, bytes, &part, 0);
}

/* Bytes from the start of a cluster on that are to get new clusters: up to
 * the first one that can be written in place. Lock held. */
static int find_new(QcowState *s, int64_t start, int64_t end, int64_t *bytes)
{
    int ret = 0;

    *bytes = 0;
    while (ret == 0 && start + *bytes < end) {
        QcowMapping mapping;

        ret = qcow_map(s, start + *bytes, end - start - *bytes, &mapping);
        if (ret == 0 && mapping.type == QCOW_NORMAL) {
            break;
        }
        *bytes += mapping.bytes;
    }
    return *bytes > 0 ? 0 : ret;
}

/* What a new cluster holds around what is written; zeroes behind the end of
 * the device. */
static int read_around(QcowState *s, int64_t offset, int64_t bytes,
                       uint8_t **buf)
{
    int64_t inside = CLAMP(s->header.size - offset, 0, bytes);
    IOVector iov;

    if (bytes == 0) {
        return 0;
    }
    *buf = g_try_malloc0((size_t)bytes);
    if (*buf == NULL) {
        return -ENOMEM;
    }
    iov_init_buf(&iov, *buf, (size_t)inside);
    return inside > 0 ? qcow_read(s, offset, inside, &iov) : 0;
}

/* Write whole clusters: the guest's bytes, and what is around them. */
static int write_clusters(QcowState *s, int64_t host, int64_t offset,
                          int64_t bytes, const IOVector *iov, int64_t at)
{
    int64_t start = qcow_cluster_start(s, offset);
    int64_t end = qcow_cluster_end(s, offset + bytes);
    int64_t head = offset - start;
    int64_t tail = end - offset - bytes;
    g_autofree uint8_t *before = NULL;
    g_autofree uint8_t *behind = NULL;
    g_auto(IOVector) whole;
    g_auto(IOVector) part;

    iov_init(&whole);
    iov_init_slice(&part, iov, (size_t)at, (size_t)bytes);
    int ret = read_around(s, start, head, &before);
    if (ret == 0) {
        ret = read_around(s, offset + bytes, tail, &behind);
    }
    if (ret < 0) {
        return ret;
    }
    if (head > 0) {
        iov_add(&whole, before, (size_t)head);
    }
    for (int i = 0; i < part.niov; i++) {
        iov_add(&whole, part.iov[i].iov_base, part.iov[i].iov_len);
    }
    if (tail > 0) {
        iov_add(&whole, behind, (size_t)tail);
    }
    return bdrv_pwritev(s->file, host, end - start, &whole, 0);
}

/* The range is held in `busy`, and bytes of it need new clusters. Called and
 * left with the lock held. */
static int write_new(QcowState *s, int64_t offset, int64_t bytes,
                     const IOVector *iov, int64_t at)
{
    int64_t start = qcow_cluster_start(s, offset);
    int64_t size = qcow_cluster_end(s, offset + bytes) - start;
    int ret = qcow_table_prepare(s, offset);

    if (ret < 0) {
        return ret;
    }
    int64_t host = qcow_alloc(s, size, s->cluster_size);
    if (host < 0) {
        return (int)host;
    }
    pthread_mutex_unlock(&s->lock);
    ret = write_clusters(s, host, offset, bytes, iov, at);
    pthread_mutex_lock(&s->lock);
    if (ret < 0) {
        qcow_alloc_undo(s, host, size);
        return ret;
    }
    return qcow_table_set(s, start, size, (uint64_t)host,
                          (uint64_t)s->cluster_size);
}

/* Write up to *bytes into new clusters; *bytes is how many it were: 0 when
 * somebody else has made the first of them meanwhile. */
static int write_unallocated(QcowState *s, int64_t offset, int64_t *bytes,
                             const IOVector *iov, int64_t at)
{
    int64_t start = qcow_cluster_start(s, offset);
    int64_t end = MIN(offset + *bytes, qcow_table_end(s, offset));
    LockedRange range;
    int64_t size;

    pthread_mutex_lock(&s->lock);
    range_lock_take(&s->busy, &range, start, qcow_cluster_end(s, end),
                    &s->lock);
    int ret = find_new(s, start, end, &size);
    *bytes = MAX(MIN(start + size, end) - offset, 0);
    if (ret == 0 && *bytes > 0) {
        ret = write_new(s, offset, *bytes, iov, at);
    }
    range_lock_release(&s->busy, &range);
    pthread_mutex_unlock(&s->lock);
    return ret;
}

int qcow_write(QcowState *s, int64_t offset, int64_t bytes,
               const IOVector *iov)
{
    int64_t done = 0;
    int ret = 0;

    while (ret == 0 && done < bytes) {
        int64_t at = offset + done;
        QcowMapping mapping;

        pthread_mutex_lock(&s->lock);
        ret = qcow_map(s, at, bytes - done, &mapping);
        pthread_mutex_unlock(&s->lock);
        if (ret < 0) {
            break;
        }
        if (mapping.type == QCOW_NORMAL) {
            ret = write_normal(s, mapping.host_offset, mapping.bytes, iov,
                               done);
        } else {
            mapping.bytes = bytes - done;
            ret = write_unallocated(s, at, &mapping.bytes, iov, done);
        }
        done += mapping.bytes;
    }
    return ret;
}

int qcow_pwritev(BlockDriverState *bs, int64_t offset, int64_t bytes,
                 const IOVector *iov, unsigned flags)
{
    QcowState *s = bdrv_opaque(bs);

    unsigned epoch = qcow_request_begin(s);
    int ret = flags & BDRV_REQ_WRITE_COMPRESSED
                  ? qcow_write_compressed(s, offset, bytes, iov)
                  : qcow_write(s, offset, bytes, iov);
    qcow_request_end(s, epoch);
    return ret;
}

/* ---- Zeroes ---- */

/*
 * Zeroes in place, and nothing for what reads as zeroes. The format has no
 * clusters of zeroes: all else is -ENOTSUP, and written as data.
 */
static int zero_run(QcowState *s, int64_t offset, const QcowMapping *mapping,
                    unsigned flags)
{
    switch (mapping->type) {
    case QCOW_NORMAL:
        return bdrv_pwrite_zeroes(s->file, mapping->host_offset,
                                  mapping->bytes, flags);
    case QCOW_UNALLOCATED:
        return qcow_backing_reach(s, offset) == 0 ? 0 : -ENOTSUP;
    default:
        return -ENOTSUP;
    }
}

int qcow_pwrite_zeroes(BlockDriverState *bs, int64_t offset, int64_t bytes,
                       unsigned flags)
{
    QcowState *s = bdrv_opaque(bs);
    int64_t end = offset + bytes;
    int ret = 0;

    unsigned epoch = qcow_request_begin(s);
    while (ret == 0 && offset < end) {
        QcowMapping mapping;

        pthread_mutex_lock(&s->lock);
        ret = qcow_map(s, offset, end - offset, &mapping);
        pthread_mutex_unlock(&s->lock);
        if (ret == 0) {
            ret = zero_run(s, offset, &mapping, flags);
        }
        offset += mapping.bytes;
    }
    qcow_request_end(s, epoch);
    return ret;
}
