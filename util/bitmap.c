/* SPDX-License-Identifier: MIT */
/*
 * Bits stand in 64-bit words, lowest first. Bits of the last word at and
 * above `bits` are always clear.
 */
#include "util/bitmap.h"

#include <assert.h>

#define WORD_BITS 64

struct Bitmap {
    uint64_t bits;
    uint64_t word[];
};

static uint64_t word_count(uint64_t bits)
{
    return bits / WORD_BITS + (bits % WORD_BITS != 0);
}

static uint64_t bit_mask(uint64_t bit)
{
    return UINT64_C(1) << (bit % WORD_BITS);
}

/* The bits of a word from `bit` upwards. */
static uint64_t mask_from(uint64_t bit)
{
    return UINT64_MAX << (bit % WORD_BITS);
}

Bitmap *bitmap_try_new(uint64_t bits)
{
    uint64_t words = word_count(bits);
    Bitmap *map;

    if (words > (G_MAXSSIZE - sizeof(*map)) / sizeof(map->word[0])) {
        return NULL;
    }
    map = g_try_malloc0(sizeof(*map) + words * sizeof(map->word[0]));
    if (map != NULL) {
        map->bits = bits;
    }
    return map;
}

void bitmap_free(Bitmap *map)
{
    g_free(map);
}

bool bitmap_test(const Bitmap *map, uint64_t bit)
{
    assert(bit < map->bits);
    return (map->word[bit / WORD_BITS] & bit_mask(bit)) != 0;
}

void bitmap_set(Bitmap *map, uint64_t bit)
{
    assert(bit < map->bits);
    map->word[bit / WORD_BITS] |= bit_mask(bit);
}

uint64_t bitmap_next_set(const Bitmap *map, uint64_t from)
{
    uint64_t words = word_count(map->bits);
    uint64_t mask = mask_from(from);

    if (from >= map->bits) {
        return map->bits;
    }
    for (uint64_t i = from / WORD_BITS; i < words; i++) {
        uint64_t found = map->word[i] & mask;

        if (found != 0) {
            return i * WORD_BITS + __builtin_ctzll(found);
        }
        mask = UINT64_MAX;
    }
    return map->bits;
}

uint64_t bitmap_count(const Bitmap *map)
{
    uint64_t words = word_count(map->bits), count = 0;

    for (uint64_t i = 0; i < words; i++) {
        count += __builtin_popcountll(map->word[i]);
    }
    return count;
}
