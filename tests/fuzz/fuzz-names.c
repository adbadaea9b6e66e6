/* SPDX-License-Identifier: MIT */
/*
 * Any bytes as a host name, as a long name, as the names of a directory and
 * as directory entries. What is mapped must come back, short names must be
 * valid and distinct, and what is written must be read.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "block/vvfat/dirent.h"
#include "block/vvfat/names.h"
#include "block/vvfat/utf.h"

#define MAX_NAMES 64

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void expect(bool good)
{
    if (!good) {
        abort();
    }
}

static bool is_legal(const uint16_t *units, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint16_t u = units[i];

        if (u < 0x20 || u == 0xffff ||
            (u < 0x80 && strchr("\"*/:<>?\\|", u))) {
            return false;
        }
    }
    return n > 0 && units[n - 1] != '.' && units[n - 1] != ' ';
}

/* ---- Long names ---- */

static void check_fold(const char *utf8)
{
    g_autofree char *once = names_fold(utf8);
    g_autofree char *twice = names_fold(once);

    expect(strcmp(once, twice) == 0);
    expect(names_fold_equal(utf8, once));
    expect(names_fold_hash(utf8) == names_fold_hash(once));
    expect(names_is_device(utf8) == names_is_device(once));
}

static void check_host_name(const char *host)
{
    uint16_t units[FAT_LONG_MAX_UNITS];
    g_autofree char *mapped = names_map(host);
    g_autofree char *utf8 = NULL;
    g_autofree char *back = NULL;
    int n = names_from_host(host, units);

    check_fold(host);
    if (strlen(host) > 255 || strchr(host, '/') || !*host ||
        strcmp(host, ".") == 0 || strcmp(host, "..") == 0) {
        return;
    }
    expect(n > 0 && is_legal(units, (size_t)n));
    utf8 = names_utf16_to_utf8(units, (size_t)n);
    expect(strcmp(utf8, mapped ? mapped : host) == 0);
    back = names_to_host(units, (size_t)n, NULL);
    expect(back && strcmp(back, host) == 0);
}

static void check_long_name(const uint16_t *units, size_t n)
{
    uint16_t again[FAT_LONG_MAX_UNITS];
    const char *why = NULL;
    g_autofree char *host = names_to_host(units, n, &why);

    expect((host == NULL) == (why != NULL));
    if (host) {
        expect(*host && strlen(host) <= 255 && !strchr(host, '/'));
        expect(strcmp(host, ".") != 0 && strcmp(host, "..") != 0);
    }
    if (host && is_legal(units, n)) {
        expect(names_from_host(host, again) == (int)n);
        expect(memcmp(again, units, n * sizeof(*units)) == 0);
    }
}

/* Written as entries and read again. */
static void check_written(const uint16_t *units, size_t n)
{
    g_autofree char *utf8 = names_utf16_to_utf8(units, n);
    TreeNode node = { .name = utf8, .has_long_name = true };
    DirentReader reader;
    DirentItem item;

    expect(utf8_utf16_length(utf8) == n);
    memcpy(node.short_name, "NAME~1  X  ", sizeof(node.short_name));
    dirent_reader_init(&reader);
    for (unsigned i = 0; i < dirent_slots(&node); i++) {
        FatDirent entry;

        dirent_render(&node, i, &entry);
        expect(dirent_reader_feed(&reader, &entry, &item) ==
               (i + 1 == dirent_slots(&node)));
    }
    expect(item.long_units == n && item.n_slots == dirent_slots(&node));
    expect(memcmp(item.long_name, units, n * sizeof(*units)) == 0);
    expect(!is_legal(units, n) || item.defects == 0);
}

static void check_units(const uint8_t *data, size_t bytes)
{
    uint16_t units[FAT_LONG_MAX_UNITS];
    size_t n = MIN(bytes / 2, FAT_LONG_MAX_UNITS);
    bool has_nul = false;

    for (size_t i = 0; i < n; i++) {
        units[i] = (uint16_t)(data[2 * i] | data[2 * i + 1] << 8);
        has_nul |= units[i] == 0;
    }
    check_long_name(units, n);
    if (n > 0 && !has_nul) {
        check_written(units, n);
    }
}

/* ---- Short names ---- */

static void check_label(const Codepage *cp, const char *text)
{
    uint8_t label[FAT_SHORT_NAME_SIZE];

    if (names_label_from_utf8(cp, text, false, label)) {
        g_autofree char *back = names_short_to_utf8(cp, label, 0);

        expect(g_utf8_validate(back, -1, NULL));
    }
}

static GHashTable *string_set_new(void)
{
    return g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
}

/* Lines are the names of a directory. */
static void check_short_names(const Codepage *cp, const char *text)
{
    g_autoptr(ShortNames) names = short_names_new(cp);
    g_autoptr(GHashTable) seen = string_set_new();
    g_auto(GStrv) lines = g_strsplit(text, "\n", MAX_NAMES);

    for (char **line = lines; *line; line++) {
        uint8_t name[FAT_SHORT_NAME_SIZE];
        g_autofree char *utf8 = NULL;

        check_label(cp, *line);
        if (!short_names_reserve(names, *line, name)) {
            expect(short_names_assign(names, *line, name));
        }
        expect(names_short_is_valid(name));
        utf8 = names_short_to_utf8(cp, name, 0);
        expect(g_utf8_validate(utf8, -1, NULL) && *utf8);
        expect(!names_is_device(utf8));
        expect(g_hash_table_add(seen,
                                g_strndup((const char *)name, sizeof(name))));
    }
}

/* ---- Directory entries ---- */

static void check_entries(const Codepage *cp, const uint8_t *data,
                          size_t bytes)
{
    DirentReader reader;
    DirentItem item;

    dirent_reader_init(&reader);
    for (uint32_t slot = 0; bytes >= sizeof(FatDirent); slot++) {
        FatDirent entry;

        memcpy(&entry, data, sizeof(entry));
        data += sizeof(entry);
        bytes -= sizeof(entry);
        if (dirent_reader_feed(&reader, &entry, &item)) {
            g_autofree char *utf8 = names_short_to_utf8(cp, item.entry.name,
                                                        item.entry.case_flags);

            expect(g_utf8_validate(utf8, -1, NULL));
            expect(item.first_slot + item.n_slots == slot + 1);
            expect(item.n_slots >= 1 && item.n_slots <= 21);
            expect(item.long_units <= FAT_LONG_MAX_UNITS);
            check_long_name(item.long_name, item.long_units);
        }
    }
    dirent_reader_finish(&reader);
    expect(dirent_reader_finish(&reader) == 0);
}

static void check_time(const uint8_t *data, size_t bytes)
{
    FatTime time, again;
    bool clamped;
    int64_t t;

    if (bytes < sizeof(time)) {
        return;
    }
    memcpy(&time, data, sizeof(time));
    t = dirent_time_to_unix(time, true);
    again = dirent_time_from_unix(t, 0, true, NULL, &clamped);
    expect(!clamped && dirent_time_to_unix(again, true) == t);
    if (bytes >= sizeof(t)) {
        memcpy(&t, data, sizeof(t));
        dirent_time_from_unix(t, 0, true, NULL, &clamped);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static Codepage *cp;
    g_autofree char *text = g_strndup((const char *)data, bytes);

    if (!cp) {
        cp = codepage_new(CODEPAGE_DEFAULT, NULL);
    }
    check_host_name(text);
    check_units(data, bytes);
    check_short_names(cp, text);
    check_entries(cp, data, bytes);
    check_time(data, bytes);
    return 0;
}
