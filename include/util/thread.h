/* SPDX-License-Identifier: MIT */
/*
 * Threads of the library in a program that has signal handlers. They are the
 * program's affair, and so run on its own threads: an emulator's timer must
 * not interrupt a commit, nor find itself on a thread that it does not know.
 */
#ifndef UTIL_THREAD_H
#define UTIL_THREAD_H

#include <pthread.h>
#include <signal.h>

/* As pthread_create(), with all signals blocked in the new thread. 0, or a
 * positive errno. */
int thread_create(pthread_t *thread, void *(*run)(void *), void *opaque)
    __attribute__((warn_unused_result));

/* On a thread that is lent: no signals from now on; what it had is in *before,
 * for thread_restore_signals(). */
void thread_block_signals(sigset_t *before);
void thread_restore_signals(const sigset_t *before);

#endif
