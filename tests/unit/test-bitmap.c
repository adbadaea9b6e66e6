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
    cr_assert_eq(bitmap_next_clear(map, 0), 0);
}

Test(bitmap, single_bits)
{
    g_autoptr(Bitmap) map = bitmap_try_new(BITS);

    for (uint64_t bit = 0; bit < BITS; bit++) {
        bitmap_set(map, bit);
        cr_assert(bitmap_test(map, bit));
        cr_assert_eq(bitmap_count(map), 1);
        cr_assert_eq(bitmap_next_set(map, 0), bit);
        cr_assert_eq(bitmap_next_set(map, bit), bit);
        cr_assert_eq(bitmap_next_set(map, bit + 1), BITS);
        cr_assert_eq(bitmap_next_clear(map, bit), bit + 1);
        bitmap_clear(map, bit);
        cr_assert_not(bitmap_test(map, bit));
    }
    cr_assert_eq(bitmap_count(map), 0);
}

Test(bitmap, test_and_set_tells_the_first_time)
{
    g_autoptr(Bitmap) map = bitmap_try_new(BITS);

    cr_assert_not(bitmap_test_and_set(map, 77));
    cr_assert(bitmap_test_and_set(map, 77));
}

Test(bitmap, every_range_sets_and_clears_exactly_itself)
{
    g_autoptr(Bitmap) map = bitmap_try_new(BITS);

    for (uint64_t from = 0; from <= BITS; from++) {
        for (uint64_t n = 0; n <= BITS - from; n++) {
            bitmap_set_range(map, from, n);
            cr_assert_eq(bitmap_count(map), n);
            cr_assert_eq(bitmap_next_set(map, 0), n > 0 ? from : BITS);
            cr_assert_eq(bitmap_next_clear(map, from), from + n);
            bitmap_set_range(map, 0, BITS);
            bitmap_clear_range(map, from, n);
            cr_assert_eq(bitmap_count(map), BITS - n);
            cr_assert_eq(bitmap_next_clear(map, 0), n > 0 ? from : BITS);
            cr_assert_eq(bitmap_next_set(map, from), from + n);
            bitmap_clear_range(map, 0, BITS);
        }
    }
}

Test(bitmap, full_map_ends_at_its_size)
{
    static const uint64_t sizes[] = { 1, 63, 64, 65, 128 };

    for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
        g_autoptr(Bitmap) map = bitmap_try_new(sizes[i]);

        bitmap_set_range(map, 0, sizes[i]);
        cr_assert_eq(bitmap_count(map), sizes[i]);
        cr_assert_eq(bitmap_next_clear(map, 0), sizes[i]);
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
    cr_assert_eq(bitmap_next_clear(map, 0), 0);
}

Test(bitmap, size_beyond_memory_gives_null)
{
#ifdef __SANITIZE_ADDRESS__
    cr_skip_test("the address sanitizer ends such a program");
#endif
    cr_assert_null(bitmap_try_new(UINT64_MAX));
}
