/* SPDX-License-Identifier: MIT */
/*
 * The "qcow2" driver, inside. Versions 2 and 3, read and written. This is the
 * state of an image; what finds the clusters of the guest is in qcow2-data.h,
 * what deals with those of the file in qcow2-host.h.
 *
 *   qcow2-format.h      what stands in an image
 *   qcow2-header*.c     header and extensions, from bytes and to bytes
 *   qcow2-snapshot.c    the table of internal snapshots: read, kept as it is
 *   qcow2.c             the driver table
 *   qcow2-open.c        opening, closing, reopening
 *   qcow2-options.c     options of an open image
 *   qcow2-change.c      dirty, corrupt, autoclear: what the header says
 *   qcow2-fingerprint.c which backing directory the contents belong to
 *   qcow2-info.c        information
 *   qcow2-bitmaps.c     the directory of bitmaps, for information
 *   qcow2-create*.c     new images, and their options
 *   qcow2-measure.c     how large an image would get
 *   qcow2-resize.c      growing, shrinking, emptying
 *   qcow2-l1-grow.c     a larger L1 table
 *   qcow2-preallocate.c clusters for what is not written yet
 *   qcow2-shrink-file.c cutting off the end of the file
 *   qcow2-map.c         L1 and L2: where the cluster of a guest offset is
 *   qcow2-l2.c          the same tables, changed
 *   qcow2-read.c        reading, block status
 *   qcow2-inflate.c     reading compressed clusters
 *   qcow2-write.c       writing in place, allocation
 *   qcow2-cow.c         new clusters, filled: copy on write
 *   qcow2-zero.c        zeroes and discards
 *   qcow2-compress.c    writing compressed clusters
 *   qcow2-refcount.c    refcount table and blocks: looked up, changed
 *   qcow2-refgrow.c     new refcount blocks, a larger refcount table
 *   qcow2-alloc.c       host clusters, allocated
 *   qcow2-free.c        host clusters, freed in time; requests
 *   qcow2-writeback.c   the order in which metadata reaches the disk
 *   qcow2-overlap.c     where metadata stands; data must not go there
 *   qcow2-check*.c      what refers to what, against the refcounts; mending
 *   qcow2-refs.c        references counted
 *   qcow2-repair.c      a new refcount structure
 *
 * Order. At every instant the image on the disk is sound: a crash leaves
 * leaked clusters at worst (with lazy refcounts, and the dirty bit set, wrong
 * refcounts). Metadata changes in memory and is written in this order, with a
 * flush of the file between two steps that both have something to write:
 *
 *   1. data, and raised refcounts
 *   2. L2 tables
 *   3. the L1 table
 *   4. lowered refcounts: only now may the clusters be used again
 *
 * so a refcount on the disk is never less than the references on the disk.
 * A cluster that lost its reference is therefore not freed at once; it waits
 * in `frees` (qcow2_free_later()) until step 3 is durable. A refcount block
 * may be written at any time.
 *
 * Threads. `lock` guards everything below it in the state, and is held while
 * metadata is read and written; guest data moves without it. What a request
 * relies on meanwhile:
 *
 *   - Whoever changes L2 entries (allocation, zeroes, discard, compressed
 *     write) holds the range of guest clusters in `busy`, from looking the
 *     entries up to having changed them. Reads and writes in place do not.
 *   - A host cluster found under the lock does not become another's while the
 *     request runs: a cluster that was freed is used again only when all
 *     requests that began before that have ended (Qcow2Request).
 *
 * So a request: lock; qcow2_request_begin(); look up; unlock; data; lock;
 * qcow2_request_end(); unlock.
 */
#ifndef BLOCK_QCOW2_H
#define BLOCK_QCOW2_H

#include <pthread.h>
#include <stdatomic.h>

#include "block/driver.h"
#include "block/qcow2/qcow2-format.h"
#include "block/table-cache.h"
#include "util/range-lock.h"

/* Host clusters end before this: entries of tables cannot refer further. */
#define QCOW2_MAX_HOST_OFFSET (UINT64_C(1) << 56)

/* ---- The header ---- */

/* An extension that the driver keeps as it is. */
typedef struct Qcow2Extension {
    uint32_t type;
    GBytes *data;
} Qcow2Extension;

/* The fields of Qcow2DiskHeader in host byte order, checked. */
typedef struct Qcow2Header {
    unsigned version;
    unsigned cluster_bits;
    unsigned refcount_order;
    int64_t size;
    uint32_t l1_size;
    int64_t l1_table_offset;
    int64_t refcount_table_offset;
    uint32_t refcount_table_clusters;
    uint32_t nb_snapshots;
    int64_t snapshots_offset;
    uint64_t incompatible, compatible, autoclear;
    uint32_t header_length; /* as found: bytes behind what we know are kept */
    GBytes *unknown_fields; /* those bytes, or NULL */
    char *backing_file;     /* NULL: none */
    char *backing_format;   /* NULL: none named */
    GArray *extensions;     /* of Qcow2Extension, but for the backing format;
                               an unknown one is kept */
} Qcow2Header;

/* ---- Requests ---- */

/* One that uses host clusters outside of the lock. On the stack. */
typedef struct Qcow2Request {
    struct Qcow2Request *next, *prev;
    uint64_t number;
} Qcow2Request;

/* A range of host clusters without a reference in memory. */
typedef struct Qcow2Free {
    int64_t offset, bytes; /* multiples of the cluster size, or the sectors of
                              one compressed cluster */
    uint64_t number;       /* the last request that may still use it */
} Qcow2Free;

/* Lengths of free runs that are sought from a place of their own. */
#define QCOW2_RUN_HINTS 12u

/* ---- The state ---- */

typedef struct Qcow2InflateCache Qcow2InflateCache;

typedef struct Qcow2State {
    /* Fixed while the node is open. */
    BlockDriverState *bs;
    BdrvChild *file;
    unsigned cluster_bits;
    int64_t cluster_size;
    unsigned l2_bits; /* an L2 table has 1 << l2_bits entries */
    unsigned refcount_order;
    uint64_t refcount_max;  /* the largest that fits */
    bool has_zero_clusters; /* version 3 */
    bool lazy_refcounts;
    bool discards_host;     /* punch freed clusters out of the file */
    int64_t l2_slice;       /* bytes of a piece of l2_cache */
    int64_t refblock_slice; /* and of refcount_cache */

    Qcow2InflateCache *inflated; /* qcow2-inflate.c; has a lock of its own */

    atomic_int_fast64_t size; /* of the device; changed by truncate */

    pthread_mutex_t lock;
    Qcow2Header header;      /* as it is on the disk */
    bool prepared;           /* qcow2_prepare_change() was done */
    bool fingerprint_is_new; /* the header on the disk has not this one */
    bool size_is_unsettled; /* the header on the disk may have another size, or
                               name another L1 table */
    bool frees_leaving; /* the first frees are discarded without the lock */
    bool overlaps; /* tables lie over each other: only read, or repaired */
    char *misfit;  /* why the contents do not go with the backing file, or
                      NULL; fixed when that is open */

    /* qcow2-map.c */
    uint64_t *l1; /* header.l1_size entries in host byte order */
    uint32_t l1_dirty_first, l1_dirty_end; /* entries to be written */
    TableCache *l2_cache;

    /* qcow2-refcount.c, qcow2-alloc.c */
    uint64_t *reftable;                                /* host byte order */
    uint32_t reftable_size;                            /* entries */
    uint32_t reftable_dirty_first, reftable_dirty_end; /* to be written */
    Qcow2Free old_reftable; /* bytes > 0: the header on the disk may still name
                               this one */
    TableCache *refcount_cache;
    int64_t free_hint; /* no free cluster (index) is before this one */
    int64_t run_hints[QCOW2_RUN_HINTS]; /* no 2, 4, 8, ... in a row */
    int64_t fresh_offset;  /* from here on the file was never written and reads
                             as zeroes; set when the image is opened, and
                             raised by allocations: compare what they give
                             with what this was before */
    int64_t packed_offset; /* where the next compressed cluster may begin, in
                              a cluster that holds others; 0: nowhere */
    GArray *frees;         /* of Qcow2Free; numbers do not fall */
    unsigned frees_sealed; /* of so many, steps 1 to 3 were written, */
    unsigned frees_durable; /* and flushed */
    int64_t frees_done;     /* the number of the first, counted over time */
    int64_t frees_bytes;    /* of those that are not sealed */

    /* Requests under way, oldest first, and the number of the last. */
    Qcow2Request *first_request, *last_request;
    uint64_t request_number;

    RangeLock busy; /* guest clusters (offsets) whose entries change */

    /* qcow2-overlap.c */
    GHashTable *metadata; /* indexes of clusters that hold it */

    GPtrArray *snapshots; /* of Qcow2Snapshot */
} Qcow2State;

static inline int64_t qcow2_cluster_start(const Qcow2State *s, int64_t offset)
{
    return offset & ~(s->cluster_size - 1);
}

static inline int64_t qcow2_in_cluster(const Qcow2State *s, int64_t offset)
{
    return offset & (s->cluster_size - 1);
}

/* The end of the cluster that byte offset - 1 is in. */
static inline int64_t qcow2_cluster_end(const Qcow2State *s, int64_t offset)
{
    return qcow2_cluster_start(s, offset + s->cluster_size - 1);
}

/* Bytes of the device that an L2 table describes. */
static inline int64_t qcow2_l2_reach(const Qcow2State *s)
{
    return s->cluster_size << s->l2_bits;
}

/* ---- qcow2-header.c: pure ---- */

/*
 * Parse and check the first bytes of an image. buf holds the first cluster,
 * or the whole file when that is shorter; file_length bounds what the fields
 * may refer to. Refuses (-ENOTSUP in *errp) what is not supported, with the
 * name that the image gives an unknown feature. header is zeroed first; clear
 * it in any case.
 */
bool qcow2_header_parse(Qcow2Header *header, const uint8_t *buf, size_t size,
                        int64_t file_length, GError **errp);

/* Bytes of the header cluster: never more than the cluster size, or NULL and
 * *errp (the backing file's name does not fit). */
GByteArray *qcow2_header_serialise(const Qcow2Header *header, GError **errp);
void qcow2_header_clear(Qcow2Header *header);

/* Write s->header to the file, whole. 0 or -errno. */
int qcow2_header_write(Qcow2State *s) G_GNUC_WARN_UNUSED_RESULT;

/* Make sure that the header on the disk has the size and the L1 table in use
 * (qcow2-l1-grow.c). Durable. Lock held. */
int qcow2_size_settle(Qcow2State *s) G_GNUC_WARN_UNUSED_RESULT;

/* ---- qcow2-snapshot.c ---- */

typedef struct Qcow2Snapshot {
    char *id, *name;
    int64_t l1_table_offset;
    uint32_t l1_size;
    uint64_t vm_state_size; /* bytes */
    uint64_t disk_size;     /* bytes; the image's if not recorded */
    uint32_t date_sec, date_nsec;
    uint64_t vm_clock_nsec;
    uint64_t icount; /* UINT64_MAX: not recorded */
} Qcow2Snapshot;

/* Read the table into s->snapshots, checked; its size in bytes in *bytes. */
bool qcow2_snapshots_read(Qcow2State *s, int64_t *bytes, GError **errp);

/* ---- qcow2-change.c ---- */

/*
 * The lock is held. Call before anything in the image changes: refuses when
 * the image is known to be corrupt (-EIO, with words), clears autoclear bits,
 * sets the dirty bit when refcounts are lazy; durable when it returns 0.
 * Cheap when that was done before.
 */
int qcow2_prepare_change(Qcow2State *s) G_GNUC_WARN_UNUSED_RESULT;

/*
 * The lock is held, and everything was written back: clear the dirty bit,
 * durably. The next change sets it again.
 */
int qcow2_mark_clean(Qcow2State *s) G_GNUC_WARN_UNUSED_RESULT;

/*
 * The image contradicts itself: set the words for the error, and, if the
 * node can be written, the corrupt bit (version 3), after which nothing is
 * written any more. Lock held. Gives -EIO.
 */
int qcow2_corrupt(Qcow2State *s, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

/* ---- qcow2-fingerprint.c ---- */

typedef enum Qcow2FingerprintState {
    QCOW2_FINGERPRINT_NONE,
    QCOW2_FINGERPRINT_KNOWN,
    QCOW2_FINGERPRINT_UNKNOWN, /* a later version, which is kept */
    QCOW2_FINGERPRINT_DAMAGED,
} Qcow2FingerprintState;

/* Pure. *fingerprint is set when it is KNOWN. */
Qcow2FingerprintState qcow2_fingerprint_get(const Qcow2Header *header,
                                            BdrvFingerprint *fingerprint);

/* NULL: none. Pure; the header is one that was parsed. It has none afterwards
 * when there is no room. */
void qcow2_fingerprint_set(Qcow2Header *header,
                           const BdrvFingerprint *fingerprint);

/* Take it out, as it stands there, for g_bytes_unref() or to be given back;
 * NULL: there is none. */
GBytes *qcow2_fingerprint_steal(Qcow2Header *header);
void qcow2_fingerprint_give_back(Qcow2Header *header, GBytes *data);

/* Something is about to change: an image that holds nothing gets, in memory,
 * the fingerprint of its backing file. Whether it is another one than before.
 * Lock held. */
bool qcow2_fingerprint_take(Qcow2State *s);

/* ---- qcow2-writeback.c; lock held ---- */

/* The barrier of l2_cache: step 1. opaque is the Qcow2State. */
int qcow2_before_l2_write(void *opaque);

/*
 * Steps 1 to 3, then 4 in memory if that needs no waiting for requests. What
 * was written last is not flushed by this. An error leaves everything to be
 * tried again.
 */
int qcow2_write_back(Qcow2State *s) G_GNUC_WARN_UNUSED_RESULT;

/* The same, durable, with all frees carried out and written that no request
 * under way holds back. For closing (then that is all), resizing, emptying. */
int qcow2_write_back_all(Qcow2State *s) G_GNUC_WARN_UNUSED_RESULT;

/* The driver's flush. Takes the lock. */
int qcow2_flush(BlockDriverState *bs);

/* ---- The driver's callbacks ---- */

/* qcow2-read.c */
int qcow2_preadv(BlockDriverState *bs, int64_t offset, int64_t bytes,
                 const IOVector *iov, unsigned flags);
int qcow2_block_status(BlockDriverState *bs, unsigned want, int64_t offset,
                       int64_t bytes, BdrvBlockStatus *status);

/* qcow2-write.c */
int qcow2_pwritev(BlockDriverState *bs, int64_t offset, int64_t bytes,
                  const IOVector *iov, unsigned flags);
int qcow2_copy_range_to(BlockDriverState *bs, int fd, int64_t fd_offset,
                        int64_t offset, int64_t bytes, unsigned flags);

/* qcow2-zero.c */
int qcow2_pwrite_zeroes(BlockDriverState *bs, int64_t offset, int64_t bytes,
                        unsigned flags);
int qcow2_pdiscard(BlockDriverState *bs, int64_t offset, int64_t bytes);

/* qcow2-resize.c */
int qcow2_truncate(BlockDriverState *bs, int64_t size, bool exact,
                   PreallocMode prealloc, GError **errp);
int qcow2_make_empty(BlockDriverState *bs, GError **errp);

/* qcow2-create.c */
extern const OptionDesc qcow2_create_options[];
bool qcow2_create(const char *filename, Options *options, GError **errp);

/* qcow2-measure.c */
bool qcow2_measure(Options *options, BlockDriverState *source,
                   BdrvMeasure *measure, GError **errp);

/* qcow2-check.c. Takes the lock; no request may be under way. What was mended
 * is counted as fixed, and what remains as found. */
int qcow2_check(BlockDriverState *bs, BdrvCheckResult *result, unsigned fix,
                GError **errp);

#endif
