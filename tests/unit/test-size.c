/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "block/error.h"
#include "util/size.h"

Test(size, parses)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } cases[] = {
        { "0", 0 },
        { "512", 512 },
        { "0512", 512 },
        { "7b", 7 },
        { "7B", 7 },
        { "1k", 1024 },
        { "1K", 1024 },
        { "64M", UINT64_C(64) << 20 },
        { "64m", UINT64_C(64) << 20 },
        { "3G", UINT64_C(3) << 30 },
        { "2T", UINT64_C(2) << 40 },
        { "5P", UINT64_C(5) << 50 },
        { "7E", UINT64_C(7) << 60 },
        { "9223372036854775807", INT64_MAX },
        { "000000000000000000000000000000001k", 1024 },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        uint64_t bytes = 1234;

        cr_assert(size_parse(cases[i].text, &bytes, &error), "%s: %s",
                  cases[i].text, error->message);
        cr_assert_eq(bytes, cases[i].bytes, "%s gave %" G_GUINT64_FORMAT,
                     cases[i].text, bytes);
    }
}

Test(size, fractions_are_exact_and_rounded_down)
{
    static const struct {
        const char *text;
        uint64_t bytes;
    } cases[] = {
        { "1.5G", UINT64_C(3) << 29 },
        { "0.1k", 102 },
        { "1.44M", 1509949 },
        { "1.9", 1 },
        { "2.999b", 2 },
        { "0.0009765625k", 1 },
        { "0.0009765624k", 0 },
        { "7.9999999999999999999E", INT64_MAX },
        { "0.99999999999999999999999999999999999999999999999999999999999999999"
          "E",
          (UINT64_C(1) << 60) - 1 },
        /* 2^-60 E exactly, and the least bit below it */
        { "0.000000000000000000867361737988403547205962240695953369140625E",
          1 },
        { "0.000000000000000000867361737988403547205962240695953369140624"
          "9999E",
          0 },
        /* between neighbouring doubles: floating point would round up */
        { "1.99999999999999999999P", (UINT64_C(2) << 50) - 1 },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        uint64_t bytes = 1234;

        cr_assert(size_parse(cases[i].text, &bytes, NULL), "%s",
                  cases[i].text);
        cr_assert_eq(bytes, cases[i].bytes, "%s gave %" G_GUINT64_FORMAT,
                     cases[i].text, bytes);
    }
}

Test(size, refuses_what_is_no_size)
{
    static const char *const cases[] = {
        "",    " ",   "k",   "-1",  "-0",  "+1",   " 1",       "1 ",   "12x",
        "1kk", "1kB", "1.",  ".5G", "1.k", "1..5", "1.5.5",    "0x10", "1e3",
        "1 M", "1,5", "nan", "inf", "1-",  "1MiB", "\xd9\xa1",
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        uint64_t bytes = 1234;

        cr_assert_not(size_parse(cases[i], &bytes, &error), "'%s'", cases[i]);
        cr_assert(g_error_matches(error, BLOCK_ERROR, EINVAL));
        cr_assert_eq(bytes, 1234);
    }
}

Test(size, refuses_what_is_too_large)
{
    static const char *const cases[] = {
        "9223372036854775808",
        "18446744073709551616",
        "8E",
        "8192P",
        "16E",
        "99999999999999999999999999999999999999E",
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;
        uint64_t bytes = 1234;

        cr_assert_not(size_parse(cases[i], &bytes, &error), "'%s'", cases[i]);
        cr_assert(g_error_matches(error, BLOCK_ERROR, ERANGE));
        cr_assert(strstr(error->message, cases[i]));
    }
}

Test(size, message_says_what_is_allowed)
{
    g_autoptr(GError) error = NULL;
    uint64_t bytes;

    cr_assert_not(size_parse("12x", &bytes, &error));
    cr_assert_str_eq(error->message,
                     "'12x' is not a size; write digits and perhaps one of "
                     "the suffixes b, k, M, G, T, P, E, such as 64M or 1.5G");
}

Test(size, formats_three_digits)
{
    static const struct {
        uint64_t bytes;
        const char *text;
    } cases[] = {
        { 0, "0 B" },
        { 1, "1 B" },
        { 512, "512 B" },
        { 999, "999 B" },
        { 1000, "0.977 KiB" },
        { 1024, "1 KiB" },
        { 65536, "64 KiB" },
        { 1474560, "1.41 MiB" },
        { 528482304, "504 MiB" },
        { 1023 << 10, "0.999 MiB" },
        { (999 << 10) + 600, "0.976 MiB" },
        { UINT64_C(2) << 40, "2 TiB" },
        { INT64_MAX, "8 EiB" },
        { UINT64_MAX, "16 EiB" },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *text = size_format(cases[i].bytes);

        cr_assert_str_eq(text, cases[i].text);
    }
}
