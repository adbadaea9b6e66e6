/* SPDX-License-Identifier: MIT */
/*
 * What the guest writes, into the child. Who writes units holds them busy, from
 * before what the commit still needs of them is preserved until they are
 * marked.
 */
#include <errno.h>

#include "block/vvfat/overlay-int.h"

#define ZEROES (INT64_C(1) << 20)

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
    ret = head ? overlay_read_base(o, start, &fill, 0, head) : 0;
    if (ret == 0 && tail) {
        ret = overlay_read_base(o, end, &fill, head, tail);
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

/* The units are held by the caller. *is_full: nothing of these was written,
 * since the snapshot cannot take what was there. */
static int write_held(Overlay *o, int64_t offset, const IOVector *iov,
                      int64_t bytes, bool *is_full)
{
    uint64_t first = overlay_unit(o, offset);
    uint64_t end = overlay_unit_end(o, offset + bytes);
    int ret = overlay_preserve(o, first, end);

    *is_full = ret < 0;
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
                             int64_t bytes, bool *is_full)
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
            ret = write_held(o, offset + done, iov ? &part : NULL, n, is_full);
        }
        done += n;
    }
    return ret;
}

/* One attempt. *is_full: the snapshot cannot take what was there; when the
 * commit is over it need not. */
static int try_write(Overlay *o, int64_t offset, const IOVector *iov,
                     int64_t zeroes, bool *is_full)
{
    int64_t bytes = iov ? (int64_t)iov->size : zeroes;
    uint64_t first = overlay_unit(o, offset);
    uint64_t end = overlay_unit_end(o, offset + bytes);
    LockedRange range;
    int ret;

    *is_full = false;
    pthread_rwlock_rdlock(&o->gate);
    pthread_mutex_lock(&o->lock);
    range_lock_take(&o->busy, &range, (int64_t)first, (int64_t)end, &o->lock);
    pthread_mutex_unlock(&o->lock);

    ret = o->config.check_write
              ? o->config.check_write(o->config.opaque, offset, bytes, iov)
              : 0;
    if (ret >= 0) {
        ret = ret ? write_around_kept(o, offset, iov, bytes, is_full)
                  : write_held(o, offset, iov, bytes, is_full);
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
    bool is_full;
    int ret = try_write(o, offset, iov, zeroes, &is_full);

    while (is_full) {
        wait_thawed(o);
        ret = try_write(o, offset, iov, zeroes, &is_full);
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
