/* SPDX-License-Identifier: MIT */
/* Backing files of nodes that are being opened, and what images record. */
#ifndef BLOCK_OPEN_BACKING_H
#define BLOCK_OPEN_BACKING_H

#include "block/block-int.h"

/*
 * The driver's open() has succeeded, and the node knows its name: open and
 * attach its backing file, if there is to be one. Takes "backing" and
 * "backing.*" out of options.
 */
bool open_backing(BlockDriverState *bs, Options *options, GError **errp)
    G_GNUC_WARN_UNUSED_RESULT;

/*
 * What the image records, for g_free() or NULL: the name of its backing file,
 * the format of that, and the name under which it is opened (NULL also when
 * the directory that it is relative to cannot be found).
 */
void backing_get_recorded(BlockDriverState *bs, char **name, char **format,
                          char **full_name);

/* Whether the backing file is another than what the image records. */
bool backing_is_overridden(BlockDriverState *bs);

#endif
