/* SPDX-License-Identifier: MIT */
/*
 * Eight threads take ranges of 32 counters and change them without any other
 * lock: the thread sanitizer must see no race, and nothing may be lost.
 */
#include <glib.h>
#include <stdio.h>

#include "util/range-lock.h"

#define THREADS 8
#define ROUNDS 4000
#define COUNTERS 32

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static RangeLock ranges;
static unsigned counters[COUNTERS];

/* Gives how many counters it has raised. */
static gpointer raise_counters(gpointer seed)
{
    GRand *rand = g_rand_new_with_seed(GPOINTER_TO_UINT(seed));
    guint raised = 0;

    for (int i = 0; i < ROUNDS; i++) {
        int start = g_rand_int_range(rand, 0, COUNTERS);
        int end = g_rand_int_range(rand, start, COUNTERS) + 1;
        LockedRange range;

        pthread_mutex_lock(&mutex);
        range_lock_take(&ranges, &range, start, end, &mutex);
        pthread_mutex_unlock(&mutex);
        for (int n = start; n < end; n++) {
            counters[n]++;
            raised++;
        }
        pthread_mutex_lock(&mutex);
        range_lock_release(&ranges, &range);
        pthread_mutex_unlock(&mutex);
    }
    g_rand_free(rand);
    return GUINT_TO_POINTER(raised);
}

int main(void)
{
    GThread *threads[THREADS];
    guint raised = 0;
    guint sum = 0;

    range_lock_init(&ranges);
    for (guint i = 0; i < THREADS; i++) {
        threads[i] = g_thread_new("raise", raise_counters,
                                  GUINT_TO_POINTER(i + 1));
    }
    for (guint i = 0; i < THREADS; i++) {
        raised += GPOINTER_TO_UINT(g_thread_join(threads[i]));
    }
    for (int n = 0; n < COUNTERS; n++) {
        sum += counters[n];
    }
    range_lock_clear(&ranges);
    if (sum != raised) {
        fprintf(stderr, "%u of %u changes were lost\n", raised - sum, raised);
        return 1;
    }
    return 0;
}
