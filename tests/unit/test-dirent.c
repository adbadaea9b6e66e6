/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "block/vvfat/dirent.h"
#include "block/vvfat/names.h"

/* ---- Times ---- */

#define BERLIN "CET-1CEST,M3.5.0,M10.5.0/3"

static FatTime fat_time(unsigned year, unsigned month, unsigned day,
                        unsigned hour, unsigned minute, unsigned second)
{
    return (FatTime){
        .date = (uint16_t)((year - 1980) << 9 | month << 5 | day),
        .time = (uint16_t)(hour << 11 | minute << 5 | second / 2),
    };
}

static void check_from(int64_t seconds, bool utc, FatTime want,
                       bool want_clamped)
{
    bool clamped = !want_clamped;
    FatTime time = dirent_time_from_unix(seconds, 0, utc, NULL, &clamped);

    cr_assert_eq(time.date, want.date, "%lld", (long long)seconds);
    cr_assert_eq(time.time, want.time, "%lld", (long long)seconds);
    cr_assert_eq(clamped, want_clamped, "%lld", (long long)seconds);
}

Test(dirent, times_in_utc)
{
    check_from(315532800, true, fat_time(1980, 1, 1, 0, 0, 0), false);
    check_from(951782400, true, fat_time(2000, 2, 29, 0, 0, 0), false);
    check_from(1700000001, true, fat_time(2023, 11, 14, 22, 13, 20), false);
    check_from(4354819199, true, fat_time(2107, 12, 31, 23, 59, 58), false);
}

Test(dirent, times_outside_the_range_are_clamped)
{
    FatTime first = fat_time(1980, 1, 1, 0, 0, 0);
    FatTime last = fat_time(2107, 12, 31, 23, 59, 58);
    uint8_t ten_ms;
    bool clamped;

    check_from(315532799, true, first, true);
    check_from(0, true, first, true);
    check_from(-1, true, first, true);
    check_from(INT64_MIN, true, first, true);
    check_from(-67768040609740800, true, first, true);
    check_from(4354819200, true, last, true);
    check_from(67768036191676799, true, last, true);
    check_from(INT64_MAX, false, last, true);
    dirent_time_from_unix(INT64_MAX, 0, true, &ten_ms, &clamped);
    cr_assert_eq(ten_ms, 199);
    dirent_time_from_unix(0, 999999999, true, &ten_ms, &clamped);
    cr_assert_eq(ten_ms, 0);
}

Test(dirent, odd_seconds_and_fractions_are_in_the_ten_ms)
{
    uint8_t ten_ms;
    bool clamped;

    dirent_time_from_unix(1700000000, 0, true, &ten_ms, &clamped);
    cr_assert_eq(ten_ms, 0);
    dirent_time_from_unix(1700000001, 999999999, true, &ten_ms, &clamped);
    cr_assert_eq(ten_ms, 199);
    dirent_time_from_unix(1700000000, 129999999, true, &ten_ms, &clamped);
    cr_assert_eq(ten_ms, 12);
}

Test(dirent, every_even_second_of_utc_comes_back)
{
    bool clamped;

    for (int64_t t = 315532800; t < 4354819200; t += 86400 * 3 + 7654) {
        FatTime time = dirent_time_from_unix(t, 0, true, NULL, &clamped);

        cr_assert_eq(dirent_time_to_unix(time, true), t);
    }
}

Test(dirent, local_times_follow_daylight_saving)
{
    bool clamped;

    setenv("TZ", BERLIN, 1);
    tzset();
    check_from(1704067200, false, fat_time(2024, 1, 1, 1, 0, 0), false);
    check_from(1719792000, false, fat_time(2024, 7, 1, 2, 0, 0), false);
    for (int64_t t = 1700000000; t < 1800000000; t += 1800) {
        FatTime time = dirent_time_from_unix(t, 0, false, NULL, &clamped);
        int64_t back = dirent_time_to_unix(time, false);
        FatTime again = dirent_time_from_unix(back, 0, false, NULL, &clamped);

        /* An hour each autumn is there twice; its first pass is taken. */
        cr_assert(back == t || back == t - 3600);
        cr_assert_eq(again.date, time.date);
        cr_assert_eq(again.time, time.time);
    }
}

Test(dirent, the_hours_of_a_change)
{
    setenv("TZ", BERLIN, 1);
    tzset();
    /* 27 October 2024, 02:30: first at 00:30 UTC, again at 01:30 UTC. */
    cr_assert_eq(dirent_time_to_unix(fat_time(2024, 10, 27, 2, 30, 0), false),
                 1729989000);
    /* 31 March 2024, 02:30 does not exist: 03:30 summer time. */
    cr_assert_eq(dirent_time_to_unix(fat_time(2024, 3, 31, 2, 30, 0), false),
                 1711848600);
    cr_assert_eq(dirent_time_to_unix(fat_time(2024, 3, 31, 1, 59, 58), false),
                 1711846798);
    cr_assert_eq(dirent_time_to_unix(fat_time(2024, 3, 31, 3, 0, 0), false),
                 1711846800);
    /* South of the equator, half an hour, and west of Greenwich. */
    setenv("TZ", "LHST-10:30LHDT-11,M10.1.0,M4.1.0", 1);
    tzset();
    cr_assert_eq(dirent_time_to_unix(fat_time(2024, 1, 1, 0, 0, 0), false),
                 1704027600);
    setenv("TZ", "EST5", 1);
    tzset();
    cr_assert_eq(dirent_time_to_unix(fat_time(2024, 1, 1, 0, 0, 0), false),
                 1704085200);
}

Test(dirent, impossible_times_give_the_nearest_possible)
{
    FatTime zero = { 0, 0 }, ones = { 0xffff, 0xffff };

    cr_assert_eq(dirent_time_to_unix(zero, true), 315532800);
    cr_assert_eq(dirent_time_to_unix(ones, true), 4354819198);
    cr_assert_eq(dirent_time_to_unix(fat_time(2023, 2, 31, 0, 0, 0), true),
                 1677542400); /* 28 February */
    cr_assert_eq(dirent_time_to_unix(fat_time(2024, 13, 1, 0, 0, 0), true),
                 1733011200); /* 1 December */
    cr_assert_eq(dirent_time_to_unix(fat_time(2100, 2, 29, 0, 0, 0), true),
                 4107456000); /* 28 February: no leap year */
    for (unsigned i = 0; i < 0x10000; i++) {
        FatTime time = { (uint16_t)i, (uint16_t)(i * 40503u) };
        int64_t t = dirent_time_to_unix(time, true);

        cr_assert(t >= 315532800 && t <= 4354819198);
    }
}

/* ---- Writing and reading ---- */

static TreeNode sample_node(const char *name)
{
    TreeNode node = {
        .name = name,
        .attr = FAT_ATTR_ARCHIVE,
        .size = 0x12345678,
        .mtime = { 0x1111, 0x2222 },
        .ctime = { 0x3333, 0x4444 },
        .adate = 0x5555,
        .ctime_10ms = 123,
        .chain = { .n_runs = 1, .one = { 0x000a000b, 1 } },
        .has_long_name = true,
    };

    memcpy(node.short_name, "SHORT~1 TXT", FAT_SHORT_NAME_SIZE);
    return node;
}

Test(dirent, short_entry_byte_for_byte)
{
    TreeNode node = sample_node("x");
    FatDirent entry;
    static const uint8_t want[32] = {
        'S',  'H',  'O',  'R',  'T',  '~',  '1',  ' ',  'T',  'X',  'T',
        0x20, 0,    123,  0x44, 0x44, 0x33, 0x33, 0x55, 0x55, 0x0a, 0,
        0x22, 0x22, 0x11, 0x11, 0x0b, 0,    0x78, 0x56, 0x34, 0x12,
    };

    node.has_long_name = false;
    cr_assert_eq(dirent_slots(&node), 1);
    dirent_render(&node, 0, &entry);
    cr_assert_arr_eq(&entry, want, sizeof(want));
    node.attr = FAT_ATTR_DIRECTORY;
    dirent_render(&node, 0, &entry);
    cr_assert_eq(le32_get(entry.size), 0, "a directory has no size");
}

Test(dirent, long_entry_byte_for_byte)
{
    TreeNode node = sample_node("abcdefghijklmno");
    FatDirent entry;
    uint8_t sum = names_checksum(node.short_name);
    const uint8_t last[32] = {
        0x42, 'n',  0,    'o',  0,    0,    0,    0xff, 0xff, 0xff, 0xff,
        0x0f, 0,    sum,  0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0,    0,    0xff, 0xff, 0xff, 0xff,
    };
    const uint8_t first[32] = {
        1, 'a', 0, 'b', 0, 'c', 0, 'd', 0, 'e', 0, 0x0f, 0, sum, 'f', 0, 'g',
        0, 'h', 0, 'i', 0, 'j', 0, 'k', 0, 0,   0, 'l',  0, 'm', 0,
    };

    cr_assert_eq(dirent_slots(&node), 3);
    dirent_render(&node, 0, &entry);
    cr_assert_arr_eq(&entry, last, sizeof(last));
    dirent_render(&node, 1, &entry);
    cr_assert_arr_eq(&entry, first, sizeof(first));
    dirent_render(&node, 2, &entry);
    cr_assert_eq(entry.name[0], 'S');
}

static char *repeat(const char *text, unsigned n)
{
    GString *all = g_string_new(NULL);

    while (n-- > 0) {
        g_string_append(all, text);
    }
    return g_string_free(all, FALSE);
}

Test(dirent, slots_by_utf16_units)
{
    static const struct {
        const char *piece;
        unsigned n, slots;
    } cases[] = {
        { "a", 1, 2 },
        { "a", 13, 2 },
        { "a", 14, 3 },
        { "a", 26, 3 },
        { "a", 255, 21 },
        { "\xc3\xa9", 13, 2 },
        { "\xe2\x82\xac", 14, 3 },
        { "\xf0\x9f\x98\x80", 6, 2 },
        { "\xf0\x9f\x98\x80", 7, 3 },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *name = repeat(cases[i].piece, cases[i].n);
        TreeNode node = sample_node(name);

        cr_assert_eq(dirent_slots(&node), cases[i].slots);
    }
}

Test(dirent, what_is_written_is_read_for_all_lengths)
{
    for (unsigned length = 1; length <= 255; length++) {
        g_autofree char *name = repeat("n", length);
        TreeNode node = sample_node(name);
        unsigned slots = dirent_slots(&node);
        DirentReader reader;
        FatDirent entry;
        DirentItem item;

        dirent_reader_init(&reader);
        for (unsigned i = 0; i < slots; i++) {
            dirent_render(&node, i, &entry);
            cr_assert_eq(dirent_reader_feed(&reader, &entry, &item),
                         i == slots - 1);
        }
        g_autofree char *back = names_utf16_to_utf8(item.long_name,
                                                    item.long_units);
        cr_assert_eq(item.kind, DIRENT_FILE);
        cr_assert_eq(item.defects, 0);
        cr_assert_eq(item.first_slot, 0);
        cr_assert_eq(item.n_slots, slots);
        cr_assert_str_eq(back, name);
        cr_assert_eq(dirent_reader_finish(&reader), 0);
    }
}

Test(dirent, dots_and_label)
{
    TreeNode dir = sample_node("dir");
    DirentReader reader;
    DirentItem item;
    FatDirent entry;

    dirent_reader_init(&reader);
    dir.attr = FAT_ATTR_DIRECTORY;
    dirent_render_dot(&dir, 1, 0x12345, &entry);
    cr_assert_arr_eq(entry.name, ".          ", 11);
    cr_assert_eq(entry.attr, FAT_ATTR_DIRECTORY);
    cr_assert_eq(le16_get(entry.cluster_high), 1);
    cr_assert_eq(le16_get(entry.cluster_low), 0x2345);
    cr_assert_eq(le16_get(entry.mdate), 0x1111);
    cr_assert(dirent_reader_feed(&reader, &entry, &item));
    cr_assert_eq(item.kind, DIRENT_DOT);
    dirent_render_dot(&dir, 2, 0, &entry);
    cr_assert(dirent_reader_feed(&reader, &entry, &item));
    cr_assert_eq(item.kind, DIRENT_DOTDOT);
    dirent_render_label((const uint8_t *)"QEMU VVFAT ",
                        (FatTime){ 0x1234, 0x5678 }, &entry);
    cr_assert_eq(entry.attr, 0x08);
    cr_assert_eq(le16_get(entry.mdate), 0x1234);
    cr_assert_eq(le16_get(entry.cluster_low), 0);
    cr_assert_eq(le32_get(entry.size), 0);
    cr_assert(dirent_reader_feed(&reader, &entry, &item));
    cr_assert_eq(item.kind, DIRENT_LABEL);
    cr_assert_eq(item.defects, 0);
    memcpy(entry.name, "..        X", 11);
    entry.attr = FAT_ATTR_DIRECTORY;
    cr_assert(dirent_reader_feed(&reader, &entry, &item));
    cr_assert_eq(item.kind, DIRENT_FILE, "dots only when exact");
    cr_assert_eq(item.defects, DIRENT_BAD_SHORT_NAME);
}

/* ---- Damage ---- */

/* The entries of a file with a long name of three pieces. */
typedef struct Directory {
    FatDirent entry[8];
    unsigned n;
    DirentReader reader;
    DirentItem item;
    unsigned items;
} Directory;

static void add_node(Directory *d)
{
    g_autofree char *name = repeat("0123456789", 3);
    TreeNode node = sample_node(name);

    for (unsigned i = 0; i < dirent_slots(&node); i++) {
        dirent_render(&node, i, &d->entry[d->n++]);
    }
}

/* Read all; the last item stays in d->item. */
static unsigned read_all(Directory *d)
{
    unsigned defects = 0;

    dirent_reader_init(&d->reader);
    for (unsigned i = 0; i < d->n; i++) {
        if (dirent_reader_feed(&d->reader, &d->entry[i], &d->item)) {
            defects |= d->item.defects;
            d->items++;
        }
    }
    return defects | dirent_reader_finish(&d->reader);
}

static void check_falls_back(Directory *d, unsigned want_defects)
{
    unsigned defects = read_all(d);

    cr_assert_eq(defects, want_defects, "%x", defects);
    cr_assert_eq(d->items, 1);
    cr_assert_eq(d->item.long_units, 0);
    cr_assert_eq(d->item.n_slots, 1);
    cr_assert_eq(d->item.first_slot, d->n - 1);
}

Test(dirent, checksum_of_another_name_falls_back)
{
    Directory d = { 0 };

    add_node(&d);
    d.entry[3].name[0] = 'X';
    check_falls_back(&d, DIRENT_BAD_CHECKSUM);
}

Test(dirent, checksum_that_changes_between_pieces_falls_back)
{
    Directory d = { 0 };

    add_node(&d);
    ((FatLongDirent *)&d.entry[1])->checksum ^= 1;
    check_falls_back(&d, DIRENT_BAD_CHECKSUM | DIRENT_ORPHAN_LONG);
}

Test(dirent, piece_out_of_order_falls_back)
{
    Directory d = { 0 };

    add_node(&d);
    d.entry[1].name[0] = 1;
    check_falls_back(&d, DIRENT_BAD_ORDER | DIRENT_ORPHAN_LONG);
}

Test(dirent, count_that_says_more_falls_back)
{
    Directory d = { 0 };

    add_node(&d);
    memmove(&d.entry[2], &d.entry[3], sizeof(d.entry[0]));
    d.n--;
    check_falls_back(&d, DIRENT_BAD_ORDER);
}

Test(dirent, first_piece_without_its_mark_falls_back)
{
    Directory d = { 0 };

    add_node(&d);
    d.entry[0].name[0] = 3;
    check_falls_back(&d, DIRENT_ORPHAN_LONG);
}

Test(dirent, order_above_20_or_0_falls_back)
{
    static const uint8_t orders[] = { 0x40, 0x55, 0x7f, 0xc3 };

    for (size_t i = 0; i < G_N_ELEMENTS(orders); i++) {
        Directory d = { 0 };

        add_node(&d);
        d.entry[0].name[0] = orders[i];
        check_falls_back(&d, DIRENT_BAD_ORDER | DIRENT_ORPHAN_LONG);
    }
}

Test(dirent, deleted_entry_in_the_middle_falls_back)
{
    Directory d = { 0 };

    add_node(&d);
    d.entry[1].name[0] = FAT_DIRENT_FREE;
    check_falls_back(&d, DIRENT_ORPHAN_LONG);
}

Test(dirent, deleted_file_leaves_nothing)
{
    Directory d = { 0 };

    add_node(&d);
    for (unsigned i = 0; i < d.n; i++) {
        d.entry[i].name[0] = FAT_DIRENT_FREE;
    }
    cr_assert_eq(read_all(&d), 0);
    cr_assert_eq(d.items, 0);
}

Test(dirent, new_first_piece_orphans_the_old_ones)
{
    Directory d = { 0 };

    add_node(&d);
    d.n = 2;
    add_node(&d);
    cr_assert_eq(read_all(&d), DIRENT_ORPHAN_LONG);
    cr_assert_eq(d.items, 1);
    cr_assert_eq(d.item.long_units, 30);
    cr_assert_eq(d.item.first_slot, 2);
}

Test(dirent, long_name_of_a_label_is_an_orphan)
{
    Directory d = { 0 };

    add_node(&d);
    d.entry[3].attr = FAT_ATTR_VOLUME_ID;
    check_falls_back(&d, DIRENT_ORPHAN_LONG);
    cr_assert_eq(d.item.kind, DIRENT_LABEL);
}

Test(dirent, pieces_left_at_the_end_are_orphans)
{
    Directory d = { 0 };

    add_node(&d);
    d.n = 3;
    cr_assert_eq(read_all(&d), DIRENT_ORPHAN_LONG);
    cr_assert_eq(d.items, 0);
    d.n = 4;
    memset(&d.entry[3], 0, sizeof(d.entry[3]));
    cr_assert_eq(read_all(&d), DIRENT_ORPHAN_LONG);
    cr_assert_eq(d.item.kind, DIRENT_END);
}

Test(dirent, attributes_of_a_long_entry_have_two_free_bits)
{
    Directory d = { 0 };

    add_node(&d);
    for (unsigned i = 0; i < 3; i++) {
        d.entry[i].attr |= 0xc0;
    }
    cr_assert_eq(read_all(&d), 0);
    cr_assert_eq(d.item.long_units, 30);
}

Test(dirent, name_cut_by_an_early_nul_is_noted_and_kept)
{
    Directory d = { 0 };

    add_node(&d);
    le16_put(&((FatLongDirent *)&d.entry[2])->name1[3], 0);
    cr_assert_eq(read_all(&d), DIRENT_BAD_PADDING);
    cr_assert_eq(d.item.long_units, 3);
    cr_assert_eq(d.item.n_slots, 4);
}

Test(dirent, padding_that_is_none_is_noted_and_ignored)
{
    Directory d = { 0 };

    add_node(&d);
    le16_put(&((FatLongDirent *)&d.entry[0])->name3[1], 'x');
    cr_assert_eq(read_all(&d), DIRENT_BAD_PADDING);
    cr_assert_eq(d.item.long_units, 30);
}

Test(dirent, padding_in_the_name_is_noted_and_kept)
{
    Directory d = { 0 };

    add_node(&d);
    le16_put(&((FatLongDirent *)&d.entry[2])->name1[0], 0xffff);
    cr_assert_eq(read_all(&d), DIRENT_BAD_PADDING);
    cr_assert_eq(d.item.long_units, 30);
}

Test(dirent, reserved_fields_of_a_long_entry_are_noted)
{
    Directory d = { 0 };

    add_node(&d);
    ((FatLongDirent *)&d.entry[1])->type = 1;
    cr_assert_eq(read_all(&d), DIRENT_BAD_RESERVED);
    ((FatLongDirent *)&d.entry[1])->type = 0;
    le16_put(&((FatLongDirent *)&d.entry[2])->cluster, 0x100);
    cr_assert_eq(read_all(&d), DIRENT_BAD_RESERVED);
    cr_assert_eq(d.item.long_units, 30);
}

Test(dirent, illegal_units_are_noted)
{
    static const uint16_t bad[] = { '/', '*', 0x1f, '\\' };

    for (size_t i = 0; i < G_N_ELEMENTS(bad); i++) {
        Directory d = { 0 };

        add_node(&d);
        le16_put(&((FatLongDirent *)&d.entry[2])->name1[0], bad[i]);
        cr_assert_eq(read_all(&d), DIRENT_BAD_LONG_NAME);
        cr_assert_eq(d.item.long_units, 30);
    }
}

/* 20 entries have room for 260 units; names have at most 255. */
Test(dirent, name_of_more_than_255_units_falls_back)
{
    DirentReader reader;
    DirentItem item;
    FatDirent entry;
    g_autofree char *name = repeat("n", 255);
    TreeNode node = sample_node(name);

    dirent_reader_init(&reader);
    for (unsigned i = 0; i < 20; i++) {
        FatLongDirent l;

        dirent_render(&node, i, &entry);
        memcpy(&l, &entry, sizeof(l));
        if (i == 0) {
            for (unsigned j = 0; j < 6; j++) {
                le16_put(&l.name2[j], 'n');
            }
            le16_put(&l.name3[0], 'n');
            le16_put(&l.name3[1], 'n');
        }
        memcpy(&entry, &l, sizeof(l));
        cr_assert_not(dirent_reader_feed(&reader, &entry, &item));
    }
    dirent_render(&node, 20, &entry);
    cr_assert(dirent_reader_feed(&reader, &entry, &item));
    cr_assert_eq(item.defects, DIRENT_BAD_PADDING);
    cr_assert_eq(item.long_units, 0);
}
