/* SPDX-License-Identifier: MIT */
/*
 * A set of integers below 2^40 that takes memory where there are some: the
 * sectors of a disk that were written, for example. Not locked: any number of
 * threads may read while none writes. Without memory the program ends, as
 * with g_malloc(); setting bits takes 4 KiB for each 32768 that hold one of
 * them, and 8 to 16 bytes for each 32768 below the highest.
 */
#ifndef UTIL_SPARSE_BITMAP_H
#define UTIL_SPARSE_BITMAP_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SPARSE_BITMAP_BITS (UINT64_C(1) << 40)

typedef struct SparseBitmap SparseBitmap;

/* All clear. */
SparseBitmap *sparse_bitmap_new(void);
void sparse_bitmap_free(SparseBitmap *map);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(SparseBitmap, sparse_bitmap_free)

/*
 * Set or clear first..first+count-1, all below SPARSE_BITMAP_BITS. Return how
 * many of them were not so before.
 */
uint64_t sparse_bitmap_set(SparseBitmap *map, uint64_t first, uint64_t count);
uint64_t sparse_bitmap_clear(SparseBitmap *map, uint64_t first,
                             uint64_t count);

/*
 * Move all bits into a new map, which the caller owns, and leave `map` all
 * clear: it can be filled anew while the caller works through the others.
 */
SparseBitmap *sparse_bitmap_steal(SparseBitmap *map);

/* Readers take any number; whatever lies beyond the last bit is clear. */
bool sparse_bitmap_get(const SparseBitmap *map, uint64_t bit);

/* How many bits are set. */
uint64_t sparse_bitmap_count(const SparseBitmap *map);

/*
 * How many bits from `bit` on, at most `limit`, are all set or all clear;
 * *set says which.
 */
uint64_t sparse_bitmap_run(const SparseBitmap *map, uint64_t bit,
                           uint64_t limit, bool *set);

/*
 * The first run of set bits at or behind `from`. The part of a run that lies
 * before `from` does not count. False, with *first and *count left alone,
 * when no bit is set there.
 */
bool sparse_bitmap_next(const SparseBitmap *map, uint64_t from,
                        uint64_t *first, uint64_t *count);

/* Bytes taken from the system. */
size_t sparse_bitmap_footprint(const SparseBitmap *map);

#endif
