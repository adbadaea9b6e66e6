/* SPDX-License-Identifier: MIT */
/* The names by which a node can be opened again. */
#ifndef BLOCK_FILENAME_H
#define BLOCK_FILENAME_H

#include "block/block-int.h"

/* Set plain_filename and full_options of a node whose children have theirs. */
void filename_refresh(BlockDriverState *bs);

/* The plain name, or "json:{...}"; g_free(). */
char *filename_of_node(const BlockDriverState *bs);

#endif
