/* SPDX-License-Identifier: MIT */
/* What the files of the backend share. */
#ifndef BLOCK_BACKEND_H
#define BLOCK_BACKEND_H

#include "block/block-int.h"

/* A request begins on this thread: forget the last error, and check that the
 * range lies inside the device. 0 or -EIO. */
int backend_check_range(BlockBackend *blk, int64_t offset, int64_t bytes);

#endif
