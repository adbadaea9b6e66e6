/* SPDX-License-Identifier: MIT */
/*
 * The "qcow" driver, inside: version 1 of the format, read and written.
 *
 *   qcow-format.h    what stands in an image
 *   qcow-header.c    the header, to and from bytes
 *   qcow.c           opening, closing, emptying: the driver table
 *   qcow-create.c    new images; how large an image would get
 *   qcow-map.c       L1 and L2: where the cluster of a guest offset is
 *   qcow-alloc.c     room at the end of the file; writing the tables back
 *   qcow-read.c      reading, block status
 *   qcow-write.c     writing: allocation, copy on write, zeroes
 *   qcow-discard.c   discards; flushing; requests
 *   qcow-compress.c  compressed clusters, read and written
 *   qcow-check.c     what refers to what
 *
 * The format has no refcounts. Room is taken at the end of the file and never
 * taken again, until the image is emptied. What loses its reference when it is
 * written over is lost; of what a discard drops, the blocks are given back to
 * the host, and the file stays as long.
 *
 * Order. A table never names what is not there: data is durable before the L2
 * entries that name it are written, and a new L2 table, all zeroes, before its
 * L1 entry; its other entries may come later, since without them it says what
 * was so before. L2 entries wait in the cache, L1 entries in memory, for a
 * flush. Blocks are given back when it is durable that nothing names them. So
 * a crash leaves lost space at worst, and every cluster as it was or as it is.
 *
 * Threads. `lock` guards what stands below it in the state, and is held while
 * tables are read and written; data moves without it. Who changes L2 entries
 * holds the guest range in `busy`, from looking them up to having changed
 * them. Reads and writes in place do not: no other guest cluster ever gets a
 * cluster of the file, and its blocks go when all requests that may have found
 * it have ended (qcow_request_begin()). Emptying breaks that, and holds
 * `contents` for writing; all requests hold it for reading.
 */
#ifndef BLOCK_QCOW_H
#define BLOCK_QCOW_H

#include <pthread.h>

#include "block/driver.h"
#include "block/qcow/qcow-format.h"
#include "block/table-cache.h"
#include "util/range-lock.h"

/* The fields of QcowDiskHeader in host byte order, checked. */
typedef struct QcowHeader {
    int64_t size;
    unsigned cluster_bits, l2_bits;
    int64_t backing_file_offset; /* 0: none */
    uint32_t backing_file_size;
    int64_t l1_table_offset;
    uint32_t l1_size; /* entries; from the other fields */
} QcowHeader;

typedef struct QcowState {
    /* Fixed while the node is open. */
    BlockDriverState *bs;
    BdrvChild *file;
    QcowHeader header;
    int64_t cluster_size;
    int64_t l2_bytes;    /* of an L2 table */
    int64_t piece_bytes; /* of l2_cache; L2 tables are aligned to it */
    bool damaged;        /* an L1 entry cannot be: not to be written */

    pthread_rwlock_t contents;

    pthread_mutex_t lock;
    uint64_t *l1;                          /* in host byte order */
    uint32_t l1_dirty_first, l1_dirty_end; /* entries to be written */
    TableCache *l2_cache;
    int64_t end;    /* everything is in front of it */
    RangeLock busy; /* guest bytes, whole clusters, whose entries change */

    /* qcow-discard.c */
    unsigned epoch;          /* of requests that begin: 0 or 1 */
    unsigned running[2];     /* requests under way, by epoch */
    GArray *freed, *leaving; /* parts of the file without a reference */
    bool leaving_is_durable;
    uint64_t leaving_number; /* how often `leaving` was filled */
} QcowState;

static inline int64_t qcow_cluster_start(const QcowState *s, int64_t offset)
{
    return offset & ~(s->cluster_size - 1);
}

/* The end of the cluster that byte offset - 1 is in. */
static inline int64_t qcow_cluster_end(const QcowState *s, int64_t offset)
{
    return qcow_cluster_start(s, offset + s->cluster_size - 1);
}

/* The end of the guest bytes that the L2 table of offset describes. */
static inline int64_t qcow_table_end(const QcowState *s, int64_t offset)
{
    int64_t reach = s->cluster_size << s->header.l2_bits;

    return (offset & ~(reach - 1)) + reach;
}

/* ---- qcow-header.c: pure ---- */

/* Entries of the L1 table; 0 when that cannot be. */
uint32_t qcow_l1_size(int64_t size, unsigned cluster_bits, unsigned l2_bits);

/*
 * Parse and check a header. file_length bounds what its fields may refer to.
 * What is not supported is -ENOTSUP.
 */
bool qcow_header_parse(QcowHeader *header, const QcowDiskHeader *disk,
                       int64_t file_length, GError **errp);

void qcow_header_serialise(const QcowHeader *header, QcowDiskHeader *disk);

/* Where the file ends when nothing is allocated. */
int64_t qcow_header_end(const QcowHeader *header);

/* Whether a part of the file overlaps header, backing file name or L1. */
bool qcow_header_owns(const QcowHeader *header, int64_t offset, int64_t bytes);

/* ---- qcow-map.c; lock held ---- */

typedef enum QcowClusterType {
    QCOW_UNALLOCATED, /* the backing file's, or zeroes */
    QCOW_NORMAL,
    QCOW_COMPRESSED,
} QcowClusterType;

/* A run of guest bytes of one type. */
typedef struct QcowMapping {
    QcowClusterType type;
    int64_t bytes;       /* from the offset asked for */
    int64_t host_offset; /* NORMAL: of that very byte; COMPRESSED: of the
                            stream */
    int64_t host_bytes;  /* COMPRESSED: of the stream */
} QcowMapping;

/*
 * What an L2 entry says: the mapping of its cluster. False when it cannot be:
 * it names what is outside of the file, or the header or the L1 table.
 */
bool qcow_entry_decode(const QcowState *s, uint64_t entry,
                       QcowMapping *mapping);

/* Whether an L1 entry names a place where an L2 table can be. */
bool qcow_table_is_sound(const QcowState *s, uint64_t entry);

/*
 * The run that begins at offset: at most bytes; NORMAL: in one piece of the
 * file; COMPRESSED: one cluster. 0, or -errno with words for an entry that
 * cannot be.
 */
int qcow_map(QcowState *s, int64_t offset, int64_t bytes, QcowMapping *mapping)
    G_GNUC_WARN_UNUSED_RESULT;

/* Make sure that there is an L2 table for the guest offset. */
int qcow_table_prepare(QcowState *s, int64_t offset) G_GNUC_WARN_UNUSED_RESULT;

/*
 * Set the entries of the clusters of a guest range, in a table that
 * qcow_table_prepare() has seen: `entry`, entry + step, ... -errno: only the
 * first ones were set.
 */
int qcow_table_set(QcowState *s, int64_t offset, int64_t bytes, uint64_t entry,
                   uint64_t step) G_GNUC_WARN_UNUSED_RESULT;

/* ---- qcow-alloc.c; lock held ---- */

/* Room at the end of the file. Its offset, or -errno. Nothing is written. */
int64_t qcow_alloc(QcowState *s, int64_t bytes, int64_t alignment)
    G_GNUC_WARN_UNUSED_RESULT;

/* Give back what was just allocated, if nothing was allocated behind it. */
void qcow_alloc_undo(QcowState *s, int64_t offset, int64_t bytes);

/* Change an L1 entry in memory. */
void qcow_l1_set(QcowState *s, uint32_t index, uint64_t entry);

/* Write the changed tables, in order. The L1 table is not flushed. An error
 * leaves what is left to be tried again. */
int qcow_write_back(QcowState *s) G_GNUC_WARN_UNUSED_RESULT;

/* The barrier of l2_cache. opaque is the QcowState. */
int qcow_before_l2_write(void *opaque);

/* Read the L1 table into s->l1, and find out s->end, s->piece_bytes and
 * s->damaged. */
bool qcow_l1_read(QcowState *s, int64_t file_length, GError **errp);

/* Drop everything; lock held, and `contents` for writing. */
int qcow_empty(QcowState *s, GError **errp) G_GNUC_WARN_UNUSED_RESULT;

/* ---- Requests; no lock held ---- */

/* qcow-discard.c. Between the two, `contents` is held for reading, and what
 * qcow_map() finds in the file stays as it is unless the guest writes. */
unsigned qcow_request_begin(QcowState *s) G_GNUC_WARN_UNUSED_RESULT;
void qcow_request_end(QcowState *s, unsigned epoch);

/* Lists of what is to be given back: made, freed, emptied (lock held). */
void qcow_frees_init(QcowState *s);
void qcow_frees_clear(QcowState *s);
void qcow_frees_forget(QcowState *s);

/* qcow-read.c */
int qcow_read(QcowState *s, int64_t offset, int64_t bytes, const IOVector *iov)
    G_GNUC_WARN_UNUSED_RESULT;

/* Bytes, up to `bytes`, that the backing file decides from offset on; 0:
 * there is none, or it ends before. */
int64_t qcow_backing_bytes(const QcowState *s, int64_t offset, int64_t bytes);

/*
 * Bytes from offset on, up to the end of a cluster, that may show a backing
 * file where nothing is allocated; INT64_MAX when the image names one that is
 * not open, or the length of which is not known. 0: nothing is behind.
 */
int64_t qcow_backing_reach(const QcowState *s, int64_t offset);

/* qcow-write.c */
int qcow_write(QcowState *s, int64_t offset, int64_t bytes,
               const IOVector *iov) G_GNUC_WARN_UNUSED_RESULT;

/* qcow-compress.c */

/* Compress whole clusters, and one that ends with the device. The rest of the
 * range is written as it is. */
int qcow_write_compressed(QcowState *s, int64_t offset, int64_t bytes,
                          const IOVector *iov) G_GNUC_WARN_UNUSED_RESULT;

/* The contents of a COMPRESSED cluster into `cluster`. `stream` is scratch
 * memory; both have the size of a cluster. */
int qcow_read_cluster(QcowState *s, const QcowMapping *mapping,
                      uint8_t *cluster, uint8_t *stream)
    G_GNUC_WARN_UNUSED_RESULT;

/* ---- The driver's callbacks ---- */

/* qcow-read.c */
int qcow_preadv(BlockDriverState *bs, int64_t offset, int64_t bytes,
                const IOVector *iov, unsigned flags);
int qcow_block_status(BlockDriverState *bs, unsigned want, int64_t offset,
                      int64_t bytes, BdrvBlockStatus *status);

/* qcow-write.c */
int qcow_pwritev(BlockDriverState *bs, int64_t offset, int64_t bytes,
                 const IOVector *iov, unsigned flags);
int qcow_pwrite_zeroes(BlockDriverState *bs, int64_t offset, int64_t bytes,
                       unsigned flags);

/* qcow-discard.c */
int qcow_pdiscard(BlockDriverState *bs, int64_t offset, int64_t bytes);

/* Write the tables, and give back what is durable. Takes `contents`. */
int qcow_flush(BlockDriverState *bs);

/* qcow-create.c */
extern const OptionDesc qcow_create_options[];
bool qcow_create(const char *filename, Options *options, GError **errp);
bool qcow_measure(Options *options, BlockDriverState *source,
                  BdrvMeasure *measure, GError **errp);

/* qcow-check.c */
int qcow_check(BlockDriverState *bs, BdrvCheckResult *result, unsigned fix,
               GError **errp);

#endif
