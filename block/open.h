/* SPDX-License-Identifier: MIT */
/* Opening a node and what is below it. */
#ifndef BLOCK_OPEN_H
#define BLOCK_OPEN_H

#include "block/block-int.h"

/*
 * A new node with one reference. name may be NULL; options is taken over.
 * NULL and *errp on failure.
 */
BlockDriverState *open_node(const char *name, Options *options, unsigned flags,
                            GError **errp);

/*
 * Open and attach the child `key` as bdrv_open_child() does, with a name of
 * its own (NULL: the options say it all). NULL without *errp: nothing
 * describes it.
 */
BdrvChild *open_named_child(BlockDriverState *bs, const char *name,
                            Options *options, const char *key,
                            const BdrvChildClass *klass, unsigned role,
                            GError **errp);

#endif
