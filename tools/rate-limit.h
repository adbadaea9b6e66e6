/* SPDX-License-Identifier: MIT */
/*
 * A limit for the bytes that a command moves in a second. Any thread may wait.
 */
#ifndef TOOLS_RATE_LIMIT_H
#define TOOLS_RATE_LIMIT_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct RateLimit {
    pthread_mutex_t lock;
    int64_t bytes_per_second; /* 0: no limit */
    int64_t next;             /* when bytes may move again; lock */
} RateLimit;

void rate_limit_init(RateLimit *limit, int64_t bytes_per_second);
void rate_limit_destroy(RateLimit *limit);

/* Wait until `bytes` may move; returns early once `stopped` says true. */
void rate_limit_wait(RateLimit *limit, int64_t bytes,
                     bool (*stopped)(void *opaque), void *opaque);

#endif
