/* SPDX-License-Identifier: MIT */
/*
 * Room in the file, and the way of the tables back into it.
 *
 * `end` is where the next table or cluster goes. It is the length of the file
 * when the image is opened, so a table must not be named before the file
 * reaches behind it; clusters are written whole before they are.
 */
#include <errno.h>
#include <inttypes.h>

#include "block/qcow/qcow.h"

/* Small enough for the offset of a compressed cluster, with room to count. */
#define MAX_FILE_BYTES(s) (INT64_C(1) << (62 - (s)->header.cluster_bits))

/* Of the L1 table, written at a time. */
#define L1_CHUNK 2048

/* A larger piece means less to look up, a smaller one less to write. */
#define MAX_PIECE_BYTES 4096

int64_t qcow_alloc(QcowState *s, int64_t bytes, int64_t alignment)
{
    if (s->end > MAX_FILE_BYTES(s) ||
        bytes > MAX_FILE_BYTES(s) - s->end - alignment) {
        bdrv_set_io_error("The image of node '%s' has become as large as its "
                          "format can hold",
                          bdrv_node_name(s->bs));
        return -EFBIG;
    }
    int64_t offset = (s->end + alignment - 1) & ~(alignment - 1);
    s->end = offset + bytes;
    return offset;
}

void qcow_alloc_undo(QcowState *s, int64_t offset, int64_t bytes)
{
    if (s->end == offset + bytes) {
        s->end = offset;
    }
}

/* ---- Writing back ---- */

void qcow_l1_set(QcowState *s, uint32_t index, uint64_t entry)
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

int qcow_before_l2_write(void *opaque)
{
    QcowState *s = opaque;

    return bdrv_flush(bdrv_child_bs(s->file));
}

/* Write entries first..end-1 of the L1 table, or zeroes instead of them. */
static int write_l1(QcowState *s, uint32_t first, uint32_t end, bool zeroes)
{
    be64 chunk[L1_CHUNK] = { 0 };
    int ret = 0;

    while (ret == 0 && first < end) {
        uint32_t n = MIN(end - first, L1_CHUNK);

        for (uint32_t i = 0; !zeroes && i < n; i++) {
            be64_put(&chunk[i], s->l1[first + i]);
        }
        ret = bdrv_pwrite(s->file,
                          s->header.l1_table_offset + (int64_t)first * 8,
                          (int64_t)n * 8, chunk, 0);
        first += n;
    }
    return ret;
}

int qcow_write_back(QcowState *s)
{
    bool flushed = table_cache_is_dirty(s->l2_cache);
    int ret = table_cache_write(s->l2_cache);

    if (ret == 0 && s->l1_dirty_first < s->l1_dirty_end) {
        ret = flushed ? 0 : qcow_before_l2_write(s);
        if (ret == 0) {
            ret = write_l1(s, s->l1_dirty_first, s->l1_dirty_end, false);
        }
        if (ret == 0) {
            s->l1_dirty_first = s->l1_dirty_end = 0;
        }
    }
    return ret;
}

/* ---- Reading the L1 table ---- */

/* Tables that others made may stand anywhere: the piece must divide the
 * offset of each. And a table at the end of the file may reach behind it. */
static void learn_from_tables(QcowState *s, int64_t file_length)
{
    /* A file that was cut off ends in the middle of a cluster: the rest of
     * that cluster is not free. */
    int64_t end = (file_length + s->cluster_size - 1) & ~(s->cluster_size - 1);

    s->piece_bytes = MIN(s->l2_bytes, MAX_PIECE_BYTES);
    s->end = end;
    for (uint32_t i = 0; i < s->header.l1_size; i++) {
        uint64_t entry = s->l1[i];

        if (entry != 0 && entry % QCOW_SECTOR == 0 && entry < (uint64_t)end) {
            s->piece_bytes = MIN(s->piece_bytes,
                                 (int64_t)(entry & (~entry + 1)));
            s->end = MAX(s->end, (int64_t)entry + s->l2_bytes);
        }
    }
}

static void check_tables(QcowState *s)
{
    for (uint32_t i = 0; i < s->header.l1_size && !s->damaged; i++) {
        s->damaged = s->l1[i] != 0 && !qcow_table_is_sound(s, s->l1[i]);
    }
}

bool qcow_l1_read(QcowState *s, int64_t file_length, GError **errp)
{
    uint32_t n = s->header.l1_size;

    s->l1 = g_try_new(uint64_t, n);
    if (s->l1 == NULL) {
        block_error_set(
            errp, ENOMEM,
            "There is no memory for the L1 table of %" PRIu32 " entries", n);
        return false;
    }
    int ret = bdrv_pread(s->file, s->header.l1_table_offset, (int64_t)n * 8,
                         s->l1, 0);
    if (ret < 0) {
        block_error_set_errno(errp, -ret, "Could not read the L1 table");
        return false;
    }
    for (uint32_t i = 0; i < n; i++) {
        s->l1[i] = GUINT64_FROM_BE(s->l1[i]);
    }
    learn_from_tables(s, file_length);
    check_tables(s);
    return true;
}

/* ---- Emptying ---- */

/* The entries of the L1 table on the disk become zeroes, durably. */
static int clear_l1(QcowState *s, GError **errp)
{
    uint32_t first = 0;
    uint32_t end = s->header.l1_size;
    int ret = 0;

    while (first < end && s->l1[first] == 0) {
        first++;
    }
    while (end > first && s->l1[end - 1] == 0) {
        end--;
    }
    if (first < end) {
        ret = write_l1(s, first, end, true);
        if (ret == 0) {
            ret = bdrv_flush(bdrv_child_bs(s->file));
        }
    }
    if (ret < 0) {
        /* Some may be zero now: the next flush writes what they were. */
        s->l1_dirty_first = 0;
        s->l1_dirty_end = s->header.l1_size;
        block_error_set_errno(errp, -ret, "Could not clear the L1 table");
    }
    return ret;
}

int qcow_empty(QcowState *s, GError **errp)
{
    int64_t end = qcow_header_end(&s->header);
    int ret = clear_l1(s, errp);

    if (ret < 0) {
        return ret;
    }
    table_cache_drop(s->l2_cache, 0, s->end);
    qcow_frees_forget(s);
    memset(s->l1, 0, (size_t)s->header.l1_size * 8);
    s->l1_dirty_first = s->l1_dirty_end = 0;
    /* What is behind `end` stays, and is lost, if this fails. */
    ret = bdrv_truncate(s->file, end, false, PREALLOC_MODE_OFF, errp);
    if (ret < 0) {
        g_prefix_error(errp, "The image was emptied, but stays as long: ");
        return ret;
    }
    s->end = end;
    return 0;
}
