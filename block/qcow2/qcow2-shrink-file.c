/* SPDX-License-Identifier: MIT */
/*
 * Cutting off the end of the file.
 *
 * Refcount blocks stand among what they describe. One at the end that
 * describes nothing but itself would keep the file long, so it goes first: its
 * entry in the table becomes 0, durably, and its clusters have no refcounts.
 */
#include "block/qcow2/qcow2-resize.h"
#include "util/bytes.h"

/* Whether the block describes nothing in use, or itself alone. */
static bool block_is_empty(Qcow2State *s, int64_t block, bool *has_itself)
{
    int64_t first = block << qcow2_refblock_bits(s);
    int64_t end = first + (INT64_C(1) << qcow2_refblock_bits(s));
    int64_t home = (int64_t)s->reftable[block] >> s->cluster_bits;

    *has_itself = home >= first && home < end;
    for (int64_t at = first; at < end;) {
        uint64_t refcount;
        int64_t run;

        if (qcow2_refcount_run(s, at, end - at, &refcount, &run) < 0 ||
            (refcount != 0 && (at != home || run != 1))) {
            return false;
        }
        at += run;
    }
    return true;
}

/* False: it stays, and so does everything before it. */
static bool drop_block(Qcow2State *s, int64_t block)
{
    int64_t offset = (int64_t)s->reftable[block];
    be64 entry = { { 0 } };
    bool has_itself;

    if (!block_is_empty(s, block, &has_itself) ||
        bdrv_pwrite(s->file, s->header.refcount_table_offset + block * 8,
                    sizeof(entry), &entry, 0) < 0 ||
        bdrv_flush(bdrv_child_bs(s->file)) < 0) {
        return false;
    }
    s->reftable[block] = 0;
    if (has_itself) {
        table_cache_drop(s->refcount_cache, offset, s->cluster_size);
        qcow2_overlap_remove(s, offset, s->cluster_size);
    } else {
        qcow2_free_now(s, offset, s->cluster_size);
    }
    return true;
}

/* The end of the last cluster that is in use, in bytes; -1: not known. */
static int64_t used_end(Qcow2State *s, int64_t length)
{
    int64_t at = qcow2_cluster_end(s, length) >> s->cluster_bits;
    uint64_t refcount = 0;

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
    int64_t block = s->reftable_size;

    while (block > 0 &&
           (s->reftable[block - 1] == 0 || drop_block(s, block - 1))) {
        block--;
    }
    int64_t end = used_end(s, length);
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
