/* SPDX-License-Identifier: MIT */
/* Long names: mapping between host and volume, folding, devices. */
#include <criterion/criterion.h>
#include <string.h>

#include "block/vvfat/names.h"
#include "block/vvfat/utf.h"

#define ROUNDS 200000

/* ---- Mapping, by example ---- */

static void check_map(const char *host, const char *want)
{
    g_autofree char *mapped = names_map(host);
    const char *name = mapped ? mapped : host;
    const char *why = NULL;
    g_autofree char *back = names_unmap(name, &why);

    cr_assert_str_eq(name, want);
    cr_assert_not_null(back, "%s", why);
    cr_assert_str_eq(back, host);
}

Test(names, plain_names_are_not_changed)
{
    cr_assert_null(names_map("README.txt"));
    cr_assert_null(names_map(".profile"));
    cr_assert_null(names_map(" leading space"));
    cr_assert_null(names_map("a. b .c"));
    cr_assert_null(names_map("na\xc3\xafve \xf0\x9f\x98\x80"));
    cr_assert_null(names_map("del\x7f"));
    cr_assert_null(names_map("\xef\x80\xaf"), "U+F02F stands for nothing");
}

Test(names, what_fat_cannot_hold_becomes_private_use)
{
    check_map("a:b", "a\xef\x80\xba"
                     "b");
    check_map("\"*<>?|\\", "\xef\x80\xa2\xef\x80\xaa\xef\x80\xbc\xef\x80\xbe"
                           "\xef\x80\xbf\xef\x81\xbc\xef\x81\x9c");
    check_map("a\x01\n", "a\xef\x80\x81\xef\x80\x8a");
    check_map("end.", "end\xef\x80\xae");
    check_map("end. .", "end\xef\x80\xae\xef\x80\xa0\xef\x80\xae");
    check_map("...", "\xef\x80\xae\xef\x80\xae\xef\x80\xae");
    check_map(" ", "\xef\x80\xa0");
}

Test(names, bytes_that_are_not_utf8_are_mapped_one_by_one)
{
    check_map("caf\xe9", "caf\xef\x83\xa9");
    check_map("\xc3(", "\xef\x83\x83(");
    check_map("\xc0\xaf", "\xef\x83\x80\xef\x82\xaf"); /* overlong */
    check_map("\xf4\x90\x80\x80",                      /* U+110000 */
              "\xef\x83\xb4\xef\x82\x90\xef\x82\x80\xef\x82\x80");
    check_map("\xe2\x82", "\xef\x83\xa2\xef\x82\x82"); /* cut off */
}

Test(names, private_use_in_a_host_name_comes_back_as_itself)
{
    /* U+F03A would be a colon: its bytes are mapped. */
    check_map("a\xef\x80\xba"
              "b",
              "a\xef\x83\xaf\xef\x82\x80\xef\x82\xba"
              "b");
}

Test(names, guest_private_use_that_would_form_a_letter_is_kept)
{
    static const uint16_t letter[] = { 0xf0c3, 0xf0a9 };
    static const uint16_t dots[] = { 0xf02e, 0xf02e };
    static const uint16_t inner_dot[] = { 'a', 0xf02e, 'b' };
    static const uint16_t after_dot[] = { 'a', '.', 0xf020 };
    g_autofree char *a = names_to_host(letter, 2, NULL);
    g_autofree char *b = names_to_host(dots, 2, NULL);
    g_autofree char *c = names_to_host(inner_dot, 3, NULL);
    g_autofree char *d = names_to_host(after_dot, 3, NULL);

    cr_assert_str_eq(a, "\xef\x83\x83\xef\x82\xa9");
    cr_assert_str_eq(b, "\xef\x80\xae\xef\x80\xae");
    cr_assert_str_eq(c, "a\xef\x80\xae"
                        "b");
    cr_assert_str_eq(d, "a.\xef\x80\xa0");
}

Test(names, lone_surrogates_keep_three_bytes)
{
    static const uint16_t lone[] = { 'a', 0xd83d, 'b', 0xde00 };
    uint16_t units[FAT_LONG_MAX_UNITS];
    g_autofree char *host = names_to_host(lone, 4, NULL);

    cr_assert_str_eq(host, "a\xed\xa0\xbd"
                           "b\xed\xb8\x80");
    cr_assert_eq(names_from_host(host, units), 4);
    cr_assert_arr_eq(units, lone, sizeof(lone));
}

/* Two surrogates of three bytes each must not become the one character. */
Test(names, surrogates_encoded_apart_are_not_a_pair)
{
    uint16_t apart[FAT_LONG_MAX_UNITS], pair[FAT_LONG_MAX_UNITS];

    cr_assert_eq(names_from_host("\xed\xa0\xbd\xed\xb8\x80", apart), 6);
    cr_assert_eq(names_from_host("\xf0\x9f\x98\x80", pair), 2);
    cr_assert_eq(pair[0], 0xd83d);
    cr_assert_eq(pair[1], 0xde00);
}

static void check_refused(const uint16_t *units, size_t n, const char *word)
{
    const char *why = NULL;

    cr_assert_null(names_to_host(units, n, &why));
    cr_assert_not_null(strstr(why, word), "%s", why);
    cr_assert_null(names_to_host(units, n, NULL));
}

Test(names, unsafe_names_are_refused_with_the_reason)
{
    uint16_t many[256] = { 0 };

    check_refused(many, 0, "empty");
    check_refused((const uint16_t[]){ '.' }, 1, "directory itself");
    check_refused((const uint16_t[]){ '.', '.' }, 2, "directory itself");
    check_refused((const uint16_t[]){ 'a', '/', 'b' }, 3, "slash");
    check_refused((const uint16_t[]){ 'a', 0, 'b' }, 3, "NUL");
    for (size_t i = 0; i < 256; i++) {
        many[i] = 0x20ac;
    }
    check_refused(many, 256, "255 UTF-16 units");
    check_refused(many, 86, "255 bytes");
    g_autofree char *longest = names_to_host(many, 85, NULL);
    cr_assert_eq(strlen(longest), 255);
}

Test(names, host_names_of_255_bytes_always_fit)
{
    uint16_t units[FAT_LONG_MAX_UNITS];
    char host[257];

    for (unsigned byte = 1; byte < 256; byte++) {
        memset(host, (int)byte, 255);
        host[255] = '\0';
        cr_assert_eq(names_from_host(host, units), 255);
    }
    memset(host, 'x', 256);
    host[256] = '\0';
    cr_assert_eq(names_from_host(host, units), -1);
    /* Longer in bytes, but not in units. */
    for (unsigned i = 0; i < 128; i++) {
        memcpy(host + 2 * i, "\xc3\xa9", 2);
    }
    cr_assert_eq(names_from_host(host, units), 128);
}

/* ---- Mapping, by its properties ---- */

/* Bytes that make the corner cases meet often. */
static uint8_t nasty_byte(GRand *rand)
{
    static const char pool[] =
        "..  a*\\\x01\xef\x80\xae\xef\x80\xa0\xef\x83\xaf\x82\xa0\xae\xc3\xa9"
        "\xed\xa0\xbd\xb8\x80\xf0\x9f\x98\xbf\xbf";

    if (g_rand_int_range(rand, 0, 4) == 0) {
        uint8_t byte = (uint8_t)g_rand_int_range(rand, 1, 256);

        return byte == '/' ? 'x' : byte;
    }
    return (uint8_t)pool[g_rand_int_range(rand, 0, sizeof(pool) - 1)];
}

/* Pieces, so that whole characters and stand-ins of stand-ins occur. */
static size_t nasty_host(GRand *rand, char host[256])
{
    static const char *const pieces[] = {
        ".",
        " ",
        "a",
        "\xef\x80\xae",
        "\xef\x80\xa0",
        "\xef\x83\xaf",
        "\xef\x82\x80",
        "\xef\x82\xae",
        "\xef\x82\xa0",
        "\xef\x83\x83",
        "\xef\x82\xa9",
        "\xed\xa0\xbd",
        "\xed\xb8\x80",
        "\xf0\x9f\x98\x80",
        "\xef\xbf\xbf",
        "\xc3\xa9",
        "\xef",
        "\x80",
    };
    size_t limit = (size_t)g_rand_int_range(rand, 1, 20);
    size_t n = 0;

    if (g_rand_int_range(rand, 0, 50) == 0) {
        limit = 255;
    }
    while (n < limit) {
        if (g_rand_boolean(rand)) {
            host[n++] = (char)nasty_byte(rand);
        } else {
            const char *piece =
                pieces[g_rand_int_range(rand, 0, G_N_ELEMENTS(pieces))];

            n += g_strlcpy(host + n, piece, 256 - n);
            n = MIN(n, 255);
        }
    }
    host[n] = '\0';
    return n;
}

Test(names, any_host_name_survives_the_round_trip)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(1);

    for (int round = 0; round < ROUNDS; round++) {
        uint16_t units[FAT_LONG_MAX_UNITS];
        char host[256];
        const char *why = "";

        nasty_host(rand, host);
        if (strcmp(host, ".") == 0 || strcmp(host, "..") == 0) {
            continue;
        }
        int n = names_from_host(host, units);
        cr_assert_gt(n, 0);
        g_autofree char *back = names_to_host(units, (size_t)n, &why);
        cr_assert_not_null(back, "%s", why);
        cr_assert_str_eq(back, host);
        for (int i = 0; i < n; i++) {
            cr_assert_geq(units[i], 0x20);
            cr_assert_neq(units[i], 0xffff);
            cr_assert(units[i] >= 0x80 || !strchr("\"*:<>?|\\/", units[i]));
        }
        cr_assert(units[n - 1] != '.' && units[n - 1] != ' ');
    }
}

static uint16_t nasty_unit(GRand *rand)
{
    static const uint16_t pool[] = {
        '.',    ' ',    'a',    0xf02e, 0xf020, 0xf0ef, 0xf080, 0xf0ae, 0xf0a0,
        0xf0c3, 0xf0a9, 0xf0ed, 0xf0bd, 0xf0b8, 0xd83d, 0xde00, 0xf03a, 0xf02f,
        0xf000, 0xe9,   0x20ac, 0xfffe, 0xf001, 0xf082, 0xf083,
    };

    if (g_rand_int_range(rand, 0, 8) == 0) {
        return (uint16_t)g_rand_int_range(rand, 1, 0x10000);
    }
    return pool[g_rand_int_range(rand, 0, G_N_ELEMENTS(pool))];
}

static bool unit_is_legal(uint16_t unit)
{
    return unit >= 0x20 && unit != 0xffff &&
           (unit >= 0x80 || !strchr("\"*:<>?|\\/", unit));
}

static unsigned guest_round_trips(GRand *rand, int max_units)
{
    uint16_t units[FAT_LONG_MAX_UNITS], again[FAT_LONG_MAX_UNITS];
    int n = g_rand_int_range(rand, 1, max_units);
    g_autofree char *host = NULL;

    for (int i = 0; i < n; i++) {
        do {
            units[i] = nasty_unit(rand);
        } while (!unit_is_legal(units[i]));
    }
    if (units[n - 1] == '.' || units[n - 1] == ' ') {
        units[n - 1] = 'z';
    }
    host = names_to_host(units, (size_t)n, NULL);
    if (!host) {
        return 0; /* longer than 255 bytes */
    }
    cr_assert_eq(names_from_host(host, again), n);
    cr_assert_arr_eq(again, units, (size_t)n * sizeof(*units));
    return 1;
}

Test(names, any_legal_guest_name_survives_the_round_trip)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(2);
    unsigned done = 0;

    for (int round = 0; round < ROUNDS; round++) {
        done += guest_round_trips(rand, round % 50 ? 12 : 200);
    }
    cr_assert_gt(done, ROUNDS * 9 / 10);
}

static GHashTable *string_set_new(void)
{
    return g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
}

/* Every name of four units out of the stand-ins that can meet. */
Test(names, all_short_runs_of_stand_ins_are_one_to_one)
{
    static const uint16_t pool[] = {
        0xf02e, 0xf020, 0xf0ef, 0xf080, 0xf0ae, 0xf0c3, 0xf0a9,
        0xf0ed, 0xf0a0, '.',    'a',    0xd83d, 0xde00,
    };
    enum { N = G_N_ELEMENTS(pool), LENGTH = 4 };
    g_autoptr(GHashTable) seen = string_set_new();
    unsigned total = 1;

    for (int i = 0; i < LENGTH; i++) {
        total *= N;
    }
    for (unsigned index = 0; index < total; index++) {
        uint16_t units[LENGTH], again[FAT_LONG_MAX_UNITS];
        unsigned rest = index;

        for (int i = 0; i < LENGTH; i++, rest /= N) {
            units[i] = pool[rest % N];
        }
        if (units[LENGTH - 1] == '.') {
            continue;
        }
        char *host = names_to_host(units, LENGTH, NULL);
        cr_assert_not_null(host);
        cr_assert_eq(names_from_host(host, again), LENGTH);
        cr_assert_arr_eq(again, units, sizeof(units));
        cr_assert(g_hash_table_add(seen, host), "two names, one host name");
    }
}

Test(names, illegal_units_unmap_as_their_legal_form_does)
{
    g_autofree char *a = names_to_host((const uint16_t[]){ 'a', '*', '.' }, 3,
                                       NULL);
    g_autofree char *b =
        names_to_host((const uint16_t[]){ 'a', 0xf02a, 0xf02e }, 3, NULL);

    cr_assert_str_eq(a, "a*.");
    cr_assert_str_eq(b, "a*.");
}

/* ---- UTF ---- */

Test(names, utf16_and_utf8_are_one_to_one)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(3);

    for (int round = 0; round < ROUNDS; round++) {
        uint16_t units[16], again[FAT_LONG_MAX_UNITS];
        int n = g_rand_int_range(rand, 1, 16);

        for (int i = 0; i < n; i++) {
            units[i] = nasty_unit(rand);
        }
        g_autofree char *utf8 = names_utf16_to_utf8(units, (size_t)n);
        cr_assert_eq(utf8_utf16_length(utf8), (size_t)n);
        cr_assert_eq(names_utf8_to_utf16(utf8, again), n);
        cr_assert_arr_eq(again, units, (size_t)n * sizeof(*units));
    }
}

Test(names, utf8_decoder_agrees_with_glib)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(4);

    for (int round = 0; round < ROUNDS; round++) {
        char bytes[5] = { 0 };
        uint32_t code = 0;

        for (int i = 0; i < 4; i++) {
            bytes[i] = (char)g_rand_int_range(rand, i ? 0x78 : 1, 0x100);
        }
        unsigned length = utf8_get(bytes, 4, &code);
        gunichar want = g_utf8_get_char_validated(bytes, 4);
        if (length && (code & ~0x7ffu) == 0xd800) {
            continue; /* a surrogate: ours to read, not GLib's */
        }
        cr_assert_eq(length != 0, want < 0x110000);
        if (length) {
            char put[4];

            cr_assert_eq(code, want);
            cr_assert_eq(utf8_put(put, code), length);
            cr_assert_arr_eq(put, bytes, length);
        }
    }
}

Test(names, utf8_to_utf16_refuses_what_is_too_long_or_not_utf8)
{
    uint16_t units[FAT_LONG_MAX_UNITS];
    char text[257];

    cr_assert_eq(names_utf8_to_utf16("a\xff", units), -1);
    memset(text, 'a', sizeof(text));
    text[256] = '\0';
    cr_assert_eq(names_utf8_to_utf16(text, units), -1);
    text[255] = '\0';
    cr_assert_eq(names_utf8_to_utf16(text, units), 255);
    memcpy(text + 251, "\xf0\x9f\x98\x80", 5);
    cr_assert_eq(names_utf8_to_utf16(text, units), 253);
    cr_assert_eq(names_utf8_to_utf16("", units), 0);
}

/* ---- Folding, devices, checksum ---- */

Test(names, fold_is_simple_upper_case)
{
    static const char *const cases[][2] = {
        { "Readme.TXT", "README.TXT" },
        { "\xc3\xa4\xc3\x96", "\xc3\x84\xc3\x96" },
        { "stra\xc3\x9f"
          "e",
          "STRA\xc3\x9f"
          "E" }, /* not SS */
        { "\xd0\xb6", "\xd0\x96" },
        { "\xc9\x90", "\xe2\xb1\xaf" },             /* grows: U+0250 */
        { "\xf0\x90\x90\xa8", "\xf0\x90\x90\xa8" }, /* outside the BMP */
        { "i\xc4\xb1", "II" },                      /* no Turkish rules */
        { "\xff"
          "a",
          "\xff"
          "A" },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *folded = names_fold(cases[i][0]);

        cr_assert_str_eq(folded, cases[i][1]);
    }
}

Test(names, compared_as_they_are_folded)
{
    static const char *const names[] = {
        "",         "a",
        "A",        "ab",
        "\xc3\xa4", "\xc3\x84",
        "\xe4",     "\xc4",
        "\344a",    "\xc3",
        "i",        "\xc4\xb1",
        "I",        "\xf0\x90\x90\xa8",
        "\xc9\x90", "\xe2\xb1\xaf",
    };

    for (size_t i = 0; i < G_N_ELEMENTS(names); i++) {
        for (size_t j = 0; j < G_N_ELEMENTS(names); j++) {
            g_autofree char *one = names_fold(names[i]);
            g_autofree char *other = names_fold(names[j]);
            bool same = strcmp(one, other) == 0;

            cr_assert_eq(names_fold_equal(names[i], names[j]), same,
                         "%zu and %zu", i, j);
            cr_assert(!same ||
                      names_fold_hash(names[i]) == names_fold_hash(names[j]));
        }
    }
}

Test(names, devices_with_any_extension_and_case)
{
    static const char *const yes[] = { "con",  "PRN.txt", "Aux.a.b", "nul ",
                                       "COM1", "com9.x",  "lpt5" };
    static const char *const no[] = { "cons", "co",   "com0", "com", "com10",
                                      "lptx", "aux1", "xcon", "",    ".con" };

    for (size_t i = 0; i < G_N_ELEMENTS(yes); i++) {
        cr_assert(names_is_device(yes[i]), "%s", yes[i]);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(no); i++) {
        cr_assert_not(names_is_device(no[i]), "%s", no[i]);
    }
}

/* Values worked out apart from the specification's loop. */
Test(names, checksum_rotates_and_adds)
{
    cr_assert_eq(names_checksum((const uint8_t *)"\x01\0\0\0\0\0\0\0\0\0\0"),
                 0x40);
    cr_assert_eq(names_checksum((const uint8_t *)"FOO     BAR"), 0x53);
}
