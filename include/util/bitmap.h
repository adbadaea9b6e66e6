/* SPDX-License-Identifier: MIT */
/* A fixed-size set of small integers. Not locked. */
#ifndef UTIL_BITMAP_H
#define UTIL_BITMAP_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct Bitmap Bitmap;

/* All clear; NULL when there is no memory for it. */
Bitmap *bitmap_try_new(uint64_t bits);
void bitmap_free(Bitmap *map);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Bitmap, bitmap_free)

/* Indices must be below the number of bits. */
bool bitmap_test(const Bitmap *map, uint64_t bit);
void bitmap_set(Bitmap *map, uint64_t bit);

/* First set bit at or after `from`; the number of bits if none. */
uint64_t bitmap_next_set(const Bitmap *map, uint64_t from);

uint64_t bitmap_count(const Bitmap *map);

#endif
