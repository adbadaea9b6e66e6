/* SPDX-License-Identifier: MIT */
/*
 * New images, and how large they get.
 *
 * The sizes of clusters and tables are those that QEMU gives its images, so
 * that nothing is to be copied when a sector is written over a backing file.
 * Only a device for which the L1 table would become large gets larger tables,
 * then larger clusters.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "block/new-file.h"
#include "block/qcow/qcow.h"

/* 2 TiB with the usual sizes. */
#define WANTED_L1_ENTRIES (UINT32_C(1) << 20)

const OptionDesc qcow_create_options[] = {
    { .name = "size",
      .type = OPTION_SIZE,
      .help = "size of the device, rounded up to 512 bytes" },
    { .name = "backing_file",
      .type = OPTION_STRING,
      .help = "image that has the contents which this one has not" },
    { .name = "backing_fmt",
      .type = OPTION_STRING,
      .help = "format of the backing file; the image does not record it" },
    { .name = "preallocation",
      .type = OPTION_ENUM,
      .def = "off",
      .values = (const char *const[]){ "off", NULL },
      .help = "nothing can be reserved in this format" },
    { .name = "nocow",
      .type = OPTION_BOOL,
      .def = "off",
      .help = "no copy-on-write for this file, on btrfs" },
    { .name = NULL },
};

/* Sizes of clusters and tables. False when the device is too large. */
static bool choose_layout(QcowHeader *header, bool has_backing)
{
    header->cluster_bits = has_backing ? 9 : 12;
    header->l2_bits = has_backing ? 12 : 9;
    for (;;) {
        header->l1_size = qcow_l1_size(header->size, header->cluster_bits,
                                       header->l2_bits);
        if (header->l1_size > 0 && header->l1_size <= WANTED_L1_ENTRIES) {
            return true;
        }
        if (header->l2_bits < QCOW_MAX_L2_BITS) {
            header->l2_bits++;
        } else if (header->cluster_bits < QCOW_MAX_CLUSTER_BITS) {
            header->cluster_bits++;
        } else {
            return header->l1_size > 0;
        }
    }
}

/* The header of a new image with these options. */
static bool plan_header(QcowHeader *header, int64_t size, const char *backing,
                        GError **errp)
{
    size_t name = backing ? strlen(backing) : 0;

    *header = (QcowHeader){ 0 };
    if (size == 0) {
        block_error_set(errp, EINVAL,
                        "A qcow image cannot have the size 0; give the "
                        "option size");
        return false;
    }
    if (name > QCOW_MAX_BACKING_NAME) {
        block_error_set(errp, EINVAL,
                        "The name of the backing file has %zu bytes; images "
                        "of this format hold at most %d",
                        name, QCOW_MAX_BACKING_NAME);
        return false;
    }
    if (size <= INT64_MAX - QCOW_SECTOR) {
        header->size = (size + QCOW_SECTOR - 1) & -(int64_t)QCOW_SECTOR;
    }
    if (header->size == 0 || !choose_layout(header, name > 0)) {
        block_error_set(errp, EFBIG,
                        "%" PRId64 " bytes are too many for a qcow image",
                        size);
        return false;
    }
    if (name > 0) {
        header->backing_file_offset = sizeof(QcowDiskHeader);
        header->backing_file_size = (uint32_t)name;
    }
    header->l1_table_offset =
        ((int64_t)sizeof(QcowDiskHeader) + (int64_t)name + 7) & ~INT64_C(7);
    return true;
}

/* ---- Creating ---- */

/* The L1 table first, as a hole: with the header it becomes an image. */
static int write_image(BlockBackend *blk, const QcowHeader *header,
                       const char *backing, GError **errp)
{
    g_autofree uint8_t *start = g_malloc0((gsize)header->l1_table_offset);
    QcowDiskHeader disk;

    qcow_header_serialise(header, &disk);
    memcpy(start, &disk, sizeof(disk));
    if (backing != NULL) {
        memcpy(start + sizeof(disk), backing, header->backing_file_size);
    }
    int ret = blk_truncate(blk, qcow_header_end(header), false,
                           PREALLOC_MODE_OFF, errp);
    if (ret < 0) {
        return ret;
    }
    ret = blk_pwrite(blk, 0, header->l1_table_offset, start, 0);
    if (ret == 0) {
        ret = blk_flush(blk);
    }
    if (ret < 0) {
        g_autofree char *reason = blk_strerror(ret);
        block_error_set(errp, -ret, "Could not write the header: %s", reason);
    }
    return ret;
}

/* Room is found by the length of the file, and what a device has in the place
 * of the L1 table is no hole. */
static bool check_file(const char *filename, BlockBackend *blk, GError **errp)
{
    int64_t length = blk_getlength(blk);

    if (length == 0) {
        return true;
    }
    block_error_set(errp, ENOTSUP,
                    "Images of the format 'qcow' need a file that grows, and "
                    "'%s' has %" PRId64 " bytes; use qcow2",
                    filename, length);
    return false;
}

static bool create_file(const char *filename, const QcowHeader *header,
                        const char *backing, bool nocow, GError **errp)
{
    g_auto(NewFile) file = { 0 };

    if (!new_file_create(&file, filename, nocow, errp)) {
        return false;
    }
    g_autoptr(BlockBackend) blk = blk_open(
        filename, NULL, BDRV_O_RDWR | BDRV_O_RESIZE | BDRV_O_PROTOCOL, errp);
    bool ok = blk && check_file(filename, blk, errp) &&
              write_image(blk, header, backing, errp) == 0;
    if (blk && !ok) {
        new_file_remove(&file);
    }
    return ok;
}

bool qcow_create(const char *filename, Options *options, GError **errp)
{
    g_autoptr(OptionValues)
        values = option_values_absorb(qcow_create_options, options, errp);
    QcowHeader header;

    if (values == NULL) {
        return false;
    }
    const char *backing = option_values_string(values, "backing_file");
    if (backing != NULL && *backing == '\0') {
        backing = NULL;
    }
    return plan_header(&header, (int64_t)option_values_size(values, "size"),
                       backing, errp) &&
           create_file(filename, &header, backing,
                       option_values_bool(values, "nocow"), errp);
}

/* ---- Measuring ---- */

/* Bytes of the clusters that hold the data of `source`. */
static bool measure_data(BlockDriverState *source, const QcowHeader *header,
                         uint64_t *bytes, GError **errp)
{
    int64_t mask = (INT64_C(1) << header->cluster_bits) - 1;
    int64_t length = bdrv_getlength(source);
    int64_t counted = 0; /* up to here */
    int ret;

    *bytes = 0;
    for (int64_t at = 0, step; at < length; at += step) {
        g_auto(BdrvBlockStatus) status = { 0 };

        ret = bdrv_block_status(source, at, length - at, BDRV_WANT_PRECISE,
                                &status);
        if (ret < 0) {
            block_error_set_errno(errp, -ret,
                                  "Could not find out where there is data");
            return false;
        }
        step = status.bytes;
        if ((status.flags & BDRV_BLOCK_DATA) &&
            !(status.flags & BDRV_BLOCK_ZERO)) {
            int64_t start = MAX(at & ~mask, counted);

            counted = (at + step + mask) & ~mask;
            *bytes += (uint64_t)(counted - start);
        }
    }
    return true;
}

bool qcow_measure(Options *options, BlockDriverState *source,
                  BdrvMeasure *measure, GError **errp)
{
    g_autoptr(OptionValues)
        values = option_values_absorb(qcow_create_options, options, errp);
    QcowHeader header;
    uint64_t data = 0;

    if (values == NULL) {
        return false;
    }
    int64_t size = source ? bdrv_getlength(source)
                          : (int64_t)option_values_size(values, "size");
    if (size < 0) {
        block_error_set_errno(errp, (int)-size,
                              "Could not find the size of the image");
        return false;
    }
    if (!plan_header(&header, size,
                     option_values_string(values, "backing_file"), errp) ||
        (source && !measure_data(source, &header, &data, errp))) {
        return false;
    }
    uint64_t cluster = UINT64_C(1) << header.cluster_bits;
    uint64_t table = MAX(UINT64_C(8) << header.l2_bits, cluster);
    uint64_t reach = cluster << header.l2_bits;
    uint64_t tables = header.l1_size * table;
    uint64_t start = ((uint64_t)qcow_header_end(&header) + table - 1) & -table;

    measure->required = start + data +
                        MIN(tables, (data + reach - 1) / reach * table);
    measure->fully_allocated =
        start + tables + (((uint64_t)header.size + cluster - 1) & -cluster);
    return true;
}
