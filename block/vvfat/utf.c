/* SPDX-License-Identifier: MIT */
#include "block/vvfat/utf.h"

/* The smallest code that needs a sequence of so many bytes. */
static const uint32_t sequence_min[] = { 0, 0, 0x80, 0x800, 0x10000 };

static unsigned sequence_length(uint8_t lead)
{
    if (lead < 0xc2 || lead > 0xf4) {
        return 0;
    }
    return lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
}

unsigned utf8_get_long(const char *p, size_t n, uint32_t *code)
{
    uint8_t lead = (uint8_t)*p;
    unsigned length = sequence_length(lead);
    uint32_t c = lead & (0x7fu >> length);

    if (length == 0 || length > n) {
        return 0;
    }
    for (unsigned i = 1; i < length; i++) {
        if (((uint8_t)p[i] & 0xc0) != 0x80) {
            return 0;
        }
        c = c << 6 | ((uint8_t)p[i] & 0x3f);
    }
    if (c < sequence_min[length] || c > 0x10ffff) {
        return 0;
    }
    *code = c;
    return length;
}

unsigned utf8_put(char *p, uint32_t code)
{
    static const uint8_t leads[] = { 0, 0, 0xc0, 0xe0, 0xf0 };
    unsigned length = code < 0x80      ? 1
                      : code < 0x800   ? 2
                      : code < 0x10000 ? 3
                                       : 4;

    for (unsigned i = length - 1; i > 0; i--) {
        p[i] = (char)(0x80 | (code & 0x3f));
        code >>= 6;
    }
    p[0] = (char)(leads[length] | code);
    return length;
}

unsigned utf16_get(const uint16_t *units, size_t n, uint32_t *code)
{
    if (n > 1 && utf_is_high_surrogate(units[0]) &&
        utf_is_low_surrogate(units[1])) {
        *code = 0x10000 + ((units[0] & 0x3ffu) << 10 | (units[1] & 0x3ffu));
        return 2;
    }
    *code = units[0];
    return 1;
}

unsigned utf16_put(uint16_t *units, uint32_t code)
{
    if (code < 0x10000) {
        units[0] = (uint16_t)code;
        return 1;
    }
    code -= 0x10000;
    units[0] = (uint16_t)(0xd800 | code >> 10);
    units[1] = (uint16_t)(0xdc00 | (code & 0x3ff));
    return 2;
}

size_t utf8_utf16_length(const char *utf8)
{
    size_t units = 0;

    for (const char *p = utf8; *p;) {
        uint32_t code;
        /* The NUL at the end is no continuation byte: it stops utf8_get(). */
        unsigned length = utf8_get(p, UTF8_MAX_BYTES, &code);

        units += length == 4 ? 2 : 1;
        p += length ? length : 1;
    }
    return units;
}
