/* SPDX-License-Identifier: MIT */
/*
 * Progress of a long command, on standard error: a line that is renewed when
 * it is asked for and that is a terminal, and one line for every SIGUSR1
 * (SIGINFO, where there is one) in any case.
 *
 * Any thread may add; printing is done by whichever comes first.
 */
#ifndef TOOLS_PROGRESS_H
#define TOOLS_PROGRESS_H

#include <glib.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct Progress {
    pthread_mutex_t lock;
    bool live;       /* renew a line on the terminal */
    bool shown;      /* there is such a line now */
    uint64_t total;  /* units of work: bytes */
    uint64_t done;   /* lock */
    uint64_t seen;   /* signals answered; lock */
    int64_t start;   /* g_get_monotonic_time() */
    int64_t printed; /* when the line was last renewed; lock */
} Progress;

/* Let SIGUSR1 ask for progress from here on; before any thread starts. */
void progress_catch_signals(void);

/* Whether `wanted` progress can be shown: standard error is a terminal. */
bool progress_is_live(bool wanted);

void progress_begin(Progress *p, uint64_t total, bool wanted);
void progress_add(Progress *p, uint64_t bytes);

/* Set how much is done, for work that counts by itself. */
void progress_set(Progress *p, uint64_t done);

/* End the line that is there, so that a message can follow. */
void progress_break(Progress *p);

/* No more of it. complete: show that all is done. */
void progress_end(Progress *p, bool complete);

#endif
