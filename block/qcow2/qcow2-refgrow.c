/* SPDX-License-Identifier: MIT */
/*
 * Making refcount blocks, and a larger refcount table. Both have to be
 * described by refcounts themselves:
 *
 *   a block    describes its own cluster if that lies in its reach (else a
 *              raised refcount in another block is made durable first). It is
 *              written at once, its entry in the table later.
 *   a table    goes to a new area behind everything that has refcounts, with
 *              the blocks that describe the area. The area is written and
 *              flushed, then the header names it, then the old table is free.
 *
 * qcow2_reftable_settle() writes entries and header, before anything on the
 * disk relies on them: before L2 tables are written. So many blocks share one
 * flush; and it does not matter that after a failed write nobody knows which
 * table the header names, for both serve until then.
 */
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include "block/qcow2/qcow2-host.h"
#include "util/bytes.h"

static int64_t block_reach(const Qcow2State *s)
{
    return INT64_C(1) << qcow2_refblock_bits(s);
}

/* Clusters are about to be written with metadata, past all caches. */
static int claim(Qcow2State *s, int64_t offset, int64_t bytes)
{
    int ret = qcow2_overlap_check(s, offset, bytes);

    if (ret == 0) {
        table_cache_drop(s->refcount_cache, offset, bytes);
        table_cache_drop(s->l2_cache, offset, bytes);
        s->fresh_offset = MAX(s->fresh_offset, offset + bytes);
    }
    return ret;
}

static int write_durably(Qcow2State *s, int64_t offset, int64_t bytes,
                         const void *buf)
{
    int ret = bdrv_pwrite(s->file, offset, bytes, buf, 0);

    return ret < 0 ? ret : bdrv_flush(bdrv_child_bs(s->file));
}

/* ---- A larger table ---- */

/* Where it will be: clusters by index, `blocks` of them refcount blocks for
 * the whole area, from number first_block on; then the table. */
typedef struct NewArea {
    int64_t start;
    int64_t first_block;
    int64_t blocks, table; /* clusters */
} NewArea;

/* The smallest area at start with room for so many entries and its own. */
static int plan_area(const Qcow2State *s, int64_t start, int64_t entries,
                     NewArea *area)
{
    int64_t entry_limit = QCOW2_MAX_REFTABLE_BYTES / 8;
    int64_t per_cluster = s->cluster_size / 8;

    *area = (NewArea){ .start = start,
                       .first_block = start >> qcow2_refblock_bits(s) };
    for (;;) {
        if (entries > entry_limit) {
            bdrv_set_io_error("The image cannot grow: its refcount table has "
                              "the largest size that is supported");
            return -EFBIG;
        }
        area->table = (entries + per_cluster - 1) / per_cluster;
        int64_t end = start + area->blocks + area->table;
        int64_t last = (end - 1) >> qcow2_refblock_bits(s);

        if (area->blocks > last - area->first_block &&
            area->table * per_cluster > last) {
            break;
        }
        area->blocks = last - area->first_block + 1;
        entries = MAX(entries, last + 1);
    }
    if (start + area->blocks + area->table >
        (int64_t)(QCOW2_MAX_HOST_OFFSET >> s->cluster_bits)) {
        return -EFBIG;
    }
    return 0;
}

/* The area as it will stand on the disk. NULL: no memory. */
static uint8_t *fill_area(const Qcow2State *s, const NewArea *area,
                          const uint64_t *table)
{
    int64_t clusters = area->blocks + area->table;
    uint8_t *buf = g_try_malloc0((gsize)(clusters * s->cluster_size));

    if (buf == NULL) {
        return NULL;
    }
    for (int64_t i = 0; i < clusters; i++) {
        int64_t cluster = area->start + i;
        int64_t block = (cluster >> qcow2_refblock_bits(s)) -
                        area->first_block;

        qcow2_refcount_store(s, buf + block * s->cluster_size,
                             cluster & (block_reach(s) - 1), 1);
    }
    be64 *disk = (be64 *)(buf + area->blocks * s->cluster_size);
    for (int64_t i = 0; i < area->table * s->cluster_size / 8; i++) {
        be64_put(disk + i, table[i]);
    }
    return buf;
}

/* The table with the area's blocks in it, in memory. NULL: no memory. */
static uint64_t *fill_table(const Qcow2State *s, const NewArea *area)
{
    int64_t bytes = area->table * s->cluster_size;
    uint64_t *table = g_try_malloc0((gsize)bytes);

    if (table == NULL) {
        return NULL;
    }
    memcpy(table, s->reftable, (size_t)s->reftable_size * 8);
    for (int64_t i = 0; i < area->blocks; i++) {
        table[area->first_block + i] = (uint64_t)(area->start + i)
                                       << s->cluster_bits;
    }
    return table;
}

static bool entries_are_dirty(const Qcow2State *s)
{
    return s->reftable_dirty_first < s->reftable_dirty_end;
}

void qcow2_reftable_set_dirty(Qcow2State *s, uint32_t first, uint32_t end)
{
    if (!entries_are_dirty(s)) {
        s->reftable_dirty_first = first;
    }
    s->reftable_dirty_first = MIN(s->reftable_dirty_first, first);
    s->reftable_dirty_end = MAX(s->reftable_dirty_end, end);
}

/* Blocks first, then the entries that name them. */
static int settle_entries(Qcow2State *s)
{
    uint32_t first = s->reftable_dirty_first;
    uint32_t n = s->reftable_dirty_end - first;
    g_autofree be64 *disk = g_try_new(be64, n);

    if (disk == NULL) {
        return -ENOMEM;
    }
    int ret = table_cache_write(s->refcount_cache);
    if (ret == 0) {
        ret = bdrv_flush(bdrv_child_bs(s->file));
    }
    if (ret < 0) {
        return ret;
    }
    for (uint32_t i = 0; i < n; i++) {
        be64_put(&disk[i], s->reftable[first + i]);
    }
    ret = bdrv_pwrite(s->file,
                      s->header.refcount_table_offset + (int64_t)first * 8,
                      (int64_t)n * 8, disk, 0);
    if (ret == 0) {
        s->reftable_dirty_first = s->reftable_dirty_end = 0;
    }
    return ret;
}

static int settle_header(Qcow2State *s)
{
    struct __attribute__((packed)) {
        be64 offset;
        be32 clusters;
    } field;

    be64_put(&field.offset, (uint64_t)s->header.refcount_table_offset);
    be32_put(&field.clusters, s->header.refcount_table_clusters);
    int ret = write_durably(s,
                            offsetof(Qcow2DiskHeader, refcount_table_offset),
                            sizeof(field), &field);
    if (ret == 0) {
        Qcow2Free old = s->old_reftable;

        s->old_reftable.bytes = 0;
        qcow2_free_now(s, old.offset, old.bytes);
    }
    return ret;
}

int qcow2_reftable_settle(Qcow2State *s)
{
    int ret = 0;

    if (entries_are_dirty(s)) {
        ret = settle_entries(s);
    }
    if (ret == 0 && s->old_reftable.bytes > 0) {
        ret = settle_header(s);
    }
    return ret;
}

/* Use the area that was written. */
static void switch_table(Qcow2State *s, const NewArea *area, uint64_t *table)
{
    s->old_reftable = (Qcow2Free){
        .offset = s->header.refcount_table_offset,
        .bytes = (int64_t)s->header.refcount_table_clusters << s->cluster_bits,
    };
    s->header.refcount_table_offset = (area->start + area->blocks)
                                      << s->cluster_bits;
    s->header.refcount_table_clusters = (uint32_t)area->table;
    g_free(s->reftable);
    s->reftable = table;
    s->reftable_size = (uint32_t)(area->table * s->cluster_size / 8);
    s->reftable_dirty_first = s->reftable_dirty_end = 0; /* it has them */
    qcow2_overlap_add(s, area->start << s->cluster_bits,
                      (area->blocks + area->table) << s->cluster_bits);
}

/* Let the table have an entry for `block`, with nothing new before cluster
 * `after`. */
static int grow_table(Qcow2State *s, int64_t block, int64_t after)
{
    int64_t covered = (int64_t)s->reftable_size << qcow2_refblock_bits(s);
    int64_t entries = MIN((int64_t)s->reftable_size * 3 / 2,
                          QCOW2_MAX_REFTABLE_BYTES / 8);
    NewArea area;
    int ret = plan_area(s, MAX(covered, after), MAX(entries, block + 1),
                        &area);

    if (ret == 0) {
        ret = qcow2_reftable_settle(s);
    }
    if (ret < 0) {
        return ret;
    }
    int64_t offset = area.start << s->cluster_bits;
    int64_t bytes = (area.blocks + area.table) << s->cluster_bits;
    g_autofree uint64_t *table = fill_table(s, &area);
    g_autofree uint8_t *buf = table ? fill_area(s, &area, table) : NULL;
    if (buf == NULL) {
        return -ENOMEM;
    }
    ret = claim(s, offset, bytes);
    if (ret == 0) {
        ret = write_durably(s, offset, bytes, buf);
    }
    if (ret == 0) {
        switch_table(s, &area, g_steal_pointer(&table));
    }
    return ret;
}

/* ---- A block ---- */

/* Write refcount block number `block` into the cluster `home`, which it
 * describes itself if it can. */
static int write_block(Qcow2State *s, int64_t block, int64_t home)
{
    int64_t offset = home << s->cluster_bits;
    g_autofree uint8_t *buf = g_try_malloc0((gsize)s->cluster_size);

    if (buf == NULL) {
        return -ENOMEM;
    }
    if (home >> qcow2_refblock_bits(s) == block) {
        qcow2_refcount_store(s, buf, home & (block_reach(s) - 1), 1);
    }
    int ret = claim(s, offset, s->cluster_size);
    if (ret == 0) {
        ret = bdrv_pwrite(s->file, offset, s->cluster_size, buf, 0);
    }
    if (ret < 0) {
        return ret;
    }
    s->reftable[block] = (uint64_t)offset;
    qcow2_reftable_set_dirty(s, (uint32_t)block, (uint32_t)block + 1);
    qcow2_overlap_add(s, offset, s->cluster_size);
    return 0;
}

/* The first free cluster from `from` on in the reach of its block, which is
 * there; -ENOSPC: none. */
static int64_t find_in_block(Qcow2State *s, int64_t from)
{
    int64_t end = (from | (block_reach(s) - 1)) + 1;

    while (from < end) {
        uint64_t refcount;
        int64_t run;
        int ret = qcow2_refcount_run(s, from, end - from, &refcount, &run);

        if (ret < 0 || refcount == 0) {
            return ret < 0 ? ret : from;
        }
        from += run;
    }
    return -ENOSPC;
}

/*
 * A cluster for a block whose own reach is taken: the first free one from
 * `from` on, with refcount 1, durable.
 */
static int64_t find_home(Qcow2State *s, int64_t from)
{
    int64_t home = -ENOSPC;

    while (home == -ENOSPC) {
        int64_t block = from >> qcow2_refblock_bits(s);
        int ret = 0;

        if (block >= s->reftable_size) {
            ret = grow_table(s, block, from);
        }
        if (ret == 0 && s->reftable[block] == 0) {
            /* Its first cluster that may be used becomes the block itself. */
            ret = write_block(s, block, from);
        }
        if (ret < 0) {
            return ret;
        }
        home = find_in_block(s, from);
        from = (block + 1) << qcow2_refblock_bits(s);
    }
    if (home < 0) {
        return home;
    }
    int ret = qcow2_refcount_add(s, home, 1, 1);
    if (ret == 0) {
        ret = table_cache_write(s->refcount_cache);
    }
    if (ret == 0) {
        ret = qcow2_reftable_settle(s);
    }
    if (ret == 0) {
        ret = bdrv_flush(bdrv_child_bs(s->file));
    }
    return ret < 0 ? ret : home;
}

static int make_block(Qcow2State *s, int64_t block, int64_t first, int64_t end)
{
    int64_t start = block << qcow2_refblock_bits(s);
    int64_t home = start < first || start >= end ? start : end;

    if (home >> qcow2_refblock_bits(s) != block) {
        home = find_home(s, end);
        if (home < 0) {
            return (int)home;
        }
    }
    /* Looking for a home may have made a table with this very block. */
    return s->reftable[block] != 0 ? 0 : write_block(s, block, home);
}

int qcow2_refblocks_make(Qcow2State *s, int64_t cluster, int64_t n)
{
    int64_t end = cluster + n;
    int64_t last = (end - 1) >> qcow2_refblock_bits(s);
    int ret = 0;

    if (end > (int64_t)(QCOW2_MAX_HOST_OFFSET >> s->cluster_bits)) {
        bdrv_set_io_error("The image cannot grow beyond what its tables can "
                          "refer to: 0x%" PRIx64 " bytes",
                          QCOW2_MAX_HOST_OFFSET);
        return -EFBIG;
    }
    if (last >= s->reftable_size) {
        ret = grow_table(s, last, end);
    }
    for (int64_t block = cluster >> qcow2_refblock_bits(s);
         block <= last && ret == 0; block++) {
        if (s->reftable[block] == 0) {
            ret = make_block(s, block, cluster, end);
        }
    }
    return ret;
}
