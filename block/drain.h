/* SPDX-License-Identifier: MIT */
/* Counting requests, and waiting until there are none. */
#ifndef BLOCK_DRAIN_H
#define BLOCK_DRAIN_H

#include "block/block-int.h"

/* ---- Gates: what a node and a backend have ---- */

void gate_init(DrainGate *gate);
void gate_clear(DrainGate *gate);

/* A request begins. Waits while there is a drained section. */
void gate_enter(DrainGate *gate);

/* The same without waiting: false if there is one. */
bool gate_try_enter(DrainGate *gate);

/* Wait until there is none, without entering. */
void gate_wait_entry(DrainGate *gate);

/* The request ends; unpin: of one that does not keep the gate in memory. */
void gate_leave(DrainGate *gate);
void gate_unpin(DrainGate *gate);

/* The next gate_enter() of this thread for this gate (node_enter(), of a
 * node's) has happened already: a backend's, then its node's. What is not
 * asked for is taken back, and left. */
void gate_hand_entry(DrainGate *gate);
void gate_take_entries_back(void);

/* Keep new requests waiting and wait until those under way have ended. */
void gate_drain_begin(DrainGate *gate);
void gate_drain_end(DrainGate *gate);

/* Who waits without keeping a thread. */
struct DrainWaiter {
    DrainWaiter *next;
    void (*resume)(DrainWaiter *waiter);
};

/*
 * Have waiter->resume() called once, on some thread, when no drained section
 * is left (by then there may be one again). False when there is none now:
 * nothing is called.
 */
bool gate_wait_later(DrainGate *gate, DrainWaiter *waiter);

/* ---- Nodes ---- */

/* A request begins. Waits while the node is drained. */
void node_enter(BlockDriverState *bs);

/* The same without waiting: false if the node is drained. */
bool node_try_enter(BlockDriverState *bs);

/* Wait until the node is no longer drained, without entering it. */
void node_wait_entry(BlockDriverState *bs);

/* The request ends. */
void node_leave(BlockDriverState *bs);

/* Of the nodes that bs, which was entered, stands on, one that is drained: its
 * gate, or NULL. */
DrainGate *node_find_drained(const BlockDriverState *bs);

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
