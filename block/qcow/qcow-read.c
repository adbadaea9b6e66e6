/* SPDX-License-Identifier: MIT */
#include <errno.h>

#include "block/qcow/qcow.h"

/* block_status() joins at most so many compressed clusters. */
#define MAX_STATUS_CLUSTERS 1024

int64_t qcow_backing_bytes(const QcowState *s, int64_t offset, int64_t bytes)
{
    BdrvChild *backing = bdrv_backing(s->bs);
    int64_t length = backing ? bdrv_getlength(bdrv_child_bs(backing)) : 0;

    return length < 0 ? length : CLAMP(length - offset, 0, bytes);
}

int64_t qcow_backing_reach(const QcowState *s, int64_t offset)
{
    const BdrvChild *backing = bdrv_backing(s->bs);

    if (backing == NULL) {
        return s->header.backing_file_offset != 0 ? INT64_MAX : 0;
    }
    int64_t length = bdrv_getlength(bdrv_child_bs(backing));
    if (length < 0) {
        return INT64_MAX;
    }
    return offset < length ? qcow_cluster_end(s, length) - offset : 0;
}

/* `bytes` at `at` of the vector, as they are without this image. */
static int read_backing(const QcowState *s, int64_t offset, int64_t bytes,
                        const IOVector *iov, int64_t at)
{
    int64_t n = qcow_backing_bytes(s, offset, bytes);
    int ret = n < 0 ? (int)n : 0;

    if (n > 0) {
        g_auto(IOVector) part;

        iov_init_slice(&part, iov, (size_t)at, (size_t)n);
        ret = bdrv_preadv(bdrv_backing(s->bs), offset, n, &part, 0);
    }
    if (ret == 0 && n < bytes) {
        iov_memset(iov, (size_t)(at + n), 0, (size_t)(bytes - n));
    }
    return ret;
}

static int read_normal(const QcowState *s, int64_t host_offset, int64_t bytes,
                       const IOVector *iov, int64_t at)
{
    g_auto(IOVector) part;

    iov_init_slice(&part, iov, (size_t)at, (size_t)bytes);
    return bdrv_preadv(s->file, host_offset, bytes, &part, 0);
}

/* *scratch is memory for two clusters, or NULL as yet. */
static int read_compressed(QcowState *s, const QcowMapping *mapping,
                           int64_t offset, uint8_t **scratch,
                           const IOVector *iov, int64_t at)
{
    int64_t skip = offset & (s->cluster_size - 1);

    if (*scratch == NULL) {
        *scratch = g_try_malloc((size_t)s->cluster_size * 2);
        if (*scratch == NULL) {
            return -ENOMEM;
        }
    }
    int ret = qcow_read_cluster(s, mapping, *scratch,
                                *scratch + s->cluster_size);
    if (ret == 0) {
        iov_from_buf(iov, (size_t)at, *scratch + skip, (size_t)mapping->bytes);
    }
    return ret;
}

int qcow_read(QcowState *s, int64_t offset, int64_t bytes, const IOVector *iov)
{
    g_autofree uint8_t *scratch = NULL;
    int64_t done = 0;
    int ret = 0;

    while (ret == 0 && done < bytes) {
        QcowMapping mapping;

        pthread_mutex_lock(&s->lock);
        ret = qcow_map(s, offset + done, bytes - done, &mapping);
        pthread_mutex_unlock(&s->lock);
        if (ret < 0) {
            break;
        }
        switch (mapping.type) {
        case QCOW_UNALLOCATED:
            ret = read_backing(s, offset + done, mapping.bytes, iov, done);
            break;
        case QCOW_NORMAL:
            ret = read_normal(s, mapping.host_offset, mapping.bytes, iov,
                              done);
            break;
        case QCOW_COMPRESSED:
            ret = read_compressed(s, &mapping, offset + done, &scratch, iov,
                                  done);
            break;
        }
        done += mapping.bytes;
    }
    return ret;
}

int qcow_preadv(BlockDriverState *bs, int64_t offset, int64_t bytes,
                const IOVector *iov, unsigned flags)
{
    QcowState *s = bdrv_opaque(bs);

    (void)flags;
    unsigned epoch = qcow_request_begin(s);
    int ret = qcow_read(s, offset, bytes, iov);
    qcow_request_end(s, epoch);
    return ret;
}

/* Join compressed clusters that follow each other. Lock held. */
static void extend_compressed(QcowState *s, int64_t offset, int64_t bytes,
                              QcowMapping *mapping)
{
    for (int i = 0; i < MAX_STATUS_CLUSTERS && mapping->bytes < bytes; i++) {
        QcowMapping next;

        if (qcow_map(s, offset + mapping->bytes, bytes - mapping->bytes,
                     &next) < 0 ||
            next.type != QCOW_COMPRESSED) {
            break;
        }
        mapping->bytes += next.bytes;
    }
}

int qcow_block_status(BlockDriverState *bs, unsigned want, int64_t offset,
                      int64_t bytes, BdrvBlockStatus *status)
{
    QcowState *s = bdrv_opaque(bs);
    QcowMapping mapping;

    (void)want;
    pthread_mutex_lock(&s->lock);
    int ret = qcow_map(s, offset, bytes, &mapping);
    if (ret == 0 && mapping.type == QCOW_COMPRESSED) {
        extend_compressed(s, offset, bytes, &mapping);
    }
    pthread_mutex_unlock(&s->lock);
    if (ret < 0) {
        return ret;
    }
    status->bytes = mapping.bytes;
    switch (mapping.type) {
    case QCOW_UNALLOCATED:
        break;
    case QCOW_NORMAL:
        status->flags = BDRV_BLOCK_DATA | BDRV_BLOCK_OFFSET_VALID |
                        BDRV_BLOCK_RECURSE;
        status->map = mapping.host_offset;
        status->file = bdrv_child_bs(s->file);
        break;
    case QCOW_COMPRESSED:
        status->flags = BDRV_BLOCK_DATA | BDRV_BLOCK_COMPRESSED;
        break;
    }
    return 0;
}
