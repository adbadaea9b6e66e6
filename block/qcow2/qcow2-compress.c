/* SPDX-License-Identifier: MIT */
/*
 * Writing compressed clusters.
 *
 * A request is taken in batches. The clusters of a batch are compressed in
 * parallel, without a lock; then room is allocated for each in their order, so
 * that the same requests one after the other give the same image, whatever the
 * number of processors. Streams stand one behind the other in the file, at any
 * byte, and most of a batch goes there in one write.
 *
 * A cluster that does not become smaller is written as it is; one of zeroes
 * takes no room, where the image can say so.
 */
#include <errno.h>

#include "block/deflate.h"
#include "block/qcow2/qcow2-data.h"
#include "util/parallel.h"

#define BATCH_BYTES (INT64_C(4) << 20)

typedef enum ItemKind {
    ITEM_PACKED, /* compressed */
    ITEM_PLAIN,  /* as it is */
    ITEM_ZERO,
} ItemKind;

/* One cluster. */
typedef struct Item {
    int64_t offset;     /* of the guest */
    bool zero_is_known; /* the image can say that it is zeroes */
    const uint8_t *src;
    uint8_t *padded; /* src, if it is not the caller's own memory */
    uint8_t *out;    /* room for the stream */
    int ret;

    ItemKind kind;
    const uint8_t *data; /* what is written: `bytes` of it, to `host` */
    int64_t bytes, host;
    bool linked; /* an entry refers to it */
} Item;

typedef struct Batch {
    Qcow2State *s;
    int64_t offset, bytes; /* of the guest */
    unsigned n;            /* items */
    unsigned placed;       /* items that have got their room */
    Item *items;
    uint8_t *out;
} Batch;

/* ---- Compressing ---- */

/* The cluster in one piece of memory, whole: the last one of the device may
 * not be, and is filled up with zeroes. */
static int item_source(Item *item, int64_t cluster_size, const IOVector *iov,
                       int64_t iov_offset)
{
    int64_t bytes = MIN(cluster_size, (int64_t)iov->size - iov_offset);
    g_auto(IOVector) part;

    iov_init_slice(&part, iov, (size_t)iov_offset, (size_t)bytes);
    if (part.niov == 1 && bytes == cluster_size) {
        item->src = part.iov[0].iov_base;
        return 0;
    }
    item->padded = g_try_malloc0((gsize)cluster_size);
    if (item->padded == NULL) {
        return -ENOMEM;
    }
    iov_to_buf(&part, 0, item->padded, (size_t)bytes);
    item->src = item->padded;
    return 0;
}

static void compress_one(void *opaque, unsigned i)
{
    const Batch *batch = opaque;
    Item *item = &batch->items[i];
    int64_t size = batch->s->cluster_size;
    IOVector iov;

    iov_init_buf(&iov, (void *)item->src, (size_t)size);
    if (item->zero_is_known && iov_is_zero(&iov, 0, (size_t)size)) {
        item->kind = ITEM_ZERO;
        return;
    }
    int64_t bytes = deflate_cluster(item->out, size - 1, item->src, size);
    if (bytes > 0) {
        item->kind = ITEM_PACKED;
        item->data = item->out;
        item->bytes = bytes;
    } else if (bytes == -ENOSPC) {
        item->kind = ITEM_PLAIN;
        item->data = item->src;
        item->bytes = size;
    } else {
        item->ret = bytes < 0 ? (int)bytes : -EIO;
    }
}

static void batch_clear(Batch *batch)
{
    for (unsigned i = 0; batch->items && i < batch->n; i++) {
        g_free(batch->items[i].padded);
    }
    g_free(batch->items);
    g_free(batch->out);
}

static int batch_compress(Batch *batch, const IOVector *iov,
                          int64_t iov_offset)
{
    Qcow2State *s = batch->s;
    int ret = 0;

    pthread_mutex_lock(&s->lock);
    int64_t behind = qcow2_backing_left(s, batch->offset);
    pthread_mutex_unlock(&s->lock);
    batch->items = g_try_new0(Item, batch->n);
    batch->out = g_try_malloc_n(batch->n, (gsize)s->cluster_size);
    if (batch->items == NULL || batch->out == NULL) {
        return -ENOMEM;
    }
    for (unsigned i = 0; ret == 0 && i < batch->n; i++) {
        Item *item = &batch->items[i];
        int64_t skip = (int64_t)i << s->cluster_bits;

        item->offset = batch->offset + skip;
        item->zero_is_known = s->has_zero_clusters || skip >= behind;
        item->out = batch->out + skip;
        ret = item_source(item, s->cluster_size, iov, iov_offset + skip);
    }
    if (ret == 0) {
        parallel_for(batch->n, compress_one, batch);
    }
    for (unsigned i = 0; ret == 0 && i < batch->n; i++) {
        ret = batch->items[i].ret;
    }
    return ret;
}

/* ---- Room, data, entries ---- */

/* The lock is held. Items up to batch->placed have their room. */
static int batch_place(Batch *batch)
{
    Qcow2State *s = batch->s;

    for (unsigned i = 0; i < batch->n; i++) {
        Item *item = &batch->items[i];

        if (item->kind != ITEM_ZERO) {
            item->host = item->kind == ITEM_PACKED
                             ? qcow2_alloc_packed(s, item->bytes)
                             : qcow2_alloc_clusters(s, item->bytes);
            if (item->host < 0) {
                return (int)item->host;
            }
        }
        if (item->kind == ITEM_PACKED) {
            qcow2_inflate_cache_forget(s->inflated, item->host);
        }
        batch->placed = i + 1;
    }
    return 0;
}

/* Neighbours in one write. */
static int batch_write(const Batch *batch)
{
    int ret = 0;

    for (unsigned i = 0; ret == 0 && i < batch->n;) {
        const Item *first = &batch->items[i];
        int64_t end = first->host;
        g_auto(IOVector) iov;

        iov_init(&iov);
        for (; i < batch->n; i++) {
            const Item *item = &batch->items[i];

            if (item->kind == ITEM_ZERO) {
                continue;
            }
            if (iov.size == 0) {
                first = item;
            } else if (item->host != end) {
                break;
            }
            iov_add(&iov, (void *)item->data, (size_t)item->bytes);
            end = item->host + item->bytes;
        }
        if (iov.size > 0) {
            ret = bdrv_pwritev(batch->s->file, first->host, (int64_t)iov.size,
                               &iov, 0);
        }
    }
    return ret;
}

static uint64_t item_entry(const Qcow2State *s, const Item *item)
{
    uint64_t host = (uint64_t)item->host;

    if (item->kind == ITEM_PLAIN) {
        return host | QCOW2_COPIED;
    }
    uint64_t last = host + (uint64_t)item->bytes - 1;
    uint64_t more = last / QCOW2_SECTOR_BYTES - host / QCOW2_SECTOR_BYTES;
    return QCOW2_COMPRESSED | more << qcow2_compressed_shift(s) | host;
}

/* The lock is held. */
static int batch_link(Batch *batch)
{
    Qcow2State *s = batch->s;
    int ret = 0;

    for (unsigned i = 0; ret == 0 && i < batch->n; i++) {
        Item *item = &batch->items[i];
        int64_t done;

        if (item->kind == ITEM_ZERO) {
            ret = qcow2_zero_busy(
                s, item->offset,
                MIN(s->cluster_size,
                    batch->offset + batch->bytes - item->offset));
        } else {
            ret = qcow2_l2_set(s, item->offset, 1, item_entry(s, item), 0,
                               &done);
            item->linked = ret == 0;
        }
    }
    return ret;
}

/* Room that nothing refers to is given back. */
static void batch_undo(Batch *batch)
{
    for (unsigned i = 0; i < batch->placed; i++) {
        const Item *item = &batch->items[i];

        if (item->kind != ITEM_ZERO && !item->linked) {
            qcow2_free_now(batch->s, item->host, item->bytes);
        }
    }
}

static int batch_store(Batch *batch)
{
    Qcow2State *s = batch->s;
    LockedRange range;

    pthread_mutex_lock(&s->lock);
    range_lock_take(&s->busy, &range, batch->offset,
                    qcow2_cluster_end(s, batch->offset + batch->bytes),
                    &s->lock);
    int ret = qcow2_prepare_change(s);
    if (ret == 0) {
        ret = batch_place(batch);
    }
    if (ret == 0) {
        pthread_mutex_unlock(&s->lock);
        ret = batch_write(batch);
        pthread_mutex_lock(&s->lock);
    }
    if (ret == 0) {
        ret = batch_link(batch);
    }
    if (ret < 0) {
        batch_undo(batch);
    }
    range_lock_release(&s->busy, &range);
    pthread_mutex_unlock(&s->lock);
    return ret;
}

int qcow2_pwritev_compressed(Qcow2State *s, int64_t offset, int64_t bytes,
                             const IOVector *iov)
{
    int64_t end = offset + bytes;
    int64_t limit = MAX(BATCH_BYTES, (int64_t)parallel_width()
                                         << s->cluster_bits);
    int ret = 0;

    if (qcow2_in_cluster(s, offset) != 0 ||
        (qcow2_in_cluster(s, end) != 0 && end != s->size)) {
        bdrv_set_io_error("Compressed data must be written in whole clusters "
                          "of %" G_GINT64_FORMAT " bytes",
                          s->cluster_size);
        return -EINVAL;
    }
    for (int64_t done = 0; ret == 0 && done < bytes;) {
        Batch batch = {
            .s = s,
            .offset = offset + done,
            .bytes = MIN(bytes - done, limit),
        };

        batch.n = (unsigned)(qcow2_cluster_end(s, batch.bytes) >>
                             s->cluster_bits);
        ret = batch_compress(&batch, iov, done);
        if (ret == 0) {
            ret = batch_store(&batch);
        }
        batch_clear(&batch);
        done += batch.bytes;
    }
    return ret;
}
