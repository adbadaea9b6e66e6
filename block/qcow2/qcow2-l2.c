/* SPDX-License-Identifier: MIT */
/*
 * L1 and L2, changed, in memory: qcow2_write_back() brings the tables to the
 * disk in their order. The exception is a new L2 table: all of its cluster
 * must be right on the disk before the L1 table names it, and not all of it
 * is in the cache; so it is written whole when it is made.
 */
#include <errno.h>

#include "block/qcow2/qcow2-data.h"
#include "util/bytes.h"

void qcow2_l1_set(Qcow2State *s, uint32_t index, uint64_t entry)
{
    s->l1[index] = entry;
    if (s->l1_dirty_first == s->l1_dirty_end) {
        s->l1_dirty_first = index;
        s->l1_dirty_end = index + 1;
    } else {
        s->l1_dirty_first = MIN(s->l1_dirty_first, index);
        s->l1_dirty_end = MAX(s->l1_dirty_end, index + 1);
    }
}

/* ---- A table for a guest offset ---- */

/* A shared table is never dirty in the cache: it is not written. */
static int copy_table(Qcow2State *s, int64_t from, int64_t to)
{
    g_autofree void *buf = g_try_malloc((gsize)s->cluster_size);

    if (buf == NULL) {
        return -ENOMEM;
    }
    int ret = bdrv_pread(s->file, from, s->cluster_size, buf, 0);
    return ret < 0 ? ret : bdrv_pwrite(s->file, to, s->cluster_size, buf, 0);
}

/*
 * Write the contents of a new table. The slice that is asked for becomes dirty
 * in the cache, so that the file reaches into the table even if its other
 * bytes need not be written, and so that there is a flush before the L1 table.
 */
static int fill_table(Qcow2State *s, int64_t offset, int64_t from, int64_t to,
                      bool fresh)
{
    Qcow2SliceRef ref = qcow2_slice_ref(s, to, offset);
    void *slice;
    int ret = 0;

    table_cache_drop(s->l2_cache, to, s->cluster_size);
    if (from != 0) {
        ret = copy_table(s, from, to);
    } else if (!fresh) {
        ret = bdrv_pwrite_zeroes(s->file, to, s->cluster_size, 0);
    }
    if (ret == 0) {
        ret = from != 0
                  ? table_cache_get(s->l2_cache, ref.piece, &slice)
                  : table_cache_get_zeroed(s->l2_cache, ref.piece, &slice);
    }
    if (ret == 0) {
        table_cache_dirty(s->l2_cache, slice);
        table_cache_put(s->l2_cache, slice);
    }
    return ret;
}

int qcow2_l2_prepare(Qcow2State *s, int64_t offset)
{
    int64_t fresh_offset = s->fresh_offset;
    Qcow2L1Entry l1;
    int ret = qcow2_l1_get(s, offset, &l1);

    if (ret < 0 || l1.copied) {
        return ret;
    }
    int64_t table = qcow2_alloc_clusters(s, s->cluster_size);
    if (table < 0) {
        return (int)table;
    }
    ret = qcow2_overlap_check(s, table, s->cluster_size);
    if (ret == 0) {
        ret = fill_table(s, offset, l1.table, table, table >= fresh_offset);
    }
    if (ret < 0) {
        table_cache_drop(s->l2_cache, table, s->cluster_size);
        qcow2_free_now(s, table, s->cluster_size);
        return ret;
    }
    qcow2_overlap_add(s, table, s->cluster_size);
    qcow2_l1_set(s, l1.index, (uint64_t)table | QCOW2_COPIED);
    if (l1.table != 0) {
        qcow2_overlap_remove(s, l1.table, s->cluster_size);
        qcow2_free_later(s, l1.table, s->cluster_size);
    }
    return 0;
}

/* ---- Entries ---- */

/* References that entries lost, in one piece as far as possible. */
typedef struct Dropped {
    Qcow2State *s;
    int64_t offset, bytes;
} Dropped;

static void dropped_flush(Dropped *d)
{
    if (d->bytes > 0) {
        qcow2_free_later(d->s, d->offset, d->bytes);
    }
    d->bytes = 0;
}

static void dropped_add(Dropped *d, const Qcow2Mapping *old, uint64_t entry)
{
    bool compressed = old->type == QCOW2_COMPRESSED_CLUSTER;

    if (compressed) {
        dropped_flush(d);
        qcow2_free_later(d->s, old->host_offset, old->host_bytes);
        return;
    }
    if (old->host_offset == 0 ||
        (!(entry & QCOW2_COMPRESSED) &&
         (entry & QCOW2_L2_OFFSET) == (uint64_t)old->host_offset)) {
        return;
    }
    if (d->bytes == 0 || d->offset + d->bytes != old->host_offset) {
        dropped_flush(d);
        d->offset = old->host_offset;
    }
    d->bytes += d->s->cluster_size;
}

/* Whether the entry can be, and what it refers to may be given up: that of a
 * damaged image must not free a table. */
static int check_old(Qcow2State *s, int64_t offset, uint64_t entry)
{
    Qcow2Mapping old = { 0 };
    int ret = qcow2_entry_decode(s, offset, entry, &old);
    bool compressed = old.type == QCOW2_COMPRESSED_CLUSTER;

    /* Only that of a compressed one can be 0, and is the header's then. */
    if (ret < 0 || (old.host_offset == 0 && !compressed)) {
        return ret;
    }
    return qcow2_overlap_check(s, old.host_offset,
                               compressed ? old.host_bytes : s->cluster_size);
}

/* The entries of one slice: all are looked at before one is changed. */
static int set_entries(Qcow2State *s, be64 *entries, int64_t offset, int64_t n,
                       uint64_t entry, uint64_t step)
{
    Dropped dropped = { .s = s };
    Qcow2Mapping old;

    for (int64_t i = 0; i < n; i++) {
        int ret = check_old(s, offset + (i << s->cluster_bits),
                            be64_get(entries[i]));

        if (ret < 0) {
            return ret;
        }
    }
    for (int64_t i = 0; i < n; i++) {
        uint64_t value = entry + (uint64_t)i * step;
        int ret = qcow2_entry_decode(s, offset, be64_get(entries[i]), &old);

        g_assert(ret == 0);
        dropped_add(&dropped, &old, value);
        be64_put(&entries[i], value);
    }
    dropped_flush(&dropped);
    return 0;
}

int qcow2_l2_set(Qcow2State *s, int64_t offset, int64_t n, uint64_t entry,
                 uint64_t step, int64_t *done)
{
    *done = 0;
    while (*done < n) {
        int64_t at = offset + (*done << s->cluster_bits);
        Qcow2L1Entry l1;
        void *slice;
        int ret = qcow2_l2_prepare(s, at);

        if (ret < 0) {
            return ret;
        }
        ret = qcow2_l1_get(s, at, &l1);
        if (ret < 0) {
            return ret;
        }
        Qcow2SliceRef ref = qcow2_slice_ref(s, l1.table, at);
        int64_t part = MIN(n - *done, ref.count);

        ret = table_cache_get(s->l2_cache, ref.piece, &slice);
        if (ret < 0) {
            return ret;
        }
        ret = set_entries(s, (be64 *)slice + ref.first, at, part,
                          entry + (uint64_t)*done * step, step);
        if (ret == 0) {
            table_cache_dirty(s->l2_cache, slice);
            *done += part;
        }
        table_cache_put(s->l2_cache, slice);
        if (ret < 0) {
            return ret;
        }
    }
    return 0;
}
