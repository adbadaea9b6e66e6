/* SPDX-License-Identifier: MIT */
/*
 * L1 and L2, looked up: where the cluster of a guest offset is.
 *
 * The L1 table is in memory, whole. L2 tables are read in slices through
 * l2_cache. An image may come from anybody: an entry is checked whenever it is
 * decoded, so nothing behind this file sees an offset that is not one of a
 * cluster. What lies past the end of the file reads as zeroes, tables too.
 */
#include "block/qcow2/qcow2-data.h"

#include <errno.h>
#include <inttypes.h>

#include "util/bytes.h"

static int bad_entry(Qcow2State *s, int64_t offset, uint64_t entry,
                     const char *what)
{
    return qcow2_corrupt(
        s, "the L2 entry %#" PRIx64 " of guest offset %#" PRIx64 " %s", entry,
        (uint64_t)offset, what);
}

static int decode_compressed(Qcow2State *s, int64_t offset, uint64_t entry,
                             Qcow2Mapping *m)
{
    unsigned shift = qcow2_compressed_shift(s);
    uint64_t host = entry & ((UINT64_C(1) << shift) - 1);
    uint64_t more = (entry & (QCOW2_COMPRESSED - 1)) >> shift;

    if (entry & QCOW2_COPIED) {
        return bad_entry(s, offset, entry,
                         "is compressed and marked as "
                         "copied");
    }
    m->type = QCOW2_COMPRESSED_CLUSTER;
    m->host_offset = (int64_t)host;
    m->host_bytes = ((int64_t)more + 1) * QCOW2_SECTOR_BYTES -
                    (m->host_offset & (QCOW2_SECTOR_BYTES - 1));
    m->copied = false;
    return 0;
}

int qcow2_entry_decode(Qcow2State *s, int64_t offset, uint64_t entry,
                       Qcow2Mapping *m)
{
    uint64_t reserved = QCOW2_L2_RESERVED |
                        (s->has_zero_clusters ? 0 : QCOW2_ZERO);

    m->bytes = s->cluster_size;
    m->host_bytes = 0;
    if (entry & QCOW2_COMPRESSED) {
        return decode_compressed(s, offset, entry, m);
    }
    m->host_offset = (int64_t)(entry & QCOW2_L2_OFFSET);
    if (entry & reserved) {
        return bad_entry(s, offset, entry, "has reserved bits set");
    }
    if (qcow2_in_cluster(s, m->host_offset) != 0) {
        return bad_entry(s, offset, entry, "is not aligned to a cluster");
    }
    m->copied = m->host_offset != 0 && (entry & QCOW2_COPIED) != 0;
    if (entry & QCOW2_ZERO) {
        m->type = m->host_offset ? QCOW2_ZERO_ALLOC : QCOW2_ZERO_PLAIN;
    } else {
        m->type = m->host_offset ? QCOW2_NORMAL : QCOW2_UNALLOCATED;
    }
    return 0;
}

int qcow2_l1_get(Qcow2State *s, int64_t offset, Qcow2L1Entry *l1)
{
    int64_t index = offset >> (s->cluster_bits + s->l2_bits);

    *l1 = (Qcow2L1Entry){ 0 };
    if (offset < 0 || index >= s->header.l1_size) {
        return qcow2_corrupt(s,
                             "the L1 table ends before guest offset "
                             "%#" PRIx64,
                             (uint64_t)offset);
    }
    uint64_t entry = s->l1[index];
    l1->index = (uint32_t)index;
    l1->table = (int64_t)(entry & QCOW2_L1_OFFSET);
    l1->copied = l1->table != 0 && (entry & QCOW2_COPIED) != 0;
    if ((entry & QCOW2_L1_RESERVED) || qcow2_in_cluster(s, l1->table) != 0) {
        return qcow2_corrupt(s,
                             "the L1 entry %#" PRIx64 " of guest offset "
                             "%#" PRIx64 " is not the offset of an L2 table",
                             entry, (uint64_t)offset);
    }
    return 0;
}

Qcow2SliceRef qcow2_slice_ref(const Qcow2State *s, int64_t table,
                              int64_t offset)
{
    int64_t in_table = (offset >> s->cluster_bits) &
                       ((INT64_C(1) << s->l2_bits) - 1);
    int64_t byte = in_table * QCOW2_ENTRY_BYTES;
    int64_t in_slice = byte & (s->l2_slice - 1);

    return (Qcow2SliceRef){
        .piece = table + (byte - in_slice),
        .first = in_slice / QCOW2_ENTRY_BYTES,
        .count = (s->l2_slice - in_slice) / QCOW2_ENTRY_BYTES,
    };
}

/*
 * Decode the entries from the first on while they make one run: the bits of
 * the next one are the same, its offset is the next. An entry that cannot be
 * ends the run before it; it is an error where a run begins with it.
 */
static int map_entries(Qcow2State *s, const be64 *entries, int64_t n,
                       int64_t offset, Qcow2Mapping *m)
{
    uint64_t entry = be64_get(entries[0]);
    int ret = qcow2_entry_decode(s, offset, entry, m);
    uint64_t step = 0;

    if (ret < 0 || m->type == QCOW2_COMPRESSED_CLUSTER) {
        return ret;
    }
    if (m->host_offset != 0) {
        step = (uint64_t)s->cluster_size;
        n = MIN(n, ((int64_t)QCOW2_MAX_HOST_OFFSET - m->host_offset) >>
                       s->cluster_bits);
    }
    for (int64_t i = 1; i < n; i++) {
        entry += step;
        if (be64_get(entries[i]) != entry) {
            break;
        }
        m->bytes += s->cluster_size;
    }
    return 0;
}

/* How far from offset on, which has none, there are no L2 tables; of `bytes`
 * bytes. */
static int64_t bytes_without_table(const Qcow2State *s, int64_t offset,
                                   int64_t bytes)
{
    unsigned bits = s->cluster_bits + s->l2_bits;
    int64_t index = (offset >> bits) + 1;
    int64_t end = MIN((offset + bytes - 1) >> bits,
                      (int64_t)s->header.l1_size - 1);

    while (index <= end && s->l1[index] == 0) {
        index++;
    }
    return MIN((index << bits) - offset, bytes);
}

int qcow2_map(Qcow2State *s, int64_t offset, int64_t bytes,
              Qcow2Mapping *mapping)
{
    int64_t skip = qcow2_in_cluster(s, offset);
    Qcow2L1Entry l1;
    void *slice;
    int ret = qcow2_l1_get(s, offset, &l1);

    *mapping = (Qcow2Mapping){ .type = QCOW2_UNALLOCATED };
    if (ret < 0) {
        return ret;
    }
    if (l1.table == 0) {
        mapping->bytes = bytes_without_table(s, offset, bytes);
        return 0;
    }
    Qcow2SliceRef ref = qcow2_slice_ref(s, l1.table, offset);
    ret = table_cache_get(s->l2_cache, ref.piece, &slice);
    if (ret < 0) {
        return ret;
    }
    int64_t n = (skip + bytes + s->cluster_size - 1) >> s->cluster_bits;
    n = MIN(n, ref.count);
    ret = map_entries(s, (const be64 *)slice + ref.first, n, offset, mapping);
    table_cache_put(s->l2_cache, slice);
    if (ret < 0) {
        return ret;
    }
    mapping->bytes = MIN(mapping->bytes - skip, bytes);
    if (mapping->type == QCOW2_NORMAL || mapping->type == QCOW2_ZERO_ALLOC) {
        mapping->host_offset += skip;
    }
    return 0;
}

int64_t qcow2_backing_left(Qcow2State *s, int64_t offset)
{
    const BdrvChild *backing = bdrv_backing(s->bs);

    if (backing == NULL) {
        return s->header.backing_file ? INT64_MAX : 0;
    }
    int64_t length = bdrv_getlength(bdrv_child_bs(backing));
    return offset < length ? qcow2_cluster_end(s, length) - offset : 0;
}
