/* SPDX-License-Identifier: MIT */
/*
 * Names: fat:[WORD:]...DIR, where a WORD is 12, 16, 32, floppy, rw or an
 * option as key=value. What follows the last colon is always part of DIR, and
 * the first part that is no such word begins it, so that DIR may hold colons.
 */
#include <errno.h>
#include <string.h>

#include "block/error.h"
#include "block/vvfat/vvfat-options.h"

#define PREFIX "fat:"

static bool is_option(const char *key)
{
    for (const OptionDesc *o = vvfat_option_table; o->name; o++) {
        if (strcmp(o->name, key) == 0) {
            return strcmp(key, "dir") != 0;
        }
    }
    return false;
}

/* Take a leading word; false when it is none. */
static bool take_word(const char *word, Options *options)
{
    const char *equals = strchr(word, '=');

    if (strcmp(word, "12") == 0 || strcmp(word, "16") == 0 ||
        strcmp(word, "32") == 0) {
        options_set(options, "fat-type", word);
        return true;
    }
    if (strcmp(word, "floppy") == 0 || strcmp(word, "rw") == 0) {
        options_set_bool(options, word, true);
        return true;
    }
    if (equals) {
        g_autofree char *key = g_strndup(word, (size_t)(equals - word));

        if (is_option(key)) {
            options_set(options, key, equals + 1);
            return true;
        }
    }
    return false;
}

bool vvfat_parse_filename(const char *filename, Options *options,
                          GError **errp)
{
    const char *rest, *colon;

    if (!g_str_has_prefix(filename, PREFIX)) {
        block_error_set(errp, EINVAL,
                        "File name string must start with '" PREFIX "'");
        return false;
    }
    rest = filename + strlen(PREFIX);
    while ((colon = strchr(rest, ':'))) {
        g_autofree char *word = g_strndup(rest, (size_t)(colon - rest));

        if (!take_word(word, options)) {
            break;
        }
        rest = colon + 1;
    }
    if (!*rest) {
        block_error_set(errp, EINVAL,
                        "'%s' names no directory; write " PREFIX
                        "[12:|16:|32:][floppy:][rw:]DIR",
                        filename);
        return false;
    }
    options_set(options, "dir", rest);
    return true;
}

/* The key of dir's beginning when that looks like an option: "key=...:". */
static char *leading_key(const char *dir)
{
    size_t length = strspn(dir, "abcdefghijklmnopqrstuvwxyz"
                                "ABCDEFGHIJKLMNOPQRSTUVWXYZ_-");

    return length > 0 && dir[length] == '=' && strchr(dir + length, ':') &&
                   strncmp(dir, "dir=", 4) != 0
               ? g_strndup(dir, length)
               : NULL;
}

void vvfat_explain_missing(const char *dir, GError *error)
{
    const OptionDesc *const known[] = { vvfat_option_table, NULL };
    g_autofree char *key = leading_key(dir);
    g_autoptr(GError) unknown = NULL;
    g_autoptr(Options) options = options_new();

    if (!key) {
        return;
    }
    options_set(options, key, "");
    if (!options_reject_unknown(options, "a name with '" PREFIX "'", known,
                                &unknown)) {
        char *text = g_strdup_printf("%s; %s", error->message,
                                     unknown->message);

        g_free(error->message);
        error->message = text;
    }
}

/* ---- The other way ---- */

static void append_word(const char *key, const char *value, void *opaque)
{
    GString *name = opaque;

    if (strcmp(key, "fat-type") == 0) {
        g_string_append_printf(name, "%s:", value);
    } else if ((strcmp(key, "floppy") == 0 || strcmp(key, "rw") == 0) &&
               strcmp(value, "on") == 0) {
        g_string_append_printf(name, "%s:", key);
    } else if (strcmp(key, "dir") != 0) {
        g_string_append_printf(name, "%s=%s:", key, value);
    }
}

typedef struct Comparison {
    const Options *other;
    bool same;
} Comparison;

static void compare_option(const char *key, const char *value, void *opaque)
{
    Comparison *c = opaque;

    c->same &= g_strcmp0(options_get(c->other, key), value) == 0;
}

char *vvfat_make_filename(const Options *options)
{
    g_autoptr(GString) name = g_string_new(PREFIX);
    g_autoptr(Options) parsed = options_new();
    Comparison c = { .other = parsed };
    const char *dir = options_get(options, "dir");

    if (!dir) {
        return NULL;
    }
    options_foreach(options, append_word, name);
    g_string_append(name, dir);

    /* Colons in values, or a directory that looks like a word, have no such
     * name: the proof is in reading it back. */
    c.same = vvfat_parse_filename(name->str, parsed, NULL) &&
             options_size(parsed) == options_size(options);
    options_foreach(options, compare_option, &c);
    return c.same ? g_strdup(name->str) : NULL;
}
