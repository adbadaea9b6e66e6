/* SPDX-License-Identifier: MIT */
#include "block/vvfat/overlay.h"

#include <errno.h>
#include <string.h>

#include "block/vvfat/overlay-int.h"

#define ZEROES (INT64_C(1) << 20)

/* ---- Making one ---- */

static int64_t shift_of(int64_t data_offset, uint32_t unit)
{
    return (unit - data_offset % unit) % unit;
}

int64_t overlay_child_bytes(int64_t disk_bytes, int64_t data_offset,
                            uint32_t unit)
{
    int64_t bytes = disk_bytes + shift_of(data_offset, unit);

    return (bytes + unit - 1) / unit * unit;
}

static void init_gate(pthread_rwlock_t *gate)
{
    pthread_rwlockattr_t attr;

    /* The commit's short turns must not wait for a guest that never rests. */
    pthread_rwlockattr_init(&attr);
    pthread_rwlockattr_setkind_np(
        &attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(gate, &attr);
    pthread_rwlockattr_destroy(&attr);
}

Overlay *overlay_new(const OverlayConfig *config)
{
    Overlay *o = g_new0(Overlay, 1);

    o->config = *config;
    o->shift = shift_of(config->data_offset, config->unit);
    init_gate(&o->gate);
    pthread_mutex_init(&o->lock, NULL);
    pthread_cond_init(&o->thawed, NULL);
    range_lock_init(&o->busy);
    o->present = sparse_bitmap_new();
    o->dirty = sparse_bitmap_new();
    o->touched = sparse_bitmap_new();
    o->discarded = sparse_bitmap_new();
    o->dropped = sparse_bitmap_new();
    o->saved = sparse_bitmap_new();
    o->snapshot = scratch_new();
    return o;
}

void overlay_free(Overlay *o)
{
    if (o) {
        sparse_bitmap_free(o->present);
        sparse_bitmap_free(o->dirty);
        sparse_bitmap_free(o->touched);
        sparse_bitmap_free(o->discarded);
        sparse_bitmap_free(o->dropped);
        sparse_bitmap_free(o->saved);
        scratch_free(o->snapshot);
        range_lock_clear(&o->busy);
        pthread_cond_destroy(&o->thawed);
        pthread_mutex_destroy(&o->lock);
        pthread_rwlock_destroy(&o->gate);
        g_free(o);
    }
}

/* Units of the child that are allocated, from `first` to `end`. */
static void found_units(Overlay *o, uint64_t first, uint64_t end)
{
    uint64_t data = overlay_unit(o, o->config.data_offset);

    sparse_bitmap_set(o->present, first, end - first);
    sparse_bitmap_set(o->touched, first, end - first);
    first = MAX(first, data);
    if (first < end) {
        sparse_bitmap_set(o->dirty, first, end - first);
    }
}

int overlay_find_present(Overlay *o)
{
    BlockDriverState *bs = bdrv_child_bs(o->config.child);
    int64_t at = o->config.base;
    int64_t end = at + overlay_child_bytes(o->config.disk_bytes,
                                           o->config.data_offset,
                                           o->config.unit);

    while (at < end) {
        g_auto(BdrvBlockStatus) status = { 0 };
        int64_t from = at - o->config.base;
        int ret = bdrv_block_status(bs, at, end - at, 0, &status);

        if (ret < 0) {
            return ret;
        }
        at += status.bytes;
        if (status.flags & BDRV_BLOCK_ALLOCATED) {
            found_units(o, (uint64_t)from / o->config.unit,
                        (uint64_t)(at - o->config.base + o->config.unit - 1) /
                            o->config.unit);
        }
    }
    return 0;
}

void overlay_set_redo(Overlay *o, Redo *redo)
{
    o->config.redo = redo;
}

int overlay_flush(Overlay *o)
{
    return o->config.redo ? redo_flush(o->config.redo)
                          : bdrv_flush(bdrv_child_bs(o->config.child));
}

/* ---- Runs ---- */

/* How many bytes from offset on have the same bit, at most `bytes`. */
static int64_t bit_run(Overlay *o, const SparseBitmap *map, int64_t offset,
                       int64_t bytes, bool *set)
{
    uint64_t unit = overlay_unit(o, offset);
    uint64_t end = overlay_unit_end(o, offset + bytes);
    uint64_t n;

    pthread_mutex_lock(&o->lock);
    n = sparse_bitmap_run(map, unit, end - unit, set);
    pthread_mutex_unlock(&o->lock);
    return MIN(overlay_unit_offset(o, unit + n) - offset, bytes);
}

int64_t overlay_run(Overlay *o, int64_t offset, int64_t bytes, bool *present)
{
    return bit_run(o, o->present, offset, bytes, present);
}

int64_t overlay_dirty_run(Overlay *o, int64_t offset, int64_t bytes,
                          bool *dirty)
{
    return bit_run(o, o->dirty, offset, bytes, dirty);
}

static int64_t bytes_in(Overlay *o, const SparseBitmap *map)
{
    int64_t bytes;

    pthread_mutex_lock(&o->lock);
    bytes = (int64_t)sparse_bitmap_count(map) * o->config.unit;
    pthread_mutex_unlock(&o->lock);
    return bytes;
}

int64_t overlay_present_bytes(Overlay *o)
{
    return bytes_in(o, o->present);
}

int64_t overlay_dirty_bytes(Overlay *o)
{
    return bytes_in(o, o->dirty);
}

bool overlay_is_touched(Overlay *o)
{
    return bytes_in(o, o->touched) > 0;
}

/* ---- Reading ---- */

static int read_child(Overlay *o, int64_t offset, const IOVector *iov,
                      size_t at, size_t bytes)
{
    g_auto(IOVector) part = { 0 };

    iov_init_slice(&part, iov, at, bytes);
    return bdrv_preadv(o->config.child, overlay_in_child(o, offset),
                       (int64_t)bytes, &part, 0);
}

/* The base has the disk alone; around it are zeroes, up to whole units. */
static int read_base(Overlay *o, int64_t offset, const IOVector *iov,
                     size_t at, size_t bytes)
{
    int64_t start = CLAMP(offset, 0, o->config.disk_bytes);
    int64_t end = CLAMP(offset + (int64_t)bytes, 0, o->config.disk_bytes);
    size_t before = (size_t)(start - offset);

    if (before || (size_t)(end - offset) < bytes) {
        iov_memset(iov, at, 0, bytes);
    }
    if (end <= start) {
        return 0;
    }
    return o->config.read_base(o->config.opaque, start, iov, at + before,
                               (size_t)(end - start));
}

int overlay_read_now(Overlay *o, int64_t offset, const IOVector *iov,
                     size_t iov_offset, size_t bytes)
{
    size_t done = 0;

    while (done < bytes) {
        int64_t at = offset + (int64_t)done;
        bool present;
        size_t n = (size_t)overlay_run(o, at, (int64_t)(bytes - done),
                                       &present);
        int ret = present ? read_child(o, at, iov, iov_offset + done, n)
                          : read_base(o, at, iov, iov_offset + done, n);

        if (ret < 0) {
            return ret;
        }
        done += n;
    }
    return 0;
}

void overlay_enter(Overlay *o)
{
    pthread_rwlock_rdlock(&o->gate);
}

void overlay_leave(Overlay *o)
{
    pthread_rwlock_unlock(&o->gate);
}

int overlay_preadv(Overlay *o, int64_t offset, const IOVector *iov)
{
    int ret;

    pthread_rwlock_rdlock(&o->gate);
    ret = overlay_read_now(o, offset, iov, 0, iov->size);
    pthread_rwlock_unlock(&o->gate);
    return ret;
}

int overlay_read_gated(Overlay *o, int64_t offset, int64_t bytes, void *buf)
{
    IOVector iov;

    iov_init_buf(&iov, buf, (size_t)bytes);
    return overlay_read_now(o, offset, &iov, 0, (size_t)bytes);
}

/* ---- Writing ---- */

static bool unit_is_present(Overlay *o, uint64_t unit)
{
    bool present;

    pthread_mutex_lock(&o->lock);
    present = sparse_bitmap_get(o->present, unit);
    pthread_mutex_unlock(&o->lock);
    return present;
}

/*
 * Write whole units as far as the child does not have them: what the request
 * leaves of the first and the last comes from the base.
 */
static int write_filled(Overlay *o, int64_t offset, const IOVector *iov)
{
    int64_t end = offset + (int64_t)iov->size;
    uint64_t first = overlay_unit(o, offset);
    uint64_t last = overlay_unit_end(o, end) - 1;
    int64_t start = unit_is_present(o, first) ? offset
                                              : overlay_unit_offset(o, first);
    int64_t stop = unit_is_present(o, last) ? end
                                            : overlay_unit_offset(o, last + 1);
    size_t head = (size_t)(offset - start), tail = (size_t)(stop - end);
    g_autofree uint8_t *buffer = g_malloc(head + tail + 1);
    g_auto(IOVector) all = { 0 };
    IOVector fill;
    int ret;

    iov_init_buf(&fill, buffer, head + tail);
    ret = head ? read_base(o, start, &fill, 0, head) : 0;
    if (ret == 0 && tail) {
        ret = read_base(o, end, &fill, head, tail);
    }
    if (ret < 0) {
        return ret;
    }
    iov_init(&all);
    if (head) {
        iov_add(&all, buffer, head);
    }
    for (int i = 0; i < iov->niov; i++) {
        iov_add(&all, iov->iov[i].iov_base, iov->iov[i].iov_len);
    }
    if (tail) {
        iov_add(&all, buffer + head, tail);
    }
    return bdrv_pwritev(o->config.child, overlay_in_child(o, start),
                        stop - start, &all, 0);
}

static void mark_written(Overlay *o, uint64_t first, uint64_t end)
{
    uint64_t n = end - first;

    sparse_bitmap_set(o->present, first, n);
    sparse_bitmap_set(o->dirty, first, n);
    sparse_bitmap_set(o->touched, first, n);
    sparse_bitmap_clear(o->discarded, first, n);
    sparse_bitmap_clear(o->dropped, first, n);
}

/* So that the child has them allocated. */
static int write_plain_zeroes(Overlay *o, int64_t offset, int64_t bytes)
{
    size_t most = (size_t)MIN(bytes, ZEROES);
    g_autofree uint8_t *buffer = g_try_malloc0(most);
    int ret = buffer ? 0 : -ENOMEM;

    while (ret == 0 && bytes) {
        int64_t n = MIN(bytes, (int64_t)most);

        ret = bdrv_pwrite(o->config.child, overlay_in_child(o, offset), n,
                          buffer, 0);
        offset += n;
        bytes -= n;
    }
    return ret;
}

static int write_units(Overlay *o, int64_t offset, const IOVector *iov,
                       int64_t bytes)
{
    if (iov) {
        return write_filled(o, offset, iov);
    }
    if (o->config.is_kept) {
        return write_plain_zeroes(o, offset, bytes);
    }
    return bdrv_pwrite_zeroes(o->config.child, overlay_in_child(o, offset),
                              bytes, BDRV_REQ_MAY_UNMAP);
}

/* The units are held by the caller. */
static int write_held(Overlay *o, int64_t offset, const IOVector *iov,
                      int64_t bytes)
{
    uint64_t first = overlay_unit(o, offset);
    uint64_t end = overlay_unit_end(o, offset + bytes);
    int ret = overlay_preserve(o, first, end) < 0 ? -EAGAIN : 0;

    if (ret == 0) {
        ret = write_units(o, offset, iov, bytes);
    }
    if (ret == 0 && o->config.redo) {
        ret = redo_append(o->config.redo, offset, bytes, iov);
    }
    if (ret == 0) {
        pthread_mutex_lock(&o->lock);
        mark_written(o, first, end);
        pthread_mutex_unlock(&o->lock);
    }
    return ret;
}

/* The same, without what is to stay. */
static int write_around_kept(Overlay *o, int64_t offset, const IOVector *iov,
                             int64_t bytes)
{
    int64_t done = 0;
    int ret = 0;

    while (ret == 0 && done < bytes) {
        bool kept;
        int64_t n = o->config.kept_run(o->config.opaque, offset + done,
                                       bytes - done, iov, (size_t)done, &kept);

        if (!kept) {
            g_auto(IOVector) part = { 0 };

            if (iov) {
                iov_init_slice(&part, iov, (size_t)done, (size_t)n);
            }
            ret = write_held(o, offset + done, iov ? &part : NULL, n);
        }
        done += n;
    }
    return ret;
}

/* One attempt. -EAGAIN: the snapshot cannot take what was there; when the
 * commit is over it need not. */
static int try_write(Overlay *o, int64_t offset, const IOVector *iov,
                     int64_t zeroes)
{
    int64_t bytes = iov ? (int64_t)iov->size : zeroes;
    uint64_t first = overlay_unit(o, offset);
    uint64_t end = overlay_unit_end(o, offset + bytes);
    LockedRange range;
    int ret;

    pthread_rwlock_rdlock(&o->gate);
    pthread_mutex_lock(&o->lock);
    range_lock_take(&o->busy, &range, (int64_t)first, (int64_t)end, &o->lock);
    pthread_mutex_unlock(&o->lock);

    ret = o->config.check_write
              ? o->config.check_write(o->config.opaque, offset, bytes, iov)
              : 0;
    if (ret >= 0) {
        ret = ret ? write_around_kept(o, offset, iov, bytes)
                  : write_held(o, offset, iov, bytes);
    }

    pthread_mutex_lock(&o->lock);
    range_lock_release(&o->busy, &range);
    pthread_mutex_unlock(&o->lock);
    pthread_rwlock_unlock(&o->gate);
    return ret;
}

static void wait_thawed(Overlay *o)
{
    pthread_mutex_lock(&o->lock);
    while (o->is_frozen) {
        pthread_cond_wait(&o->thawed, &o->lock);
    }
    pthread_mutex_unlock(&o->lock);
}

static int write_range(Overlay *o, int64_t offset, const IOVector *iov,
                       int64_t zeroes)
{
    int ret;

    while ((ret = try_write(o, offset, iov, zeroes)) == -EAGAIN) {
        wait_thawed(o);
    }
    return ret;
}

int overlay_pwritev(Overlay *o, int64_t offset, const IOVector *iov)
{
    return write_range(o, offset, iov, 0);
}

int overlay_pwrite_zeroes(Overlay *o, int64_t offset, int64_t bytes)
{
    int64_t unit = o->config.unit;
    int64_t end = offset + bytes;
    g_autofree uint8_t *buffer = g_malloc0((size_t)unit);
    int ret = 0;

    while (ret == 0 && offset < end) {
        int64_t in_unit = (offset + o->shift) % unit;
        int64_t n = MIN(unit - in_unit, end - offset);

        if (in_unit == 0 && n == unit) {
            n = (end - offset) / unit * unit;
            ret = write_range(o, offset, NULL, n);
        } else {
            IOVector part;

            iov_init_buf(&part, buffer, (size_t)n);
            ret = write_range(o, offset, &part, 0);
        }
        offset += n;
    }
    return ret;
}

void overlay_pdiscard(Overlay *o, int64_t offset, int64_t bytes)
{
    uint64_t first = overlay_unit_end(o, offset);
    uint64_t end = overlay_unit(o, offset + bytes);

    if (first < end) {
        pthread_mutex_lock(&o->lock);
        sparse_bitmap_set(o->discarded, first, end - first);
        pthread_mutex_unlock(&o->lock);
    }
}
