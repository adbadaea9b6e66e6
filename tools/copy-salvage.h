/* SPDX-License-Identifier: MIT */
/* Reading what can still be read. */
#ifndef TOOLS_COPY_SALVAGE_H
#define TOOLS_COPY_SALVAGE_H

#include <stdint.h>

#include "tools/copy-source.h"

/* A sector (or less) could not be read; blk_strerror(ret) tells why. */
typedef void CopyLost(int64_t offset, int ret, void *opaque);

/* Read the range; what cannot be read, to the sector, becomes zeroes. */
void copy_salvage(const CopySource *source, int64_t offset, int64_t bytes,
                  char *buf, CopyLost *lost, void *opaque);

#endif
