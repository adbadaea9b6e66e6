/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <string.h>

#include "block/vvfat/fat.h"

static const unsigned types[] = { 12, 16, 32 };

static uint32_t get(unsigned type, const uint8_t *buf, size_t bytes,
                    uint32_t cluster)
{
    uint32_t value;

    cr_assert(fat_entry_get(type, buf, bytes, 0, cluster, &value));
    return value;
}

Test(fat, type_follows_from_the_number_of_clusters)
{
    cr_assert_eq(fat_type_of(0), 12);
    cr_assert_eq(fat_type_of(4084), 12);
    cr_assert_eq(fat_type_of(4085), 16);
    cr_assert_eq(fat_type_of(65524), 16);
    cr_assert_eq(fat_type_of(65525), 32);
}

Test(fat, table_size_counts_the_two_entries_in_front)
{
    cr_assert_eq(fat_bytes(12, 0), 3);
    cr_assert_eq(fat_bytes(12, 1), 5);
    cr_assert_eq(fat_bytes(12, 340), 513);
    cr_assert_eq(fat_bytes(16, 254), 512);
    cr_assert_eq(fat_bytes(32, 268435444), 268435446ull * 4);
}

/* Bytes as the specification lays them out. */
Test(fat, entries_stand_where_the_specification_says)
{
    uint8_t fat12[6] = { 0 }, fat16[8] = { 0 }, fat32[12] = { 0 };

    fat_entry_put(12, fat12, sizeof(fat12), 0, 2, 0x123);
    fat_entry_put(12, fat12, sizeof(fat12), 0, 3, 0x456);
    cr_assert_arr_eq(fat12, ((uint8_t[]){ 0, 0, 0, 0x23, 0x61, 0x45 }), 6);
    fat_entry_put(16, fat16, sizeof(fat16), 0, 3, 0x1234);
    cr_assert_arr_eq(fat16 + 6, ((uint8_t[]){ 0x34, 0x12 }), 2);
    fat_entry_put(32, fat32, sizeof(fat32), 0, 2, 0x01234567);
    cr_assert_arr_eq(fat32 + 8, ((uint8_t[]){ 0x67, 0x45, 0x23, 0x01 }), 4);
}

Test(fat, marks_read_the_same_for_all_types)
{
    for (size_t i = 0; i < 3; i++) {
        unsigned type = types[i];
        uint32_t top = fat_entry_1(type);
        uint8_t buf[64] = { 0 };

        fat_entry_put(type, buf, sizeof(buf), 0, 2, FAT_ENTRY_EOC);
        fat_entry_put(type, buf, sizeof(buf), 0, 3, FAT_ENTRY_BAD);
        fat_entry_put(type, buf, sizeof(buf), 0, 4, top - 7);
        fat_entry_put(type, buf, sizeof(buf), 0, 5, top - 9);
        fat_entry_put(type, buf, sizeof(buf), 0, 6, 1);
        cr_assert_eq(get(type, buf, sizeof(buf), 2), FAT_ENTRY_EOC);
        cr_assert_eq(get(type, buf, sizeof(buf), 3), FAT_ENTRY_BAD);
        cr_assert_eq(get(type, buf, sizeof(buf), 4), FAT_ENTRY_EOC);
        cr_assert_eq(get(type, buf, sizeof(buf), 5), top - 9);
        cr_assert_eq(get(type, buf, sizeof(buf), 6), 1);
        cr_assert_eq(get(type, buf, sizeof(buf), 7), FAT_ENTRY_FREE);
    }
}

Test(fat, first_entries_come_back_as_they_stand)
{
    static const uint32_t want[] = { 0xff8, 0xfff8, 0x0ffffff8 };

    for (size_t i = 0; i < 3; i++) {
        uint8_t buf[8] = { 0 };
        uint32_t entry_0 = fat_entry_0(types[i], 0xf8);

        cr_assert_eq(entry_0, want[i]);
        fat_entry_put(types[i], buf, sizeof(buf), 0, 0, entry_0);
        fat_entry_put(types[i], buf, sizeof(buf), 0, 1, fat_entry_1(types[i]));
        cr_assert_eq(get(types[i], buf, sizeof(buf), 0), entry_0);
        cr_assert_eq(get(types[i], buf, sizeof(buf), 1),
                     fat_entry_1(types[i]));
    }
}

Test(fat, clean_and_error_bits)
{
    cr_assert(fat_entry_1_clean(12, 0));
    cr_assert(fat_entry_1_no_errors(12, 0));
    cr_assert(fat_entry_1_clean(16, 0xffff));
    cr_assert_not(fat_entry_1_clean(16, 0x7fff));
    cr_assert(fat_entry_1_no_errors(16, 0x7fff));
    cr_assert_not(fat_entry_1_no_errors(16, 0xbfff));
    cr_assert_not(fat_entry_1_clean(32, 0x07ffffff));
    cr_assert_not(fat_entry_1_no_errors(32, 0x0bffffff));
    cr_assert(fat_entry_1_clean(32, 0x0bffffff));
}

Test(fat, put_keeps_neighbours_and_the_top_bits)
{
    uint8_t fat12[6], fat32[12];

    memset(fat12, 0xff, sizeof(fat12));
    fat_entry_put(12, fat12, sizeof(fat12), 0, 2, 0);
    cr_assert_arr_eq(fat12 + 3, ((uint8_t[]){ 0, 0xf0, 0xff }), 3);
    memset(fat32, 0xa5, sizeof(fat32));
    fat_entry_put(32, fat32, sizeof(fat32), 0, 2, 7);
    cr_assert_eq(fat32[11], 0xa0);
    cr_assert_eq(get(32, fat32, sizeof(fat32), 2), 7);
}

/* A table put together from pieces of any size is the table. */
Test(fat, pieces_make_the_whole)
{
    enum { COUNT = 700 };

    for (size_t i = 0; i < 3; i++) {
        unsigned type = types[i];
        uint64_t total = fat_bytes(type, COUNT);
        g_autofree uint8_t *whole = g_malloc0(total);
        g_autofree uint8_t *parts = g_malloc0(total);

        for (uint32_t c = 0; c < COUNT + 2; c++) {
            fat_entry_put(type, whole, total, 0, c, c * 2654435761u >> 8);
        }
        for (uint64_t piece = 1; piece < 40; piece++) {
            memset(parts, 0, total);
            for (uint64_t at = 0; at < total; at += piece) {
                uint64_t n = MIN(piece, total - at);
                uint32_t first, end;

                fat_entries_in(type, at, n, &first, &end);
                cr_assert_lt(first, end);
                for (uint32_t c = first; c < end && c < COUNT + 2; c++) {
                    fat_entry_put(type, parts + at, n, at, c,
                                  c * 2654435761u >> 8);
                }
            }
            cr_assert_arr_eq(parts, whole, total);
        }
    }
}

Test(fat, entries_in_are_exactly_those_that_touch)
{
    for (size_t i = 0; i < 3; i++) {
        for (uint64_t at = 0; at < 64; at++) {
            for (uint64_t n = 1; n < 16; n++) {
                uint32_t first, end;

                fat_entries_in(types[i], at, n, &first, &end);
                for (uint32_t c = 0; c < 64; c++) {
                    uint8_t buf[16] = { 0 };
                    bool touched = false;

                    fat_entry_put(types[i], buf, n, at, c, 0x0fffffff);
                    for (size_t b = 0; b < n; b++) {
                        touched |= buf[b] != 0;
                    }
                    cr_assert_eq(touched, c >= first && c < end);
                }
            }
        }
    }
}

Test(fat, entry_outside_the_piece_is_refused)
{
    uint8_t buf[8] = { 0 };
    uint32_t value;

    cr_assert_not(fat_entry_get(12, buf, 4, 0, 2, &value));
    cr_assert(fat_entry_get(12, buf, 5, 0, 2, &value));
    cr_assert_not(fat_entry_get(16, buf, 2, 512, 255, &value));
    cr_assert(fat_entry_get(16, buf, 2, 512, 256, &value));
    cr_assert_not(fat_entry_get(16, buf, 2, 512, 257, &value));
    cr_assert_not(fat_entry_get(32, buf, 8, 0, UINT32_MAX, &value));
    cr_assert_not(fat_entry_get(32, buf, 0, 0, 0, &value));
}
