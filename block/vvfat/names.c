/* SPDX-License-Identifier: MIT */
/* Long names as text, and what holds for names of both kinds. */
#include "block/vvfat/names.h"

#include <string.h>

#include "block/vvfat/utf.h"

char *names_utf16_to_utf8(const uint16_t *units, size_t n)
{
    /* A unit takes at most three bytes; a pair takes four. */
    char *utf8 = g_malloc(3 * n + 1);
    size_t length = 0;

    for (size_t i = 0; i < n;) {
        uint32_t code;

        i += utf16_get(units + i, n - i, &code);
        length += utf8_put(utf8 + length, code);
    }
    utf8[length] = '\0';
    return utf8;
}

int names_utf8_to_utf16(const char *utf8, uint16_t units[FAT_LONG_MAX_UNITS])
{
    size_t n = strlen(utf8);
    unsigned count = 0;

    for (size_t i = 0; i < n;) {
        uint32_t code = 0;
        unsigned length = utf8_get(utf8 + i, n - i, &code);
        unsigned need = code < 0x10000 ? 1 : 2;

        if (length == 0 || count + need > FAT_LONG_MAX_UNITS) {
            return -1;
        }
        count += utf16_put(units + count, code);
        i += length;
    }
    return (int)count;
}

uint32_t names_upper(uint32_t code)
{
    uint32_t upper;

    if (code < 0x80) {
        return code >= 'a' && code <= 'z' ? code - ('a' - 'A') : code;
    }
    if (code >= 0x10000) {
        return code;
    }
    upper = g_unichar_toupper(code);
    return upper < 0x10000 ? upper : code;
}

char *names_fold(const char *utf8)
{
    size_t n = strlen(utf8);
    /* Upper case takes at most half as much again (two bytes to three). */
    char *folded = g_malloc(2 * n + 1);
    size_t length = 0;

    for (size_t i = 0; i < n;) {
        uint32_t code;
        unsigned step = utf8_get(utf8 + i, n - i, &code);

        if (step == 0) {
            folded[length++] = utf8[i++];
            continue;
        }
        length += utf8_put(folded + length, names_upper(code));
        i += step;
    }
    folded[length] = '\0';
    return folded;
}

/* A byte that is no UTF-8 is compared as what no character is. */
#define FOLD_BYTE 0x110000u

/* One more character of a name, folded; 0 at its end. */
static uint32_t fold_next(const char **at)
{
    uint32_t code;
    /* The NUL at the end is no continuation byte: it stops utf8_get(). */
    unsigned step = utf8_get(*at, UTF8_MAX_BYTES, &code);

    if (step == 0) {
        code = FOLD_BYTE + (uint8_t) * *at;
        step = 1;
    }
    *at += step;
    return names_upper(code);
}

/* FNV-1a over the characters. */
guint names_fold_hash(gconstpointer utf8)
{
    const char *at = utf8;
    guint hash = 2166136261u;
    uint32_t code;

    while ((code = fold_next(&at)) != 0) {
        hash = (hash ^ code) * 16777619u;
    }
    return hash;
}

gboolean names_fold_equal(gconstpointer utf8, gconstpointer other)
{
    const char *one = utf8, *two = other;
    uint32_t code;

    do {
        code = fold_next(&one);
        if (code != fold_next(&two)) {
            return FALSE;
        }
    } while (code != 0);
    return TRUE;
}

bool names_is_device(const char *utf8)
{
    static const char *const plain[] = { "CON", "PRN", "AUX", "NUL" };
    static const char *const numbered[] = { "COM", "LPT" };
    size_t n = strcspn(utf8, ".");

    while (n > 0 && utf8[n - 1] == ' ') {
        n--;
    }
    for (size_t i = 0; n == 3 && i < G_N_ELEMENTS(plain); i++) {
        if (g_ascii_strncasecmp(utf8, plain[i], 3) == 0) {
            return true;
        }
    }
    for (size_t i = 0; n == 4 && i < G_N_ELEMENTS(numbered); i++) {
        if (g_ascii_strncasecmp(utf8, numbered[i], 3) == 0 && utf8[3] >= '1' &&
            utf8[3] <= '9') {
            return true;
        }
    }
    return false;
}

uint8_t names_checksum(const uint8_t short_name[FAT_SHORT_NAME_SIZE])
{
    uint8_t sum = 0;

    for (unsigned i = 0; i < FAT_SHORT_NAME_SIZE; i++) {
        sum = (uint8_t)((sum >> 1 | sum << 7) + short_name[i]);
    }
    return sum;
}

bool names_short_has(uint8_t byte)
{
    static const bool banned[UINT8_MAX + 1] = {
        ['"'] = true, ['*'] = true, ['+'] = true,  [','] = true,
        ['.'] = true, ['/'] = true, [':'] = true,  [';'] = true,
        ['<'] = true, ['='] = true, ['>'] = true,  ['?'] = true,
        ['['] = true, [']'] = true, ['\\'] = true, ['|'] = true,
    };

    return !g_ascii_iscntrl((char)byte) && !banned[byte];
}

bool names_short_is_valid(const uint8_t short_name[FAT_SHORT_NAME_SIZE])
{
    if (short_name[0] == ' ') {
        return false;
    }
    for (unsigned i = 0; i < FAT_SHORT_NAME_SIZE; i++) {
        uint8_t c = short_name[i];

        if (!names_short_has(c) && (i > 0 || c != FAT_DIRENT_KANJI_E5)) {
            return false;
        }
    }
    return true;
}

bool names_is_temporary(const char *host)
{
    size_t n;

    if (!g_str_has_prefix(host, NAMES_TEMP_PREFIX)) {
        return false;
    }
    host += strlen(NAMES_TEMP_PREFIX);
    n = strspn(host, "0123456789abcdef");
    return n == 16 && host[n] == '\0';
}
