/* SPDX-License-Identifier: MIT */
/*
 * The JSON writer. One flag suffices to place commas: whether nothing has
 * been written since the last opening bracket.
 */
#include "util/json.h"

#include <string.h>

struct JsonWriter {
    GString *out;
    unsigned depth;
    bool pretty;
    bool empty; /* nothing is in the innermost object or array yet */
};

JsonWriter *json_writer_new(bool pretty)
{
    JsonWriter *w = g_new0(JsonWriter, 1);

    w->out = g_string_new(NULL);
    w->pretty = pretty;
    w->empty = true;
    return w;
}

static void append_line(JsonWriter *w)
{
    g_string_append_c(w->out, '\n');
    for (unsigned i = 0; i < w->depth; i++) {
        g_string_append(w->out, "    ");
    }
}

static void append_escaped(GString *out, unsigned char c)
{
    static const char controls[] = "\b\f\n\r\t";
    static const char letters[] = "bfnrt";
    const char *known = strchr(controls, c);

    if (c == '"' || c == '\\') {
        g_string_append_printf(out, "\\%c", c);
    } else if (known != NULL) {
        g_string_append_printf(out, "\\%c", letters[known - controls]);
    } else {
        g_string_append_printf(out, "\\u%04x", c);
    }
}

static void append_string(GString *out, const char *text)
{
    g_autofree char *valid = NULL;

    if (!g_utf8_validate(text, -1, NULL)) {
        valid = g_utf8_make_valid(text, -1);
        text = valid;
    }
    g_string_append_c(out, '"');
    while (*text != '\0') {
        const char *run = text;

        while ((unsigned char)*text >= 0x20 && *text != '"' && *text != '\\' &&
               *text != 0x7f) {
            text++;
        }
        g_string_append_len(out, run, text - run);
        if (*text != '\0') {
            append_escaped(out, *text++);
        }
    }
    g_string_append_c(out, '"');
}

/* What stands in front of every value. */
static void begin_value(JsonWriter *w, const char *name)
{
    if (!w->empty) {
        g_string_append(w->out, w->pretty ? "," : ", ");
    }
    if (w->pretty && w->depth > 0) {
        append_line(w);
    }
    if (name != NULL) {
        append_string(w->out, name);
        g_string_append(w->out, ": ");
    }
    w->empty = false;
}

static void begin_nested(JsonWriter *w, const char *name, char bracket)
{
    begin_value(w, name);
    g_string_append_c(w->out, bracket);
    w->depth++;
    w->empty = true;
}

static void end_nested(JsonWriter *w, char bracket)
{
    w->depth--;
    if (w->pretty && !w->empty) {
        append_line(w);
    }
    g_string_append_c(w->out, bracket);
    w->empty = false;
}

void json_begin_object(JsonWriter *w, const char *name)
{
    begin_nested(w, name, '{');
}

void json_end_object(JsonWriter *w)
{
    end_nested(w, '}');
}

void json_begin_array(JsonWriter *w, const char *name)
{
    begin_nested(w, name, '[');
}

void json_end_array(JsonWriter *w)
{
    end_nested(w, ']');
}

void json_string(JsonWriter *w, const char *name, const char *value)
{
    begin_value(w, name);
    append_string(w->out, value);
}

void json_int(JsonWriter *w, const char *name, int64_t value)
{
    begin_value(w, name);
    g_string_append_printf(w->out, "%" G_GINT64_FORMAT, value);
}

void json_number(JsonWriter *w, const char *name, const char *text)
{
    begin_value(w, name);
    g_string_append(w->out, text);
}

void json_bool(JsonWriter *w, const char *name, bool value)
{
    begin_value(w, name);
    g_string_append(w->out, value ? "true" : "false");
}

char *json_writer_finish(JsonWriter *w)
{
    GString *out = w->out;

    if (w->pretty) {
        g_string_append_c(out, '\n');
    }
    g_free(w);
    return g_string_free(out, FALSE);
}
