/* SPDX-License-Identifier: MIT */
/*
 * Inside the block layer: nodes, edges and backends. Drivers use driver.h.
 *
 * Locks, in the order in which they are taken:
 *
 *   graph lock      which nodes and edges there are, names, reference counts,
 *                   permissions. Recursive. Never held while waiting for
 *                   requests, so a request may take it.
 *   request_lock    a node's list of serialised requests (request.c)
 *   flush_lock      one flush of a node at a time (io-flush.c)
 *   gate lock       only to sleep on; the counters are atomic (drain.c)
 *
 * A backend's root_lock comes before all of them. An event handler is called
 * with a lock of its own alone, which comes before root_lock (event.c).
 *
 * The way of a request takes none of them for the graph: an edge cannot go
 * while a request that came over it is counted in in_flight, and a node's
 * children change only when it is opened, reopened or closed, with the node
 * drained. What requests read and others change is atomic.
 *
 * The locks are POSIX ones, not GLib's, because those are invisible to the
 * thread sanitizer.
 */
#ifndef BLOCK_BLOCK_INT_H
#define BLOCK_BLOCK_INT_H

#include <pthread.h>
#include <stdatomic.h>

#include "block/aio-count.h"
#include "block/driver.h"

/* Offsets stay this far off INT64_MAX, so that aligning cannot overflow. */
#define BDRV_MAX_ALIGNMENT (INT64_C(1) << 30)
#define BDRV_MAX_LENGTH (INT64_MAX - (BDRV_MAX_ALIGNMENT - 1))

struct BdrvChild {
    char *name; /* "file", "backing", ... */
    BlockDriverState *bs;
    const BdrvChildClass *klass;
    unsigned role;
    _Atomic unsigned perm;         /* written under the graph lock */
    unsigned shared;               /* graph lock */
    unsigned new_perm, new_shared; /* graph lock; differ while a change is
                                      being checked */
    /* Exactly one of the two parents is set. */
    BlockDriverState *parent_bs;
    BlockBackend *parent_blk;
};

typedef enum DetectZeroes {
    DETECT_ZEROES_OFF,
    DETECT_ZEROES_ON,
    DETECT_ZEROES_UNMAP,
} DetectZeroes;

typedef struct TrackedRequest TrackedRequest;
typedef struct EventHandlers EventHandlers;

/* Where requests wait while something is drained (drain.c). */
typedef struct DrainWaiter DrainWaiter;
typedef struct DrainGate {
    atomic_int in_flight;
    atomic_int quiesced; /* drained sections under way */
    pthread_mutex_t lock;
    pthread_cond_t cond;
    DrainWaiter *waiters; /* lock */
} DrainGate;

struct BlockDriverState {
    /* Fixed once the node is open. */
    const BlockDriver *drv;
    void *opaque;
    char *node_name;
    Options *options; /* all that it was opened with, after inheritance */
    DetectZeroes detect_zeroes;
    bool probed; /* its format was guessed, not given */

    /* RDWR says whether it can be written. Changed by open and reopen. */
    _Atomic unsigned open_flags;

    /* Graph lock; children, primary, backing stay put while requests run. */
    int refcnt;
    bool is_open;        /* open() has succeeded: may be found by name */
    GPtrArray *children; /* BdrvChild, owned */
    GPtrArray *parents;  /* BdrvChild, not owned */
    BlockDriverState *inherits_from; /* the parent that opened it, while it
                                        is one; not owned */
    BdrvChild *primary;    /* the child with the role PRIMARY, or NULL */
    BdrvChild *backing;    /* the child with the role COW, or NULL */
    unsigned perm, shared; /* what the parents need and share */
    unsigned new_perm, new_shared; /* the same while being checked */
    bool perm_checked;             /* check_perm() wants set or abort */

    /* From open() alone: what its PRIMARY child is to be. */
    char *child_filename;
    BlockDriverState *child_node;
    bool child_opened;   /* child_node is a new node, of this parent */
    bool backing_chosen; /* open_backing() is over */

    BdrvLimits limits;      /* changed with the node drained */
    _Atomic int64_t length; /* bytes */

    /* Names that open it again (filename.c). */
    char *plain_filename; /* NULL: none says it all */
    Options *full_options;

    /* What the image records (open-backing.c). Graph lock, once it is open. */
    char *backing_file;   /* NULL: none */
    char *backing_format; /* NULL: none recorded */

    /* Flushing: nothing to do while the two are equal. */
    _Atomic uint64_t write_generation;
    pthread_mutex_t flush_lock;
    uint64_t flushed_generation; /* flush_lock */

    DrainGate gate;

    /* The handlers of the backends that were above the last edge to it, while
     * there is none: its driver's last events are theirs. Graph lock. */
    GPtrArray *last_listeners;

    /* request.c */
    pthread_mutex_t request_lock;
    pthread_cond_t request_cond;
    TrackedRequest *first_request, *last_request; /* request_lock */

    /* blocker.c */
    pthread_mutex_t blocker_lock;
    GPtrArray *blockers;   /* blocker_lock */
    unsigned last_blocker; /* blocker_lock */
};

struct BlockBackend {
    /* Requests read it behind the gate, questions under root_lock; a change of
     * the medium writes it with both. */
    BdrvChild *root;
    DrainGate gate;
    pthread_rwlock_t root_lock;
    bool allow_resize;
    atomic_int drained; /* sections begun and not ended */
    AioCount aio;       /* asynchronous requests */
    EventHandlers *handlers;

    /* What was opened, for doing it again (medium.c). */
    char *name;       /* or NULL */
    Options *options; /* or NULL */
    unsigned flags;
    bool has_own_perm; /* these are the program's, not what flags say: */
    unsigned own_perm, own_shared;
};

static inline bool node_is_read_only(const BlockDriverState *bs)
{
    return !(bs->open_flags & BDRV_O_RDWR);
}

/* Whether others say what this node's bytes are: format or filter. */
static inline bool driver_has_child(const BlockDriver *drv)
{
    return drv->is_format || drv->is_filter;
}

#endif
