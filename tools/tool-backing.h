/* SPDX-License-Identifier: MIT */
/* The backing file of an image that is to be created. */
#ifndef TOOLS_TOOL_BACKING_H
#define TOOLS_TOOL_BACKING_H

#include <glib.h>
#include <stdbool.h>

#include "block/block.h"

/* Whether images of the format can have backing files; an error is not
 * printed. */
bool backing_is_supported(const char *format);

/* Whether a backing file of this name and format (or NULL) is a directory. */
bool backing_is_directory(const char *name, const char *format);

/*
 * Open `backing` for reading, as the image `target` in a file of that name
 * would (relative to its directory). format NULL: probed. NULL and *errp when
 * it cannot be opened, or (ELOOP) when it is the target, or made of it.
 */
BlockBackend *backing_open(const char *target, const char *backing,
                           const char *format, GError **errp)
    G_GNUC_WARN_UNUSED_RESULT;

#endif
