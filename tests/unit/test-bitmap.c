/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>

#include "util/bitmap.h"

#define BITS 200 /* not a multiple of a word */

#ifdef __has_feature
#if __has_feature(address_sanitizer) && !defined(__SANITIZE_ADDRESS__)
#define __SANITIZE_ADDRESS__ 1 /* clang's way to say it */
#endif
#endif

Test(bitmap, begins_clear)
{
    g_autoptr(Bitmap) map = bitmap_try_new(BITS);

    cr_assert_eq(bitmap_count(map), 0);
    cr_assert_eq(bitmap_next_set(map, 0), BITS);
}

Test(bitmap, single_bits)
{
    for (uint64_t bit = 0; bit < BITS; bit++) {
        g_autoptr(Bitmap) map = bitmap_try_new(BITS);

        cr_assert_not(bitmap_test(map, bit));
        bitmap_set(map, bit);
        cr_assert(bitmap_test(map, bit));
        cr_assert_eq(bitmap_count(map), 1);
        cr_assert_eq(bitmap_next_set(map, 0), bit);
        cr_assert_eq(bitmap_next_set(map, bit), bit);
        cr_assert_eq(bitmap_next_set(map, bit + 1), BITS);
    }
}

Test(bitmap, many_bits_are_found_one_after_the_other)
{
    for (uint64_t step = 1; step < BITS; step++) {
        g_autoptr(Bitmap) map = bitmap_try_new(BITS);
        uint64_t n = 0;

        for (uint64_t bit = 0; bit < BITS; bit += step) {
            bitmap_set(map, bit);
            n++;
        }
        cr_assert_eq(bitmap_count(map), n);
        for (uint64_t bit = 0; bit < BITS; bit++) {
            uint64_t next = (bit + step - 1) / step * step;

            cr_assert_eq(bitmap_test(map, bit), bit == next);
            cr_assert_eq(bitmap_next_set(map, bit), MIN(next, BITS));
        }
    }
}

Test(bitmap, full_map_ends_at_its_size)
{
    static const uint64_t sizes[] = { 1, 63, 64, 65, 128 };

    for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
        g_autoptr(Bitmap) map = bitmap_try_new(sizes[i]);

        for (uint64_t bit = 0; bit < sizes[i]; bit++) {
            bitmap_set(map, bit);
        }
        cr_assert_eq(bitmap_count(map), sizes[i]);
        cr_assert_eq(bitmap_next_set(map, sizes[i]), sizes[i]);
        cr_assert_eq(bitmap_next_set(map, UINT64_MAX), sizes[i]);
    }
}

Test(bitmap, empty_map)
{
    g_autoptr(Bitmap) map = bitmap_try_new(0);

    cr_assert_not_null(map);
    cr_assert_eq(bitmap_count(map), 0);
    cr_assert_eq(bitmap_next_set(map, 0), 0);
}

Test(bitmap, size_beyond_memory_gives_null)
{
#ifdef __SANITIZE_ADDRESS__
    cr_skip_test("the address sanitizer ends such a program");
#endif
    cr_assert_null(bitmap_try_new(UINT64_MAX));
}
