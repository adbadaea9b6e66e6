/* SPDX-License-Identifier: MIT */
/* What the command line says of an image that is to be created. */
#ifndef TOOLS_TARGET_ARGS_H
#define TOOLS_TARGET_ARGS_H

#include <stdbool.h>

#include "tools/image-copy.h"

/* ---- Create options ---- */

/* Whether the text of a -o asks for a list of the options. */
bool target_options_are_help(const char *text);

/* Print that list. False with the error printed. */
bool target_options_print_help(const char *format);

/* A backing file and its format, by options of their own (or NULL), go into
 * the create options, and come back as those have them. */
void target_options_take_backing(Options *options, const char **backing,
                                 const char **format);

/* ---- The target of a copy ---- */

typedef struct TargetArgs {
    char *text_of_options;      /* of all -o, joined; g_free() */
    bool wants_help;            /* one of them asks for it */
    const char *backing;        /* -B; then that of -o */
    const char *backing_format; /* -F; likewise */
} TargetArgs;

/* A -o. */
void target_args_add_options(TargetArgs *args, const char *text);

/*
 * Fill in format, create options and has_backing of the copy, whose other
 * fields are complete. What can be known to fail is refused here, before
 * anything is created: false, with the error printed. copy->create is the
 * caller's in any case.
 */
bool target_args_apply(TargetArgs *args, ImageCopy *copy, int n_sources);

#endif
