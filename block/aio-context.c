/* SPDX-License-Identifier: MIT */
/*
 * What waits to be delivered, and delivering it.
 *
 * Whoever has something to deliver pushes it on the stack `done`, and writes
 * to the eventfd if the stack was empty: one write for as many items as come
 * before the next dispatch. Who dispatches reads the eventfd first and takes
 * the stack then, so that nothing comes in between unseen; turned round, it
 * goes behind what is `ready` already: a completion function that dispatches
 * goes on where its caller is.
 *
 * References are the program's. When the last one goes, nothing is delivered
 * any more, be it in the middle of a dispatch; what was pushed is discarded.
 * Holds keep the memory until those who are inside have left: dispatching and
 * polling threads, workers, parkings.
 */
#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "block/aio-int.h"

#define MAX_WORKERS 1024u

/* ---- Contexts ---- */

/* Workers mostly wait for the host. */
static unsigned good_number_of_workers(void)
{
    return CLAMP(4 * g_get_num_processors(), 8, 64);
}

AioContext *aio_context_new(unsigned workers, GError **errp)
{
    if (workers > MAX_WORKERS) {
        block_error_set(errp, EINVAL,
                        "A context has 1 to %u workers (0: a good number), "
                        "not %u",
                        MAX_WORKERS, workers);
        return NULL;
    }
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0) {
        block_error_set_errno(errp, errno,
                              "Could not create an event descriptor");
        return NULL;
    }
    AioContext *ctx = g_new0(AioContext, 1);
    ctx->refs = 1;
    ctx->holds = 1;
    ctx->event_fd = fd;
    ctx->ready_end = &ctx->ready;
    int err = aio_workers_init(ctx,
                               workers ? workers : good_number_of_workers());
    if (err != 0) {
        block_error_set_errno(errp, err, "Could not start a worker thread");
        aio_context_release(ctx);
        return NULL;
    }
    return ctx;
}

AioContext *aio_context_ref(AioContext *ctx)
{
    atomic_fetch_add(&ctx->refs, 1);
    return ctx;
}

void aio_context_hold(AioContext *ctx)
{
    atomic_fetch_add(&ctx->holds, 1);
}

void aio_context_release(AioContext *ctx)
{
    if (atomic_fetch_sub(&ctx->holds, 1) == 1) {
        aio_workers_clear(ctx);
        close(ctx->event_fd);
        g_free(ctx);
    }
}

static void discard_list(AioItem *item)
{
    while (item) {
        AioItem *next = item->next;

        item->discard(item);
        item = next;
    }
}

void aio_context_unref(AioContext *ctx)
{
    if (ctx && atomic_fetch_sub(&ctx->refs, 1) == 1) {
        atomic_store(&ctx->given_up, true);
        discard_list(atomic_exchange(&ctx->done, NULL));
        aio_workers_give_up(ctx);
        aio_context_release(ctx);
    }
}

int aio_context_get_fd(AioContext *ctx)
{
    return ctx->event_fd;
}

/* ---- Pushing ---- */

void aio_context_push(AioContext *ctx, AioItem *item)
{
    static const uint64_t one = 1;
    AioItem *below = atomic_load(&ctx->done);

    do {
        item->next = below;
    } while (!atomic_compare_exchange_weak(&ctx->done, &below, item));
    if (below == NULL) {
        (void)!write(ctx->event_fd, &one, sizeof(one));
    }
    if (atomic_load(&ctx->given_up)) {
        discard_list(atomic_exchange(&ctx->done, NULL));
    }
}

typedef struct AioPost {
    AioItem item;
    void (*func)(void *opaque);
    void *opaque;
    GDestroyNotify destroy;
} AioPost;

static void post_discard(AioItem *item)
{
    AioPost *post = (AioPost *)item;

    if (post->destroy) {
        post->destroy(post->opaque);
    }
    g_free(post);
}

static void post_deliver(AioItem *item)
{
    AioPost *post = (AioPost *)item;

    post->func(post->opaque);
    post_discard(item);
}

void aio_context_post(AioContext *ctx, void (*func)(void *opaque),
                      void *opaque, GDestroyNotify destroy)
{
    AioPost *post = g_new(AioPost, 1);

    *post = (AioPost){
        .item = { .deliver = post_deliver, .discard = post_discard },
        .func = func,
        .opaque = opaque,
        .destroy = destroy,
    };
    aio_context_push(ctx, &post->item);
}

/* ---- Dispatching ---- */

static void take_done(AioContext *ctx)
{
    uint64_t count;

    (void)!read(ctx->event_fd, &count, sizeof(count));
    AioItem *newest = atomic_exchange(&ctx->done, NULL), *oldest = NULL;
    if (newest == NULL) {
        return;
    }
    AioItem **end = &newest->next;
    for (AioItem *item = newest, *below; item; item = below) {
        below = item->next;
        item->next = oldest;
        oldest = item;
    }
    *ctx->ready_end = oldest;
    ctx->ready_end = end;
}

static AioItem *take_ready(AioContext *ctx)
{
    AioItem *item = ctx->ready;

    if (item) {
        ctx->ready = item->next;
        if (ctx->ready == NULL) {
            ctx->ready_end = &ctx->ready;
        }
    }
    return item;
}

unsigned aio_context_dispatch(AioContext *ctx)
{
    unsigned n = 0;
    AioItem *item;

    aio_context_hold(ctx);
    take_done(ctx);
    while ((item = take_ready(ctx)) != NULL) {
        if (atomic_load(&ctx->given_up)) {
            item->discard(item);
        } else {
            item->deliver(item);
            n++;
        }
    }
    aio_context_release(ctx);
    return n;
}

/* Sleep until the descriptor is readable; false when time is up. */
static bool wait_until(AioContext *ctx, int64_t end)
{
    struct pollfd fd = { .fd = ctx->event_fd, .events = POLLIN };
    int n;

    do {
        int64_t left = end < 0 ? -1 : MAX(end - g_get_monotonic_time(), 0);
        struct timespec timeout = {
            .tv_sec = left / G_USEC_PER_SEC,
            .tv_nsec = left % G_USEC_PER_SEC * 1000,
        };
        n = ppoll(&fd, 1, end < 0 ? NULL : &timeout, NULL);
    } while (n < 0 && errno == EINTR);
    return n != 0;
}

/* Without a system call. */
static bool is_something_waiting(const AioContext *ctx)
{
    return ctx->ready != NULL || atomic_load(&ctx->done) != NULL;
}

unsigned aio_context_poll(AioContext *ctx, int timeout_ms)
{
    int64_t end = timeout_ms < 0
                      ? -1
                      : g_get_monotonic_time() + (int64_t)timeout_ms * 1000;
    unsigned n;

    aio_context_hold(ctx);
    n = is_something_waiting(ctx) ? aio_context_dispatch(ctx) : 0;
    while (n == 0 && atomic_load(&ctx->under_way) > 0 &&
           !atomic_load(&ctx->given_up) && wait_until(ctx, end)) {
        n = aio_context_dispatch(ctx);
    }
    aio_context_release(ctx);
    return n;
}

void aio_context_drain(AioContext *ctx)
{
    aio_context_hold(ctx);
    while (atomic_load(&ctx->under_way) > 0 && !atomic_load(&ctx->given_up)) {
        aio_context_poll(ctx, -1);
    }
    aio_context_release(ctx);
}

/* ---- In a GMainContext ---- */

typedef struct AioSource {
    GSource source;
    AioContext *ctx;
    gpointer fd_tag;
} AioSource;

/* Inside a completion function, some may be left that `done` has no more. */
static gboolean source_prepare(GSource *source, gint *timeout)
{
    *timeout = -1;
    return is_something_waiting(((AioSource *)source)->ctx);
}

static gboolean source_check(GSource *source)
{
    gint timeout;

    return source_prepare(source, &timeout) ||
           g_source_query_unix_fd(source, ((AioSource *)source)->fd_tag) != 0;
}

static gboolean source_dispatch(GSource *source, GSourceFunc callback,
                                gpointer opaque)
{
    (void)callback;
    (void)opaque;
    aio_context_dispatch(((AioSource *)source)->ctx);
    return G_SOURCE_CONTINUE;
}

static void source_finalize(GSource *source)
{
    aio_context_unref(((AioSource *)source)->ctx);
}

GSource *aio_context_create_source(AioContext *ctx)
{
    static GSourceFuncs funcs = {
        .prepare = source_prepare,
        .check = source_check,
        .dispatch = source_dispatch,
        .finalize = source_finalize,
    };
    GSource *source = g_source_new(&funcs, sizeof(AioSource));
    AioSource *own = (AioSource *)source;

    own->ctx = aio_context_ref(ctx);
    own->fd_tag = g_source_add_unix_fd(source, ctx->event_fd, G_IO_IN);
    /* A completion function may run a main loop. */
    g_source_set_can_recurse(source, TRUE);
    g_source_set_name(source, "AioContext");
    return source;
}
