/* SPDX-License-Identifier: MIT */
/* What is the same for every table of host file-system functions. */
#include "block/vvfat/hostfs.h"

#include <errno.h>
#include <limits.h>

static HostFsOpener *opener = hostfs_posix_new;

HostFs *hostfs_open(const char *dir, GError **errp)
{
    return opener(dir, errp);
}

void hostfs_set_opener(HostFsOpener *other)
{
    opener = other ? other : hostfs_posix_new;
}

void hostfs_free(HostFs *fs)
{
    if (fs) {
        fs->ops->destroy(fs);
    }
}

void hostfs_batch(HostFs *fs, bool begin)
{
    if (fs->ops->batch) {
        fs->ops->batch(fs, begin);
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

int hostfs_write_full(HostFs *fs, HostFile *file, int64_t offset,
                      const void *buf, size_t bytes)
{
    const uint8_t *data = buf;

    while (bytes) {
        struct iovec iov = { .iov_base = (void *)data, .iov_len = bytes };
        ssize_t n = fs->ops->file_pwritev(fs, file, &iov, 1, offset);

        if (n == -EINTR) {
            continue;
        }
        if (n < 0) {
            return (int)n;
        }
        if (n == 0) {
            return -EIO; /* or this would never end */
        }
        data += n;
        offset += n;
        bytes -= (size_t)n;
    }
    return 0;
}
