/* SPDX-License-Identifier: MIT */
/*
 * Resizing and emptying.
 *
 * Growing makes room in the L1 table, makes sure that nothing old is in the new
 * part, and records the size last; shrinking drops the old part first, but for
 * what its first cluster shares with the end that stays. So a crash leaves the
 * old size or the new one, and never old contents in a new part. Writes to what
 * is dropped may be under way: whoever drops entries takes them in `busy` like
 * everybody else.
 */
#include <errno.h>
#include <inttypes.h>

#include "block/qcow2/qcow2-create.h"
#include "block/qcow2/qcow2-data.h"
#include "block/qcow2/qcow2-resize.h"
#include "util/bytes.h"

#define ZERO_PIECE (INT64_C(1) << 20)

/* ---- The size ---- */

/* Record another size; lock held. */
static int write_size(Qcow2State *s, int64_t size)
{
    int64_t old_size = s->header.size;
    be64 field;

    be64_put(&field, (uint64_t)size);
    s->header.size = size;
    int ret = bdrv_pwrite(s->file, G_STRUCT_OFFSET(Qcow2DiskHeader, size),
                          sizeof(field), &field, 0);
    if (ret == 0) {
        ret = bdrv_flush(bdrv_child_bs(s->file));
    }
    if (ret < 0) {
        /* What the disk has is not known. It shall have what holds, before
         * anything that is written from now on is said to be durable. */
        s->header.size = old_size;
        s->size_is_unsettled = true;
        return ret;
    }
    s->size = size;
    return 0;
}

/* ---- Dropping contents ---- */

/* The entries from `start` on, which are in `busy`. */
static int drop_entries(Qcow2State *s, int64_t start)
{
    int64_t reach = qcow2_l2_reach(s);
    int ret = 0;

    for (uint32_t i = (uint32_t)(start / reach);
         i < s->header.l1_size && ret == 0; i++) {
        int64_t from = MAX(start, i * reach);

        if (s->l1[i] == 0) {
            continue;
        }
        ret = qcow2_unmap(s, from, (i + 1) * reach - from);
        uint64_t entry = s->l1[i]; /* another when the table was shared */
        int64_t table = (int64_t)(entry & QCOW2_L1_OFFSET);
        if (ret == 0 && from == i * reach && table != 0) {
            qcow2_l1_set(s, i, 0);
            qcow2_free_later(s, table, s->cluster_size);
        }
    }
    return ret;
}

/*
 * Drop everything from `start` (a multiple of the cluster size) on, also what
 * lies behind the device's end; L2 tables that nothing is left in, too. Waits
 * for those who are about to change such entries, without the lock.
 */
static int drop_from(Qcow2State *s, int64_t start)
{
    LockedRange range;

    range_lock_take(&s->busy, &range, start, INT64_MAX, &s->lock);
    int ret = drop_entries(s, start);
    range_lock_release(&s->busy, &range);
    return ret;
}

static bool set_error(int ret, const char *what, GError **errp)
{
    g_autofree char *reason = blk_strerror(ret);

    block_error_set(errp, -ret, "%s: %s", what, reason);
    return false;
}

/* ---- Shrinking ---- */

/* Write zeroes over a part that is not there for others. Whoever must
 * make room for them needs the lock, which is let go of. */
static int write_zeroes(Qcow2State *s, int64_t offset, int64_t bytes)
{
    int64_t piece = MIN(bytes, MAX(s->cluster_size, ZERO_PIECE));
    g_autofree void *zeroes = g_try_malloc0((gsize)piece);
    int ret = zeroes ? 0 : -ENOMEM;
    IOVector iov;

    pthread_mutex_unlock(&s->lock);
    while (bytes > 0 && ret == 0) {
        int64_t n = MIN(bytes, piece);

        iov_init_buf(&iov, zeroes, (size_t)n);
        ret = qcow2_pwritev(s->bs, offset, n, &iov, 0);
        offset += n;
        bytes -= n;
    }
    pthread_mutex_lock(&s->lock);
    return ret;
}

/*
 * The last cluster holds something behind the end that is new. We do not show
 * that when the image grows again, but others do: QEMU 7.2 leaves it there. If
 * this fails, that is as it was.
 */
static void clear_tail(Qcow2State *s, int64_t size)
{
    int64_t bytes = qcow2_cluster_end(s, size) - size;
    Qcow2Mapping mapping;

    if (bytes > 0 && qcow2_map(s, size, bytes, &mapping) == 0 &&
        (mapping.type == QCOW2_NORMAL ||
         mapping.type == QCOW2_COMPRESSED_CLUSTER)) {
        (void)!write_zeroes(s, size, bytes);
    }
}

static int shrink(Qcow2State *s, int64_t size, GError **errp)
{
    int ret = drop_from(s, qcow2_cluster_end(s, size));

    if (ret == 0) {
        ret = qcow2_write_back_all(s);
    }
    if (ret == 0) {
        ret = write_size(s, size);
    }
    if (ret < 0) {
        set_error(ret, "Could not shrink the image", errp);
        return ret;
    }
    clear_tail(s, size);
    qcow2_shrink_file(s);
    return 0;
}

int qcow2_make_empty(BlockDriverState *bs, GError **errp)
{
    Qcow2State *s = bdrv_opaque(bs);

    pthread_mutex_lock(&s->lock);
    int ret = qcow2_prepare_change(s);
    if (ret == 0) {
        ret = drop_from(s, 0);
    }
    if (ret == 0) {
        ret = qcow2_write_back_all(s);
    }
    if (ret == 0) {
        qcow2_shrink_file(s);
    }
    pthread_mutex_unlock(&s->lock);
    if (ret < 0) {
        set_error(ret, "Could not empty the image", errp);
    }
    return ret;
}

/* ---- Growing ---- */

/* The cluster that the old end lies in may hold something behind it, or show
 * something of the backing file. */
static int zero_tail(Qcow2State *s, int64_t old_size, int64_t size)
{
    int64_t bytes = MIN(size, qcow2_cluster_end(s, old_size)) - old_size;
    Qcow2Mapping mapping;

    if (bytes == 0) {
        return 0;
    }
    int ret = qcow2_map(s, old_size, bytes, &mapping);
    if (ret < 0 || mapping.type == QCOW2_ZERO_PLAIN ||
        mapping.type == QCOW2_ZERO_ALLOC ||
        (mapping.type == QCOW2_UNALLOCATED &&
         qcow2_backing_left(s, old_size) == 0)) {
        return ret;
    }
    return write_zeroes(s, old_size, bytes);
}

/* A longer backing file must not show in the new clusters from start on. */
static int hide_backing(Qcow2State *s, int64_t start, int64_t size)
{
    int64_t bytes = qcow2_backing_left(s, start);
    LockedRange range;

    bytes = MIN(bytes, size - start);
    /* What is opened without its backing file is none's overlay now. */
    if (bytes <= 0 || bdrv_backing(s->bs) == NULL) {
        return 0;
    }
    range_lock_take(&s->busy, &range, start,
                    qcow2_cluster_end(s, start + bytes), &s->lock);
    int ret = qcow2_zero_busy(s, start, bytes);
    range_lock_release(&s->busy, &range);
    return ret == -ENOTSUP ? write_zeroes(s, start, bytes) : ret;
}

static int grow(Qcow2State *s, int64_t size, PreallocMode prealloc,
                GError **errp)
{
    int64_t old_size = s->size;
    int64_t old_end = qcow2_cluster_end(s, old_size);
    int64_t reach = qcow2_l2_reach(s);
    uint32_t entries = (uint32_t)(size / reach + (size % reach != 0));
    int ret = drop_from(s, old_end);

    if (ret == 0 && entries > s->header.l1_size) {
        ret = qcow2_l1_grow(s, entries);
    }
    if (ret == 0) {
        ret = zero_tail(s, old_size, size);
    }
    if (ret == 0 && prealloc != PREALLOC_MODE_OFF &&
        old_end < qcow2_cluster_end(s, size)) {
        ret = qcow2_preallocate(s, old_end, qcow2_cluster_end(s, size),
                                prealloc);
        if (ret < 0) {
            (void)drop_from(s, old_end);
        }
    }
    if (ret == 0) {
        ret = hide_backing(s, old_end, size);
    }
    if (ret == 0) {
        ret = qcow2_write_back_all(s);
    }
    if (ret == 0) {
        ret = write_size(s, size);
    }
    if (ret < 0) {
        set_error(ret, "Could not enlarge the image", errp);
    }
    return ret;
}

/* ---- The driver's callback ---- */

#define SECTOR_MASK INT64_C(511)

static bool check_resize(const Qcow2State *s, int64_t *size, bool exact,
                         PreallocMode prealloc, GError **errp)
{
    if ((*size & SECTOR_MASK) && exact) {
        block_error_set(errp, EINVAL,
                        "The size of a qcow2 image is a multiple of 512, and "
                        "%" PRId64 " is none",
                        *size);
        return false;
    }
    *size = (*size + SECTOR_MASK) & ~SECTOR_MASK;
    if (s->header.nb_snapshots > 0 && s->header.version < 3) {
        block_error_set(errp, ENOTSUP,
                        "A qcow2 image of compatibility level 0.10 that has "
                        "snapshots cannot be resized: they do not record the "
                        "size they had");
        return false;
    }
    if (*size < s->size && prealloc != PREALLOC_MODE_OFF) {
        block_error_set(errp, ENOTSUP,
                        "Cannot shrink a qcow2 image with preallocation");
        return false;
    }
    return qcow2_check_size(*size, s->cluster_bits, errp);
}

int qcow2_truncate(BlockDriverState *bs, int64_t size, bool exact,
                   PreallocMode prealloc, GError **errp)
{
    Qcow2State *s = bdrv_opaque(bs);
    g_autoptr(GError) error = NULL;
    int ret = 0;

    pthread_mutex_lock(&s->lock);
    if (!check_resize(s, &size, exact, prealloc, &error)) {
        ret = block_error_to_errno(error);
    } else if (size != s->size) {
        ret = qcow2_prepare_change(s);
        if (ret < 0) {
            set_error(ret, "Could not resize the image", &error);
        } else if (size < s->size) {
            ret = shrink(s, size, &error);
        } else {
            ret = grow(s, size, prealloc, &error);
        }
    }
    pthread_mutex_unlock(&s->lock);
    if (error) {
        g_propagate_error(errp, g_steal_pointer(&error));
    }
    return ret;
}
