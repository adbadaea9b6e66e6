/* SPDX-License-Identifier: MIT */
/* For tests of the qcow driver: images in the directory of image-fixture.h. */
#ifndef TESTS_QCOW_FIXTURE_H
#define TESTS_QCOW_FIXTURE_H

#include <glib.h>
#include <stdint.h>

#include "block/block.h"

/* An empty image with sizes that qcow_create() would not choose. backing: the
 * name of its backing file, or NULL. */
void qcow_make(const char *name, unsigned cluster_bits, unsigned l2_bits,
               int64_t size, const char *backing);

/* Where its L1 table is: behind header and name. */
int64_t qcow_l1_offset(const char *backing);

/* Open an image of the directory by its name, as qcow; read-write with
 * BDRV_O_RDWR. */
BlockBackend *qcow_open_rw(const char *name);

/* Change bytes of a file. */
void qcow_poke(const char *name, int64_t offset, const void *bytes, size_t n);
void qcow_poke_be32(const char *name, int64_t offset, uint32_t value);
void qcow_poke_be64(const char *name, int64_t offset, uint64_t value);
uint64_t qcow_peek_be64(const char *name, int64_t offset);

/* Corruptions that the check finds. Messages are appended to text, if that is
 * not NULL. Fails the test when the check cannot be done. */
int64_t qcow_corruptions(BlockBackend *blk, GString *text);

#endif
