/* SPDX-License-Identifier: MIT */
/* The header of qcow2 images: each refusal, what is kept, and bytes that
 * anybody may have written. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "block/qcow2/qcow2.h"
#include "tests/unit/image-fixture.h"

#define CLUSTER 65536
#define FILE_LENGTH (INT64_C(6) * CLUSTER)

/* A sound image: its header cluster. */
typedef struct Image {
    uint8_t bytes[CLUSTER];
    size_t size;
    int64_t file_length;
} Image;

static void put(Image *image, size_t offset, unsigned bytes, uint64_t value)
{
    for (unsigned i = 0; i < bytes; i++) {
        image->bytes[offset + i] = (uint8_t)(value >> (8 * (bytes - 1 - i)));
    }
}

#define PUT(image, field, value)                                              \
    put(image, G_STRUCT_OFFSET(Qcow2DiskHeader, field),                       \
        sizeof(((Qcow2DiskHeader *)0)->field), value)

static void image_init(Image *image, unsigned version)
{
    memset(image, 0, sizeof(*image));
    image->size = CLUSTER;
    image->file_length = FILE_LENGTH;
    PUT(image, magic, QCOW2_MAGIC);
    PUT(image, version, version);
    PUT(image, cluster_bits, 16);
    PUT(image, size, INT64_C(1) << 30);
    PUT(image, l1_size, 2);
    PUT(image, l1_table_offset, 3 * CLUSTER);
    PUT(image, refcount_table_offset, CLUSTER);
    PUT(image, refcount_table_clusters, 1);
    if (version >= 3) {
        PUT(image, refcount_order, 4);
        PUT(image, header_length, 112);
    }
}

static size_t add_extension(Image *image, size_t offset, uint32_t type,
                            const void *data, uint32_t length)
{
    put(image, offset, 4, type);
    put(image, offset + 4, 4, length);
    memcpy(image->bytes + offset + 8, data, length);
    return offset + 8 + ((length + 7) & ~7u);
}

static bool parse(const Image *image, Qcow2Header *header, GError **errp)
{
    return qcow2_header_parse(header, image->bytes, image->size,
                              image->file_length, errp);
}

static void check_accepted(const Image *image)
{
    g_autoptr(GError) error = NULL;
    Qcow2Header header;

    cr_assert(parse(image, &header, &error), "refused: %s",
              error ? error->message : "without words");
    qcow2_header_clear(&header);
}

static void check_refused(const Image *image, int code, const char *part)
{
    g_autoptr(GError) error = NULL;
    Qcow2Header header;

    cr_assert(!parse(image, &header, &error), "accepted: %s", part);
    image_check_text(error->message, part);
    cr_assert_eq(error->code, code, "%s: %d", error->message, error->code);
    qcow2_header_clear(&header);
}

/* ---- Fields ---- */

typedef struct Refusal {
    unsigned version;
    size_t offset;
    unsigned bytes;
    uint64_t value;
    int code;
    const char *part;
} Refusal;

#define FIELD(name)                                                           \
    G_STRUCT_OFFSET(Qcow2DiskHeader, name),                                   \
        sizeof(((Qcow2DiskHeader *)0)->name)

static const Refusal refusals[] = {
    { 3, FIELD(magic), 0x514649fa, EINVAL, "no qcow2 image" },
    { 3, FIELD(version), 1, ENOTSUP, "version is 1; supported are 2 and 3" },
    { 3, FIELD(version), 4, ENOTSUP, "version is 4" },
    { 3, FIELD(version), 0xffffffff, ENOTSUP, "version is 4294967295" },
    { 2, FIELD(cluster_bits), 8, EINVAL, "cluster_bits is 8; allowed are 9" },
    { 3, FIELD(cluster_bits), 22, EINVAL, "cluster_bits is 22" },
    { 3, FIELD(cluster_bits), 0x80000010, EINVAL, "cluster_bits is 21474836" },
    { 3, FIELD(header_length), 96, EINVAL, "header_length is 96; allowed" },
    { 3, FIELD(header_length), 108, EINVAL, "header_length is 108" },
    { 3, FIELD(header_length), 65544, EINVAL, "header_length is 65544" },
    { 3, FIELD(header_length), 0xfffffff8, EINVAL, "header_length is 42949" },
    { 3, FIELD(backing_file_offset), 8, EINVAL, "backing_file_offset is 8" },
    { 2, FIELD(backing_file_offset), 71, EINVAL, "backing_file_offset is 71" },
    { 3, FIELD(backing_file_offset), CLUSTER + 1, EINVAL,
      "end of the first cluster (65536)" },
    { 3, FIELD(backing_file_offset), UINT64_MAX, EINVAL,
      "backing_file_offset is 18446744073709551615" },
    { 3, FIELD(refcount_order), 7, EINVAL, "refcount_order is 7; at most 6" },
    { 3, FIELD(refcount_table_offset), CLUSTER + 512, EINVAL,
      "refcount_table_offset is 66048; it must be a multiple of the cluster" },
    { 3, FIELD(refcount_table_offset), ~UINT64_C(0xffff), EINVAL,
      "refcount_table_offset is 18446744073709486080; it must be" },
    { 3, FIELD(refcount_table_clusters), 129, EINVAL,
      "refcount_table_clusters is 129, 8454144 bytes; at most 8388608" },
    { 3, FIELD(refcount_table_clusters), 0xffffffff, EINVAL,
      "refcount_table_clusters is 4294967295" },
    { 3, FIELD(size), (INT64_C(1) << 30) + 1, EINVAL,
      "l1_size is 2; a device of 1073741825 bytes needs 3 entries" },
    { 3, FIELD(size), UINT64_MAX, EINVAL,
      "size is 18446744073709551615; with clusters of 65536 bytes at most" },
    { 3, FIELD(size), INT64_C(1) << 62, EINVAL, "at most 2251799813685248" },
    { 3, FIELD(l1_size), 1, EINVAL, "l1_size is 1; a device of 1073741824" },
    { 3, FIELD(l1_size), 4194305, EINVAL,
      "l1_size is 4194305; at most 4194304 entries" },
    { 3, FIELD(l1_size), 24577, EINVAL,
      "l1_table_offset is 196608, but a table of 196616 bytes" },
    { 3, FIELD(l1_table_offset), 8, EINVAL, "l1_table_offset is 8, which" },
    { 3, FIELD(l1_table_offset), 0, EINVAL, "l1_table_offset is 0, but" },
    { 3, FIELD(l1_table_offset), INT64_C(1) << 40, EINVAL,
      "within the file, which has 393216 bytes" },
    { 3, FIELD(nb_snapshots), 65537, EINVAL, "nb_snapshots is 65537" },
    { 3, FIELD(nb_snapshots), 1, EINVAL, "snapshots_offset is 0, but" },
    { 2, FIELD(crypt_method), 1, ENOTSUP, "encrypted (AES)" },
    { 3, FIELD(crypt_method), 2, ENOTSUP, "encrypted (LUKS)" },
    { 3, FIELD(crypt_method), 9, ENOTSUP, "encrypted (crypt_method 9)" },
    { 3, FIELD(incompatible_features), 4, ENOTSUP, "external file" },
    { 3, FIELD(incompatible_features), 16, ENOTSUP, "extended L2 entries" },
    { 3, FIELD(incompatible_features), 8, EINVAL,
      "bit for another compression type" },
    { 3, FIELD(incompatible_features), 32, ENOTSUP, "not supported: bit 5" },
    { 3, FIELD(incompatible_features), UINT64_C(1) << 63, ENOTSUP, "bit 63" },
    { 3, FIELD(compression_type), 1, ENOTSUP, "zstd" },
    { 3, FIELD(compression_type), 77, ENOTSUP, "compression type 77" },
};

Test(qcow2_header, refuses_each_bad_field_by_name)
{
    for (guint i = 0; i < G_N_ELEMENTS(refusals); i++) {
        const Refusal *r = &refusals[i];
        Image image;

        image_init(&image, r->version);
        check_accepted(&image);
        put(&image, r->offset, r->bytes, r->value);
        check_refused(&image, r->code, r->part);
    }
}

Test(qcow2_header, accepts_what_is_unusual_but_sound)
{
    static const Refusal sound[] = {
        { 3, FIELD(l1_size), 8192, 0, "an L1 table larger than needed" },
        { 3, FIELD(l1_size), 24576, 0, "one up to the end of the file" },
        { 3, FIELD(size), 0, 0, "no size" },
        { 3, FIELD(size), 513, 0, "an odd size" },
        { 3, FIELD(refcount_order), 0, 0, "refcounts of a bit" },
        { 3, FIELD(header_length), 104, 0, "the first header of version 3" },
        { 3, FIELD(header_length), 4096, 0, "a longer header" },
        { 3, FIELD(compatible_features), UINT64_MAX, 0, "any compatible" },
        { 3, FIELD(autoclear_features), UINT64_MAX, 0, "any autoclear" },
        { 3, FIELD(incompatible_features), 3, 0, "dirty and corrupt" },
        { 3, FIELD(snapshots_offset), 7, 0, "a place of no snapshots" },
        { 2, FIELD(incompatible_features), 0, 0, "version 2" },
    };

    for (guint i = 0; i < G_N_ELEMENTS(sound); i++) {
        Image image;

        image_init(&image, sound[i].version);
        put(&image, sound[i].offset, sound[i].bytes, sound[i].value);
        check_accepted(&image);
    }
}

/* The last cluster of the file may be cut off. */
Test(qcow2_header, a_table_may_end_in_the_last_cluster)
{
    Image image;

    image_init(&image, 3);
    image.file_length = 3 * CLUSTER + 16;
    check_accepted(&image);
    image.file_length = 3 * CLUSTER;
    check_refused(&image, EINVAL, "l1_table_offset is 196608, but");
}

/* Version 2 has no such fields: what stands there are extensions. */
Test(qcow2_header, version_2_has_fixed_features)
{
    g_autoptr(GError) error = NULL;
    Qcow2Header header;
    Image image;

    image_init(&image, 2);
    add_extension(&image, 72, 0x12345678, "0123456789abcdef", 16);
    cr_assert(parse(&image, &header, &error));
    cr_assert_eq(header.incompatible, 0);
    cr_assert_eq(header.refcount_order, 4);
    cr_assert_eq(header.header_length, 72);
    cr_assert_eq(header.extensions->len, 1);
    qcow2_header_clear(&header);
}

Test(qcow2_header, short_files)
{
    Image image;

    image_init(&image, 3);
    for (size_t size = 0; size < 112; size++) {
        image.size = size;
        image.file_length = (int64_t)size;
        check_refused(&image, EINVAL,
                      size < 4 ? "no qcow2 image" : "ends within the qcow2");
    }
}

/* ---- Names and extensions ---- */

Test(qcow2_header, the_image_names_unknown_features)
{
    Qcow2DiskFeatureName names[3] = {
        { .type = 1, .bit = 7, .name = "compatible seven" },
        { .type = 0, .bit = 7, .name = "time travel" },
        { .type = 0, .bit = 9 },
    };
    Image image;

    memset(names[2].name, 'x', sizeof(names[2].name)); /* without a NUL */
    image_init(&image, 3);
    add_extension(&image, 112, QCOW2_EXT_FEATURE_NAMES, names, sizeof(names));
    PUT(&image, incompatible_features, 1 << 7 | 1 << 8 | 1 << 9);
    check_refused(&image, ENOTSUP,
                  "not supported: 'time travel' (bit 7), bit 8, "
                  "'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' (bit 9)");
}

Test(qcow2_header, extensions_that_do_not_fit)
{
    Image image;

    image_init(&image, 3);
    put(&image, 112, 4, 0x1234);
    put(&image, 116, 4, CLUSTER - 120 + 1);
    check_refused(&image, EINVAL,
                  "extension 0x00001234 at 112 has a length of 65417 bytes; "
                  "there is room for 65416");
    put(&image, 116, 4, 0xffffffff);
    check_refused(&image, EINVAL, "length of 4294967295 bytes");
    put(&image, 116, 4, CLUSTER - 120);
    check_accepted(&image);

    /* They end where the backing file's name begins. */
    PUT(&image, backing_file_offset, 160);
    PUT(&image, backing_file_size, 4);
    check_refused(&image, EINVAL, "there is room for 40");
    put(&image, 116, 4, 37); /* padding that reaches into it */
    memcpy(image.bytes + 160, "name", 4);
    check_accepted(&image);
}

Test(qcow2_header, names_of_backing_files)
{
    g_autoptr(GError) error = NULL;
    Qcow2Header header;
    Image image;

    image_init(&image, 3);
    PUT(&image, backing_file_offset, 200);
    PUT(&image, backing_file_size, 1024);
    check_refused(&image, EINVAL,
                  "backing_file_size is 1024; at offset 200 at most 1023");
    PUT(&image, backing_file_offset, CLUSTER - 10);
    PUT(&image, backing_file_size, 11);
    check_refused(&image, EINVAL, "at most 10 bytes are allowed");
    PUT(&image, backing_file_offset, CLUSTER);
    check_refused(&image, EINVAL, "at most 0 bytes are allowed");
    PUT(&image, backing_file_offset, 200);
    image.size = 210;
    image.file_length = FILE_LENGTH;
    check_refused(&image, EINVAL, "ends within the name of the backing file");

    image.size = CLUSTER;
    PUT(&image, backing_file_size, 9);
    memcpy(image.bytes + 200, "base\0\0\0\0\0", 9);
    add_extension(&image, 112, QCOW2_EXT_BACKING_FORMAT, "raw", 3);
    cr_assert(parse(&image, &header, &error));
    cr_assert_str_eq(header.backing_file, "base");
    cr_assert_str_eq(header.backing_format, "raw");
    qcow2_header_clear(&header);
}

/* ---- Writing ---- */

static GByteArray *serialise(const Qcow2Header *header)
{
    g_autoptr(GError) error = NULL;
    GByteArray *bytes = qcow2_header_serialise(header, &error);

    cr_assert_not_null(bytes, "%s", error ? error->message : "");
    return bytes;
}

/* Everything that is known and not known survives. */
Test(qcow2_header, what_is_not_known_is_written_again)
{
    g_autoptr(GError) error = NULL;
    Qcow2Header header;
    Image image;

    image_init(&image, 3);
    PUT(&image, header_length, 160);
    for (unsigned i = 112; i < 160; i++) {
        image.bytes[i] = (uint8_t)i;
    }
    PUT(&image, incompatible_features, 3);
    PUT(&image, compatible_features, 0xf00000000000000fu);
    PUT(&image, autoclear_features, 0x8000000000000001u);
    size_t at = add_extension(&image, 160, QCOW2_EXT_BACKING_FORMAT, "raw", 3);
    at = add_extension(&image, at, 0xdeadbeef, "unknown", 7);
    at = add_extension(&image, at, QCOW2_EXT_BITMAPS, image.bytes, 24);
    at = add_extension(&image, at, 0x1111, "", 0);
    at += 8; /* the end */
    PUT(&image, backing_file_offset, at);
    PUT(&image, backing_file_size, 8);
    memcpy(image.bytes + at, "base.raw", 8);

    cr_assert(parse(&image, &header, &error));
    g_autoptr(GByteArray) bytes = serialise(&header);
    cr_assert_eq(bytes->len, at + 8);
    cr_assert_arr_eq(bytes->data, image.bytes, bytes->len);

    /* Another name moves nothing else. */
    g_free(header.backing_file);
    header.backing_file = NULL;
    g_clear_pointer(&header.backing_format, g_free);
    g_autoptr(GByteArray) without = serialise(&header);
    cr_assert_eq(without->len, at - 16);
    cr_assert_arr_eq(without->data + 160, image.bytes + 176, at - 176);
    qcow2_header_clear(&header);
}

Test(qcow2_header, every_length_comes_back)
{
    static const unsigned lengths[] = { 72, 104, 112, 120 };

    for (guint i = 0; i < G_N_ELEMENTS(lengths); i++) {
        g_autoptr(GError) error = NULL;
        unsigned length = lengths[i];
        Qcow2Header header;
        Image image;

        image_init(&image, length == 72 ? 2 : 3);
        if (length > 72) {
            PUT(&image, header_length, length);
        }
        cr_assert(parse(&image, &header, &error));
        g_autoptr(GByteArray) bytes = serialise(&header);
        cr_assert_eq(bytes->len, length + 8);
        cr_assert_arr_eq(bytes->data, image.bytes, length);
        qcow2_header_clear(&header);
    }
}

Test(qcow2_header, names_that_do_not_fit_are_not_written)
{
    g_autoptr(GError) error = NULL;
    Qcow2Header header;
    Image image;

    image_init(&image, 3);
    PUT(&image, cluster_bits, 9);
    PUT(&image, size, 1 << 15);
    PUT(&image, l1_table_offset, 1024);
    image.size = 512;
    cr_assert(parse(&image, &header, &error), "%s", error->message);
    header.backing_file = g_strnfill(512 - 112 - 8, 'a');
    g_autoptr(GByteArray) bytes = serialise(&header);
    cr_assert_eq(bytes->len, 512);

    g_free(header.backing_file);
    header.backing_file = g_strnfill(512 - 112 - 8 + 1, 'a');
    cr_assert_null(qcow2_header_serialise(&header, &error));
    image_check_text(error->message, "take 513 bytes, and a cluster has 512");
    g_clear_error(&error);

    g_free(header.backing_file);
    header.backing_file = g_strnfill(1024, 'a');
    header.cluster_bits = 16;
    cr_assert_null(qcow2_header_serialise(&header, &error));
    image_check_text(error->message, "has 1024 bytes; at most 1023");
    qcow2_header_clear(&header);
}

/* Whatever stands there, parsing ends, and what it takes it gives again. */
Test(qcow2_header, random_bytes)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(7);
    unsigned accepted = 0;

    for (unsigned round = 0; round < 20000; round++) {
        g_autoptr(GError) error = NULL;
        Qcow2Header header;
        Image image;

        image_init(&image, round % 4 ? 3 : 2);
        image.size = 512 + round % 512;
        for (unsigned i = g_rand_int(rand) % 6; i-- > 0;) {
            image.bytes[g_rand_int(rand) % 160] =
                (uint8_t)(1u << (g_rand_int(rand) % 8));
        }
        if (parse(&image, &header, &error)) {
            g_autoptr(GByteArray)
                bytes = qcow2_header_serialise(&header, NULL);
            cr_assert_not_null(bytes);
            accepted++;
        } else {
            cr_assert_not_null(error);
        }
        qcow2_header_clear(&header);
    }
    cr_assert_gt(accepted, 1000);
}
