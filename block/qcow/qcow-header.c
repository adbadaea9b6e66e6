/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <inttypes.h>

#include "block/qcow/qcow.h"

/* What the L1 table may take in memory: with the smallest tables that is a
 * device of 128 GiB, with those of qcow_create() more than 2 TiB. */
#define MAX_L1_BYTES (INT64_C(32) << 20)

uint32_t qcow_l1_size(int64_t size, unsigned cluster_bits, unsigned l2_bits)
{
    unsigned bits = cluster_bits + l2_bits;
    int64_t entries = (size >> bits) +
                      ((size & ((INT64_C(1) << bits) - 1)) != 0);

    return entries > MAX_L1_BYTES / 8 ? 0 : (uint32_t)entries;
}

static bool check_kind(const QcowDiskHeader *disk, GError **errp)
{
    uint32_t version = be32_get(disk->version);
    uint32_t crypt = be32_get(disk->crypt_method);

    if (be32_get(disk->magic) != QCOW_MAGIC) {
        block_error_set(errp, EINVAL, "The image is not in the format qcow");
        return false;
    }
    if (version != QCOW_VERSION) {
        block_error_set(errp, ENOTSUP,
                        "The image is of version %" PRIu32 " of its format; "
                        "the driver 'qcow' reads version 1 alone",
                        version);
        return false;
    }
    if (crypt == QCOW_CRYPT_AES) {
        block_error_set(errp, ENOTSUP,
                        "The image is encrypted, which is not supported: "
                        "decrypt it with qemu-img convert");
        return false;
    }
    if (crypt != QCOW_CRYPT_NONE) {
        block_error_set(errp, ENOTSUP,
                        "The image is encrypted by an unknown method, "
                        "%" PRIu32,
                        crypt);
        return false;
    }
    return true;
}

static bool check_bits(const QcowDiskHeader *disk, GError **errp)
{
    if (disk->cluster_bits < QCOW_MIN_CLUSTER_BITS ||
        disk->cluster_bits > QCOW_MAX_CLUSTER_BITS) {
        block_error_set(errp, EINVAL,
                        "The image has clusters of 1 << %u bytes; the format "
                        "allows 512 bytes to 64 KiB",
                        disk->cluster_bits);
        return false;
    }
    if (disk->l2_bits < QCOW_MIN_L2_BITS || disk->l2_bits > QCOW_MAX_L2_BITS) {
        block_error_set(errp, EINVAL,
                        "The image has L2 tables of 1 << %u entries; the "
                        "format allows 512 bytes to 64 KiB",
                        disk->l2_bits);
        return false;
    }
    return true;
}

/* Whether a range that the header names is inside of the file. */
static bool check_inside(const char *what, uint64_t offset, uint64_t bytes,
                         int64_t file_length, GError **errp)
{
    uint64_t length = (uint64_t)file_length;

    if (offset < sizeof(QcowDiskHeader) || offset > length ||
        bytes > length - offset) {
        block_error_set(errp, EINVAL,
                        "The image is damaged: its %s (%" PRIu64 " bytes at "
                        "offset %" PRIu64 ") is not inside of the file, which "
                        "has %" PRId64 " bytes",
                        what, bytes, offset, file_length);
        return false;
    }
    return true;
}

static bool parse_backing(QcowHeader *header, const QcowDiskHeader *disk,
                          int64_t file_length, GError **errp)
{
    uint64_t offset = be64_get(disk->backing_file_offset);
    uint32_t bytes = be32_get(disk->backing_file_size);

    if (offset == 0 || bytes == 0) {
        return true;
    }
    if (bytes > QCOW_MAX_BACKING_NAME) {
        block_error_set(errp, EINVAL,
                        "The image is damaged: the name of its backing file "
                        "has %" PRIu32 " bytes, of at most %d",
                        bytes, QCOW_MAX_BACKING_NAME);
        return false;
    }
    header->backing_file_offset = (int64_t)offset;
    header->backing_file_size = bytes;
    return check_inside("backing file's name", offset, bytes, file_length,
                        errp);
}

bool qcow_header_parse(QcowHeader *header, const QcowDiskHeader *disk,
                       int64_t file_length, GError **errp)
{
    uint64_t size = be64_get(disk->size);
    uint64_t l1_offset = be64_get(disk->l1_table_offset);

    *header = (QcowHeader){ 0 };
    if (!check_kind(disk, errp) || !check_bits(disk, errp)) {
        return false;
    }
    header->cluster_bits = disk->cluster_bits;
    header->l2_bits = disk->l2_bits;
    if (size <= INT64_MAX) {
        header->size = (int64_t)size;
        header->l1_size = qcow_l1_size(header->size, header->cluster_bits,
                                       header->l2_bits);
    }
    if (header->l1_size == 0) {
        block_error_set(errp, size == 0 ? EINVAL : EFBIG,
                        "The image has an impossible size: %" PRIu64 " bytes",
                        size);
        return false;
    }
    if (!check_inside("L1 table", l1_offset, (uint64_t)header->l1_size * 8,
                      file_length, errp)) {
        return false;
    }
    header->l1_table_offset = (int64_t)l1_offset;
    return parse_backing(header, disk, file_length, errp);
}

void qcow_header_serialise(const QcowHeader *header, QcowDiskHeader *disk)
{
    *disk = (QcowDiskHeader){ .cluster_bits = (uint8_t)header->cluster_bits,
                              .l2_bits = (uint8_t)header->l2_bits };
    be32_put(&disk->magic, QCOW_MAGIC);
    be32_put(&disk->version, QCOW_VERSION);
    be64_put(&disk->backing_file_offset,
             (uint64_t)header->backing_file_offset);
    be32_put(&disk->backing_file_size, header->backing_file_size);
    be64_put(&disk->size, (uint64_t)header->size);
    be32_put(&disk->crypt_method, QCOW_CRYPT_NONE);
    be64_put(&disk->l1_table_offset, (uint64_t)header->l1_table_offset);
}

int64_t qcow_header_end(const QcowHeader *header)
{
    int64_t l1_end = header->l1_table_offset + (int64_t)header->l1_size * 8;
    int64_t name_end = header->backing_file_offset + header->backing_file_size;

    return MAX(l1_end, name_end);
}

bool qcow_header_owns(const QcowHeader *header, int64_t offset, int64_t bytes)
{
    const struct {
        int64_t offset, bytes;
    } parts[] = {
        { 0, sizeof(QcowDiskHeader) },
        { header->backing_file_offset, header->backing_file_size },
        { header->l1_table_offset, (int64_t)header->l1_size * 8 },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(parts); i++) {
        if (offset < parts[i].offset + parts[i].bytes &&
            parts[i].offset < offset + bytes) {
            return true;
        }
    }
    return false;
}
