/* SPDX-License-Identifier: MIT */
/*
 * Options from text: key=value lists and JSON objects. Both are read into a
 * set of their own, which is merged when all of it was good.
 */
#include "block/options.h"

#include <errno.h>
#include <string.h>

#include "block/error.h"
#include "util/json.h"
#include "util/option-set.h"

/* What keyval accepts can be written as JSON and read again. */
#define KEY_MAX_LENGTH JSON_MAX_PATH

static bool key_check(const char *key, GError **errp)
{
    size_t length = strlen(key);

    if (length == 0) {
        block_error_set(errp, EINVAL, "an option has no name");
        return false;
    }
    if (key[0] == '.' || key[length - 1] == '.' || strstr(key, "..")) {
        block_error_set(errp, EINVAL, "option name '%s' has an empty part",
                        key);
        return false;
    }
    if (length > KEY_MAX_LENGTH) {
        block_error_set(errp, EINVAL,
                        "an option name has %zu bytes; %d are allowed", length,
                        KEY_MAX_LENGTH);
        return false;
    }
    return true;
}

/* ---- key=value ---- */

/*
 * Append the part that begins at text to `part`, double commas made single.
 * Gives where the next part begins, or NULL behind the last one.
 */
static const char *part_next(const char *text, GString *part)
{
    for (;;) {
        const char *comma = strchrnul(text, ',');

        g_string_append_len(part, text, comma - text);
        if (comma[0] == '\0') {
            return NULL;
        }
        if (comma[1] != ',') {
            return comma + 1;
        }
        g_string_append_c(part, ',');
        text = comma + 2;
    }
}

static bool part_set(Options *opts, char *part, GError **errp)
{
    char *equals = strchr(part, '=');
    const char *value = "on";

    if (equals != NULL) {
        *equals = '\0';
        value = equals + 1;
    }
    if (*part == '\0') {
        block_error_set(errp, EINVAL,
                        "an option has no name; write NAME=VALUE, and a comma "
                        "inside a value twice");
        return false;
    }
    if (!key_check(part, errp)) {
        return false;
    }
    options_set(opts, part, value);
    return true;
}

bool options_parse_keyval(Options *opts, const char *text,
                          const char *implied_key, GError **errp)
{
    g_autoptr(Options) parsed = options_new();
    g_autoptr(GString) part = g_string_new(NULL);
    bool first = true;

    while (text != NULL && *text != '\0') {
        g_string_truncate(part, 0);
        text = part_next(text, part);
        if (first && implied_key != NULL && part->len > 0 &&
            strchr(part->str, '=') == NULL) {
            options_set(parsed, implied_key, part->str);
        } else if (!part_set(parsed, part->str, errp)) {
            return false;
        }
        first = false;
    }
    options_merge(opts, parsed, NULL);
    return true;
}

/* ---- JSON ---- */

static bool json_visit_option(const char *path, JsonType type,
                              const char *text, void *opaque, GError **errp)
{
    Options *opts = opaque;

    if (!key_check(path, errp)) {
        return false;
    }
    if (options_has(opts, path)) {
        block_error_set(errp, EINVAL, "option '%s' is given twice", path);
        return false;
    }
    switch (type) {
    case JSON_STRING:
        options_set(opts, path, text);
        break;
    case JSON_NUMBER:
        options_set_form(opts, path, text, OPTION_FORM_NUMBER);
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        options_set_bool(opts, path, type == JSON_TRUE);
        break;
    case JSON_NULL:
        options_set_form(opts, path, "", OPTION_FORM_NULL);
        break;
    }
    return true;
}

bool options_parse_json(Options *opts, const char *text, GError **errp)
{
    g_autoptr(Options) parsed = options_new();

    if (!json_visit_object(text, json_visit_option, parsed, errp)) {
        return false;
    }
    options_merge(opts, parsed, NULL);
    return true;
}
