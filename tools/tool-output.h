/* SPDX-License-Identifier: MIT */
/* What the tool prints: messages, names, JSON. */
#ifndef TOOLS_TOOL_OUTPUT_H
#define TOOLS_TOOL_OUTPUT_H

#include <glib.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

#include "util/json.h"

/* "vvfat-img: text" on standard error. Control characters and bytes that are
 * not UTF-8 come out escaped, whatever names the text holds. */
void tool_error(const char *fmt, ...) G_GNUC_PRINTF(1, 2);
void tool_verror(const char *fmt, va_list ap) G_GNUC_PRINTF(1, 0);

/* "vvfat-img: warning: text". */
void tool_warning(const char *fmt, ...) G_GNUC_PRINTF(1, 2);

/* A line without the program's name: a remedy after an error. */
void tool_hint(const char *fmt, ...) G_GNUC_PRINTF(1, 2);

/* A name, or one line that holds names: control characters and bytes that are
 * not UTF-8 as \n, \t or \xNN, characters for private use, which no terminal
 * shows, as \uNNNN, and a backslash, so that this is unambiguous, as \\. In a
 * whole message, whose parts may be escaped already, backslashes stay.
 * g_free(). */
char *tool_escape(const char *text, bool is_message);

/* A name for standard output: escaped on a terminal, else its bytes. */
void tool_print_name(const char *name);

/* Print the writer's text on standard output, with a newline at its end, and
 * free the writer. */
void tool_print_json(JsonWriter *w);

/* Flush standard output; false, with a message, when something was lost. */
bool tool_finish_stdout(void);

/* A name as JSON can hold it: bytes that are not UTF-8 escaped. g_free(). */
char *tool_json_name(const char *name);

#endif
