/* SPDX-License-Identifier: MIT */
/*
 * A job is a number of calls to be made. Jobs with calls that nobody has
 * taken are on a list; a thread takes one call after the other from the first
 * of them. The caller works itself, on its own job; then it waits for calls
 * that are under way, not for threads that have not begun.
 *
 * GLib's pool lends the threads: what is pushed there says no more than that
 * there is something on the list, and may turn out late. The list has a lock
 * of its own, for the thread sanitizer does not see GLib's.
 */
#include "util/parallel.h"

#include <glib.h>
#include <pthread.h>
#include <stdbool.h>

#include "util/thread.h"

typedef struct Job {
    struct Job *next_job;
    ParallelWork *work;
    void *opaque;
    unsigned n;
    unsigned next; /* the first call nobody has taken */
    unsigned done; /* calls that have returned */
    pthread_cond_t finished;
} Job;

static pthread_once_t pool_once = PTHREAD_ONCE_INIT;
static GThreadPool *pool;
static unsigned width;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static Job *jobs; /* lock; so is what is in them */

static void remove_job(Job *job)
{
    Job **link = &jobs;

    while (*link != job) {
        link = &(*link)->next_job;
    }
    *link = job->next_job;
}

/* Take and make one call. The lock is held. */
static void run_call(Job *job)
{
    unsigned i = job->next++;

    if (job->next == job->n) {
        remove_job(job);
    }
    pthread_mutex_unlock(&lock);
    job->work(job->opaque, i);
    pthread_mutex_lock(&lock);
    if (++job->done == job->n) {
        pthread_cond_signal(&job->finished);
    }
}

static void help(gpointer data, gpointer opaque)
{
    sigset_t before;

    (void)data;
    (void)opaque;
    thread_block_signals(&before);
    pthread_mutex_lock(&lock);
    while (jobs) {
        run_call(jobs);
    }
    pthread_mutex_unlock(&lock);
    thread_restore_signals(&before);
}

static void make_pool(void)
{
    width = MAX(g_get_num_processors(), 1);
    pool = g_thread_pool_new(help, NULL, (gint)width, FALSE, NULL);
}

unsigned parallel_width(void)
{
    pthread_once(&pool_once, make_pool);
    return width;
}

void parallel_for(unsigned n, ParallelWork *work, void *opaque)
{
    Job job = { .work = work, .opaque = opaque, .n = n };
    unsigned helpers = MIN(n, parallel_width());

    if (helpers <= 1) {
        for (unsigned i = 0; i < n; i++) {
            work(opaque, i);
        }
        return;
    }
    pthread_cond_init(&job.finished, NULL);
    pthread_mutex_lock(&lock);
    job.next_job = jobs;
    jobs = &job;
    pthread_mutex_unlock(&lock);
    /* This thread is one of them. Where there is no new thread to be had, one
     * that is there comes later, or none. */
    for (unsigned i = 1; i < helpers; i++) {
        g_thread_pool_push(pool, &jobs, NULL);
    }
    pthread_mutex_lock(&lock);
    while (job.next < n) {
        run_call(&job);
    }
    while (job.done < n) {
        pthread_cond_wait(&job.finished, &lock);
    }
    pthread_mutex_unlock(&lock);
    pthread_cond_destroy(&job.finished);
}
