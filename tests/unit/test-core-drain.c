/* SPDX-License-Identifier: MIT */
/* Draining: who waits for whom, and who does not. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "block/block-int.h"
#include "tests/unit/core-fixture.h"

TestSuite(core_drain, .init = core_init, .timeout = 20);

typedef struct Request {
    BlockBackend *blk, *dst; /* dst: copy instead of writing */
    atomic_int done;
    int ret;
    GThread *thread;
} Request;

static gpointer request_main(gpointer opaque)
{
    Request *req = opaque;
    static const char buf[512] = "x";

    req->ret = req->dst ? blk_copy_range(req->blk, 0, req->dst, 0, 512, 0)
                        : blk_pwrite(req->blk, 0, 512, buf, 0);
    req->done = 1;
    return NULL;
}

static void request_start(Request *req, BlockBackend *blk, BlockBackend *dst)
{
    *req = (Request){ .blk = blk, .dst = dst };
    req->thread = g_thread_new("request", request_main, req);
}

static void request_join(Request *req)
{
    g_thread_join(req->thread);
    cr_assert_eq(req->ret, 0);
}

static gpointer drain_main(gpointer opaque)
{
    Request *req = opaque;

    blk_drained_begin(req->blk);
    req->done = 1;
    return NULL;
}

/* Long enough for a thread that does not wait to show it. */
static void settle(void)
{
    g_usleep(30000);
}

Test(core_drain, waits_for_what_is_under_way)
{
    g_autoptr(BlockBackend) blk = core_open(BDRV_O_RDWR, "driver=mem");
    MemDisk *disk = core_disk(blk);
    Request write, drain = { .blk = blk };

    core_hold(disk);
    request_start(&write, blk, NULL);
    core_wait_held(disk, 1);
    drain.thread = g_thread_new("drain", drain_main, &drain);
    settle();
    cr_assert_eq(drain.done, 0);
    core_release(disk);
    g_thread_join(drain.thread);
    cr_assert_eq(write.done, 1);
    cr_assert_eq(blk_bs(blk)->gate.in_flight, 0);
    request_join(&write);
    blk_drained_end(blk);
}

Test(core_drain, keeps_new_requests_waiting_and_nests)
{
    g_autoptr(BlockBackend) blk = core_open(BDRV_O_RDWR, "driver=mem");
    Request write;

    blk_drained_begin(blk);
    blk_drained_begin(blk);
    request_start(&write, blk, NULL);
    settle();
    cr_assert_eq(write.done, 0);
    blk_drained_end(blk);
    settle();
    cr_assert_eq(write.done, 0);
    cr_assert_eq(core_count(core_disk(blk), MEM_WRITE), 0);
    blk_drained_end(blk);
    request_join(&write);
    cr_assert_eq(core_count(core_disk(blk), MEM_WRITE), 1);
}

Test(core_drain, a_drained_parent_still_uses_its_children)
{
    g_autoptr(BlockBackend)
        blk = core_open(BDRV_O_RDWR, "driver=raw,file.driver=blkdebug,"
                                     "file.image.driver=mem,file.align=4096");
    MemDisk *disk = core_disk(blk);
    Request write, drain = { .blk = blk };

    /* Held while it reads the block around its bytes: the write is to come. */
    core_hold(disk);
    request_start(&write, blk, NULL);
    core_wait_held(disk, 1);
    drain.thread = g_thread_new("drain", drain_main, &drain);
    settle();
    cr_assert_eq(drain.done, 0);
    core_release(disk);
    g_thread_join(drain.thread);
    cr_assert_eq(core_count(disk, MEM_WRITE), 1);
    request_join(&write);
    blk_drained_end(blk);
}

Test(core_drain, a_drained_child_keeps_its_parents_waiting)
{
    g_autoptr(BlockBackend)
        disk = core_open(BDRV_O_RDWR, "driver=mem,node-name=disk");
    g_autoptr(Options) options = options_new();
    options_set(options, "driver", "raw");
    options_set(options, "file", "disk");
    g_autoptr(BlockBackend) child = blk_open_with_perm(
        NULL, options, 0, BLK_PERM_CONSISTENT_READ, BLK_PERM_ALL, NULL);
    Request write;

    cr_assert(child);
    blk_drained_begin(child);
    blk_drained_end(child);
    blk_drained_begin(disk);
    char buf[8];
    request_start(&write, disk, NULL);
    settle();
    cr_assert_eq(write.done, 0);
    blk_drained_end(disk);
    request_join(&write);
    cr_assert_eq(blk_pread(child, 0, 8, buf, 0), 0);
}

Test(core_drain, a_copy_holds_neither_end_while_it_waits_for_the_other)
{
    g_autoptr(BlockBackend) src = core_open(0, "driver=mem");
    g_autoptr(BlockBackend) dst = core_open(BDRV_O_RDWR, "driver=mem");
    Request copy;

    blk_drained_begin(dst);
    request_start(&copy, src, dst);
    settle();
    cr_assert_eq(copy.done, 0);
    blk_drained_begin(src); /* would wait for the copy for ever */
    blk_drained_end(src);
    blk_drained_end(dst);
    request_join(&copy);
}

Test(core_drain, closing_and_reopening_within_a_drained_section)
{
    BlockBackend *blk = core_open(BDRV_O_RDWR, "driver=raw,file.driver=mem");

    cr_assert_eq(blk_pwrite(blk, 0, 1, "x", 0), 0);
    blk_drained_begin(blk);
    blk_drained_begin(blk);
    cr_assert(blk_set_read_only(blk, true, NULL));
    cr_assert(blk_is_read_only(blk));
    cr_assert_eq(core_count(core_disk(blk), MEM_FLUSH), 1);
    blk_close(blk);
}

/* ---- Many at once ---- */

typedef struct Crowd {
    BlockBackend *blk;
    atomic_int stop;
    atomic_int inside; /* of the drained section: nobody may be writing */
    atomic_int failures;
} Crowd;

static gpointer crowd_main(gpointer opaque)
{
    Crowd *crowd = opaque;
    char buf[100] = "";

    while (!crowd->stop) {
        crowd->failures += blk_pwrite(crowd->blk, 50, 100, buf, 0) != 0;
        crowd->failures += blk_pread(crowd->blk, 0, 100, buf, 0) != 0;
    }
    return NULL;
}

Test(core_drain, under_load)
{
    g_autoptr(BlockBackend) blk =
        core_open(BDRV_O_RDWR, "driver=raw,file.driver=mem,file.align=512");
    MemDisk *disk = core_disk(blk);
    Crowd crowd = { .blk = blk };
    GThread *threads[6];

    for (int i = 0; i < 6; i++) {
        threads[i] = g_thread_new("crowd", crowd_main, &crowd);
    }
    for (int i = 0; i < 200; i++) {
        blk_drained_begin(blk);
        core_forget(disk);
        if (i % 50 == 0) {
            g_usleep(2000);
        }
        g_autofree char *calls = core_calls(disk);
        cr_assert_str_eq(calls, "");
        blk_drained_end(blk);
    }
    crowd.stop = 1;
    for (int i = 0; i < 6; i++) {
        g_thread_join(threads[i]);
    }
    cr_assert_eq(crowd.failures, 0);
}
