/* SPDX-License-Identifier: MIT */
/* Threads without signals. */
#include "util/thread.h"

void thread_block_signals(sigset_t *before)
{
    sigset_t all;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, before);
}

void thread_restore_signals(const sigset_t *before)
{
    pthread_sigmask(SIG_SETMASK, before, NULL);
}

int thread_create(pthread_t *thread, void *(*run)(void *), void *opaque)
{
    sigset_t before;

    thread_block_signals(&before); /* it inherits ours */
    int err = pthread_create(thread, NULL, run, opaque);
    thread_restore_signals(&before);
    return err;
}
