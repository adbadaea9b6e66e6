/* SPDX-License-Identifier: MIT */
/*
 * The command line of one command.
 *
 * getopt_long() does the parsing; its strings are made from the command's
 * table, so an option cannot be parsed and yet be missing from the help.
 */
#include "tools/tool-args.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/tool-output.h"
#include "util/size.h"

enum { KEY_HELP = 'h' };

static struct {
    const Command *command;
    int argc;
    char **argv;
    GString *letters;
    GArray *names; /* struct option */
} line;

static int usage_status(void)
{
    return line.command->usage_status ? line.command->usage_status : 1;
}

void tool_args_usage(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    tool_verror(fmt, ap);
    va_end(ap);
    tool_hint("Try 'vvfat-img %s --help' for more information",
              line.command->name);
    exit(usage_status());
}

void tool_args_begin(const Command *command, int argc, char **argv)
{
    line.command = command;
    line.argc = argc;
    line.argv = argv;
    line.letters = g_string_new(":h");
    line.names = g_array_new(TRUE, TRUE, sizeof(struct option));

    for (const ToolOption *o = command->options; o->key; o++) {
        if (o->key < 256) {
            g_string_append_c(line.letters, (char)o->key);
            if (o->arg) {
                g_string_append_c(line.letters, ':');
            }
        }
        if (o->name) {
            struct option entry = {
                .name = o->name,
                .has_arg = o->arg ? required_argument : no_argument,
                .val = o->key,
            };
            g_array_append_val(line.names, entry);
        }
    }
    struct option help = { .name = "help", .val = KEY_HELP };
    g_array_append_val(line.names, help);
    opterr = 0;
    optind = 1;
}

/* ---- Suggestions ---- */

/* Edits (insert, delete, replace, swap neighbours) from a to b. */
static size_t edit_distance(const char *a, const char *b)
{
    size_t na = strlen(a), nb = strlen(b);
    g_autofree size_t *rows = g_new(size_t, 3 * (nb + 1));
    size_t *before = rows, *above = rows + nb + 1, *row = above + nb + 1;

    for (size_t j = 0; j <= nb; j++) {
        above[j] = j;
    }
    for (size_t i = 1; i <= na; i++) {
        row[0] = i;
        for (size_t j = 1; j <= nb; j++) {
            size_t best = above[j - 1] + (a[i - 1] != b[j - 1]);
            best = MIN(best, MIN(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] &&
                a[i - 2] == b[j - 1]) {
                best = MIN(best, before[j - 2] + 1);
            }
            row[j] = best;
        }
        size_t *oldest = before;
        before = above;
        above = row;
        row = oldest;
    }
    return above[nb];
}

const char *tool_args_nearest(const char *text, const char *const *words,
                              size_t n)
{
    const char *best = NULL;
    size_t best_distance = strlen(text) < 3 ? 1 : 2;

    if (strlen(text) > 64) {
        return NULL;
    }
    for (size_t i = 0; i < n; i++) {
        size_t distance = edit_distance(text, words[i]);
        if (distance <= best_distance && distance < strlen(words[i])) {
            best = words[i];
            best_distance = distance - (distance > 0);
        }
    }
    return best;
}

/* The name of an option that the text, up to a "=", may have been meant for. */
static const char *nearest_option(const char *text)
{
    g_autofree char *name = g_strndup(text, strcspn(text, "="));
    g_autofree const char **words = g_new(const char *, line.names->len);

    for (guint i = 0; i < line.names->len; i++) {
        words[i] = g_array_index(line.names, struct option, i).name;
    }
    return tool_args_nearest(name, words, line.names->len);
}

static G_NORETURN void unknown_long(const char *text)
{
    const char *near = nearest_option(text);
    int length = (int)strcspn(text, "=");

    if (near) {
        tool_args_usage("unrecognized option '--%.*s'; did you mean '--%s'?",
                        length, text, near);
    }
    tool_args_usage("unrecognized option '--%.*s'", length, text);
}

static G_NORETURN void refuse_option(int result)
{
    const char *word = line.argv[optind - 1];
    bool is_long = g_str_has_prefix(word, "--") && word[2];

    if (result == ':') {
        if (is_long) {
            tool_args_usage("option '%s' requires an argument", word);
        }
        tool_args_usage("option requires an argument -- '%c'", optopt);
    }
    if (optopt && optopt < 256) {
        tool_args_usage("unrecognized option '-%c'", optopt);
    }
    if (optopt) {
        tool_args_usage("option '%.*s' takes no argument",
                        (int)strcspn(word, "="), word);
    }
    if (!is_long) {
        tool_args_usage("unrecognized option '%s'", word);
    }
    unknown_long(word + 2);
}

int tool_args_next(const char **arg)
{
    int key = getopt_long(line.argc, line.argv, line.letters->str,
                          (const struct option *)line.names->data, NULL);

    if (key == KEY_HELP) {
        tool_args_print_help(line.command);
        exit(tool_finish_stdout() ? 0 : 1);
    }
    if (key == '?' || key == ':') {
        refuse_option(key);
    }
    if (key < 0) {
        g_string_free(line.letters, TRUE);
        g_array_free(line.names, TRUE);
    }
    *arg = optarg;
    return key;
}

char **tool_args_operands(int min, int max, const char *expecting, int *n)
{
    *n = line.argc - optind;
    if (*n < min || (max >= 0 && *n > max)) {
        tool_args_usage("%s", expecting);
    }
    return line.argv + optind;
}

/* ---- Values ---- */

int64_t tool_args_size(const char *what, const char *text)
{
    uint64_t bytes;

    if (!size_parse(text, &bytes, NULL)) {
        tool_error("Invalid %s specified. You may use k, M, G, T, P or E "
                   "suffixes for",
                   what);
        tool_error("kilobytes, megabytes, gigabytes, terabytes, petabytes "
                   "and exabytes.");
        exit(usage_status());
    }
    return (int64_t)bytes;
}

bool tool_args_output_is_json(const char *text)
{
    if (g_str_equal(text, "json")) {
        return true;
    }
    if (!g_str_equal(text, "human")) {
        tool_error("--output must be used with human or json as argument.");
        exit(usage_status());
    }
    return false;
}

/* ---- Help ---- */

static char *option_title(const ToolOption *o)
{
    GString *title = g_string_new("");

    if (o->key < 256) {
        g_string_append_printf(title, "-%c", o->key);
        if (o->arg && !o->name) {
            g_string_append_printf(title, " %s", o->arg);
        }
    } else {
        g_string_append(title, "   ");
    }
    if (o->name) {
        g_string_append_printf(title, "%s --%s%s%s", o->key < 256 ? "," : "",
                               o->name, o->arg ? "=" : "",
                               o->arg ? o->arg : "");
    }
    return g_string_free(title, FALSE);
}

void tool_args_print_help(const Command *command)
{
    printf("usage: vvfat-img %s %s%s\n%s.\n", command->name,
           command->options->key ? "[OPTION...] " : "", command->operands,
           command->summary);
    if (command->options->key) {
        printf("\n");
    }
    for (const ToolOption *o = command->options; o->key; o++) {
        g_autofree char *title = option_title(o);
        printf("  %-26s %s\n", title, o->help);
    }
    if (command->notes) {
        printf("\n%s", command->notes);
    }
}
