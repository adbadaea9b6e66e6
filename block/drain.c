/* SPDX-License-Identifier: MIT */
/*
 * Draining. A gate counts the requests behind it (in_flight) and the drained
 * sections that keep new ones out (quiesced). A request counts itself first
 * and looks at quiesced then; who drains raises quiesced first and looks at
 * in_flight then. Both are sequentially consistent, so at least one sees the
 * other. The mutex is there to sleep on and is not touched while nobody
 * drains.
 *
 * Each node has a gate, and so has each backend, in front of its root: what
 * waits there has not looked yet which node that is.
 *
 * A drained node does not keep its driver from using its children: only who
 * enters the node itself waits.
 */
#include "block/drain.h"

/* ---- Gates ---- */

/* What gate_hand_entry() has said, until gate_enter() takes it. */
#define MAX_HANDED 2 /* a backend's, and that of its node */
static _Thread_local DrainGate *handed[MAX_HANDED];

void gate_init(DrainGate *gate)
{
    pthread_mutex_init(&gate->lock, NULL);
    pthread_cond_init(&gate->cond, NULL);
}

void gate_clear(DrainGate *gate)
{
    pthread_cond_destroy(&gate->cond);
    pthread_mutex_destroy(&gate->lock);
}

static void wake_all(DrainGate *gate)
{
    pthread_mutex_lock(&gate->lock);
    pthread_cond_broadcast(&gate->cond);
    pthread_mutex_unlock(&gate->lock);
}

void gate_leave(DrainGate *gate)
{
    /* The edge that the request came over keeps a node in memory. */
    atomic_fetch_sub(&gate->in_flight, 1);
    if (atomic_load(&gate->quiesced) > 0) {
        wake_all(gate);
    }
}

static bool try_enter(DrainGate *gate, bool is_exempt)
{
    atomic_fetch_add(&gate->in_flight, 1);
    if (atomic_load(&gate->quiesced) == 0 || is_exempt) {
        return true;
    }
    gate_leave(gate);
    return false;
}

bool gate_try_enter(DrainGate *gate)
{
    return try_enter(gate, false);
}

void gate_wait_entry(DrainGate *gate)
{
    pthread_mutex_lock(&gate->lock);
    while (atomic_load(&gate->quiesced) > 0) {
        pthread_cond_wait(&gate->cond, &gate->lock);
    }
    pthread_mutex_unlock(&gate->lock);
}

static bool take_handed(const DrainGate *gate)
{
    for (int i = 0; i < MAX_HANDED; i++) {
        if (handed[i] == gate) {
            handed[i] = NULL;
            return true;
        }
    }
    return false;
}

static void enter(DrainGate *gate, bool is_exempt)
{
    if (take_handed(gate)) {
        return;
    }
    while (!try_enter(gate, is_exempt)) {
        gate_wait_entry(gate);
    }
}

void gate_enter(DrainGate *gate)
{
    enter(gate, false);
}

void gate_unpin(DrainGate *gate)
{
    /* Under the lock: who waits for the count may free the gate next. */
    pthread_mutex_lock(&gate->lock);
    atomic_fetch_sub(&gate->in_flight, 1);
    pthread_cond_broadcast(&gate->cond);
    pthread_mutex_unlock(&gate->lock);
}

void gate_drain_begin(DrainGate *gate)
{
    atomic_fetch_add(&gate->quiesced, 1);
    pthread_mutex_lock(&gate->lock);
    while (atomic_load(&gate->in_flight) > 0) {
        pthread_cond_wait(&gate->cond, &gate->lock);
    }
    pthread_mutex_unlock(&gate->lock);
}

void gate_drain_end(DrainGate *gate)
{
    if (atomic_fetch_sub(&gate->quiesced, 1) != 1) {
        return;
    }
    pthread_mutex_lock(&gate->lock);
    DrainWaiter *waiter = gate->waiters;
    gate->waiters = NULL;
    pthread_cond_broadcast(&gate->cond);
    pthread_mutex_unlock(&gate->lock);
    while (waiter) {
        DrainWaiter *next = waiter->next;

        waiter->resume(waiter);
        waiter = next;
    }
}

bool gate_wait_later(DrainGate *gate, DrainWaiter *waiter)
{
    pthread_mutex_lock(&gate->lock);
    bool drained = atomic_load(&gate->quiesced) > 0;
    if (drained) {
        waiter->next = gate->waiters;
        gate->waiters = waiter;
    }
    pthread_mutex_unlock(&gate->lock);
    return drained;
}

void gate_hand_entry(DrainGate *gate)
{
    int i = 0;

    while (handed[i]) {
        i++;
    }
    handed[i] = gate;
}

void gate_take_entries_back(void)
{
    for (int i = 0; i < MAX_HANDED; i++) {
        if (handed[i]) {
            /* A node's: the backend may have been left already. */
            gate_unpin(handed[i]);
            handed[i] = NULL;
        }
    }
}

/* ---- Nodes ---- */

/* Depth of drain_exempt_begin() of this thread. */
static _Thread_local unsigned exempt;

void node_pin(BlockDriverState *bs)
{
    atomic_fetch_add(&bs->gate.in_flight, 1);
}

void node_unpin(BlockDriverState *bs)
{
    gate_unpin(&bs->gate);
}

bool node_try_enter(BlockDriverState *bs)
{
    return try_enter(&bs->gate, exempt > 0);
}

void node_enter(BlockDriverState *bs)
{
    enter(&bs->gate, exempt > 0);
}

void node_leave(BlockDriverState *bs)
{
    gate_leave(&bs->gate);
}

void node_wait_entry(BlockDriverState *bs)
{
    gate_wait_entry(&bs->gate);
}

void node_drain_begin(BlockDriverState *bs)
{
    gate_drain_begin(&bs->gate);
}

void node_drain_end(BlockDriverState *bs)
{
    gate_drain_end(&bs->gate);
}

DrainGate *node_find_drained(const BlockDriverState *bs)
{
    DrainGate *drained = NULL;

    for (guint i = 0; i < bs->children->len && drained == NULL; i++) {
        const BdrvChild *child = g_ptr_array_index(bs->children, i);

        drained = atomic_load(&child->bs->gate.quiesced) > 0
                      ? &child->bs->gate
                      : node_find_drained(child->bs);
    }
    return drained;
}

void drain_exempt_begin(void)
{
    exempt++;
}

void drain_exempt_end(void)
{
    exempt--;
}
