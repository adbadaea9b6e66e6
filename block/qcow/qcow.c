/* SPDX-License-Identifier: MIT */
/* The "qcow" driver: opening and closing; the table of its parts. See
 * qcow.h. */
#include "block/qcow/qcow.h"

#include <errno.h>
#include <string.h>

#include "block/drivers.h"
#include "util/rwlock.h"

/* L2 entries in memory: 4 GiB of the device with clusters of 4 KiB. */
#define L2_CACHE_BYTES (INT64_C(8) << 20)

/* Requests of this size are as good as larger ones. */
#define OPT_TRANSFER (INT64_C(2) << 20)

/* An entry that names what is behind the end of the file would come to name
 * something else once the file grows. */
#define DAMAGED                                                               \
    "The image is damaged, and can only be read: an L1 entry names no L2 table"

static int qcow_probe(const uint8_t *buf, size_t size, const char *filename)
{
    QcowDiskHeader disk;

    (void)filename;
    if (size < sizeof(disk)) {
        return 0;
    }
    memcpy(&disk, buf, sizeof(disk));
    return be32_get(disk.magic) == QCOW_MAGIC &&
                   be32_get(disk.version) == QCOW_VERSION
               ? 100
               : 0;
}

/* ---- Opening ---- */

static bool read_header(QcowState *s, int64_t *file_length, GError **errp)
{
    QcowDiskHeader disk;

    *file_length = bdrv_getlength(bdrv_child_bs(s->file));
    if (*file_length < 0) {
        block_error_set_errno(errp, (int)-*file_length,
                              "Could not find the size of the image");
        return false;
    }
    int ret = bdrv_pread(s->file, 0, sizeof(disk), &disk, 0);
    if (ret < 0) {
        block_error_set_errno(errp, -ret, "Could not read the header");
        return false;
    }
    return qcow_header_parse(&s->header, &disk, *file_length, errp);
}

static bool read_backing_name(QcowState *s, GError **errp)
{
    const QcowHeader *header = &s->header;
    char name[QCOW_MAX_BACKING_NAME + 1] = { 0 };

    if (header->backing_file_offset == 0) {
        return true;
    }
    int ret = bdrv_pread(s->file, header->backing_file_offset,
                         header->backing_file_size, name, 0);
    if (ret < 0) {
        block_error_set_errno(errp, -ret,
                              "Could not read the name of the backing file");
        return false;
    }
    if (strlen(name) != header->backing_file_size) {
        block_error_set(errp, EINVAL,
                        "The image is damaged: there is a NUL in the name of "
                        "its backing file");
        return false;
    }
    bdrv_set_backing_file(s->bs, name, NULL);
    return true;
}

static void free_memory(QcowState *s)
{
    g_clear_pointer(&s->l2_cache, table_cache_free);
    g_clear_pointer(&s->l1, g_free);
}

static bool open_tables(QcowState *s, GError **errp)
{
    int64_t file_length;

    if (!read_header(s, &file_length, errp) || !read_backing_name(s, errp)) {
        return false;
    }
    s->cluster_size = INT64_C(1) << s->header.cluster_bits;
    s->l2_bytes = INT64_C(8) << s->header.l2_bits;
    if (!qcow_l1_read(s, file_length, errp)) {
        return false;
    }
    s->l2_cache = table_cache_new(s->file, s->piece_bytes,
                                  (unsigned)(L2_CACHE_BYTES / s->piece_bytes),
                                  qcow_before_l2_write, s);
    if (s->l2_cache == NULL) {
        block_error_set(errp, ENOMEM, "There is no memory for L2 tables");
        return false;
    }
    return !s->damaged || bdrv_apply_auto_read_only(s->bs, DAMAGED, errp);
}

static bool qcow_open(BlockDriverState *bs, Options *options, unsigned flags,
                      GError **errp)
{
    QcowState *s = bdrv_opaque(bs);

    (void)flags;
    s->bs = bs;
    s->file = bdrv_open_file_child(bs, options, errp);
    if (s->file == NULL || !open_tables(s, errp)) {
        free_memory(s);
        return false;
    }
    /* Else requests that never pause would keep emptying out for ever. */
    rwlock_init(&s->contents);
    pthread_mutex_init(&s->lock, NULL);
    range_lock_init(&s->busy);
    qcow_frees_init(s);
    return true;
}

/* ---- Writing back ---- */

/* Nobody can write the tables once the image is read-only. */
static bool qcow_reopen_prepare(BlockDriverState *bs, unsigned flags,
                                GError **errp)
{
    const QcowState *s = bdrv_opaque(bs);

    if (flags & BDRV_O_RDWR) {
        if (s->damaged) {
            block_error_set(errp, EACCES, "%s", DAMAGED);
        }
        return !s->damaged;
    }
    int ret = qcow_flush(bs);
    if (ret < 0) {
        block_error_set_errno(errp, -ret,
                              "Could not write the tables of the image");
    }
    return ret == 0;
}

static void qcow_close(BlockDriverState *bs)
{
    QcowState *s = bdrv_opaque(bs);

    /* The core has flushed, and reported what failed, unless told not to. */
    if (!bdrv_is_read_only(bs)) {
        (void)!qcow_flush(bs);
    }
    qcow_frees_clear(s);
    range_lock_clear(&s->busy);
    pthread_mutex_destroy(&s->lock);
    pthread_rwlock_destroy(&s->contents);
    free_memory(s);
}

static int qcow_make_empty(BlockDriverState *bs, GError **errp)
{
    QcowState *s = bdrv_opaque(bs);

    pthread_rwlock_wrlock(&s->contents);
    pthread_mutex_lock(&s->lock);
    int ret = qcow_empty(s, errp);
    pthread_mutex_unlock(&s->lock);
    pthread_rwlock_unlock(&s->contents);
    return ret;
}

/* ---- What is asked about the node ---- */

static int64_t qcow_getlength(BlockDriverState *bs)
{
    const QcowState *s = bdrv_opaque(bs);

    return s->header.size;
}

static void qcow_refresh_limits(BlockDriverState *bs, BdrvLimits *limits)
{
    const QcowState *s = bdrv_opaque(bs);

    limits->opt_transfer = OPT_TRANSFER;
    limits->pdiscard_alignment = (uint32_t)s->cluster_size;
    limits->supported_write_flags = BDRV_REQ_WRITE_COMPRESSED;
    limits->supported_zero_flags = BDRV_REQ_MAY_UNMAP | BDRV_REQ_NO_FALLBACK;
}

static bool qcow_info(BlockDriverState *bs, BdrvInfo *info, GError **errp)
{
    const QcowState *s = bdrv_opaque(bs);

    (void)errp;
    info->cluster_size = s->cluster_size;
    return true;
}

static bool qcow_has_zero_init(BlockDriverState *bs)
{
    const QcowState *s = bdrv_opaque(bs);

    return s->header.backing_file_offset == 0;
}

const BlockDriver bdrv_qcow = {
    .format_name = "qcow",
    .instance_size = sizeof(QcowState),
    .is_format = true,
    .supports_backing = true,
    .create_options = qcow_create_options,
    .probe = qcow_probe,
    .open = qcow_open,
    .close = qcow_close,
    .reopen_prepare = qcow_reopen_prepare,
    .create = qcow_create,
    .refresh_limits = qcow_refresh_limits,
    .getlength = qcow_getlength,
    .preadv = qcow_preadv,
    .pwritev = qcow_pwritev,
    .pwrite_zeroes = qcow_pwrite_zeroes,
    .pdiscard = qcow_pdiscard,
    .flush = qcow_flush,
    .block_status = qcow_block_status,
    .make_empty = qcow_make_empty,
    .check = qcow_check,
    .measure = qcow_measure,
    .info = qcow_info,
    .has_zero_init = qcow_has_zero_init,
};
