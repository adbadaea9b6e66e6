/* SPDX-License-Identifier: MIT */
/*
 * Inside the block layer: nodes, edges and backends. Drivers use driver.h.
 *
 * Locks. The graph (which nodes there are, their edges and permissions) is
 * changed under graph_lock() alone, with the nodes concerned drained; the I/O
 * path takes no lock for it, since an edge cannot go while a request that
 * came over it is counted in in_flight. Requests that must be serialised are
 * in a node's own list, under its own mutex.
 */
#ifndef BLOCK_BLOCK_INT_H
#define BLOCK_BLOCK_INT_H

#include "block/driver.h"

typedef struct TrackedRequest TrackedRequest;

struct BdrvChild {
    char *name; /* "file", "backing", ... */
    BlockDriverState *bs;
    const BdrvChildClass *klass;
    unsigned role;
    unsigned perm, shared;
    /* Exactly one of the two parents is set. */
    BlockDriverState *parent_bs;
    BlockBackend *parent_blk;
};

struct BlockDriverState {
    gint refcnt; /* graph lock */
    const BlockDriver *drv;
    void *opaque;
    unsigned open_flags;
    bool read_only;
    char *node_name;
    char *filename;       /* plain or json:{...}; computed when opened */
    Options *options;     /* all that it was opened with, after inheritance */
    GPtrArray *children;  /* BdrvChild, owned */
    GPtrArray *parents;   /* BdrvChild, not owned */
    BdrvLimits limits;
    GPtrArray *blockers;  /* state-save blockers */

    gint in_flight;       /* atomic */
    gint quiesced;        /* atomic; drained sections under way */
    GMutex drain_lock;
    GCond drain_cond;

    GMutex request_lock;  /* guards requests */
    GCond request_cond;
    GQueue requests;      /* TrackedRequest, when alignment > 1 */
};

struct BlockBackend {
    BdrvChild *root;
    bool allow_resize;
};

void graph_lock(void);
void graph_unlock(void);

/* The owner of block/block-int.h extends this as the core needs. */

#endif
