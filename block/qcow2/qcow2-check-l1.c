/* SPDX-License-Identifier: MIT */
/*
 * L1 tables: the active one and those of the snapshots.
 *
 * The tables of snapshots may overlap in any way. They are cut where one
 * begins or ends, and each piece is read once and counts as often as there are
 * tables over it.
 */
#include "block/qcow2/qcow2-check.h"

#include <errno.h>
#include <inttypes.h>

#include "util/bytes.h"

#define PIECE 65536

/* ---- Entries ---- */

/* Why an L1 entry cannot refer to an L2 table; NULL: it can. */
static const char *l2_defect(const Qcow2Check *c, int64_t offset)
{
    Qcow2Kind kind;

    if (qcow2_in_cluster(c->s, offset) != 0) {
        return "is not at the beginning of a cluster";
    }
    if (!check_in_file(c, offset, c->s->cluster_size)) {
        return "lies past the end of the file";
    }
    kind = qcow2_refs_kind(c->refs, offset >> c->s->cluster_bits);
    if (kind != QCOW2_KIND_NONE && kind != QCOW2_KIND_L2) {
        return "lies in other metadata";
    }
    return NULL;
}

static bool count_l2(Qcow2Check *c, int64_t offset, uint64_t n, bool active,
                     uint32_t index)
{
    CheckL2 *l2 = g_hash_table_lookup(c->l2, &offset);

    if (l2 == NULL) {
        l2 = g_try_new0(CheckL2, 1);
        if (l2 == NULL) {
            return false;
        }
        l2->offset = offset;
        l2->index = index;
        g_hash_table_insert(c->l2, &l2->offset, l2);
    }
    l2->active += active ? n : 0;
    l2->all += n;
    return true;
}

/* Check and count an entry; gives what it should be. */
static uint64_t check_entry(Qcow2Check *c, uint64_t entry, uint64_t n,
                            bool active, uint32_t index, int64_t position)
{
    int64_t offset = (int64_t)(entry & QCOW2_L1_OFFSET);
    bool mend = c->fix & BDRV_FIX_ERRORS;
    g_autofree char *which = NULL;
    const char *defect;

    if (entry == 0) {
        return 0;
    }
    if (active) {
        which = g_strdup_printf("L1 entry %u", index);
    } else {
        which = g_strdup_printf("a snapshot's L1 entry at 0x%" PRIx64,
                                position);
    }
    if (entry & QCOW2_L1_RESERVED) {
        check_corruption(c, mend, "%s has reserved bits set: 0x%" PRIx64,
                         which, entry);
        entry &= ~QCOW2_L1_RESERVED;
    }
    if (offset == 0) {
        if (entry != 0) { /* programs differ in what they make of it */
            check_corruption(c, mend, "%s has the COPIED flag and no L2 table",
                             which);
        }
        return 0;
    }
    defect = l2_defect(c, offset);
    if (defect != NULL) {
        check_corruption(c, mend, "%s: the L2 table at 0x%" PRIx64 " %s%s",
                         which, offset, defect,
                         mend ? "; the entry is dropped" : "");
        if (active) {
            int64_t reach = qcow2_l2_reach(c->s);

            check_say(c,
                      "The data of guest offsets 0x%" PRIx64 " to 0x%" PRIx64
                      " %s lost",
                      index * reach, (index + 1) * reach - 1,
                      mend ? "is" : "would be");
        }
        c->data_lost = c->data_lost || mend;
        return 0;
    }
    check_count(c, offset, c->s->cluster_size, n);
    if (c->no_memory) {
        return entry;
    }
    qcow2_refs_set_kind(c->refs, offset >> c->s->cluster_bits, QCOW2_KIND_L2);
    if (!count_l2(c, offset, n, active, index)) {
        c->no_memory = true;
        check_failed(c, -ENOMEM, "counting L2 tables");
    }
    return entry;
}

/* Walk a piece of a table that is named n times. */
static void check_piece(Qcow2Check *c, int64_t offset, int64_t bytes,
                        be64 *piece, uint64_t n, bool active, uint32_t index)
{
    bool changed = false;
    bool zero;

    if (!check_read(c, offset, bytes, piece, &zero) || zero) {
        return;
    }
    for (int64_t i = 0; i < bytes / 8 && !c->no_memory; i++) {
        uint64_t entry = be64_get(piece[i]);
        uint64_t sound = check_entry(c, entry, n, active, index + (uint32_t)i,
                                     offset + i * 8);

        changed = changed || sound != entry;
        be64_put(&piece[i], sound);
    }
    if (changed && (c->fix & BDRV_FIX_ERRORS)) {
        check_write(c, offset, bytes, piece);
    }
}

static void check_table(Qcow2Check *c, int64_t start, int64_t end, uint64_t n,
                        bool active)
{
    g_autofree be64 *piece = g_malloc(PIECE);

    for (int64_t at = start; at < end && !c->no_memory; at += PIECE) {
        check_piece(c, at, MIN(end - at, PIECE), piece, n, active,
                    active ? (uint32_t)((at - start) / 8) : 0);
    }
}

/* ---- Tables of snapshots ---- */

typedef struct Edge {
    int64_t offset;
    int step; /* one table more or one less from there on */
} Edge;

typedef void PieceVisitor(Qcow2Check *c, int64_t start, int64_t end,
                          uint64_t n);

static int compare_edges(const void *a, const void *b)
{
    const Edge *x = a, *y = b;

    return (x->offset > y->offset) - (x->offset < y->offset);
}

/* Visit the pieces that the tables are cut into; whole_clusters: each takes
 * the rest of its last cluster, too. */
static void sweep(Qcow2Check *c, bool whole_clusters, PieceVisitor *visit)
{
    g_autoptr(GArray) edges = g_array_new(FALSE, FALSE, sizeof(Edge));
    uint64_t n = 0;

    for (guint i = 0; i < c->snapshots->len; i++) {
        const CheckSnapshot *sn = &g_array_index(c->snapshots, CheckSnapshot,
                                                 i);
        int64_t end = sn->l1_table_offset + (int64_t)sn->l1_size * 8;
        Edge first = { sn->l1_table_offset, 1 };
        Edge last = { whole_clusters ? qcow2_cluster_end(c->s, end) : end,
                      -1 };

        g_array_append_val(edges, first);
        g_array_append_val(edges, last);
    }
    g_array_sort(edges, compare_edges);
    for (guint i = 0; i + 1 < edges->len; i++) {
        const Edge *edge = &g_array_index(edges, Edge, i);

        n += (uint64_t)(int64_t)edge->step;
        if (n > 0 && edge[1].offset > edge->offset) {
            visit(c, edge->offset, edge[1].offset, n);
        }
    }
}

static void count_piece(Qcow2Check *c, int64_t start, int64_t end, uint64_t n)
{
    c->table_bytes += end - start;
    if (c->table_bytes > CHECK_MAX_TABLE_BYTES) {
        return;
    }
    check_count(c, start, end - start, n);
    for (int64_t at = start; at < end && !c->no_memory;
         at += c->s->cluster_size) {
        qcow2_refs_set_kind(c->refs, at >> c->s->cluster_bits,
                            QCOW2_KIND_SNAPSHOT_L1);
    }
}

static void walk_piece(Qcow2Check *c, int64_t start, int64_t end, uint64_t n)
{
    check_table(c, start, end, n, false);
}

void check_l1_tables(Qcow2Check *c)
{
    const Qcow2Header *h = &c->s->header;

    sweep(c, true, count_piece);
    if (c->table_bytes > CHECK_MAX_TABLE_BYTES) {
        check_failed(c, -EFBIG, "the L1 tables of the snapshots");
        c->no_memory = true;
        return;
    }
    if (c->has_l1) {
        check_table(c, h->l1_table_offset,
                    h->l1_table_offset + (int64_t)h->l1_size * 8, 1, true);
    }
    sweep(c, false, walk_piece);
}
