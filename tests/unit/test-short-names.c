/* SPDX-License-Identifier: MIT */
/* Short names, code pages, labels. */
#include <criterion/criterion.h>
#include <string.h>

#include "block/error.h"
#include "block/vvfat/names.h"

static Codepage *cp;
static ShortNames *names;

static void setup(void)
{
    cp = codepage_new(437, NULL);
    names = short_names_new(cp);
}

static void teardown(void)
{
    short_names_free(names);
    codepage_free(cp);
}

TestSuite(short_names, .init = setup, .fini = teardown);

static void check_assign(const char *utf8, const char *want)
{
    uint8_t name[FAT_SHORT_NAME_SIZE];

    cr_assert(short_names_assign(names, utf8, name));
    cr_assert_arr_eq(name, want, sizeof(name), "%s: %.11s", utf8, name);
    cr_assert(names_short_is_valid(name));
}

static void check_reserve(const char *utf8, const char *want)
{
    uint8_t name[FAT_SHORT_NAME_SIZE];
    bool taken = short_names_reserve(names, utf8, name);

    cr_assert_eq(taken, want != NULL, "%s", utf8);
    if (want) {
        cr_assert_arr_eq(name, want, sizeof(name), "%s: %.11s", utf8, name);
    }
}

Test(short_names, names_of_8_3_are_taken_as_they_are)
{
    check_reserve("README.TXT", "README  TXT");
    check_reserve("makefile", "MAKEFILE   ");
    check_reserve("a.b", "A       B  ");
    check_reserve("{$%'-_@~`!(^#&)}", NULL);
    check_reserve("{$%'-_@~", "{$%'-_@~   ");
    check_reserve("\xc3\xa4.\xc3\xb1", "\x8e       \xa5  ");
    check_reserve("readme.txt", NULL);
}

Test(short_names, what_is_not_8_3_is_not_reserved)
{
    check_reserve("Readme.text", NULL);
    check_reserve("ninechars", NULL);
    check_reserve("a b", NULL);
    check_reserve("a+b", NULL);
    check_reserve(".a", NULL);
    check_reserve("a.b.c", NULL);
    check_reserve("a.", NULL);
    check_reserve("\xe2\x82\xac", NULL);
    check_reserve("", NULL);
}

Test(short_names, basis_names_follow_the_specification)
{
    check_assign("The quick brown.fox", "THEQUI~1FOX");
    check_assign("readme.text", "README~1TEX");
    check_assign("a.b.c", "AB~1    C  ");
    check_assign(".bashrc", "BASHRC~1   ");
    check_assign(".a.txt", "A~1     TXT");
    check_assign("a+b,c;d=e[f]", "A_B_C_~1   ");
    check_assign("\xe2\x82\xac.txt", "_~1     TXT");
    check_assign("...", "_~1        ");
    check_assign("+", "_~2        ");
    check_assign("a b", "AB~1       ");
    check_assign("foo.", "FOO~1      ");
    check_assign("x.\xf0\x9f\x98\x80y", "X~1     _Y ");
    check_assign("\xff", "_~3        ");
}

Test(short_names, device_names_never_become_short_names)
{
    check_reserve("con", NULL);
    check_assign("con", "CON~1      ");
    check_assign("aux.c", "AUX~1   C  ");
    check_assign("com1.txt", "COM1~1  TXT");
    check_assign(" nul", "NUL~1      ");
}

Test(short_names, first_byte_e5_is_stored_as_05)
{
    /* U+03C3 in upper case is U+03A3, 0xe4 in 437. 866 has U+0425 at 0x95
     * and U+0445 at 0xe5, whose upper case that is. 850 has O with tilde at
     * 0xe5. */
    g_autoptr(Codepage) cp850 = codepage_new(850, NULL);
    g_autoptr(ShortNames) list = NULL;
    uint8_t name[FAT_SHORT_NAME_SIZE];
    g_autofree char *utf8 = NULL;

    cr_assert_not_null(cp850);
    list = short_names_new(cp850);
    cr_assert(short_names_reserve(list, "\xc3\xb5.x", name));
    cr_assert_arr_eq(name, "\x05       X  ", sizeof(name));
    utf8 = names_short_to_utf8(cp850, name, 0);
    cr_assert_str_eq(utf8, "\xc3\x95.X");
}

Test(short_names, tails_avoid_what_is_reserved)
{
    check_reserve("FOOBAR~1.TXT", "FOOBAR~1TXT");
    check_reserve("foobar~3.txt", "FOOBAR~3TXT");
    check_assign("foobar long.txt", "FOOBAR~2TXT");
    check_assign("foobar longer.txt", "FOOBAR~4TXT");
}

Test(short_names, name_taken_gets_a_tail)
{
    check_assign("foo.txt", "FOO     TXT");
    check_assign("FOO.TXT", "FOO~1   TXT");
    check_assign("Foo.txt", "FOO~2   TXT");
}

static GHashTable *string_set_new(void)
{
    return g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
}

/* Alike names up to what a directory can hold, with tails of all widths. */
Test(short_names, many_alike_names_get_distinct_tails)
{
    enum { COUNT = 120000 };
    g_autoptr(GHashTable) seen = string_set_new();
    uint8_t name[FAT_SHORT_NAME_SIZE];
    char text[64];

    for (int i = 0; i < COUNT; i++) {
        g_snprintf(text, sizeof(text), "alike names %d.dat", i);
        cr_assert(short_names_assign(names, text, name));
        cr_assert(names_short_is_valid(name));
        cr_assert(g_hash_table_add(
            seen, g_strndup((const char *)name, sizeof(name))));
    }
    cr_assert_arr_eq(name, "A~120000DAT", sizeof(name));
}

Test(short_names, all_tails_taken_is_a_failure)
{
    uint8_t name[FAT_SHORT_NAME_SIZE];

    for (int i = 0; i < 999999; i++) {
        cr_assert(short_names_assign(names, "same name", name));
    }
    cr_assert_arr_eq(name, "S~999999   ", sizeof(name));
    cr_assert_not(short_names_assign(names, "same name", name));
    cr_assert(short_names_assign(names, "another name", name));
}

/* ---- Reading ---- */

static void check_utf8(const char *bytes, uint8_t flags, const char *want)
{
    g_autofree char *utf8 = names_short_to_utf8(cp, (const uint8_t *)bytes,
                                                flags);

    cr_assert_str_eq(utf8, want);
}

Test(short_names, read_as_text)
{
    check_utf8("README  TXT", 0, "README.TXT");
    check_utf8("README  TXT", FAT_CASE_LOWER_BASE, "readme.TXT");
    check_utf8("README  TXT", FAT_CASE_LOWER_EXT, "README.txt");
    check_utf8("README     ", FAT_CASE_LOWER_BASE, "readme");
    check_utf8("A B     C D", 0, "A B.C D");
    check_utf8("\x8e       \xa5  ", FAT_CASE_LOWER_BASE, "\xc3\xa4.\xc3\x91");
    check_utf8("\x05       X  ", 0, "\xcf\x83.X");
    check_utf8("A\0B        ", 0,
               "A\xef\xbf\xbd"
               "B");
    check_utf8("           ", 0, "");
}

Test(short_names, illegal_bytes_are_noticed)
{
    static const char *const bad[] = {
        " A         ", "A\x1f         ", "A*         ",    "A.B        ",
        "A/B        ", "\x06          ", "A\x05         ", "A\x7f         ",
    };

    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        cr_assert_not(names_short_is_valid((const uint8_t *)bad[i]));
    }
    cr_assert(names_short_is_valid((const uint8_t *)"\x05 B     \x80\xffx"));
}

/* ---- Code pages ---- */

/* The built-in table against the system's. */
Test(short_names, code_page_437_is_what_iconv_says)
{
    for (unsigned byte = 0x80; byte < 0x100; byte++) {
        char in = (char)byte;
        gsize n = 0;
        g_autofree char *utf8 = g_convert(&in, 1, "UTF-8", "CP437", NULL, &n,
                                          NULL);

        if (!utf8) {
            cr_skip("iconv does not know CP437 here");
        }
        cr_assert_eq(codepage_char(cp, (uint8_t)byte), g_utf8_get_char(utf8));
        cr_assert_eq(codepage_byte(cp, g_utf8_get_char(utf8)), (int)byte);
    }
    cr_assert_eq(codepage_byte(cp, 0x20ac), -1);
    cr_assert_eq(codepage_byte(cp, 0x1f600), -1);
    cr_assert_eq(codepage_byte(cp, 'A'), 'A');
}

Test(short_names, code_pages_of_one_byte_are_accepted)
{
    static const unsigned numbers[] = {
        437,  737,  775,  850,  852,  855,  857,  858,  860,
        861,  862,  863,  865,  866,  869,  874,  1250, 1251,
        1252, 1253, 1254, 1255, 1256, 1257, 1258,
    };

    for (size_t i = 0; i < G_N_ELEMENTS(numbers); i++) {
        g_autoptr(GError) error = NULL;
        g_autoptr(Codepage) page = codepage_new(numbers[i], &error);

        cr_assert_not_null(page, "%s", error ? error->message : "");
    }
    g_autoptr(Codepage) cp1252 = codepage_new(1252, NULL);
    cr_assert_eq(codepage_char(cp1252, 0x80), 0x20ac);
    cr_assert_eq(codepage_char(cp1252, 0x81), 0xfffd);
    cr_assert_eq(codepage_byte(cp1252, 0xfffd), -1);
}

Test(short_names, other_code_pages_are_refused_with_the_usual_ones)
{
    static const unsigned numbers[] = { 0,   37,   864,   932,   936,  949,
                                        950, 1200, 65000, 65001, 99999 };

    for (size_t i = 0; i < G_N_ELEMENTS(numbers); i++) {
        g_autoptr(GError) error = NULL;

        cr_assert_null(codepage_new(numbers[i], &error), "%u", numbers[i]);
        cr_assert_not_null(strstr(error->message, "437"));
    }
}

/* ---- Labels ---- */

Test(short_names, labels_are_padded_and_upper_case)
{
    uint8_t label[FAT_SHORT_NAME_SIZE];

    cr_assert(names_label_from_utf8(cp, "qemu vvfat", false, label));
    cr_assert_arr_eq(label, "QEMU VVFAT ", sizeof(label));
    cr_assert(names_label_from_utf8(cp, "Mixed", true, label));
    cr_assert_arr_eq(label, "Mixed      ", sizeof(label));
    cr_assert(names_label_from_utf8(cp, "\xc3\xa9t\xc3\xa9", false, label));
    cr_assert_arr_eq(label, "\x90T\x90        ", sizeof(label));
    cr_assert(names_label_from_utf8(cp, "", false, label));
    cr_assert_arr_eq(label, "           ", sizeof(label));
    cr_assert(names_label_from_utf8(cp, "\xcf\x83", true, label));
    cr_assert_eq(label[0], 0x05);
}

Test(short_names, labels_that_fat_cannot_hold_are_refused)
{
    static const char *const bad[] = { "twelve bytes", "a.b",  "a/b",  " x",
                                       "\xe2\x82\xac", "a\tb", "\xff", "?" };
    uint8_t label[FAT_SHORT_NAME_SIZE];

    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        cr_assert_not(names_label_from_utf8(cp, bad[i], false, label));
    }
}
