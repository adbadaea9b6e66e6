/* SPDX-License-Identifier: MIT */
/* The "qcow2" driver: the table of its parts; see qcow2.h. */
#include "block/qcow2/qcow2.h"

#include <string.h>

#include "block/drivers.h"
#include "block/qcow2/qcow2-open.h"
#include "util/bytes.h"

/* Requests of this size are as good as larger ones. */
#define OPT_TRANSFER (INT64_C(2) << 20)

static int qcow2_probe(const uint8_t *buf, size_t size, const char *filename)
{
    be32 magic, version;

    (void)filename;
    if (size < sizeof(magic) + sizeof(version)) {
        return 0;
    }
    memcpy(&magic, buf, sizeof(magic));
    memcpy(&version, buf + sizeof(magic), sizeof(version));
    return be32_get(magic) == QCOW2_MAGIC && be32_get(version) >= 2 ? 100 : 0;
}

static int64_t qcow2_getlength(BlockDriverState *bs)
{
    Qcow2State *s = bdrv_opaque(bs);

    return s->size;
}

static void qcow2_refresh_limits(BlockDriverState *bs, BdrvLimits *limits)
{
    const Qcow2State *s = bdrv_opaque(bs);

    limits->opt_transfer = MAX(s->cluster_size, OPT_TRANSFER);
    limits->pwrite_zeroes_alignment = (uint32_t)s->cluster_size;
    limits->pdiscard_alignment = (uint32_t)s->cluster_size;
    limits->supported_write_flags = BDRV_REQ_WRITE_COMPRESSED;
    limits->supported_zero_flags = BDRV_REQ_MAY_UNMAP | BDRV_REQ_NO_FALLBACK;
}

/* A new image reads as zeroes wherever it does not show another one. */
static bool qcow2_has_zero_init(BlockDriverState *bs)
{
    Qcow2State *s = bdrv_opaque(bs);

    pthread_mutex_lock(&s->lock);
    bool is_zero = s->header.backing_file == NULL;
    pthread_mutex_unlock(&s->lock);
    return is_zero;
}

const BlockDriver bdrv_qcow2 = {
    .format_name = "qcow2",
    .instance_size = sizeof(Qcow2State),
    .is_format = true,
    .supports_backing = true,
    .options = qcow2_runtime_options,
    .create_options = qcow2_create_options,
    .probe = qcow2_probe,
    .open = qcow2_open,
    .close = qcow2_close,
    .reopen_prepare = qcow2_reopen_prepare,
    .create = qcow2_create,
    .refresh_limits = qcow2_refresh_limits,
    .getlength = qcow2_getlength,
    .preadv = qcow2_preadv,
    .pwritev = qcow2_pwritev,
    .pwrite_zeroes = qcow2_pwrite_zeroes,
    .pdiscard = qcow2_pdiscard,
    .flush = qcow2_flush,
    .truncate = qcow2_truncate,
    .block_status = qcow2_block_status,
    .copy_range_to = qcow2_copy_range_to,
    .make_empty = qcow2_make_empty,
    .change_backing_file = qcow2_change_backing_file,
    .check = qcow2_check,
    .measure = qcow2_measure,
    .info = qcow2_info,
    .has_zero_init = qcow2_has_zero_init,
    .backing_opened = qcow2_backing_opened,
    .record_fingerprint = qcow2_record_fingerprint,
};
