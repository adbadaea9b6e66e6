/* SPDX-License-Identifier: MIT */
/*
 * A job is a number of calls to be made; each thread that works on it takes
 * the next one until there are none. Threads of the pool are asked to help by
 * a reference to the job in the pool's queue. The caller does not wait for
 * helpers that have not begun: it works itself, and waits only for calls that
 * are under way. A helper that comes late finds nothing to do; the last one to
 * let go of the job frees it.
 *
 * The pool's queue is GLib's, which the thread sanitizer does not see; what
 * threads see of each other goes through the job's mutex.
 */
#include "util/parallel.h"

#include <glib.h>
#include <pthread.h>
#include <stdbool.h>

typedef struct Job {
    ParallelWork *work;
    void *opaque;
    unsigned n;
    pthread_mutex_t lock;
    pthread_cond_t finished;
    unsigned next; /* the first call nobody has taken */
    unsigned done; /* calls that have returned */
    unsigned refs;
} Job;

static pthread_once_t pool_once = PTHREAD_ONCE_INIT;
static GThreadPool *pool;
static unsigned width;

static void job_unref(Job *job)
{
    pthread_mutex_lock(&job->lock);
    bool last = --job->refs == 0;
    pthread_mutex_unlock(&job->lock);
    if (last) {
        pthread_cond_destroy(&job->finished);
        pthread_mutex_destroy(&job->lock);
        g_free(job);
    }
}

static void job_run(Job *job)
{
    pthread_mutex_lock(&job->lock);
    while (job->next < job->n) {
        unsigned i = job->next++;

        pthread_mutex_unlock(&job->lock);
        job->work(job->opaque, i);
        pthread_mutex_lock(&job->lock);
        if (++job->done == job->n) {
            pthread_cond_signal(&job->finished);
        }
    }
    pthread_mutex_unlock(&job->lock);
}

static void help(gpointer data, gpointer opaque)
{
    Job *job = data;

    (void)opaque;
    job_run(job);
    job_unref(job);
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
    unsigned helpers = MIN(n, parallel_width());

    if (helpers <= 1) {
        for (unsigned i = 0; i < n; i++) {
            work(opaque, i);
        }
        return;
    }
    helpers--; /* this thread is one */
    Job *job = g_new0(Job, 1);
    *job = (Job){
        .work = work,
        .opaque = opaque,
        .n = n,
        .refs = helpers + 1,
    };
    pthread_mutex_init(&job->lock, NULL);
    pthread_cond_init(&job->finished, NULL);
    for (unsigned i = 0; i < helpers; i++) {
        /* Without a new thread the job waits for one that is there. */
        g_thread_pool_push(pool, job, NULL);
    }
    job_run(job);
    pthread_mutex_lock(&job->lock);
    while (job->done < job->n) {
        pthread_cond_wait(&job->finished, &job->lock);
    }
    pthread_mutex_unlock(&job->lock);
    job_unref(job);
}
