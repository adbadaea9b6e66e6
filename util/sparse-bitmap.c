/* SPDX-License-Identifier: MIT */
/*
 * Two levels: an array of pointers, by number, to pages of 32768 bits (4 KiB)
 * each. A page is there when one of its bits is set, and knows how many are:
 * the last one to be cleared frees it, and a search steps over pages that are
 * absent or full without looking into them.
 *
 * The array is as long as the highest page ever set needs, rounded up to a
 * power of two: 1 MiB for a disk of 2 TiB in sectors, 256 MiB, hardly touched,
 * for the highest bit of all. It stays until the bits are stolen or the map
 * is freed.
 *
 * Reading a bit costs two loads. A range costs one step for 64 bits, a search
 * one for 64 bits of the pages it looks into and one for each other page.
 */
#include "util/sparse-bitmap.h"

#include <assert.h>
#include <string.h>

#define WORD_BITS 64
#define PAGE_BITS ((uint64_t)4096 * 8)
#define PAGE_WORDS (PAGE_BITS / WORD_BITS)
#define PAGES_MIN 8

typedef struct Page {
    uint64_t count; /* of set bits; never 0 between calls */
    uint64_t word[PAGE_WORDS];
} Page;

struct SparseBitmap {
    Page **page;
    uint64_t pages; /* the length of page[] */
    uint64_t present;
    uint64_t count;
};

SparseBitmap *sparse_bitmap_new(void)
{
    return g_new0(SparseBitmap, 1);
}

void sparse_bitmap_free(SparseBitmap *map)
{
    if (map == NULL) {
        return;
    }
    for (uint64_t i = 0; i < map->pages && map->present > 0; i++) {
        map->present -= map->page[i] != NULL;
        g_free(map->page[i]);
    }
    g_free(map->page);
    g_free(map);
}

SparseBitmap *sparse_bitmap_steal(SparseBitmap *map)
{
    SparseBitmap *stolen = sparse_bitmap_new();

    *stolen = *map;
    *map = (SparseBitmap){ 0 };
    return stolen;
}

/* The page that holds `bit`; NULL when all its bits are clear. */
static Page *page_get(const SparseBitmap *map, uint64_t bit)
{
    uint64_t i = bit / PAGE_BITS;

    return i < map->pages ? map->page[i] : NULL;
}

static void reserve_pages(SparseBitmap *map, uint64_t needed)
{
    uint64_t pages = MAX(map->pages, PAGES_MIN);
    Page **page;

    if (needed <= map->pages) {
        return;
    }
    while (pages < needed) {
        pages *= 2;
    }
    /* A new array rather than a longer one: zeroes that the system provides
     * take no memory until they are written. */
    page = g_new0(Page *, pages);
    if (map->pages > 0) {
        memcpy(page, map->page, map->pages * sizeof(*page));
    }
    g_free(map->page);
    map->page = page;
    map->pages = pages;
}

static Page *page_make(SparseBitmap *map, uint64_t bit)
{
    uint64_t i = bit / PAGE_BITS;

    reserve_pages(map, i + 1);
    if (map->page[i] == NULL) {
        map->page[i] = g_new0(Page, 1);
        map->present++;
    }
    return map->page[i];
}

static void page_drop(SparseBitmap *map, uint64_t bit)
{
    uint64_t i = bit / PAGE_BITS;

    g_free(map->page[i]);
    map->page[i] = NULL;
    map->present--;
}

/* How many of the `count` bits from `first`, both within the page, change. */
static uint64_t page_fill(Page *page, uint64_t first, uint64_t count, bool set)
{
    uint64_t changed = 0;

    while (count > 0) {
        uint64_t shift = first % WORD_BITS;
        uint64_t n = MIN(count, WORD_BITS - shift);
        uint64_t mask = UINT64_MAX << shift;
        uint64_t *word = &page->word[first / WORD_BITS];

        mask &= UINT64_MAX >> (WORD_BITS - shift - n);
        mask &= set ? ~*word : *word;
        *word ^= mask;
        changed += (uint64_t)__builtin_popcountll(mask);
        first += n;
        count -= n;
    }
    page->count += set ? changed : -changed;
    return changed;
}

uint64_t sparse_bitmap_set(SparseBitmap *map, uint64_t first, uint64_t count)
{
    uint64_t changed = 0;

    assert(first <= SPARSE_BITMAP_BITS && count <= SPARSE_BITMAP_BITS - first);
    while (count > 0) {
        uint64_t n = MIN(count, PAGE_BITS - first % PAGE_BITS);

        changed += page_fill(page_make(map, first), first % PAGE_BITS, n,
                             true);
        first += n;
        count -= n;
    }
    map->count += changed;
    return changed;
}

uint64_t sparse_bitmap_clear(SparseBitmap *map, uint64_t first, uint64_t count)
{
    uint64_t changed = 0;

    assert(first <= SPARSE_BITMAP_BITS && count <= SPARSE_BITMAP_BITS - first);
    while (count > 0 && map->present > 0 && first / PAGE_BITS < map->pages) {
        uint64_t n = MIN(count, PAGE_BITS - first % PAGE_BITS);
        Page *page = page_get(map, first);

        if (page != NULL) {
            changed += page_fill(page, first % PAGE_BITS, n, false);
            if (page->count == 0) {
                page_drop(map, first);
            }
        }
        first += n;
        count -= n;
    }
    map->count -= changed;
    return changed;
}

bool sparse_bitmap_get(const SparseBitmap *map, uint64_t bit)
{
    const Page *page = page_get(map, bit);
    uint64_t at = bit % PAGE_BITS;

    return page != NULL &&
           (page->word[at / WORD_BITS] >> (at % WORD_BITS) & 1) != 0;
}

uint64_t sparse_bitmap_count(const SparseBitmap *map)
{
    return map->count;
}

/* The first bit of a page at or behind `from` that is `set`; or PAGE_BITS. */
static uint64_t page_find(const Page *page, uint64_t from, bool set)
{
    uint64_t flip = set ? 0 : UINT64_MAX;
    uint64_t mask = UINT64_MAX << (from % WORD_BITS);

    if (!set && page->count == PAGE_BITS) {
        return PAGE_BITS;
    }
    for (uint64_t i = from / WORD_BITS; i < PAGE_WORDS; i++) {
        uint64_t found = (page->word[i] ^ flip) & mask;

        if (found != 0) {
            return i * WORD_BITS + (uint64_t)__builtin_ctzll(found);
        }
        mask = UINT64_MAX;
    }
    return PAGE_BITS;
}

/* The first bit at or behind `from` that is `set`; `end` if none before it. */
static uint64_t find(const SparseBitmap *map, uint64_t from, uint64_t end,
                     bool set)
{
    while (from < end) {
        const Page *page = page_get(map, from);
        uint64_t at = set ? PAGE_BITS : from % PAGE_BITS;

        if (page != NULL) {
            at = page_find(page, from % PAGE_BITS, set);
        }
        from -= from % PAGE_BITS;
        if (at < PAGE_BITS) {
            return MIN(from + at, end);
        }
        if (from / PAGE_BITS >= map->pages) {
            return end;
        }
        from += PAGE_BITS;
    }
    return end;
}

uint64_t sparse_bitmap_run(const SparseBitmap *map, uint64_t bit,
                           uint64_t limit, bool *set)
{
    /* Bits beyond the last number are as clear as those before it. */
    uint64_t end = limit > UINT64_MAX - bit ? UINT64_MAX : bit + limit;
    uint64_t differs;

    *set = sparse_bitmap_get(map, bit);
    differs = find(map, bit, end, !*set);
    return differs == end ? limit : differs - bit;
}

bool sparse_bitmap_next(const SparseBitmap *map, uint64_t from,
                        uint64_t *first, uint64_t *count)
{
    uint64_t end = map->present > 0 ? map->pages * PAGE_BITS : 0;
    uint64_t found = find(map, from, end, true);

    if (found >= end) {
        return false;
    }
    *first = found;
    *count = find(map, found, end, false) - found;
    return true;
}

size_t sparse_bitmap_footprint(const SparseBitmap *map)
{
    return sizeof(*map) + map->pages * sizeof(Page *) +
           map->present * sizeof(Page);
}
