/* SPDX-License-Identifier: MIT */
/*
 * The list holds those who have their range and those who wait for theirs,
 * the newest first. Everybody waits for older ones alone, so no two wait for
 * each other, and a large range is not starved by small ones.
 */
#include "util/range-lock.h"

#include <stdbool.h>
#include <stddef.h>

void range_lock_init(RangeLock *ranges)
{
    ranges->held = NULL;
    pthread_cond_init(&ranges->released, NULL);
}

void range_lock_clear(RangeLock *ranges)
{
    pthread_cond_destroy(&ranges->released);
}

static bool must_wait(const LockedRange *range)
{
    const LockedRange *older = range->next;

    while (older &&
           (older->end <= range->start || range->end <= older->start)) {
        older = older->next;
    }
    return older != NULL;
}

void range_lock_take(RangeLock *ranges, LockedRange *range, int64_t start,
                     int64_t end, pthread_mutex_t *mutex)
{
    range->start = start;
    range->end = end;
    range->prev = NULL;
    range->next = ranges->held;
    if (range->next) {
        range->next->prev = range;
    }
    ranges->held = range;
    while (must_wait(range)) {
        pthread_cond_wait(&ranges->released, mutex);
    }
}

void range_lock_release(RangeLock *ranges, LockedRange *range)
{
    if (range->next) {
        range->next->prev = range->prev;
    }
    if (range->prev) {
        range->prev->next = range->next;
        /* Only newer ones can be waiting for this one. */
        pthread_cond_broadcast(&ranges->released);
    } else {
        ranges->held = range->next;
    }
}
