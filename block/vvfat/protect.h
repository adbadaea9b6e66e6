/* SPDX-License-Identifier: MIT */
/*
 * Files and directories that the host does not let us write: the guest's
 * writes to their clusters and to their directory entries are refused at once,
 * where the last commit found them, unless they write what is there. (What a
 * guest moves elsewhere first is held back by the commit.) Access dates may
 * change: reading does that.
 *
 * Not locked: it is asked with the overlay's gate held, and changed with it
 * held alone.
 */
#ifndef VVFAT_PROTECT_H
#define VVFAT_PROTECT_H

#include <glib.h>
#include <stdint.h>

#include "block/iov.h"
#include "block/vvfat/data-map.h"
#include "block/vvfat/geometry.h"

typedef struct Protect Protect;

/*
 * Whether a file only lacks write permission, in a directory that may be
 * written: its owner can remove, rename and replace it, and give himself that
 * permission.
 */
bool protect_is_the_owners(const Inode *inode);

/* Such files are protected no more. Before protect_new(). */
void protect_allow_owner(Inode *root);

/* root: of inodes as they stand on the disk now; those that are protected and
 * the geometry outlive it. NULL: no file or directory is protected. */
Protect *protect_new(Inode *root, const Geometry *geometry);
void protect_free(Protect *protect);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Protect, protect_free)

/* The guest's side of inodes may have changed: entries may stand elsewhere. */
void protect_refresh(Protect *protect);

/* Reads bytes of the disk as it is: 0 or -errno. */
typedef int ProtectRead(void *opaque, int64_t offset, int64_t bytes,
                        void *buf);

/*
 * The protected inode whose entry a write would change, or NULL; *ret is
 * -errno when that could not be found out. iov NULL: zeroes are written.
 */
const Inode *protect_check_entries(const Protect *protect, int64_t offset,
                                   int64_t bytes, const IOVector *iov,
                                   ProtectRead *read, void *opaque, int *ret);

#endif
