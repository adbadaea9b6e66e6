/* SPDX-License-Identifier: MIT */
/*
 * Short names of one directory (Microsoft FAT specification 7, "Basis-Name
 * Generation Algorithm" and "Numeric-Tail Generation").
 *
 * `used` holds the names taken. `next` holds, for each pattern, the number to
 * try next: a pattern is the name with its numeric tail left open ("FOO~"
 * with one digit, extension TXT). A pattern's numbers only go up, so every
 * name costs a constant number of steps plus one for each tail that was
 * reserved before, and no tail is ever looked at twice.
 */
#include <string.h>

#include "block/vvfat/names.h"
#include "block/vvfat/utf.h"

#define BASE_SIZE 8u
#define EXT_SIZE (FAT_SHORT_NAME_SIZE - BASE_SIZE)
#define TAIL_MAX_DIGITS 6u

struct ShortNames {
    const Codepage *cp;
    GHashTable *used; /* 11 bytes, a set */
    GHashTable *next; /* 11 bytes: pattern -> number */
};

/* A long name cut down to what a short one can hold. */
typedef struct Basis {
    uint8_t name[FAT_SHORT_NAME_SIZE]; /* padded */
    unsigned base_length;
    bool exact; /* nothing was lost but the case */
} Basis;

/* FNV-1a over the bytes. */
static guint name_hash(gconstpointer key)
{
    const uint8_t *bytes = key;
    guint hash = 2166136261u;

    for (unsigned i = 0; i < FAT_SHORT_NAME_SIZE; i++) {
        hash = (hash ^ bytes[i]) * 16777619u;
    }
    return hash;
}

static gboolean name_equal(gconstpointer a, gconstpointer b)
{
    return memcmp(a, b, FAT_SHORT_NAME_SIZE) == 0;
}

ShortNames *short_names_new(const Codepage *cp)
{
    ShortNames *names = g_new0(ShortNames, 1);

    names->cp = cp;
    names->used = g_hash_table_new_full(name_hash, name_equal, g_free, NULL);
    names->next = g_hash_table_new_full(name_hash, name_equal, g_free, NULL);
    return names;
}

void short_names_free(ShortNames *names)
{
    if (names) {
        g_hash_table_destroy(names->used);
        g_hash_table_destroy(names->next);
        g_free(names);
    }
}

/* The byte of a character in a short name; '_' and a loss without one. */
static uint8_t short_byte(const Codepage *cp, uint32_t code, bool *exact)
{
    int byte = codepage_byte(cp, names_upper(code));

    if (byte <= 0x20 || byte == 0x7f || strchr("\"*+,./:;<=>?[\\]|", byte)) {
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

/* Take a name, unless it is taken. */
static bool short_names_take(ShortNames *names,
                             const uint8_t name[FAT_SHORT_NAME_SIZE])
{
    if (g_hash_table_contains(names->used, name)) {
        return false;
    }
    g_hash_table_add(names->used, g_memdup2(name, FAT_SHORT_NAME_SIZE));
    return true;
}

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
    unsigned number, end = first * 10;
    bool found = false;
    gpointer value;

    /* The smallest tail names the pattern; no name with other digits or
     * another base has it. */
    put_tail(basis, digits, first, pattern);
    value = g_hash_table_lookup(names->next, pattern);
    number = value ? GPOINTER_TO_UINT(value) : first;
    if (number == end) {
        return false;
    }
    while (number < end && !found) {
        put_tail(basis, digits, number++, short_name);
        found = short_names_take(names, short_name);
    }
    g_hash_table_insert(names->next, g_memdup2(pattern, sizeof(pattern)),
                        GUINT_TO_POINTER(number));
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
