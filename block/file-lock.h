/* SPDX-License-Identifier: MIT */
/*
 * Image locks: how processes that use one image file keep out of each other's
 * way. The bytes and their meaning are QEMU's, so the two see each other.
 */
#ifndef BLOCK_FILE_LOCK_H
#define BLOCK_FILE_LOCK_H

#include <glib.h>
#include <stdbool.h>

/* What one open image holds. Not locked: used with the node drained. */
typedef struct FileLock {
    int fd;            /* the open file that owns the locks; -1: no locking */
    unsigned used;     /* BLK_PERM_* that we use: locked */
    unsigned unshared; /* BLK_PERM_* that others must not use: locked */
} FileLock;

/* Whether kernel and file system know OFD locks. */
bool file_lock_works(int fd);

/*
 * Take what `perm` and `shared` (BLK_PERM_*) need beyond what is held, and
 * look for others that are in the way. On failure the lock is as before.
 * Ends with file_lock_keep(), which gives up all that they do not need, or
 * with file_lock_abort(), which gives up what was taken.
 */
bool file_lock_take(FileLock *lock, const char *filename, unsigned perm,
                    unsigned shared, GError **errp) G_GNUC_WARN_UNUSED_RESULT;
void file_lock_keep(FileLock *lock, unsigned perm, unsigned shared);
void file_lock_abort(FileLock *lock);

#endif
