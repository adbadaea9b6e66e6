/* SPDX-License-Identifier: MIT */
/* Completion functions that do things; posts; giving a context up. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "block/aio-int.h"
#include "tests/unit/aio-fixture.h"
#include "tests/unit/core-fixture.h"

TestSuite(aio_dispatch, .init = core_init, .timeout = 20);

typedef struct Scene {
    BlockBackend *blk;
    AioContext *ctx;
    GMainLoop *loop;
    int left;        /* requests to make, one after the other */
    int delivered;   /* completions and posts */
    int destroyed;   /* posts */
    unsigned inside; /* delivered inside a completion function */
    GString *order;
} Scene;

static void scene_write(Scene *s, BlockCompletionFunc *done)
{
    static char buf[512];
    IOVector iov;

    iov_init_buf(&iov, buf, sizeof(buf));
    blk_aio_pwritev(s->blk, s->ctx, 0, &iov, 0, done, s);
}

static void count(void *opaque, int ret)
{
    Scene *s = opaque;

    cr_assert_eq(ret, 0);
    s->delivered++;
}

/* ---- In a completion function ---- */

static void write_again(void *opaque, int ret)
{
    Scene *s = opaque;

    cr_assert_eq(ret, 0);
    if (s->left-- > 0) {
        scene_write(s, write_again);
    }
}

Test(aio_dispatch, a_completion_function_makes_the_next_request)
{
    g_autoptr(BlockBackend) blk = core_open(BDRV_O_RDWR, "driver=mem");
    g_autoptr(AioContext) ctx = aio_new(2);
    Scene s = { .blk = blk, .ctx = ctx, .left = 100 };

    scene_write(&s, write_again);
    aio_context_drain(ctx);
    cr_assert_eq(s.left, -1);
    cr_assert_eq(core_count(core_disk(blk), MEM_WRITE), 101);
}

static void close_it(void *opaque, int ret)
{
    Scene *s = opaque;

    cr_assert_eq(ret, 0);
    s->delivered++;
    blk_close(g_steal_pointer(&s->blk));
}

Test(aio_dispatch, a_completion_function_closes_its_backend)
{
    g_autoptr(AioContext) ctx = aio_new(4);
    Scene s = { .ctx = ctx };

    s.blk = core_open(BDRV_O_RDWR, "driver=mem");
    scene_write(&s, close_it);
    for (int i = 0; i < 20; i++) {
        scene_write(&s, count); /* under way when it is closed, some */
    }
    aio_context_drain(ctx);
    cr_assert_null(s.blk);
    cr_assert_eq(s.delivered, 21);
}

static void poll_inside(void *opaque, int ret)
{
    Scene *s = opaque;

    count(opaque, ret);
    s->inside += aio_context_dispatch(s->ctx);
    s->inside += aio_context_poll(s->ctx, 0);
}

Test(aio_dispatch, dispatching_inside_goes_on_where_the_caller_is)
{
    g_autoptr(BlockBackend) blk = core_open(BDRV_O_RDWR, "driver=mem");
    g_autoptr(AioContext) ctx = aio_new(1);
    Scene s = { .blk = blk, .ctx = ctx };

    scene_write(&s, poll_inside);
    for (int i = 0; i < 9; i++) {
        scene_write(&s, count);
    }
    blk_drain(blk);
    cr_assert_eq(aio_context_dispatch(ctx), 1);
    cr_assert_eq(s.delivered, 10);
    cr_assert_eq(s.inside, 9);
}

static void drain_inside(void *opaque, int ret)
{
    Scene *s = opaque;

    count(opaque, ret);
    scene_write(s, count);
    aio_context_drain(s->ctx);
}

Test(aio_dispatch, draining_inside_waits_for_the_others)
{
    g_autoptr(BlockBackend) blk = core_open(BDRV_O_RDWR, "driver=mem");
    g_autoptr(AioContext) ctx = aio_new(1);
    Scene s = { .blk = blk, .ctx = ctx };

    scene_write(&s, drain_inside);
    cr_assert_eq(aio_context_poll(ctx, -1), 1);
    cr_assert_eq(s.delivered, 2);
}

static void give_up(void *opaque, int ret)
{
    Scene *s = opaque;

    count(opaque, ret);
    aio_context_unref(g_steal_pointer(&s->ctx));
}

Test(aio_dispatch, a_completion_function_gives_its_context_up)
{
    g_autoptr(BlockBackend) blk = core_open(BDRV_O_RDWR, "driver=mem");
    AioContext *ctx = aio_new(1);
    Scene s = { .blk = blk, .ctx = ctx };

    scene_write(&s, give_up);
    for (int i = 0; i < 9; i++) {
        scene_write(&s, count);
    }
    blk_drain(blk);
    cr_assert_eq(aio_context_dispatch(ctx), 1);
    cr_assert_eq(s.delivered, 1); /* and no more */
    cr_assert_eq(core_count(core_disk(blk), MEM_WRITE), 10);
    /* The last one, with nothing else under way; while polling. */
    s.ctx = ctx = aio_new(1);
    scene_write(&s, give_up);
    cr_assert_eq(aio_context_poll(ctx, -1), 1);
}

/* ---- Posts ---- */

static void note_post(void *opaque)
{
    Scene *s = opaque;

    s->delivered++;
    g_string_append(s->order, "p");
}

static void note_destroyed(void *opaque)
{
    Scene *s = opaque;

    s->destroyed++;
    g_string_append(s->order, "d");
}

static void note_write(void *opaque, int ret)
{
    Scene *s = opaque;

    cr_assert_eq(ret, 0);
    g_string_append(s->order, "w");
}

static gpointer post_from_here(gpointer opaque)
{
    Scene *s = opaque;

    aio_context_post(s->ctx, note_post, s, note_destroyed);
    return NULL;
}

Test(aio_dispatch, posts_come_in_order_with_completions)
{
    g_autoptr(BlockBackend) blk = core_open(BDRV_O_RDWR, "driver=mem");
    g_autoptr(AioContext) ctx = aio_new(1);
    g_autoptr(GString) order = g_string_new(NULL);
    Scene s = { .blk = blk, .ctx = ctx, .order = order };

    aio_context_post(ctx, note_post, &s, NULL);
    cr_assert(aio_is_readable(ctx, 0));
    scene_write(&s, note_write);
    blk_drain(blk);
    g_thread_join(g_thread_new("post", post_from_here, &s));
    scene_write(&s, note_write);
    blk_drain(blk);
    aio_context_post(ctx, note_post, &s, note_destroyed);
    cr_assert_eq(order->len, 0);
    cr_assert_eq(aio_context_poll(ctx, -1), 5);
    cr_assert_str_eq(order->str, "pwpdwpd");
}

/* ---- Giving a context up ---- */

Test(aio_dispatch, what_was_posted_to_a_context_given_up_is_destroyed)
{
    AioContext *ctx = aio_new(1);
    g_autoptr(GString) order = g_string_new(NULL);
    Scene s = { .ctx = ctx, .order = order };

    aio_context_post(ctx, note_post, &s, note_destroyed);
    aio_context_post(ctx, note_post, &s, NULL);
    aio_context_unref(aio_context_ref(ctx));
    cr_assert_eq(s.destroyed, 0);
    aio_context_unref(ctx);
    cr_assert_eq(s.destroyed, 1);
    cr_assert_eq(s.delivered, 0);
}

Test(aio_dispatch, requests_of_a_context_given_up_are_carried_out)
{
    g_autoptr(BlockBackend) blk = core_open(BDRV_O_RDWR, "driver=mem");
    AioContext *ctx = aio_new(2);
    MemDisk *disk = core_disk(blk);
    Scene s = { .blk = blk, .ctx = ctx };

    core_hold(disk);
    for (int i = 0; i < 10; i++) {
        scene_write(&s, count);
    }
    core_wait_held(disk, 2);
    aio_context_unref(ctx);
    core_release(disk);
    blk_drain(blk);
    cr_assert_eq(core_count(disk, MEM_WRITE), 10);
    cr_assert_eq(s.delivered, 0);
}

Test(aio_dispatch, completions_that_waited_are_gone_with_the_context)
{
    g_autoptr(BlockBackend) blk = core_open(BDRV_O_RDWR, "driver=mem");
    AioContext *ctx = aio_new(2);
    Scene s = { .blk = blk, .ctx = ctx };

    for (int i = 0; i < 10; i++) {
        scene_write(&s, count);
    }
    blk_drain(blk);
    aio_context_unref(ctx);
    cr_assert_eq(s.delivered, 0);
}

/* ---- In a GMainContext ---- */

static void count_to_ten(void *opaque, int ret)
{
    Scene *s = opaque;

    count(opaque, ret);
    if (s->delivered == 10) {
        g_main_loop_quit(s->loop);
    }
}

Test(aio_dispatch, in_a_main_loop)
{
    g_autoptr(BlockBackend) blk = core_open(BDRV_O_RDWR, "driver=mem");
    g_autoptr(GMainContext) context = g_main_context_new();
    g_autoptr(GMainLoop) loop = g_main_loop_new(context, FALSE);
    AioContext *ctx = aio_new(2);
    g_autoptr(GSource) source = aio_context_create_source(ctx);
    Scene s = { .blk = blk, .ctx = ctx, .loop = loop };

    g_source_attach(source, context);
    cr_assert_not(g_main_context_iteration(context, FALSE));
    for (int i = 0; i < 10; i++) {
        scene_write(&s, count_to_ten);
    }
    aio_context_unref(ctx); /* the source has a reference */
    g_main_loop_run(loop);
    cr_assert_eq(s.delivered, 10);
    /* What the descriptor says without need is heard once. */
    while (g_main_context_iteration(context, FALSE)) {
    }
    cr_assert_not(g_main_context_pending(context));
    g_source_destroy(source);
}

static void loop_inside(void *opaque, int ret)
{
    Scene *s = opaque;

    count(opaque, ret);
    g_main_loop_run(s->loop);
}

Test(aio_dispatch, a_main_loop_in_a_completion_function)
{
    g_autoptr(BlockBackend) blk = core_open(BDRV_O_RDWR, "driver=mem");
    g_autoptr(GMainContext) context = g_main_context_new();
    g_autoptr(GMainLoop) loop = g_main_loop_new(context, FALSE);
    g_autoptr(AioContext) ctx = aio_new(1);
    g_autoptr(GSource) source = aio_context_create_source(ctx);
    Scene s = { .blk = blk, .ctx = ctx, .loop = loop };

    g_source_attach(source, context);
    scene_write(&s, loop_inside);
    for (int i = 0; i < 9; i++) {
        scene_write(&s, count_to_ten);
    }
    blk_drain(blk); /* all of them are taken at once */
    g_main_context_iteration(context, TRUE);
    cr_assert_eq(s.delivered, 10);
    g_source_destroy(source);
}
