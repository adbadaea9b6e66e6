/* SPDX-License-Identifier: MIT */
#include "tests/unit/aio-fixture.h"

#include <criterion/criterion.h>
#include <poll.h>

static char buf[512];

void done_clear(Done *done)
{
    g_clear_pointer(&done->words, g_free);
}

void aio_done(void *opaque, int ret)
{
    Done *done = opaque;

    done->count++;
    done->ret = ret;
    g_free(done->words);
    done->words = blk_strerror(ret);
}

AioContext *aio_new(unsigned workers)
{
    g_autoptr(GError) error = NULL;
    AioContext *ctx = aio_context_new(workers, &error);

    cr_assert(ctx, "%s", error ? error->message : "");
    return ctx;
}

BlockAIOCB *aio_write(BlockBackend *blk, AioContext *ctx, int64_t offset,
                      Done *done)
{
    IOVector iov;

    iov_init_buf(&iov, buf, sizeof(buf));
    return blk_aio_pwritev(blk, ctx, offset, &iov, 0, aio_done, done);
}

BlockAIOCB *aio_read(BlockBackend *blk, AioContext *ctx, int64_t offset,
                     Done *done)
{
    IOVector iov;

    iov_init_buf(&iov, buf, sizeof(buf));
    return blk_aio_preadv(blk, ctx, offset, &iov, 0, aio_done, done);
}

bool aio_is_readable(AioContext *ctx, int ms)
{
    struct pollfd fd = { .fd = aio_context_get_fd(ctx), .events = POLLIN };

    return poll(&fd, 1, ms) == 1;
}

void aio_settle(void)
{
    g_usleep(20000);
}

void aio_check(const Done *done, int ret)
{
    cr_assert_eq(done->count, 1, "called %d times", done->count);
    cr_assert_eq(done->ret, ret, "%d: %s", done->ret, done->words);
}
