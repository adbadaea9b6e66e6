/* SPDX-License-Identifier: MIT */
/*
 * One request, from blk_aio_*() to its completion: counted in its backend,
 * put into the queue of its context; carried out on a worker, by the call that
 * it is named after; pushed to be delivered; and only then uncounted, so that
 * whoever has waited for the backend's requests finds their completions.
 *
 * The worker enters the backend and its node first, without waiting, and the
 * call finds that done: so a drained section that begins in between does not
 * keep the worker.
 */
#include <errno.h>

#include "block/aio-int.h"
#include "block/drain.h"
#include "block/io.h"

/* ---- Completion ---- */

static void request_free(BlockAIOCB *acb)
{
    iov_clear(&acb->iov);
    g_free(acb->words);
    g_free(acb);
}

static void request_deliver(AioItem *item)
{
    BlockAIOCB *acb = (BlockAIOCB *)item;
    char *before = io_error_swap(g_steal_pointer(&acb->words));

    atomic_fetch_sub(&acb->ctx->under_way, 1);
    acb->done(acb->opaque, acb->ret);
    g_free(io_error_swap(before));
    request_free(acb);
}

static void request_discard(AioItem *item)
{
    BlockAIOCB *acb = (BlockAIOCB *)item;
    AioContext *ctx = acb->ctx;

    request_free(acb);
    if (atomic_fetch_sub(&ctx->under_way, 1) == 1) {
        aio_workers_discarded(ctx);
    }
}

/* The request is not ours afterwards, and the backend may be gone. */
static void request_end(BlockAIOCB *acb, int ret)
{
    AioCount *count = &acb->blk->aio;
    unsigned phase = acb->phase;

    acb->ret = ret;
    aio_context_push(acb->ctx, &acb->item);
    aio_count_end(count, phase);
}

/* ---- On a worker ---- */

static int perform_commit(BlockAIOCB *acb)
{
    g_autoptr(GError) error = NULL;
    int ret = blk_commit(acb->blk, acb->finish, &error);

    if (error) {
        bdrv_set_io_error("%s", error->message);
    }
    return ret;
}

static int perform(BlockAIOCB *acb)
{
    switch (acb->kind) {
    case AIO_READ:
        return blk_preadv(acb->blk, acb->offset, acb->bytes, &acb->iov,
                          acb->flags);
    case AIO_WRITE:
        return blk_pwritev(acb->blk, acb->offset, acb->bytes, &acb->iov,
                           acb->flags);
    case AIO_ZEROES:
        return blk_pwrite_zeroes(acb->blk, acb->offset, acb->bytes,
                                 acb->flags);
    case AIO_DISCARD:
        return blk_pdiscard(acb->blk, acb->offset, acb->bytes);
    case AIO_FLUSH:
        return blk_flush(acb->blk);
    case AIO_COMMIT:
        return perform_commit(acb);
    }
    return -EINVAL;
}

/*
 * Enter the backend and its node. When one of them is drained, or a node that
 * it stands on, so that the request would wait there, that is left to the
 * gate.
 */
static bool enter_or_park(BlockAIOCB *acb)
{
    DrainGate *backend = &acb->blk->gate;
    DrainGate *drained = backend;
    BlockDriverState *bs = NULL;
    bool in_backend = gate_try_enter(backend);
    bool in_node = false;

    if (in_backend) {
        bs = blk_bs(acb->blk);
        in_node = node_try_enter(bs);
        drained = in_node ? node_find_drained(bs) : &bs->gate;
    }
    if (drained == NULL) {
        gate_hand_entry(backend);
        gate_hand_entry(&bs->gate);
        return true;
    }
    bool parked = aio_worker_park(acb, drained);
    if (in_node) {
        node_unpin(bs);
    }
    if (in_backend) {
        gate_unpin(backend); /* it may be closed next */
    }
    if (!parked) {
        request_end(acb, -ECANCELED);
    }
    return false;
}

void aio_request_run(BlockAIOCB *acb)
{
    if (!enter_or_park(acb)) {
        return;
    }
    int ret = perform(acb);
    gate_take_entries_back();
    if (ret < 0) {
        acb->words = io_error_swap(NULL);
    }
    request_end(acb, ret);
}

/* ---- For programs ---- */

static BlockAIOCB *request_new(BlockBackend *blk, AioContext *ctx,
                               AioKind kind, int64_t offset, int64_t bytes,
                               unsigned flags, BlockCompletionFunc *done,
                               void *opaque)
{
    BlockAIOCB *acb = g_new(BlockAIOCB, 1);

    *acb = (BlockAIOCB){
        .item = { .deliver = request_deliver, .discard = request_discard },
        .ctx = ctx,
        .blk = blk,
        .kind = kind,
        .flags = flags,
        .offset = offset,
        .bytes = bytes,
        .done = done,
        .opaque = opaque,
    };
    iov_init(&acb->iov);
    return acb;
}

static BlockAIOCB *request_submit(BlockAIOCB *acb)
{
    atomic_fetch_add(&acb->ctx->under_way, 1);
    acb->phase = aio_count_begin(&acb->blk->aio);
    aio_worker_submit(acb);
    return acb;
}

static BlockAIOCB *submit_vector(BlockBackend *blk, AioContext *ctx,
                                 AioKind kind, int64_t offset,
                                 const IOVector *iov, unsigned flags,
                                 BlockCompletionFunc *done, void *opaque)
{
    BlockAIOCB *acb = request_new(blk, ctx, kind, offset, (int64_t)iov->size,
                                  flags, done, opaque);

    iov_init_slice(&acb->iov, iov, 0, iov->size);
    return request_submit(acb);
}

BlockAIOCB *blk_aio_preadv(BlockBackend *blk, AioContext *ctx, int64_t offset,
                           const IOVector *iov, unsigned flags,
                           BlockCompletionFunc *done, void *opaque)
{
    return submit_vector(blk, ctx, AIO_READ, offset, iov, flags, done, opaque);
}

BlockAIOCB *blk_aio_pwritev(BlockBackend *blk, AioContext *ctx, int64_t offset,
                            const IOVector *iov, unsigned flags,
                            BlockCompletionFunc *done, void *opaque)
{
    return submit_vector(blk, ctx, AIO_WRITE, offset, iov, flags, done,
                         opaque);
}

BlockAIOCB *blk_aio_pwrite_zeroes(BlockBackend *blk, AioContext *ctx,
                                  int64_t offset, int64_t bytes,
                                  unsigned flags, BlockCompletionFunc *done,
                                  void *opaque)
{
    return request_submit(
        request_new(blk, ctx, AIO_ZEROES, offset, bytes, flags, done, opaque));
}

BlockAIOCB *blk_aio_pdiscard(BlockBackend *blk, AioContext *ctx,
                             int64_t offset, int64_t bytes,
                             BlockCompletionFunc *done, void *opaque)
{
    return request_submit(
        request_new(blk, ctx, AIO_DISCARD, offset, bytes, 0, done, opaque));
}

BlockAIOCB *blk_aio_flush(BlockBackend *blk, AioContext *ctx,
                          BlockCompletionFunc *done, void *opaque)
{
    return request_submit(
        request_new(blk, ctx, AIO_FLUSH, 0, 0, 0, done, opaque));
}

BlockAIOCB *blk_aio_commit(BlockBackend *blk, AioContext *ctx, bool finish,
                           BlockCompletionFunc *done, void *opaque)
{
    BlockAIOCB *acb = request_new(blk, ctx, AIO_COMMIT, 0, 0, 0, done, opaque);

    acb->finish = finish;
    return request_submit(acb);
}

void blk_aio_cancel(BlockAIOCB *acb)
{
    bool parked;

    if (!aio_worker_withdraw(acb, &parked)) {
        return;
    }
    if (parked) {
        acb->phase = aio_count_unpark(&acb->blk->aio);
    }
    request_end(acb, -ECANCELED);
}
