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

#endif
