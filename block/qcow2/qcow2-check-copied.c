/* SPDX-License-Identifier: MIT */
/*
 * COPIED flags of the active L1 and L2 tables: set where the refcount is 1,
 * clear elsewhere. A flag that is set wrongly lets a write change what others
 * refer to; one that is missing costs a copy.
 */
#include "block/qcow2/qcow2-check.h"

#include <inttypes.h>

#include "util/bytes.h"

#define PIECE 65536

/* What stands on the disk for a cluster with references. */
static uint64_t refcount_of(const Qcow2Check *c, int64_t cluster)
{
    uint64_t noted = qcow2_refs_get(c->wrong, cluster);

    return noted > 0 ? noted - 1 : qcow2_refs_get(c->refs, cluster);
}

/* Gives the entry with the flag as it should be. */
static uint64_t check_flag(Qcow2Check *c, uint64_t entry, int64_t offset,
                           const char *what)
{
    uint64_t refcount = refcount_of(c, offset >> c->s->cluster_bits);
    uint64_t sound = entry & ~QCOW2_COPIED;

    sound |= refcount == 1 ? QCOW2_COPIED : 0;
    if (sound != entry) {
        check_corruption(c, c->fix & BDRV_FIX_ERRORS,
                         "the COPIED flag of the %s at 0x%" PRIx64
                         " is %s, the refcount %" PRIu64,
                         what, offset, entry & QCOW2_COPIED ? "set" : "clear",
                         refcount);
    }
    return sound;
}

/* Whether an entry's cluster was counted for it. */
static bool counted(const Qcow2Check *c, int64_t offset)
{
    Qcow2Kind kind = qcow2_refs_kind(c->refs, offset >> c->s->cluster_bits);

    return qcow2_in_cluster(c->s, offset) == 0 &&
           qcow2_refs_get(c->refs, offset >> c->s->cluster_bits) > 0 &&
           (kind == QCOW2_KIND_NONE || kind == QCOW2_KIND_REFTABLE ||
            kind == QCOW2_KIND_REFBLOCK);
}

static void check_l1_piece(Qcow2Check *c, int64_t offset, int64_t bytes,
                           be64 *piece)
{
    bool changed = false;
    bool zero;

    if (!check_read(c, offset, bytes, piece, &zero) || zero) {
        return;
    }
    for (int64_t i = 0; i < bytes / 8; i++) {
        uint64_t entry = be64_get(piece[i]);
        int64_t l2 = (int64_t)(entry & QCOW2_L1_OFFSET);

        if (g_hash_table_contains(c->l2, &l2)) {
            uint64_t sound = check_flag(c, entry, l2, "L2 table");

            changed = changed || sound != entry;
            be64_put(&piece[i], sound);
        }
    }
    if (changed && (c->fix & BDRV_FIX_ERRORS)) {
        check_write(c, offset, bytes, piece);
    }
}

static void check_l2(Qcow2Check *c, int64_t offset, be64 *table)
{
    uint32_t entries = 1u << c->s->l2_bits;
    bool changed = false;
    bool zero;

    if (!check_read(c, offset, c->s->cluster_size, table, &zero) || zero) {
        return;
    }
    for (uint32_t i = 0; i < entries; i++) {
        uint64_t entry = be64_get(table[i]);
        int64_t data = (int64_t)(entry & QCOW2_L2_OFFSET);

        if (!(entry & QCOW2_COMPRESSED) && data != 0 && counted(c, data)) {
            uint64_t sound = check_flag(c, entry, data, "data cluster");

            changed = changed || sound != entry;
            be64_put(&table[i], sound);
        }
    }
    if (changed && (c->fix & BDRV_FIX_ERRORS)) {
        check_write(c, offset, c->s->cluster_size, table);
    }
}

void check_copied(Qcow2Check *c)
{
    const Qcow2Header *h = &c->s->header;
    int64_t l1_bytes = c->has_l1 ? (int64_t)h->l1_size * 8 : 0;
    int64_t cluster_size = c->s->cluster_size;
    g_autoptr(GPtrArray) tables = check_sorted_l2(c);
    g_autofree be64 *piece = g_malloc((size_t)MAX(PIECE, cluster_size));

    for (int64_t at = 0; at < l1_bytes; at += PIECE) {
        check_l1_piece(c, h->l1_table_offset + at, MIN(l1_bytes - at, PIECE),
                       piece);
    }
    for (guint i = 0; i < tables->len; i++) {
        const CheckL2 *l2 = g_ptr_array_index(tables, i);

        if (l2->active > 0) {
            check_l2(c, l2->offset, piece);
        }
    }
}
