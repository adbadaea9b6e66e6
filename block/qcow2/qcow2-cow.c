/* SPDX-License-Identifier: MIT */
/*
 * Copy on write: the first and the last cluster of a run have a head and a
 * tail that the request does not write,
 *
 *     |  head  |  the request's data  |  tail  |
 *     ^ start                             end  ^
 *
 * which come from the backing file, from the cluster that was shared or
 * compressed, or are zeroes. Usually all goes to the file in one write. Zeroes
 * need none where the file has not been written yet, and are not worth the
 * memory when they are many. The file always reaches into the last cluster of
 * the run, because the data does.
 */
#include "block/qcow2/qcow2-cow.h"

#include <errno.h>
#include <unistd.h>

#define ZERO_BYTES (64 * 1024)
#define BOUNCE_BYTES (INT64_C(256) * 1024)

/* Never written. Aligned for drivers that do direct I/O. */
static uint8_t zeroes[ZERO_BYTES] __attribute__((aligned(4096)));

/* ---- The request's data ---- */

/* The kernel has stopped helping in the middle. */
static int copy_by_hand(const Qcow2Source *src, int64_t at, int64_t bytes,
                        int64_t host)
{
    g_autofree uint8_t *buf = g_try_malloc((gsize)BOUNCE_BYTES);

    if (buf == NULL) {
        return -ENOMEM;
    }
    while (bytes > 0) {
        ssize_t n = pread(src->fd, buf, (size_t)MIN(bytes, BOUNCE_BYTES), at);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            bdrv_set_io_error("Reading the source of a copy failed: %s",
                              n < 0 ? g_strerror(errno)
                                    : "it is shorter than it was");
            return n < 0 ? -errno : -EIO;
        }
        int ret = bdrv_pwrite(src->s->file, host, n, buf, 0);
        if (ret < 0) {
            return ret;
        }
        at += n;
        host += n;
        bytes -= n;
    }
    return 0;
}

static int source_copy(Qcow2Source *src, int64_t offset, int64_t bytes,
                       int64_t host)
{
    int64_t at = src->fd_offset + (offset - src->offset);
    int ret = bdrv_copy_range_to_child(src->s->file, src->fd, at, host, bytes,
                                       0);

    if (ret == -ENOTSUP && src->copied) {
        ret = copy_by_hand(src, at, bytes, host);
    }
    src->copied |= ret == 0;
    return ret;
}

int qcow2_source_write(Qcow2Source *src, int64_t offset, int64_t bytes,
                       int64_t host)
{
    g_auto(IOVector) part;

    iov_init(&part);
    if (src->iov == NULL) {
        return source_copy(src, offset, bytes, host);
    }
    if ((size_t)bytes == src->iov->size) {
        return bdrv_pwritev(src->s->file, host, bytes, src->iov, 0);
    }
    iov_init_slice(&part, src->iov, (size_t)(offset - src->offset),
                   (size_t)bytes);
    return bdrv_pwritev(src->s->file, host, bytes, &part, 0);
}

/* ---- Head and tail ---- */

typedef struct Edge {
    int64_t offset, bytes; /* of the guest */
    int64_t host;
    const Qcow2Mapping *old; /* of the cluster it is in */
    bool fresh;
    uint8_t *buf; /* its bytes, if it goes into the one write; else it is
                     skipped there */
    void *memory; /* what there is to free */
} Edge;

static int edge_read_old(Qcow2State *s, const Edge *edge, int64_t bytes,
                         uint8_t *buf)
{
    int64_t skip = qcow2_in_cluster(s, edge->offset);
    IOVector iov;

    iov_init_buf(&iov, buf, (size_t)bytes);
    switch (edge->old->type) {
    case QCOW2_UNALLOCATED:
        return qcow2_read_backing(s, edge->offset, bytes, &iov);
    case QCOW2_NORMAL:
        return bdrv_preadv(s->file, edge->old->host_offset + skip, bytes, &iov,
                           0);
    case QCOW2_COMPRESSED_CLUSTER:
        return qcow2_read_compressed(s, edge->old, skip, bytes, &iov, 0);
    case QCOW2_ZERO_PLAIN:
    case QCOW2_ZERO_ALLOC:
        break;
    }
    iov_memset(&iov, 0, 0, (size_t)bytes);
    return 0;
}

/* Whether the edge is zeroes for sure, without reading it. */
static bool edge_is_known_zero(Qcow2State *s, const Edge *edge)
{
    const BdrvChild *backing;

    switch (edge->old->type) {
    case QCOW2_ZERO_PLAIN:
    case QCOW2_ZERO_ALLOC:
        return true;
    case QCOW2_UNALLOCATED:
        backing = bdrv_backing(s->bs);
        return backing == NULL ||
               edge->offset >= bdrv_getlength(bdrv_child_bs(backing));
    default:
        return edge->offset >= s->size;
    }
}

/* Its bytes in edge->memory, or NULL there if they are all zeroes. */
static int edge_read(Qcow2State *s, Edge *edge)
{
    int64_t inside = CLAMP(s->size - edge->offset, 0, edge->bytes);
    IOVector iov;

    if (edge_is_known_zero(s, edge)) {
        return 0;
    }
    edge->memory = g_try_malloc((gsize)edge->bytes);
    if (edge->memory == NULL) {
        return -ENOMEM;
    }
    /* Behind the device's end nothing must come to light when it grows. */
    iov_init_buf(&iov, edge->memory, (size_t)edge->bytes);
    iov_memset(&iov, (size_t)inside, 0, (size_t)(edge->bytes - inside));
    int ret = inside > 0 ? edge_read_old(s, edge, inside, edge->memory) : 0;
    if (ret == 0 && iov_is_zero(&iov, 0, (size_t)edge->bytes)) {
        g_free(g_steal_pointer(&edge->memory));
    }
    return ret;
}

/* Find the edge's bytes; write them now, or leave them for the one write. */
static int edge_prepare(Qcow2State *s, Edge *edge)
{
    if (edge->bytes == 0) {
        return 0;
    }
    int ret = edge_read(s, edge);
    if (ret < 0) {
        return ret;
    }
    if (edge->memory) {
        edge->buf = edge->memory;
    } else if (!edge->fresh && edge->bytes > ZERO_BYTES) {
        return bdrv_pwrite_zeroes(s->file, edge->host, edge->bytes, 0);
    } else if (!edge->fresh) {
        edge->buf = zeroes;
    }
    return 0;
}

/* The edge by a write of its own. */
static int edge_write(Qcow2State *s, const Edge *edge)
{
    return edge->buf
               ? bdrv_pwrite(s->file, edge->host, edge->bytes, edge->buf, 0)
               : 0;
}

/* ---- All of it ---- */

static int write_together(Qcow2Source *src, const Qcow2Fill *fill,
                          const Edge *head, const Edge *tail)
{
    int64_t bytes = fill->data_end - fill->data_start;
    int64_t host = fill->host + (fill->data_start - fill->start);
    g_auto(IOVector) all;
    g_auto(IOVector) data;

    iov_init(&all);
    iov_init_slice(&data, src->iov, (size_t)(fill->data_start - src->offset),
                   (size_t)bytes);
    if (head->buf) {
        iov_add(&all, head->buf, (size_t)head->bytes);
        host -= head->bytes;
    }
    for (int i = 0; i < data.niov; i++) {
        iov_add(&all, data.iov[i].iov_base, data.iov[i].iov_len);
    }
    if (tail->buf) {
        iov_add(&all, tail->buf, (size_t)tail->bytes);
    }
    return bdrv_pwritev(src->s->file, host, (int64_t)all.size, &all, 0);
}

int qcow2_fill_write(Qcow2Source *src, const Qcow2Fill *fill)
{
    Qcow2State *s = src->s;
    int64_t bytes = fill->data_end - fill->data_start;
    int64_t host = fill->host + (fill->data_start - fill->start);
    Edge head = {
        .offset = fill->start,
        .bytes = fill->data_start - fill->start,
        .host = fill->host,
        .old = &fill->first,
        .fresh = fill->first_fresh,
    };
    Edge tail = {
        .offset = fill->data_end,
        .bytes = fill->end - fill->data_end,
        .host = host + bytes,
        .old = &fill->last,
        .fresh = fill->last_fresh,
    };
    int ret = edge_prepare(s, &head);

    if (ret == 0) {
        ret = edge_prepare(s, &tail);
    }
    if (ret == 0 && src->iov && (head.buf || tail.buf)) {
        ret = write_together(src, fill, &head, &tail);
    } else if (ret == 0) {
        ret = qcow2_source_write(src, fill->data_start, bytes, host);
        if (ret == 0) {
            ret = edge_write(s, &head);
        }
        if (ret == 0) {
            ret = edge_write(s, &tail);
        }
    }
    g_free(head.memory);
    g_free(tail.memory);
    return ret;
}
