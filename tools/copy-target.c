/* SPDX-License-Identifier: MIT */
#include "tools/copy-target.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define ZEROES_BYTES 65536
#define ZEROES_VECTORS 16
#define SECTOR_BYTES 512
#define MIN_ZERO_BUFFER ((int64_t)2 << 20)

#define BUFFER_BYTES ((int64_t)2 << 20)
/* Clusters of one write are compressed on all processors. */
#define COMPRESS_BUFFER_BYTES ((int64_t)4 << 20)
#define COMPRESS_BUFFER_MAX ((int64_t)16 << 20)
#define COMPRESS_CLUSTERS 4 /* for each processor, in one write */

static const char zeroes[ZEROES_BYTES];

CopyTarget *copy_target_new_image(BlockBackend *blk, const char *name)
{
    CopyTarget *target = g_new0(CopyTarget, 1);
    g_autoptr(BdrvInfo) info = blk_get_info(blk, NULL);

    target->blk = blk;
    target->name = g_strdup(name);
    target->zero_from = COPY_TARGET_NO_ZEROES;
    target->only_changes = info &&
                           g_strcmp0(info->specific_format, "vvfat") == 0;
    target->cluster = info && info->cluster_size > 0 ? info->cluster_size : 1;
    return target;
}

/* Whether what lies behind the position of standard output would read as
 * zeroes if it was skipped: a regular file that ends there. */
static bool stdout_can_seek(void)
{
    struct stat st;
    int flags = fcntl(STDOUT_FILENO, F_GETFL);
    off_t position = lseek(STDOUT_FILENO, 0, SEEK_CUR);

    return flags >= 0 && !(flags & O_APPEND) && position >= 0 &&
           fstat(STDOUT_FILENO, &st) == 0 && S_ISREG(st.st_mode) &&
           st.st_size <= position;
}

CopyTarget *copy_target_new_stdout(void)
{
    CopyTarget *target = g_new0(CopyTarget, 1);

    target->name = g_strdup("standard output");
    target->zero_from = COPY_TARGET_NO_ZEROES;
    target->cluster = 1;
    target->can_seek = stdout_can_seek();
    return target;
}

void copy_target_free(CopyTarget *target)
{
    if (target) {
        blk_close(target->blk);
        g_free(target->name);
        g_free(target);
    }
}

static int stream_write(const char *buf, int64_t bytes)
{
    while (bytes > 0) {
        ssize_t n = write(STDOUT_FILENO, buf, (size_t)bytes);
        if (n < 0) {
            if (errno == EINTR) {
                continue;
            }
            return -errno;
        }
        buf += n;
        bytes -= n;
    }
    return 0;
}

static int stream_write_zeroes(int64_t bytes)
{
    struct iovec iov[ZEROES_VECTORS];

    while (bytes > 0) {
        int n = 0;
        for (int64_t left = bytes; left > 0 && n < ZEROES_VECTORS; n++) {
            iov[n].iov_base = (void *)zeroes;
            iov[n].iov_len = (size_t)MIN(left, ZEROES_BYTES);
            left -= (int64_t)iov[n].iov_len;
        }
        ssize_t written = writev(STDOUT_FILENO, iov, n);
        if (written < 0) {
            if (errno == EINTR) {
                continue;
            }
            return -errno;
        }
        bytes -= written;
    }
    return 0;
}

/* Whole clusters, but the last may be short. */
static bool can_compress(const CopyTarget *target, int64_t end)
{
    return target->compress &&
           (end % target->cluster == 0 || end == blk_getlength(target->blk));
}

static int image_write(CopyTarget *target, int64_t offset, int64_t bytes,
                       const void *buf)
{
    bool compressed = can_compress(target, offset + bytes);

    return blk_pwrite(target->blk, offset, bytes, buf,
                      compressed ? BDRV_REQ_WRITE_COMPRESSED : 0);
}

/* ---- Only what changes ---- */

/* How many bytes, in whole sectors, are the same in both, or differ. */
static int64_t same_run(const char *a, const char *b, int64_t bytes,
                        bool *same)
{
    int64_t at = 0;

    while (at < bytes) {
        int64_t n = MIN(SECTOR_BYTES, bytes - at);
        bool is_same = memcmp(a + at, b + at, (size_t)n) == 0;

        if (at > 0 && is_same != *same) {
            break;
        }
        *same = is_same;
        at += n;
    }
    return at;
}

static int write_changes(CopyTarget *target, int64_t offset, int64_t bytes,
                         const char *buf)
{
    g_autofree char *old = g_try_malloc((gsize)bytes);
    int ret = 0;

    if (!old || blk_pread(target->blk, offset, bytes, old, 0) < 0) {
        return image_write(target, offset, bytes, buf);
    }
    for (int64_t at = 0, n; ret == 0 && at < bytes; at += n) {
        bool same = false;

        n = same_run(old + at, buf + at, bytes - at, &same);
        if (!same) {
            ret = image_write(target, offset + at, n, buf + at);
        }
    }
    return ret;
}

static int zero_changes(CopyTarget *target, int64_t offset, int64_t bytes)
{
    g_autofree char *buf = g_try_malloc0(MIN_ZERO_BUFFER);
    int ret = buf ? 0 : -ENOMEM;

    while (ret == 0 && bytes > 0) {
        g_auto(BdrvBlockStatus) status = { 0 };
        int64_t n;

        ret = blk_block_status(target->blk, offset, bytes, 0, &status);
        if (ret < 0) {
            break;
        }
        n = status.bytes;
        if (!(status.flags & BDRV_BLOCK_ZERO)) {
            n = MIN(n, MIN_ZERO_BUFFER);
            ret = write_changes(target, offset, n, buf);
        }
        offset += n;
        bytes -= n;
    }
    return ret;
}

/* The last sector of a source may be short: the image's is not. */
static int64_t padding(const CopyTarget *target, int64_t end)
{
    return end == target->data_end ? target->pad_end - end : 0;
}

int copy_target_write(CopyTarget *target, int64_t offset, int64_t bytes,
                      const void *buf)
{
    if (!target->blk) {
        return stream_write(buf, bytes);
    }
    if (target->only_changes) {
        return write_changes(target, offset, bytes, buf);
    }
    int64_t pad = padding(target, offset + bytes);
    if (pad <= 0) {
        return image_write(target, offset, bytes, buf);
    }
    g_autofree char *padded = g_try_malloc0((gsize)(bytes + pad));
    if (!padded) {
        return -ENOMEM;
    }
    memcpy(padded, buf, (gsize)bytes);
    return image_write(target, offset, bytes + pad, padded);
}

/* A format would note that there are zeroes, and take no room for them. */
static int write_zero_clusters(CopyTarget *target, int64_t offset,
                               int64_t bytes)
{
    int64_t n = MAX(target->cluster, MIN_ZERO_BUFFER);
    g_autofree char *buf = g_try_malloc0((gsize)n);

    if (!buf) {
        return -ENOMEM;
    }
    while (bytes > 0) {
        n = MIN(n, bytes);
        int ret = copy_target_write(target, offset, n, buf);
        if (ret < 0) {
            return ret;
        }
        offset += n;
        bytes -= n;
    }
    return 0;
}

int copy_target_write_zeroes(CopyTarget *target, int64_t offset, int64_t bytes,
                             bool allocate)
{
    if (target->only_changes) {
        return zero_changes(target, offset, bytes);
    }
    if (target->blk && allocate && target->cluster > 1) {
        return write_zero_clusters(target, offset, bytes);
    }
    if (target->blk) {
        bytes += MAX(padding(target, offset + bytes), 0);
        return blk_pwrite_zeroes(target->blk, offset, bytes,
                                 allocate ? 0 : BDRV_REQ_MAY_UNMAP);
    }
    if (target->can_seek && !allocate) {
        return lseek(STDOUT_FILENO, bytes, SEEK_CUR) < 0 ? -errno : 0;
    }
    return stream_write_zeroes(bytes);
}

int64_t copy_target_buffer_bytes(const CopyTarget *target, int64_t most)
{
    int64_t bytes = BUFFER_BYTES;

    if (target->compress) {
        bytes =
            MAX(COMPRESS_BUFFER_BYTES,
                COMPRESS_CLUSTERS * g_get_num_processors() * target->cluster);
        bytes = MIN(bytes, COMPRESS_BUFFER_MAX);
    }
    if (most > 0) {
        bytes = MIN(bytes, most);
    }
    return MAX(bytes / target->cluster, 1) * target->cluster;
}

int copy_target_finish(CopyTarget *target)
{
    if (target->blk) {
        return blk_flush(target->blk);
    }
    if (target->can_seek) {
        off_t end = lseek(STDOUT_FILENO, 0, SEEK_CUR);
        struct stat st;
        if (end < 0 || fstat(STDOUT_FILENO, &st) < 0) {
            return -errno;
        }
        if (st.st_size < end && ftruncate(STDOUT_FILENO, end) < 0) {
            return -errno;
        }
    }
    return 0;
}

char *copy_target_strerror(const CopyTarget *target, int ret)
{
    return target->blk ? blk_strerror(ret) : g_strdup(g_strerror(-ret));
}
