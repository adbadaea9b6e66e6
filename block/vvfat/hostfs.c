/* SPDX-License-Identifier: MIT */
/* What is the same for every table of host file-system functions. */
#include "block/vvfat/hostfs.h"

#include <errno.h>
#include <limits.h>

#define HOLE_UNIT 512

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

static int64_t unit_floor(int64_t n)
{
    return n / HOLE_UNIT * HOLE_UNIT;
}

int64_t hostfs_find_hole(HostFs *fs, HostFile *file, int64_t size,
                         int64_t offset, int64_t end, bool *is_hole)
{
    int64_t data = fs->ops->file_seek(fs, file, offset, true);
    int64_t hole;
    HostStat st;

    *is_hole = false;
    if (data == -ENXIO) { /* a hole up to the end of the file */
        if (fs->ops->file_stat(fs, file, &st) < 0 || st.size < size) {
            return end;
        }
        data = end;
    }
    if (data < 0) {
        return end;
    }
    data = data >= end ? end : unit_floor(data);
    if (data > offset) {
        *is_hole = true;
        return data;
    }
    hole = fs->ops->file_seek(fs, file, offset, false);
    if (hole < 0 || hole >= end) {
        return end;
    }
    return MIN(unit_floor(MAX(hole, offset + 1) + HOLE_UNIT - 1), end);
}
