/* SPDX-License-Identifier: MIT */
/*
 * The header of a qcow2 image, written. Everything stands in the first
 * cluster: the fields, the extensions, the name of the backing file.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "block/qcow2/qcow2.h"

static void add_extension(GByteArray *bytes, uint32_t type, const void *data,
                          size_t length)
{
    static const uint8_t zeroes[8];
    Qcow2DiskExtension disk = {
        .type = GUINT32_TO_BE(type),
        .length = GUINT32_TO_BE((uint32_t)length),
    };

    g_byte_array_append(bytes, (const uint8_t *)&disk, sizeof(disk));
    if (length > 0) {
        g_byte_array_append(bytes, data, (guint)length);
        g_byte_array_append(bytes, zeroes, (guint)(-length & 7));
    }
}

static void add_extensions(GByteArray *bytes, const Qcow2Header *h)
{
    if (h->backing_format) {
        add_extension(bytes, QCOW2_EXT_BACKING_FORMAT, h->backing_format,
                      strlen(h->backing_format));
    }
    for (guint i = 0; h->extensions && i < h->extensions->len; i++) {
        const Qcow2Extension *ext = &g_array_index(h->extensions,
                                                   Qcow2Extension, i);
        gsize length;
        const void *data = g_bytes_get_data(ext->data, &length);

        add_extension(bytes, ext->type, data, length);
    }
    add_extension(bytes, QCOW2_EXT_END, NULL, 0);
}

/* The fields, with the place of the backing file's name. */
static Qcow2DiskHeader disk_header(const Qcow2Header *h, size_t name_offset)
{
    Qcow2DiskHeader disk = {
        .magic = GUINT32_TO_BE(QCOW2_MAGIC),
        .version = GUINT32_TO_BE(h->version),
        .cluster_bits = GUINT32_TO_BE(h->cluster_bits),
        .size = GUINT64_TO_BE((uint64_t)h->size),
        .l1_size = GUINT32_TO_BE(h->l1_size),
        .l1_table_offset = GUINT64_TO_BE((uint64_t)h->l1_table_offset),
        .refcount_table_offset =
            GUINT64_TO_BE((uint64_t)h->refcount_table_offset),
        .refcount_table_clusters = GUINT32_TO_BE(h->refcount_table_clusters),
        .nb_snapshots = GUINT32_TO_BE(h->nb_snapshots),
        .snapshots_offset = GUINT64_TO_BE((uint64_t)h->snapshots_offset),
        .incompatible_features = GUINT64_TO_BE(h->incompatible),
        .compatible_features = GUINT64_TO_BE(h->compatible),
        .autoclear_features = GUINT64_TO_BE(h->autoclear),
        .refcount_order = GUINT32_TO_BE(h->refcount_order),
        .header_length = GUINT32_TO_BE(h->header_length),
    };

    if (h->backing_file) {
        disk.backing_file_offset = GUINT64_TO_BE((uint64_t)name_offset);
        disk.backing_file_size =
            GUINT32_TO_BE((uint32_t)strlen(h->backing_file));
    }
    return disk;
}

GByteArray *qcow2_header_serialise(const Qcow2Header *h, GError **errp)
{
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    size_t cluster_size = (size_t)1 << h->cluster_bits;
    size_t name_length = h->backing_file ? strlen(h->backing_file) : 0;

    if (name_length > QCOW2_MAX_BACKING_NAME) {
        block_error_set(errp, EINVAL,
                        "The name of the backing file has %zu bytes; at most "
                        "%u are allowed",
                        name_length, QCOW2_MAX_BACKING_NAME);
        return NULL;
    }
    g_byte_array_set_size(bytes, h->header_length);
    add_extensions(bytes, h);

    Qcow2DiskHeader disk = disk_header(h, bytes->len);
    memcpy(bytes->data, &disk, MIN(h->header_length, sizeof(disk)));
    if (h->unknown_fields) {
        gsize length;
        const void *data = g_bytes_get_data(h->unknown_fields, &length);

        memcpy(bytes->data + sizeof(disk), data, length);
    }
    if (name_length > 0) {
        g_byte_array_append(bytes, (const uint8_t *)h->backing_file,
                            (guint)name_length);
    }
    if (bytes->len > cluster_size) {
        block_error_set(errp, EINVAL,
                        "The name of the backing file is too long: header, "
                        "extensions and name take %u bytes, and a cluster has "
                        "%zu",
                        bytes->len, cluster_size);
        return NULL;
    }
    return g_steal_pointer(&bytes);
}

int qcow2_header_write(Qcow2State *s)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GByteArray) bytes = qcow2_header_serialise(&s->header, &error);

    if (bytes == NULL) {
        bdrv_set_io_error("%s", error->message);
        return block_error_to_errno(error);
    }
    return bdrv_pwrite(s->file, 0, bytes->len, bytes->data, 0);
}
