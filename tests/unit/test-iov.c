/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <string.h>

#include "block/iov.h"

/* A vector over `text` in pieces of `step` bytes. */
static void split(IOVector *v, char *text, size_t step)
{
    size_t length = strlen(text);

    iov_init(v);
    for (size_t i = 0; i < length; i += step) {
        iov_add(v, text + i, MIN(step, length - i));
    }
}

Test(iov, one_buffer_needs_no_allocation)
{
    char buf[8];
    IOVector v;

    iov_init_buf(&v, buf, sizeof(buf));
    cr_assert_eq(v.niov, 1);
    cr_assert_eq(v.nalloc, 0);
    cr_assert_eq(v.size, sizeof(buf));
    cr_assert_eq(v.iov[0].iov_base, buf);
}

Test(iov, empty_buffer_is_an_empty_vector)
{
    IOVector v;

    iov_init_buf(&v, NULL, 0);
    cr_assert_eq(v.niov, 0);
    cr_assert(iov_is_zero(&v, 0, 0));
}

Test(iov, grows_past_its_local_elements)
{
    char text[] = "the quick brown fox jumps over the lazy dog";
    char out[sizeof(text)] = { 0 };
    g_auto(IOVector) v;

    split(&v, text, 1);
    cr_assert_eq(v.niov, (int)strlen(text));
    cr_assert_eq(v.size, strlen(text));
    iov_to_buf(&v, 0, out, v.size);
    cr_assert_str_eq(out, text);
}

Test(iov, clear_leaves_it_empty_and_usable)
{
    char text[] = "0123456789";
    IOVector v;

    split(&v, text, 1);
    iov_clear(&v);
    cr_assert_eq(v.size, 0);
    iov_add(&v, text, 3);
    cr_assert_eq(v.size, 3);
    cr_assert_eq(v.niov, 1);
    iov_clear(&v);
}

Test(iov, external_array_is_left_to_its_owner)
{
    char a[3], b[5];
    struct iovec iov[] = { { a, sizeof(a) }, { NULL, 0 }, { b, sizeof(b) } };
    g_auto(IOVector) v;

    iov_init_external(&v, iov, G_N_ELEMENTS(iov));
    cr_assert_eq(v.size, 8);
    iov_from_buf(&v, 0, "abcdefgh", 8);
    cr_assert_arr_eq(a, "abc", 3);
    cr_assert_arr_eq(b, "defgh", 5);
}

Test(iov, every_slice_copies_the_right_bytes)
{
    char text[] = "0123456789abcdef";
    size_t length = strlen(text);

    for (size_t step = 1; step <= length; step++) {
        g_auto(IOVector) v;

        split(&v, text, step);
        for (size_t from = 0; from <= length; from++) {
            for (size_t n = 0; n <= length - from; n++) {
                g_auto(IOVector) slice;
                char out[32] = { 0 };

                iov_init_slice(&slice, &v, from, n);
                cr_assert_eq(slice.size, n);
                iov_to_buf(&slice, 0, out, n);
                cr_assert_arr_eq(out, text + from, n);
                iov_to_buf(&v, from, out, n);
                cr_assert_arr_eq(out, text + from, n);
            }
        }
    }
}

Test(iov, slice_of_a_slice_can_be_extended)
{
    char text[] = "0123456789";
    char out[9] = { 0 };
    g_auto(IOVector) v;
    g_auto(IOVector) one;
    g_auto(IOVector) two;

    split(&v, text, 3);
    iov_init_slice(&one, &v, 1, 8);
    iov_init_slice(&two, &one, 2, 5);
    iov_add(&two, text, 3);
    iov_to_buf(&two, 0, out, 8);
    cr_assert_str_eq(out, "34567012");
}

Test(iov, writes_stay_within_the_range)
{
    char text[] = "0123456789";
    g_auto(IOVector) v;

    split(&v, text, 3);
    iov_memset(&v, 2, '-', 5);
    cr_assert_str_eq(text, "01-----789");
    iov_from_buf(&v, 6, "xyz", 3);
    cr_assert_str_eq(text, "01----xyz9");
}

Test(iov, finds_a_byte_that_is_not_zero_anywhere)
{
    static char zeroes[300];
    g_auto(IOVector) v;

    iov_init(&v);
    iov_add(&v, zeroes, 150);
    iov_add(&v, zeroes + 150, 150);
    cr_assert(iov_is_zero(&v, 0, 300));
    for (size_t i = 0; i < sizeof(zeroes); i++) {
        zeroes[i] = 1;
        cr_assert_not(iov_is_zero(&v, 0, 300));
        cr_assert(iov_is_zero(&v, 0, i));
        cr_assert(iov_is_zero(&v, i + 1, 299 - i));
        zeroes[i] = 0;
    }
}
