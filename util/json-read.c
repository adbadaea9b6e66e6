/* SPDX-License-Identifier: MIT */
/*
 * The JSON reader: recursive descent, as deep as JSON_MAX_DEPTH. The text is
 * checked to be UTF-8 before anything else looks at it, so that the parser
 * may copy what it does not interpret.
 *
 * Every read_*() function leaves `pos` behind what it read, or sets the error
 * and returns false with `pos` where the fault is.
 */
#include "util/json.h"

#include <errno.h>
#include <string.h>

#include "block/error.h"

typedef struct JsonReader {
    const char *start;
    const char *pos;
    unsigned depth; /* of objects and arrays around pos */
    GString *path;  /* of the value at pos */
    GString *text;  /* the string or number read last */
    JsonVisitor *visit;
    void *opaque;
    GError **errp;
} JsonReader;

static bool read_value(JsonReader *r);

static bool fail(JsonReader *r, const char *what)
{
    block_error_set(r->errp, EINVAL, "%s", what);
    return false;
}

static bool fail_expected(JsonReader *r, const char *expected)
{
    gunichar c = g_utf8_get_char(r->pos);
    char seen[8] = { 0 };

    if (c == 0) {
        block_error_set(r->errp, EINVAL, "expected %s, but the text ends",
                        expected);
    } else if (!g_unichar_isprint(c)) {
        block_error_set(r->errp, EINVAL, "expected %s, not U+%04X", expected,
                        c);
    } else {
        g_unichar_to_utf8(c, seen);
        block_error_set(r->errp, EINVAL, "expected %s, not '%s'", expected,
                        seen);
    }
    return false;
}

static void skip_space(JsonReader *r)
{
    r->pos += strspn(r->pos, " \t\n\r");
}

/* Skip white space, and the character c if it comes next. */
static bool accept(JsonReader *r, char c)
{
    skip_space(r);
    if (*r->pos != c) {
        return false;
    }
    r->pos++;
    return true;
}

/* ---- Strings ---- */

/* The four digits behind "\u"; pos stands at the backslash, and stays. */
static bool peek_unit(JsonReader *r, gunichar *unit)
{
    *unit = 0;
    for (int i = 2; i < 6; i++) {
        int digit = g_ascii_xdigit_value(r->pos[i]);

        if (digit < 0) {
            return fail(r, "\\u needs four hexadecimal digits");
        }
        *unit = *unit << 4 | (gunichar)digit;
    }
    return true;
}

static bool read_unicode_escape(JsonReader *r)
{
    gunichar c, low;

    if (!peek_unit(r, &c)) {
        return false;
    }
    if (c == 0) {
        return fail(r, "\\u0000 is not allowed in strings");
    }
    if (c >= 0xdc00 && c <= 0xdfff) {
        return fail(r, "a low surrogate stands alone");
    }
    if (c >= 0xd800 && c <= 0xdbff) {
        if (r->pos[6] != '\\' || r->pos[7] != 'u') {
            return fail(r, "a high surrogate stands alone");
        }
        r->pos += 6;
        if (!peek_unit(r, &low)) {
            return false;
        }
        if (low < 0xdc00 || low > 0xdfff) {
            return fail(r, "a high surrogate is not followed by a low one");
        }
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
    }
    r->pos += 6;
    g_string_append_unichar(r->text, c);
    return true;
}

static bool read_escape(JsonReader *r)
{
    static const char letters[] = "\"\\/bfnrt";
    static const char meaning[] = "\"\\/\b\f\n\r\t";
    const char *known;

    if (r->pos[1] == 'u') {
        return read_unicode_escape(r);
    }
    known = r->pos[1] != '\0' ? strchr(letters, r->pos[1]) : NULL;
    if (known == NULL) {
        return fail(r, "unknown escape sequence in a string");
    }
    g_string_append_c(r->text, meaning[known - letters]);
    r->pos += 2;
    return true;
}

/* A string into r->text; pos stands behind the opening quote. */
static bool read_string(JsonReader *r)
{
    g_string_truncate(r->text, 0);
    for (;;) {
        const char *run = r->pos;

        while ((unsigned char)*r->pos >= 0x20 && *r->pos != '"' &&
               *r->pos != '\\') {
            r->pos++;
        }
        g_string_append_len(r->text, run, r->pos - run);
        switch (*r->pos) {
        case '"':
            r->pos++;
            return true;
        case '\\':
            if (!read_escape(r)) {
                return false;
            }
            break;
        case '\0':
            return fail(r, "the text ends within a string");
        default:
            return fail(r, "a control character stands in a string; "
                           "write it as an escape");
        }
    }
}

/* ---- Scalars ---- */

static bool read_digits(JsonReader *r)
{
    if (!g_ascii_isdigit(*r->pos)) {
        return fail_expected(r, "a digit");
    }
    r->pos += strspn(r->pos, "0123456789");
    return true;
}

/* A number into r->text, as it is written. */
static bool read_number(JsonReader *r)
{
    const char *begin = r->pos;

    if (*r->pos == '-') {
        r->pos++;
    }
    if (*r->pos == '0') {
        r->pos++;
    } else if (!read_digits(r)) {
        return false;
    }
    if (*r->pos == '.') {
        r->pos++;
        if (!read_digits(r)) {
            return false;
        }
    }
    if (*r->pos == 'e' || *r->pos == 'E') {
        r->pos++;
        if (*r->pos == '+' || *r->pos == '-') {
            r->pos++;
        }
        if (!read_digits(r)) {
            return false;
        }
    }
    g_string_truncate(r->text, 0);
    g_string_append_len(r->text, begin, r->pos - begin);
    return true;
}

/* Hand a scalar that begins at `begin` to the visitor. */
static bool report(JsonReader *r, JsonType type, const char *begin)
{
    if (!r->visit(r->path->str, type, r->text->str, r->opaque, r->errp)) {
        r->pos = begin;
        return false;
    }
    return true;
}

static bool read_word(JsonReader *r)
{
    const char *begin = r->pos;
    static const struct {
        const char *word;
        JsonType type;
    } words[] = {
        { "true", JSON_TRUE },
        { "false", JSON_FALSE },
        { "null", JSON_NULL },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(words); i++) {
        if (g_str_has_prefix(r->pos, words[i].word)) {
            r->pos += strlen(words[i].word);
            g_string_assign(r->text, words[i].word);
            return report(r, words[i].type, begin);
        }
    }
    return fail_expected(r, "a value");
}

/* ---- Objects and arrays ---- */

/* Go one step down the path, run the value reader, and come back. */
static bool read_member(JsonReader *r, const char *name)
{
    size_t length = r->path->len;

    if (r->depth > 1) {
        g_string_append_c(r->path, '.');
    }
    g_string_append(r->path, name);
    if (r->path->len > JSON_MAX_PATH) {
        return fail(r, "the names down to this value are too long");
    }
    if (!read_value(r)) {
        return false;
    }
    g_string_truncate(r->path, length);
    return true;
}

static bool read_object(JsonReader *r)
{
    if (accept(r, '}')) {
        return true;
    }
    do {
        if (!accept(r, '"')) {
            return fail_expected(r, "a name in double quotes");
        }
        if (!read_string(r)) {
            return false;
        }
        if (!accept(r, ':')) {
            return fail_expected(r, "':'");
        }
        if (!read_member(r, r->text->str)) {
            return false;
        }
    } while (accept(r, ','));
    return accept(r, '}') || fail_expected(r, "',' or '}'");
}

static bool read_array(JsonReader *r)
{
    size_t index = 0;

    if (accept(r, ']')) {
        return true;
    }
    do {
        char name[24];

        g_snprintf(name, sizeof(name), "%zu", index++);
        if (!read_member(r, name)) {
            return false;
        }
    } while (accept(r, ','));
    return accept(r, ']') || fail_expected(r, "',' or ']'");
}

static bool read_nested(JsonReader *r, bool (*read)(JsonReader *r))
{
    bool ok;

    if (r->depth == JSON_MAX_DEPTH) {
        return fail(r, "objects and arrays are nested too deeply");
    }
    r->pos++;
    r->depth++;
    ok = read(r);
    r->depth--;
    return ok;
}

static bool read_value(JsonReader *r)
{
    const char *begin;

    skip_space(r);
    begin = r->pos;
    switch (*r->pos) {
    case '{':
        return read_nested(r, read_object);
    case '[':
        return read_nested(r, read_array);
    case '"':
        r->pos++;
        return read_string(r) && report(r, JSON_STRING, begin);
    case '-':
    case '0' ... '9':
        return read_number(r) && report(r, JSON_NUMBER, begin);
    default:
        return read_word(r);
    }
}

/* ---- The whole text ---- */

static bool read_text(JsonReader *r)
{
    const char *invalid;

    if (!g_utf8_validate(r->start, -1, &invalid)) {
        r->pos = invalid;
        return fail(r, "the text is not valid UTF-8");
    }
    skip_space(r);
    if (*r->pos != '{') {
        return fail_expected(r, "an object ('{')");
    }
    if (!read_value(r)) {
        return false;
    }
    skip_space(r);
    return *r->pos == '\0' || fail_expected(r, "the end of the text");
}

/* Put the place in front of the error. Columns count characters. */
static void prefix_position(const JsonReader *r)
{
    unsigned line = 1, column = 1;

    for (const char *p = r->start; p < r->pos; p = g_utf8_next_char(p)) {
        if (*p == '\n') {
            line++;
            column = 1;
        } else {
            column++;
        }
    }
    g_prefix_error(r->errp, "JSON line %u, column %u: ", line, column);
}

bool json_visit_object(const char *text, JsonVisitor *visit, void *opaque,
                       GError **errp)
{
    g_autoptr(GString) path = g_string_new(NULL);
    g_autoptr(GString) decoded = g_string_new(NULL);
    JsonReader reader = {
        .start = text,
        .pos = text,
        .path = path,
        .text = decoded,
        .visit = visit,
        .opaque = opaque,
        .errp = errp,
    };

    if (!read_text(&reader)) {
        prefix_position(&reader);
        return false;
    }
    return true;
}
