/* SPDX-License-Identifier: MIT */
/*
 * A host file system in memory that knows what is on its disk: for workloads
 * that are cut off at every step. Faults come from fault-hostfs.h in front of
 * it.
 *
 * It behaves as a file system of Linux does for a user who owns everything:
 * permissions are checked against the owner's bits, and every change takes one
 * microsecond of its own clock, so that whatever was touched can be told by
 * its times.
 *
 * What was changed since it was synced is pending. file_sync() brings the data
 * and attributes of a file to the disk, dir_sync() the names in a directory
 * (not what they lead to, and not the name of a new file that was synced),
 * sync_fs() everything on the device of the root. After a power cut the disk has all that was synced,
 * and of what was pending some, by choice:
 * - each write of data: all, none or some pieces of it, in any order;
 * - each change of size, mode, times and extended attributes, in any order,
 *   the times that come with a change apart from it;
 * - each change of names as a whole (a rename is in both directories or in
 *   none). Those in one directory get there in their order, those in different
 *   ones in any, unless memory_hostfs_set_ordered() turned that off.
 */
#ifndef TESTS_MEMORY_HOSTFS_H
#define TESTS_MEMORY_HOSTFS_H

#include "block/vvfat/hostfs.h"

/* Seeds of memory_hostfs_crash() with a meaning; others choose at random. */
enum {
    MEMORY_CRASH_NONE,     /* nothing pending got there */
    MEMORY_CRASH_ALL,      /* everything did */
    MEMORY_CRASH_NAMES,    /* names did, data and attributes did not */
    MEMORY_CRASH_CONTENTS, /* the other way round */
    MEMORY_CRASH_RANDOM,   /* from here on */
};

/* An empty one, everything durable. hostfs_free(). */
HostFs *memory_hostfs_new(void);

/* The disk after a power cut now, started again: a new file system, which has
 * nothing pending. The other one stays as it is. */
HostFs *memory_hostfs_crash(HostFs *fs, uint32_t seed);
/* The same after the process alone has died: as it is now, with what is
 * pending, without what was only open. */
HostFs *memory_hostfs_kill(HostFs *fs);

/*
 * Let the n-th sync from now on (1: the next one) fail with -EIO, once. As on
 * Linux, what was written to the file, or with sync_fs() to all of them, can
 * be read for as long as the system runs, and does not get to the disk any
 * more unless it is written again; names, sizes and attributes are pending
 * still. 0: none.
 */
void memory_hostfs_fail_sync(HostFs *fs, unsigned n);
/* Whether that sync is still to come. */
bool memory_hostfs_sync_is_to_fail(HostFs *fs);

/* Changes that a power cut may lose. */
unsigned memory_hostfs_pending(HostFs *fs);

/* Whether changes of names in one directory, and of a directory and in it,
 * keep their order. True at first. */
void memory_hostfs_set_ordered(HostFs *fs, bool ordered);
/* Bytes that files and directories may take; -ENOSPC beyond. */
void memory_hostfs_set_capacity(HostFs *fs, uint64_t bytes);
/* Another device is mounted on an empty directory; everything is synced. */
void memory_hostfs_mount(HostFs *fs, const char *path);
/* Whether another one holds the lock. */
void memory_hostfs_set_locked(HostFs *fs, bool locked);
/* Whether there are extended attributes. True at first. */
void memory_hostfs_set_xattrs(HostFs *fs, bool have);
void memory_hostfs_set_umask(HostFs *fs, unsigned mask); /* 022 at first */
/* The clock, in seconds since 1970. */
void memory_hostfs_set_time(HostFs *fs, int64_t seconds);

/* Make a symbolic link. */
int memory_hostfs_symlink(HostFs *fs, const char *path, const char *target);

#endif
