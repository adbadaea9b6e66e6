/* SPDX-License-Identifier: MIT */
#include "tools/tool-output.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

static void escape_byte(GString *out, unsigned char byte)
{
    if (byte == '\n') {
        g_string_append(out, "\\n");
    } else if (byte == '\t') {
        g_string_append(out, "\\t");
    } else {
        g_string_append_printf(out, "\\x%02x", byte);
    }
}

char *tool_escape(const char *text, bool is_message)
{
    GString *out = g_string_sized_new(strlen(text));

    for (const char *p = text; *p;) {
        gunichar c = g_utf8_get_char_validated(p, -1);
        if (c == (gunichar)-1 || c == (gunichar)-2) {
            escape_byte(out, (unsigned char)*p++);
            continue;
        }
        const char *next = g_utf8_next_char(p);
        if (c == '\\' && !is_message) {
            g_string_append(out, "\\\\");
        } else if (g_unichar_iscntrl(c)) {
            for (; p < next; p++) {
                escape_byte(out, (unsigned char)*p);
            }
        } else if (g_unichar_type(c) == G_UNICODE_PRIVATE_USE) {
            /* What stands for a character that FAT has not: ':' and others. */
            g_string_append_printf(out, "\\u%04x", c);
        } else {
            g_string_append_len(out, p, next - p);
        }
        p = next;
    }
    return g_string_free(out, FALSE);
}

static void G_GNUC_PRINTF(2, 0)
    print_message(const char *prefix, const char *fmt, va_list ap)
{
    g_autofree char *text = g_strdup_vprintf(fmt, ap);
    g_autofree char *clean = tool_escape(text, true);

    fprintf(stderr, "%s%s\n", prefix, clean);
}

void tool_verror(const char *fmt, va_list ap)
{
    print_message("vvfat-img: ", fmt, ap);
}

void tool_error(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    tool_verror(fmt, ap);
    va_end(ap);
}

void tool_warning(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    print_message("vvfat-img: warning: ", fmt, ap);
    va_end(ap);
}

void tool_hint(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    print_message("", fmt, ap);
    va_end(ap);
}

void tool_print_name(const char *name)
{
    if (!isatty(STDOUT_FILENO)) {
        fputs(name, stdout);
        return;
    }
    g_autofree char *clean = tool_escape(name, false);
    fputs(clean, stdout);
}

void tool_print_json(JsonWriter *w)
{
    g_autofree char *text = json_writer_finish(w);

    fputs(text, stdout);
    if (!g_str_has_suffix(text, "\n")) {
        putchar('\n');
    }
}

bool tool_finish_stdout(void)
{
    bool failed = ferror(stdout);

    if (fflush(stdout) != 0 || failed) {
        tool_error("Could not write to standard output: %s",
                   g_strerror(errno));
        return false;
    }
    return true;
}

char *tool_json_name(const char *name)
{
    GString *out = g_string_sized_new(strlen(name));

    while (*name) {
        const char *end;
        g_utf8_validate(name, -1, &end);
        g_string_append_len(out, name, end - name);
        name = end;
        if (*name) {
            escape_byte(out, (unsigned char)*name++);
        }
    }
    return g_string_free(out, FALSE);
}
