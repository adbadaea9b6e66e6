/* SPDX-License-Identifier: MIT */
/* For tests of asynchronous requests: what became of one, and making them. */
#ifndef TESTS_AIO_FIXTURE_H
#define TESTS_AIO_FIXTURE_H

#include "block/aio.h"

typedef struct Done {
    int count;   /* calls of aio_done() */
    int ret;     /* of the last one */
    char *words; /* blk_strerror() in it; g_free() */
} Done;

void done_clear(Done *done);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Done, done_clear)

/* A BlockCompletionFunc; opaque: a Done. */
void aio_done(void *opaque, int ret);

/* Fails the test if there is none to be had. */
AioContext *aio_new(unsigned workers);

/* Write or read 512 bytes, of a buffer that all share. */
BlockAIOCB *aio_write(BlockBackend *blk, AioContext *ctx, int64_t offset,
                      Done *done);
BlockAIOCB *aio_read(BlockBackend *blk, AioContext *ctx, int64_t offset,
                     Done *done);

/* Whether the context's descriptor becomes readable within `ms`. */
bool aio_is_readable(AioContext *ctx, int ms);

/* Long enough for a thread that does not wait to show it. */
void aio_settle(void);

/* Fail the test unless it was called once, with this ret. */
void aio_check(const Done *done, int ret);

#endif
