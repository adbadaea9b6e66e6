/* SPDX-License-Identifier: MIT */
/*
 * The requests of a context that nobody has begun, and the threads that do.
 *
 * Requests wait in one queue. A worker takes the first, carries it out, and
 * looks for the next; it sleeps when there is none. New workers are started,
 * up to the limit, while requests come that no sleeping worker can take. They
 * stay until the context is given up.
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

static void *worker_main(void *opaque)
{
    AioContext *ctx = opaque;
    GList *link;

    pthread_setname_np(pthread_self(), "vvfat-aio");
    pthread_mutex_lock(&ctx->lock);
    for (;;) {
        while ((link = g_queue_pop_head_link(&ctx->waiting)) == NULL) {
            if (atomic_load(&ctx->given_up) &&
                atomic_load(&ctx->under_way) == 0) {
                pthread_mutex_unlock(&ctx->lock);
                aio_context_release(ctx);
                return NULL;
            }
            ctx->idle++;
            pthread_cond_wait(&ctx->work, &ctx->lock);
            ctx->idle--;
            ctx->woken -= ctx->woken > 0;
        }
        BlockAIOCB *acb = link->data;
        acb->queue = NULL;
        pthread_mutex_unlock(&ctx->lock);
        aio_request_run(acb);
        pthread_mutex_lock(&ctx->lock);
    }
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

/* There is one more request in it. Under the lock. */
static void wake_worker(AioContext *ctx)
{
    if (ctx->idle > ctx->woken) {
        ctx->woken++;
        pthread_cond_signal(&ctx->work);
    } else if (ctx->n_workers < ctx->max_workers &&
               !atomic_load(&ctx->given_up)) {
        /* Without a new one, those that are there come to it. */
        (void)start_worker(ctx);
    }
}

static void enqueue(AioContext *ctx, BlockAIOCB *acb, GQueue *queue)
{
    acb->queue = queue;
    g_queue_push_tail_link(queue, &acb->link);
    if (queue == &ctx->waiting) {
        wake_worker(ctx);
    }
}

void aio_worker_submit(BlockAIOCB *acb)
{
    AioContext *ctx = acb->ctx;

    acb->link.data = acb;
    pthread_mutex_lock(&ctx->lock);
    enqueue(ctx, acb, &ctx->waiting);
    pthread_mutex_unlock(&ctx->lock);
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
        enqueue(ctx, acb, &ctx->waiting);
    }
    pthread_mutex_unlock(&ctx->lock);
    g_free(parking);
    aio_context_release(ctx);
}

/* That of a gate; NULL when nothing is drained there. Under the lock, which keeps a new
 * one from being resumed before a request is in it. */
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
        enqueue(ctx, acb, parking ? &parking->requests : &ctx->waiting);
    }
    pthread_mutex_unlock(&ctx->lock);
    return goes_on;
}
