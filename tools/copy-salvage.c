/* SPDX-License-Identifier: MIT */
/*
 * A range that fails is read again in two halves, down to single sectors: few
 * requests where little is damaged.
 */
#include "tools/copy-salvage.h"

#include <string.h>

#define SECTOR_BYTES 512

/* Half of the range, rounded up to whole sectors of the source. */
static int64_t half(int64_t offset, int64_t bytes)
{
    int64_t middle = offset + bytes / 2 + SECTOR_BYTES - 1;

    return middle - middle % SECTOR_BYTES - offset;
}

void copy_salvage(const CopySource *source, int64_t offset, int64_t bytes,
                  char *buf, CopyLost *lost, void *opaque)
{
    int64_t failed;
    int ret = copy_source_read(source, offset, bytes, buf, &failed);

    if (ret >= 0) {
        return;
    }
    int64_t n = half(offset, bytes);
    if (n >= bytes) {
        memset(buf, 0, (size_t)bytes);
        lost(offset, ret, opaque);
        return;
    }
    copy_salvage(source, offset, n, buf, lost, opaque);
    copy_salvage(source, offset + n, bytes - n, buf + n, lost, opaque);
}
