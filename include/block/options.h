/* SPDX-License-Identifier: MIT */
/*
 * Options: what the user asks for, and the tables that say what may be asked.
 *
 * An `Options` is an ordered set of keys with string values. Nested objects
 * are flattened with dots ("file.filename", "inject-error.0.errno"), so that
 * key=value text and JSON give the same set. A driver describes its options
 * in a table of OptionDesc; absorbing the set through the table takes the
 * described keys out, validates them and gives typed values. Keys that nobody
 * took are the opener's error ("unknown option 'sise'; did you mean 'size'?").
 *
 * None of these types is shared between threads.
 */
#ifndef BLOCK_OPTIONS_H
#define BLOCK_OPTIONS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

G_BEGIN_DECLS

typedef struct Options Options;

Options *options_new(void);
Options *options_copy(const Options *opts);
void options_free(Options *opts);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Options, options_free)

unsigned options_size(const Options *opts);

/* The value of key, owned by the set until the key changes; or NULL. */
const char *options_get(const Options *opts, const char *key);
bool options_has(const Options *opts, const char *key);

/* Whether any key is `prefix` itself or begins with `prefix` and a dot. */
bool options_has_prefix(const Options *opts, const char *prefix);

/* Set a key. Both strings are copied. An existing value is replaced. */
void options_set(Options *opts, const char *key, const char *value);
void options_set_bool(Options *opts, const char *key, bool value);
void options_set_int(Options *opts, const char *key, int64_t value);

/* Set a key unless it is there. */
void options_set_default(Options *opts, const char *key, const char *value);

/* Remove a key and return its value, for g_free(); NULL if there was none. */
char *options_take(Options *opts, const char *key);

/*
 * Move all keys that begin with `prefix` and a dot into a new set, without
 * the prefix. The result may be empty.
 */
Options *options_take_prefix(Options *opts, const char *prefix);

/*
 * Copy every key of src under `prefix` and a dot (prefix NULL: as it is).
 * dst and src are two sets.
 */
void options_merge(Options *dst, const Options *src, const char *prefix);

/*
 * Number of elements of a list "prefix.0", "prefix.1.x"...: up to the first
 * index that is missing, so it never exceeds options_size().
 */
unsigned options_list_length(const Options *opts, const char *prefix);

/* Visit all keys in order of insertion. The set must not change meanwhile. */
typedef void OptionsVisitor(const char *key, const char *value, void *opaque);
void options_foreach(const Options *opts, OptionsVisitor *visit, void *opaque);

/*
 * Parse "key=value,key=value" into opts. A comma inside a value is written
 * twice. A first part without "=" is the value of implied_key when that is
 * not NULL; any other part without "=" means key=on, and "nokey" is not
 * special. A key named twice keeps the last value; a comma at the end is
 * allowed. Keys have at most 1024 bytes and no empty part ("a..b"). A failure
 * leaves opts as it was.
 */
bool options_parse_keyval(Options *opts, const char *text,
                          const char *implied_key, GError **errp)
    G_GNUC_WARN_UNUSED_RESULT;

/*
 * Parse a JSON object (without the "json:" prefix) into opts, flattened.
 * Values are strings, numbers, true ("on") and false ("off"), objects and
 * arrays; null is the empty string. A flattened key that occurs twice is an
 * error; one that opts has already is replaced. A failure leaves opts as it
 * was.
 */
bool options_parse_json(Options *opts, const char *text, GError **errp)
    G_GNUC_WARN_UNUSED_RESULT;

/*
 * The set as a JSON object on one line, nested again, keys in order of
 * insertion. Values that read as booleans or integers by the way they were
 * set (options_set_bool, options_set_int, JSON) are written as such.
 */
char *options_to_json(const Options *opts);

/* ---- Tables ---- */

typedef enum OptionType {
    OPTION_STRING,
    OPTION_BOOL,   /* on, off (also yes/no, true/false) */
    OPTION_NUMBER, /* unsigned decimal or 0x..., min..max */
    OPTION_SIZE,   /* bytes; suffixes b k M G T P E (powers of 1024), min..max;
                      a fraction such as 1.5G is allowed */
    OPTION_ENUM,   /* one of `values` */
} OptionType;

typedef struct OptionDesc {
    const char *name; /* NULL ends a table */
    OptionType type;
    const char *def;           /* default as text; NULL: none */
    const char *help;          /* one line, no full stop */
    const char *const *values; /* OPTION_ENUM: NULL-terminated list */
    uint64_t min, max;         /* NUMBER and SIZE; max 0: no upper limit */
} OptionDesc;

/* Typed values, by the table they were absorbed through. */
typedef struct OptionValues OptionValues;

/*
 * Take every key of the table out of opts and validate its value. On error
 * (a value that is malformed or out of range; the message names the option,
 * the value and what is allowed) opts may be partly consumed.
 */
OptionValues *option_values_absorb(const OptionDesc *table, Options *opts,
                                   GError **errp) G_GNUC_WARN_UNUSED_RESULT;
void option_values_free(OptionValues *values);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(OptionValues, option_values_free)

/* Whether the user gave the option (a default does not count). */
bool option_values_given(const OptionValues *values, const char *name);

/*
 * The value given, else the default, else NULL, false or 0. Asking for a name
 * that is not in the table, or as another type, is a programming error.
 * option_values_enum() gives the index into `values`, -1 without a value.
 */
const char *option_values_string(const OptionValues *values, const char *name);
bool option_values_bool(const OptionValues *values, const char *name);
uint64_t option_values_number(const OptionValues *values, const char *name);
uint64_t option_values_size(const OptionValues *values, const char *name);
int option_values_enum(const OptionValues *values, const char *name);

/*
 * Fail when a key is left in opts. `known` is a NULL-terminated list of tables
 * (entries may be NULL-table terminated as usual) from which a near name is
 * suggested; `who` names the owner in the message ("driver 'vvfat'").
 */
bool options_reject_unknown(const Options *opts, const char *who,
                            const OptionDesc *const *known, GError **errp)
    G_GNUC_WARN_UNUSED_RESULT;

/* The help of a table, one option a line: "  name=<type>  - help". */
char *option_table_help(const OptionDesc *table);

G_END_DECLS

#endif
