/* SPDX-License-Identifier: MIT */
/* What sizes of requests a node takes. */
#ifndef BLOCK_LIMITS_H
#define BLOCK_LIMITS_H

#include "block/block-int.h"

/* Set bs->limits, when the node is opened or drained. */
bool limits_refresh(BlockDriverState *bs, GError **errp)
    G_GNUC_WARN_UNUSED_RESULT;

#endif
