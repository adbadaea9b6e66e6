/* SPDX-License-Identifier: MIT */
/*
 * Inside asynchronous requests:
 *
 *   aio-context.c   what waits to be delivered, and delivering it
 *   aio-worker.c    requests that nobody has begun, and threads that do
 *   aio-request.c   one request, from blk_aio_*() to its completion
 *   aio-count.c     the requests of a backend, and waiting for them
 *
 * A context's `lock` is for its requests that nobody has begun, and for its
 * workers. Under it those of drain.c and aio-count.c are taken. What was
 * carried out goes to a stack without a lock.
 */
#ifndef BLOCK_AIO_INT_H
#define BLOCK_AIO_INT_H

#include <pthread.h>
#include <stdatomic.h>

#include "block/aio.h"
#include "block/block-int.h"

/*
 * Have func called by aio_context_dispatch(), after everything that was posted
 * or had completed before; then destroy, which may be NULL. When the context
 * is given up first, destroy alone is called, on any thread. Any thread may
 * post; it has a reference to the context.
 */
void aio_context_post(AioContext *ctx, void (*func)(void *opaque),
                      void *opaque, GDestroyNotify destroy);

/* Something to be delivered: the head of what it really is. */
typedef struct AioItem AioItem;
struct AioItem {
    AioItem *next;
    /* One of them is called, and frees it. */
    void (*deliver)(AioItem *item);
    void (*discard)(AioItem *item); /* the context was given up */
};

typedef struct AioParking AioParking;

struct AioContext {
    atomic_uint refs;     /* the program's */
    atomic_uint holds;    /* of all refs together, and of whoever is inside */
    atomic_bool given_up; /* the last of refs has gone */

    int event_fd;            /* readable unless `done` is empty */
    _Atomic(AioItem *) done; /* the newest first */
    atomic_uint under_way;   /* requests neither delivered nor discarded */

    /* Taken from `done`, the oldest first; of the thread that dispatches. */
    AioItem *ready, **ready_end;

    pthread_mutex_t lock;
    pthread_cond_t work;
    GQueue waiting;       /* lock; BlockAIOCB that nobody has begun */
    AioParking *parkings; /* lock; those that drained nodes keep waiting */
    unsigned max_workers; /* fixed */
    unsigned n_workers;   /* lock */
    pthread_t *workers;   /* lock */
    unsigned idle;        /* lock; asleep */
    bool waking;          /* lock; one was signalled or started, and has not
                             looked yet */
};

/* ---- aio-context.c ---- */

/* Keep the context in memory. */
void aio_context_hold(AioContext *ctx);
void aio_context_release(AioContext *ctx);

/* The item waits to be delivered. The caller holds the context. */
void aio_context_push(AioContext *ctx, AioItem *item);

/* ---- aio-worker.c ---- */

/* Prepare, and start the first worker. 0 or a positive errno. */
int aio_workers_init(AioContext *ctx, unsigned max_workers);

/* Nobody waits for completions any more: workers end with the last request.
 * When there is none, they have ended when this returns. */
void aio_workers_give_up(AioContext *ctx);

/* A request of a context that was given up is gone. */
void aio_workers_discarded(AioContext *ctx);

/* When nobody holds the context any more. */
void aio_workers_clear(AioContext *ctx);

/* A worker is to carry the request out. */
void aio_worker_submit(BlockAIOCB *acb);

/*
 * For the worker that has the request: have it carried out when the gate, which
 * was found closed by a drained section, is open. False when it was given up
 * meanwhile: it is the worker's still.
 */
bool aio_worker_park(BlockAIOCB *acb, DrainGate *gate);

/* Take a request that nobody has begun; false when somebody has. */
bool aio_worker_withdraw(BlockAIOCB *acb, bool *parked);

/* ---- aio-request.c ---- */

typedef enum AioKind {
    AIO_READ,
    AIO_WRITE,
    AIO_ZEROES,
    AIO_DISCARD,
    AIO_FLUSH,
    AIO_COMMIT,
} AioKind;

struct BlockAIOCB {
    AioItem item;
    AioContext *ctx;
    BlockBackend *blk;
    unsigned phase; /* of the backend's count */

    GList link;     /* ctx->lock; in this queue; NULL: a worker has it */
    GQueue *queue;  /* ctx->lock */
    bool cancelled; /* ctx->lock; too late, unless it is parked */

    AioKind kind;
    unsigned flags;
    bool finish; /* AIO_COMMIT */
    int64_t offset, bytes;
    IOVector iov; /* AIO_READ, AIO_WRITE */

    BlockCompletionFunc *done;
    void *opaque;
    int ret;
    char *words; /* for blk_strerror(); NULL: none */
};

/* On a worker. The request is not the caller's afterwards. */
void aio_request_run(BlockAIOCB *acb);

#endif
