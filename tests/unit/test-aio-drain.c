/* SPDX-License-Identifier: MIT */
/* Asynchronous requests where a node is drained, reopened or closed. */
#include <criterion/criterion.h>
#include <errno.h>

#include "block/block-int.h"
#include "tests/unit/aio-fixture.h"
#include "tests/unit/core-fixture.h"

TestSuite(aio_drain, .init = core_init, .timeout = 20);

/* A call in a thread of its own. */
typedef struct Caller {
    void (*call)(BlockBackend *blk);
    BlockBackend *blk;
    atomic_bool returned;
    GThread *thread;
} Caller;

static gpointer caller_main(gpointer opaque)
{
    Caller *caller = opaque;

    caller->call(caller->blk);
    caller->returned = true;
    return NULL;
}

static void caller_start(Caller *caller)
{
    caller->thread = g_thread_new("caller", caller_main, caller);
}

static BlockBackend *open_shared(const char *node)
{
    g_autoptr(Options) options = options_new();

    options_set(options, "driver", "raw");
    options_set(options, "file", node);
    BlockBackend *blk = blk_open_with_perm(
        NULL, options, BDRV_O_RDWR, BLK_PERM_CONSISTENT_READ | BLK_PERM_WRITE,
        BLK_PERM_ALL, NULL);
    cr_assert(blk);
    return blk;
}

/* Two backends that may both write: the node "disk", and raw above it. */
static BlockBackend *open_disk(void)
{
    g_autoptr(Options) options = options_new();

    options_set(options, "driver", "mem");
    options_set(options, "node-name", "disk");
    BlockBackend *blk = blk_open_with_perm(
        NULL, options, BDRV_O_RDWR, BLK_PERM_CONSISTENT_READ | BLK_PERM_WRITE,
        BLK_PERM_ALL, NULL);
    cr_assert(blk);
    return blk;
}

/* ---- Draining ---- */

Test(aio_drain, a_section_keeps_requests_waiting_but_no_worker)
{
    g_autoptr(BlockBackend) blk = core_open(BDRV_O_RDWR, "driver=mem");
    g_autoptr(BlockBackend) other = core_open(BDRV_O_RDWR, "driver=mem");
    g_autoptr(AioContext) ctx = aio_new(1);
    g_auto(Done) parked = { 0 }, done = { 0 };

    blk_drained_begin(blk);
    for (int i = 0; i < 50; i++) {
        aio_write(blk, ctx, 0, &parked);
    }
    aio_write(other, ctx, 0, &done);
    cr_assert_eq(aio_context_poll(ctx, -1), 1);
    aio_check(&done, 0);
    blk_drained_begin(blk);
    blk_drain(blk);
    blk_drained_end(blk);
    aio_settle();
    cr_assert_eq(core_count(core_disk(blk), MEM_WRITE), 0);
    cr_assert_eq(aio_context_dispatch(ctx), 0);
    blk_drained_end(blk);
    blk_drain(blk);
    cr_assert_eq(core_count(core_disk(blk), MEM_WRITE), 50);
    cr_assert_eq(aio_context_dispatch(ctx), 50);
    cr_assert_eq(parked.count, 50);
}

static void check_waits_for_queue(void (*call)(BlockBackend *))
{
    g_autoptr(BlockBackend) blk = core_open(BDRV_O_RDWR, "driver=mem");
    g_autoptr(AioContext) ctx = aio_new(1);
    MemDisk *disk = core_disk(blk);
    g_auto(Done) done = { 0 };
    Caller drain = { .call = call, .blk = blk };

    core_hold(disk);
    aio_write(blk, ctx, 0, &done);
    aio_write(blk, ctx, 512, &done);
    aio_write(blk, ctx, 1024, &done);
    core_wait_held(disk, 1);
    caller_start(&drain);
    aio_settle();
    cr_assert_not(drain.returned);
    core_release(disk);
    g_thread_join(drain.thread);
    core_expect(disk, "W0+512 W512+512 W1024+512");
    /* They wait to be dispatched already. */
    cr_assert_eq(aio_context_dispatch(ctx), 3);
}

Test(aio_drain, waits_for_requests_that_nobody_has_begun)
{
    check_waits_for_queue(blk_drain);
    check_waits_for_queue(blk_drained_begin);
}

Test(aio_drain, does_not_wait_for_a_request_made_meanwhile)
{
    g_autoptr(BlockBackend) blk = core_open(BDRV_O_RDWR, "driver=mem");
    g_autoptr(BlockBackend) other = core_open(BDRV_O_RDWR, "driver=mem");
    g_autoptr(AioContext) ctx = aio_new(1);
    g_autoptr(AioContext) busy = aio_new(1);
    g_auto(Done) done = { 0 }, late = { 0 };
    Caller drain = { .call = blk_drain, .blk = blk };

    core_hold(core_disk(other));
    core_hold(core_disk(blk));
    aio_write(other, busy, 0, &late); /* keeps the only worker */
    core_wait_held(core_disk(other), 1);
    aio_write(blk, ctx, 0, &done);
    caller_start(&drain);
    while (blk->aio.phase == 0) {
        g_usleep(100);
    }
    aio_write(blk, busy, 512, &late);
    core_release(core_disk(blk));
    g_thread_join(drain.thread);
    core_expect(core_disk(blk), "W0+512");
    core_release(core_disk(other));
    aio_context_drain(busy);
    aio_context_drain(ctx);
    cr_assert_eq(late.count, 2);
    aio_check(&done, 0);
}

typedef struct Stream {
    BlockBackend *blk;
    AioContext *ctx;
    bool stop;
} Stream;

static void stream_next(void *opaque, int ret)
{
    Stream *s = opaque;
    static char buf[512];
    IOVector iov;

    cr_assert_eq(ret, 0);
    if (!s->stop) {
        iov_init_buf(&iov, buf, sizeof(buf));
        blk_aio_pwritev(s->blk, s->ctx, 0, &iov, 0, stream_next, s);
    }
}

Test(aio_drain, ends_beside_a_stream_of_requests)
{
    g_autoptr(BlockBackend) blk = core_open(BDRV_O_RDWR, "driver=mem");
    g_autoptr(AioContext) ctx = aio_new(4);
    MemDisk *disk = core_disk(blk);
    Stream s = { .blk = blk, .ctx = ctx };
    Caller drains = { .call = blk_drain, .blk = blk };

    for (int i = 0; i < 8; i++) {
        stream_next(&s, 0);
    }
    for (int i = 0; i < 50; i++) {
        caller_start(&drains);
        while (!drains.returned) {
            aio_context_poll(ctx, 10);
        }
        g_thread_join(drains.thread);
        drains.returned = false;
    }
    s.stop = true;
    aio_context_drain(ctx);
    cr_assert_gt(core_count(disk, MEM_WRITE), 8);
}

Test(aio_drain, a_section_of_a_child_keeps_no_worker)
{
    g_autoptr(BlockBackend) disk = open_disk();
    BlockBackend *blk = open_shared("disk");
    g_autoptr(BlockBackend) other = core_open(BDRV_O_RDWR, "driver=mem");
    g_autoptr(AioContext) ctx = aio_new(1);
    g_auto(Done) parked = { 0 }, done = { 0 };

    blk_drained_begin(disk);
    aio_write(blk, ctx, 0, &parked);
    aio_write(blk, ctx, 0, &parked);
    aio_write(other, ctx, 0, &done);
    aio_context_poll(ctx, -1);
    aio_check(&done, 0);
    blk_drain(blk); /* those are not waited for */
    cr_assert_eq(core_count(core_disk(disk), MEM_WRITE), 0);
    blk_drained_end(disk);
    aio_context_drain(ctx);
    cr_assert_eq(parked.count, 2);
    blk_close(blk);
}

Test(aio_drain, what_is_parked_is_cancelled_at_once)
{
    g_autoptr(BlockBackend) disk = open_disk();
    BlockBackend *blk = open_shared("disk");
    g_autoptr(AioContext) ctx = aio_new(1);
    Done done[3] = { { 0 } };
    BlockAIOCB *acb[3];

    blk_drained_begin(disk);
    for (int i = 0; i < 3; i++) {
        acb[i] = aio_write(blk, ctx, 512 * i, &done[i]);
    }
    aio_settle();
    blk_aio_cancel(acb[1]);
    cr_assert_eq(aio_context_dispatch(ctx), 1);
    aio_check(&done[1], -ECANCELED);
    blk_aio_cancel(acb[0]);
    blk_aio_cancel(acb[2]);
    /* Nothing holds the backend any more, although the section goes on. */
    blk_close(blk);
    aio_context_drain(ctx);
    aio_check(&done[2], -ECANCELED);
    blk_drained_end(disk);
    cr_assert_eq(core_count(core_disk(disk), MEM_WRITE), 0);
    for (int i = 0; i < 3; i++) {
        done_clear(&done[i]);
    }
}

Test(aio_drain, requests_of_a_context_given_up_wait_as_well)
{
    g_autoptr(BlockBackend) blk = core_open(BDRV_O_RDWR, "driver=mem");
    AioContext *ctx = aio_new(2);
    g_auto(Done) done = { 0 };

    blk_drained_begin(blk);
    for (int i = 0; i < 5; i++) {
        aio_write(blk, ctx, 0, &done);
    }
    aio_settle();
    aio_context_unref(ctx);
    blk_drained_end(blk);
    blk_drain(blk);
    cr_assert_eq(core_count(core_disk(blk), MEM_WRITE), 5);
    cr_assert_eq(done.count, 0);
}

/* ---- Closing and reopening ---- */

Test(aio_drain, closing_waits_and_completions_come_afterwards)
{
    BlockBackend *blk = core_open(BDRV_O_RDWR, "driver=mem");
    g_autoptr(AioContext) ctx = aio_new(1);
    MemDisk *disk = core_disk(blk);
    g_auto(Done) done = { 0 };
    Caller closing = { .call = blk_close, .blk = blk };

    core_hold(disk);
    for (int i = 0; i < 5; i++) {
        aio_write(blk, ctx, 0, &done);
    }
    core_wait_held(disk, 1);
    caller_start(&closing);
    aio_settle();
    cr_assert_not(closing.returned);
    core_release(disk);
    g_thread_join(closing.thread);
    cr_assert_eq(done.count, 0);
    cr_assert_eq(aio_context_dispatch(ctx), 5);
    cr_assert_eq(done.ret, 0);
}

Test(aio_drain, closing_ends_the_section_that_keeps_requests_waiting)
{
    BlockBackend *blk = core_open(BDRV_O_RDWR, "driver=mem");
    g_autoptr(AioContext) ctx = aio_new(2);
    g_auto(Done) done = { 0 };

    blk_drained_begin(blk);
    blk_drained_begin(blk);
    aio_write(blk, ctx, 0, &done);
    aio_settle();
    cr_assert_eq(aio_context_dispatch(ctx), 0);
    blk_close(blk);
    aio_context_drain(ctx);
    aio_check(&done, 0);
}

Test(aio_drain, closing_waits_for_another_ones_section)
{
    g_autoptr(BlockBackend) disk = open_disk();
    BlockBackend *blk = open_shared("disk");
    g_autoptr(AioContext) ctx = aio_new(2);
    g_auto(Done) done = { 0 };
    Caller closing = { .call = blk_close, .blk = blk };

    blk_drained_begin(disk);
    aio_write(blk, ctx, 0, &done);
    caller_start(&closing);
    aio_settle();
    cr_assert_not(closing.returned);
    core_expect(core_disk(disk), "");
    blk_drained_end(disk);
    g_thread_join(closing.thread);
    aio_context_drain(ctx);
    aio_check(&done, 0);
    cr_assert_eq(core_count(core_disk(disk), MEM_WRITE), 1);
}

Test(aio_drain, writes_made_before_becoming_read_only_are_written)
{
    g_autoptr(BlockBackend) blk = core_open(BDRV_O_RDWR, "driver=mem");
    g_autoptr(AioContext) ctx = aio_new(1);
    g_auto(Done) before = { 0 }, after = { 0 };

    for (int i = 0; i < 20; i++) {
        aio_write(blk, ctx, 0, &before);
    }
    cr_assert(blk_set_read_only(blk, true, NULL));
    aio_write(blk, ctx, 0, &after);
    aio_context_drain(ctx);
    cr_assert_eq(before.count, 20);
    cr_assert_eq(before.ret, 0);
    aio_check(&after, -EACCES);
    core_check_text(after.words, "is read-only");
}

Test(aio_drain, writes_made_before_go_to_the_old_medium)
{
    g_autoptr(BlockBackend) blk = open_disk();
    BlockBackend *old = open_shared("disk");
    g_autoptr(AioContext) ctx = aio_new(1);
    g_auto(Done) done = { 0 };

    for (int i = 0; i < 20; i++) {
        aio_write(blk, ctx, 0, &done);
    }
    cr_assert(blk_change_medium(blk, "mem:1M", NULL, BDRV_O_RDWR, NULL));
    cr_assert_eq(core_count(core_disk(old), MEM_WRITE), 20);
    cr_assert_eq(core_count(core_disk(blk), MEM_WRITE), 0);
    aio_write(blk, ctx, 0, &done);
    aio_context_drain(ctx);
    cr_assert_eq(done.count, 21);
    cr_assert_eq(core_count(core_disk(blk), MEM_WRITE), 1);
    blk_close(old);
}

/* ---- Many at once ---- */

Test(aio_drain, sections_under_load_see_no_request)
{
    g_autoptr(BlockBackend)
        blk = core_open(BDRV_O_RDWR, "driver=raw,file.driver=mem");
    g_autoptr(AioContext) ctx = aio_new(6);
    MemDisk *disk = core_disk(blk);
    Stream s = { .blk = blk, .ctx = ctx };

    for (int i = 0; i < 16; i++) {
        stream_next(&s, 0);
    }
    for (int i = 0; i < 300; i++) {
        aio_context_poll(ctx, -1);
        blk_drained_begin(blk);
        core_forget(disk);
        aio_context_dispatch(ctx); /* makes more of them */
        if (i % 100 == 0) {
            aio_settle();
        }
        g_autofree char *calls = core_calls(disk);
        cr_assert_str_eq(calls, "");
        blk_drained_end(blk);
    }
    s.stop = true;
    aio_context_drain(ctx);
}
