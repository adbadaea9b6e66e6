/* SPDX-License-Identifier: MIT */
/*
 * Events: from a node to the handlers of all backends above it.
 *
 * Handlers belong to a backend, but nodes outlive the edges to them by their
 * closing, in which a driver may have much to tell: a node without parents
 * goes on with those that were above it last.
 *
 * A handler's lock is held while its function runs, so that one call comes
 * after the other, and removing it waits. It is recursive: the function may
 * remove its own handler, and close a backend when it is called by a context.
 * No other lock is held then.
 *
 *   is_over     nothing more is sent: it was removed, or the backend is closed
 *   is_removed  what was sent is not delivered, either
 *   n_sent      events on their way through the context
 *
 * The function's opaque goes when no call can come any more, whoever finds
 * that out.
 */
#include "block/event-handlers.h"

#include "block/aio-int.h"
#include "block/graph.h"

typedef struct EventHandler {
    atomic_int refs;
    unsigned handle;
    BlkEventFunc *func;

    pthread_mutex_t lock;
    BlockBackend *blk; /* NULL: it is being closed */
    AioContext *ctx;   /* NULL: at once; or is_over */
    bool is_over, is_removed;
    unsigned n_sent, running;
    void *opaque;
    GDestroyNotify destroy; /* NULL: none, or it was called */
} EventHandler;

struct EventHandlers {
    atomic_int refs;
    pthread_mutex_t lock; /* taken before those of handlers, never held while
                             one is called */
    GPtrArray *list;      /* EventHandler */
    unsigned last_handle;
};

/* An event on its way through a context. */
typedef struct SentEvent {
    EventHandler *handler;
    BlkEvent event;
} SentEvent;

/* The backends in whose handlers this thread is, the innermost first. */
typedef struct Inside {
    const BlockBackend *blk;
    const struct Inside *outer;
} Inside;

static _Thread_local const Inside *inside;

static const char *const event_names[] = {
    [BLK_EVENT_COMMIT] = "commit",
    [BLK_EVENT_HELD_BACK] = "held-back",
    [BLK_EVENT_RELEASED] = "released",
    [BLK_EVENT_CONFLICT] = "conflict",
    [BLK_EVENT_SUSPENDED] = "suspended",
    [BLK_EVENT_RESUMED] = "resumed",
    [BLK_EVENT_RESCUED] = "rescued",
    [BLK_EVENT_MEDIUM_CHANGED] = "medium-changed",
};

const char *blk_event_name(BlkEventKind kind)
{
    return (guint)kind < G_N_ELEMENTS(event_names) ? event_names[kind]
                                                   : "unknown";
}

bool event_is_inside(const BlockBackend *blk)
{
    const Inside *at = inside;

    while (at && at->blk != blk) {
        at = at->outer;
    }
    return at != NULL;
}

/* ---- One handler ---- */

static EventHandler *handler_ref(EventHandler *h)
{
    h->refs++;
    return h;
}

static void handler_unref(EventHandler *h)
{
    if (--h->refs == 0) {
        pthread_mutex_destroy(&h->lock);
        g_free(h);
    }
}

/* End what the caller did with the lock held; free opaque if it was the last
 * that could have used it. */
static void handler_unlock(EventHandler *h)
{
    bool is_done = h->is_over && h->running == 0 &&
                   (h->is_removed || h->n_sent == 0);
    GDestroyNotify destroy = is_done ? g_steal_pointer(&h->destroy) : NULL;

    pthread_mutex_unlock(&h->lock);
    if (destroy) {
        destroy(h->opaque);
    }
}

/* With the lock held. */
static void handler_run(EventHandler *h, const BlkEvent *event)
{
    if (!h->is_removed) {
        h->running++;
        h->func(h->blk, event, h->opaque);
        h->running--;
    }
}

static void handler_end(EventHandler *h, bool is_removed)
{
    AioContext *ctx;

    pthread_mutex_lock(&h->lock);
    h->is_over = true;
    h->is_removed |= is_removed;
    ctx = g_steal_pointer(&h->ctx);
    handler_unlock(h);
    if (ctx) {
        aio_context_unref(ctx);
    }
}

/* ---- Through a context ---- */

static void sent_run(void *opaque)
{
    const SentEvent *sent = opaque;

    pthread_mutex_lock(&sent->handler->lock);
    handler_run(sent->handler, &sent->event);
    handler_unlock(sent->handler);
}

/* Delivered, or the context was given up. */
static void sent_free(gpointer opaque)
{
    SentEvent *sent = opaque;
    EventHandler *h = sent->handler;

    pthread_mutex_lock(&h->lock);
    h->n_sent--;
    handler_unlock(h);
    handler_unref(h);
    g_free((char *)sent->event.node);
    g_free((char *)sent->event.path);
    g_free((char *)sent->event.detail);
    g_free(sent);
}

/* With the lock held. */
static void handler_send(EventHandler *h, const BlkEvent *event)
{
    SentEvent *sent = g_new(SentEvent, 1);

    *sent = (SentEvent){
        .handler = handler_ref(h),
        .event = { .kind = event->kind,
                   .error = event->error,
                   .node = g_strdup(event->node),
                   .path = g_strdup(event->path),
                   .detail = g_strdup(event->detail) },
    };
    h->n_sent++;
    aio_context_post(h->ctx, sent_run, sent, sent_free);
}

static void handler_deliver(EventHandler *h, const BlkEvent *event)
{
    pthread_mutex_lock(&h->lock);
    if (h->ctx) {
        handler_send(h, event);
    } else if (!h->is_over) {
        Inside here = { h->blk, inside };

        inside = &here;
        handler_run(h, event);
        inside = here.outer;
    }
    handler_unlock(h);
}

/* ---- Those of a backend ---- */

EventHandlers *event_handlers_new(void)
{
    EventHandlers *handlers = g_new0(EventHandlers, 1);

    handlers->refs = 1;
    handlers->list =
        g_ptr_array_new_with_free_func((GDestroyNotify)handler_unref);
    pthread_mutex_init(&handlers->lock, NULL);
    return handlers;
}

static EventHandlers *handlers_ref(EventHandlers *handlers)
{
    handlers->refs++;
    return handlers;
}

static void handlers_unref(EventHandlers *handlers)
{
    if (--handlers->refs == 0) {
        g_ptr_array_unref(handlers->list);
        pthread_mutex_destroy(&handlers->lock);
        g_free(handlers);
    }
}

/* All that there are now, to be called without the lock. */
static GPtrArray *handlers_list(EventHandlers *handlers)
{
    GPtrArray *list =
        g_ptr_array_new_with_free_func((GDestroyNotify)handler_unref);

    pthread_mutex_lock(&handlers->lock);
    for (guint i = 0; i < handlers->list->len; i++) {
        g_ptr_array_add(list, handler_ref(handlers->list->pdata[i]));
    }
    pthread_mutex_unlock(&handlers->lock);
    return list;
}

void event_deliver(EventHandlers *handlers, const BlkEvent *event)
{
    g_autoptr(GPtrArray) list = handlers_list(handlers);

    for (guint i = 0; i < list->len; i++) {
        handler_deliver(g_ptr_array_index(list, i), event);
    }
}

void event_handlers_closing(EventHandlers *handlers)
{
    g_autoptr(GPtrArray) list = handlers_list(handlers);

    for (guint i = 0; i < list->len; i++) {
        EventHandler *h = g_ptr_array_index(list, i);

        pthread_mutex_lock(&h->lock);
        h->blk = NULL;
        handler_unlock(h);
    }
}

void event_handlers_free(EventHandlers *handlers)
{
    g_autoptr(GPtrArray) list = handlers_list(handlers);

    for (guint i = 0; i < list->len; i++) {
        handler_end(g_ptr_array_index(list, i), false);
    }
    handlers_unref(handlers);
}

unsigned blk_add_event_handler(BlockBackend *blk, AioContext *ctx,
                               BlkEventFunc *func, void *opaque,
                               GDestroyNotify destroy)
{
    EventHandlers *handlers = blk->handlers;
    EventHandler *h = g_new0(EventHandler, 1);
    pthread_mutexattr_t attr;

    h->refs = 1;
    h->func = func;
    h->blk = blk;
    h->ctx = ctx ? aio_context_ref(ctx) : NULL;
    h->opaque = opaque;
    h->destroy = destroy;
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&h->lock, &attr);
    pthread_mutexattr_destroy(&attr);

    pthread_mutex_lock(&handlers->lock);
    unsigned handle = ++handlers->last_handle;
    h->handle = handle;
    g_ptr_array_add(handlers->list, h);
    pthread_mutex_unlock(&handlers->lock);
    return handle;
}

void blk_remove_event_handler(BlockBackend *blk, unsigned handle)
{
    EventHandlers *handlers = blk->handlers;
    EventHandler *found = NULL;

    pthread_mutex_lock(&handlers->lock);
    for (guint i = 0; i < handlers->list->len && !found; i++) {
        EventHandler *h = g_ptr_array_index(handlers->list, i);

        if (h->handle == handle) {
            found = handler_ref(h);
            g_ptr_array_remove_index(handlers->list, i);
        }
    }
    pthread_mutex_unlock(&handlers->lock);
    if (found) {
        handler_end(found, true);
        handler_unref(found);
    }
}

/* ---- Those above a node ---- */

/* Add the handlers of all backends above, each once. Under the graph lock. */
static void collect_above(const BlockDriverState *bs, GPtrArray *found)
{
    const GPtrArray *last = bs->parents->len ? NULL : bs->last_listeners;

    for (guint i = 0; i < bs->parents->len; i++) {
        const BdrvChild *edge = g_ptr_array_index(bs->parents, i);

        if (edge->parent_bs) {
            collect_above(edge->parent_bs, found);
        } else if (!g_ptr_array_find(found, edge->parent_blk->handlers,
                                     NULL)) {
            g_ptr_array_add(found, handlers_ref(edge->parent_blk->handlers));
        }
    }
    for (guint i = 0; last && i < last->len; i++) {
        EventHandlers *handlers = g_ptr_array_index(last, i);

        if (!g_ptr_array_find(found, handlers, NULL)) {
            g_ptr_array_add(found, handlers_ref(handlers));
        }
    }
}

static GPtrArray *listeners_of(const BlockDriverState *bs)
{
    GPtrArray *found =
        g_ptr_array_new_with_free_func((GDestroyNotify)handlers_unref);

    collect_above(bs, found);
    return found;
}

void event_keep_listeners(BlockDriverState *bs)
{
    event_forget_listeners(bs);
    bs->last_listeners = listeners_of(bs);
}

void event_forget_listeners(BlockDriverState *bs)
{
    g_clear_pointer(&bs->last_listeners, g_ptr_array_unref);
}

void bdrv_emit_event(BlockDriverState *bs, const BlkEvent *event)
{
    g_autoptr(GPtrArray) above = NULL;
    BlkEvent told = *event;

    told.node = bs->node_name;
    graph_lock();
    above = listeners_of(bs);
    graph_unlock();
    for (guint i = 0; i < above->len; i++) {
        event_deliver(g_ptr_array_index(above, i), &told);
    }
}
