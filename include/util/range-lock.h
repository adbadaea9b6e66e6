/* SPDX-License-Identifier: MIT */
/*
 * Exclusive ranges of numbers: who wants one waits until nobody holds one
 * that overlaps it, and nobody who came earlier wants one. A thread holds one
 * range of a RangeLock at a time.
 */
#ifndef UTIL_RANGE_LOCK_H
#define UTIL_RANGE_LOCK_H

#include <pthread.h>
#include <stdint.h>

typedef struct LockedRange {
    struct LockedRange *next, *prev;
    int64_t start, end;
} LockedRange;

typedef struct RangeLock {
    LockedRange *held;
    pthread_cond_t released;
} RangeLock;

void range_lock_init(RangeLock *ranges);
void range_lock_clear(RangeLock *ranges);

/*
 * All calls are made with the mutex of the owner held; waiting releases it
 * meanwhile. The range is start..end-1. `range` is the caller's memory, to be
 * left alone until it is released.
 */
void range_lock_take(RangeLock *ranges, LockedRange *range, int64_t start,
                     int64_t end, pthread_mutex_t *mutex);
void range_lock_release(RangeLock *ranges, LockedRange *range);

#endif
