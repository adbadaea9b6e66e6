/* SPDX-License-Identifier: MIT */
/*
 * Two counters, so that one can wait for the requests there are while others
 * go on making new ones: those are counted in the other one, of the new phase.
 * Who has read the phase just before it changed may still count up the old
 * counter; so a wait begins with waiting for what is left there.
 *
 * Counting down to zero happens under the lock, and waiting for it, too: who
 * has seen the zero may free the count, since nobody touches it any more.
 */
#include "block/aio-count.h"

void aio_count_init(AioCount *count)
{
    pthread_mutex_init(&count->lock, NULL);
    pthread_cond_init(&count->changed, NULL);
}

void aio_count_clear(AioCount *count)
{
    pthread_cond_destroy(&count->changed);
    pthread_mutex_destroy(&count->lock);
}

unsigned aio_count_begin(AioCount *count)
{
    unsigned phase = atomic_load(&count->phase);

    atomic_fetch_add(&count->pending[phase], 1);
    return phase;
}

void aio_count_end(AioCount *count, unsigned phase)
{
    atomic_uint *pending = &count->pending[phase];
    unsigned n = atomic_load(pending);

    while (n > 1) {
        if (atomic_compare_exchange_weak(pending, &n, n - 1)) {
            return;
        }
    }
    pthread_mutex_lock(&count->lock);
    if (atomic_fetch_sub(pending, 1) == 1) {
        pthread_cond_broadcast(&count->changed);
    }
    pthread_mutex_unlock(&count->lock);
}

void aio_count_park(AioCount *count, unsigned phase)
{
    pthread_mutex_lock(&count->lock);
    count->parked++;
    if (atomic_fetch_sub(&count->pending[phase], 1) == 1) {
        pthread_cond_broadcast(&count->changed);
    }
    pthread_mutex_unlock(&count->lock);
}

unsigned aio_count_unpark(AioCount *count)
{
    pthread_mutex_lock(&count->lock);
    unsigned phase = aio_count_begin(count);
    count->parked--;
    pthread_mutex_unlock(&count->lock);
    return phase;
}

/* Under the lock. */
static void wait_zero(AioCount *count, const atomic_uint *pending)
{
    while (atomic_load(pending) > 0) {
        pthread_cond_wait(&count->changed, &count->lock);
    }
}

void aio_count_wait_earlier(AioCount *count)
{
    pthread_mutex_lock(&count->lock);
    while (count->turning) {
        pthread_cond_wait(&count->changed, &count->lock);
    }
    count->turning = true;
    unsigned phase = atomic_load(&count->phase);
    wait_zero(count, &count->pending[!phase]);
    atomic_store(&count->phase, !phase);
    wait_zero(count, &count->pending[phase]);
    count->turning = false;
    pthread_cond_broadcast(&count->changed);
    pthread_mutex_unlock(&count->lock);
}

void aio_count_wait_all(AioCount *count)
{
    pthread_mutex_lock(&count->lock);
    while (atomic_load(&count->pending[0]) > 0 ||
           atomic_load(&count->pending[1]) > 0 || count->parked > 0) {
        pthread_cond_wait(&count->changed, &count->lock);
    }
    pthread_mutex_unlock(&count->lock);
}
