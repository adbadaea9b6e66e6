/* SPDX-License-Identifier: MIT */
/*
 * L1 and L2. An L2 table is looked at in the pieces of the cache; what an
 * entry says is checked each time it is used, so a damaged table harms only
 * the clusters that it describes wrongly.
 */
#include <errno.h>
#include <inttypes.h>

#include "block/qcow/qcow.h"

static uint32_t l1_index(const QcowState *s, int64_t offset)
{
    return (uint32_t)(offset >> (s->header.cluster_bits + s->header.l2_bits));
}

/* Guest bytes that a piece of an L2 table describes. */
static int64_t piece_reach(const QcowState *s)
{
    return s->piece_bytes / 8 << s->header.cluster_bits;
}

static bool is_in_file(const QcowState *s, uint64_t offset, int64_t bytes)
{
    return offset < (uint64_t)s->end && bytes <= INT64_MAX - s->end &&
           !qcow_header_owns(&s->header, (int64_t)offset, bytes);
}

bool qcow_table_is_sound(const QcowState *s, uint64_t entry)
{
    return (entry & (uint64_t)(s->piece_bytes - 1)) == 0 &&
           is_in_file(s, entry, s->l2_bytes);
}

bool qcow_entry_decode(const QcowState *s, uint64_t entry,
                       QcowMapping *mapping)
{
    unsigned offset_bits = 63 - s->header.cluster_bits;

    *mapping = (QcowMapping){ .bytes = s->cluster_size };
    if (entry == 0) {
        return true;
    }
    if (entry & QCOW_COMPRESSED_BIT) {
        mapping->type = QCOW_COMPRESSED;
        mapping->host_offset = (int64_t)(entry &
                                         ((UINT64_C(1) << offset_bits) - 1));
        mapping->host_bytes = (int64_t)(entry >> offset_bits) &
                              (s->cluster_size - 1);
        return mapping->host_bytes > 0 &&
               is_in_file(s, (uint64_t)mapping->host_offset,
                          mapping->host_bytes) &&
               mapping->host_bytes <= s->end - mapping->host_offset;
    }
    mapping->type = QCOW_NORMAL;
    mapping->host_offset = (int64_t)entry;
    return entry % QCOW_SECTOR == 0 && is_in_file(s, entry, s->cluster_size) &&
           s->cluster_size <= s->end - mapping->host_offset;
}

/* The offset of the L2 table; 0: none. */
static int find_table(const QcowState *s, int64_t offset, int64_t *table)
{
    uint64_t entry = s->l1[l1_index(s, offset)];

    if (entry != 0 && !qcow_table_is_sound(s, entry)) {
        bdrv_set_io_error("The image of node '%s' is damaged: there is no L2 "
                          "table at offset %" PRIu64,
                          bdrv_node_name(s->bs), entry);
        return -EIO;
    }
    *table = (int64_t)entry;
    return 0;
}

/* The piece of the table with the entry of offset, pinned, and the index of
 * that entry in it. */
static int get_piece(QcowState *s, int64_t table, int64_t offset, be64 **piece,
                     size_t *index)
{
    int64_t number = offset >> s->header.cluster_bits;
    int64_t at = table +
                 (number & ((INT64_C(1) << s->header.l2_bits) - 1)) * 8;
    int64_t start = at & ~(s->piece_bytes - 1);
    void *data = NULL;
    int ret = table_cache_get(s->l2_cache, start, &data);

    *piece = data;
    *index = (size_t)(at - start) / 8;
    return ret;
}

static int damaged_entry(const QcowState *s, int64_t offset, uint64_t entry)
{
    bdrv_set_io_error(
        "The image of node '%s' is damaged: the L2 entry for "
        "guest offset %" PRId64 " is %#" PRIx64 ", which names no cluster",
        bdrv_node_name(s->bs), qcow_cluster_start(s, offset), entry);
    return -EIO;
}

/* Whether `next` goes on where the run ends. */
static bool continues(const QcowMapping *run, const QcowMapping *next)
{
    return run->type == next->type && run->type != QCOW_COMPRESSED &&
           (run->type == QCOW_UNALLOCATED ||
            run->host_offset + run->bytes == next->host_offset);
}

/* The run of entries of one piece, from the one of offset on. */
static int map_piece(QcowState *s, int64_t table, int64_t offset,
                     int64_t bytes, QcowMapping *run)
{
    int64_t skip = offset & (s->cluster_size - 1);
    be64 *piece;
    size_t index;
    int ret = get_piece(s, table, offset, &piece, &index);

    if (ret < 0) {
        return ret;
    }
    if (!qcow_entry_decode(s, be64_get(piece[index]), run)) {
        ret = damaged_entry(s, offset, be64_get(piece[index]));
        table_cache_put(s->l2_cache, piece);
        return ret;
    }
    size_t end = (size_t)s->piece_bytes / 8;
    while (++index < end && run->bytes - skip < bytes) {
        QcowMapping next;

        if (!qcow_entry_decode(s, be64_get(piece[index]), &next) ||
            !continues(run, &next)) {
            break;
        }
        run->bytes += next.bytes;
    }
    table_cache_put(s->l2_cache, piece);
    run->bytes -= skip;
    run->host_offset += run->type == QCOW_NORMAL ? skip : 0;
    return 0;
}

/* The run in one piece, or in one L2 table that is not there. */
static int map_part(QcowState *s, int64_t offset, int64_t bytes,
                    QcowMapping *run)
{
    int64_t table = 0;
    int ret = find_table(s, offset, &table);

    if (ret == 0 && table == 0) {
        *run = (QcowMapping){ .type = QCOW_UNALLOCATED,
                              .bytes = qcow_table_end(s, offset) - offset };
    } else if (ret == 0) {
        ret = map_piece(s, table, offset, bytes, run);
    }
    run->bytes = MIN(run->bytes, bytes);
    return ret;
}

int qcow_map(QcowState *s, int64_t offset, int64_t bytes, QcowMapping *mapping)
{
    int ret;

    *mapping = (QcowMapping){ 0 };
    bytes = MIN(bytes, s->header.size - offset);
    ret = map_part(s, offset, bytes, mapping);
    while (ret == 0 && mapping->bytes < bytes) {
        QcowMapping next = { 0 };
        int64_t end = offset + mapping->bytes;

        /* A failure is that of whoever asks for this part. */
        if (end % piece_reach(s) != 0 ||
            map_part(s, end, bytes - mapping->bytes, &next) < 0 ||
            !continues(mapping, &next)) {
            break;
        }
        mapping->bytes += next.bytes;
    }
    return ret;
}

int qcow_table_prepare(QcowState *s, int64_t offset)
{
    int64_t table = 0;
    int ret = find_table(s, offset, &table);

    if (ret < 0 || table != 0) {
        return ret;
    }
    table = qcow_alloc(s, s->l2_bytes, MAX(s->cluster_size, s->piece_bytes));
    if (table < 0) {
        return (int)table;
    }
    /* The file has to reach behind the table before anything names it: room
     * is found by the length of the file. */
    ret = bdrv_pwrite_zeroes(s->file, table, s->l2_bytes, 0);
    if (ret < 0) {
        qcow_alloc_undo(s, table, s->l2_bytes);
        return ret;
    }
    qcow_l1_set(s, l1_index(s, offset), (uint64_t)table);
    return 0;
}

int qcow_table_set(QcowState *s, int64_t offset, int64_t bytes, uint64_t entry,
                   uint64_t step)
{
    int64_t end = offset + bytes;
    int64_t table = 0;
    int ret = find_table(s, offset, &table);

    assert(ret < 0 || table != 0);
    while (ret == 0 && offset < end) {
        be64 *piece;
        size_t index;

        ret = get_piece(s, table, offset, &piece, &index);
        if (ret < 0) {
            break;
        }
        for (; offset < end && index < (size_t)s->piece_bytes / 8; index++) {
            be64_put(&piece[index], entry);
            entry += step;
            offset += s->cluster_size;
        }
        table_cache_dirty(s->l2_cache, piece);
        table_cache_put(s->l2_cache, piece);
    }
    return ret;
}
