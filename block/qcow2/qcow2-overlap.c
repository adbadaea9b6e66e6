/* SPDX-License-Identifier: MIT */
/*
 * Clusters that hold metadata: a hash of cluster indexes, with what stands
 * there for the message. A refcount that is wrong must not lead to data over a
 * table; so every range is looked up before it is handed out or written.
 *
 * Whoever allocates a table adds it. A cluster is taken out when its refcount
 * becomes 0 (qcow2-free.c).
 */
#include <errno.h>
#include <inttypes.h>

#include "block/qcow2/qcow2-host.h"

/* No image is like that; one made to be would take all memory. */
#define MAX_SNAPSHOT_L1_BYTES (INT64_C(1) << 30)

typedef enum Kind {
    KIND_OTHER = 1, /* added later, or of no interest */
    KIND_HEADER,
    KIND_L1,
    KIND_REFTABLE,
    KIND_REFBLOCK,
    KIND_L2,
    KIND_SNAPSHOTS,
    KIND_SNAPSHOT_L1,
} Kind;

static const char *kind_name(Kind kind)
{
    static const char *const names[] = {
        [KIND_OTHER] = "a table",
        [KIND_HEADER] = "the header",
        [KIND_L1] = "the L1 table",
        [KIND_REFTABLE] = "the refcount table",
        [KIND_REFBLOCK] = "a refcount block",
        [KIND_L2] = "an L2 table",
        [KIND_SNAPSHOTS] = "the snapshot table",
        [KIND_SNAPSHOT_L1] = "the L1 table of a snapshot",
    };
    return names[kind];
}

static Kind kind_at(const Qcow2State *s, int64_t cluster)
{
    return GPOINTER_TO_UINT(g_hash_table_lookup(s->metadata, &cluster));
}

static void set_kind(Qcow2State *s, int64_t cluster, Kind kind)
{
    int64_t *key = g_new(int64_t, 1);

    *key = cluster;
    g_hash_table_replace(s->metadata, key, GUINT_TO_POINTER(kind));
}

/* Note a range; false when it was claimed by something of another kind. A
 * refcount block describes one range: two entries that name it would also let
 * a small file have refcounts without end to search. */
static bool note(Qcow2State *s, Kind kind, int64_t offset, int64_t bytes,
                 GError **errp)
{
    int64_t end = qcow2_cluster_end(s, offset + bytes) >> s->cluster_bits;

    for (int64_t i = offset >> s->cluster_bits; i < end; i++) {
        Kind other = kind_at(s, i);

        if (other != 0 && (other != kind || kind == KIND_REFBLOCK)) {
            block_error_set(errp, EINVAL,
                            "The image is corrupt: %s and %s are both at "
                            "offset 0x%" PRIx64,
                            kind_name(other), kind_name(kind),
                            i << s->cluster_bits);
            return false;
        }
        set_kind(s, i, kind);
    }
    return true;
}

/* ---- What an image has when it is opened ---- */

static bool note_refcounts(Qcow2State *s, GError **errp)
{
    bool ok = note(
        s, KIND_REFTABLE, s->header.refcount_table_offset,
        (int64_t)s->header.refcount_table_clusters << s->cluster_bits, errp);

    for (uint32_t i = 0; i < s->reftable_size && ok; i++) {
        uint64_t entry = s->reftable[i];

        if (entry != 0 && qcow2_reftable_entry_is_valid(s, entry)) {
            ok = note(s, KIND_REFBLOCK, (int64_t)entry, s->cluster_size, errp);
        }
    }
    return ok;
}

/* Entries that cannot be offsets are found when they are used. */
static bool note_l2_tables(Qcow2State *s, GError **errp)
{
    bool ok = true;

    for (uint32_t i = 0; i < s->header.l1_size && ok; i++) {
        int64_t offset = (int64_t)(s->l1[i] & QCOW2_L1_OFFSET);

        if (offset != 0 && qcow2_in_cluster(s, offset) == 0) {
            ok = note(s, KIND_L2, offset, s->cluster_size, errp);
        }
    }
    return ok;
}

static int compare_places(const void *a, const void *b)
{
    const Qcow2Snapshot *x = *(Qcow2Snapshot *const *)a;
    const Qcow2Snapshot *y = *(Qcow2Snapshot *const *)b;

    return (x->l1_table_offset > y->l1_table_offset) -
           (x->l1_table_offset < y->l1_table_offset);
}

/* Many may name the same large table: every cluster is noted once. */
static bool note_snapshot_l1s(Qcow2State *s, GError **errp)
{
    g_autoptr(GPtrArray) by_place = g_ptr_array_new();
    int64_t done = 0; /* what is before this was noted */
    int64_t left = MAX_SNAPSHOT_L1_BYTES;

    for (guint i = 0; s->snapshots != NULL && i < s->snapshots->len; i++) {
        g_ptr_array_add(by_place, g_ptr_array_index(s->snapshots, i));
    }
    g_ptr_array_sort(by_place, compare_places);
    for (guint i = 0; i < by_place->len; i++) {
        const Qcow2Snapshot *sn = g_ptr_array_index(by_place, i);
        int64_t start = MAX(sn->l1_table_offset, done);
        int64_t end = sn->l1_table_offset + (int64_t)sn->l1_size * 8;

        if (start >= end) {
            continue;
        }
        left -= end - start;
        if (left < 0) {
            block_error_set(errp, EFBIG,
                            "The L1 tables of the snapshots are too large "
                            "together");
            return false;
        }
        if (!note(s, KIND_SNAPSHOT_L1, start, end - start, errp)) {
            return false;
        }
        done = qcow2_cluster_end(s, end);
    }
    return true;
}

static bool note_snapshots(Qcow2State *s, GError **errp)
{
    bool ok = true;

    if (s->header.nb_snapshots > 0) {
        /* Its first cluster at least: its length is not known here. */
        ok = note(s, KIND_SNAPSHOTS, s->header.snapshots_offset, 1, errp);
    }
    return ok && note_snapshot_l1s(s, errp);
}

bool qcow2_overlap_init(Qcow2State *s, GError **errp)
{
    if (s->metadata != NULL) {
        g_hash_table_unref(s->metadata);
    }
    s->metadata = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free,
                                        NULL);
    return note(s, KIND_HEADER, 0, s->cluster_size, errp) &&
           (s->header.l1_size == 0 ||
            note(s, KIND_L1, s->header.l1_table_offset,
                 (int64_t)s->header.l1_size * 8, errp)) &&
           note_refcounts(s, errp) && note_l2_tables(s, errp) &&
           note_snapshots(s, errp);
}

/* ---- Later ---- */

void qcow2_overlap_add(Qcow2State *s, int64_t offset, int64_t bytes)
{
    int64_t end = qcow2_cluster_end(s, offset + bytes) >> s->cluster_bits;

    for (int64_t i = offset >> s->cluster_bits; i < end; i++) {
        set_kind(s, i, KIND_OTHER);
    }
}

/* Clusters by index. */
typedef struct ClusterRange {
    int64_t start, end;
} ClusterRange;

static gboolean is_in_range(gpointer key, gpointer value, gpointer opaque)
{
    const ClusterRange *range = opaque;
    int64_t cluster = *(const int64_t *)key;

    (void)value;
    return cluster >= range->start && cluster < range->end;
}

/* A range may be longer than the hash is large: then that is searched. */
static bool is_long(const Qcow2State *s, const ClusterRange *range)
{
    return range->end - range->start > g_hash_table_size(s->metadata);
}

static ClusterRange range_of(const Qcow2State *s, int64_t offset,
                             int64_t bytes)
{
    return (ClusterRange){
        .start = offset >> s->cluster_bits,
        .end = qcow2_cluster_end(s, offset + bytes) >> s->cluster_bits,
    };
}

void qcow2_overlap_remove(Qcow2State *s, int64_t offset, int64_t bytes)
{
    ClusterRange range = range_of(s, offset, bytes);

    if (is_long(s, &range)) {
        g_hash_table_foreach_remove(s->metadata, is_in_range, &range);
        return;
    }
    for (int64_t i = range.start; i < range.end; i++) {
        g_hash_table_remove(s->metadata, &i);
    }
}

/* Some cluster of the range that holds metadata; -1: none. */
static int64_t find_metadata(const Qcow2State *s, ClusterRange range)
{
    GHashTableIter iter;
    gpointer key;

    if (!is_long(s, &range)) {
        while (range.start < range.end && kind_at(s, range.start) == 0) {
            range.start++;
        }
        return range.start < range.end ? range.start : -1;
    }
    g_hash_table_iter_init(&iter, s->metadata);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
        if (is_in_range(key, NULL, &range)) {
            return *(const int64_t *)key;
        }
    }
    return -1;
}

int qcow2_overlap_check(Qcow2State *s, int64_t offset, int64_t bytes)
{
    int64_t found = find_metadata(s, range_of(s, offset, bytes));

    if (found < 0) {
        return 0;
    }
    return qcow2_corrupt(
        s, "%s is at offset 0x%" PRIx64 ", where there should be data",
        kind_name(kind_at(s, found)), found << s->cluster_bits);
}
