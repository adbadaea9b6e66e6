/* SPDX-License-Identifier: MIT */
/*
 * Requests are numbered. A worker takes the next number that is not taken
 * (`taken`) and with it the position that goes with it; the request is
 * blocking, so as many are under way as there are workers. With a flush
 * interval, the queue of workers is as deep as qemu-img's: a flush is due
 * whenever the number of requests that are left is a multiple of the interval.
 * Whoever takes a request that a flush stands before waits until all earlier
 * ones are done (unless no_drain), and flushes; those behind wait for that.
 */
#include "tools/bench-requests.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "tools/tool-image.h"
#include "tools/tool-output.h"

#define MAX_THREADS_PER_CPU 4

typedef struct Bench {
    const BenchRequests *plan;
    int64_t length; /* of the image: positions wrap round */
    void *buf;      /* of all writes, or NULL */
    atomic_int taken, done;
    atomic_bool failed;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* `done` reached a flush, `flushed`, `failed` */
    int flushed;            /* requests before this one need not wait; lock */
} Bench;

static void fail(Bench *b, int ret)
{
    g_autofree char *reason = blk_strerror(ret);

    pthread_mutex_lock(&b->lock);
    if (!atomic_exchange(&b->failed, true)) {
        tool_error("Failed request: %s", reason);
    }
    pthread_cond_broadcast(&b->changed);
    pthread_mutex_unlock(&b->lock);
}

/* Where request `index` begins: all go round in the image. */
static int64_t position(const Bench *b, int index)
{
    if (b->length == 0 || index == 0) {
        return b->plan->offset;
    }
    const uint64_t length = (uint64_t)b->length;
    const uint64_t step = (uint64_t)b->plan->step % length;
    uint64_t distance = 0;

    if (__builtin_mul_overflow(step, (unsigned)index, &distance)) {
        distance = 0;
        for (int bit = 30; bit >= 0; bit--) {
            distance = distance * 2 % length + (index >> bit & 1) * step;
            distance %= length;
        }
    }
    distance %= length;
    return (int64_t)((distance + (uint64_t)b->plan->offset) % length);
}

static bool is_flush_before(const Bench *b, int index)
{
    return b->plan->flush_interval > 0 && index > 0 &&
           (b->plan->count - index) % b->plan->flush_interval == 0;
}

/* The first request from `index` on that a flush stands before. */
static int next_flush(const Bench *b, int index)
{
    int left = (b->plan->count - index) % b->plan->flush_interval;

    return index + (left == 0 && index > 0 ? 0
                    : left == 0            ? b->plan->flush_interval
                                           : left);
}

/* Before request `index`: carry out the flush there, or wait for an earlier
 * one that somebody else carries out. */
static bool keep_flush_order(Bench *b, int index)
{
    int ret = 0;

    pthread_mutex_lock(&b->lock);
    if (is_flush_before(b, index)) {
        while (!b->plan->no_drain && atomic_load(&b->done) < index &&
               !atomic_load(&b->failed)) {
            pthread_cond_wait(&b->changed, &b->lock);
        }
        pthread_mutex_unlock(&b->lock);
        ret = blk_flush(b->plan->blk);
        pthread_mutex_lock(&b->lock);
        b->flushed = next_flush(b, index + 1);
        pthread_cond_broadcast(&b->changed);
    } else if (!b->plan->no_drain) {
        while (index >= b->flushed && !atomic_load(&b->failed)) {
            pthread_cond_wait(&b->changed, &b->lock);
        }
    }
    pthread_mutex_unlock(&b->lock);
    if (ret < 0) {
        fail(b, ret);
    }
    return ret >= 0;
}

static void note_done(Bench *b)
{
    int done = atomic_fetch_add(&b->done, 1) + 1;

    if (b->plan->flush_interval > 0 && is_flush_before(b, done)) {
        pthread_mutex_lock(&b->lock);
        pthread_cond_broadcast(&b->changed);
        pthread_mutex_unlock(&b->lock);
    }
}

/* Reads of several workers at a time may come to the same buffer: nobody
 * looks at it. But a buffer each keeps processors from fighting over it. */
static void *work(void *opaque)
{
    Bench *b = opaque;
    void *own = NULL;
    char *buf = b->buf;

    if (!b->plan->write && b->plan->request_bytes > 0) {
        own = image_try_buffer((size_t)b->plan->request_bytes);
        if (!own) {
            fail(b, -ENOMEM);
            return NULL;
        }
        buf = own;
    }
    while (!atomic_load(&b->failed)) {
        int index = atomic_fetch_add(&b->taken, 1);
        if (index >= b->plan->count ||
            (b->plan->flush_interval > 0 && !keep_flush_order(b, index))) {
            break;
        }
        int64_t at = position(b, index);
        int ret =
            b->plan->write
                ? blk_pwrite(b->plan->blk, at, b->plan->request_bytes, buf, 0)
                : blk_pread(b->plan->blk, at, b->plan->request_bytes, buf, 0);
        if (ret < 0) {
            fail(b, ret);
            break;
        }
        note_done(b);
    }
    free(own);
    return NULL;
}

/* ---- The run ---- */

/* More threads than this only wait for a processor. */
static unsigned choose_threads(const Bench *b)
{
    unsigned limit = MAX_THREADS_PER_CPU * g_get_num_processors();

    return CLAMP(MIN((unsigned)b->plan->depth, (unsigned)b->plan->count), 1,
                 limit);
}

static void run_threads(Bench *b)
{
    unsigned n = choose_threads(b) - 1;
    g_autofree pthread_t *threads = g_new(pthread_t, n + 1);
    unsigned started = 0;

    b->flushed = b->plan->flush_interval > 0 ? next_flush(b, 0)
                                             : b->plan->count;
    while (started < n &&
           pthread_create(&threads[started], NULL, work, b) == 0) {
        started++;
    }
    work(b);
    while (started > 0) {
        pthread_join(threads[--started], NULL);
    }
}

static bool take_length(Bench *b)
{
    b->length = blk_getlength(b->plan->blk);
    if (b->length < 0) {
        g_autofree char *name = blk_get_filename(b->plan->blk);
        g_autofree char *reason = blk_strerror((int)b->length);
        tool_error("%s: %s", name, reason);
    }
    return b->length >= 0;
}

static bool take_buffer(Bench *b)
{
    size_t bytes = (size_t)b->plan->request_bytes;

    if (!b->plan->write) {
        return true;
    }
    b->buf = image_try_buffer(MAX(bytes, 1));
    if (!b->buf) {
        tool_error("There is no memory for a request of %zu bytes", bytes);
        return false;
    }
    memset(b->buf, b->plan->pattern, bytes);
    return true;
}

bool bench_requests_run(const BenchRequests *plan)
{
    Bench b = { .plan = plan };

    if (!take_length(&b) || !take_buffer(&b)) {
        return false;
    }
    pthread_mutex_init(&b.lock, NULL);
    pthread_cond_init(&b.changed, NULL);
    run_threads(&b);
    pthread_mutex_destroy(&b.lock);
    pthread_cond_destroy(&b.changed);
    free(b.buf);
    return !atomic_load(&b.failed);
}
