/* SPDX-License-Identifier: MIT */
/*
 * Which file is ours: between creating and opening, a descriptor pins the file
 * that the name leads to. If the name leads to the same one after the opening,
 * that is the file that was opened and locked. The descriptor stays until the
 * end, so that no new file can get the same inode number.
 */
#include "tools/partial-file.h"

#include <fcntl.h>
#include <glib.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static const int caught_signals[] = { SIGINT,  SIGTERM, SIGHUP,
                                      SIGQUIT, SIGPIPE, SIGXFSZ };

static char *target_path;
static bool existed;
static int pinned_fd = -1;
static char *own_path; /* without links; valid while `owned` */
static struct stat own_stat;
static atomic_bool owned;
static atomic_int interrupted_by;
static struct sigaction old_actions[G_N_ELEMENTS(caught_signals)];

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* Uses async-signal-safe calls only. */
static void discard_file(void)
{
    struct stat now;

    if (!atomic_exchange(&owned, false) || lstat(own_path, &now) < 0 ||
        !same_file(&own_stat, &now) || !S_ISREG(now.st_mode)) {
        return;
    }
    if (!existed || truncate(own_path, 0) < 0) {
        unlink(own_path);
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

    target_path = g_strdup(path);
    existed = access(path, F_OK) == 0;
    for (size_t i = 0; i < G_N_ELEMENTS(caught_signals); i++) {
        sigaction(caught_signals[i], NULL, &old_actions[i]);
        if (old_actions[i].sa_handler != SIG_IGN) {
            sigaction(caught_signals[i], &action, NULL);
        }
    }
}

void partial_file_created(void)
{
    pinned_fd = open(target_path, O_PATH | O_CLOEXEC);
}

bool partial_file_own(void)
{
    struct stat now;

    if (pinned_fd < 0 || fstat(pinned_fd, &own_stat) < 0 ||
        stat(target_path, &now) < 0 || !same_file(&own_stat, &now)) {
        return false;
    }
    own_path = realpath(target_path, NULL);
    atomic_store(&owned, own_path != NULL);
    return true;
}

bool partial_file_interrupted(void)
{
    return atomic_load_explicit(&interrupted_by, memory_order_relaxed) != 0;
}

bool partial_file_is_lost(bool complete)
{
    return !complete || partial_file_interrupted();
}

void partial_file_settle(bool complete, bool at_rest)
{
    if (partial_file_is_lost(complete)) {
        existed = existed && at_rest;
        discard_file();
    }
    atomic_store(&owned, false);
}

void partial_file_end(void)
{
    int number = atomic_load(&interrupted_by);

    for (size_t i = 0; i < G_N_ELEMENTS(caught_signals); i++) {
        sigaction(caught_signals[i], &old_actions[i], NULL);
    }
    if (number) {
        raise(number);
    }
    if (pinned_fd >= 0) {
        close(pinned_fd);
        pinned_fd = -1;
    }
    free(own_path);
    own_path = NULL;
    g_free(target_path);
    target_path = NULL;
}
