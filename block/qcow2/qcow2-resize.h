/* SPDX-License-Identifier: MIT */
/* The parts of resizing. The lock is held for all of them. */
#ifndef BLOCK_QCOW2_RESIZE_H
#define BLOCK_QCOW2_RESIZE_H

#include "block/qcow2/qcow2-data.h"

/* ---- qcow2-l1-grow.c ---- */

/* Enlarge the L1 table to so many entries; the new ones are 0. Durable when
 * it returns 0; -errno leaves the old table in use. */
int qcow2_l1_grow(Qcow2State *s, uint32_t entries) G_GNUC_WARN_UNUSED_RESULT;

/* ---- qcow2-preallocate.c ---- */

/*
 * Map every guest cluster from start to end, which are unmapped, to a host
 * cluster that reads as zeroes. The mode says how the file takes the space.
 * An error leaves some of them mapped.
 */
int qcow2_preallocate(Qcow2State *s, int64_t start, int64_t end,
                      PreallocMode mode) G_GNUC_WARN_UNUSED_RESULT;

/* ---- qcow2-shrink-file.c ---- */

/* Cut off what is free at the end of the file. Everything was written back.
 * What fails leaves the file longer than need be. */
void qcow2_shrink_file(Qcow2State *s);

#endif
