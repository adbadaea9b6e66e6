/* SPDX-License-Identifier: MIT */
/*
 * Names: between the host's bytes, long names (UTF-16) and short names (8.3
 * in an OEM code page). Pure.
 *
 * Host bytes that FAT cannot hold ("*:<>?|\ and control characters, trailing
 * dots and spaces, bytes that are not UTF-8) become U+F000 + the byte, and go
 * back. A host name that holds such a private-use character itself has its
 * three UTF-8 bytes mapped one by one, so the mapping is one to one. A lone
 * surrogate from a guest is kept as three bytes (as WTF-8 does).
 *
 * The other way it is one to one as well: for each legal long name that fits
 * in 255 bytes, mapping what it was unmapped to gives it again. Private-use
 * characters that a guest wrote and that would come back as something else
 * (U+F0C3 U+F0A9, the bytes of a letter) are kept as they are, in UTF-8. A
 * name that is not legal (one of the characters above written as such, dots
 * or spaces at the end) is unmapped to the same host name as its legal form.
 * How: names-map.c.
 */
#ifndef VVFAT_NAMES_H
#define VVFAT_NAMES_H

#include <glib.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "block/vvfat/fat-format.h"

/* ---- Long names ---- */

/* Name of a host file to UTF-16. Returns the number of units, 0 for "", and
 * -1 when there are more than 255 (host names of up to 255 bytes never). */
int names_from_host(const char *host, uint16_t units[FAT_LONG_MAX_UNITS]);

/*
 * A long name to the host's bytes, or NULL and the reason in *why (static
 * text) when it is unsafe or impossible: empty, "." or "..", a slash, NUL,
 * more than 255 bytes. g_free().
 */
char *names_to_host(const uint16_t *units, size_t n, const char **why);

/* Long names as trees hold them: UTF-8, lone surrogates as three bytes. To
 * UTF-16: the number of units, -1 for more than 255 or what is not UTF-8. */
char *names_utf16_to_utf8(const uint16_t *units, size_t n);
int names_utf8_to_utf16(const char *utf8, uint16_t units[FAT_LONG_MAX_UNITS]);

/* The mapping alone: host bytes to the UTF-8 of the long name and back.
 * names_map() returns NULL when nothing changes. g_free(). */
char *names_map(const char *host);
char *names_unmap(const char *utf8, const char **why);

/* Fold for comparing as FAT does: without regard to case. g_free(). */
char *names_fold(const char *utf8);

/* Of names as keys of a GHashTable, which are compared as they are folded. */
guint names_fold_hash(gconstpointer utf8);
gboolean names_fold_equal(gconstpointer utf8, gconstpointer other);

/* Upper case of one character; itself when it has none of one UTF-16 unit. */
uint32_t names_upper(uint32_t code);

/* NAMES_TEMP_PREFIX and 16 hexadecimal digits: files that a commit is about to
 * move to their place on the host. They are none of the directory's contents. A
 * crash leaves them; but a name proves nothing: only what a journal knows may be
 * removed. What is put aside has another name (".vvfat-aside-"): it is the only
 * one. */
#define NAMES_TEMP_PREFIX ".vvfat-"
/* Why such a file is not in the volume. */
#define NAMES_WHY_TEMPORARY                                                   \
    "named as what a commit that is interrupted leaves behind"
bool names_is_temporary(const char *host);

/* CON, PRN, AUX, NUL, COM1-9, LPT1-9, with any extension, any case. */
bool names_is_device(const char *utf8);

/* ---- Short names ---- */

uint8_t names_checksum(const uint8_t short_name[FAT_SHORT_NAME_SIZE]);

typedef struct Codepage Codepage;

#define CODEPAGE_DEFAULT 437u

/* NULL and *errp when the number is not a single-byte code page known. 437
 * is built in; others come from the C library's iconv. */
Codepage *codepage_new(unsigned number, GError **errp);
void codepage_free(Codepage *cp);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Codepage, codepage_free)

/* The byte of a character, -1 when the code page has none; and back, U+FFFD
 * for a byte that it leaves undefined. */
int codepage_byte(const Codepage *cp, uint32_t code);
uint32_t codepage_char(const Codepage *cp, uint8_t byte);

/* "README.TXT" from the 11 bytes, lower-case flags honoured, as UTF-8;
 * bytes that the code page leaves undefined become U+FFFD. g_free(). */
char *names_short_to_utf8(const Codepage *cp,
                          const uint8_t short_name[FAT_SHORT_NAME_SIZE],
                          uint8_t case_flags);

/* Whether a byte may stand in a short name or a label (any code page byte).
 * Lower case passes: it is not legal, but all systems read it. */
bool names_short_has(uint8_t byte);

/* Whether the bytes may stand in the entry of a file. */
bool names_short_is_valid(const uint8_t short_name[FAT_SHORT_NAME_SIZE]);

/*
 * A label of at most 11 characters into 11 padded bytes of the code page,
 * upper case unless keep_case. False when it is longer, begins with a space,
 * or has a character that labels cannot hold.
 */
bool names_label_from_utf8(const Codepage *cp, const char *utf8,
                           bool keep_case, uint8_t label[FAT_SHORT_NAME_SIZE]);

/*
 * Short names of one directory. First each long name that is a valid 8.3 name
 * itself (in any case) is reserved; then the others get basis names with
 * numeric tails (specification 7: "FOOBAR~1"), in constant time each,
 * however many are alike.
 */
typedef struct ShortNames ShortNames;

ShortNames *short_names_new(const Codepage *cp);
void short_names_free(ShortNames *names);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ShortNames, short_names_free)

/* If utf8 is an 8.3 name (in any case; device names are none) and free, take
 * it. short_name may be written to either way. */
bool short_names_reserve(ShortNames *names, const char *utf8,
                         uint8_t short_name[FAT_SHORT_NAME_SIZE]);

/* A free short name for utf8; false only when all 999,999 tails are taken. */
bool short_names_assign(ShortNames *names, const char *utf8,
                        uint8_t short_name[FAT_SHORT_NAME_SIZE]);

#endif
