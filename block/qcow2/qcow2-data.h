/* SPDX-License-Identifier: MIT */
/*
 * What the data path of the qcow2 driver shares: qcow2-map.c, -l2.c, -read.c,
 * -inflate.c, -write.c, -cow.c, -zero.c and -compress.c. The lock is held
 * unless it says otherwise.
 */
#ifndef BLOCK_QCOW2_DATA_H
#define BLOCK_QCOW2_DATA_H

#include "block/qcow2/qcow2.h"

#define QCOW2_ENTRY_BYTES 8 /* of L1 and L2 */

/* Where in an entry of a compressed cluster the number of sectors begins. */
static inline unsigned qcow2_compressed_shift(const Qcow2State *s)
{
    return 62 - (s->cluster_bits - 8);
}

/* ---- qcow2-map.c ---- */

/* What an L2 entry says: a mapping of one cluster. 0, or qcow2_corrupt(). */
int qcow2_entry_decode(Qcow2State *s, int64_t offset, uint64_t entry,
                       Qcow2Mapping *m) G_GNUC_WARN_UNUSED_RESULT;

typedef struct Qcow2L1Entry {
    uint32_t index;
    int64_t table; /* offset of the L2 table; 0: there is none */
    bool copied;   /* its refcount is 1: may be written */
} Qcow2L1Entry;

/* The L1 entry for a guest offset. 0, or qcow2_corrupt(). */
int qcow2_l1_get(Qcow2State *s, int64_t offset, Qcow2L1Entry *l1)
    G_GNUC_WARN_UNUSED_RESULT;

/* Where the L2 entry of a guest offset is. */
typedef struct Qcow2SliceRef {
    int64_t piece; /* offset of the slice, for l2_cache */
    int64_t first; /* index of the entry in the slice */
    int64_t count; /* entries from there to the slice's end */
} Qcow2SliceRef;

Qcow2SliceRef qcow2_slice_ref(const Qcow2State *s, int64_t table,
                              int64_t offset);

/*
 * How many bytes from the guest offset on, up to the end of a cluster, may be
 * other than zeroes when they are not allocated: what the backing file has. An
 * image whose backing file is not open may have anything there.
 */
int64_t qcow2_backing_left(Qcow2State *s, int64_t offset);

/* ---- qcow2-zero.c ---- */

/* Make clusters read as zeroes and give up their host clusters. The range is
 * in `busy`. -ENOTSUP: version 2 cannot say so here. */
int qcow2_zero_busy(Qcow2State *s, int64_t offset, int64_t bytes)
    G_GNUC_WARN_UNUSED_RESULT;

/* ---- qcow2-inflate.c; no lock held ---- */

/* A new stream will stand there. Before an entry refers to it. */
void qcow2_inflate_cache_forget(Qcow2InflateCache *cache, int64_t host_offset);

/* As qcow2_read_compressed() for n runs, one after the other in the guest;
 * `skip` bytes into the first. */
int qcow2_read_compressed_runs(Qcow2State *s, const Qcow2Mapping *runs,
                               unsigned n, int64_t skip, const IOVector *iov,
                               size_t iov_offset) G_GNUC_WARN_UNUSED_RESULT;

#endif
