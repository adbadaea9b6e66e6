/* SPDX-License-Identifier: MIT */
/*
 * The clusters of the file: their refcounts, taking and giving back, and which
 * of them hold metadata. The lock is held.
 */
#ifndef BLOCK_QCOW2_HOST_H
#define BLOCK_QCOW2_HOST_H

#include "block/qcow2/qcow2.h"

/* ---- qcow2-refcount.c ---- */

/* The refcount of a cluster by its index; 0 beyond the refcount table. */
int qcow2_refcount_get(Qcow2State *s, int64_t cluster, uint64_t *refcount)
    G_GNUC_WARN_UNUSED_RESULT;

/*
 * Add delta to the refcounts of n clusters, in memory. Refcount blocks that
 * are missing are made, the table is enlarged. -EIO for one that would become
 * negative (the image is corrupt), -ERANGE for one that no longer fits; an
 * error leaves none of them changed.
 */
int qcow2_refcount_add(Qcow2State *s, int64_t cluster, int64_t n, int delta)
    G_GNUC_WARN_UNUSED_RESULT;

/* Move on to the first cluster that is free. */
int qcow2_refcount_skip_used(Qcow2State *s, int64_t *cluster)
    G_GNUC_WARN_UNUSED_RESULT;

/* The refcount of a cluster, and how many of n clusters from there on have the
 * same: *run >= 1. */
int qcow2_refcount_run(Qcow2State *s, int64_t cluster, int64_t n,
                       uint64_t *refcount, int64_t *run)
    G_GNUC_WARN_UNUSED_RESULT;

/* Entry i of a refcount block in memory. */
void qcow2_refcount_store(const Qcow2State *s, void *block, int64_t i,
                          uint64_t refcount);
uint64_t qcow2_refcount_load(const Qcow2State *s, const void *block,
                             int64_t i);

/* A refcount block describes 1 << this clusters. */
static inline unsigned qcow2_refblock_bits(const Qcow2State *s)
{
    return s->cluster_bits + 3 - s->refcount_order;
}

/* Read the refcount table, and forget what was to be written of the one before,
 * and where clusters are free. Checks its entries, unless the image is opened
 * to be checked. */
bool qcow2_reftable_read(Qcow2State *s, GError **errp);
bool qcow2_reftable_entry_is_valid(const Qcow2State *s, uint64_t entry);

/* ---- qcow2-refgrow.c ---- */

/* Make the refcount blocks for n clusters, and put none of them there. */
int qcow2_refblocks_make(Qcow2State *s, int64_t cluster, int64_t n)
    G_GNUC_WARN_UNUSED_RESULT;

/* Entries of the table are to be written, from first to before end. */
void qcow2_reftable_set_dirty(Qcow2State *s, uint32_t first, uint32_t end);

/* Make sure that the refcount table in use is on the disk, blocks first, and
 * that the header there names it. What was written last is not flushed. */
int qcow2_reftable_settle(Qcow2State *s) G_GNUC_WARN_UNUSED_RESULT;

/* ---- qcow2-alloc.c ---- */

/* Contiguous host clusters for `bytes` (a multiple of the cluster size), with
 * refcount 1. The offset, or -errno. */
int64_t qcow2_alloc_clusters(Qcow2State *s, int64_t bytes)
    G_GNUC_WARN_UNUSED_RESULT;

/* As many clusters as are free from exactly this offset on, up to bytes; the
 * bytes (maybe 0), or -errno. */
int64_t qcow2_alloc_clusters_at(Qcow2State *s, int64_t offset, int64_t bytes)
    G_GNUC_WARN_UNUSED_RESULT;

/*
 * Room for a compressed cluster of `bytes` (1..cluster size): behind the last
 * one when it fits there, else in a new cluster. The offset, or -errno.
 */
int64_t qcow2_alloc_packed(Qcow2State *s, int64_t bytes)
    G_GNUC_WARN_UNUSED_RESULT;

/* The cluster (index) is free now. */
void qcow2_lower_hints(Qcow2State *s, int64_t cluster);

/* ---- qcow2-free.c ---- */

/* Give back clusters that nothing on the disk or in memory ever referred to.
 * If that fails they leak. offset and bytes may be those of packed bytes.
 * Clusters whose refcount becomes 0 are no metadata any more: their pieces
 * leave the caches, and qcow2_overlap_remove() is called. */
void qcow2_free_now(Qcow2State *s, int64_t offset, int64_t bytes);

/* The same for clusters that lost their reference in memory just now. */
void qcow2_free_later(Qcow2State *s, int64_t offset, int64_t bytes);

/* Steps 1 to 3 were written; a flush of the file after this, with or without
 * the lock, makes durable what there is until now. */
int64_t qcow2_frees_seal(Qcow2State *s);
void qcow2_frees_are_durable(Qcow2State *s, int64_t seal);

/* Lower the refcounts that wait for nothing any more. */
void qcow2_carry_out_frees(Qcow2State *s);

/* The same, with the lock released while the host discards. */
void qcow2_discard_frees(Qcow2State *s);

void qcow2_request_begin(Qcow2State *s, Qcow2Request *request);
void qcow2_request_end(Qcow2State *s, Qcow2Request *request);

/* ---- qcow2-overlap.c ---- */

/* Note the metadata that header, s->l1, s->reftable and s->snapshots name; of
 * the snapshot table itself the first cluster. False and *errp when two kinds
 * claim the same cluster. Makes s->metadata. */
bool qcow2_overlap_init(Qcow2State *s, GError **errp);
void qcow2_overlap_add(Qcow2State *s, int64_t offset, int64_t bytes);
void qcow2_overlap_remove(Qcow2State *s, int64_t offset, int64_t bytes);

/* Before data (or a new table) is written to a host range, or data there is
 * given up: 0, or qcow2_corrupt() when metadata stands there. */
int qcow2_overlap_check(Qcow2State *s, int64_t offset, int64_t bytes)
    G_GNUC_WARN_UNUSED_RESULT;

#endif
