/* SPDX-License-Identifier: MIT */
/*
 * What the guest wrote: the copy-on-write layer over the disk that is made
 * from the directory. Its bytes stand in the child "write-target"; which of
 * them count is known here, in units of a few KiB, aligned so that each data
 * cluster consists of whole ones.
 *
 * A unit is *present* when the child has it, all of it; *dirty* while the host
 * does not have what the guest wrote there; *touched* when it was written
 * since the last freeze. Reads of what is not present go to the base.
 *
 * A commit freezes the overlay: it sees the disk as it was at that moment
 * while the guest goes on writing. Who writes a unit first puts what it held
 * into the snapshot (overlay-snapshot.c).
 *
 * Locks. `gate`: requests hold it shared from start to end; the commit takes
 * it alone, briefly, to change which source a unit or a cluster has, and so
 * knows that no request is left that saw the old one. `busy`: ranges of units
 * being written, preserved, read for the commit, or dropped. `lock`: the
 * bitmaps, and `busy` itself; never held during I/O. Order: gate, busy, lock.
 */
#ifndef VVFAT_OVERLAY_H
#define VVFAT_OVERLAY_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "block/driver.h"
#include "block/vvfat/redo.h"
#include "util/sparse-bitmap.h"

typedef struct OverlayConfig {
    BdrvChild *child;
    int64_t base; /* where the disk's units begin in the child: a multiple of
                     `unit` */
    /* What the child has allocated is present, now and when it is opened
     * again: zeroes are written like other bytes. */
    bool is_kept;
    Redo *redo; /* is told of every write before it returns; may be NULL */
    int64_t disk_bytes;
    int64_t data_offset; /* of the first cluster, from the disk's start */
    uint32_t unit;       /* bytes: a power of two that divides a cluster */
    const char *place;   /* "in 'DIR'" or "'FILE'", for messages; not copied */

    /* Fill part of the vector with the disk's bytes as the base has them.
     * Called with the gate held. 0 or -errno. */
    int (*read_base)(void *opaque, int64_t offset, const IOVector *iov,
                     size_t iov_offset, size_t bytes);
    /* Whether the guest may write a range: -errno with a message; 0; or 1, if
     * parts of it may be to stay as they are, for they hold these bytes
     * already. iov NULL: zeroes. Called with the gate held, before anything is
     * written. May be NULL. */
    int (*check_write)(void *opaque, int64_t offset, int64_t bytes,
                       const IOVector *iov);
    /* After a 1: how many bytes from offset on, at most `bytes`, are to stay,
     * or are to be written; they are in iov from iov_offset on. Whole units,
     * but at the ends of the request. */
    int64_t (*kept_run)(void *opaque, int64_t offset, int64_t bytes,
                        const IOVector *iov, size_t iov_offset, bool *kept);
    void *opaque;
} OverlayConfig;

typedef struct Overlay Overlay;

/* Bytes that the child must have for a disk, from `base` on. */
int64_t overlay_child_bytes(int64_t disk_bytes, int64_t data_offset,
                            uint32_t unit);

Overlay *overlay_new(const OverlayConfig *config);
void overlay_free(Overlay *overlay);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Overlay, overlay_free)

/*
 * Before anything else, with is_kept: what the child has allocated is present,
 * and in the data area dirty, as if the guest had just written it. 0 or
 * -errno.
 */
int overlay_find_present(Overlay *overlay) G_GNUC_WARN_UNUSED_RESULT;

/* Have another one from now on; not beside requests. */
void overlay_set_redo(Overlay *overlay, Redo *redo);

/* OverlayConfig.place. */
const char *overlay_place(const Overlay *overlay);

/* Make what was written durable in the child. */
int overlay_flush(Overlay *overlay) G_GNUC_WARN_UNUSED_RESULT;

/* ---- The guest's requests: any thread; ranges inside the disk ---- */

int overlay_preadv(Overlay *overlay, int64_t offset, const IOVector *iov)
    G_GNUC_WARN_UNUSED_RESULT;
int overlay_pwritev(Overlay *overlay, int64_t offset, const IOVector *iov)
    G_GNUC_WARN_UNUSED_RESULT;
int overlay_pwrite_zeroes(Overlay *overlay, int64_t offset, int64_t bytes)
    G_GNUC_WARN_UNUSED_RESULT;

/* The guest needs the range no more: noted, until the commit knows whether
 * its clusters are free. */
void overlay_pdiscard(Overlay *overlay, int64_t offset, int64_t bytes);

/* Between these, nothing changes its source: for looking at the base. Shared;
 * they do not nest, and no request is made in between. */
void overlay_enter(Overlay *overlay);
void overlay_leave(Overlay *overlay);

/* How many bytes from offset on, at most `bytes`, are present, or are not. */
int64_t overlay_run(Overlay *overlay, int64_t offset, int64_t bytes,
                    bool *present);

/* Bytes present in the child; bytes that wait to be committed. */
int64_t overlay_present_bytes(Overlay *overlay);
int64_t overlay_dirty_bytes(Overlay *overlay);

/* Whether any byte was written since the last freeze. */
bool overlay_is_touched(Overlay *overlay);

/* For check_write: the disk as it is. */
int overlay_read_gated(Overlay *overlay, int64_t offset, int64_t bytes,
                       void *buf) G_GNUC_WARN_UNUSED_RESULT;

/* ---- The commit: one thread ---- */

/* A range of the disk. */
typedef void OverlayVisitor(int64_t offset, int64_t bytes, void *opaque);

/* Take the state of this moment: until overlay_thaw(), overlay_read_frozen()
 * gives it; afterwards, the disk as it is. Visits what was touched since the
 * last freeze. */
void overlay_freeze(Overlay *overlay, OverlayVisitor *touched, void *opaque);
int overlay_read_frozen(Overlay *overlay, int64_t offset, int64_t bytes,
                        void *buf) G_GNUC_WARN_UNUSED_RESULT;
void overlay_thaw(Overlay *overlay);

/* Whether any unit of a range is dirty. */
bool overlay_is_dirty(Overlay *overlay, int64_t offset, int64_t bytes);

/* How many bytes from offset on, at most `bytes`, are dirty, or are not. */
int64_t overlay_dirty_run(Overlay *overlay, int64_t offset, int64_t bytes,
                          bool *dirty);

/* Have the range in the child: what is about to change below it. */
int overlay_save(Overlay *overlay, int64_t offset, int64_t bytes)
    G_GNUC_WARN_UNUSED_RESULT;

/* Keep requests off, wait for those under way; and let them go on. */
void overlay_lock(Overlay *overlay);
void overlay_unlock(Overlay *overlay);

/* Between lock and unlock: the base has the range now, as it was frozen. What
 * was not written again since is no longer dirty, and no longer present. */
void overlay_committed(Overlay *overlay, int64_t offset, int64_t bytes);

/* The same as overlay_committed() for a range whose contents nobody needs, if
 * the guest has discarded it and not written it since. */
void overlay_unneeded(Overlay *overlay, int64_t offset, int64_t bytes);

/* Visit what the guest has discarded and not written since. */
void overlay_discards(Overlay *overlay, OverlayVisitor *visit, void *opaque);

/* Give the space of what is no longer present back. Not between lock and
 * unlock. */
void overlay_trim(Overlay *overlay);

#endif
