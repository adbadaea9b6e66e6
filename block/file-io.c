/* SPDX-License-Identifier: MIT */
/*
 * The "file" driver: reading, writing, flushing, zeroes, discard.
 *
 * A flush that failed stays failed. The kernel reports a failed write-back
 * once and may have dropped the pages, so a second fdatasync() that succeeds
 * proves nothing about the data written before the first.
 *
 * A method that the host turns out not to have (ZERO_RANGE on tmpfs, punching
 * on an old NFS) is noted in s->lacks and not tried again.
 */
#include "block/file-posix.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

int file_io_error(const FileState *s, const char *doing, int64_t offset,
                  int err)
{
    bdrv_set_io_error("%s '%s' at byte %" G_GINT64_FORMAT " failed: %s", doing,
                      s->filename, offset, g_strerror(err));
    return -err;
}

/* ---- Reading and writing ---- */

/* How far a request has come in its vector. */
typedef struct IOCursor {
    const struct iovec *iov; /* the element to go on with */
    int left;                /* elements from there on */
    size_t skip;             /* bytes of it that are done */
} IOCursor;

static void cursor_advance(IOCursor *c, size_t bytes)
{
    c->skip += bytes;
    while (c->left > 0 && c->skip >= c->iov->iov_len) {
        c->skip -= c->iov->iov_len;
        c->iov++;
        c->left--;
    }
}

/* The vector of the next system call: after short I/O inside an element, the
 * rest of that element alone (in *rest), so that no array is copied. */
static int cursor_vector(const IOCursor *c, struct iovec *rest,
                         const struct iovec **iov)
{
    if (c->skip == 0) {
        *iov = c->iov;
        return MIN(c->left, IOV_MAX);
    }
    rest->iov_base = (char *)c->iov->iov_base + c->skip;
    rest->iov_len = c->iov->iov_len - c->skip;
    *iov = rest;
    return 1;
}

int file_preadv(BlockDriverState *bs, int64_t offset, int64_t bytes,
                const IOVector *iov, unsigned flags)
{
    const FileState *s = bdrv_opaque(bs);
    IOCursor c = { .iov = iov->iov, .left = iov->niov };
    int64_t end = offset + bytes;

    (void)flags;
    cursor_advance(&c, 0);
    while (offset < end) {
        struct iovec rest;
        const struct iovec *vec;
        int n = cursor_vector(&c, &rest, &vec);
        ssize_t done = preadv(s->fd, vec, n, offset);

        if (done < 0 && errno == EINTR) {
            continue;
        }
        if (done < 0) {
            return file_io_error(s, "Reading", offset, errno);
        }
        if (done == 0) {
            bdrv_set_io_error("'%s' has shrunk while it is open: it ends "
                              "before byte %" G_GINT64_FORMAT,
                              s->filename, offset);
            return -EIO;
        }
        cursor_advance(&c, (size_t)done);
        offset += done;
    }
    return 0;
}

static void poison_flush(FileState *s, int err)
{
    int none = 0;

    atomic_compare_exchange_strong(&s->flush_error, &none, err);
}

/*
 * FUA is RWF_DSYNC. When such a write fails, the failure may be that of the
 * sync or of the write, or the host does not know the flag: the same bytes
 * are written plainly and a flush follows. If the plain write succeeds, it
 * was the sync that failed, and has consumed the kernel's report.
 */
int file_pwritev(BlockDriverState *bs, int64_t offset, int64_t bytes,
                 const IOVector *iov, unsigned flags)
{
    FileState *s = bdrv_opaque(bs);
    IOCursor c = { .iov = iov->iov, .left = iov->niov };
    int64_t end = offset + bytes;
    int rwf = flags & BDRV_REQ_FUA ? RWF_DSYNC : 0;
    int sync_error = 0;

    cursor_advance(&c, 0);
    while (offset < end) {
        struct iovec rest;
        const struct iovec *vec;
        int n = cursor_vector(&c, &rest, &vec);
        ssize_t done = rwf != 0 ? pwritev2(s->fd, vec, n, offset, rwf)
                                : pwritev(s->fd, vec, n, offset);

        if (done < 0 && errno == EINTR) {
            continue;
        }
        if (done < 0 && rwf != 0) {
            sync_error = errno;
            rwf = 0;
            continue;
        }
        if (done <= 0) {
            return file_io_error(s, "Writing", offset,
                                 done < 0 ? errno : ENOSPC);
        }
        cursor_advance(&c, (size_t)done);
        offset += done;
    }
    if (sync_error == 0) {
        return 0;
    }
    if (sync_error != EOPNOTSUPP && sync_error != ENOSYS) {
        poison_flush(s, sync_error);
    }
    return file_flush(bs);
}

int file_write_all(int fd, const void *buf, size_t bytes, int64_t offset)
{
    const char *p = buf;

    while (bytes > 0) {
        ssize_t done = pwrite(fd, p, bytes, offset);

        if (done < 0 && errno == EINTR) {
            continue;
        }
        if (done <= 0) {
            return done < 0 ? -errno : -ENOSPC;
        }
        p += done;
        bytes -= (size_t)done;
        offset += done;
    }
    return 0;
}

int file_flush(BlockDriverState *bs)
{
    FileState *s = bdrv_opaque(bs);
    int ret;

    if (!s->writable) {
        return 0;
    }
    if (atomic_load(&s->flush_error) == 0) {
        do {
            ret = fdatasync(s->fd);
        } while (ret < 0 && errno == EINTR);
        if (ret == 0) {
            return 0;
        }
        poison_flush(s, errno);
    }
    int err = atomic_load(&s->flush_error);
    bdrv_set_io_error("Flushing '%s' failed (%s): data written before may be "
                      "lost. Close the image and check it",
                      s->filename, g_strerror(err));
    return -err;
}

/* ---- Zeroes and discard ---- */

/* What a call of an optional method gave: 0, an error, or -ENOTSUP, noted
 * when it will not change. EINVAL is about this range: try another way. */
static int method_result(FileState *s, unsigned lacks, int ret)
{
    if (ret == 0) {
        return 0;
    }
    switch (errno) {
    case ENOSYS:
    case EOPNOTSUPP:
    case ENOTTY:
    case ENODEV:
        atomic_fetch_or(&s->lacks, lacks);
        return -ENOTSUP;
    case EINVAL:
        return -ENOTSUP;
    default:
        return -errno;
    }
}

static int try_fallocate(FileState *s, unsigned lacks, int mode,
                         int64_t offset, int64_t bytes)
{
    int ret;

    if (atomic_load(&s->lacks) & lacks) {
        return -ENOTSUP;
    }
    do {
        ret = fallocate(s->fd, mode, offset, bytes);
    } while (ret < 0 && errno == EINTR);
    return method_result(s, lacks, ret);
}

static int try_ioctl(FileState *s, unsigned lacks, unsigned long request,
                     int64_t offset, int64_t bytes)
{
    uint64_t range[2] = { (uint64_t)offset, (uint64_t)bytes };

    if (atomic_load(&s->lacks) & lacks) {
        return -ENOTSUP;
    }
    return method_result(s, lacks, ioctl(s->fd, request, range));
}

static int try_punch(FileState *s, int64_t offset, int64_t bytes)
{
    return try_fallocate(s, FILE_LACKS_PUNCH,
                         FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset,
                         bytes);
}

static int zero_in_file(FileState *s, int64_t offset, int64_t bytes,
                        unsigned flags)
{
    int ret = -ENOTSUP;

    if (flags & BDRV_REQ_MAY_UNMAP) {
        ret = try_punch(s, offset, bytes);
    }
    if (ret == -ENOTSUP) {
        ret = try_fallocate(s, FILE_LACKS_ZERO_RANGE, FALLOC_FL_ZERO_RANGE,
                            offset, bytes);
    }
    if (ret == -ENOTSUP && !(flags & BDRV_REQ_MAY_UNMAP)) {
        /* A hole, whose blocks are then allocated again if that can be. */
        ret = try_punch(s, offset, bytes);
        if (ret == 0) {
            ret = try_fallocate(s, FILE_LACKS_ALLOCATE, 0, offset, bytes);
            ret = ret == -ENOTSUP ? 0 : ret;
        }
    }
    return ret;
}

static int zero_on_device(FileState *s, int64_t offset, int64_t bytes,
                          unsigned flags)
{
    int ret = -ENOTSUP;

    if (flags & BDRV_REQ_MAY_UNMAP) {
        ret = try_punch(s, offset, bytes);
    }
    /* BLKZEROOUT may write the zeroes out: not what NO_FALLBACK asks for. */
    if (ret == -ENOTSUP && !(flags & BDRV_REQ_NO_FALLBACK)) {
        ret = try_ioctl(s, FILE_LACKS_ZEROOUT, BLKZEROOUT, offset, bytes);
    }
    return ret;
}

int file_pwrite_zeroes(BlockDriverState *bs, int64_t offset, int64_t bytes,
                       unsigned flags)
{
    FileState *s = bdrv_opaque(bs);
    int ret = s->is_device ? zero_on_device(s, offset, bytes, flags)
                           : zero_in_file(s, offset, bytes, flags);

    file_map_forget(s);
    if (ret < 0 && ret != -ENOTSUP) {
        return file_io_error(s, "Writing zeroes to", offset, -ret);
    }
    return ret;
}

int file_pdiscard(BlockDriverState *bs, int64_t offset, int64_t bytes)
{
    FileState *s = bdrv_opaque(bs);
    int ret = s->is_device
                  ? try_ioctl(s, FILE_LACKS_DISCARD, BLKDISCARD, offset, bytes)
                  : try_punch(s, offset, bytes);

    file_map_forget(s);
    if (ret < 0 && ret != -ENOTSUP) {
        return file_io_error(s, "Discarding in", offset, -ret);
    }
    return ret;
}
