/* SPDX-License-Identifier: MIT */
/* What nodes tell about themselves beside their contents. */
#ifndef BLOCK_INFO_H
#define BLOCK_INFO_H

#include "block/block-int.h"

int64_t node_allocated_size(BlockDriverState *bs);
bool node_has_zero_init(BlockDriverState *bs);

#endif
