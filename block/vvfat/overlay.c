/* SPDX-License-Identifier: MIT */
#include "block/vvfat/overlay.h"

#include <errno.h>
#include <string.h>

#include "block/vvfat/overlay-int.h"
#include "util/rwlock.h"

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

Overlay *overlay_new(const OverlayConfig *config)
{
    Overlay *o = g_new0(Overlay, 1);

    o->config = *config;
    o->shift = shift_of(config->data_offset, config->unit);
    /* The commit's short turns must not wait for a guest that never rests. */
    rwlock_init(&o->gate);
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

const char *overlay_place(const Overlay *o)
{
    return o->config.place;
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

int overlay_read_base(Overlay *o, int64_t offset, const IOVector *iov,
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
        int ret = present
                      ? read_child(o, at, iov, iov_offset + done, n)
                      : overlay_read_base(o, at, iov, iov_offset + done, n);

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
