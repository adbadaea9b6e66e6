/* SPDX-License-Identifier: MIT */
/* The options that every node has, whatever its driver. */
#ifndef BLOCK_OPEN_OPTIONS_H
#define BLOCK_OPEN_OPTIONS_H

#include "block/block-int.h"

typedef struct OpenOptions {
    const BlockDriver *drv; /* NULL: none was named */
    char *node_name;        /* NULL: none was given */
    unsigned flags;         /* the opener's, changed by the options */
    DetectZeroes detect_zeroes;
} OpenOptions;

/* Take them out of options. flags: what holds where no option says more. */
bool open_options_take(OpenOptions *open, Options *options, unsigned flags,
                       GError **errp) G_GNUC_WARN_UNUSED_RESULT;
void open_options_clear(OpenOptions *open);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(OpenOptions, open_options_clear)

/* Fail when the driver has left an option that it does not know. */
bool open_options_reject_unknown(const BlockDriver *drv,
                                 const Options *options, GError **errp)
    G_GNUC_WARN_UNUSED_RESULT;

/* Their help, one option a line; g_free(). */
char *open_options_help(void);

/* A driver by name, or *errp that says which there are. */
const BlockDriver *open_options_driver(const char *name, GError **errp);

#endif
