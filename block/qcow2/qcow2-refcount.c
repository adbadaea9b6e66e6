/* SPDX-License-Identifier: MIT */
/*
 * Refcounts. The refcount table names refcount blocks of one cluster each; a
 * block holds as many refcounts as fit. A cluster whose block is missing, or
 * that is beyond the table, has refcount 0.
 *
 * Blocks are read and written in slices. Everything here works on one slice
 * at a time, so that a range of clusters costs one look into the cache for
 * each slice it touches.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "block/qcow2/qcow2-host.h"
#include "util/bytes.h"

/* ---- One refcount in memory ---- */

static uint64_t entry_load(const uint8_t *slice, int64_t i, unsigned order)
{
    unsigned bits, shift;

    switch (order) {
    case 3:
        return slice[i];
    case 4:
        return be16_get(((const be16 *)slice)[i]);
    case 5:
        return be32_get(((const be32 *)slice)[i]);
    case 6:
        return be64_get(((const be64 *)slice)[i]);
    default:
        bits = 1u << order;
        shift = (unsigned)(i & ((8 >> order) - 1)) << order;
        return slice[i >> (3 - order)] >> shift & ((1u << bits) - 1);
    }
}

static void entry_store(uint8_t *slice, int64_t i, unsigned order,
                        uint64_t value)
{
    unsigned bits, shift, mask;

    switch (order) {
    case 3:
        slice[i] = (uint8_t)value;
        break;
    case 4:
        be16_put((be16 *)slice + i, (uint16_t)value);
        break;
    case 5:
        be32_put((be32 *)slice + i, (uint32_t)value);
        break;
    case 6:
        be64_put((be64 *)slice + i, value);
        break;
    default:
        bits = 1u << order;
        shift = (unsigned)(i & ((8 >> order) - 1)) << order;
        mask = ((1u << bits) - 1) << shift;
        slice += i >> (3 - order);
        *slice = (uint8_t)((*slice & ~mask) | (unsigned)value << shift);
        break;
    }
}

void qcow2_refcount_store(const Qcow2State *s, void *block, int64_t i,
                          uint64_t refcount)
{
    entry_store(block, i, s->refcount_order, refcount);
}

uint64_t qcow2_refcount_load(const Qcow2State *s, const void *block, int64_t i)
{
    return entry_load(block, i, s->refcount_order);
}

/* ---- Slices ---- */

/* A part of a range of clusters that one slice describes. */
typedef struct SlicePart {
    uint8_t *slice; /* pinned; NULL: there is no block, refcounts are 0 */
    int64_t first;  /* the entry in the slice */
    int64_t n;
} SlicePart;

static int get_part(Qcow2State *s, int64_t cluster, int64_t n, SlicePart *part)
{
    int64_t in_slice = s->refblock_slice * 8 >> s->refcount_order;
    int64_t in_block = INT64_C(1) << qcow2_refblock_bits(s);
    int64_t block = cluster >> qcow2_refblock_bits(s);
    int64_t index = cluster & (in_block - 1);
    void *slice;

    *part = (SlicePart){ .first = index & (in_slice - 1) };
    part->n = MIN(n, in_slice - part->first);
    if (block >= s->reftable_size) {
        part->n = n;
        return 0;
    }
    uint64_t entry = s->reftable[block];
    if (entry == 0) {
        part->n = MIN(n, in_block - index);
        return 0;
    }
    if (!qcow2_reftable_entry_is_valid(s, entry)) {
        return qcow2_corrupt(s,
                             "refcount table entry %" PRId64
                             " is not the offset of a cluster: 0x%" PRIx64,
                             block, entry);
    }
    int64_t skip = (index - part->first) << s->refcount_order >> 3;
    int ret = table_cache_get(s->refcount_cache, (int64_t)entry + skip,
                              &slice);
    part->slice = ret == 0 ? slice : NULL;
    return ret;
}

static void put_part(Qcow2State *s, const SlicePart *part)
{
    if (part->slice != NULL) {
        table_cache_put(s->refcount_cache, part->slice);
    }
}

/* ---- Looking up ---- */

int qcow2_refcount_get(Qcow2State *s, int64_t cluster, uint64_t *refcount)
{
    SlicePart part;
    int ret = get_part(s, cluster, 1, &part);

    if (ret < 0) {
        return ret;
    }
    *refcount = 0;
    if (part.slice != NULL) {
        *refcount = entry_load(part.slice, part.first, s->refcount_order);
        put_part(s, &part);
    }
    return 0;
}

/* How many entries at the beginning of the part are used; are `refcount`. */
static int64_t count_used(const SlicePart *part, unsigned order)
{
    int64_t i = 0;

    while (part->slice != NULL && i < part->n &&
           entry_load(part->slice, part->first + i, order) != 0) {
        i++;
    }
    return i;
}

static int64_t count_equal(const SlicePart *part, unsigned order,
                           uint64_t refcount)
{
    int64_t i = 0;

    if (part->slice == NULL) {
        return refcount == 0 ? part->n : 0;
    }
    while (i < part->n &&
           entry_load(part->slice, part->first + i, order) == refcount) {
        i++;
    }
    return i;
}

int qcow2_refcount_skip_used(Qcow2State *s, int64_t *cluster)
{
    SlicePart part;
    int64_t used;

    do {
        int ret = get_part(s, *cluster, INT64_MAX - *cluster, &part);

        if (ret < 0) {
            return ret;
        }
        used = count_used(&part, s->refcount_order);
        *cluster += used;
        put_part(s, &part);
    } while (used == part.n);
    return 0;
}

int qcow2_refcount_run(Qcow2State *s, int64_t cluster, int64_t n,
                       uint64_t *refcount, int64_t *run)
{
    bool ended = false;

    for (*run = 0; *run < n && !ended;) {
        SlicePart part;
        int ret = get_part(s, cluster + *run, n - *run, &part);

        if (ret < 0) {
            return ret;
        }
        if (*run == 0) {
            *refcount = part.slice == NULL ? 0
                                           : entry_load(part.slice, part.first,
                                                        s->refcount_order);
        }
        int64_t found = count_equal(&part, s->refcount_order, *refcount);
        ended = found < part.n;
        *run += found;
        put_part(s, &part);
    }
    return 0;
}

/* ---- Changing ---- */

/* Whether delta can be added to every entry: 0 or -errno. */
static int check_part(Qcow2State *s, const SlicePart *part, int64_t cluster,
                      int delta)
{
    uint64_t amount = (uint64_t)ABS(delta);

    for (int64_t i = 0; i < part->n; i++) {
        uint64_t old = part->slice == NULL
                           ? 0
                           : entry_load(part->slice, part->first + i,
                                        s->refcount_order);

        if (delta < 0 && old < amount) {
            return qcow2_corrupt(s,
                                 "the cluster at offset 0x%" PRIx64
                                 " is in use, but its refcount is %" PRIu64,
                                 (cluster + i) << s->cluster_bits, old);
        }
        if (delta > 0 && s->refcount_max - old < amount) {
            return -ERANGE;
        }
    }
    return 0;
}

static void apply_part(Qcow2State *s, const SlicePart *part, int delta)
{
    assert(part->slice != NULL);
    for (int64_t i = part->first; i < part->first + part->n; i++) {
        uint64_t old = entry_load(part->slice, i, s->refcount_order);

        entry_store(part->slice, i, s->refcount_order,
                    old + (uint64_t)(int64_t)delta);
    }
    table_cache_dirty(s->refcount_cache, part->slice);
}

/* Check or apply over a range; *done clusters were done on an error, too. */
static int walk_range(Qcow2State *s, int64_t cluster, int64_t n, int delta,
                      bool check, bool apply, int64_t *done)
{
    int ret = 0;

    for (*done = 0; *done < n && ret == 0;) {
        SlicePart part;

        ret = get_part(s, cluster + *done, n - *done, &part);
        if (ret < 0) {
            break;
        }
        if (check) {
            ret = check_part(s, &part, cluster + *done, delta);
        }
        if (ret == 0 && apply) {
            apply_part(s, &part, delta);
        }
        *done += ret == 0 ? part.n : 0;
        put_part(s, &part);
    }
    return ret;
}

int qcow2_refcount_add(Qcow2State *s, int64_t cluster, int64_t n, int delta)
{
    int64_t in_slice = s->refblock_slice * 8 >> s->refcount_order;
    bool one = (cluster & (in_slice - 1)) + n <= in_slice;
    int64_t done, undone;
    int ret = 0;

    if (delta > 0) {
        ret = qcow2_refblocks_make(s, cluster, n);
    }
    if (ret == 0 && !one) {
        ret = walk_range(s, cluster, n, delta, true, false, &done);
    }
    if (ret < 0) {
        return ret;
    }
    ret = walk_range(s, cluster, n, delta, one, true, &done);
    if (ret < 0 && done > 0) {
        /* If this fails, too, some clusters have leaked. */
        (void)!walk_range(s, cluster, done, -delta, false, true, &undone);
    }
    return ret;
}

/* ---- The table ---- */

bool qcow2_reftable_entry_is_valid(const Qcow2State *s, uint64_t entry)
{
    return (entry & (uint64_t)(s->cluster_size - 1)) == 0 &&
           entry <= QCOW2_MAX_HOST_OFFSET - (uint64_t)s->cluster_size;
}

bool qcow2_reftable_read(Qcow2State *s, GError **errp)
{
    int64_t bytes = (int64_t)s->header.refcount_table_clusters
                    << s->cluster_bits;

    if (bytes > QCOW2_MAX_REFTABLE_BYTES) {
        block_error_set(errp, EFBIG,
                        "The refcount table is too large: %" PRId64
                        " bytes, at most %" PRId64 " are supported",
                        bytes, QCOW2_MAX_REFTABLE_BYTES);
        return false;
    }
    g_autofree uint64_t *table = g_try_malloc((gsize)MAX(bytes, 8));
    if (table == NULL) {
        block_error_set(errp, ENOMEM,
                        "No memory for a refcount table of %" PRId64 " bytes",
                        bytes);
        return false;
    }
    int ret = bdrv_pread(s->file, s->header.refcount_table_offset, bytes,
                         table, 0);
    if (ret < 0) {
        block_error_set_errno(errp, -ret, "Could not read the refcount table");
        return false;
    }
    uint32_t size = (uint32_t)(bytes / 8);
    for (uint32_t i = 0; i < size; i++) {
        table[i] = GUINT64_FROM_BE(table[i]);
        if (!qcow2_reftable_entry_is_valid(s, table[i]) &&
            !(bdrv_flags(s->bs) & BDRV_O_CHECK)) {
            block_error_set(errp, EINVAL,
                            "The image is corrupt: refcount table entry "
                            "%" PRIu32 " is not the offset of a cluster: "
                            "0x%" PRIx64 "; repair it with 'check -r all'",
                            i, table[i]);
            return false;
        }
    }
    g_free(s->reftable);
    s->reftable = g_steal_pointer(&table);
    s->reftable_size = size;
    s->reftable_dirty_first = s->reftable_dirty_end = 0;
    s->old_reftable.bytes = 0;
    s->free_hint = 0;
    memset(s->run_hints, 0, sizeof(s->run_hints));
    return true;
}
