/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <glib.h>
#include <stdbool.h>

#include "util/range-lock.h"

typedef struct Shared {
    pthread_mutex_t mutex;
    RangeLock ranges;
    GString *order; /* names of those who got their range, in order */
} Shared;

typedef struct Taker {
    Shared *shared;
    char name;
    int64_t start, end;
    bool waits; /* set under the mutex just before it takes its range */
} Taker;

static void shared_init(Shared *shared)
{
    pthread_mutex_init(&shared->mutex, NULL);
    range_lock_init(&shared->ranges);
    shared->order = g_string_new(NULL);
}

static void shared_clear(Shared *shared)
{
    cr_assert_null(shared->ranges.held);
    range_lock_clear(&shared->ranges);
    pthread_mutex_destroy(&shared->mutex);
    g_string_free(shared->order, TRUE);
}

static gpointer take_and_release(gpointer opaque)
{
    Taker *taker = opaque;
    Shared *shared = taker->shared;
    LockedRange range;

    pthread_mutex_lock(&shared->mutex);
    taker->waits = true;
    range_lock_take(&shared->ranges, &range, taker->start, taker->end,
                    &shared->mutex);
    g_string_append_c(shared->order, taker->name);
    range_lock_release(&shared->ranges, &range);
    pthread_mutex_unlock(&shared->mutex);
    return NULL;
}

/* Returns when the thread has asked for its range. */
static GThread *start_taker(Taker *taker)
{
    GThread *thread = g_thread_new("taker", take_and_release, taker);
    bool waits = false;

    while (!waits) {
        pthread_mutex_lock(&taker->shared->mutex);
        waits = taker->waits;
        pthread_mutex_unlock(&taker->shared->mutex);
        g_usleep(200);
    }
    return thread;
}

Test(range_lock, ranges_that_touch_do_not_overlap)
{
    Shared shared;
    LockedRange a, b, c, empty;

    shared_init(&shared);
    pthread_mutex_lock(&shared.mutex);
    /* This would hang if one waited for another. */
    range_lock_take(&shared.ranges, &a, 10, 20, &shared.mutex);
    range_lock_take(&shared.ranges, &b, 20, 30, &shared.mutex);
    range_lock_take(&shared.ranges, &c, 0, 10, &shared.mutex);
    range_lock_take(&shared.ranges, &empty, 20, 20, &shared.mutex);
    range_lock_release(&shared.ranges, &b);
    range_lock_take(&shared.ranges, &b, 25, 26, &shared.mutex);
    range_lock_release(&shared.ranges, &a);
    range_lock_release(&shared.ranges, &empty);
    range_lock_release(&shared.ranges, &c);
    range_lock_release(&shared.ranges, &b);
    pthread_mutex_unlock(&shared.mutex);
    shared_clear(&shared);
}

Test(range_lock, who_came_first_goes_first)
{
    Shared shared;
    LockedRange held;
    /* b waits for us; c overlaps b alone, and waits for it nevertheless; d
     * overlaps nobody. */
    Taker b = { .shared = &shared, .name = 'b', .start = 15, .end = 40 };
    Taker c = { .shared = &shared, .name = 'c', .start = 30, .end = 50 };
    Taker d = { .shared = &shared, .name = 'd', .start = 50, .end = 60 };
    GThread *threads[3];

    shared_init(&shared);
    pthread_mutex_lock(&shared.mutex);
    range_lock_take(&shared.ranges, &held, 10, 20, &shared.mutex);
    pthread_mutex_unlock(&shared.mutex);

    threads[0] = start_taker(&b);
    threads[1] = start_taker(&c);
    threads[2] = start_taker(&d);
    g_thread_join(threads[2]);
    pthread_mutex_lock(&shared.mutex);
    cr_assert_str_eq(shared.order->str, "d");
    range_lock_release(&shared.ranges, &held);
    pthread_mutex_unlock(&shared.mutex);
    g_thread_join(threads[0]);
    g_thread_join(threads[1]);
    cr_assert_str_eq(shared.order->str, "dbc");
    shared_clear(&shared);
}
