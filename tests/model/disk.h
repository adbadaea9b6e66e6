/* SPDX-License-Identifier: MIT */
/*
 * A guest's disk: what the guest has in memory, and what of it is written.
 *
 *   mem     the guest's view, with everything done so far
 *   shadow  what was written to the device (and what was there first): the
 *           device has to read so
 *   dirty   sectors of mem that are still to be written, each with its class
 *
 * Writing takes the last version of each dirty sector, as a page cache does,
 * in an order of the caller's choice, and all of it or the first few only.
 *
 * A sector is `loose` while nobody says what the device has to hold there: its
 * cluster was freed and it has not been written since.
 */
#ifndef TESTS_MODEL_DISK_H
#define TESTS_MODEL_DISK_H

#include <glib.h>

#include "block/block.h"
#include "tests/model/prng.h"

#define SECTOR 512

typedef enum SectorClass {
    CLASS_CLEAN,
    CLASS_DATA,
    CLASS_FAT1,
    CLASS_FAT2,
    CLASS_DIR,
    CLASS_BOOT, /* boot sector and FSInfo */
    N_CLASSES,
} SectorClass;

typedef struct Disk {
    BlockBackend *blk;
    int64_t size;
    uint8_t *mem;
    uint8_t *shadow;
    uint8_t *dirty; /* SectorClass of each sector */
    uint8_t *loose;
    GArray *touched; /* uint32_t: sectors in the order they became dirty; some
                         may be clean again */
    uint32_t fat1;   /* first sectors, for orders that write FATs in pairs */
    uint32_t fat2;
    bool keeps_free; /* freed clusters keep their contents: nothing is loose */
    uint64_t n_writes;
    /* Told of each sector written, with what it held before. */
    void (*written)(void *opaque, uint32_t sector, const uint8_t *old);
    void *opaque;
} Disk;

/* Takes blk, and loads all of it. NULL and *why when it cannot be read. */
Disk *disk_new(BlockBackend *blk, char **why);
void disk_free(Disk *disk);

/* A range of mem has changed, or is to be written again as it is. */
void disk_touch(Disk *disk, int64_t offset, int64_t bytes, SectorClass class);

/* What is dirty in this range need not be written: nobody uses it. */
void disk_forget(Disk *disk, int64_t offset, int64_t bytes);

/* The device need not keep this range. */
void disk_loosen(Disk *disk, int64_t offset, int64_t bytes);

unsigned disk_n_dirty(const Disk *disk);

/* ---- Orders ---- */

/* Each permutation of data, FAT 1, FAT 2 and directories (the boot sector is
 * last), then the whole without regard to classes, then those of systems. */
enum {
    ORDER_PERMUTATIONS = 24,
    ORDER_ASCENDING = ORDER_PERMUTATIONS,
    ORDER_DESCENDING,
    ORDER_RANDOM,
    ORDER_LINUX,   /* data, then the rest by sector number */
    ORDER_WINDOWS, /* data, directories, each FAT sector with its copy */
    ORDER_MTOOLS,  /* data, FAT 1, FAT 2, directories */
    N_ORDERS,
};

/* Within a class, in `style` bits 0-1; bits 2-3: sectors a write. */
enum { WITHIN_ASCENDING, WITHIN_DESCENDING, WITHIN_RANDOM, WITHIN_AS_TOUCHED };
#define N_STYLES 16

char *disk_order_name(unsigned order, unsigned style);

/*
 * Write the first `most` dirty sectors of the order. NULL, or what failed.
 */
char *disk_write(Disk *disk, unsigned order, unsigned style, uint64_t seed,
                 unsigned most) G_GNUC_WARN_UNUSED_RESULT;

/* Write something that is not in mem: the sector then is dirty. 0 or -errno. */
int disk_damage(Disk *disk, uint32_t sector, const uint8_t *data,
                SectorClass class) G_GNUC_WARN_UNUSED_RESULT;

/* ---- Comparing ---- */

/* Whether the device reads as the shadow: everything, or a few ranges. */
char *disk_verify(Disk *disk, bool all, uint64_t seed)
    G_GNUC_WARN_UNUSED_RESULT;

#endif
