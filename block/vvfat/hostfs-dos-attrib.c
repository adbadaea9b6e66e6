/* SPDX-License-Identifier: MIT */
/*
 * DOS attributes as Samba keeps them (its librpc/idl/xattr.idl).
 *
 * Samba before 3.5 wrote text, "0x22". Later ones write a structure that
 * begins with that text, or with an empty one since version 4, and a NUL:
 *
 *     text, NUL, padding to 2 bytes
 *     uint16 version, again, padding to 4 bytes: the body begins
 *     uint32 valid_flags   1: attrib, 0x10: creation time, ...
 *     uint32 attrib
 *     sizes and times, which differ between the versions 2 to 5
 *
 * all little-endian. Nothing in the body asks for more than 4 bytes of
 * alignment, so it can move when the text before it gets longer.
 */
#include "block/vvfat/hostfs-dos-attrib.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#define VERSION_MIN 2
#define VERSION_MAX 5
#define VALID_ATTRIB 1u
#define BODY_MIN 8        /* flags and attributes */
#define ATTR_NORMAL 0x80u /* "none of the others" */

typedef struct DosAttrib {
    bool has_text, has_body;
    uint16_t version;
    size_t body;     /* offset */
    uint32_t attrib; /* of the body if that knows it, or of the text */
} DosAttrib;

static uint32_t get_le(const uint8_t *p, unsigned bytes)
{
    uint32_t value = 0;

    while (bytes-- > 0) {
        value = value << 8 | p[bytes];
    }
    return value;
}

static void put_le(GByteArray *out, uint32_t value, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++) {
        uint8_t byte = (uint8_t)(value >> 8 * i);

        g_byte_array_append(out, &byte, 1);
    }
}

/* "0x22" and nothing else. */
static bool parse_text(const uint8_t *value, size_t bytes, uint32_t *attrib)
{
    if (bytes < 3 || bytes > 10 || memcmp(value, "0x", 2) != 0) {
        return false;
    }
    *attrib = 0;
    for (size_t i = 2; i < bytes; i++) {
        int digit = g_ascii_xdigit_value((char)value[i]);

        if (digit < 0) {
            return false;
        }
        *attrib = *attrib << 4 | (uint32_t)digit;
    }
    return true;
}

/* False when nothing in it tells the attributes. */
static bool parse(const uint8_t *value, size_t bytes, DosAttrib *da)
{
    size_t text = bytes ? strnlen((const char *)value, bytes) : 0;
    size_t at = (text + 2) & ~(size_t)1;

    *da = (DosAttrib){ 0 };
    da->has_text = parse_text(value, text, &da->attrib);
    da->body = (at + 7) & ~(size_t)3;
    if (bytes < da->body + BODY_MIN) {
        return da->has_text;
    }
    da->version = (uint16_t)get_le(value + at, 2);
    da->has_body = da->version >= VERSION_MIN && da->version <= VERSION_MAX &&
                   get_le(value + at + 2, 2) == da->version;
    if (da->has_body && get_le(value + da->body, 4) & VALID_ATTRIB) {
        da->attrib = get_le(value + da->body + 4, 4);
        return true;
    }
    return da->has_text || da->has_body;
}

int dos_attrib_parse(const uint8_t *value, size_t bytes, unsigned *attr)
{
    DosAttrib da;

    if (!parse(value, bytes, &da)) {
        return -EINVAL;
    }
    *attr = da.attrib & DOS_ATTRIB_FAT;
    return 0;
}

GByteArray *dos_attrib_change(const uint8_t *value, size_t bytes,
                              unsigned attr)
{
    GByteArray *out = g_byte_array_new();
    g_autofree char *text = NULL;
    DosAttrib da;

    if (!parse(value, bytes, &da)) {
        da = (DosAttrib){ .has_text = true };
    }
    da.attrib &= ~(DOS_ATTRIB_FAT | ATTR_NORMAL);
    da.attrib |= attr & DOS_ATTRIB_FAT;
    text = g_strdup_printf("0x%x", da.attrib);
    if (da.has_text) {
        g_byte_array_append(out, (const uint8_t *)text, (guint)strlen(text));
    }
    if (da.has_body) {
        put_le(out, 0, out->len % 2 ? 1 : 2);
        put_le(out, da.version, 2);
        put_le(out, da.version, 2);
        put_le(out, 0, (4 - out->len % 4) % 4);
        put_le(out, get_le(value + da.body, 4) | VALID_ATTRIB, 4);
        put_le(out, da.attrib, 4);
        g_byte_array_append(out, value + da.body + BODY_MIN,
                            (guint)(bytes - da.body - BODY_MIN));
    }
    return out;
}
