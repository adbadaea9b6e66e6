/* SPDX-License-Identifier: MIT */
/*
 * The commit's side: the disk as it was at the last freeze, and what becomes
 * of units that the host has now.
 *
 * Frozen, a unit whose bit is set in `saved` is read from the snapshot, every
 * other one is still what it was. Who writes a unit holds it busy from
 * preserving to marking, and so does who reads it for the commit: neither sees
 * half of what the other does.
 */
#include <errno.h>

#include "block/vvfat/overlay-int.h"

#define CHUNK (256 * 1024)

/* ---- Busy ranges ---- */

static void take_busy(Overlay *o, LockedRange *range, uint64_t first,
                      uint64_t end)
{
    pthread_mutex_lock(&o->lock);
    range_lock_take(&o->busy, range, (int64_t)first, (int64_t)end, &o->lock);
    pthread_mutex_unlock(&o->lock);
}

static void release_busy(Overlay *o, LockedRange *range)
{
    pthread_mutex_lock(&o->lock);
    range_lock_release(&o->busy, range);
    pthread_mutex_unlock(&o->lock);
}

/* ---- Freezing ---- */

void overlay_freeze(Overlay *o, OverlayVisitor *touched, void *opaque)
{
    g_autoptr(SparseBitmap) units = NULL;
    uint64_t first, count, at = 0;

    pthread_rwlock_wrlock(&o->gate);
    pthread_mutex_lock(&o->lock);
    units = sparse_bitmap_steal(o->touched);
    o->is_frozen = true;
    pthread_mutex_unlock(&o->lock);
    pthread_rwlock_unlock(&o->gate);

    while (sparse_bitmap_next(units, at, &first, &count)) {
        int64_t start = MAX(overlay_unit_offset(o, first), 0);
        int64_t end = MIN(overlay_unit_offset(o, first + count),
                          o->config.disk_bytes);

        if (start < end) {
            touched(start, end - start, opaque);
        }
        at = first + count;
    }
}

void overlay_thaw(Overlay *o)
{
    /* Alone, so that nobody is about to preserve something. */
    pthread_rwlock_wrlock(&o->gate);
    pthread_mutex_lock(&o->lock);
    o->is_frozen = false;
    sparse_bitmap_free(sparse_bitmap_steal(o->saved));
    pthread_cond_broadcast(&o->thawed);
    pthread_mutex_unlock(&o->lock);
    scratch_clear(o->snapshot);
    pthread_rwlock_unlock(&o->gate);
}

/* Whether the snapshot has the next unit, and how many more like it. Thawed,
 * it has none. */
static uint64_t saved_run(Overlay *o, uint64_t first, uint64_t end,
                          bool *saved)
{
    uint64_t n;

    pthread_mutex_lock(&o->lock);
    n = sparse_bitmap_run(o->saved, first, end - first, saved);
    pthread_mutex_unlock(&o->lock);
    return n;
}

static bool is_frozen(Overlay *o)
{
    bool frozen;

    pthread_mutex_lock(&o->lock);
    frozen = o->is_frozen;
    pthread_mutex_unlock(&o->lock);
    return frozen;
}

static int preserve_run(Overlay *o, uint64_t first, uint64_t n)
{
    size_t bytes = (size_t)n * o->config.unit;
    g_autofree uint8_t *buffer = g_malloc(bytes);
    IOVector iov;
    int ret;

    iov_init_buf(&iov, buffer, bytes);
    ret = overlay_read_now(o, overlay_unit_offset(o, first), &iov, 0, bytes);
    if (ret == 0) {
        ret = scratch_write(o->snapshot, (int64_t)first * o->config.unit,
                            buffer, bytes);
    }
    if (ret == 0) {
        pthread_mutex_lock(&o->lock);
        sparse_bitmap_set(o->saved, first, n);
        pthread_mutex_unlock(&o->lock);
    }
    return ret;
}

int overlay_preserve(Overlay *o, uint64_t first, uint64_t end)
{
    uint64_t most = CHUNK / o->config.unit;
    int ret = 0;

    if (!is_frozen(o)) {
        return 0;
    }
    while (ret == 0 && first < end) {
        bool saved;
        uint64_t n = saved_run(o, first, end, &saved);

        if (!saved) {
            n = MIN(n, most);
            ret = preserve_run(o, first, n);
        }
        first += n;
    }
    return ret;
}

/* ---- Reading ---- */

/* A piece that lies in units held busy. */
static int read_piece(Overlay *o, int64_t offset, size_t bytes, uint8_t *buf)
{
    size_t done = 0;

    while (done < bytes) {
        int64_t at = offset + (int64_t)done;
        uint64_t unit = overlay_unit(o, at);
        uint64_t end = overlay_unit_end(o, offset + (int64_t)bytes);
        bool saved;
        uint64_t n_units = saved_run(o, unit, end, &saved);
        size_t n = (size_t)MIN(overlay_unit_offset(o, unit + n_units) - at,
                               (int64_t)(bytes - done));
        IOVector iov;
        int ret;

        iov_init_buf(&iov, buf + done, n);
        ret = saved ? scratch_read(o->snapshot, at + o->shift, buf + done, n)
                    : overlay_read_now(o, at, &iov, 0, n);
        if (ret < 0) {
            return ret;
        }
        done += n;
    }
    return 0;
}

int overlay_read_frozen(Overlay *o, int64_t offset, int64_t bytes, void *buf)
{
    uint8_t *out = buf;
    int ret = 0;

    while (ret == 0 && bytes > 0) {
        int64_t n = MIN(bytes, CHUNK);
        LockedRange range;

        pthread_rwlock_rdlock(&o->gate);
        take_busy(o, &range, overlay_unit(o, offset),
                  overlay_unit_end(o, offset + n));
        ret = read_piece(o, offset, (size_t)n, out);
        release_busy(o, &range);
        pthread_rwlock_unlock(&o->gate);
        out += n;
        offset += n;
        bytes -= n;
    }
    return ret;
}

bool overlay_is_dirty(Overlay *o, int64_t offset, int64_t bytes)
{
    bool dirty;

    return overlay_dirty_run(o, offset, bytes, &dirty) < bytes || dirty;
}

/* ---- What changes below ---- */

static int save_units(Overlay *o, uint64_t first, uint64_t n)
{
    size_t bytes = (size_t)n * o->config.unit;
    g_autofree uint8_t *buffer = g_malloc(bytes);
    int64_t offset = overlay_unit_offset(o, first);
    IOVector iov;
    int ret;

    iov_init_buf(&iov, buffer, bytes);
    ret = overlay_read_now(o, offset, &iov, 0, bytes);
    if (ret == 0) {
        ret = bdrv_pwritev(o->config.child, overlay_in_child(o, offset),
                           (int64_t)bytes, &iov, 0);
    }
    if (ret == 0) {
        pthread_mutex_lock(&o->lock);
        sparse_bitmap_set(o->present, first, n);
        sparse_bitmap_clear(o->dropped, first, n);
        pthread_mutex_unlock(&o->lock);
    }
    return ret;
}

int overlay_save(Overlay *o, int64_t offset, int64_t bytes)
{
    uint64_t first = overlay_unit(o, offset);
    uint64_t end = overlay_unit_end(o, offset + bytes);
    uint64_t most = CHUNK / o->config.unit;
    int ret = 0;

    while (ret == 0 && first < end) {
        LockedRange range;
        bool present;
        uint64_t n = MIN(end - first, most);

        pthread_rwlock_rdlock(&o->gate);
        take_busy(o, &range, first, first + n);
        pthread_mutex_lock(&o->lock);
        n = sparse_bitmap_run(o->present, first, n, &present);
        pthread_mutex_unlock(&o->lock);
        ret = present ? 0 : save_units(o, first, n);
        release_busy(o, &range);
        pthread_rwlock_unlock(&o->gate);
        first += n;
    }
    return ret;
}

/* ---- What the base has now ---- */

void overlay_lock(Overlay *o)
{
    pthread_rwlock_wrlock(&o->gate);
}

void overlay_unlock(Overlay *o)
{
    pthread_rwlock_unlock(&o->gate);
}

/* For the whole units of a range that were not written since the freeze, run
 * by run, with the lock held. */
static void settle(Overlay *o, int64_t offset, int64_t bytes,
                   void (*what)(Overlay *o, uint64_t first, uint64_t n))
{
    uint64_t first = overlay_unit_end(o, offset);
    uint64_t end = overlay_unit(o, offset + bytes);

    pthread_mutex_lock(&o->lock);
    while (first < end) {
        bool touched;
        uint64_t n = sparse_bitmap_run(o->touched, first, end - first,
                                       &touched);

        if (!touched) {
            what(o, first, n);
        }
        first += n;
    }
    pthread_mutex_unlock(&o->lock);
}

static void drop_run(Overlay *o, uint64_t first, uint64_t n)
{
    uint64_t end = first + n;

    sparse_bitmap_clear(o->dirty, first, n);
    sparse_bitmap_clear(o->discarded, first, n);
    while (first < end) {
        bool present;

        n = sparse_bitmap_run(o->present, first, end - first, &present);
        if (present) {
            sparse_bitmap_clear(o->present, first, n);
            sparse_bitmap_set(o->dropped, first, n);
        }
        first += n;
    }
}

static void drop_discarded(Overlay *o, uint64_t first, uint64_t n)
{
    uint64_t end = first + n;

    while (first < end) {
        bool discarded;

        n = sparse_bitmap_run(o->discarded, first, end - first, &discarded);
        if (discarded) {
            drop_run(o, first, n);
        }
        first += n;
    }
}

void overlay_committed(Overlay *o, int64_t offset, int64_t bytes)
{
    settle(o, offset, bytes, drop_run);
}

void overlay_unneeded(Overlay *o, int64_t offset, int64_t bytes)
{
    settle(o, offset, bytes, drop_discarded);
}

/* ---- Space ---- */

void overlay_discards(Overlay *o, OverlayVisitor *visit, void *opaque)
{
    uint64_t first, count, at = 0;
    bool found;

    do {
        pthread_mutex_lock(&o->lock);
        found = sparse_bitmap_next(o->discarded, at, &first, &count);
        pthread_mutex_unlock(&o->lock);
        if (found) {
            visit(overlay_unit_offset(o, first),
                  (int64_t)count * o->config.unit, opaque);
            at = first + count;
        }
    } while (found);
}

/* Units that are to be given back, and still are once they are busy. */
static void trim_units(Overlay *o, uint64_t first, uint64_t n)
{
    LockedRange range;
    uint64_t end = first + n;

    take_busy(o, &range, first, end);
    while (first < end) {
        bool dropped;

        pthread_mutex_lock(&o->lock);
        n = sparse_bitmap_run(o->dropped, first, end - first, &dropped);
        pthread_mutex_unlock(&o->lock);
        if (dropped) {
            /* Space alone: a child that cannot keeps it. */
            int64_t at = o->config.base + (int64_t)first * o->config.unit;
            int ret = bdrv_pdiscard(o->config.child, at,
                                    (int64_t)n * o->config.unit);

            (void)ret;
            pthread_mutex_lock(&o->lock);
            sparse_bitmap_clear(o->dropped, first, n);
            pthread_mutex_unlock(&o->lock);
        }
        first += n;
    }
    release_busy(o, &range);
}

void overlay_trim(Overlay *o)
{
    uint64_t first, count, at = 0;
    bool found;

    do {
        pthread_mutex_lock(&o->lock);
        found = sparse_bitmap_next(o->dropped, at, &first, &count);
        pthread_mutex_unlock(&o->lock);
        if (found) {
            count = MIN(count, (16 << 20) / o->config.unit);
            trim_units(o, first, count);
            at = first + count;
        }
    } while (found);
}
