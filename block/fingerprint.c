/* SPDX-License-Identifier: MIT */
/*
 * A backing file that is made as it is read (fat:DIR) can be another one the
 * next time: where its bytes lie goes with the directory. What an image holds
 * belongs to the one that it was written on. So the drivers of such backing
 * files give a fingerprint of where their bytes lie, and those of images keep
 * it, and compare.
 */
#include "block/fingerprint.h"

#include <errno.h>

#include "block/backend.h"
#include "block/drain.h"
#include "block/drivers.h"
#include "block/graph.h"
#include "block/io.h"

bool bdrv_get_fingerprint(BlockDriverState *bs, BdrvFingerprint *fingerprint)
{
    /* Raw, and filters, show what is below as it is. */
    while (bs && (bs->drv->is_filter || bs->drv == &bdrv_raw)) {
        bs = node_primary(bs);
    }
    return bs && bs->drv->get_fingerprint &&
           bs->drv->get_fingerprint(bs, fingerprint);
}

bool backing_check(BlockDriverState *bs, GError **errp)
{
    return bs->backing == NULL || bs->drv->backing_opened == NULL ||
           bs->drv->backing_opened(bs, errp);
}

/* Whoever holds `backing` has it open. */
static bool fingerprint_of_backend(BlockBackend *backing,
                                   BdrvFingerprint *fingerprint)
{
    bool found = bdrv_get_fingerprint(backend_enter(backing), fingerprint);

    backend_leave(backing);
    return found;
}

static int record(BlockBackend *blk, BlockDriverState *bs,
                  const BdrvFingerprint *fingerprint, GError **errp)
{
    int ret = io_check_write(blk->root, 0, 0, 0);

    if (ret < 0) {
        g_autofree char *reason = blk_strerror(ret);
        block_error_set(errp, -ret,
                        "Could not record what the backing directory is "
                        "like: %s",
                        reason);
        return ret;
    }
    ret = bs->drv->record_fingerprint(bs, fingerprint, errp);
    bs->write_generation++;
    return ret;
}

int blk_record_fingerprint(BlockBackend *blk, BlockBackend *backing,
                           GError **errp)
{
    BdrvFingerprint fingerprint;
    bool found = backing && fingerprint_of_backend(backing, &fingerprint);
    BlockDriverState *bs = backend_enter(blk);
    int ret = 0;

    node_enter(bs);
    if (!backing && bs->backing) {
        found = bdrv_get_fingerprint(bs->backing->bs, &fingerprint);
    }
    if (bs->drv->record_fingerprint) {
        ret = record(blk, bs, found ? &fingerprint : NULL, errp);
    }
    node_leave(bs);
    backend_leave(blk);
    return ret;
}
