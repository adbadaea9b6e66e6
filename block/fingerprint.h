/* SPDX-License-Identifier: MIT */
/* Fingerprints of backing files that are made as they are read. */
#ifndef BLOCK_FINGERPRINT_H
#define BLOCK_FINGERPRINT_H

#include "block/block-int.h"

/* The node's backing file has been opened, if it has one: may it be shown
 * below what the node holds? */
bool backing_check(BlockDriverState *bs, GError **errp)
    G_GNUC_WARN_UNUSED_RESULT;

#endif
