/* SPDX-License-Identifier: MIT */
/*
 * What a set of options keeps of each value beside its text: how it is
 * written as JSON. For the parsers and the JSON writer alone.
 */
#ifndef UTIL_OPTION_SET_H
#define UTIL_OPTION_SET_H

#include "block/options.h"

typedef enum OptionForm {
    OPTION_FORM_TEXT,
    OPTION_FORM_BOOL,   /* the value is "on" or "off" */
    OPTION_FORM_NUMBER, /* the value is a number in JSON's syntax */
    OPTION_FORM_NULL,   /* the value is "" */
} OptionForm;

typedef struct OptionEntry {
    struct OptionEntry *prev, *next;
    char *value;
    OptionForm form;
    char key[];
} OptionEntry;

/* The first key set, or NULL; the others follow by `next`. */
const OptionEntry *options_first(const Options *opts);

void options_set_form(Options *opts, const char *key, const char *value,
                      OptionForm form);

#endif
