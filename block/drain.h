/* SPDX-License-Identifier: MIT */
/* Counting the requests of a node, and waiting until there are none. */
#ifndef BLOCK_DRAIN_H
#define BLOCK_DRAIN_H

#include "block/block-int.h"

void node_init_drain(BlockDriverState *bs);
void node_clear_drain(BlockDriverState *bs);

/* A request begins. Waits while the node is drained. */
void node_enter(BlockDriverState *bs);

/* The same without waiting: false if the node is drained. */
bool node_try_enter(BlockDriverState *bs);

/* Wait until the node is no longer drained, without entering it. */
void node_wait_entry(BlockDriverState *bs);

/* The request ends. */
void node_leave(BlockDriverState *bs);

/* The next node_enter(bs) of this thread has happened already; if it does not
 * come, the entry is taken back, and the node left. */
void node_hand_entry(BlockDriverState *bs);
void node_take_entry_back(void);

/* Of the nodes that bs, which was entered, stands on, one that is drained, or
 * NULL. */
BlockDriverState *node_find_drained(const BlockDriverState *bs);

/* Who waits without keeping a thread. */
typedef struct DrainWaiter DrainWaiter;
struct DrainWaiter {
    DrainWaiter *next;
    void (*resume)(DrainWaiter *waiter);
};

/*
 * Have waiter->resume() called once, on some thread, when bs is no longer
 * drained (by then it may be again). False when it is not drained: nothing is
 * called.
 */
bool node_wait_later(BlockDriverState *bs, DrainWaiter *waiter);

/* Keep a node open without an edge to it. Under the graph lock, while the
 * node has references; the end needs no lock. */
void node_pin(BlockDriverState *bs);
void node_unpin(BlockDriverState *bs);

/*
 * Keep new requests waiting and wait until those under way have ended. Nests.
 * Of several nodes drain the upper ones first: a request of a parent that
 * waits at a drained child does not end.
 */
void node_drain_begin(BlockDriverState *bs);
void node_drain_end(BlockDriverState *bs);

/* Between these, requests of the calling thread enter drained nodes: for
 * reopening and closing, which do I/O while everybody else waits. Nests. */
void drain_exempt_begin(void);
void drain_exempt_end(void);

#endif
