/* SPDX-License-Identifier: MIT */
/* What is the same for every table of host file-system functions. */
#include "block/vvfat/hostfs.h"

#include <errno.h>
#include <limits.h>

void hostfs_free(HostFs *fs)
{
    if (fs) {
        fs->ops->destroy(fs);
    }
}

int hostfs_read_full(HostFs *fs, HostFile *file, int64_t offset,
                     const IOVector *iov, size_t iov_offset, size_t bytes)
{
    while (bytes) {
        g_auto(IOVector) part;
        ssize_t n;

        iov_init_slice(&part, iov, iov_offset, bytes);
        n = fs->ops->file_preadv(fs, file, part.iov, MIN(part.niov, IOV_MAX),
                                 offset);
        if (n == -EINTR) {
            continue;
        }
        if (n < 0) {
            return (int)n;
        }
        if (n == 0) {
            return -ENODATA;
        }
        offset += n;
        iov_offset += (size_t)n;
        bytes -= (size_t)n;
    }
    return 0;
}
