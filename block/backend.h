/* SPDX-License-Identifier: MIT */
/*
 * What the files of the backend share: how calls get at its root, which
 * another medium replaces.
 */
#ifndef BLOCK_BACKEND_H
#define BLOCK_BACKEND_H

#include "block/block-int.h"

/*
 * A request begins: its node, which stays until the request leaves. Waits
 * while the device is drained or gets another medium. Does not nest. Forgets
 * the thread's last error.
 */
BlockDriverState *backend_enter(BlockBackend *blk);
void backend_leave(BlockBackend *blk);

/* Between these blk->root stays, and no request is waited for: for what the
 * core knows by itself. */
BlockDriverState *backend_look(BlockBackend *blk);
void backend_look_end(BlockBackend *blk);

/*
 * A question for the driver: as backend_enter(). From an event handler of this
 * backend that is called at once it does not wait, neither here nor at nodes:
 * what drains may be waiting for the handler. The end is for the same thread.
 */
BlockDriverState *backend_ask(BlockBackend *blk);
void backend_ask_end(BlockBackend *blk);

/* Whether the range lies inside the node of a backend: 0 or -EIO. */
int backend_check_range(const BlockDriverState *bs, int64_t offset,
                        int64_t bytes);

/* BlockDriver.commit of the node, or of what it shows; 0 where there is
 * nothing to commit. */
int backend_commit(BlockDriverState *bs, BdrvCommitMode mode, GError **errp);

/* The permissions that these flags ask for (block.h, blk_open()). */
void backend_perms_of_flags(unsigned flags, unsigned *perm, unsigned *shared);

/* An edge from the backend to a node that was opened for it; takes over the
 * reference. NULL and *errp when the node does not grant what is asked for. */
BdrvChild *backend_attach(BlockBackend *blk, BlockDriverState *bs,
                          unsigned perm, unsigned shared, GError **errp);

/* The device in which there is no medium (medium-none.c). */
extern const BlockDriver bdrv_no_medium;

#endif
