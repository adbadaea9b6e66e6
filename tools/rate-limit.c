/* SPDX-License-Identifier: MIT */
/*
 * Each caller takes the time that its bytes need from the end of a common
 * queue, and waits for the beginning of it.
 */
#include "tools/rate-limit.h"

#include <glib.h>

#define LONGEST_SLEEP_US 50000 /* until the next look whether to stop */

void rate_limit_init(RateLimit *limit, int64_t bytes_per_second)
{
    pthread_mutex_init(&limit->lock, NULL);
    limit->bytes_per_second = bytes_per_second;
    limit->next = 0;
}

void rate_limit_destroy(RateLimit *limit)
{
    pthread_mutex_destroy(&limit->lock);
}

void rate_limit_wait(RateLimit *limit, int64_t bytes,
                     bool (*stopped)(void *opaque), void *opaque)
{
    if (limit->bytes_per_second == 0) {
        return;
    }
    double needed = (double)bytes * G_USEC_PER_SEC /
                    (double)limit->bytes_per_second;

    pthread_mutex_lock(&limit->lock);
    int64_t start = MAX(limit->next, g_get_monotonic_time());
    limit->next = start + (int64_t)MIN(needed, (double)G_TIME_SPAN_DAY);
    pthread_mutex_unlock(&limit->lock);
    while (!stopped(opaque)) {
        int64_t left = start - g_get_monotonic_time();
        if (left <= 0) {
            break;
        }
        g_usleep((gulong)MIN(left, LONGEST_SLEEP_US));
    }
}
