/* SPDX-License-Identifier: MIT */
/*
 * The requests of a context that nobody has begun, and the threads that do.
 *
 * Requests wait in one queue. A worker takes the first, carries it out, and
 * looks for the next; it sleeps when there is none. Workers are woken one by
 * one: a request that is put into the queue wakes one, unless one is `waking`
 * up already; and one that has woken up wakes the next, if it leaves something
 * in the queue. So requests that are done as fast as they come keep few
 * workers busy, and those that take long get all of them. Where none sleeps, a
 * new one is started, up to the limit. They stay until the context is given
 * up.
 *
 * A request whose backend or node is drained is not begun, nor does it keep a
 * worker: it is parked, in a list of its own for each such gate. The gate says
 * when it is open again; then the whole list goes back into the queue.
 */
#include <errno.h>

#include "block/aio-int.h"
#include "block/drain.h"
#include "util/thread.h"

struct AioParking {
    DrainWaiter waiter;
    AioContext *ctx; /* held */
    const DrainGate *gate;
    GQueue requests; /* ctx->lock */
    AioParking *next;
};

/* ---- Threads ---- */

static int start_worker(AioContext *ctx);

/* Under the lock. True: the caller signals `work` once it has unlocked. */
static bool wake_worker(AioContext *ctx)
{
    bool sleeps = ctx->idle > 0;

    if (ctx->waking) {
        return false;
    }
    /* Without a new one, those that are busy come to the queue. */
    ctx->waking = sleeps ||
                  (ctx->n_workers < ctx->max_workers &&
                   !atomic_load(&ctx->given_up) && start_worker(ctx) == 0);
    return sleeps;
}

/* Let somebody see to what is in the queue. */
static void unlock_and_wake(AioContext *ctx)
{
    bool signal = ctx->waiting.length > 0 && wake_worker(ctx);

    pthread_mutex_unlock(&ctx->lock);
    if (signal) {
        pthread_cond_signal(&ctx->work);
    }
}

/* Whether no request will come any more. */
static bool is_over(const AioContext *ctx)
{
    return atomic_load(&ctx->given_up) && atomic_load(&ctx->under_way) == 0;
}

/* NULL when it is over. woke: the worker has just been started. */
static BlockAIOCB *next_request(AioContext *ctx, bool woke)
{
    GList *link;

    pthread_mutex_lock(&ctx->lock);
    while ((link = g_queue_pop_head_link(&ctx->waiting)) == NULL &&
           !is_over(ctx)) {
        if (woke) {
            ctx->waking = false;
        }
        ctx->idle++;
        pthread_cond_wait(&ctx->work, &ctx->lock);
        ctx->idle--;
        woke = true;
    }
    if (link) {
        ((BlockAIOCB *)link->data)->queue = NULL;
    }
    if (woke) {
        ctx->waking = false;
        unlock_and_wake(ctx);
    } else {
        pthread_mutex_unlock(&ctx->lock);
    }
    return link ? link->data : NULL;
}

static void *worker_main(void *opaque)
{
    AioContext *ctx = opaque;
    bool is_new = true;
    BlockAIOCB *acb;

    pthread_setname_np(pthread_self(), "vvfat-aio");
    while ((acb = next_request(ctx, is_new)) != NULL) {
        is_new = false;
        aio_request_run(acb);
    }
    aio_context_release(ctx);
    return NULL;
}

/* Under the lock. */
static int start_worker(AioContext *ctx)
{
    aio_context_hold(ctx);
    int err = thread_create(&ctx->workers[ctx->n_workers], worker_main, ctx);
    if (err != 0) {
        atomic_fetch_sub(&ctx->holds, 1); /* the caller has one */
    } else {
        ctx->n_workers++;
    }
    return err;
}

int aio_workers_init(AioContext *ctx, unsigned max_workers)
{
    pthread_mutex_init(&ctx->lock, NULL);
    pthread_cond_init(&ctx->work, NULL);
    g_queue_init(&ctx->waiting);
    ctx->max_workers = max_workers;
    ctx->workers = g_new(pthread_t, max_workers);
    pthread_mutex_lock(&ctx->lock);
    int err = start_worker(ctx);
    pthread_mutex_unlock(&ctx->lock);
    return err;
}

void aio_workers_clear(AioContext *ctx)
{
    g_free(ctx->workers);
    pthread_cond_destroy(&ctx->work);
    pthread_mutex_destroy(&ctx->lock);
}

void aio_workers_discarded(AioContext *ctx)
{
    pthread_mutex_lock(&ctx->lock);
    pthread_cond_broadcast(&ctx->work);
    pthread_mutex_unlock(&ctx->lock);
}

/* With requests under way it may be a worker that gives the context up. */
void aio_workers_give_up(AioContext *ctx)
{
    bool at_once = atomic_load(&ctx->under_way) == 0;

    aio_workers_discarded(ctx);
    for (unsigned i = 0; i < ctx->n_workers; i++) {
        if (at_once) {
            pthread_join(ctx->workers[i], NULL);
        } else {
            pthread_detach(ctx->workers[i]);
        }
    }
}

/* ---- The queue ---- */

/* Under the lock. */
static void enqueue(BlockAIOCB *acb, GQueue *queue)
{
    acb->queue = queue;
    g_queue_push_tail_link(queue, &acb->link);
}

void aio_worker_submit(BlockAIOCB *acb)
{
    AioContext *ctx = acb->ctx;

    acb->link.data = acb;
    pthread_mutex_lock(&ctx->lock);
    enqueue(acb, &ctx->waiting);
    unlock_and_wake(ctx);
}

bool aio_worker_withdraw(BlockAIOCB *acb, bool *parked)
{
    AioContext *ctx = acb->ctx;

    pthread_mutex_lock(&ctx->lock);
    bool waits = acb->queue != NULL;
    *parked = waits && acb->queue != &ctx->waiting;
    if (waits) {
        g_queue_unlink(acb->queue, &acb->link);
        acb->queue = NULL;
    }
    acb->cancelled = true;
    pthread_mutex_unlock(&ctx->lock);
    return waits;
}

/* ---- Parking ---- */

/* Drained no more: back into the queue. */
static void parking_resume(DrainWaiter *waiter)
{
    AioParking *parking = (AioParking *)waiter;
    AioContext *ctx = parking->ctx;
    AioParking **link = &ctx->parkings;
    GList *request;

    pthread_mutex_lock(&ctx->lock);
    while (*link != parking) {
        link = &(*link)->next;
    }
    *link = parking->next;
    while ((request = g_queue_pop_head_link(&parking->requests)) != NULL) {
        BlockAIOCB *acb = request->data;

        acb->phase = aio_count_unpark(&acb->blk->aio);
        enqueue(acb, &ctx->waiting);
    }
    unlock_and_wake(ctx);
    g_free(parking);
    aio_context_release(ctx);
}

/* That of a gate; NULL when nothing is drained there. Under the lock, which
 * keeps a new one from being resumed before a request is in it. */
static AioParking *find_parking(AioContext *ctx, DrainGate *gate)
{
    AioParking *parking = ctx->parkings;

    while (parking && parking->gate != gate) {
        parking = parking->next;
    }
    if (parking) {
        return parking;
    }
    parking = g_new0(AioParking, 1);
    parking->waiter.resume = parking_resume;
    parking->ctx = ctx;
    parking->gate = gate;
    if (!gate_wait_later(gate, &parking->waiter)) {
        g_free(parking);
        return NULL;
    }
    aio_context_hold(ctx);
    parking->next = ctx->parkings;
    ctx->parkings = parking;
    return parking;
}

bool aio_worker_park(BlockAIOCB *acb, DrainGate *gate)
{
    AioContext *ctx = acb->ctx;
    bool goes_on;

    pthread_mutex_lock(&ctx->lock);
    goes_on = !acb->cancelled;
    if (goes_on) {
        AioParking *parking = find_parking(ctx, gate);

        if (parking) {
            aio_count_park(&acb->blk->aio, acb->phase);
        }
        enqueue(acb, parking ? &parking->requests : &ctx->waiting);
    }
    unlock_and_wake(ctx);
    return goes_on;
}
