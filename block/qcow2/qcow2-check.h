/* SPDX-License-Identifier: MIT */
/*
 * Checking an image, inside: what the parts of the check share.
 *
 *   qcow2-check.c            rounds of checking and mending, what the header
 *                            names
 *   qcow2-check-snapshots.c  the snapshot table
 *   qcow2-check-bitmaps.c    the directory of bitmaps, their tables
 *   qcow2-check-l1.c         L1 tables
 *   qcow2-check-l2.c         L2 tables
 *   qcow2-check-refcounts.c  refcount blocks; comparing
 *   qcow2-check-copied.c     COPIED flags
 *   qcow2-repair.c           a new refcount structure, the header
 *   qcow2-refs.c             what was counted
 *
 * Everything is read from the file, past the caches, with s->lock held and no
 * request under way. One round walks the whole image. With `fix`, what a
 * table says wrongly is mended as it is found, and refcounts afterwards, so
 * that at every instant no refcount on the disk is less than the references
 * there because of us.
 *
 * When two claim a cluster, the refcount structure yields, for it can be made
 * anew; then the bitmaps, then guest data, then L2 tables.
 *
 * Hostile images: every table is read once, however often it is referred to,
 * and its references count as often. Holes of the file are not read at all.
 */
#ifndef BLOCK_QCOW2_CHECK_H
#define BLOCK_QCOW2_CHECK_H

#include "block/qcow2/qcow2-host.h"
#include "block/qcow2/qcow2-refs.h"

/* L1 tables and tables of bitmaps: more than this is not looked at. */
#define CHECK_MAX_TABLE_BYTES (INT64_C(4) << 30)

/* An L2 table that L1 entries name. */
typedef struct CheckL2 {
    int64_t offset;  /* the key */
    uint64_t active; /* how often the active L1 table names it */
    uint64_t all;    /* and all L1 tables */
    uint32_t index;  /* of an entry that does, for messages */
} CheckL2;

/* A snapshot whose L1 table can be read. */
typedef struct CheckSnapshot {
    int64_t l1_table_offset;
    uint32_t l1_size;
} CheckSnapshot;

typedef struct CheckRefblock {
    int64_t index; /* in the refcount table */
    int64_t offset;
} CheckRefblock;

typedef struct Qcow2Check {
    Qcow2State *s;
    BdrvCheckResult *result;
    unsigned fix;        /* in this round */
    int64_t file_length; /* at the beginning of the round */
    int64_t file_clusters;

    Qcow2Refs *refs;
    /* Refcount + 1 of clusters whose refcount is not the references. */
    Qcow2Refs *wrong;
    GHashTable *l2;      /* of CheckL2 */
    GArray *snapshots;   /* of CheckSnapshot */
    GArray *refblocks;   /* of CheckRefblock, by index */
    bool rebuild;        /* the refcount structure cannot be mended in place */
    bool written;        /* something was, since the last flush */
    bool changed;        /* anything at all was, in any round */
    bool header_changed; /* s->header has to be written */
    bool data_lost;      /* an entry was dropped: the guest sees it */
    bool has_l1;         /* the active L1 table can be read */
    bool no_memory;      /* counts are incomplete */
    bool stuck;          /* writing failed: no further rounds */
    int64_t table_bytes; /* of CHECK_MAX_TABLE_BYTES */
    int64_t new_snapshots_offset; /* of a table for the header; 0: none */
    int64_t last_used; /* cluster with a reference or a refcount; -1 */
} Qcow2Check;

/* ---- qcow2-check.c ---- */

/* A line about a finding. */
void check_say(const Qcow2Check *c, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

/* Something that cannot be: "ERROR ..." or, if it is mended right now,
 * "Repairing ...", and counted so. */
void check_corruption(Qcow2Check *c, bool mended, const char *fmt, ...)
    G_GNUC_PRINTF(3, 4);

/* Something could not be checked because of `ret` (negative errno). */
void check_failed(Qcow2Check *c, int ret, const char *fmt, ...)
    G_GNUC_PRINTF(3, 4);

/*
 * Read metadata; what is past the end of the file is zeroes. False, and
 * counted, when that fails. *zero (may be NULL): all of it is zeroes for sure
 * because there is a hole, and buf was not touched.
 */
bool check_read(Qcow2Check *c, int64_t offset, int64_t bytes, void *buf,
                bool *zero);

/* Write metadata back. False, and counted, when that fails. */
bool check_write(Qcow2Check *c, int64_t offset, int64_t bytes,
                 const void *buf);
bool check_flush(Qcow2Check *c);

/* Whether a region (not empty) is within the file, but for less than a
 * cluster. */
bool check_in_file(const Qcow2Check *c, int64_t offset, int64_t bytes);

/*
 * Count a table of `kind`, at an offset that is a multiple of the cluster
 * size and within the file. Gives the kind of what stands there already
 * (NONE: nothing); then nothing was counted.
 */
Qcow2Kind check_claim(Qcow2Check *c, int64_t offset, int64_t bytes,
                      Qcow2Kind kind);

/* Count n references to the clusters of a region. */
void check_count(Qcow2Check *c, int64_t offset, int64_t bytes, uint64_t n);

/* ---- qcow2-check-snapshots.c ---- */

/* Read the snapshot table into c->snapshots and count it. */
void check_snapshot_table(Qcow2Check *c);

/* ---- qcow2-check-bitmaps.c ---- */

/* What no table so far uses: after everything else was counted. */
void check_bitmaps(Qcow2Check *c);

/* ---- qcow2-check-l1.c, qcow2-check-l2.c ---- */

/* Walk the L1 tables, active and of snapshots, into c->l2, counted. */
void check_l1_tables(Qcow2Check *c);
/* Walk the L2 tables. */
void check_l2_tables(Qcow2Check *c);

/* L2 tables in order of their offsets (CheckL2 *). g_ptr_array_unref(). */
GPtrArray *check_sorted_l2(const Qcow2Check *c);

/* ---- qcow2-check-refcounts.c ---- */

/* Read the refcount table into c->refblocks, counted. */
void check_reftable(Qcow2Check *c);
/* Compare refcounts with references; mend in place what can be. */
void check_refcounts(Qcow2Check *c);

/* ---- qcow2-check-copied.c ---- */

/* COPIED flags of the active tables, against the refcounts. */
void check_copied(Qcow2Check *c);

/* ---- qcow2-repair.c ---- */

/* Write a new refcount structure that says what was counted, and let the
 * header name it. c->refs is that of the new structure afterwards. */
bool repair_rebuild(Qcow2Check *c);

/* Write s->header. */
bool repair_header(Qcow2Check *c);

/* What is in memory follows what is on the disk now. */
int repair_reload(Qcow2Check *c, GError **errp) G_GNUC_WARN_UNUSED_RESULT;

#endif
