/* SPDX-License-Identifier: MIT */
/*
 * UTF-8 and UTF-16 as names use them: a surrogate that stands alone is a
 * character of three bytes (WTF-8). Pure.
 */
#ifndef VVFAT_UTF_H
#define VVFAT_UTF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UTF8_MAX_BYTES 4u

static inline bool utf_is_high_surrogate(uint32_t code)
{
    return (code & ~0x3ffu) == 0xd800;
}

static inline bool utf_is_low_surrogate(uint32_t code)
{
    return (code & ~0x3ffu) == 0xdc00;
}

/* utf8_get() of what is not ASCII. */
unsigned utf8_get_long(const char *p, size_t n, uint32_t *code);

/* Decode the character at p; n >= 1 bytes are there. Returns its bytes, 0
 * when it is none (cut, overlong, above U+10FFFF, a stray byte). */
static inline unsigned utf8_get(const char *p, size_t n, uint32_t *code)
{
    uint8_t lead = (uint8_t)*p;

    if (lead < 0x80) {
        *code = lead;
        return 1;
    }
    return utf8_get_long(p, n, code);
}

/* Encode; returns the bytes put, 1..4. */
unsigned utf8_put(char *p, uint32_t code);

/* Decode the character at units; n >= 1 units are there. Returns 1 or 2. */
unsigned utf16_get(const uint16_t *units, size_t n, uint32_t *code);

/* Encode; returns the units put, 1 or 2. */
unsigned utf16_put(uint16_t *units, uint32_t code);

/* Units of UTF-16 that the text takes; a byte that is not UTF-8 counts 1. */
size_t utf8_utf16_length(const char *utf8);

#endif
