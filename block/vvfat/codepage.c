/* SPDX-License-Identifier: MIT */
/*
 * OEM code pages of one byte a character, ASCII in the lower half: a table
 * for the upper half, and the same sorted by character for the way back. Code
 * page 437 is built in, so that the default does not depend on what the host
 * has installed.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "block/error.h"
#include "block/vvfat/names.h"
#include "block/vvfat/utf.h"

#define UPPER_HALF 128u
#define UNDEFINED 0xfffdu

typedef struct CodepageEntry {
    uint16_t code;
    uint8_t byte;
} CodepageEntry;

struct Codepage {
    uint16_t chars[UPPER_HALF];       /* of bytes 0x80..0xff */
    CodepageEntry sorted[UPPER_HALF]; /* by code; undefined ones left out */
    unsigned n_sorted;
};

/* clang-format off */
static const uint16_t cp437[UPPER_HALF] = {
    0x00c7, 0x00fc, 0x00e9, 0x00e2, 0x00e4, 0x00e0, 0x00e5, 0x00e7,
    0x00ea, 0x00eb, 0x00e8, 0x00ef, 0x00ee, 0x00ec, 0x00c4, 0x00c5,
    0x00c9, 0x00e6, 0x00c6, 0x00f4, 0x00f6, 0x00f2, 0x00fb, 0x00f9,
    0x00ff, 0x00d6, 0x00dc, 0x00a2, 0x00a3, 0x00a5, 0x20a7, 0x0192,
    0x00e1, 0x00ed, 0x00f3, 0x00fa, 0x00f1, 0x00d1, 0x00aa, 0x00ba,
    0x00bf, 0x2310, 0x00ac, 0x00bd, 0x00bc, 0x00a1, 0x00ab, 0x00bb,
    0x2591, 0x2592, 0x2593, 0x2502, 0x2524, 0x2561, 0x2562, 0x2556,
    0x2555, 0x2563, 0x2551, 0x2557, 0x255d, 0x255c, 0x255b, 0x2510,
    0x2514, 0x2534, 0x252c, 0x251c, 0x2500, 0x253c, 0x255e, 0x255f,
    0x255a, 0x2554, 0x2569, 0x2566, 0x2560, 0x2550, 0x256c, 0x2567,
    0x2568, 0x2564, 0x2565, 0x2559, 0x2558, 0x2552, 0x2553, 0x256b,
    0x256a, 0x2518, 0x250c, 0x2588, 0x2584, 0x258c, 0x2590, 0x2580,
    0x03b1, 0x00df, 0x0393, 0x03c0, 0x03a3, 0x03c3, 0x00b5, 0x03c4,
    0x03a6, 0x0398, 0x03a9, 0x03b4, 0x221e, 0x03c6, 0x03b5, 0x2229,
    0x2261, 0x00b1, 0x2265, 0x2264, 0x2320, 0x2321, 0x00f7, 0x2248,
    0x00b0, 0x2219, 0x00b7, 0x221a, 0x207f, 0x00b2, 0x25a0, 0x00a0,
};
/* clang-format on */

/* The one character of a byte; false when it is not complete by itself or
 * more than one unit of UTF-16. *code is UNDEFINED for a byte without one. */
static bool iconv_byte(GIConv cd, uint8_t byte, uint16_t *code)
{
    char in = (char)byte;
    le16 out[4];
    char *from = &in, *to = (char *)out;
    gsize n_from = 1, n_to = sizeof(out);
    gsize ret = g_iconv(cd, &from, &n_from, &to, &n_to);
    int err = errno;

    if (ret != (gsize)-1) {
        /* Some converters hold a letter back for an accent to follow. */
        ret = g_iconv(cd, NULL, NULL, &to, &n_to);
        err = errno;
    }
    if (ret == (gsize)-1) {
        g_iconv(cd, NULL, NULL, NULL, NULL);
        *code = UNDEFINED;
        return err == EILSEQ;
    }
    *code = le16_get(out[0]);
    return n_to == sizeof(out) - sizeof(*out);
}

/* Fill the table of a code page; false when it is none of ours. */
static bool codepage_convert(Codepage *cp, GIConv cd)
{
    for (unsigned byte = 1; byte < 0x100; byte++) {
        uint16_t code;

        if (!iconv_byte(cd, (uint8_t)byte, &code)) {
            return false;
        }
        if (byte >= UPPER_HALF) {
            cp->chars[byte - UPPER_HALF] = code;
        } else if (byte >= 0x20 && byte < 0x7f && code != byte) {
            return false;
        }
    }
    return true;
}

static bool codepage_load(Codepage *cp, unsigned number)
{
    g_autofree char *name = g_strdup_printf("CP%u", number);
    GIConv cd = g_iconv_open("UTF-16LE", name);
    bool ok;

    if (cd == (GIConv)-1) {
        return false;
    }
    ok = codepage_convert(cp, cd);
    g_iconv_close(cd);
    return ok;
}

static int entry_compare(const void *a, const void *b)
{
    const CodepageEntry *x = a, *y = b;

    return x->code != y->code ? (x->code < y->code ? -1 : 1)
                              : x->byte - y->byte;
}

static void codepage_sort(Codepage *cp)
{
    for (unsigned i = 0; i < UPPER_HALF; i++) {
        if (cp->chars[i] != UNDEFINED) {
            cp->sorted[cp->n_sorted++] = (CodepageEntry){
                .code = cp->chars[i],
                .byte = (uint8_t)(UPPER_HALF + i),
            };
        }
    }
    qsort(cp->sorted, cp->n_sorted, sizeof(*cp->sorted), entry_compare);
}

Codepage *codepage_new(unsigned number, GError **errp)
{
    g_autoptr(Codepage) cp = g_new0(Codepage, 1);

    if (number == CODEPAGE_DEFAULT) {
        memcpy(cp->chars, cp437, sizeof(cp437));
    } else if (!codepage_load(cp, number)) {
        block_error_set(
            errp, EINVAL,
            "Code page %u is not known here as one of a byte a "
            "character; usual ones are 437, 737, 775, 850, 852, 855, 857, "
            "858, 860 to 863, 865, 866, 869, 874 and 1250 to 1258",
            number);
        return NULL;
    }
    codepage_sort(cp);
    return g_steal_pointer(&cp);
}

void codepage_free(Codepage *cp)
{
    g_free(cp);
}

int codepage_byte(const Codepage *cp, uint32_t code)
{
    unsigned low = 0, high = cp->n_sorted;

    if (code < UPPER_HALF) {
        return (int)code;
    }
    while (low < high) {
        unsigned middle = (low + high) / 2;

        if (cp->sorted[middle].code < code) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < cp->n_sorted && cp->sorted[low].code == code
               ? cp->sorted[low].byte
               : -1;
}

uint32_t codepage_char(const Codepage *cp, uint8_t byte)
{
    return byte < UPPER_HALF ? byte : cp->chars[byte - UPPER_HALF];
}

/* One part of a short name, without the spaces behind it. */
static size_t part_to_utf8(const Codepage *cp, const uint8_t *part, size_t n,
                           bool lower, char *utf8)
{
    size_t length = 0;

    while (n > 0 && part[n - 1] == ' ') {
        n--;
    }
    for (size_t i = 0; i < n; i++) {
        uint32_t code = codepage_char(cp, part[i]);
        uint32_t small = lower ? g_unichar_tolower(code) : code;

        length += utf8_put(utf8 + length, small ? small : UNDEFINED);
    }
    return length;
}

char *names_short_to_utf8(const Codepage *cp,
                          const uint8_t short_name[FAT_SHORT_NAME_SIZE],
                          uint8_t case_flags)
{
    enum { BASE = 8, EXT = FAT_SHORT_NAME_SIZE - BASE };
    char utf8[FAT_SHORT_NAME_SIZE * 3 + 2];
    uint8_t name[FAT_SHORT_NAME_SIZE];
    size_t length, ext;

    memcpy(name, short_name, sizeof(name));
    if (name[0] == FAT_DIRENT_KANJI_E5) {
        name[0] = FAT_DIRENT_FREE;
    }
    length = part_to_utf8(cp, name, BASE, case_flags & FAT_CASE_LOWER_BASE,
                          utf8);
    ext = part_to_utf8(cp, name + BASE, EXT, case_flags & FAT_CASE_LOWER_EXT,
                       utf8 + length + 1);
    if (ext) {
        utf8[length] = '.';
        length += 1 + ext;
    }
    return g_strndup(utf8, length);
}

bool names_label_from_utf8(const Codepage *cp, const char *utf8,
                           bool keep_case, uint8_t label[FAT_SHORT_NAME_SIZE])
{
    size_t n = strlen(utf8);
    unsigned count = 0;

    memset(label, ' ', FAT_SHORT_NAME_SIZE);
    for (size_t i = 0; i < n; count++) {
        uint32_t code;
        unsigned length = utf8_get(utf8 + i, n - i, &code);
        int byte;

        if (length == 0 || count == FAT_SHORT_NAME_SIZE) {
            return false;
        }
        byte = codepage_byte(cp, keep_case ? code : names_upper(code));
        if (byte < 0 || !names_short_has((uint8_t)byte)) {
            return false;
        }
        label[count] = (uint8_t)byte;
        i += length;
    }
    if (label[0] == FAT_DIRENT_FREE) {
        label[0] = FAT_DIRENT_KANJI_E5;
    }
    return n == 0 || label[0] != ' ';
}
