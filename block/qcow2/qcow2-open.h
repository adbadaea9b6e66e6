/* SPDX-License-Identifier: MIT */
/* Opening a qcow2 image: its options, and the parts of the driver table. */
#ifndef BLOCK_QCOW2_OPEN_H
#define BLOCK_QCOW2_OPEN_H

#include "block/qcow2/qcow2.h"

/* ---- qcow2-options.c ---- */

extern const OptionDesc qcow2_runtime_options[];

/* What the caches are to be like. */
typedef struct Qcow2OpenOptions {
    int64_t l2_slice, refblock_slice;
    unsigned l2_pieces, refcount_pieces;
} Qcow2OpenOptions;

/* Check the options against the image; lazy_refcounts and discards_host of
 * the state are set. */
bool qcow2_open_options(Qcow2State *s, const OptionValues *values,
                        Qcow2OpenOptions *o, GError **errp)
    G_GNUC_WARN_UNUSED_RESULT;

/* ---- qcow2-open.c ---- */

bool qcow2_open(BlockDriverState *bs, Options *options, unsigned flags,
                GError **errp);
void qcow2_close(BlockDriverState *bs);
bool qcow2_reopen_prepare(BlockDriverState *bs, unsigned flags, GError **errp);

/* ---- qcow2-change.c ---- */

int qcow2_change_backing_file(BlockDriverState *bs, const char *backing,
                              const char *format, GError **errp);

/* ---- qcow2-fingerprint.c ---- */

bool qcow2_backing_opened(BlockDriverState *bs, GError **errp);
int qcow2_record_fingerprint(BlockDriverState *bs,
                             const BdrvFingerprint *fingerprint,
                             GError **errp);

/* ---- qcow2-info.c ---- */

bool qcow2_info(BlockDriverState *bs, BdrvInfo *info, GError **errp);

/* ---- qcow2-bitmaps.c ---- */

/* Add "bitmaps.N.{flags,name,granularity}". What cannot be read is left out:
 * the check tells of it. */
void qcow2_bitmaps_info(Qcow2State *s, Options *facts);

#endif
