/* SPDX-License-Identifier: MIT */
#include "tests/unit/fault-syscall.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/xattr.h>
#include <unistd.h>

static struct {
    atomic_uint count;
    int skip, times, error;
} faults[FAULT_CALLS];

static unsigned short_io;
static bool copies_fd;
static int copied_fd = -1;

void fault_arm(FaultCall call, int skip, int times, int error)
{
    faults[call].skip = skip;
    faults[call].times = times;
    faults[call].error = error;
}

void fault_short_io(unsigned bytes)
{
    short_io = bytes;
}

void fault_copy_fd(void)
{
    copies_fd = true;
    copied_fd = -1;
}

int fault_copied_fd(void)
{
    return copied_fd;
}

unsigned fault_count(FaultCall call)
{
    return faults[call].count;
}

static bool fault_due(FaultCall call)
{
    faults[call].count++;
    if (faults[call].times == 0) {
        return false;
    }
    if (faults[call].skip > 0) {
        faults[call].skip--;
        return false;
    }
    if (faults[call].times > 0) {
        faults[call].times--;
    }
    errno = faults[call].error;
    return true;
}

/* One element of at most short_io bytes, or the whole vector. */
static ssize_t vector_io(FaultCall fault, long call, int fd,
                         const struct iovec *iov, int n, off_t offset,
                         int flags)
{
    if (fault_due(fault)) {
        return -1;
    }
    if (short_io > 0 && n > 0) {
        if (faults[fault].count % 2 == 0) {
            errno = EINTR;
            return -1;
        }
        struct iovec part = iov[0];
        if (part.iov_len > short_io) {
            part.iov_len = short_io;
        }
        return syscall(call, fd, &part, 1L, offset, 0L, flags);
    }
    return syscall(call, fd, iov, (long)n, offset, 0L, flags);
}

ssize_t pwrite(int fd, const void *buf, size_t bytes, off_t offset)
{
    if (fault_due(FAULT_PWRITE)) {
        return -1;
    }
    if (short_io > 0 && bytes > short_io) {
        bytes = short_io;
    }
    return syscall(SYS_pwrite64, fd, buf, bytes, offset);
}

ssize_t preadv(int fd, const struct iovec *iov, int n, off_t offset)
{
    return vector_io(FAULT_PREADV, SYS_preadv, fd, iov, n, offset, 0);
}

ssize_t pwritev(int fd, const struct iovec *iov, int n, off_t offset)
{
    return vector_io(FAULT_PWRITEV, SYS_pwritev, fd, iov, n, offset, 0);
}

ssize_t pwritev2(int fd, const struct iovec *iov, int n, off_t offset,
                 int flags)
{
    return vector_io(FAULT_PWRITEV2, SYS_pwritev2, fd, iov, n, offset, flags);
}

int fdatasync(int fd)
{
    if (copies_fd) {
        copied_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
        copies_fd = false;
    }
    return fault_due(FAULT_FDATASYNC) ? -1 : (int)syscall(SYS_fdatasync, fd);
}

int fallocate(int fd, int mode, off_t offset, off_t bytes)
{
    return fault_due(FAULT_FALLOCATE)
               ? -1
               : (int)syscall(SYS_fallocate, fd, mode, offset, bytes);
}

ssize_t copy_file_range(int in, off64_t *in_offset, int out,
                        off64_t *out_offset, size_t bytes, unsigned flags)
{
    if (fault_due(FAULT_COPY_FILE_RANGE)) {
        return faults[FAULT_COPY_FILE_RANGE].error == 0 ? 0 : -1;
    }
    if (short_io > 0 && bytes > short_io) {
        bytes = short_io;
    }
    return syscall(SYS_copy_file_range, in, in_offset, out, out_offset, bytes,
                   flags);
}

ssize_t splice(int in, off64_t *in_offset, int out, off64_t *out_offset,
               size_t bytes, unsigned flags)
{
    if (fault_due(FAULT_SPLICE)) {
        return faults[FAULT_SPLICE].error == 0 ? 0 : -1;
    }
    if (short_io > 0 && bytes > short_io) {
        bytes = short_io;
    }
    return syscall(SYS_splice, in, in_offset, out, out_offset, bytes, flags);
}

int fsetxattr(int fd, const char *name, const void *value, size_t bytes,
              int flags)
{
    return fault_due(FAULT_FSETXATTR)
               ? -1
               : (int)syscall(SYS_fsetxattr, fd, name, value, bytes, flags);
}
