/* SPDX-License-Identifier: MIT */
/*
 * Reading, and block status.
 *
 * A read looks up a batch of runs in one hold of the lock and moves the data
 * without it. The request that was begun with the first batch keeps the host
 * clusters of all of them from being used for anything else.
 */
#include <errno.h>

#include "block/qcow2/qcow2-data.h"

#define BATCH_RUNS 32

/* Slices of L2 tables that one question about block status may read. */
#define STATUS_SLICES 256

typedef struct ReadBatch {
    int64_t offset; /* of the guest, where the first run begins */
    int64_t bytes;
    unsigned n;
    bool any_host; /* some run is in this image's file */
    Qcow2Mapping runs[BATCH_RUNS];
} ReadBatch;

int qcow2_read_backing(Qcow2State *s, int64_t offset, int64_t bytes,
                       const IOVector *iov)
{
    BdrvChild *backing = bdrv_backing(s->bs);

    if (backing == NULL) {
        iov_memset(iov, 0, 0, (size_t)bytes);
        return 0;
    }
    return bdrv_preadv(backing, offset, bytes, iov, 0);
}

/* Look up to `bytes` from offset on; at least one run, or -errno. */
static int batch_map(Qcow2State *s, ReadBatch *batch, int64_t offset,
                     int64_t bytes)
{
    batch->offset = offset;
    batch->bytes = 0;
    batch->n = 0;
    batch->any_host = false;
    while (batch->n < BATCH_RUNS && batch->bytes < bytes) {
        Qcow2Mapping *run = &batch->runs[batch->n];
        int ret = qcow2_map(s, offset + batch->bytes, bytes - batch->bytes,
                            run);
        if (ret < 0) {
            return ret;
        }
        batch->any_host |= run->type == QCOW2_NORMAL ||
                           run->type == QCOW2_COMPRESSED_CLUSTER;
        batch->bytes += run->bytes;
        batch->n++;
    }
    return 0;
}

/* Runs one after the other from the i-th on that are compressed clusters. */
static unsigned count_compressed(const ReadBatch *batch, unsigned i)
{
    unsigned n = 0;

    while (i + n < batch->n &&
           batch->runs[i + n].type == QCOW2_COMPRESSED_CLUSTER) {
        n++;
    }
    return n;
}

/* From the image's file, or from the backing file. */
static int read_data(Qcow2State *s, const Qcow2Mapping *run, int64_t offset,
                     const IOVector *iov)
{
    return run->type == QCOW2_NORMAL
               ? bdrv_preadv(s->file, run->host_offset, run->bytes, iov, 0)
               : qcow2_read_backing(s, offset, run->bytes, iov);
}

static int read_run(Qcow2State *s, const Qcow2Mapping *run, int64_t offset,
                    const IOVector *iov, size_t iov_offset)
{
    size_t bytes = (size_t)run->bytes;
    g_auto(IOVector) part;

    iov_init(&part);
    switch (run->type) {
    case QCOW2_ZERO_PLAIN:
    case QCOW2_ZERO_ALLOC:
        iov_memset(iov, iov_offset, 0, bytes);
        return 0;
    case QCOW2_COMPRESSED_CLUSTER:
        return qcow2_read_compressed(s, run, qcow2_in_cluster(s, offset),
                                     run->bytes, iov, iov_offset);
    case QCOW2_UNALLOCATED:
    case QCOW2_NORMAL:
        break;
    }
    if (iov->size == bytes) {
        return read_data(s, run, offset, iov);
    }
    iov_init_slice(&part, iov, iov_offset, bytes);
    return read_data(s, run, offset, &part);
}

static int batch_read(Qcow2State *s, const ReadBatch *batch,
                      const IOVector *iov, size_t iov_offset)
{
    int64_t offset = batch->offset;
    int ret = 0;

    for (unsigned i = 0; ret == 0 && i < batch->n;) {
        const Qcow2Mapping *run = &batch->runs[i];
        unsigned n = count_compressed(batch, i);
        int64_t bytes = run->bytes;

        if (n > 1) {
            for (unsigned k = 1; k < n; k++) {
                bytes += run[k].bytes;
            }
            ret = qcow2_read_compressed_runs(
                s, run, n, qcow2_in_cluster(s, offset), iov, iov_offset);
        } else {
            n = 1;
            ret = read_run(s, run, offset, iov, iov_offset);
        }
        i += n;
        offset += bytes;
        iov_offset += (size_t)bytes;
    }
    return ret;
}

int qcow2_preadv(BlockDriverState *bs, int64_t offset, int64_t bytes,
                 const IOVector *iov, unsigned flags)
{
    Qcow2State *s = bdrv_opaque(bs);
    int64_t done = 0;
    Qcow2Request request;
    ReadBatch batch;
    bool held = true;
    int ret = 0;

    (void)flags;
    pthread_mutex_lock(&s->lock);
    qcow2_request_begin(s, &request);
    for (;;) {
        ret = batch_map(s, &batch, offset + done, bytes - done);
        if (ret < 0) {
            break;
        }
        if (held && !batch.any_host && done + batch.bytes == bytes) {
            /* Nothing that could be freed meanwhile: save a lock. */
            qcow2_request_end(s, &request);
            held = false;
        }
        pthread_mutex_unlock(&s->lock);
        ret = batch_read(s, &batch, iov, (size_t)done);
        done += batch.bytes;
        if (!held) {
            return ret;
        }
        pthread_mutex_lock(&s->lock);
        if (ret < 0 || done == bytes) {
            break;
        }
    }
    qcow2_request_end(s, &request);
    pthread_mutex_unlock(&s->lock);
    return ret;
}

/* ---- Block status ---- */

static void run_status(Qcow2State *s, const Qcow2Mapping *run,
                       BdrvBlockStatus *status)
{
    switch (run->type) {
    case QCOW2_UNALLOCATED:
        break;
    case QCOW2_ZERO_PLAIN:
        status->flags = BDRV_BLOCK_ZERO;
        break;
    case QCOW2_ZERO_ALLOC:
        status->flags = BDRV_BLOCK_ZERO | BDRV_BLOCK_OFFSET_VALID;
        break;
    case QCOW2_NORMAL:
        /* Clusters that were only preallocated are holes in the file. */
        status->flags = BDRV_BLOCK_DATA | BDRV_BLOCK_OFFSET_VALID |
                        BDRV_BLOCK_RECURSE;
        break;
    case QCOW2_COMPRESSED_CLUSTER:
        status->flags = BDRV_BLOCK_DATA | BDRV_BLOCK_COMPRESSED;
        break;
    }
    status->bytes = run->bytes;
    if (status->flags & BDRV_BLOCK_OFFSET_VALID) {
        status->map = run->host_offset;
        status->file = bdrv_child_bs(s->file);
    }
}

/* Take a run into the status that goes before it, if it is of that kind. */
static bool status_extend(Qcow2State *s, BdrvBlockStatus *status,
                          const Qcow2Mapping *run)
{
    BdrvBlockStatus next = { 0 };

    run_status(s, run, &next);
    if (next.flags != status->flags ||
        ((next.flags & BDRV_BLOCK_OFFSET_VALID) &&
         next.map != status->map + status->bytes)) {
        return false;
    }
    status->bytes += next.bytes;
    return true;
}

static int map_status(Qcow2State *s, int64_t offset, int64_t bytes,
                      BdrvBlockStatus *status)
{
    int64_t slice_reach = (s->l2_slice / QCOW2_ENTRY_BYTES) << s->cluster_bits;
    unsigned slices = 0;
    Qcow2Mapping run;
    int ret = qcow2_map(s, offset, bytes, &run);

    if (ret < 0) {
        return ret;
    }
    run_status(s, &run, status);
    while (status->bytes < bytes && slices < STATUS_SLICES) {
        int64_t at = offset + status->bytes;

        /* What is wrong further on is not this range's error. */
        if (qcow2_map(s, at, bytes - status->bytes, &run) < 0 ||
            !status_extend(s, status, &run)) {
            break;
        }
        /* Runs across missing tables are longer, and cost nothing. */
        slices += at % slice_reach == 0 && run.bytes <= slice_reach;
    }
    return 0;
}

int qcow2_block_status(BlockDriverState *bs, unsigned want, int64_t offset,
                       int64_t bytes, BdrvBlockStatus *status)
{
    Qcow2State *s = bdrv_opaque(bs);

    (void)want;
    pthread_mutex_lock(&s->lock);
    int ret = map_status(s, offset, bytes, status);
    pthread_mutex_unlock(&s->lock);
    return ret;
}
