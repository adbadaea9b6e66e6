/* SPDX-License-Identifier: MIT */
/* The graph of nodes and edges. */
#ifndef BLOCK_GRAPH_H
#define BLOCK_GRAPH_H

#include "block/block-int.h"

void graph_lock(void);
void graph_unlock(void);

/*
 * A new node with one reference and a unique name (node_name NULL: one is
 * made up). NULL and *errp when the name is malformed or taken.
 */
BlockDriverState *node_new(const BlockDriver *drv, const char *node_name,
                           unsigned flags, GError **errp);

/* From now on the node is found by its name. */
void node_publish(BlockDriverState *bs);

/* An open node by its name, with a new reference; NULL if there is none. */
BlockDriverState *node_find(const char *node_name);

/* The last reference closes the node. bs may be NULL. Not under the graph
 * lock: closing waits. */
void node_unref(BlockDriverState *bs);

/*
 * Attach bs below a parent (one of parent_bs, parent_blk) with these
 * permissions. The edge takes over the caller's reference to bs, also on
 * failure; then it is NULL, and *errp names the conflict.
 */
BdrvChild *child_attach(BlockDriverState *parent_bs, BlockBackend *parent_blk,
                        BlockDriverState *bs, const char *name,
                        const BdrvChildClass *klass, unsigned role,
                        unsigned perm, unsigned shared, GError **errp);

/* Take the edge away and drop its reference. Not under the graph lock. */
void child_detach(BdrvChild *child);

/* The child that stands for the node's contents, or NULL. */
BlockDriverState *node_primary(const BlockDriverState *bs);

/* The child with the role COW, or NULL. */
BlockDriverState *node_backing(const BlockDriverState *bs);

#endif
