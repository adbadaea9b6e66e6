/* SPDX-License-Identifier: MIT */
/*
 * Cutting off the end of the file.
 *
 * Refcount blocks stand among what they describe, or in what another block
 * describes. Blocks at the end that describe nothing but each other would keep
 * the file long, so they go first: their entries in the table become 0,
 * durably, and with that the clusters that they describe have no refcounts.
 */
#include "block/qcow2/qcow2-resize.h"

/* Clusters by index to the block that stands there (+ 1). */
static GHashTable *find_homes(const Qcow2State *s)
{
    GHashTable *homes = g_hash_table_new_full(g_int64_hash, g_int64_equal,
                                              g_free, NULL);

    for (uint32_t i = 0; i < s->reftable_size; i++) {
        if (s->reftable[i] != 0) {
            int64_t *home = g_new(int64_t, 1);

            *home = (int64_t)s->reftable[i] >> s->cluster_bits;
            g_hash_table_replace(homes, home, GUINT_TO_POINTER(i + 1));
        }
    }
    return homes;
}

/* Whether what the block describes are blocks alone; *lowest: the first of
 * them, if that is less. */
static bool has_only_blocks(Qcow2State *s, GHashTable *homes, int64_t block,
                            int64_t *lowest)
{
    int64_t at = block << qcow2_refblock_bits(s);
    int64_t end = (block + 1) << qcow2_refblock_bits(s);

    while (at < end) {
        uint64_t refcount;
        int64_t run;

        if (qcow2_refcount_run(s, at, end - at, &refcount, &run) < 0) {
            return false;
        }
        for (int64_t i = at; i < at + run && refcount != 0; i++) {
            guint home = GPOINTER_TO_UINT(g_hash_table_lookup(homes, &i));

            if (home == 0 || refcount != 1) {
                return false;
            }
            *lowest = MIN(*lowest, (int64_t)home - 1);
        }
        at += run;
    }
    return true;
}

/* From this block on, all describe nothing but each other. */
static int64_t find_needless(Qcow2State *s)
{
    g_autoptr(GHashTable) homes = find_homes(s);
    int64_t needless = s->reftable_size;
    int64_t lowest = INT64_MAX;

    for (int64_t i = s->reftable_size; i-- > 0;) {
        if (s->reftable[i] != 0 && !has_only_blocks(s, homes, i, &lowest)) {
            break;
        }
        if (lowest >= i) {
            needless = i;
        }
    }
    return needless;
}

/* A block that the table does not name any more. */
static void forget_block(Qcow2State *s, int64_t offset, int64_t first)
{
    int64_t home = offset >> s->cluster_bits;

    if (home >> qcow2_refblock_bits(s) < first) {
        qcow2_free_now(s, offset, s->cluster_size);
    } else {
        /* Its refcount went with the block that had it. */
        table_cache_drop(s->refcount_cache, offset, s->cluster_size);
        qcow2_overlap_remove(s, offset, s->cluster_size);
    }
}

/* Write entries of the table from `first` on. */
static int write_entries(Qcow2State *s, int64_t first, const uint64_t *entries)
{
    int ret = bdrv_pwrite(s->file, s->header.refcount_table_offset + first * 8,
                          (s->reftable_size - first) * 8, entries, 0);

    return ret < 0 ? ret : bdrv_flush(bdrv_child_bs(s->file));
}

static void drop_blocks(Qcow2State *s, int64_t first)
{
    int64_t n = s->reftable_size - first;
    g_autofree uint64_t *entries = g_try_new0(uint64_t, n);

    if (n == 0 || entries == NULL) {
        return;
    }
    if (write_entries(s, first, entries) < 0) {
        /* What the table says now is not known: it shall say what it said,
         * before anything relies on it (qcow2_reftable_settle()). */
        qcow2_reftable_set_dirty(s, (uint32_t)first, s->reftable_size);
        return;
    }
    for (int64_t i = first; i < s->reftable_size; i++) {
        int64_t offset = (int64_t)s->reftable[i];

        s->reftable[i] = 0;
        if (offset != 0) {
            forget_block(s, offset, first);
        }
    }
}

/* The end of the last cluster that is in use, in bytes; -1: not known. */
static int64_t used_end(Qcow2State *s, int64_t length)
{
    int64_t at = qcow2_cluster_end(s, length) >> s->cluster_bits;
    uint64_t refcount = 0;

    /* A file may be so long that going through it takes days. */
    at = MIN(at, (int64_t)s->reftable_size << qcow2_refblock_bits(s));
    while (refcount == 0) {
        int64_t block = --at >> qcow2_refblock_bits(s);

        /* The header is always in use. */
        if (at < 0 || qcow2_refcount_get(s, at, &refcount) < 0) {
            return -1;
        }
        if (block >= s->reftable_size || s->reftable[block] == 0) {
            at = block << qcow2_refblock_bits(s);
        }
    }
    return (at + 1) << s->cluster_bits;
}

void qcow2_shrink_file(Qcow2State *s)
{
    int64_t length = bdrv_getlength(bdrv_child_bs(s->file));

    drop_blocks(s, find_needless(s));
    int64_t end = used_end(s, length);
    /* A table that was moved to the end stays there. */
    if (length < 0 || end < 0 || end >= length ||
        qcow2_write_back_all(s) < 0 ||
        bdrv_truncate(s->file, end, false, PREALLOC_MODE_OFF, NULL) < 0) {
        return;
    }
    length = bdrv_getlength(bdrv_child_bs(s->file));
    if (length >= 0) {
        s->fresh_offset = qcow2_cluster_end(s, length);
    }
}
