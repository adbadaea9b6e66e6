/* SPDX-License-Identifier: MIT */
/*
 * Draining. Each node counts its requests (in_flight) and the drained sections
 * that keep new ones out (quiesced). A request counts itself first and looks
 * at quiesced then; who drains raises quiesced first and looks at in_flight
 * then. Both are sequentially consistent, so at least one sees the other. The
 * mutex is there to sleep on and is not touched while nobody drains.
 *
 * A drained node does not keep its driver from using its children: only who
 * enters the node itself waits.
 */
#include "block/drain.h"

/* Depth of drain_exempt_begin() of this thread. */
static _Thread_local unsigned exempt;

/* What node_hand_entry() has said, until node_enter() takes it. */
static _Thread_local BlockDriverState *handed;

void node_init_drain(BlockDriverState *bs)
{
    pthread_mutex_init(&bs->drain_lock, NULL);
    pthread_cond_init(&bs->drain_cond, NULL);
}

void node_clear_drain(BlockDriverState *bs)
{
    pthread_cond_destroy(&bs->drain_cond);
    pthread_mutex_destroy(&bs->drain_lock);
}

static void wake_all(BlockDriverState *bs)
{
    pthread_mutex_lock(&bs->drain_lock);
    pthread_cond_broadcast(&bs->drain_cond);
    pthread_mutex_unlock(&bs->drain_lock);
}

void node_pin(BlockDriverState *bs)
{
    atomic_fetch_add(&bs->in_flight, 1);
}

void node_unpin(BlockDriverState *bs)
{
    /* Under the lock: who waits for the count may free the node next. */
    pthread_mutex_lock(&bs->drain_lock);
    atomic_fetch_sub(&bs->in_flight, 1);
    pthread_cond_broadcast(&bs->drain_cond);
    pthread_mutex_unlock(&bs->drain_lock);
}

void node_leave(BlockDriverState *bs)
{
    /* The edge that the request came over keeps the node in memory. */
    atomic_fetch_sub(&bs->in_flight, 1);
    if (atomic_load(&bs->quiesced) > 0) {
        wake_all(bs);
    }
}

bool node_try_enter(BlockDriverState *bs)
{
    atomic_fetch_add(&bs->in_flight, 1);
    if (atomic_load(&bs->quiesced) == 0 || exempt > 0) {
        return true;
    }
    node_leave(bs);
    return false;
}

void node_wait_entry(BlockDriverState *bs)
{
    pthread_mutex_lock(&bs->drain_lock);
    while (atomic_load(&bs->quiesced) > 0) {
        pthread_cond_wait(&bs->drain_cond, &bs->drain_lock);
    }
    pthread_mutex_unlock(&bs->drain_lock);
}

void node_enter(BlockDriverState *bs)
{
    if (handed == bs) {
        handed = NULL;
        return;
    }
    while (!node_try_enter(bs)) {
        node_wait_entry(bs);
    }
}

void node_drain_begin(BlockDriverState *bs)
{
    atomic_fetch_add(&bs->quiesced, 1);
    pthread_mutex_lock(&bs->drain_lock);
    while (atomic_load(&bs->in_flight) > 0) {
        pthread_cond_wait(&bs->drain_cond, &bs->drain_lock);
    }
    pthread_mutex_unlock(&bs->drain_lock);
}

void node_drain_end(BlockDriverState *bs)
{
    if (atomic_fetch_sub(&bs->quiesced, 1) != 1) {
        return;
    }
    pthread_mutex_lock(&bs->drain_lock);
    DrainWaiter *waiter = bs->drain_waiters;
    bs->drain_waiters = NULL;
    pthread_cond_broadcast(&bs->drain_cond);
    pthread_mutex_unlock(&bs->drain_lock);
    while (waiter) {
        DrainWaiter *next = waiter->next;

        waiter->resume(waiter);
        waiter = next;
    }
}

bool node_wait_later(BlockDriverState *bs, DrainWaiter *waiter)
{
    pthread_mutex_lock(&bs->drain_lock);
    bool drained = atomic_load(&bs->quiesced) > 0;
    if (drained) {
        waiter->next = bs->drain_waiters;
        bs->drain_waiters = waiter;
    }
    pthread_mutex_unlock(&bs->drain_lock);
    return drained;
}

/* ---- Entering ahead ---- */

void node_hand_entry(BlockDriverState *bs)
{
    handed = bs;
}

void node_take_entry_back(void)
{
    if (handed) {
        node_leave(handed);
        handed = NULL;
    }
}

BlockDriverState *node_find_drained(const BlockDriverState *bs)
{
    BlockDriverState *drained = NULL;

    for (guint i = 0; i < bs->children->len && drained == NULL; i++) {
        const BdrvChild *child = g_ptr_array_index(bs->children, i);

        drained = atomic_load(&child->bs->quiesced) > 0
                      ? child->bs
                      : node_find_drained(child->bs);
    }
    return drained;
}

/* ---- Exempt threads ---- */

void drain_exempt_begin(void)
{
    exempt++;
}

void drain_exempt_end(void)
{
    exempt--;
}
