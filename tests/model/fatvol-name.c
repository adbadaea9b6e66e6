/* SPDX-License-Identifier: MIT */
/* Long names and short ones. */
#include <stdio.h>
#include <string.h>

#include "tests/model/fatvol.h"

#define BASE_SIZE 8
#define LOWER_BASE 0x08u
#define LOWER_EXTENSION 0x10u
#define STAND_IN 0xf000u /* + a byte that FAT cannot hold */

static bool needs_stand_in(unsigned c, bool at_end)
{
    return c < 0x20 || (c < 0x80 && strchr("\"*:<>?|\\", (int)c)) ||
           (at_end && (c == '.' || c == ' '));
}

unsigned name_units(const char *name, uint16_t units[MAX_UNITS])
{
    glong n = 0;
    gunichar2 *all = g_utf8_to_utf16(name, -1, NULL, &n, NULL);
    bool at_end = true;

    if (!all || n > MAX_UNITS) {
        g_free(all);
        return 0;
    }
    for (glong i = n - 1; i >= 0; i--) {
        at_end = at_end && (all[i] == '.' || all[i] == ' ');
        units[i] = needs_stand_in(all[i], at_end) ? STAND_IN + all[i] : all[i];
    }
    g_free(all);
    return (unsigned)n;
}

char *name_from_units(const uint16_t *units, unsigned n)
{
    uint16_t back[MAX_UNITS];

    g_assert(n <= MAX_UNITS);
    for (unsigned i = 0; i < n; i++) {
        bool is_stand_in = (units[i] & 0xff80) == STAND_IN && units[i] & 0x7f;

        back[i] = is_stand_in && needs_stand_in(units[i] & 0x7f, true)
                      ? units[i] & 0x7f
                      : units[i];
    }
    return g_utf16_to_utf8(back, n, NULL, NULL, NULL);
}

static void append_part(GString *text, const uint8_t *raw, int n, bool lower)
{
    while (n > 0 && raw[n - 1] == ' ') {
        n--;
    }
    for (int i = 0; i < n; i++) {
        char c = (char)raw[i];

        g_string_append_c(text, lower ? g_ascii_tolower(c) : c);
    }
}

/* ASCII alone: others are not written without a long name. */
char *name_from_short(const uint8_t *raw)
{
    GString *text = g_string_new(NULL);

    append_part(text, raw, BASE_SIZE, raw[E_CASE] & LOWER_BASE);
    if (raw[BASE_SIZE] != ' ') {
        g_string_append_c(text, '.');
        append_part(text, raw + BASE_SIZE, SHORT_SIZE - BASE_SIZE,
                    raw[E_CASE] & LOWER_EXTENSION);
    }
    return g_string_free(text, FALSE);
}

bool names_equal(const char *a, const char *b)
{
    while (*a && *b &&
           g_unichar_toupper(g_utf8_get_char(a)) ==
               g_unichar_toupper(g_utf8_get_char(b))) {
        a = g_utf8_next_char(a);
        b = g_utf8_next_char(b);
    }
    return *a == *b;
}

uint8_t name_checksum(const uint8_t raw[SHORT_SIZE])
{
    unsigned sum = 0;

    for (int i = 0; i < SHORT_SIZE; i++) {
        sum = ((sum >> 1 | sum << 7) + raw[i]) & 0xff;
    }
    return (uint8_t)sum;
}

static bool is_short_char(char c)
{
    return g_ascii_isalnum(c) || (c && strchr("$%'-_@~`!(){}^#&", c));
}

/* One half of a name that is short already; false if it is not. */
static bool take_part(const char *text, size_t n, size_t most, uint8_t *raw,
                      bool *lower)
{
    bool upper = false;

    *lower = false;
    if (n > most) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (!is_short_char(text[i])) {
            return false;
        }
        *lower |= g_ascii_islower(text[i]);
        upper |= g_ascii_isupper(text[i]);
        raw[i] = (uint8_t)g_ascii_toupper(text[i]);
    }
    return !(*lower && upper);
}

static bool take_whole(const char *name, uint8_t raw[SHORT_SIZE],
                       uint8_t *case_bits)
{
    const char *dot = strchr(name, '.');
    size_t base = dot ? (size_t)(dot - name) : strlen(name);
    bool lower_base, lower_extension = false;

    memset(raw, ' ', SHORT_SIZE);
    if (base == 0 || !take_part(name, base, BASE_SIZE, raw, &lower_base) ||
        (dot && (dot[1] == 0 ||
                 !take_part(dot + 1, strlen(dot + 1), SHORT_SIZE - BASE_SIZE,
                            raw + BASE_SIZE, &lower_extension)))) {
        return false;
    }
    *case_bits = (uint8_t)((lower_base ? LOWER_BASE : 0) |
                           (lower_extension ? LOWER_EXTENSION : 0));
    return true;
}

/* What is left of a long name, without a tail. Returns bytes of the base. */
static int make_basis(const char *name, uint8_t raw[SHORT_SIZE])
{
    const char *dot = strrchr(name, '.');
    int base = 0, extension = BASE_SIZE;

    memset(raw, ' ', SHORT_SIZE);
    if (dot == name) {
        dot = NULL;
    }
    for (const char *p = name; *p; p = g_utf8_next_char(p)) {
        uint8_t c = is_short_char(*p) ? (uint8_t)g_ascii_toupper(*p) : '_';
        bool in_extension = dot && p > dot;

        if (*p == ' ' || *p == '.') {
            continue;
        }
        if (!in_extension && base < BASE_SIZE) {
            raw[base++] = c;
        } else if (in_extension && extension < SHORT_SIZE) {
            raw[extension++] = c;
        }
    }
    return base;
}

static bool is_taken(FatVol *vol, uint32_t dir, const uint8_t *raw)
{
    uint8_t entry[ENTRY_SIZE] = { 0 };
    g_autofree char *name = NULL;
    FatEntry found;

    memcpy(entry, raw, SHORT_SIZE);
    name = name_from_short(entry);
    if (!fatvol_find(vol, dir, name, &found)) {
        return false;
    }
    fatvol_entry_clear(&found);
    return true;
}

void name_make_short(FatVol *vol, uint32_t dir, const char *name,
                     uint8_t raw[SHORT_SIZE], uint8_t *case_bits,
                     bool *needs_long)
{
    uint8_t basis[SHORT_SIZE];
    int base;

    *case_bits = 0;
    *needs_long = !take_whole(name, raw, case_bits);
    if (!*needs_long && !is_taken(vol, dir, raw)) {
        return;
    }
    *needs_long = true;
    *case_bits = 0;
    base = make_basis(name, basis);
    for (unsigned n = 1;; n++) {
        char tail[BASE_SIZE + 1];
        int length = snprintf(tail, sizeof(tail), "~%X", n & 0xffffff);
        int kept = MIN(base, BASE_SIZE - length);

        memcpy(raw, basis, SHORT_SIZE);
        memset(raw + kept, ' ', (size_t)(BASE_SIZE - kept));
        memcpy(raw + kept, tail, (size_t)length);
        if (!is_taken(vol, dir, raw)) {
            return;
        }
    }
}
