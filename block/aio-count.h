/* SPDX-License-Identifier: MIT */
/*
 * The asynchronous requests of a backend that were made and not carried out
 * yet: counting them, and waiting for them. Nothing here keeps a request from
 * being made.
 */
#ifndef BLOCK_AIO_COUNT_H
#define BLOCK_AIO_COUNT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

typedef struct AioCount {
    atomic_uint phase; /* 0 or 1: where new requests are counted */
    atomic_uint pending[2];
    pthread_mutex_t lock;
    pthread_cond_t changed;
    unsigned parked; /* lock; kept waiting by a drained node */
    bool turning;    /* lock; somebody changes the phase */
} AioCount;

void aio_count_init(AioCount *count);
void aio_count_clear(AioCount *count);

/* A request is made. Gives its phase, which the others want. */
unsigned aio_count_begin(AioCount *count);

/* It was carried out, or given up. The count may be gone after this. */
void aio_count_end(AioCount *count, unsigned phase);

/* It waits until a drained section ends; it goes on, or is given up there. */
void aio_count_park(AioCount *count, unsigned phase);
unsigned aio_count_unpark(AioCount *count);

/* Wait for the requests made so far, but not for those that are parked. */
void aio_count_wait_earlier(AioCount *count);

/* Wait for all, while nobody makes new ones. */
void aio_count_wait_all(AioCount *count);

#endif
