/* SPDX-License-Identifier: MIT */
/*
 * Image locks.
 *
 * Each permission has two bytes in the image file, far from being data: byte
 * 100 + n is locked by who uses permission n, byte 200 + n by who does not let
 * others use it. All locks are read locks, so any number of processes can
 * state the same; a conflict is seen by asking, after our own locks are in
 * place, whether somebody holds the opposite byte. Two that start at the same
 * moment may both see the other and both give up; they never both go on.
 *
 * The locks belong to an open file description (OFD), not to the process:
 * they survive another close() of the same file here, and two nodes of one
 * process see each other.
 */
#include "block/file-lock.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "block/block.h"

#define LOCK_USED_BASE 100
#define LOCK_UNSHARED_BASE 200
#define LOCK_BITS 4

static const char *const perm_names[LOCK_BITS] = { "consistent read", "write",
                                                   "write unchanged",
                                                   "resize" };

static int lock_byte(int fd, int command, short type, off_t byte,
                     struct flock *result)
{
    struct flock fl = {
        .l_type = type,
        .l_whence = SEEK_SET,
        .l_start = byte,
        .l_len = 1,
    };
    int ret;

    do {
        ret = fcntl(fd, command, &fl);
    } while (ret < 0 && errno == EINTR);
    if (ret < 0) {
        return -errno;
    }
    if (result != NULL) {
        *result = fl;
    }
    return 0;
}

bool file_lock_works(int fd)
{
    struct flock fl;

    return lock_byte(fd, F_OFD_GETLK, F_WRLCK, LOCK_USED_BASE, &fl) == 0;
}

static void unlock_bits(int fd, off_t base, unsigned bits)
{
    for (int n = 0; n < LOCK_BITS; n++) {
        if (bits & (1u << n)) {
            /* Giving up a lock that is held needs nothing that can fail. */
            (void)lock_byte(fd, F_OFD_SETLK, F_UNLCK, base + n, NULL);
        }
    }
}

static bool lock_bits(int fd, const char *filename, off_t base, unsigned bits,
                      GError **errp)
{
    for (int n = 0; n < LOCK_BITS; n++) {
        if (!(bits & (1u << n))) {
            continue;
        }
        int ret = lock_byte(fd, F_OFD_SETLK, F_RDLCK, base + n, NULL);
        if (ret < 0) {
            block_error_set_errno(errp, -ret,
                                  "Could not lock '%s' (locking=off opens it "
                                  "without locks)",
                                  filename);
            return false;
        }
    }
    return true;
}

/* Nobody else may hold a lock on the bytes `bits` of base. */
static bool check_bits(int fd, const char *filename, off_t base, unsigned bits,
                       bool writing, GError **errp)
{
    for (int n = 0; n < LOCK_BITS; n++) {
        struct flock fl;

        if (!(bits & (1u << n))) {
            continue;
        }
        int ret = lock_byte(fd, F_OFD_GETLK, F_WRLCK, base + n, &fl);
        if (ret < 0) {
            block_error_set_errno(errp, -ret,
                                  "Could not query the locks of "
                                  "'%s' (locking=off opens it without locks)",
                                  filename);
            return false;
        }
        if (fl.l_type != F_UNLCK) {
            block_error_set(errp, EAGAIN,
                            "Failed to get %s\"%s\" lock: Is another process "
                            "using the image [%s]?%s",
                            base == LOCK_USED_BASE ? "shared " : "",
                            perm_names[n], filename,
                            writing ? " It must be closed there first"
                                    : " To read it all the same, use -U "
                                      "(force-share=on)");
            return false;
        }
    }
    return true;
}

bool file_lock_take(FileLock *lock, const char *filename, unsigned perm,
                    unsigned shared, GError **errp)
{
    unsigned unshared = BLK_PERM_ALL & ~shared;
    bool writing = (perm & (BLK_PERM_WRITE | BLK_PERM_RESIZE)) != 0;

    if (lock->fd < 0) {
        return true;
    }
    perm &= BLK_PERM_ALL;
    if (lock_bits(lock->fd, filename, LOCK_USED_BASE, perm & ~lock->used,
                  errp) &&
        lock_bits(lock->fd, filename, LOCK_UNSHARED_BASE,
                  unshared & ~lock->unshared, errp) &&
        check_bits(lock->fd, filename, LOCK_UNSHARED_BASE, perm & ~lock->used,
                   writing, errp) &&
        check_bits(lock->fd, filename, LOCK_USED_BASE,
                   unshared & ~lock->unshared, writing, errp)) {
        return true;
    }
    file_lock_abort(lock);
    return false;
}

void file_lock_keep(FileLock *lock, unsigned perm, unsigned shared)
{
    if (lock->fd < 0) {
        return;
    }
    lock->used = perm & BLK_PERM_ALL;
    lock->unshared = BLK_PERM_ALL & ~shared;
    file_lock_abort(lock);
}

void file_lock_abort(FileLock *lock)
{
    if (lock->fd >= 0) {
        unlock_bits(lock->fd, LOCK_USED_BASE, BLK_PERM_ALL & ~lock->used);
        unlock_bits(lock->fd, LOCK_UNSHARED_BASE,
                    BLK_PERM_ALL & ~lock->unshared);
    }
}
