/* SPDX-License-Identifier: MIT */
/*
 * A directory with an overlay that is kept, what a guest does to it step by
 * step, and what the host is to have after each.
 *
 * The host is one in memory, the overlay a recording disk. Whatever cannot be
 * done ends the program; what is wrong is printed and counted.
 */
#ifndef TESTS_CRASH_KEPT_WORLD_H
#define TESTS_CRASH_KEPT_WORLD_H

#include "block/block.h"
#include "tests/crash/record-disk.h"
#include "tests/unit/fault-hostfs.h"
#include "tests/unit/memory-hostfs.h"

#define N_STEPS 9
#define BASE_IMAGE "base.qcow2"
#define MARK_WRITTEN 1000000 /* marks below are calls of the host */

typedef struct World {
    HostFs *host; /* as it was before the first step */
    RecordDisk *overlay;
    uint8_t *volumes[N_STEPS + 1];
    char *trees[N_STEPS + 1]; /* the host's, after each step */
    size_t bytes;             /* of a volume */
} World;

/* Commands for mtools; $V is the volume. */
extern const char *const world_steps[N_STEPS];
extern World world;
extern unsigned world_failures;
extern char world_context[200]; /* of what is being tried, for messages */

void world_fail(const char *fmt, ...) G_GNUC_PRINTF(1, 2);
void world_must(bool ok, const char *what);

/* The host and its overlay; then the volumes, by mtools. */
void world_make(void);
void world_make_volumes(void);

/* A HostFsOpener of the host that is being opened. */
HostFs *world_give_host(const char *dir, GError **errp);

/* All files of a host: names, contents, times, attributes. g_free(). */
char *world_tree(HostFs *fs);

/* fs is owned by the disk, also on failure. disk NULL: the file BASE_IMAGE.
 * world_open() counts a failure. */
BlockBackend *world_try_open(HostFs *fs, const RecordDisk *disk,
                             GError **errp);
BlockBackend *world_open(HostFs *fs, const RecordDisk *disk);

/* Write the sectors of a step, and flush. disk: gets a mark in between; or
 * NULL. 0 or -errno. */
int world_write_step(BlockBackend *blk, size_t step, RecordDisk *disk);

/* Whether each sector in use is that of one of the two volumes. */
void world_check_disk(const char *when, BlockBackend *blk, const uint8_t *old,
                      const uint8_t *new);
void world_check_tree(BlockBackend *blk, const char *when, HostFs *fs,
                      const char *expected);

#endif
