/* SPDX-License-Identifier: MIT */
/*
 * The "file" driver: copying without reading into a buffer.
 *
 * First the blocks that can be shared: FICLONERANGE takes whole blocks of one
 * file system, at the same position within a block on both sides. The rest,
 * or everything, through a pipe of our own where that is what the kernel would
 * do with a much shorter one, and by copy_file_range() elsewhere. Where the
 * kernel gives up in the middle, reads and writes finish the range: so
 * -ENOTSUP always means that nothing was written, and the caller may do all of
 * it in its own way.
 */
#include "block/file-posix.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Sharing costs metadata: below this, copying is as good. */
#define CLONE_MIN (INT64_C(64) * 1024)
/* One copy_file_range() at most, so that a signal does not wait for long. */
#define COPY_MAX (INT64_C(256) * 1024 * 1024)
#define BOUNCE_SIZE (INT64_C(256) * 1024)
/* Bytes that go through a pipe at a time, up to a multiple of it in the target:
 * long enough for the page cache to use large pages there, and short of huge
 * ones (2 MiB): the kernel may have to make room for these, and the host of a
 * virtual machine to give them back. */
#define WINDOW_SIZE (INT64_C(512) * 1024)
/* The pipe holds a window that begins within a page as well. This is what the
 * kernel allows everybody (pipe(7)). */
#define PIPE_SIZE (2 * WINDOW_SIZE)
/* From how many bytes on a pipe pays. */
#define PIPE_MIN (INT64_C(64) * 1024)

static int source_ended(const FileState *s, int fd)
{
    char link[32];
    g_snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    g_autofree char *path = g_file_read_link(link, NULL);

    bdrv_set_io_error("'%s' has shrunk while it was copied into '%s'",
                      path != NULL ? path : "the source file", s->filename);
    return -EIO;
}

static int copy_by_hand(const FileState *s, int fd, int64_t fd_offset,
                        int64_t offset, int64_t bytes)
{
    g_autofree char *buf = g_try_malloc((size_t)BOUNCE_SIZE);

    if (buf == NULL) {
        return file_io_error(s, "Copying into", offset, ENOMEM);
    }
    while (bytes > 0) {
        ssize_t n = pread(fd, buf, (size_t)MIN(bytes, BOUNCE_SIZE), fd_offset);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return file_io_error(s, "Reading the source of a copy into",
                                 offset, errno);
        }
        if (n == 0) {
            return source_ended(s, fd);
        }
        int ret = file_write_all(s->fd, buf, (size_t)n, offset);
        if (ret < 0) {
            return file_io_error(s, "Writing", offset, -ret);
        }
        fd_offset += n;
        offset += n;
        bytes -= n;
    }
    return 0;
}

/* The kernel cannot copy between these two, or not in this way. EPERM is
 * what system call filters answer; a real one shows when writing. */
static bool means_cannot_copy(int err)
{
    return err == EXDEV || err == ENOSYS || err == EOPNOTSUPP ||
           err == EINVAL || err == EBADF || err == ETXTBSY || err == EPERM;
}

/* ends: to read from, and to write to. */
static bool open_pipe(int ends[2])
{
    if (pipe2(ends, O_CLOEXEC) < 0) {
        return false;
    }
    if (fcntl(ends[1], F_SETPIPE_SZ, (int)PIPE_SIZE) < 0) {
        close(ends[0]);
        close(ends[1]);
        return false;
    }
    return true;
}

/* Pages of the source into the empty pipe, and on into the target. Adds to
 * *done what got there. False: no more, and the pipe may not be empty. */
static bool copy_window(const FileState *s, const int ends[2], int fd,
                        int64_t fd_offset, int64_t offset, int64_t bytes,
                        int64_t *done)
{
    off_t in = fd_offset, out = offset;
    ssize_t left = splice(fd, &in, ends[1], NULL, (size_t)bytes, 0);
    bool more = left > 0;

    while (left > 0) {
        ssize_t n = splice(ends[0], NULL, s->fd, &out, (size_t)left, 0);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            more = false;
            break;
        }
        left -= n;
    }
    *done += out - offset;
    return more;
}

/* As much as goes through a pipe: what stops it, the ways that are tried next
 * get to know as well, and say. */
static int64_t copy_piped(const FileState *s, int fd, int64_t fd_offset,
                          int64_t offset, int64_t bytes)
{
    int64_t done = 0;
    int ends[2];

    if (bytes < PIPE_MIN || !open_pipe(ends)) {
        return 0;
    }
    while (done < bytes) {
        int64_t at = offset + done;
        int64_t n = MIN(bytes - done, WINDOW_SIZE - at % WINDOW_SIZE);

        if (!copy_window(s, ends, fd, fd_offset + done, at, n, &done)) {
            break;
        }
    }
    close(ends[0]);
    close(ends[1]);
    return done;
}

/* may_refuse: -ENOTSUP if the kernel cannot, rather than doing it by hand. */
static int copy_part(const FileState *s, int fd, int64_t fd_offset,
                     int64_t offset, int64_t bytes, bool may_refuse)
{
    while (bytes > 0) {
        off_t in = fd_offset, out = offset;
        ssize_t n = copy_file_range(fd, &in, s->fd, &out,
                                    (size_t)MIN(bytes, COPY_MAX), 0);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 && !means_cannot_copy(errno)) {
            return file_io_error(s, "Copying into", offset, errno);
        }
        if (n < 0 && may_refuse) {
            return -ENOTSUP;
        }
        if (n <= 0) {
            /* After 0, reading tells a source that has ended from a file
             * system that cannot copy and does not say so. */
            return copy_by_hand(s, fd, fd_offset, offset, bytes);
        }
        may_refuse = false;
        fd_offset += n;
        offset += n;
        bytes -= n;
    }
    return 0;
}

static bool clone_refused_from(FileState *s, dev_t dev)
{
    pthread_mutex_lock(&s->lock);
    bool refused = s->clone_refused && s->clone_refused_dev == dev;
    pthread_mutex_unlock(&s->lock);
    return refused;
}

/* Share whole blocks. False: nothing was changed. */
static bool clone_blocks(FileState *s, int fd, dev_t dev, int64_t fd_offset,
                         int64_t offset, int64_t bytes)
{
    struct file_clone_range range = {
        .src_fd = fd,
        .src_offset = (uint64_t)fd_offset,
        .src_length = (uint64_t)bytes,
        .dest_offset = (uint64_t)offset,
    };
    int ret;

    if (clone_refused_from(s, dev)) {
        return false;
    }
    do {
        ret = ioctl(s->fd, FICLONERANGE, &range);
    } while (ret < 0 && errno == EINTR);
    if (ret == 0) {
        return true;
    }
    if (errno == EXDEV || errno == EOPNOTSUPP || errno == ENOTTY ||
        errno == ENOSYS) {
        pthread_mutex_lock(&s->lock);
        s->clone_refused = true;
        s->clone_refused_dev = dev;
        pthread_mutex_unlock(&s->lock);
    }
    return false;
}

static int copy_or_clone(FileState *s, int fd, int64_t fd_offset,
                         int64_t offset, int64_t bytes)
{
    int64_t block = s->block_size;
    int64_t head = (block - offset % block) % block;
    int64_t middle = bytes > head ? (bytes - head) / block * block : 0;
    int64_t done = 0;
    struct stat st;

    if (s->is_device || fstat(fd, &st) < 0) {
        return copy_part(s, fd, fd_offset, offset, bytes, true);
    }
    if (middle < CLONE_MIN || fd_offset % block != offset % block ||
        !clone_blocks(s, fd, st.st_dev, fd_offset + head, offset + head,
                      middle)) {
        if (s->copies_pages && st.st_dev == s->device) {
            done = copy_piped(s, fd, fd_offset, offset, bytes);
        }
        return copy_part(s, fd, fd_offset + done, offset + done, bytes - done,
                         done == 0);
    }
    int ret = copy_part(s, fd, fd_offset, offset, head, false);
    if (ret < 0) {
        return ret;
    }
    done = head + middle;
    return copy_part(s, fd, fd_offset + done, offset + done, bytes - done,
                     false);
}

int file_copy_range_to(BlockDriverState *bs, int fd, int64_t fd_offset,
                       int64_t offset, int64_t bytes, unsigned flags)
{
    FileState *s = bdrv_opaque(bs);
    int ret = copy_or_clone(s, fd, fd_offset, offset, bytes);

    file_map_forget(s); /* holes of the source may have come along */
    if (ret == 0 && (flags & BDRV_REQ_FUA)) {
        ret = file_flush(bs);
    }
    return ret;
}

int file_copy_range_from(BlockDriverState *bs, int64_t offset,
                         BlockDriverState *dst, int64_t dst_offset,
                         int64_t bytes, unsigned flags)
{
    const FileState *s = bdrv_opaque(bs);

    return bdrv_copy_host_range(s->fd, offset, dst, dst_offset, bytes, flags);
}
