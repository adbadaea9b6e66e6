/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <stdint.h>
#include <string.h>

#include "util/arena.h"

Test(arena, memory_is_zeroed_aligned_and_apart)
{
    g_autoptr(Arena) arena = arena_new();
    g_autoptr(GPtrArray) blocks = g_ptr_array_new();

    for (size_t size = 0; size < 3000; size++) {
        unsigned char *p = arena_alloc(arena, size);

        cr_assert_eq((uintptr_t)p % 8, 0);
        for (size_t i = 0; i < size; i++) {
            cr_assert_eq(p[i], 0);
        }
        memset(p, size & 0xff, size);
        g_ptr_array_add(blocks, p);
    }
    for (size_t size = 0; size < blocks->len; size++) {
        const unsigned char *p = blocks->pdata[size];

        for (size_t i = 0; i < size; i++) {
            cr_assert_eq(p[i], size & 0xff);
        }
    }
}

Test(arena, strings_pack_without_padding)
{
    g_autoptr(Arena) arena = arena_new();
    char *a = arena_strdup(arena, "abc");
    void *between = arena_alloc(arena, 64);
    char *b = arena_strdup(arena, "");
    char *c = arena_strdup(arena, "long name.txt");

    memset(between, 0xff, 64);
    cr_assert_eq(b, a + 4);
    cr_assert_eq(c, b + 1);
    cr_assert_str_eq(a, "abc");
    cr_assert_str_eq(c, "long name.txt");
}

Test(arena, large_block_does_not_waste_the_current_chunk)
{
    g_autoptr(Arena) arena = arena_new();
    char *a = arena_alloc(arena, 16);
    char *big = arena_alloc(arena, 10 << 20);
    char *b = arena_alloc(arena, 16);

    memset(big, 1, 10 << 20);
    cr_assert_eq(b, a + 16);
}

Test(arena, footprint_follows_use)
{
    g_autoptr(Arena) arena = arena_new();
    size_t small;

    arena_alloc(arena, 1);
    small = arena_footprint(arena);
    cr_assert_lt(small, 8192);
    for (int i = 0; i < 1000000; i++) {
        arena_alloc(arena, 40);
    }
    cr_assert_geq(arena_footprint(arena), 40000000);
    cr_assert_lt(arena_footprint(arena), 43000000);
}

Test(arena, freeing_nothing_is_fine)
{
    arena_free(NULL);
}
