/* SPDX-License-Identifier: MIT */
/*
 * Preallocating: L2 tables and clusters for a part of the device that has
 * none, a piece of an L2 table at a time. The file is made to reach behind
 * each piece before the tables refer to it, so that the clusters read as
 * zeroes.
 */
#include <errno.h>

#include "block/qcow2/qcow2-resize.h"

#define FULL_PIECE (INT64_C(1) << 20)

/* Write zeroes, really. */
static int write_full(Qcow2State *s, int64_t offset, int64_t bytes)
{
    int64_t piece = MIN(bytes, FULL_PIECE);
    g_autofree void *zeroes = g_try_malloc0((gsize)piece);
    int ret = zeroes ? 0 : -ENOMEM;

    while (bytes > 0 && ret == 0) {
        int64_t n = MIN(bytes, piece);

        ret = bdrv_pwrite(s->file, offset, n, zeroes, 0);
        offset += n;
        bytes -= n;
    }
    return ret;
}

/* A part of the file that is there already, with whatever in it. */
static int zero_present(Qcow2State *s, int64_t offset, int64_t bytes,
                        PreallocMode mode)
{
    switch (mode) {
    case PREALLOC_MODE_FULL:
        return write_full(s, offset, bytes);
    case PREALLOC_MODE_FALLOC:
        return bdrv_pwrite_zeroes(s->file, offset, bytes, 0);
    default:
        return bdrv_pwrite_zeroes(s->file, offset, bytes, BDRV_REQ_MAY_UNMAP);
    }
}

/* Make host clusters read as zeroes, and the file take the space. */
static int prepare_host(Qcow2State *s, int64_t offset, int64_t bytes,
                        PreallocMode mode)
{
    int64_t length = bdrv_getlength(bdrv_child_bs(s->file));
    g_autoptr(GError) error = NULL;
    int ret = 0;

    if (length < 0) {
        return (int)length;
    }
    if (offset < length) {
        int64_t present = MIN(bytes, length - offset);

        ret = zero_present(s, offset, present, mode);
    }
    if (ret == 0 && offset + bytes > length) {
        ret = bdrv_truncate(
            s->file, offset + bytes, false,
            mode == PREALLOC_MODE_METADATA ? PREALLOC_MODE_OFF : mode, &error);
    }
    if (error) {
        bdrv_set_io_error("%s", error->message);
    }
    return ret;
}

/* Clusters from `start` on, at most n: *done of them. */
static int map_piece(Qcow2State *s, int64_t start, int64_t n,
                     PreallocMode mode, int64_t *done)
{
    int64_t bytes = n << s->cluster_bits;
    int ret = qcow2_l2_prepare(s, start);

    *done = 0;
    if (ret < 0) {
        return ret;
    }
    int64_t host = qcow2_alloc_clusters(s, bytes);
    if (host < 0) {
        return (int)host;
    }
    ret = prepare_host(s, host, bytes, mode);
    if (ret == 0) {
        ret = qcow2_l2_set(s, start, n, (uint64_t)host | QCOW2_COPIED,
                           (uint64_t)s->cluster_size, done);
    }
    if (*done < n) {
        int64_t used = *done << s->cluster_bits;

        qcow2_free_now(s, host + used, bytes - used);
    }
    return ret;
}

int qcow2_preallocate(Qcow2State *s, int64_t start, int64_t end,
                      PreallocMode mode)
{
    int64_t in_slice = s->l2_slice / (int64_t)sizeof(uint64_t)
                       << s->cluster_bits;
    int ret = 0;

    while (start < end && ret == 0) {
        int64_t slice_end = start - start % in_slice + in_slice;
        int64_t n = (MIN(end, slice_end) - start) >> s->cluster_bits;
        int64_t done;

        ret = map_piece(s, start, n, mode, &done);
        start += done << s->cluster_bits;
    }
    return ret;
}
