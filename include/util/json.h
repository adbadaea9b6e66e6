/* SPDX-License-Identifier: MIT */
/*
 * JSON (RFC 8259): a strict reader that reports values one by one, and a
 * writer. The reader bounds nesting and never trusts its input; text must be
 * valid UTF-8.
 */
#ifndef UTIL_JSON_H
#define UTIL_JSON_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "block/options.h"

#define JSON_MAX_DEPTH 64  /* of objects and arrays in each other */
#define JSON_MAX_PATH 1024 /* bytes of names down to a value, with dots */

typedef enum JsonType {
    JSON_STRING, /* text: the decoded string */
    JSON_NUMBER, /* text: the number as written */
    JSON_TRUE,
    JSON_FALSE,
    JSON_NULL,
} JsonType;

/*
 * A scalar at `path`: keys and array indices joined with dots. Returns false
 * and sets *errp to stop.
 */
typedef bool JsonVisitor(const char *path, JsonType type, const char *text,
                         void *opaque, GError **errp);

/* Read an object and visit its scalars in order. Errors name the line and
 * column. */
bool json_visit_object(const char *text, JsonVisitor *visit, void *opaque,
                       GError **errp) G_GNUC_WARN_UNUSED_RESULT;

typedef struct JsonWriter JsonWriter;

/* pretty: four spaces a level, one member a line, as qemu-img prints. */
JsonWriter *json_writer_new(bool pretty);

/* name: the member's name inside an object; NULL inside an array or at top. */
void json_begin_object(JsonWriter *w, const char *name);
void json_end_object(JsonWriter *w);
void json_begin_array(JsonWriter *w, const char *name);
void json_end_array(JsonWriter *w);
void json_string(JsonWriter *w, const char *name, const char *value);
void json_int(JsonWriter *w, const char *name, int64_t value);
/* text: a number in JSON's syntax, written as it is. */
void json_number(JsonWriter *w, const char *name, const char *text);
void json_bool(JsonWriter *w, const char *name, bool value);

/* A set of options as nested objects and arrays (keys 0..n-1 without a gap
 * make an array). Booleans and integers are written as such. */
void json_options(JsonWriter *w, const char *name, const Options *opts);

/* The text, with a newline at the end when pretty; frees the writer. The
 * text is valid UTF-8: bytes that are not become U+FFFD. g_free(). */
char *json_writer_finish(JsonWriter *w);

#endif
