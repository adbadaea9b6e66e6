/* SPDX-License-Identifier: MIT */
/*
 * The clusters of the guest: where they are, and the ways of their data
 * (qcow2-map.c, -l2.c, -read.c, -inflate.c, -write.c, -cow.c, -zero.c and
 * -compress.c). The lock is held unless it says otherwise.
 */
#ifndef BLOCK_QCOW2_DATA_H
#define BLOCK_QCOW2_DATA_H

#include "block/qcow2/qcow2-host.h"

#define QCOW2_ENTRY_BYTES 8 /* of L1 and L2 */

/* Where in an entry of a compressed cluster the number of sectors begins. */
static inline unsigned qcow2_compressed_shift(const Qcow2State *s)
{
    return 62 - (s->cluster_bits - 8);
}

/* ---- qcow2-map.c ---- */

typedef enum Qcow2ClusterType {
    QCOW2_UNALLOCATED, /* the backing file's, or zeroes */
    QCOW2_ZERO_PLAIN,  /* zeroes, no host cluster */
    QCOW2_ZERO_ALLOC,  /* zeroes, and a host cluster is reserved */
    QCOW2_NORMAL,
    QCOW2_COMPRESSED_CLUSTER,
} Qcow2ClusterType;

/* A run of guest bytes of one type. */
typedef struct Qcow2Mapping {
    Qcow2ClusterType type;
    int64_t bytes;       /* from the offset asked for */
    int64_t host_offset; /* NORMAL, ZERO_ALLOC: of that very byte; COMPRESSED:
                            of the first byte of the stream */
    int64_t host_bytes;  /* COMPRESSED: what the stream may take at most */
    bool copied; /* refcount 1: may be written in place (all of the run) */
} Qcow2Mapping;

/*
 * The run that begins at offset: clusters of one type and one `copied`, with
 * host clusters in one piece; at most bytes, and within one slice of an L2
 * table, or as far as there are no tables. COMPRESSED: one cluster. 0 or
 * -errno; an entry that cannot be is reported by qcow2_corrupt().
 */
int qcow2_map(Qcow2State *s, int64_t offset, int64_t bytes,
              Qcow2Mapping *mapping) G_GNUC_WARN_UNUSED_RESULT;

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

/* ---- qcow2-l2.c ---- */

/*
 * Make sure that the L2 table for the guest offset is there and may be
 * written: allocates it, or copies one that a snapshot shares. The clusters it
 * refers to are not touched.
 */
int qcow2_l2_prepare(Qcow2State *s, int64_t offset) G_GNUC_WARN_UNUSED_RESULT;

/*
 * Set the entries of `n` clusters from the guest offset on: `entry` for the
 * first, and for each further one `entry + step`. What they referred to
 * before goes to qcow2_free_later(), unless it is the same host cluster. All
 * or nothing within one slice; -errno: the first *done entries were set.
 */
int qcow2_l2_set(Qcow2State *s, int64_t offset, int64_t n, uint64_t entry,
                 uint64_t step, int64_t *done) G_GNUC_WARN_UNUSED_RESULT;

/* Change L1 entry `index` in memory; written by qcow2_write_back(). */
void qcow2_l1_set(Qcow2State *s, uint32_t index, uint64_t entry);

/* ---- qcow2-read.c ---- */

/* Read guest bytes as they are without this image: from the backing file,
 * zeroes behind its end or without one. No lock held. */
int qcow2_read_backing(Qcow2State *s, int64_t offset, int64_t bytes,
                       const IOVector *iov) G_GNUC_WARN_UNUSED_RESULT;

/* ---- qcow2-zero.c ---- */

/* Take the reference from every whole cluster of the range, so that it reads
 * as the backing file. Lock held. For resizing and emptying. */
int qcow2_unmap(Qcow2State *s, int64_t offset, int64_t bytes)
    G_GNUC_WARN_UNUSED_RESULT;

/* Make clusters read as zeroes and give up their host clusters. The range is
 * in `busy`. -ENOTSUP: version 2 cannot say so here. */
int qcow2_zero_busy(Qcow2State *s, int64_t offset, int64_t bytes)
    G_GNUC_WARN_UNUSED_RESULT;

/* ---- qcow2-compress.c; no lock held ---- */

/* Compressed write: whole clusters, the last may end at the device's end. */
int qcow2_pwritev_compressed(Qcow2State *s, int64_t offset, int64_t bytes,
                             const IOVector *iov) G_GNUC_WARN_UNUSED_RESULT;

/* ---- qcow2-inflate.c; no lock held ---- */

/* Bytes of one compressed cluster: `skip` bytes into it. No lock held; within
 * the request that looked the cluster up. */
int qcow2_read_compressed(Qcow2State *s, const Qcow2Mapping *mapping,
                          int64_t skip, int64_t bytes, const IOVector *iov,
                          size_t iov_offset) G_GNUC_WARN_UNUSED_RESULT;

Qcow2InflateCache *qcow2_inflate_cache_new(int64_t cluster_size);
void qcow2_inflate_cache_free(Qcow2InflateCache *cache);

/* A new stream will stand there. Before an entry refers to it. */
void qcow2_inflate_cache_forget(Qcow2InflateCache *cache, int64_t host_offset);

/* As qcow2_read_compressed() for n runs, one after the other in the guest;
 * `skip` bytes into the first. */
int qcow2_read_compressed_runs(Qcow2State *s, const Qcow2Mapping *runs,
                               unsigned n, int64_t skip, const IOVector *iov,
                               size_t iov_offset) G_GNUC_WARN_UNUSED_RESULT;

#endif
