/* SPDX-License-Identifier: MIT */
/*
 * A set of options: a list in order of insertion, and a hash table from key
 * to list element for lookup. The table's keys point into the elements. A key
 * that is set again keeps its place.
 */
#include "block/options.h"

#include <string.h>

#include "util/option-set.h"

struct Options {
    GHashTable *by_key; /* key -> OptionEntry */
    OptionEntry *first, *last;
};

Options *options_new(void)
{
    Options *opts = g_new0(Options, 1);

    opts->by_key = g_hash_table_new(g_str_hash, g_str_equal);
    return opts;
}

static void entry_free(OptionEntry *entry)
{
    g_free(entry->value);
    g_free(entry);
}

void options_free(Options *opts)
{
    if (opts == NULL) {
        return;
    }
    g_hash_table_destroy(opts->by_key);
    for (OptionEntry *e = opts->first, *next; e != NULL; e = next) {
        next = e->next;
        entry_free(e);
    }
    g_free(opts);
}

Options *options_copy(const Options *opts)
{
    Options *copy = options_new();

    options_merge(copy, opts, NULL);
    return copy;
}

const OptionEntry *options_first(const Options *opts)
{
    return opts->first;
}

unsigned options_size(const Options *opts)
{
    return g_hash_table_size(opts->by_key);
}

const char *options_get(const Options *opts, const char *key)
{
    const OptionEntry *entry = g_hash_table_lookup(opts->by_key, key);

    return entry != NULL ? entry->value : NULL;
}

bool options_has(const Options *opts, const char *key)
{
    return g_hash_table_contains(opts->by_key, key);
}

/* What follows "prefix." in key; NULL when key does not begin so. */
static const char *key_below(const char *key, const char *prefix)
{
    size_t len = strlen(prefix);

    if (strncmp(key, prefix, len) != 0 || key[len] != '.') {
        return NULL;
    }
    return key + len + 1;
}

bool options_has_prefix(const Options *opts, const char *prefix)
{
    if (options_has(opts, prefix)) {
        return true;
    }
    for (const OptionEntry *e = opts->first; e != NULL; e = e->next) {
        if (key_below(e->key, prefix) != NULL) {
            return true;
        }
    }
    return false;
}

static void entry_append(Options *opts, const char *key, char *value,
                         OptionForm form)
{
    size_t bytes = strlen(key) + 1;
    OptionEntry *entry = g_malloc(sizeof(*entry) + bytes);

    memcpy(entry->key, key, bytes);
    entry->value = value;
    entry->form = form;
    entry->next = NULL;
    entry->prev = opts->last;
    if (opts->last != NULL) {
        opts->last->next = entry;
    } else {
        opts->first = entry;
    }
    opts->last = entry;
    g_hash_table_insert(opts->by_key, entry->key, entry);
}

/* Unlink an entry and give its value to the caller. */
static char *entry_take(Options *opts, OptionEntry *entry)
{
    char *value = g_steal_pointer(&entry->value);

    g_hash_table_remove(opts->by_key, entry->key);
    if (entry->prev != NULL) {
        entry->prev->next = entry->next;
    } else {
        opts->first = entry->next;
    }
    if (entry->next != NULL) {
        entry->next->prev = entry->prev;
    } else {
        opts->last = entry->prev;
    }
    entry_free(entry);
    return value;
}

void options_set_form(Options *opts, const char *key, const char *value,
                      OptionForm form)
{
    OptionEntry *entry = g_hash_table_lookup(opts->by_key, key);
    char *copy = g_strdup(value);

    if (entry == NULL) {
        entry_append(opts, key, copy, form);
        return;
    }
    g_free(entry->value);
    entry->value = copy;
    entry->form = form;
}

void options_set(Options *opts, const char *key, const char *value)
{
    options_set_form(opts, key, value, OPTION_FORM_TEXT);
}

void options_set_bool(Options *opts, const char *key, bool value)
{
    options_set_form(opts, key, value ? "on" : "off", OPTION_FORM_BOOL);
}

void options_set_int(Options *opts, const char *key, int64_t value)
{
    g_autofree char *text = g_strdup_printf("%" G_GINT64_FORMAT, value);

    options_set_form(opts, key, text, OPTION_FORM_NUMBER);
}

void options_set_default(Options *opts, const char *key, const char *value)
{
    if (!options_has(opts, key)) {
        options_set(opts, key, value);
    }
}

char *options_take(Options *opts, const char *key)
{
    OptionEntry *entry = g_hash_table_lookup(opts->by_key, key);

    return entry != NULL ? entry_take(opts, entry) : NULL;
}

Options *options_take_prefix(Options *opts, const char *prefix)
{
    Options *taken = options_new();

    for (OptionEntry *e = opts->first, *next; e != NULL; e = next) {
        const char *key = key_below(e->key, prefix);

        next = e->next;
        if (key != NULL) {
            options_set_form(taken, key, e->value, e->form);
            g_free(entry_take(opts, e));
        }
    }
    return taken;
}

void options_merge(Options *dst, const Options *src, const char *prefix)
{
    g_autoptr(GString) key = g_string_new(NULL);

    for (const OptionEntry *e = src->first; e != NULL; e = e->next) {
        if (prefix == NULL) {
            options_set_form(dst, e->key, e->value, e->form);
        } else {
            g_string_printf(key, "%s.%s", prefix, e->key);
            options_set_form(dst, key->str, e->value, e->form);
        }
    }
}

/* The list index that key begins with; false if it is none below limit. */
static bool index_parse(const char *key, unsigned limit, unsigned *index)
{
    size_t len = strspn(key, "0123456789");
    uint64_t n = 0;

    if (len == 0 || (key[0] == '0' && len > 1) ||
        (key[len] != '\0' && key[len] != '.')) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        n = 10 * n + (key[i] - '0');
        if (n >= limit) {
            return false;
        }
    }
    *index = n;
    return true;
}

unsigned options_list_length(const Options *opts, const char *prefix)
{
    /* No element of a list without a gap has a higher index than this. */
    unsigned limit = options_size(opts), n = 0;
    g_autofree bool *seen = g_new0(bool, limit);

    for (const OptionEntry *e = opts->first; e != NULL; e = e->next) {
        const char *below = key_below(e->key, prefix);
        unsigned index;

        if (below != NULL && index_parse(below, limit, &index)) {
            seen[index] = true;
        }
    }
    while (n < limit && seen[n]) {
        n++;
    }
    return n;
}

void options_foreach(const Options *opts, OptionsVisitor *visit, void *opaque)
{
    for (const OptionEntry *e = opts->first; e != NULL; e = e->next) {
        visit(e->key, e->value, opaque);
    }
}
