/* SPDX-License-Identifier: MIT */
/*
 * A log of what was written since the last flush, so that a process that is
 * killed loses none of it: an image format may keep in memory which of its
 * clusters are in use until it is flushed, and whoever talks to this process
 * may not notice that another one has taken its place.
 *
 * The log stands in a range of the image that was allocated and flushed when
 * it was made, so that a record is safe from a kill as soon as it is written.
 * It has two halves. Each flush begins a new *epoch*, in the half that the
 * epoch before the last one had; that one is durable then, and so is all of
 * its half. What is to be repeated is the last complete epoch and, behind it,
 * what there is of the current one. After a power cut that ends at the first
 * record that is not whole: those behind it were never flushed.
 *
 * Any number of threads; appending and beginning an epoch are serialised.
 */
#ifndef VVFAT_REDO_H
#define VVFAT_REDO_H

#include <glib.h>
#include <stdint.h>

#include "block/driver.h"

#define REDO_BYTES (INT64_C(8) << 20)

typedef struct Redo Redo;

/* REDO_BYTES of the child from offset on. */
Redo *redo_new(BdrvChild *child, int64_t offset);
void redo_free(Redo *redo);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Redo, redo_free)

/* All of the following: 0 or -errno. */

/* Make an empty log; to be flushed before anything is appended. */
int redo_format(Redo *redo) G_GNUC_WARN_UNUSED_RESULT;

/* iov NULL: zeroes. */
typedef int RedoVisitor(int64_t offset, int64_t bytes, const IOVector *iov,
                        void *opaque);

/* Visit what may not be in the image, in the order in which it was written;
 * then flush, and begin a new epoch. Before anything is appended. */
int redo_repeat(Redo *redo, RedoVisitor *visit, void *opaque)
    G_GNUC_WARN_UNUSED_RESULT;

/* A range (multiples of 512) was written. */
int redo_append(Redo *redo, int64_t offset, int64_t bytes, const IOVector *iov)
    G_GNUC_WARN_UNUSED_RESULT;

/* Flush the child. */
int redo_flush(Redo *redo) G_GNUC_WARN_UNUSED_RESULT;

#endif
