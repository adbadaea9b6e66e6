/* SPDX-License-Identifier: MIT */
/*
 * Option tables: values are checked and converted once, when the set is
 * absorbed; the getters only look up. Tables are short, so by name means by
 * a walk.
 */
#include "block/options.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "block/error.h"
#include "util/size.h"

typedef struct OptionValue {
    char *text; /* the value given, else the default, else NULL */
    bool given;
    union {
        bool boolean;
        uint64_t number; /* NUMBER and SIZE */
        int choice;      /* ENUM: index into `values`, -1: none */
    };
} OptionValue;

struct OptionValues {
    const OptionDesc *table;
    OptionValue *value; /* one for each entry of the table */
};

static size_t table_length(const OptionDesc *table)
{
    size_t n = 0;

    while (table[n].name != NULL) {
        n++;
    }
    return n;
}

/* ---- What is allowed, in words ---- */

/* A limit as it is, in the largest unit that leaves it whole. */
static char *limit_describe(const OptionDesc *desc, uint64_t limit)
{
    static const char *const units[] = { " B",   " KiB", " MiB", " GiB",
                                         " TiB", " PiB", " EiB" };
    size_t unit = 0;

    if (desc->type != OPTION_SIZE) {
        return g_strdup_printf("%" G_GUINT64_FORMAT, limit);
    }
    while (limit > 0 && limit % 1024 == 0) {
        limit /= 1024;
        unit++;
    }
    return g_strdup_printf("%" G_GUINT64_FORMAT "%s", limit, units[unit]);
}

/* The range of a number or size; NULL when it has no limits. */
static char *range_describe(const OptionDesc *desc)
{
    g_autofree char *min = limit_describe(desc, desc->min);
    g_autofree char *max = limit_describe(desc, desc->max);

    if (desc->type != OPTION_NUMBER && desc->type != OPTION_SIZE) {
        return NULL;
    }
    if (desc->min == 0 && desc->max == 0) {
        return NULL;
    }
    if (desc->max == 0) {
        return g_strdup_printf("at least %s", min);
    }
    if (desc->min == 0) {
        return g_strdup_printf("at most %s", max);
    }
    return g_strdup_printf("%s to %s", min, max);
}

static void append_choices(GString *out, const OptionDesc *desc)
{
    for (size_t i = 0; desc->values[i] != NULL; i++) {
        if (i > 0) {
            g_string_append(out, desc->values[i + 1] != NULL ? ", " : " or ");
        }
        g_string_append(out, desc->values[i]);
    }
}

static void value_refuse(const OptionDesc *desc, const char *text, int err,
                         GError **errp)
{
    g_autoptr(GString) allowed = g_string_new(NULL);
    g_autofree char *range = range_describe(desc);

    switch (desc->type) {
    case OPTION_STRING:
        g_string_append(allowed, "a string");
        break;
    case OPTION_BOOL:
        g_string_append(allowed, "on or off");
        break;
    case OPTION_NUMBER:
        g_string_append(allowed, "a whole number");
        break;
    case OPTION_SIZE:
        g_string_append(allowed, "a size such as 64M");
        break;
    case OPTION_ENUM:
        append_choices(allowed, desc);
        break;
    }
    if (range != NULL) {
        g_string_append_printf(allowed, " (%s)", range);
    }
    block_error_set(errp, err, "option '%s' must be %s, not '%s'", desc->name,
                    allowed->str, text);
}

/* ---- Conversion ---- */

/* Give 0, or the positive errno for text that is no such value. */

static int bool_convert(const char *text, bool *value)
{
    static const char *const yes[] = { "on", "yes", "true", NULL };
    static const char *const no[] = { "off", "no", "false", NULL };

    *value = g_strv_contains(yes, text);
    return *value || g_strv_contains(no, text) ? 0 : EINVAL;
}

static int number_convert(const OptionDesc *desc, const char *text,
                          uint64_t *number)
{
    g_autoptr(GError) error = NULL;
    uint64_t max = desc->max != 0 ? desc->max : UINT64_MAX;
    bool hex = g_ascii_strncasecmp(text, "0x", 2) == 0;

    if (desc->type == OPTION_SIZE) {
        if (!size_parse(text, number, &error)) {
            return error->code;
        }
    } else if (!g_ascii_string_to_unsigned(hex ? text + 2 : text,
                                           hex ? 16 : 10, 0, UINT64_MAX,
                                           number, NULL)) {
        return EINVAL;
    }
    return *number >= desc->min && *number <= max ? 0 : ERANGE;
}

static int choice_convert(const OptionDesc *desc, const char *text,
                          int *choice)
{
    for (int i = 0; desc->values[i] != NULL; i++) {
        if (strcmp(desc->values[i], text) == 0) {
            *choice = i;
            return 0;
        }
    }
    return EINVAL;
}

static bool value_convert(const OptionDesc *desc, OptionValue *value,
                          GError **errp)
{
    int err = 0;

    switch (desc->type) {
    case OPTION_STRING:
        break;
    case OPTION_BOOL:
        err = bool_convert(value->text, &value->boolean);
        break;
    case OPTION_NUMBER:
    case OPTION_SIZE:
        err = number_convert(desc, value->text, &value->number);
        break;
    case OPTION_ENUM:
        err = choice_convert(desc, value->text, &value->choice);
        break;
    }
    if (err != 0) {
        value_refuse(desc, value->text, err, errp);
    }
    return err == 0;
}

OptionValues *option_values_absorb(const OptionDesc *table, Options *opts,
                                   GError **errp)
{
    g_autoptr(OptionValues) values = g_new0(OptionValues, 1);

    values->table = table;
    values->value = g_new0(OptionValue, table_length(table));
    for (size_t i = 0; table[i].name != NULL; i++) {
        OptionValue *value = &values->value[i];

        if (table[i].type == OPTION_ENUM) {
            value->choice = -1;
        }
        value->text = options_take(opts, table[i].name);
        value->given = value->text != NULL;
        if (!value->given) {
            value->text = g_strdup(table[i].def);
        }
        if (value->text != NULL && !value_convert(&table[i], value, errp)) {
            return NULL;
        }
    }
    return g_steal_pointer(&values);
}

void option_values_free(OptionValues *values)
{
    if (values == NULL) {
        return;
    }
    for (size_t i = table_length(values->table); i-- > 0;) {
        g_free(values->value[i].text);
    }
    g_free(values->value);
    g_free(values);
}

/* ---- Getters ---- */

static const OptionValue *value_find(const OptionValues *values,
                                     const char *name, OptionType *type)
{
    size_t i = 0;

    while (values->table[i].name != NULL &&
           strcmp(values->table[i].name, name) != 0) {
        i++;
    }
    assert(values->table[i].name != NULL);
    *type = values->table[i].type;
    return &values->value[i];
}

static const OptionValue *value_of_type(const OptionValues *values,
                                        const char *name, OptionType type)
{
    OptionType found;
    const OptionValue *value = value_find(values, name, &found);

    assert(found == type);
    return value;
}

bool option_values_given(const OptionValues *values, const char *name)
{
    OptionType type;

    return value_find(values, name, &type)->given;
}

const char *option_values_string(const OptionValues *values, const char *name)
{
    return value_of_type(values, name, OPTION_STRING)->text;
}

bool option_values_bool(const OptionValues *values, const char *name)
{
    return value_of_type(values, name, OPTION_BOOL)->boolean;
}

uint64_t option_values_number(const OptionValues *values, const char *name)
{
    return value_of_type(values, name, OPTION_NUMBER)->number;
}

uint64_t option_values_size(const OptionValues *values, const char *name)
{
    return value_of_type(values, name, OPTION_SIZE)->number;
}

int option_values_enum(const OptionValues *values, const char *name)
{
    return value_of_type(values, name, OPTION_ENUM)->choice;
}

/* ---- Help ---- */

static void append_type(GString *out, const OptionDesc *desc)
{
    static const char *const plain[] = {
        [OPTION_STRING] = "string",
        [OPTION_BOOL] = "on|off",
        [OPTION_NUMBER] = "number",
        [OPTION_SIZE] = "size",
    };

    if (desc->type == OPTION_ENUM) {
        g_autofree char *choices = g_strjoinv("|", (char **)desc->values);

        g_string_append_printf(out, "<%s>", choices);
    } else {
        g_string_append_printf(out, "<%s>", plain[desc->type]);
    }
}

static void append_help_line(GString *out, const OptionDesc *desc, int width)
{
    g_autoptr(GString) usage = g_string_new(desc->name);
    g_autofree char *range = range_describe(desc);

    g_string_append_c(usage, '=');
    append_type(usage, desc);
    g_string_append_printf(out, "  %-*s  - %s", width, usage->str, desc->help);
    if (range != NULL || desc->def != NULL) {
        g_string_append_printf(out, " (%s%s%s%s)", range != NULL ? range : "",
                               range != NULL && desc->def != NULL ? "; " : "",
                               desc->def != NULL ? "default: " : "",
                               desc->def != NULL ? desc->def : "");
    }
    g_string_append_c(out, '\n');
}

char *option_table_help(const OptionDesc *table)
{
    GString *out = g_string_new(NULL);
    int width = 0;

    for (size_t i = 0; table[i].name != NULL; i++) {
        g_autoptr(GString) type = g_string_new(NULL);

        append_type(type, &table[i]);
        width = MAX(width, (int)(strlen(table[i].name) + 1 + type->len));
    }
    for (size_t i = 0; table[i].name != NULL; i++) {
        append_help_line(out, &table[i], width);
    }
    return g_string_free(out, FALSE);
}
