/* SPDX-License-Identifier: MIT */
/*
 * A signal only counts up; the work that comes next notices and prints. No
 * output is made in a signal handler.
 */
#include "tools/progress.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include "util/size.h"

#define RENEW_INTERVAL (G_USEC_PER_SEC / 10)

static atomic_uint signals_received;

static void count_signal(int number)
{
    (void)number;
    atomic_fetch_add(&signals_received, 1);
}

void progress_catch_signals(void)
{
    struct sigaction action = { .sa_handler = count_signal,
                                .sa_flags = SA_RESTART };

    sigaction(SIGUSR1, &action, NULL);
#ifdef SIGINFO
    sigaction(SIGINFO, &action, NULL);
#endif
}

bool progress_is_live(bool wanted)
{
    return wanted && isatty(STDERR_FILENO);
}

void progress_begin(Progress *p, uint64_t total, bool wanted)
{
    *p = (Progress){
        .live = progress_is_live(wanted),
        .total = total,
        .start = g_get_monotonic_time(),
    };
    pthread_mutex_init(&p->lock, NULL);
}

/* "37.50 %  1.2 GiB/s  0:07 left"; elapsed: microseconds. */
static char *describe(uint64_t done, uint64_t total, int64_t elapsed)
{
    double seconds = (double)elapsed / G_USEC_PER_SEC;
    double rate = seconds > 0 ? (double)done / seconds : 0;
    double percent = total ? 100.0 * (double)done / (double)total : 100.0;
    g_autofree char *speed = size_format((uint64_t)rate);

    if (done >= total || rate < 1) {
        return g_strdup_printf("%6.2f %%  %s/s", percent, speed);
    }
    double left = (double)(total - done) / rate;
    if (left > 359999) {
        left = 359999;
    }
    unsigned s = (unsigned)(left + 0.5);
    if (s >= 3600) {
        return g_strdup_printf("%6.2f %%  %s/s  %u:%02u:%02u left", percent,
                               speed, s / 3600, s / 60 % 60, s % 60);
    }
    return g_strdup_printf("%6.2f %%  %s/s  %u:%02u left", percent, speed,
                           s / 60, s % 60);
}

/* Called with the lock held. */
static void print_line(Progress *p, int64_t now)
{
    g_autofree char *text = describe(p->done, p->total, now - p->start);
    if (p->live) {
        fprintf(stderr, "\r%s\033[K", text);
        fflush(stderr);
        p->shown = true;
    } else {
        fprintf(stderr, "%s\n", text);
    }
    p->printed = now;
}

/* Called with the lock held. */
static void maybe_print(Progress *p)
{
    unsigned received = atomic_load(&signals_received);

    if (received != p->seen) {
        p->seen = received;
        print_line(p, g_get_monotonic_time());
    } else if (p->live) {
        int64_t now = g_get_monotonic_time();
        if (now - p->printed >= RENEW_INTERVAL) {
            print_line(p, now);
        }
    }
}

void progress_add(Progress *p, uint64_t bytes)
{
    pthread_mutex_lock(&p->lock);
    p->done += bytes;
    maybe_print(p);
    pthread_mutex_unlock(&p->lock);
}

void progress_set(Progress *p, uint64_t done)
{
    pthread_mutex_lock(&p->lock);
    p->done = done;
    maybe_print(p);
    pthread_mutex_unlock(&p->lock);
}

void progress_break(Progress *p)
{
    pthread_mutex_lock(&p->lock);
    if (p->shown) {
        fprintf(stderr, "\n");
        p->shown = false;
    }
    pthread_mutex_unlock(&p->lock);
}

void progress_end(Progress *p, bool complete)
{
    if (p->live && complete) {
        p->done = p->total;
        print_line(p, g_get_monotonic_time());
    }
    progress_break(p);
    pthread_mutex_destroy(&p->lock);
}
