/* SPDX-License-Identifier: MIT */
/*
 * Host names to long names and back, one to one.
 *
 * A *stand-in* is a unit U+F000 + b that stands for the byte b, for the bytes
 * that FAT cannot hold: control characters, "*:<>?|\, dots and spaces at the
 * end of the name, bytes that are not UTF-8. Mapping cuts a host name into
 * characters; those that are mapped byte by byte stand together in runs, and
 * a stand-in that the host name holds itself (as its three bytes of UTF-8)
 * is one of them. The other way, stand-ins stand together in runs too.
 *
 * A guest may write stand-ins that mapping would never make: U+F0C3 U+F0A9
 * would be the bytes of an "e" with acute, which map to that letter and not
 * back. Such a run *keeps* its units: it becomes three bytes of UTF-8 for
 * each unit. So there are two rules, each other's inverse:
 *
 *   unmap(units) = the bytes they stand for, if map(those bytes) == units;
 *                  their UTF-8 otherwise.
 *   map(bytes)   = the units of which bytes are the UTF-8, if unmap(those
 *                  units) == bytes; a stand-in for each byte otherwise.
 *
 * They call each other on a third of the length each time, which ends. What a
 * run means depends on what stands around it in one way only: dots and
 * spaces at the end of a name (RunContext).
 */
#include "block/vvfat/names.h"

#include <string.h>

#include "block/vvfat/utf.h"

#define STAND_IN 0xf000u
#define STAND_IN_UTF8_BYTES 3u
#define NAME_MAX_HOST_BYTES 255u

/* Where a run stands in its name. */
typedef struct RunContext {
    bool is_whole;  /* it is the whole name */
    bool at_end;    /* nothing follows */
    bool after_dot; /* a dot or space that is not mapped stands before it */
} RunContext;

static bool is_dot_or_space(unsigned c)
{
    return c == '.' || c == ' ';
}

static bool byte_is_special(uint8_t b)
{
    static const bool special[UINT8_MAX + 1] = {
        ['"'] = true, ['*'] = true, [':'] = true, ['<'] = true,
        ['>'] = true, ['?'] = true, ['|'] = true, ['\\'] = true,
    };

    return b < 0x20 || special[b];
}

static bool is_stand_in(uint32_t code)
{
    uint8_t b = (uint8_t)code;

    return (code & ~0xffu) == STAND_IN && b != 0 &&
           (b >= 0x80 || byte_is_special(b) || is_dot_or_space(b));
}

/* Start of the dots and spaces at the end. */
static size_t tail_start(const char *bytes, size_t n)
{
    while (n > 0 && is_dot_or_space((uint8_t)bytes[n - 1])) {
        n--;
    }
    return n;
}

/* "." and "..", which are no names */
static bool is_dots(const char *bytes, size_t n)
{
    return n >= 1 && n <= 2 && bytes[0] == '.' && bytes[n - 1] == '.';
}

/*
 * Cut off one character. Returns its bytes; *mapped when it has to be mapped
 * byte by byte. Two surrogates of three bytes each are not the pair they
 * would become: all six bytes are mapped.
 */
static unsigned host_char(const char *bytes, size_t n, bool in_tail,
                          uint32_t *code, bool *mapped)
{
    unsigned length = utf8_get(bytes, n, code);
    uint32_t next;

    if (length <= 1) {
        *mapped = length == 0 || in_tail || byte_is_special((uint8_t)*bytes);
        return 1;
    }
    /* U+FFFF is what fills the last entry of a long name. */
    *mapped = is_stand_in(*code) || *code == 0xffff;
    if (utf_is_high_surrogate(*code) && n > length &&
        utf8_get(bytes + length, n - length, &next) == length &&
        utf_is_low_surrogate(next)) {
        *mapped = true;
        return 2 * length;
    }
    return length;
}

/* Bytes of the run of mapped characters at the start; 0: none. */
static size_t host_run(const char *bytes, size_t n, size_t tail)
{
    size_t at = 0;

    while (at < n) {
        bool mapped;
        uint32_t code;
        unsigned length = host_char(bytes + at, n - at, at >= tail, &code,
                                    &mapped);

        if (!mapped) {
            break;
        }
        at += length;
    }
    return at;
}

static bool run_is_escaped(const char *bytes, size_t n, RunContext context);

/* Whether unmapping turns these stand-ins into the bytes they stand for. */
static bool units_become_bytes(const uint16_t *units, size_t n,
                               RunContext context)
{
    g_autofree char *bytes = g_malloc(n + 1);
    size_t tail;

    for (size_t i = 0; i < n; i++) {
        bytes[i] = (char)(units[i] - STAND_IN);
    }
    bytes[n] = '\0';
    tail = context.at_end ? tail_start(bytes, n) : n;
    if ((context.is_whole && is_dots(bytes, n)) ||
        (context.after_dot && tail == 0)) {
        return false;
    }
    return host_run(bytes, n, tail) == n && run_is_escaped(bytes, n, context);
}

/* Whether mapping makes a stand-in for each byte of this run; otherwise the
 * run is the UTF-8 of stand-ins, which are kept. */
static bool run_is_escaped(const char *bytes, size_t n, RunContext context)
{
    g_autofree uint16_t *units = NULL;
    size_t n_units = n / STAND_IN_UTF8_BYTES;

    if (n % STAND_IN_UTF8_BYTES) {
        return true;
    }
    for (size_t i = 0; i < n_units; i++) {
        uint32_t code;

        if (utf8_get(bytes + i * STAND_IN_UTF8_BYTES, STAND_IN_UTF8_BYTES,
                     &code) != STAND_IN_UTF8_BYTES ||
            !is_stand_in(code)) {
            return true;
        }
        if (!units) {
            units = g_new(uint16_t, n_units);
        }
        units[i] = (uint16_t)code;
    }
    return units_become_bytes(units, n_units, context);
}

static size_t map_run(const char *bytes, size_t n, RunContext context,
                      uint16_t *units)
{
    if (run_is_escaped(bytes, n, context)) {
        for (size_t i = 0; i < n; i++) {
            units[i] = (uint16_t)(STAND_IN + (uint8_t)bytes[i]);
        }
        return n;
    }
    for (size_t i = 0; i < n; i += STAND_IN_UTF8_BYTES) {
        uint32_t code = 0;

        utf8_get(bytes + i, n - i, &code);
        units[i / STAND_IN_UTF8_BYTES] = (uint16_t)code;
    }
    return n / STAND_IN_UTF8_BYTES;
}

/* units has room for n of them, which is always enough. */
static size_t map_name(const char *host, size_t n, uint16_t *units)
{
    size_t tail = tail_start(host, n);
    size_t n_units = 0;

    for (size_t at = 0; at < n;) {
        size_t run = host_run(host + at, n - at, tail > at ? tail - at : 0);

        if (run) {
            RunContext context = {
                .is_whole = run == n,
                .at_end = at + run == n,
                .after_dot = at > 0 && is_dot_or_space((uint8_t)host[at - 1]),
            };
            n_units += map_run(host + at, run, context, units + n_units);
            at += run;
        } else {
            uint32_t code = 0;

            at += utf8_get(host + at, n - at, &code);
            n_units += utf16_put(units + n_units, code);
        }
    }
    return n_units;
}

int names_from_host(const char *host, uint16_t units[FAT_LONG_MAX_UNITS])
{
    size_t n = strlen(host);
    g_autofree uint16_t *all = NULL;

    if (n > FAT_LONG_MAX_UNITS) {
        all = g_new(uint16_t, n);
        size_t n_units = map_name(host, n, all);

        if (n_units > FAT_LONG_MAX_UNITS) {
            return -1;
        }
        memcpy(units, all, n_units * sizeof(*units));
        return (int)n_units;
    }
    return (int)map_name(host, n, units);
}

/* Most names: nothing but ASCII that is not mapped. */
static bool is_plain(const char *host)
{
    const char *p;

    for (p = host; *p; p++) {
        if ((uint8_t)*p >= 0x80 || byte_is_special((uint8_t)*p)) {
            return false;
        }
    }
    return p == host || !is_dot_or_space((uint8_t)p[-1]);
}

char *names_map(const char *host)
{
    size_t n = strlen(host);
    g_autofree uint16_t *units = NULL;
    g_autofree char *utf8 = NULL;

    if (is_plain(host)) {
        return NULL;
    }
    units = g_new(uint16_t, n);
    utf8 = names_utf16_to_utf8(units, map_name(host, n, units));
    return strcmp(utf8, host) == 0 ? NULL : g_steal_pointer(&utf8);
}

/* Units of the run of stand-ins at the start. */
static size_t unit_run(const uint16_t *units, size_t n)
{
    size_t run = 0;

    while (run < n && is_stand_in(units[run])) {
        run++;
    }
    return run;
}

/* host has room for 3 * n bytes, which is always enough. */
static size_t unmap_name(const uint16_t *units, size_t n, char *host)
{
    size_t length = 0;

    for (size_t at = 0; at < n;) {
        size_t run = unit_run(units + at, n - at);
        RunContext context = {
            .is_whole = run == n,
            .at_end = at + run == n,
            .after_dot = at > 0 && is_dot_or_space(units[at - 1]),
        };
        bool to_bytes = run && units_become_bytes(units + at, run, context);

        for (size_t i = 0; i < run; i++) {
            if (to_bytes) {
                host[length++] = (char)(units[at + i] - STAND_IN);
            } else {
                length += utf8_put(host + length, units[at + i]);
            }
        }
        at += run;
        if (!run) {
            uint32_t code;

            at += utf16_get(units + at, n - at, &code);
            length += utf8_put(host + length, code);
        }
    }
    return length;
}

static const char *unit_fault(const uint16_t *units, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (units[i] == 0) {
            return "it holds a NUL character";
        }
        if (units[i] == '/') {
            return "it holds a slash";
        }
    }
    return n ? NULL : "it is empty";
}

char *names_to_host(const uint16_t *units, size_t n, const char **why)
{
    const char *fault = n > FAT_LONG_MAX_UNITS
                            ? "it is longer than 255 UTF-16 units"
                            : unit_fault(units, n);
    char host[3 * FAT_LONG_MAX_UNITS];
    size_t length;

    if (!fault) {
        length = unmap_name(units, n, host);
        if (length > NAME_MAX_HOST_BYTES) {
            fault = "it is longer than 255 bytes";
        } else if (is_dots(host, length)) {
            fault = "it is the name of the directory itself or its parent";
        } else {
            return g_strndup(host, length);
        }
    }
    if (why) {
        *why = fault;
    }
    return NULL;
}

char *names_unmap(const char *utf8, const char **why)
{
    uint16_t units[FAT_LONG_MAX_UNITS];
    int n = names_utf8_to_utf16(utf8, units);

    if (n < 0) {
        if (why) {
            *why = "it is not UTF-8 of at most 255 UTF-16 units";
        }
        return NULL;
    }
    return names_to_host(units, (size_t)n, why);
}
