/* SPDX-License-Identifier: MIT */
/*
 * The command line of one command, by its option table.
 *
 * Usage errors and --help end the program here, before a command has made
 * anything: with the command's usage_status and a hint, or with 0.
 */
#ifndef TOOLS_TOOL_ARGS_H
#define TOOLS_TOOL_ARGS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "tools/command.h"

/* Prepare parsing; argv[0] is the command's name. */
void tool_args_begin(const Command *command, int argc, char **argv);

/* The key of the next option (its argument in *arg), or -1 at the end. */
int tool_args_next(const char **arg);

/* What follows the options: at least min operands, at most max (-1: any).
 * `expecting` is the message when there are too few or too many. */
char **tool_args_operands(int min, int max, const char *expecting, int *n);

/* Print the message and the hint, and exit with the command's status. */
G_NORETURN void tool_args_usage(const char *fmt, ...) G_GNUC_PRINTF(1, 2);

/* The help of a command, on standard output. */
void tool_args_print_help(const Command *command);

/*
 * A size or a number with the usual suffixes. `what` names it in qemu-img's
 * words ("Invalid image size specified..."); exits when it is malformed.
 */
int64_t tool_args_size(const char *what, const char *text);

/* --output=human|json; exits on anything else. True: JSON. */
bool tool_args_output_is_json(const char *text);

/* The word of the list (n words) nearest to `text`, or NULL when none is
 * near enough to be meant. */
const char *tool_args_nearest(const char *text, const char *const *words,
                              size_t n);

#endif
