/* SPDX-License-Identifier: MIT */
/* Permissions: who does what with a node, and what they let others do. */
#ifndef BLOCK_PERMISSION_H
#define BLOCK_PERMISSION_H

#include "block/block-int.h"

/*
 * The caller has put what it wants into new_perm and new_shared of edges to
 * bs. Compute what follows for bs and everything below, check all, then make
 * it so everywhere or nowhere. Under the graph lock.
 */
bool permission_update(BlockDriverState *bs, GError **errp)
    G_GNUC_WARN_UNUSED_RESULT;

/* What the node needs of a child; child NULL: of one to be attached. */
void permission_of_child(BlockDriverState *bs, BdrvChild *child,
                         BlockDriverState *child_bs, unsigned role,
                         unsigned perm, unsigned shared, unsigned *nperm,
                         unsigned *nshared);

/* "write, resize" for messages; g_free(). */
char *permission_names(unsigned perm);

#endif
