/* SPDX-License-Identifier: MIT */
/*
 * Short names of one directory (Microsoft FAT specification 7, "Basis-Name
 * Generation Algorithm" and "Numeric-Tail Generation").
 *
 * A table holds the names taken and, for each pattern, the number to try next:
 * a pattern is the name with its numeric tail left open ("FOO~" with one digit,
 * extension TXT), and stands where its smallest name does. A pattern's numbers
 * only go up, so every name costs a constant number of steps plus one for each
 * tail that was reserved before, and no tail is ever looked at twice.
 *
 * It is hashed, with linear probing, and its entries stand in it: most names of
 * a large directory are looked for several times.
 */
#include <string.h>

#include "block/vvfat/names.h"
#include "block/vvfat/utf.h"

#define BASE_SIZE 8u
#define EXT_SIZE (FAT_SHORT_NAME_SIZE - BASE_SIZE)
#define TAIL_MAX_DIGITS 6u

#define TABLE_MIN 64u

typedef struct Known {
    uint8_t name[FAT_SHORT_NAME_SIZE]; /* begins with 0: none is here */
    bool is_taken;
    uint32_t next; /* number to try next where this begins a pattern, or 0 */
} Known;

struct ShortNames {
    const Codepage *cp;
    Known *table;
    unsigned room, count; /* room: a power of 2, over 4/3 of count */
};

/* A long name cut down to what a short one can hold. */
typedef struct Basis {
    uint8_t name[FAT_SHORT_NAME_SIZE]; /* padded */
    unsigned base_length;
    bool exact; /* nothing was lost but the case */
} Basis;

/* ---- The table ---- */

ShortNames *short_names_new(const Codepage *cp)
{
    ShortNames *names = g_new0(ShortNames, 1);

    names->cp = cp;
    names->room = TABLE_MIN;
    names->table = g_new0(Known, names->room);
    return names;
}

void short_names_free(ShortNames *names)
{
    if (names) {
        g_free(names->table);
        g_free(names);
    }
}

/* FNV-1a over the bytes. */
static uint32_t name_hash(const uint8_t name[FAT_SHORT_NAME_SIZE])
{
    uint32_t hash = 2166136261u;

    for (unsigned i = 0; i < FAT_SHORT_NAME_SIZE; i++) {
        hash = (hash ^ name[i]) * 16777619u;
    }
    return hash;
}

/* Where a name is, or would be. */
static Known *table_find(const ShortNames *names,
                         const uint8_t name[FAT_SHORT_NAME_SIZE])
{
    unsigned at = name_hash(name) & (names->room - 1);

    while (names->table[at].name[0] &&
           memcmp(names->table[at].name, name, FAT_SHORT_NAME_SIZE) != 0) {
        at = (at + 1) & (names->room - 1);
    }
    return &names->table[at];
}

static void table_grow(ShortNames *names)
{
    g_autofree Known *old = names->table;
    unsigned n = names->room;

    names->room *= 2;
    names->table = g_new0(Known, names->room);
    for (unsigned i = 0; i < n; i++) {
        if (old[i].name[0]) {
            *table_find(names, old[i].name) = old[i];
        }
    }
}

/* The entry of a name, until the next call. */
static Known *table_get(ShortNames *names,
                        const uint8_t name[FAT_SHORT_NAME_SIZE])
{
    Known *known = table_find(names, name);

    if (known->name[0]) {
        return known;
    }
    if (names->count >= names->room / 4 * 3) {
        table_grow(names);
        known = table_find(names, name);
    }
    memcpy(known->name, name, FAT_SHORT_NAME_SIZE);
    names->count++;
    return known;
}

/* Take a name, unless it is taken. */
static bool short_names_take(ShortNames *names,
                             const uint8_t name[FAT_SHORT_NAME_SIZE])
{
    Known *known = table_get(names, name);
    bool is_free = !known->is_taken;

    known->is_taken = true;
    return is_free;
}

/* ---- Basis names ---- */

/* The byte of a character in a short name; '_' and a loss without one. */
static uint8_t short_byte(const Codepage *cp, uint32_t code, bool *exact)
{
    int byte = codepage_byte(cp, names_upper(code));

    if (byte <= 0x20 || !names_short_has((uint8_t)byte)) {
        *exact = false;
        return '_';
    }
    return (uint8_t)byte;
}

/* Where the extension begins: the last dot, unless it is a leading one. */
static const char *extension_of(const char *utf8)
{
    const char *start = utf8 + strspn(utf8, ". ");
    const char *dot = strrchr(start, '.');

    return dot ? dot : start + strlen(start);
}

/*
 * Characters from..end of the name into a part of so many bytes, without
 * spaces and dots. Returns the bytes there are.
 */
static unsigned basis_part(Basis *basis, const Codepage *cp, const char *from,
                           const char *end, uint8_t *part, unsigned size)
{
    unsigned count = 0;

    while (from < end) {
        uint32_t code;
        unsigned length = utf8_get(from, (size_t)(end - from), &code);

        from += length ? length : 1;
        if (length == 0) {
            code = '?';
        }
        if (code == '.' || code == ' ') {
            basis->exact = false;
        } else if (count == size) {
            basis->exact = false;
            break;
        } else {
            part[count++] = short_byte(cp, code, &basis->exact);
        }
    }
    return count;
}

static void basis_make(Basis *basis, const Codepage *cp, const char *utf8)
{
    const char *dot = extension_of(utf8);
    unsigned ext_length;

    memset(basis->name, ' ', sizeof(basis->name));
    basis->exact = true;
    basis->base_length = basis_part(basis, cp, utf8, dot, basis->name,
                                    BASE_SIZE);
    if (*dot) {
        ext_length = basis_part(basis, cp, dot + 1, dot + strlen(dot),
                                basis->name + BASE_SIZE, EXT_SIZE);
        basis->exact &= ext_length > 0;
    }
    if (basis->base_length == 0) {
        basis->name[basis->base_length++] = '_';
        basis->exact = false;
    }
    if (basis->name[0] == FAT_DIRENT_FREE) {
        basis->name[0] = FAT_DIRENT_KANJI_E5;
    }
    basis->exact &= !names_is_device(utf8);
}

/* ---- Names ---- */

bool short_names_reserve(ShortNames *names, const char *utf8,
                         uint8_t short_name[FAT_SHORT_NAME_SIZE])
{
    Basis basis;

    basis_make(&basis, names->cp, utf8);
    memcpy(short_name, basis.name, FAT_SHORT_NAME_SIZE);
    return basis.exact && short_names_take(names, short_name);
}

/* Put "~number" behind as much of the base as leaves room for it. */
static void put_tail(const Basis *basis, unsigned digits, unsigned number,
                     uint8_t name[FAT_SHORT_NAME_SIZE])
{
    unsigned keep = MIN(basis->base_length, BASE_SIZE - 1 - digits);

    memcpy(name, basis->name, FAT_SHORT_NAME_SIZE);
    memset(name + keep, ' ', BASE_SIZE - keep);
    name[keep] = '~';
    for (unsigned i = digits; i > 0; i--) {
        name[keep + i] = (uint8_t)('0' + number % 10);
        number /= 10;
    }
}

/* A free name with a tail of so many digits. */
static bool assign_tail(ShortNames *names, const Basis *basis, unsigned digits,
                        unsigned first,
                        uint8_t short_name[FAT_SHORT_NAME_SIZE])
{
    uint8_t pattern[FAT_SHORT_NAME_SIZE];
    uint32_t number, end = first * 10;
    bool found = false;

    /* The smallest tail names the pattern; no name with other digits or
     * another base has it. */
    put_tail(basis, digits, first, pattern);
    number = MAX(table_get(names, pattern)->next, first);
    if (number == end) {
        return false;
    }
    while (number < end && !found) {
        put_tail(basis, digits, number++, short_name);
        found = short_names_take(names, short_name);
    }
    table_get(names, pattern)->next = number;
    return found;
}

bool short_names_assign(ShortNames *names, const char *utf8,
                        uint8_t short_name[FAT_SHORT_NAME_SIZE])
{
    unsigned first = 1;
    Basis basis;

    basis_make(&basis, names->cp, utf8);
    memcpy(short_name, basis.name, FAT_SHORT_NAME_SIZE);
    if (basis.exact && short_names_take(names, short_name)) {
        return true;
    }
    for (unsigned digits = 1; digits <= TAIL_MAX_DIGITS; digits++) {
        if (assign_tail(names, &basis, digits, first, short_name)) {
            return true;
        }
        first *= 10;
    }
    return false;
}
