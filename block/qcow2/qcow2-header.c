/* SPDX-License-Identifier: MIT */
/*
 * The header of a qcow2 image, to and from bytes.
 *
 * Nothing in it is believed: a field that does not fit the file, or that would
 * make us allocate more than the format's limits, is refused with its name,
 * its value and what is allowed. What we do not know and need not know (bytes
 * behind our fields, extensions, compatible features) is kept and written
 * again.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "block/qcow2/qcow2.h"

#define MAX_L1_ENTRIES (QCOW2_MAX_L1_BYTES / (int64_t)sizeof(uint64_t))

#define REFUSE(...) (block_error_set(errp, EINVAL, __VA_ARGS__), false)

static void extension_clear(void *data)
{
    Qcow2Extension *ext = data;

    g_bytes_unref(ext->data);
}

void qcow2_header_clear(Qcow2Header *header)
{
    g_clear_pointer(&header->unknown_fields, g_bytes_unref);
    g_clear_pointer(&header->backing_file, g_free);
    g_clear_pointer(&header->backing_format, g_free);
    g_clear_pointer(&header->extensions, g_array_unref);
}

/* ---- Reading ---- */

/* What is read from, and the fields that only matter while it is. */
typedef struct HeaderSource {
    const uint8_t *buf;
    size_t size;
    int64_t file_length;
    int64_t cluster_size;
    uint64_t backing_offset;
    uint32_t backing_size;
    uint32_t crypt_method;
    uint8_t compression_type;
} HeaderSource;

static void read_fields(Qcow2Header *h, HeaderSource *src)
{
    Qcow2DiskHeader disk = { 0 };

    memcpy(&disk, src->buf, MIN(src->size, sizeof(disk)));
    h->version = GUINT32_FROM_BE(disk.version);
    h->cluster_bits = GUINT32_FROM_BE(disk.cluster_bits);
    h->size = (int64_t)GUINT64_FROM_BE(disk.size);
    h->l1_size = GUINT32_FROM_BE(disk.l1_size);
    h->l1_table_offset = (int64_t)GUINT64_FROM_BE(disk.l1_table_offset);
    h->refcount_table_offset =
        (int64_t)GUINT64_FROM_BE(disk.refcount_table_offset);
    h->refcount_table_clusters = GUINT32_FROM_BE(disk.refcount_table_clusters);
    h->nb_snapshots = GUINT32_FROM_BE(disk.nb_snapshots);
    h->snapshots_offset = (int64_t)GUINT64_FROM_BE(disk.snapshots_offset);
    src->backing_offset = GUINT64_FROM_BE(disk.backing_file_offset);
    src->backing_size = GUINT32_FROM_BE(disk.backing_file_size);
    src->crypt_method = GUINT32_FROM_BE(disk.crypt_method);

    h->refcount_order = 4;
    h->header_length = QCOW2_V2_HEADER_BYTES;
    if (h->version >= 3) {
        h->incompatible = GUINT64_FROM_BE(disk.incompatible_features);
        h->compatible = GUINT64_FROM_BE(disk.compatible_features);
        h->autoclear = GUINT64_FROM_BE(disk.autoclear_features);
        h->refcount_order = GUINT32_FROM_BE(disk.refcount_order);
        h->header_length = GUINT32_FROM_BE(disk.header_length);
        if (h->header_length > QCOW2_V3_HEADER_BYTES) {
            src->compression_type = disk.compression_type;
        }
    }
}

/* What must hold before anything else can be looked at. */
static bool check_start(const Qcow2Header *h, HeaderSource *src, GError **errp)
{
    guint32 magic = 0;

    memcpy(&magic, src->buf, MIN(src->size, sizeof(magic)));
    if (GUINT32_FROM_BE(magic) != QCOW2_MAGIC) {
        return REFUSE("This is no qcow2 image: it does not begin with \"QFI\" "
                      "and the byte 0xfb");
    }
    if (src->size < QCOW2_V2_HEADER_BYTES ||
        (h->version >= 3 && src->size < QCOW2_V3_HEADER_BYTES)) {
        return REFUSE("The file ends within the qcow2 header, after %zu bytes",
                      src->size);
    }
    if (h->version < 2 || h->version > 3) {
        block_error_set(errp, ENOTSUP,
                        "The qcow2 header's version is %u; supported are 2 "
                        "and 3",
                        h->version);
        return false;
    }
    if (h->cluster_bits < QCOW2_MIN_CLUSTER_BITS ||
        h->cluster_bits > QCOW2_MAX_CLUSTER_BITS) {
        return REFUSE("The qcow2 header's cluster_bits is %u; allowed are %u "
                      "to %u",
                      h->cluster_bits, QCOW2_MIN_CLUSTER_BITS,
                      QCOW2_MAX_CLUSTER_BITS);
    }
    src->cluster_size = INT64_C(1) << h->cluster_bits;
    return true;
}

static bool check_length(const Qcow2Header *h, const HeaderSource *src,
                         GError **errp)
{
    if (h->version >= 3 &&
        (h->header_length < QCOW2_V3_HEADER_BYTES ||
         h->header_length % 8 != 0 || h->header_length > src->cluster_size)) {
        return REFUSE("The qcow2 header's header_length is %u; allowed are "
                      "multiples of 8 from %u up to the cluster size, "
                      "%" PRId64,
                      h->header_length, QCOW2_V3_HEADER_BYTES,
                      src->cluster_size);
    }
    if (h->header_length > src->size) {
        return REFUSE("The file ends within the qcow2 header: header_length "
                      "is %u, and the file has %zu bytes",
                      h->header_length, src->size);
    }
    if (src->backing_offset != 0 &&
        (src->backing_offset < h->header_length ||
         src->backing_offset > (uint64_t)src->cluster_size)) {
        return REFUSE("The qcow2 header's backing_file_offset is %" PRIu64
                      "; it must lie between the header (%u bytes) and the "
                      "end of the first cluster (%" PRId64 ")",
                      src->backing_offset, h->header_length,
                      src->cluster_size);
    }
    return true;
}

/* ---- Extensions ---- */

static void take_extension(Qcow2Header *h, uint32_t type, const uint8_t *data,
                           uint32_t length)
{
    if (type == QCOW2_EXT_BACKING_FORMAT) {
        g_free(h->backing_format);
        h->backing_format = g_strndup((const char *)data, length);
        return;
    }
    Qcow2Extension ext = { type, g_bytes_new(data, length) };
    g_array_append_val(h->extensions, ext);
}

/* They end with one of type 0, or where the backing file's name begins. */
static bool read_extensions(Qcow2Header *h, const HeaderSource *src,
                            GError **errp)
{
    size_t end = src->backing_offset != 0
                     ? (size_t)MIN(src->backing_offset, src->size)
                     : src->size;
    size_t offset = h->header_length;

    h->extensions = g_array_new(FALSE, FALSE, sizeof(Qcow2Extension));
    g_array_set_clear_func(h->extensions, extension_clear);
    while (end - offset >= sizeof(Qcow2DiskExtension)) {
        Qcow2DiskExtension disk;

        memcpy(&disk, src->buf + offset, sizeof(disk));
        uint32_t type = GUINT32_FROM_BE(disk.type);
        uint32_t length = GUINT32_FROM_BE(disk.length);
        if (type == QCOW2_EXT_END) {
            break;
        }
        offset += sizeof(disk);
        if (length > end - offset) {
            return REFUSE("The qcow2 header extension 0x%08x at %zu has a "
                          "length of %u bytes; there is room for %zu",
                          type, offset - sizeof(disk), length, end - offset);
        }
        take_extension(h, type, src->buf + offset, length);
        offset += MIN(((size_t)length + 7) & ~(size_t)7, end - offset);
    }
    return true;
}

static bool read_backing_name(Qcow2Header *h, const HeaderSource *src,
                              GError **errp)
{
    uint64_t offset = src->backing_offset;

    if (offset == 0 || src->backing_size == 0) {
        return true;
    }
    int64_t room = MIN(src->cluster_size - (int64_t)offset,
                       (int64_t)QCOW2_MAX_BACKING_NAME);
    if (src->backing_size > room) {
        return REFUSE("The qcow2 header's backing_file_size is %u; at offset "
                      "%" PRIu64 " at most %" PRId64 " bytes are allowed",
                      src->backing_size, offset, room);
    }
    if (offset + src->backing_size > src->size) {
        return REFUSE("The file ends within the name of the backing file: it "
                      "has %zu bytes, and the name is at %" PRIu64
                      " with %u bytes",
                      src->size, offset, src->backing_size);
    }
    h->backing_file = g_strndup((const char *)src->buf + offset,
                                src->backing_size);
    if (h->backing_file[0] == '\0') {
        g_clear_pointer(&h->backing_file, g_free);
    }
    return true;
}

/* ---- Features ---- */

/* The image's own name for an incompatible feature, for g_free(). */
static char *feature_name(const Qcow2Header *h, unsigned bit)
{
    for (guint i = 0; i < h->extensions->len; i++) {
        const Qcow2Extension *ext = &g_array_index(h->extensions,
                                                   Qcow2Extension, i);
        gsize size;
        const uint8_t *data = g_bytes_get_data(ext->data, &size);

        for (; ext->type == QCOW2_EXT_FEATURE_NAMES &&
               size >= sizeof(Qcow2DiskFeatureName);
             data += sizeof(Qcow2DiskFeatureName),
             size -= sizeof(Qcow2DiskFeatureName)) {
            Qcow2DiskFeatureName name;

            memcpy(&name, data, sizeof(name));
            if (name.type == 0 && name.bit == bit && name.name[0] != '\0') {
                return g_strdup_printf("'%.*s' (bit %u)",
                                       (int)sizeof(name.name), name.name, bit);
            }
        }
    }
    return g_strdup_printf("bit %u", bit);
}

static bool refuse_unknown_features(const Qcow2Header *h, GError **errp)
{
    const uint64_t known = QCOW2_INCOMPAT_DIRTY | QCOW2_INCOMPAT_CORRUPT |
                           QCOW2_INCOMPAT_DATA_FILE |
                           QCOW2_INCOMPAT_COMPRESSION |
                           QCOW2_INCOMPAT_EXTENDED_L2;
    uint64_t unknown = h->incompatible & ~known;

    if (unknown == 0) {
        return true;
    }
    g_autoptr(GString) list = g_string_new(NULL);
    for (unsigned bit = 0; bit < 64; bit++) {
        if (unknown & (UINT64_C(1) << bit)) {
            g_autofree char *name = feature_name(h, bit);
            g_string_append_printf(list, "%s%s", list->len ? ", " : "", name);
        }
    }
    block_error_set(errp, ENOTSUP,
                    "The qcow2 image needs features that are not supported: "
                    "%s",
                    list->str);
    return false;
}

static bool refuse_feature(GError **errp, const char *what)
{
    block_error_set(errp, ENOTSUP,
                    "The qcow2 image %s, which is not supported; convert it "
                    "with a program that does",
                    what);
    return false;
}

static bool check_features(const Qcow2Header *h, const HeaderSource *src,
                           GError **errp)
{
    if (!refuse_unknown_features(h, errp)) {
        return false;
    }
    if (src->crypt_method != 0) {
        g_autofree char *what =
            src->crypt_method == 1 ? g_strdup("is encrypted (AES)")
            : src->crypt_method == 2
                ? g_strdup("is encrypted (LUKS)")
                : g_strdup_printf("is encrypted (crypt_method %u)",
                                  src->crypt_method);
        return refuse_feature(errp, what);
    }
    if (h->incompatible & QCOW2_INCOMPAT_DATA_FILE) {
        return refuse_feature(errp, "keeps its data in an external file");
    }
    if (h->incompatible & QCOW2_INCOMPAT_EXTENDED_L2) {
        return refuse_feature(errp, "has extended L2 entries (subclusters)");
    }
    if (src->compression_type != 0) {
        g_autofree char *what =
            src->compression_type == 1
                ? g_strdup("has zstd as its compression type")
                : g_strdup_printf("has the unknown compression type %u",
                                  src->compression_type);
        return refuse_feature(errp, what);
    }
    if (h->incompatible & QCOW2_INCOMPAT_COMPRESSION) {
        return REFUSE("The qcow2 header's incompatible_features has the bit "
                      "for another compression type, but compression_type is "
                      "0 (zlib)");
    }
    return true;
}

/* ---- Sizes and tables ---- */

/* A table must begin at a cluster and end before the file's last one does. */
static bool check_table(const HeaderSource *src, const char *field,
                        uint64_t offset, int64_t bytes, GError **errp)
{
    if (offset & (uint64_t)(src->cluster_size - 1)) {
        return REFUSE("The qcow2 header's %s is %" PRIu64
                      ", which is no multiple of the cluster size, %" PRId64,
                      field, offset, src->cluster_size);
    }
    /* The last cluster need not be there as a whole. */
    uint64_t end =
        ((uint64_t)src->file_length + (uint64_t)src->cluster_size - 1) &
        ~(uint64_t)(src->cluster_size - 1);
    if (bytes > 0 &&
        (offset == 0 || offset > end || (uint64_t)bytes > end - offset)) {
        return REFUSE("The qcow2 header's %s is %" PRIu64
                      ", but a table of %" PRId64
                      " bytes must stand behind the first cluster and within "
                      "the file, which has %" PRId64 " bytes",
                      field, offset, bytes, src->file_length);
    }
    return true;
}

static bool check_l1(const Qcow2Header *h, const HeaderSource *src,
                     GError **errp)
{
    uint64_t reach = (uint64_t)src->cluster_size *
                     (uint64_t)src->cluster_size / sizeof(uint64_t);
    uint64_t size = (uint64_t)h->size;
    uint64_t needed = size / reach + (size % reach != 0);

    if (h->size < 0 || needed > (uint64_t)MAX_L1_ENTRIES) {
        return REFUSE(
            "The qcow2 header's size is %" PRIu64 "; with clusters of %" PRId64
            " bytes at most %" PRIu64 " are allowed",
            size, src->cluster_size,
            MIN(reach * (uint64_t)MAX_L1_ENTRIES, (uint64_t)INT64_MAX));
    }
    if (h->l1_size > MAX_L1_ENTRIES) {
        return REFUSE("The qcow2 header's l1_size is %u; at most %" PRId64
                      " entries are allowed",
                      h->l1_size, MAX_L1_ENTRIES);
    }
    if (h->l1_size < needed) {
        return REFUSE("The qcow2 header's l1_size is %u; a device of %" PRIu64
                      " bytes needs %" PRIu64 " entries",
                      h->l1_size, size, needed);
    }
    return check_table(src, "l1_table_offset", (uint64_t)h->l1_table_offset,
                       (int64_t)h->l1_size * (int64_t)sizeof(uint64_t), errp);
}

static bool check_refcounts(const Qcow2Header *h, const HeaderSource *src,
                            GError **errp)
{
    int64_t bytes = (int64_t)h->refcount_table_clusters * src->cluster_size;

    if (h->refcount_order > QCOW2_MAX_REFCOUNT_ORDER) {
        return REFUSE("The qcow2 header's refcount_order is %u; at most %u is "
                      "allowed (refcounts of 64 bits)",
                      h->refcount_order, QCOW2_MAX_REFCOUNT_ORDER);
    }
    if (bytes > QCOW2_MAX_REFTABLE_BYTES) {
        return REFUSE(
            "The qcow2 header's refcount_table_clusters is %u, "
            "%" PRId64 " bytes; at most %" PRId64 " bytes are allowed",
            h->refcount_table_clusters, bytes, QCOW2_MAX_REFTABLE_BYTES);
    }
    if ((h->refcount_table_offset & (src->cluster_size - 1)) != 0 ||
        (uint64_t)h->refcount_table_offset > QCOW2_MAX_HOST_OFFSET) {
        return REFUSE("The qcow2 header's refcount_table_offset is %" PRIu64
                      "; it must be a multiple of the cluster size, %" PRId64
                      ", and less than 2^56",
                      (uint64_t)h->refcount_table_offset, src->cluster_size);
    }
    /* Whether it is in the file matters when it is used: a check makes a new
     * one (qcow2-open.c). */
    return true;
}

static bool check_snapshots(const Qcow2Header *h, const HeaderSource *src,
                            GError **errp)
{
    if (h->nb_snapshots > QCOW2_MAX_SNAPSHOTS) {
        return REFUSE("The qcow2 header's nb_snapshots is %u; at most %u are "
                      "allowed",
                      h->nb_snapshots, QCOW2_MAX_SNAPSHOTS);
    }
    if (h->nb_snapshots == 0) {
        return true; /* the offset means nothing */
    }
    return check_table(
        src, "snapshots_offset", (uint64_t)h->snapshots_offset,
        (int64_t)h->nb_snapshots * (int64_t)sizeof(Qcow2DiskSnapshot), errp);
}

bool qcow2_header_parse(Qcow2Header *header, const uint8_t *buf, size_t size,
                        int64_t file_length, GError **errp)
{
    HeaderSource src = { .buf = buf,
                         .size = size,
                         .file_length = file_length };

    *header = (Qcow2Header){ 0 };
    read_fields(header, &src);
    if (!check_start(header, &src, errp)) {
        return false;
    }
    src.size = MIN(src.size, (size_t)src.cluster_size);
    if (!check_length(header, &src, errp) ||
        !read_extensions(header, &src, errp) ||
        !check_features(header, &src, errp) ||
        !check_refcounts(header, &src, errp) ||
        !check_snapshots(header, &src, errp) ||
        !check_l1(header, &src, errp) ||
        !read_backing_name(header, &src, errp)) {
        return false;
    }
    if (header->header_length > sizeof(Qcow2DiskHeader)) {
        header->unknown_fields =
            g_bytes_new(buf + sizeof(Qcow2DiskHeader),
                        header->header_length - sizeof(Qcow2DiskHeader));
    }
    return true;
}
