/* SPDX-License-Identifier: MIT */
/* Asynchronous requests: what they do, where they complete, giving them up. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "block/block-int.h"
#include "tests/unit/aio-fixture.h"
#include "tests/unit/core-fixture.h"

TestSuite(aio, .init = core_init, .timeout = 20);

#define LONG_MS 10000 /* more than anything here takes */

/* ---- Requests ---- */

Test(aio, requests_are_what_their_namesakes_are)
{
    g_autoptr(BlockBackend)
        blk = core_open(BDRV_O_RDWR | BDRV_O_UNMAP,
                        "driver=mem,fua=on,unmap=on,no-fallback=on");
    g_autoptr(AioContext) ctx = aio_new(1);
    MemDisk *disk = core_disk(blk);
    char out[600], in[600] = "";
    g_auto(Done) done = { 0 };
    IOVector iov;

    memset(out, 'w', sizeof(out));
    iov_init_buf(&iov, out, sizeof(out));
    blk_aio_pwritev(blk, ctx, 100, &iov, BDRV_REQ_FUA, aio_done, &done);
    aio_context_drain(ctx);
    core_expect(disk, "W100+600f");
    iov_init_buf(&iov, in, sizeof(in));
    blk_aio_preadv(blk, ctx, 100, &iov, 0, aio_done, &done);
    aio_context_drain(ctx);
    core_expect(disk, "R100+600");
    cr_assert_arr_eq(in, out, sizeof(in));
    blk_aio_pwrite_zeroes(blk, ctx, 0, 4096, BDRV_REQ_MAY_UNMAP, aio_done,
                          &done);
    aio_context_drain(ctx);
    core_expect(disk, "Z0+4096m");
    blk_aio_pdiscard(blk, ctx, 4096, 8192, aio_done, &done);
    aio_context_drain(ctx);
    core_expect(disk, "D4096+8192");
    blk_aio_flush(blk, ctx, aio_done, &done);
    aio_context_drain(ctx);
    core_expect(disk, "F");
    blk_aio_commit(blk, ctx, false, aio_done, &done);
    aio_context_drain(ctx);
    core_expect(disk, "");
    cr_assert_eq(done.count, 6);
    cr_assert_eq(done.ret, 0);
}

Test(aio, a_vector_is_copied)
{
    g_autoptr(BlockBackend) blk = core_open(BDRV_O_RDWR, "driver=mem");
    g_autoptr(AioContext) ctx = aio_new(1);
    MemDisk *disk = core_disk(blk);
    g_auto(Done) done = { 0 }, none = { 0 };
    char bytes[] = "0123456789";
    IOVector iov, empty;

    core_hold(disk);
    aio_write(blk, ctx, 4096, &done); /* the only worker is busy */
    iov_init(&iov);
    for (int i = 9; i >= 0; i--) {
        iov_add(&iov, bytes + i, 1);
    }
    blk_aio_pwritev(blk, ctx, 0, &iov, 0, aio_done, &done);
    iov.iov[0].iov_base = NULL;
    iov_clear(&iov);
    iov_init(&empty);
    blk_aio_pwritev(blk, ctx, 0, &empty, 0, aio_done, &none);
    core_release(disk);
    aio_context_drain(ctx);
    cr_assert_eq(done.count, 2);
    cr_assert_arr_eq(disk->data, "9876543210", 10);
    aio_check(&none, 0);
}

Test(aio, errors_arrive_with_their_words)
{
    g_autoptr(BlockBackend)
        blk = core_open(BDRV_O_RDWR, "driver=blkdebug,image.driver=mem,"
                                     "inject-error.0.iotype=write");
    g_autoptr(AioContext) ctx = aio_new(0);
    g_auto(Done) write = { 0 }, read = { 0 }, past = { 0 };
    char byte;

    aio_write(blk, ctx, 0, &write);
    aio_read(blk, ctx, 0, &read);
    aio_read(blk, ctx, INT64_C(1) << 50, &past);
    cr_assert_eq(write.count + read.count + past.count, 0);
    /* What this thread has to say comes back afterwards. */
    cr_assert_eq(blk_pread(blk, -1, 1, &byte, 0), -EIO);
    aio_context_drain(ctx);
    g_autofree char *words = blk_strerror(-EIO);
    core_check_text(words, "offset -1");
    aio_check(&write, -EIO);
    core_check_text(write.words, "blkdebug: injected error");
    aio_check(&read, 0);
    aio_check(&past, -EIO);
    core_check_text(past.words, "offset 1125899906842624 reach past the end");
}

Test(aio, a_flush_covers_what_had_completed)
{
    g_autoptr(BlockBackend) blk = core_open(BDRV_O_RDWR, "driver=mem");
    g_autoptr(AioContext) ctx = aio_new(4);
    MemDisk *disk = core_disk(blk);
    g_auto(Done) write = { 0 }, flush = { 0 };

    aio_write(blk, ctx, 0, &write);
    aio_context_drain(ctx);
    blk_aio_flush(blk, ctx, aio_done, &flush);
    aio_context_drain(ctx);
    core_expect(disk, "W0+512 F");
    blk_aio_flush(blk, ctx, aio_done, &flush);
    aio_context_drain(ctx);
    core_expect(disk, ""); /* nothing more to flush */
    cr_assert_eq(flush.count, 2);
}

/* ---- Contexts ---- */

Test(aio, as_many_workers_as_asked_for)
{
    g_autoptr(GError) error = NULL;

    cr_assert_null(aio_context_new(1025, &error));
    core_check_text(error->message, "1 to 1024 workers");

    g_autoptr(BlockBackend) blk = core_open(BDRV_O_RDWR, "driver=mem");
    g_autoptr(AioContext) ctx = aio_new(3);
    MemDisk *disk = core_disk(blk);
    g_auto(Done) done = { 0 };

    core_hold(disk);
    for (int i = 0; i < 8; i++) {
        aio_write(blk, ctx, 512 * i, &done);
    }
    core_wait_held(disk, 3);
    aio_settle();
    cr_assert_eq(core_count(disk, MEM_WRITE), 3);
    core_release(disk);
    aio_context_drain(ctx);
    cr_assert_eq(done.count, 8);
    cr_assert_eq(core_count(disk, MEM_WRITE), 8);
}

Test(aio, completions_wait_for_dispatch)
{
    g_autoptr(BlockBackend) blk = core_open(BDRV_O_RDWR, "driver=mem");
    g_autoptr(AioContext) ctx = aio_new(2);
    g_auto(Done) done = { 0 };

    cr_assert_not(aio_is_readable(ctx, 0));
    cr_assert_eq(aio_context_dispatch(ctx), 0);
    for (int i = 0; i < 10; i++) {
        aio_write(blk, ctx, 0, &done);
    }
    blk_drain(blk);
    cr_assert(aio_is_readable(ctx, 0));
    cr_assert_eq(done.count, 0);
    cr_assert_eq(aio_context_dispatch(ctx), 10);
    cr_assert_eq(done.count, 10);
    cr_assert_not(aio_is_readable(ctx, 0));
    /* Once more, for the descriptor was used before. */
    aio_write(blk, ctx, 0, &done);
    cr_assert(aio_is_readable(ctx, LONG_MS));
    cr_assert_eq(aio_context_dispatch(ctx), 1);
}

Test(aio, poll_waits_as_long_as_it_is_told)
{
    g_autoptr(BlockBackend) blk = core_open(BDRV_O_RDWR, "driver=mem");
    g_autoptr(AioContext) ctx = aio_new(2);
    g_auto(Done) done = { 0 };

    cr_assert_eq(aio_context_poll(ctx, -1), 0); /* nothing is under way */
    core_hold(core_disk(blk));
    aio_write(blk, ctx, 0, &done);
    int64_t start = g_get_monotonic_time();
    cr_assert_eq(aio_context_poll(ctx, 0), 0);
    cr_assert_eq(aio_context_poll(ctx, 20), 0);
    cr_assert_geq(g_get_monotonic_time() - start, 20000);
    core_release(core_disk(blk));
    cr_assert_eq(aio_context_poll(ctx, -1), 1);
    aio_check(&done, 0);
    cr_assert_eq(aio_context_poll(ctx, LONG_MS), 0);
}

Test(aio, a_descriptor_that_says_so_without_need_is_heard_once)
{
    g_autoptr(BlockBackend) blk = core_open(BDRV_O_RDWR, "driver=mem");
    g_autoptr(AioContext) ctx = aio_new(2);
    g_auto(Done) done = { 0 };
    const uint64_t one = 1;

    core_hold(core_disk(blk));
    aio_write(blk, ctx, 0, &done);
    cr_assert_eq(write(aio_context_get_fd(ctx), &one, sizeof(one)),
                 sizeof(one));
    cr_assert_eq(aio_context_poll(ctx, 20), 0);
    cr_assert_not(aio_is_readable(ctx, 0));
    core_release(core_disk(blk));
    aio_context_drain(ctx);
}

Test(aio, one_context_does_not_wait_for_another)
{
    g_autoptr(BlockBackend) held = core_open(BDRV_O_RDWR, "driver=mem");
    g_autoptr(BlockBackend) blk = core_open(BDRV_O_RDWR, "driver=mem");
    g_autoptr(AioContext) busy = aio_new(1);
    g_autoptr(AioContext) ctx = aio_new(1);
    g_auto(Done) first = { 0 }, second = { 0 };

    core_hold(core_disk(held));
    aio_write(held, busy, 0, &first);
    aio_write(blk, ctx, 0, &second);
    aio_context_drain(ctx);
    aio_check(&second, 0);
    cr_assert_eq(first.count, 0);
    core_release(core_disk(held));
    aio_context_drain(busy);
    aio_check(&first, 0);
}

/* ---- Cancelling ---- */

Test(aio, what_nobody_has_begun_is_cancelled_at_once)
{
    g_autoptr(BlockBackend) blk = core_open(BDRV_O_RDWR, "driver=mem");
    g_autoptr(AioContext) ctx = aio_new(1);
    MemDisk *disk = core_disk(blk);
    g_auto(Done) first = { 0 }, second = { 0 }, third = { 0 };

    core_hold(disk);
    BlockAIOCB *begun = aio_write(blk, ctx, 0, &first);
    core_wait_held(disk, 1);
    BlockAIOCB *waiting = aio_write(blk, ctx, 512, &second);
    aio_write(blk, ctx, 1024, &third);
    blk_aio_cancel(begun);
    blk_aio_cancel(waiting);
    blk_aio_cancel(waiting);
    cr_assert_eq(second.count, 0);
    cr_assert_eq(aio_context_dispatch(ctx), 1);
    aio_check(&second, -ECANCELED);
    cr_assert_str_eq(second.words, g_strerror(ECANCELED));
    core_release(disk);
    aio_context_drain(ctx);
    aio_check(&first, 0);
    aio_check(&third, 0);
    core_expect(disk, "W0+512 W1024+512");
}

Test(aio, what_has_completed_can_be_cancelled_after_closing)
{
    BlockBackend *blk = core_open(BDRV_O_RDWR, "driver=mem");
    g_autoptr(AioContext) ctx = aio_new(1);
    g_auto(Done) done = { 0 };
    BlockAIOCB *acb = aio_write(blk, ctx, 0, &done);

    blk_close(blk);
    blk_aio_cancel(acb);
    aio_context_drain(ctx);
    aio_check(&done, 0);
}
