/* SPDX-License-Identifier: MIT */
/*
 * The whole driver, writable, on a host directory in memory whose calls can
 * fail; a guest that has the disk; and comparing the two. A failure fails the
 * test.
 */
#ifndef TESTS_MACHINE_H
#define TESTS_MACHINE_H

#include "block/vvfat/hostfs.h"
#include "tests/model/fatvol.h"
#include "tests/unit/fault-hostfs.h"

typedef struct Machine {
    FaultFs *fault; /* what the driver sees */
    HostFs *host;   /* in memory, behind it: for making files and looking */
    HostFs lent;    /* the former, as the driver owns it */
    Disk *disk;     /* while it is open */
    FatVol *vol;
} Machine;

/* image_dir is in use: what is kept of the guest's goes there. */
Machine *machine_new(void);
void machine_free(Machine *m);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Machine, machine_free)

/* The disk; more: further options, or NULL. */
void machine_open(Machine *m, const char *more);

/* The same for who does not read all of it at once; blk_close(). */
BlockBackend *machine_open_device(Machine *m, const char *more);

/* The same guest's disk, as an image of it that was kept. */
void machine_open_image(Machine *m, const char *path);

/* What the last commit says: NULL, or its complaint (g_free()). */
char *machine_close(Machine *m);

/* ---- The guest ---- */

/* As a file in the volume, new or in place of the old contents. */
void guest_text(Machine *m, const char *path, const char *text);
/* From an offset of a file on. */
void guest_put(Machine *m, const char *path, uint32_t offset,
               const char *text);
void guest_fill(Machine *m, const char *path, uint32_t bytes, uint8_t byte);
void guest_resize(Machine *m, const char *path, uint32_t size);
void guest_mkdir(Machine *m, const char *path);
void guest_delete(Machine *m, const char *path);
/* To where nothing is, and over what is there. */
void guest_move(Machine *m, const char *path, const char *to);
void guest_replace(Machine *m, const char *path, const char *to);
void guest_exchange(Machine *m, const char *path, const char *other);
void guest_defragment(Machine *m, const char *path);
void guest_attr(Machine *m, const char *path, uint8_t attr);
void guest_time(Machine *m, const char *path, int64_t seconds);

/* Write all that is dirty, in the order of a system (disk.h). */
void guest_write_out(Machine *m, unsigned order);
/* The same, and flush: 0 or -errno. */
int guest_sync(Machine *m, unsigned order);

/* ---- Comparing ---- */

/* The guest's files in a file system of their own; hostfs_free(). */
HostFs *machine_guest_tree(Machine *m);

/* Both sides as host_tree_dump() shows them; g_free(). */
char *machine_guest_dump(Machine *m);
char *machine_host_dump(HostFs *fs);

/* NULL when the host has what the guest has; g_free(). */
char *machine_difference(Machine *m);
void machine_check_same(Machine *m, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

/* A fact of the node's information; NULL: none. g_free(). */
char *machine_fact(Machine *m, const char *key);
/* All whose keys begin so, a line each. g_free(). */
char *machine_facts(Machine *m, const char *prefix);
/* The same of any vvfat disk. */
char *machine_facts_of(BlockBackend *blk, const char *prefix);

#endif
