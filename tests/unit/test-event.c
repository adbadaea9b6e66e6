/* SPDX-License-Identifier: MIT */
/* Handlers of events: who hears what, on which thread, and how long. */
#include <criterion/criterion.h>
#include <stdatomic.h>

#include "block/block-int.h"
#include "tests/unit/core-fixture.h"
#include "tests/unit/event-fixture.h"

/* A driver that has something to tell when it is closed, and when what was
 * written is flushed. */
typedef struct Teller {
    atomic_bool is_written;
} Teller;

static void teller_tell(BlockDriverState *bs, const char *path)
{
    const BlkEvent event = { .kind = BLK_EVENT_CONFLICT, .path = path };

    bdrv_emit_event(bs, &event);
}

static bool teller_open(BlockDriverState *bs, Options *options, unsigned flags,
                        GError **errp)
{
    (void)bs;
    (void)options;
    (void)flags;
    (void)errp;
    return true;
}

static void teller_close(BlockDriverState *bs)
{
    teller_tell(bs, "last");
}

static int64_t teller_getlength(BlockDriverState *bs)
{
    (void)bs;
    return 65536;
}

static int teller_pwritev(BlockDriverState *bs, int64_t offset, int64_t bytes,
                          const IOVector *iov, unsigned flags)
{
    Teller *t = bdrv_opaque(bs);

    (void)offset;
    (void)bytes;
    (void)iov;
    (void)flags;
    t->is_written = true;
    return 0;
}

static int teller_flush(BlockDriverState *bs)
{
    Teller *t = bdrv_opaque(bs);

    if (atomic_exchange(&t->is_written, false)) {
        teller_tell(bs, "flush");
    }
    return 0;
}

static const BlockDriver teller = {
    .format_name = "teller",
    .instance_size = sizeof(Teller),
    .open = teller_open,
    .close = teller_close,
    .getlength = teller_getlength,
    .pwritev = teller_pwritev,
    .flush = teller_flush,
};

static void init(void)
{
    core_init();
    cr_assert(bdrv_register(&teller, NULL));
}

TestSuite(event, .init = init, .timeout = 20);

static BlockBackend *open_teller(void)
{
    return core_open(BDRV_O_RDWR, "driver=teller,node-name=t");
}

static AioContext *new_context(void)
{
    AioContext *ctx = aio_context_new(1, NULL);

    cr_assert_not_null(ctx);
    return ctx;
}

/* ---- Who hears what ---- */

Test(event, names)
{
    cr_assert_str_eq(blk_event_name(BLK_EVENT_COMMIT), "commit");
    cr_assert_str_eq(blk_event_name(BLK_EVENT_HELD_BACK), "held-back");
    cr_assert_str_eq(blk_event_name(BLK_EVENT_MEDIUM_CHANGED),
                     "medium-changed");
    cr_assert_str_eq(blk_event_name((BlkEventKind)99), "unknown");
}

Test(event, all_handlers_hear_all_in_order)
{
    g_autoptr(Listener) one = listener_new();
    g_autoptr(Listener) two = listener_new();
    g_autoptr(BlockBackend) blk = open_teller();
    unsigned a = listener_add(one, blk, NULL);
    unsigned b = listener_add(two, blk, NULL);
    const BlkEvent event = {
        .kind = BLK_EVENT_RESCUED, .error = -5, .path = "p", .detail = "d"
    };

    cr_assert_neq(a, b);
    teller_tell(blk_bs(blk), "x");
    bdrv_emit_event(blk_bs(blk), &event);
    listener_expect(one, "conflict x: - (0)\nrescued p: d (-5)\n");
    listener_expect(two, "conflict x: - (0)\nrescued p: d (-5)\n");
    blk_remove_event_handler(blk, a);
    blk_remove_event_handler(blk, b);
}

static void check_node(BlockBackend *blk, const BlkEvent *event, void *opaque)
{
    unsigned *n = opaque;

    (void)blk;
    *n += g_str_equal(event->node, "t");
}

Test(event, the_node_is_named)
{
    g_autoptr(BlockBackend)
        blk = core_open(BDRV_O_RDWR, "driver=raw,file.driver=teller,"
                                     "file.node-name=t");
    unsigned n = 0;

    blk_add_event_handler(blk, NULL, check_node, &n, NULL);
    teller_tell(bdrv_child_bs(bdrv_child(blk_bs(blk), "file")), "x");
    cr_assert_eq(n, 1);
    blk_close(g_steal_pointer(&blk));
    cr_assert_eq(n, 2);
}

Test(event, each_backend_above_hears_it_once)
{
    g_autoptr(Listener) one = listener_new();
    g_autoptr(Listener) two = listener_new();
    g_autoptr(Listener) other = listener_new();
    g_autoptr(BlockBackend) disk = open_teller();
    g_autoptr(BlockBackend) raw =
        blk_open_with_perm("json:{\"driver\": \"raw\", \"file\": \"t\"}", NULL,
                           0, BLK_PERM_CONSISTENT_READ, BLK_PERM_ALL, NULL);
    g_autoptr(BlockBackend) else_where = core_open(0, "driver=teller");

    cr_assert_not_null(raw);
    listener_add(one, disk, NULL);
    listener_add(two, raw, NULL);
    listener_add(other, else_where, NULL);
    teller_tell(blk_bs(disk), "x");
    listener_expect(one, "conflict x: - (0)\n");
    listener_expect(two, "conflict x: - (0)\n");
    listener_expect(other, "");
    blk_close(g_steal_pointer(&disk));
    listener_expect(one, "");
    blk_close(g_steal_pointer(&raw));
    listener_expect(one, "");
    listener_expect(two, "closed conflict last: - (0)\n");
    blk_close(g_steal_pointer(&else_where));
}

/* ---- How long ---- */

Test(event, a_handler_that_was_removed_hears_nothing)
{
    g_autoptr(Listener) one = listener_new();
    g_autoptr(Listener) two = listener_new();
    g_autoptr(BlockBackend) blk = open_teller();
    unsigned a = listener_add(one, blk, NULL);

    listener_add(two, blk, NULL);
    blk_remove_event_handler(blk, a);
    cr_assert_eq(one->destroyed, 1);
    blk_remove_event_handler(blk, a);
    blk_remove_event_handler(blk, 12345);
    teller_tell(blk_bs(blk), "x");
    listener_expect(one, "");
    listener_expect(two, "conflict x: - (0)\n");
    blk_close(g_steal_pointer(&blk));
    cr_assert_eq(one->destroyed, 1);
    cr_assert_eq(two->destroyed, 1);
}

typedef struct Own {
    unsigned handle, calls, destroyed;
    bool is_inside;
} Own;

static void remove_own(BlockBackend *blk, const BlkEvent *event, void *opaque)
{
    Own *own = opaque;

    (void)event;
    own->calls++;
    own->is_inside = true;
    blk_remove_event_handler(blk, own->handle);
    cr_assert_eq(own->destroyed, 0);
    own->is_inside = false;
}

static void destroy_own(gpointer opaque)
{
    Own *own = opaque;

    cr_assert(!own->is_inside);
    own->destroyed++;
}

Test(event, a_handler_removes_itself)
{
    g_autoptr(BlockBackend) blk = open_teller();
    Own own = { 0 };

    own.handle = blk_add_event_handler(blk, NULL, remove_own, &own,
                                       destroy_own);
    teller_tell(blk_bs(blk), "x");
    teller_tell(blk_bs(blk), "y");
    cr_assert_eq(own.calls, 1);
    cr_assert_eq(own.destroyed, 1);
}

typedef struct Slow {
    BlockBackend *blk;
    unsigned handle;
    atomic_int entered, may_leave, left, removed;
} Slow;

static void slow_func(BlockBackend *blk, const BlkEvent *event, void *opaque)
{
    Slow *slow = opaque;

    (void)blk;
    (void)event;
    slow->entered = 1;
    while (!slow->may_leave) {
        g_thread_yield();
    }
    slow->left = 1;
}

static gpointer slow_tell(gpointer opaque)
{
    Slow *slow = opaque;

    teller_tell(blk_bs(slow->blk), "x");
    return NULL;
}

static gpointer slow_remove(gpointer opaque)
{
    Slow *slow = opaque;

    blk_remove_event_handler(slow->blk, slow->handle);
    slow->removed = 1;
    cr_assert(slow->left);
    return NULL;
}

Test(event, removing_waits_for_the_function)
{
    g_autoptr(BlockBackend) blk = open_teller();
    Slow slow = { .blk = blk };
    GThread *teller_thread, *remover;

    slow.handle = blk_add_event_handler(blk, NULL, slow_func, &slow, NULL);
    teller_thread = g_thread_new("tell", slow_tell, &slow);
    while (!slow.entered) {
        g_thread_yield();
    }
    remover = g_thread_new("remove", slow_remove, &slow);
    g_usleep(30000); /* enough for one that does not wait to show it */
    cr_assert(!slow.removed);
    slow.may_leave = 1;
    g_thread_join(remover);
    g_thread_join(teller_thread);
}

/* ---- Closing ---- */

Test(event, the_last_events_come_while_it_is_closed)
{
    g_autoptr(Listener) l = listener_new();
    BlockBackend *blk = core_open(BDRV_O_RDWR,
                                  "driver=raw,file.driver=teller");

    listener_add(l, blk, NULL);
    cr_assert_eq(blk_pwrite(blk, 0, 1, "x", 0), 0);
    blk_close(blk);
    listener_expect(l, "closed conflict flush: - (0)\n"
                       "closed conflict last: - (0)\n");
    cr_assert_eq(l->destroyed, 1);
}

/* ---- Through a context ---- */

Test(event, a_context_delivers_in_order)
{
    g_autoptr(Listener) l = listener_new();
    g_autoptr(AioContext) ctx = new_context();
    g_autoptr(BlockBackend) blk = open_teller();

    listener_add(l, blk, ctx);
    teller_tell(blk_bs(blk), "x");
    teller_tell(blk_bs(blk), "y");
    listener_expect(l, "");
    cr_assert_eq(aio_context_dispatch(ctx), 2);
    listener_expect(l, "conflict x: - (0)\nconflict y: - (0)\n");
    teller_tell(blk_bs(blk), "z");
    blk_close(g_steal_pointer(&blk));
    cr_assert_eq(l->destroyed, 0);
    cr_assert_eq(aio_context_dispatch(ctx), 2);
    listener_expect(l, "closed conflict z: - (0)\n"
                       "closed conflict last: - (0)\n");
    cr_assert_eq(l->destroyed, 1);
}

Test(event, what_was_sent_to_a_removed_handler_is_dropped)
{
    g_autoptr(Listener) l = listener_new();
    g_autoptr(AioContext) ctx = new_context();
    g_autoptr(BlockBackend) blk = open_teller();
    unsigned handle = listener_add(l, blk, ctx);

    teller_tell(blk_bs(blk), "x");
    blk_remove_event_handler(blk, handle);
    cr_assert_eq(l->destroyed, 1);
    aio_context_dispatch(ctx);
    listener_expect(l, "");
    cr_assert_eq(l->destroyed, 1);
}

Test(event, a_context_is_given_up_before_the_last_events)
{
    g_autoptr(Listener) l = listener_new();
    AioContext *ctx = new_context();
    BlockBackend *blk = open_teller();

    listener_add(l, blk, ctx);
    teller_tell(blk_bs(blk), "x");
    aio_context_unref(ctx);
    teller_tell(blk_bs(blk), "y");
    blk_close(blk);
    listener_expect(l, "");
    cr_assert_eq(l->destroyed, 1);
}

static void close_it(BlockBackend *blk, const BlkEvent *event, void *opaque)
{
    unsigned *closed = opaque;

    if (g_str_equal(event->path, "x")) {
        blk_close(blk);
        ++*closed;
    } else {
        cr_assert_null(blk);
        cr_assert_str_eq(event->path, "last");
        *closed += 10;
    }
}

Test(event, a_context_s_handler_closes_the_backend)
{
    g_autoptr(AioContext) ctx = new_context();
    BlockBackend *blk = open_teller();
    unsigned closed = 0;

    blk_add_event_handler(blk, ctx, close_it, &closed, NULL);
    teller_tell(blk_bs(blk), "x");
    while (aio_context_dispatch(ctx) > 0) {
    }
    cr_assert_eq(closed, 11);
}

/* ---- Asking ---- */

static void ask(BlockBackend *blk, const BlkEvent *event, void *opaque)
{
    atomic_int *state = opaque;

    (void)event;
    *state = 1;
    while (atomic_load(&blk->gate.quiesced) == 0) {
        g_thread_yield();
    }
    g_autoptr(BdrvInfo) info = blk_get_info(blk, NULL);
    cr_assert_not_null(info);
    cr_assert_eq(blk_getlength(blk), 65536);
    *state = 2;
}

static gpointer flush_main(gpointer opaque)
{
    cr_assert_eq(blk_flush(opaque), 0);
    return NULL;
}

/* The flush waits for the handler, draining for the flush. */
Test(event, a_handler_asks_while_the_device_is_drained)
{
    g_autoptr(BlockBackend) blk = open_teller();
    atomic_int state = 0;
    unsigned handle = blk_add_event_handler(blk, NULL, ask, &state, NULL);
    GThread *thread;

    cr_assert_eq(blk_pwrite(blk, 0, 1, "x", 0), 0);
    thread = g_thread_new("flush", flush_main, blk);
    while (state == 0) {
        g_thread_yield();
    }
    blk_drained_begin(blk);
    cr_assert_eq(state, 2);
    blk_drained_end(blk);
    g_thread_join(thread);
    blk_remove_event_handler(blk, handle);
}
