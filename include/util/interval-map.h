/* SPDX-License-Identifier: MIT */
/*
 * From ranges of numbers (clusters) to places: an interval start..end-1 has a
 * value (a file) and the offset in it that belongs to `start`; the key start + n
 * belongs to offset + n. Neighbours that continue each other are one interval.
 * Good for millions of them.
 *
 * Values are compared as pointers, and owned by the caller. Not locked: any
 * number of threads may read while none writes. Without memory the program
 * ends, as with g_malloc(); setting or clearing adds one interval at most.
 */
#ifndef UTIL_INTERVAL_MAP_H
#define UTIL_INTERVAL_MAP_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct Interval {
    uint32_t start, end; /* the first key, and the one behind the last */
    uint32_t offset;
    void *value;
} Interval;

typedef struct IntervalMap IntervalMap;

IntervalMap *interval_map_new(void);
void interval_map_free(IntervalMap *map);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(IntervalMap, interval_map_free)

/*
 * Let start..end-1 belong to `value`, which is not NULL, from `offset` on,
 * whatever they belonged to before. `start` is not above `end`; nothing
 * happens when they are equal. offset + (end - start) is below 2^32.
 */
void interval_map_set(IntervalMap *map, uint32_t start, uint32_t end,
                      void *value, uint32_t offset);

/* Let start..end-1 belong to nothing. `start` is not above `end`. */
void interval_map_clear(IntervalMap *map, uint32_t start, uint32_t end);

/*
 * The interval that holds `key`. False when there is none; *out is then the
 * gap with the value NULL and the offset 0: from the end of the interval
 * before it, or 0, to the start of the one behind it, or UINT32_MAX.
 */
bool interval_map_lookup(const IntervalMap *map, uint32_t key, Interval *out);

/*
 * The first interval that ends behind `from`: the one that holds it, whole,
 * or the next one. False, with *out left alone, when there is none.
 */
bool interval_map_next(const IntervalMap *map, uint32_t from, Interval *out);

/* How many intervals there are. */
uint64_t interval_map_count(const IntervalMap *map);

/* Bytes taken from the system. */
size_t interval_map_footprint(const IntervalMap *map);

#endif
