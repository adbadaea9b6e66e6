/* SPDX-License-Identifier: MIT */
/* Between the files of overlay. Units are counted from the child's base. */
#ifndef VVFAT_OVERLAY_INT_H
#define VVFAT_OVERLAY_INT_H

#include <pthread.h>

#include "block/vvfat/overlay.h"
#include "block/vvfat/scratch.h"
#include "util/range-lock.h"

struct Overlay {
    OverlayConfig config;
    int64_t shift; /* the disk's first byte, from the base of the child on */

    pthread_rwlock_t gate;
    pthread_mutex_t lock;
    pthread_cond_t thawed;
    RangeLock busy;

    /* Under the lock. */
    SparseBitmap *present, *dirty, *touched;
    SparseBitmap *discarded; /* by the guest, and not written since */
    SparseBitmap *dropped;   /* no longer present; space not given back yet */
    bool is_frozen;
    SparseBitmap *saved; /* units that the snapshot has */

    Scratch *snapshot; /* at the same offsets as the child */
};

static inline uint64_t overlay_unit(const Overlay *o, int64_t offset)
{
    return (uint64_t)(offset + o->shift) / o->config.unit;
}

/* The unit behind the last that a range touches. */
static inline uint64_t overlay_unit_end(const Overlay *o, int64_t end)
{
    return (uint64_t)(end + o->shift + o->config.unit - 1) / o->config.unit;
}

static inline int64_t overlay_unit_offset(const Overlay *o, uint64_t unit)
{
    return (int64_t)unit * o->config.unit - o->shift;
}

/* Where a byte of the disk stands in the child. */
static inline int64_t overlay_in_child(const Overlay *o, int64_t offset)
{
    return o->config.base + offset + o->shift;
}

/* Read a range of the disk as it is now. With the gate held. The range may
 * reach over the disk's ends as far as units do: zeroes. */
int overlay_read_now(Overlay *o, int64_t offset, const IOVector *iov,
                     size_t iov_offset, size_t bytes)
    G_GNUC_WARN_UNUSED_RESULT;

/* The same range as the base has it, which is the disk alone: around it are
 * zeroes, up to whole units. */
int overlay_read_base(Overlay *o, int64_t offset, const IOVector *iov,
                      size_t at, size_t bytes) G_GNUC_WARN_UNUSED_RESULT;

/* Before units first..end-1 are written, with them busy: what the commit still
 * needs goes into the snapshot. */
int overlay_preserve(Overlay *o, uint64_t first, uint64_t end)
    G_GNUC_WARN_UNUSED_RESULT;

#endif
