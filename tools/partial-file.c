/* SPDX-License-Identifier: MIT */
/*
 * Whether anything was written to the file yet is told by its state: a file
 * that was there before and is unchanged (same size, same modification time)
 * has not been touched, for example because another program holds its lock.
 */
#include "tools/partial-file.h"

#include <fcntl.h>
#include <glib.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const int caught_signals[] = { SIGINT, SIGTERM, SIGHUP };

static char *partial_path;
static bool existed;
static struct stat before;
static atomic_int interrupted_by;
static struct sigaction old_actions[G_N_ELEMENTS(caught_signals)];

static bool same_state(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino &&
           a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec &&
           a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

/* Uses async-signal-safe calls only. */
static void discard_file(void)
{
    struct stat now;

    if (stat(partial_path, &now) < 0 || !S_ISREG(now.st_mode)) {
        return;
    }
    if (!existed) {
        unlink(partial_path);
    } else if (!same_state(&before, &now) && truncate(partial_path, 0) < 0) {
        unlink(partial_path);
    }
}

static void interrupt(int number)
{
    int none = 0;

    if (!atomic_compare_exchange_strong(&interrupted_by, &none, number)) {
        discard_file();
        signal(number, SIG_DFL);
        raise(number);
    }
}

void partial_file_begin(const char *path)
{
    struct sigaction action = { .sa_handler = interrupt,
                                .sa_flags = SA_RESTART };

    partial_path = g_strdup(path);
    existed = stat(path, &before) == 0;
    for (size_t i = 0; i < G_N_ELEMENTS(caught_signals); i++) {
        sigaction(caught_signals[i], NULL, &old_actions[i]);
        if (old_actions[i].sa_handler != SIG_IGN) {
            sigaction(caught_signals[i], &action, NULL);
        }
    }
}

bool partial_file_interrupted(void)
{
    return atomic_load_explicit(&interrupted_by, memory_order_relaxed) != 0;
}

void partial_file_end(bool complete)
{
    int number = atomic_load(&interrupted_by);

    if (!complete || number) {
        discard_file();
    }
    for (size_t i = 0; i < G_N_ELEMENTS(caught_signals); i++) {
        sigaction(caught_signals[i], &old_actions[i], NULL);
    }
    if (number) {
        raise(number);
    }
    g_free(partial_path);
    partial_path = NULL;
}
