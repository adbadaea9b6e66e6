/* SPDX-License-Identifier: MIT */
/*
 * L2 tables: each is walked once, in the order in which they stand in the
 * file, and counts as often as L1 entries name it.
 *
 * An entry that cannot be becomes a cluster of zeroes (version 2, which has
 * none: an unallocated one), and what was lost is said.
 */
#include "block/qcow2/qcow2-check.h"

#include <inttypes.h>

#include "util/bytes.h"

static int compare_l2(const void *a, const void *b)
{
    const CheckL2 *x = *(CheckL2 *const *)a, *y = *(CheckL2 *const *)b;

    return (x->offset > y->offset) - (x->offset < y->offset);
}

GPtrArray *check_sorted_l2(const Qcow2Check *c)
{
    GPtrArray *tables = g_ptr_array_new();
    GHashTableIter iter;
    void *l2;

    g_hash_table_iter_init(&iter, c->l2);
    while (g_hash_table_iter_next(&iter, NULL, &l2)) {
        g_ptr_array_add(tables, l2);
    }
    g_ptr_array_sort(tables, compare_l2);
    return tables;
}

/* An entry being looked at. */
typedef struct Entry {
    const CheckL2 *l2;
    uint32_t index;
    uint64_t value;
} Entry;

static char *entry_name(const Qcow2Check *c, const Entry *e)
{
    if (e->l2->active > 0) {
        return g_strdup_printf("L2 entry of guest offset 0x%" PRIx64,
                               e->l2->index * qcow2_l2_reach(c->s) +
                                   e->index * c->s->cluster_size);
    }
    return g_strdup_printf("L2 entry %u of a snapshot's table at 0x%" PRIx64,
                           e->index, e->l2->offset);
}

/* ---- Where data may be ---- */

/* Why guest data cannot be in a region; NULL: it can. */
static const char *data_defect(Qcow2Check *c, int64_t offset, int64_t bytes)
{
    bool on_refcounts = false;

    if (!check_in_file(c, offset, bytes)) {
        return "lies past the end of the file";
    }
    for (int64_t i = offset >> c->s->cluster_bits;
         i <= (offset + bytes - 1) >> c->s->cluster_bits; i++) {
        Qcow2Kind kind = qcow2_refs_kind(c->refs, i);

        if (kind == QCOW2_KIND_REFTABLE || kind == QCOW2_KIND_REFBLOCK) {
            on_refcounts = true;
        } else if (kind != QCOW2_KIND_NONE) {
            return "lies in metadata";
        }
    }
    if (on_refcounts) {
        /* That can be made anew elsewhere, and no data is lost. */
        check_corruption(c, c->fix & BDRV_FIX_ERRORS,
                         "guest data at 0x%" PRIx64
                         " lies in the refcount structure",
                         offset);
        c->rebuild = true;
    }
    return NULL;
}

static uint64_t drop_entry(Qcow2Check *c, const Entry *e, int64_t offset,
                           const char *defect, bool has_data)
{
    g_autofree char *name = entry_name(c, e);
    bool mend = c->fix & BDRV_FIX_ERRORS;
    const char *after = !has_data ? ""
                        : mend    ? "; its data is lost"
                                  : "; its data cannot be read";

    check_corruption(c, mend, "%s: cluster at 0x%" PRIx64 " %s%s", name,
                     offset, defect, after);
    c->data_lost = c->data_lost || (mend && has_data);
    return c->s->has_zero_clusters ? QCOW2_ZERO : 0;
}

/* ---- Kinds of entries ---- */

static uint64_t check_compressed(Qcow2Check *c, const Entry *e)
{
    unsigned shift = 62 - (c->s->cluster_bits - 8);
    uint64_t entry = e->value;
    int64_t offset = (int64_t)(entry & ((UINT64_C(1) << shift) - 1));
    int64_t sectors = (int64_t)((entry & (QCOW2_COMPRESSED - 1)) >> shift) + 1;
    int64_t bytes = sectors * QCOW2_SECTOR_BYTES -
                    (offset & (QCOW2_SECTOR_BYTES - 1));
    const char *defect = data_defect(c, offset, bytes);

    if (defect != NULL) {
        return drop_entry(c, e, offset, defect, true);
    }
    if (entry & QCOW2_COPIED) {
        g_autofree char *name = entry_name(c, e);

        check_corruption(c, c->fix & BDRV_FIX_ERRORS,
                         "%s: a compressed cluster has the COPIED flag", name);
        entry &= ~QCOW2_COPIED;
    }
    check_count(c, offset, bytes, e->l2->all);
    c->result->allocated_clusters += (int64_t)e->l2->active;
    c->result->compressed_clusters += (int64_t)e->l2->active;
    c->result->fragmented_clusters += (int64_t)e->l2->active;
    return entry;
}

static uint64_t check_standard(Qcow2Check *c, const Entry *e, int64_t *next)
{
    const Qcow2State *s = c->s;
    uint64_t reserved = QCOW2_L2_RESERVED |
                        (s->has_zero_clusters ? 0 : QCOW2_ZERO);
    uint64_t entry = e->value;
    int64_t offset = (int64_t)(entry & QCOW2_L2_OFFSET);
    const char *defect = "is not aligned";

    if (entry & reserved) {
        g_autofree char *name = entry_name(c, e);

        check_corruption(c, c->fix & BDRV_FIX_ERRORS,
                         "%s has reserved bits set: 0x%" PRIx64, name, entry);
        entry &= ~reserved;
    }
    if (offset == 0) {
        return entry;
    }
    if (qcow2_in_cluster(s, offset) == 0) {
        defect = data_defect(c, offset, s->cluster_size);
    }
    if (defect != NULL) {
        return drop_entry(c, e, offset, defect, !(entry & QCOW2_ZERO));
    }
    check_count(c, offset, s->cluster_size, e->l2->all);
    c->result->allocated_clusters += (int64_t)e->l2->active;
    if (*next != 0 && *next != offset) {
        c->result->fragmented_clusters += (int64_t)e->l2->active;
    }
    *next = offset + s->cluster_size;
    return entry;
}

/* ---- Tables ---- */

static void check_table(Qcow2Check *c, const CheckL2 *l2, be64 *table)
{
    uint32_t entries = 1u << c->s->l2_bits;
    bool changed = false;
    int64_t next = 0; /* the end of the cluster before */
    bool zero;

    if (!check_read(c, l2->offset, c->s->cluster_size, table, &zero) || zero) {
        return;
    }
    for (uint32_t i = 0; i < entries && !c->no_memory; i++) {
        Entry e = { l2, i, be64_get(table[i]) };
        uint64_t sound = e.value;

        if (e.value & QCOW2_COMPRESSED) {
            sound = check_compressed(c, &e);
        } else if (e.value != 0) {
            sound = check_standard(c, &e, &next);
        }
        changed = changed || sound != e.value;
        be64_put(&table[i], sound);
    }
    if (changed && (c->fix & BDRV_FIX_ERRORS)) {
        check_write(c, l2->offset, c->s->cluster_size, table);
    }
}

void check_l2_tables(Qcow2Check *c)
{
    g_autoptr(GPtrArray) tables = check_sorted_l2(c);
    g_autofree be64 *table = g_malloc((size_t)c->s->cluster_size);

    for (guint i = 0; i < tables->len && !c->no_memory; i++) {
        check_table(c, g_ptr_array_index(tables, i), table);
    }
}
