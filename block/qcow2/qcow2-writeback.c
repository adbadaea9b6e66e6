/* SPDX-License-Identifier: MIT */
/*
 * The order in which metadata reaches the disk; see qcow2.h for why.
 *
 * L2 tables and the L1 table refer to clusters whose data and refcounts must
 * be durable first: data, for a cluster may hold what another guest offset had
 * before. bdrv_flush() costs nothing when nothing was written since the last.
 *
 * An error ends the attempt. What was not written stays dirty; a step that was
 * done is not done again, and the flush that follows it is due until one has
 * succeeded, which the file's node remembers.
 */
#include <errno.h>

#include "block/qcow2/qcow2-host.h"

/* The L1 table is written in pieces of this size, in whole sectors. */
#define L1_PIECE_BYTES 65536

static int flush_file(Qcow2State *s)
{
    return bdrv_flush(bdrv_child_bs(s->file));
}

/* With lazy refcounts the image is marked dirty already: a crash makes the
 * next open repair them. */
static int write_refcounts(Qcow2State *s)
{
    int ret = qcow2_size_settle(s);

    if (ret == 0) {
        ret = qcow2_reftable_settle(s);
    }
    if (ret == 0 && !s->lazy_refcounts) {
        ret = table_cache_write(s->refcount_cache);
    }
    return ret;
}

int qcow2_before_l2_write(void *opaque)
{
    Qcow2State *s = opaque;
    int ret = qcow2_prepare_change(s);

    if (ret == 0) {
        ret = write_refcounts(s);
    }
    return ret < 0 ? ret : flush_file(s);
}

/* ---- Step 3 ---- */

static bool l1_is_dirty(const Qcow2State *s)
{
    return s->l1_dirty_first < s->l1_dirty_end;
}

/* Write entries from `first` on, a sector's first, as far as buf has room. */
static int write_l1_piece(Qcow2State *s, uint32_t first, uint64_t *buf,
                          uint32_t n)
{
    uint32_t used = MIN(n, s->header.l1_size - first);

    for (uint32_t i = 0; i < n; i++) {
        buf[i] = i < used ? GUINT64_TO_BE(s->l1[first + i]) : 0;
    }
    return bdrv_pwrite(s->file, s->header.l1_table_offset + (int64_t)first * 8,
                       (int64_t)n * 8, buf, 0);
}

static int write_l1(Qcow2State *s)
{
    const uint32_t in_sector = QCOW2_SECTOR_BYTES / 8;
    uint32_t first = s->l1_dirty_first / in_sector * in_sector;
    uint32_t end = (s->l1_dirty_end + in_sector - 1) / in_sector * in_sector;
    uint32_t in_piece = MIN(end - first, L1_PIECE_BYTES / 8);
    g_autofree uint64_t *buf = g_try_new(uint64_t, in_piece);
    int ret = buf == NULL ? -ENOMEM : 0;

    for (uint32_t at = first; at < end && ret == 0; at += in_piece) {
        ret = write_l1_piece(s, at, buf, MIN(in_piece, end - at));
    }
    if (ret == 0) {
        s->l1_dirty_first = s->l1_dirty_end = 0;
    }
    return ret;
}

/* ---- All steps ---- */

static bool tables_are_dirty(const Qcow2State *s)
{
    return l1_is_dirty(s) || table_cache_is_dirty(s->l2_cache);
}

/* What is in memory of a corrupt image is not written any more. */
static int check_sound(Qcow2State *s)
{
    bool dirty = tables_are_dirty(s) || s->frees->len > 0 ||
                 table_cache_is_dirty(s->refcount_cache);

    return dirty ? qcow2_prepare_change(s) : 0;
}

static int write_steps(Qcow2State *s)
{
    int ret = table_cache_write(s->l2_cache);

    if (ret == 0 && l1_is_dirty(s)) {
        ret = qcow2_before_l2_write(s);
        if (ret == 0) {
            ret = write_l1(s);
        }
    }
    if (ret == 0) {
        ret = qcow2_size_settle(s);
    }
    return ret < 0 ? ret : qcow2_reftable_settle(s);
}

int qcow2_write_back(Qcow2State *s)
{
    int ret = check_sound(s);

    if (ret == 0) {
        ret = write_steps(s);
    }
    if (ret == 0 && s->frees->len > 0) {
        int64_t seal = qcow2_frees_seal(s);

        ret = flush_file(s);
        if (ret == 0) {
            qcow2_frees_are_durable(s, seal);
            qcow2_carry_out_frees(s);
        }
    }
    if (ret == 0 && !s->lazy_refcounts) {
        ret = table_cache_write(s->refcount_cache);
    }
    return ret;
}

int qcow2_write_back_all(Qcow2State *s)
{
    int ret = qcow2_write_back(s);

    if (ret == 0) {
        ret = table_cache_write(s->refcount_cache);
    }
    return ret < 0 ? ret : flush_file(s);
}

/* ---- The driver's flush ---- */

static int flush_unlocked(Qcow2State *s)
{
    pthread_mutex_unlock(&s->lock);
    int ret = flush_file(s);
    pthread_mutex_lock(&s->lock);
    return ret;
}

/*
 * The long waits of the steps, without the lock. Others go on meanwhile, so
 * nothing is taken for granted afterwards; but what is left to be flushed with
 * the lock is what they did, and usually nothing.
 */
static int flush_ahead(Qcow2State *s)
{
    int ret = write_refcounts(s);

    if (ret == 0) {
        ret = flush_unlocked(s);
    }
    if (ret == 0 && l1_is_dirty(s)) {
        ret = table_cache_write(s->l2_cache);
        if (ret == 0) {
            ret = flush_unlocked(s);
        }
    }
    return ret;
}

static int flush_frees(Qcow2State *s)
{
    int64_t seal = qcow2_frees_seal(s);
    int ret = flush_unlocked(s);

    if (ret == 0) {
        qcow2_frees_are_durable(s, seal);
        qcow2_discard_frees(s);
    }
    return ret;
}

int qcow2_flush(BlockDriverState *bs)
{
    Qcow2State *s = bdrv_opaque(bs);

    pthread_mutex_lock(&s->lock);
    int ret = check_sound(s);
    if (ret == 0 && tables_are_dirty(s)) {
        ret = flush_ahead(s);
    }
    if (ret == 0) {
        ret = write_steps(s);
    }
    if (ret == 0 && s->frees->len > 0) {
        ret = flush_frees(s);
    }
    if (ret == 0 && !s->lazy_refcounts) {
        ret = table_cache_write(s->refcount_cache);
    }
    pthread_mutex_unlock(&s->lock);
    return ret;
}
