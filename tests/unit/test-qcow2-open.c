/* SPDX-License-Identifier: MIT */
/* Opening qcow2 images: options, images that were not closed cleanly or are
 * damaged, reopening, and what the header says while an image is in use. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "block/qcow2/qcow2-format.h"
#include "tests/unit/image-fixture.h"

#define RW (BDRV_O_RDWR | BDRV_O_RESIZE)
#define IMAGE "driver=qcow2,file.filename=%D/i"

TestSuite(qcow2_open, .init = image_dir_init, .fini = image_dir_fini);

/* Run a command in the directory, which must succeed. */
#define SHELL(...)                                                            \
    do {                                                                      \
        int status_;                                                          \
        g_autofree char *out_ = image_shell(&status_, __VA_ARGS__);           \
        cr_assert_eq(status_, 0, "%s", out_);                                 \
    } while (0)

static void create(const char *options, const char *size)
{
    image_need_program("qemu-img");
    SHELL("qemu-img create -q -f qcow2 -o %s i %s", options, size);
}

static void put(const char *name, off_t offset, unsigned bytes, uint64_t value)
{
    g_autofree char *path = image_path(name);
    uint8_t buf[8];
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    for (unsigned i = bytes; i-- > 0; value >>= 8) {
        buf[i] = (uint8_t)value;
    }
    cr_assert_eq(pwrite(fd, buf, bytes, offset), (ssize_t)bytes);
    close(fd);
}

static uint64_t get(const char *name, off_t offset, unsigned bytes)
{
    g_autofree char *path = image_path(name);
    uint64_t value = 0;
    uint8_t buf[8];
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    cr_assert_eq(pread(fd, buf, bytes, offset), (ssize_t)bytes);
    close(fd);
    for (unsigned i = 0; i < bytes; i++) {
        value = value << 8 | buf[i];
    }
    return value;
}

#define PUT(field, value)                                                     \
    put("i", G_STRUCT_OFFSET(Qcow2DiskHeader, field),                         \
        sizeof(((Qcow2DiskHeader *)0)->field), value)
#define GET(name, field)                                                      \
    get(name, G_STRUCT_OFFSET(Qcow2DiskHeader, field),                        \
        sizeof(((Qcow2DiskHeader *)0)->field))

static void refused(unsigned flags, const char *options, const char *part)
{
    g_autofree char *error = image_open_error(flags, options);

    image_check_text(error, part);
}

static void write_at(BlockBackend *blk, int64_t offset, int byte)
{
    uint8_t buf[4096];

    memset(buf, byte, sizeof(buf));
    cr_assert_eq(blk_pwrite(blk, offset, sizeof(buf), buf, 0), 0);
}

static bool holds_at(BlockBackend *blk, int64_t offset, int byte)
{
    uint8_t buf[4096];

    cr_assert_eq(blk_pread(blk, offset, sizeof(buf), buf, 0), 0);
    for (size_t i = 0; i < sizeof(buf); i++) {
        if (buf[i] != byte) {
            return false;
        }
    }
    return true;
}

/* ---- Options ---- */

Test(qcow2_open, options)
{
    create("cluster_size=4k", "16M");
    refused(0, IMAGE ",l2-cache-entry-size=8k",
            "l2-cache-entry-size is 8192; allowed are powers of two from 512 "
            "up to the cluster size, 4096");
    refused(0, IMAGE ",l2-cache-entry-size=256", "l2-cache-entry-size is 256");
    refused(0, IMAGE ",l2-cache-entry-size=1000", "is 1000; allowed");
    refused(0, IMAGE ",cache-size=1M,l2-cache-size=2M",
            "l2-cache-size must not exceed cache-size");
    refused(0, IMAGE ",cache-size=1M,refcount-cache-size=2M",
            "refcount-cache-size must not exceed cache-size");
    refused(0, IMAGE ",cache-size=4M,l2-cache-size=1M,refcount-cache-size=1M",
            "at most two can be given");
    refused(0, IMAGE ",lazy-refcount=on", "lazy-refcounts");

    /* Caches that are far too small, or of odd pieces, work all the same. */
    static const char *const good[] = {
        "l2-cache-entry-size=512",          "cache-size=0",  "l2-cache-size=1",
        "cache-size=64k,l2-cache-size=64k", "cache-size=7E",
    };
    for (guint i = 0; i < G_N_ELEMENTS(good); i++) {
        g_autofree char *options = g_strconcat(IMAGE ",", good[i], NULL);
        g_autoptr(BlockBackend) blk = image_open(RW, options);

        for (int64_t at = 0; at < 16 << 20; at += 1 << 20) {
            write_at(blk, at, (int)(at >> 20) + 1);
        }
        for (int64_t at = 0; at < 16 << 20; at += 1 << 20) {
            cr_assert(holds_at(blk, at, (int)(at >> 20) + 1), "%s", good[i]);
        }
    }
    SHELL("qemu-img check i");
}

Test(qcow2_open, lazy_refcounts_need_version_3)
{
    create("compat=0.10", "1M");
    refused(0, IMAGE ",lazy-refcounts=on", "compatibility level 1.1");
    blk_close(image_open(RW, IMAGE ",lazy-refcounts=off"));
}

Test(qcow2_open, is_probed)
{
    create("cluster_size=64k", "1M");
    g_autoptr(BlockBackend) blk = image_open_name(0, "%D/i");
    cr_assert_str_eq(blk_get_format_name(blk), "qcow2");
    cr_assert_eq(blk_getlength(blk), 1 << 20);
    PUT(version, 0);
    g_autoptr(BlockBackend) other = image_open_name(0, "%D/i");
    cr_assert_str_neq(blk_get_format_name(other), "qcow2");
}

/* ---- Not closed cleanly ---- */

/* A copy of the file while it is in use: as a crash leaves it. */
static void make_dirty(void)
{
    create("lazy_refcounts=on", "16M");
    g_autoptr(BlockBackend) blk = image_open(RW, IMAGE);
    cr_assert_eq(GET("i", incompatible_features), 0, "nothing written yet");
    write_at(blk, 0, 1);
    write_at(blk, 8 << 20, 2);
    cr_assert_eq(blk_flush(blk), 0);
    cr_assert_eq(GET("i", incompatible_features), QCOW2_INCOMPAT_DIRTY);
    SHELL("cp i crashed");
}

Test(qcow2_open, the_dirty_bit_goes_when_all_is_written)
{
    make_dirty();
    cr_assert_eq(GET("i", incompatible_features), 0);
    SHELL("qemu-img check i");
}

Test(qcow2_open, a_dirty_image_is_repaired_for_writing)
{
    int status;

    make_dirty();
    SHELL("mv crashed i");
    g_autofree char *out = image_shell(&status, "qemu-img check i");
    cr_assert_neq(status, 0, "it needs repair: %s", out);
    {
        g_autoptr(BlockBackend) blk = image_open(0, IMAGE);
        g_autoptr(BdrvInfo) info = blk_get_info(blk, NULL);
        g_autoptr(GError) error = NULL;

        cr_assert(info->dirty);
        cr_assert(holds_at(blk, 8 << 20, 2));
        cr_assert(!blk_set_read_only(blk, false, &error));
        image_check_text(error->message, "not closed cleanly");
    }
    cr_assert_eq(GET("i", incompatible_features), QCOW2_INCOMPAT_DIRTY);
    {
        g_autoptr(BlockBackend) blk = image_open(RW, IMAGE);
        cr_assert(holds_at(blk, 0, 1) && holds_at(blk, 8 << 20, 2));
        write_at(blk, 4 << 20, 3);
    }
    cr_assert_eq(GET("i", incompatible_features), 0);
    SHELL("qemu-img check i");
    SHELL("qemu-io -r -c 'read -P 1 0 4k' -c 'read -P 2 8M 4k' "
          "-c 'read -P 3 4M 4k' i");
}

Test(qcow2_open, a_dirty_image_that_nothing_is_wrong_with)
{
    create("cluster_size=64k", "1M");
    PUT(incompatible_features, QCOW2_INCOMPAT_DIRTY);
    {
        g_autoptr(BlockBackend) blk = image_open(RW, IMAGE);
        g_autoptr(BdrvInfo) info = blk_get_info(blk, NULL);
        cr_assert(!info->dirty);
    }
    cr_assert_eq(GET("i", incompatible_features), 0);
}

/* ---- Damaged ---- */

Test(qcow2_open, a_corrupt_image_is_only_read)
{
    create("cluster_size=64k", "1M");
    SHELL("qemu-io -c 'write -P 5 0 64k' i");
    PUT(incompatible_features, QCOW2_INCOMPAT_CORRUPT);
    refused(RW, IMAGE, "marked corrupt, so it can only be opened read-only");
    {
        g_autoptr(BlockBackend) blk = image_open(0, IMAGE);
        g_autoptr(BdrvInfo) info = blk_get_info(blk, NULL);
        g_autoptr(GError) error = NULL;

        cr_assert(holds_at(blk, 0, 5));
        cr_assert_str_eq(options_get(info->specific, "corrupt"), "on");
        cr_assert(!blk_set_read_only(blk, false, &error));
        image_check_text(error->message, "stays read-only");
    }
    {
        BdrvCheckResult result = { 0 };
        g_autoptr(BlockBackend) blk = image_open(RW | BDRV_O_CHECK, IMAGE);
        cr_assert_eq(
            blk_check(blk, &result, BDRV_FIX_LEAKS | BDRV_FIX_ERRORS, NULL),
            0);
    }
    cr_assert_eq(GET("i", incompatible_features), 0);
    g_autoptr(BlockBackend) blk = image_open(RW, IMAGE);
    write_at(blk, 0, 6);
}

/* The refcount table is at 1, the block at 2, L1 at 3, L2 at 4, data at 5. */
Test(qcow2_open, data_does_not_go_over_tables)
{
    create("cluster_size=64k", "1M");
    SHELL("qemu-io -c 'write -P 5 0 128k' i");
    put("i", 4 << 16, 8, UINT64_C(1) << 63 | 1 << 16);
    {
        g_autoptr(BlockBackend) blk = image_open(RW, IMAGE);
        uint8_t buf[512] = { 1 };

        image_check_io(blk_pwrite(blk, 0, sizeof(buf), buf, 0), -EIO,
                       "the refcount table is at offset 0x10000");
        cr_assert_eq(GET("i", incompatible_features), QCOW2_INCOMPAT_CORRUPT);
        image_check_io(blk_pwrite(blk, 1 << 19, sizeof(buf), buf, 0), -EIO,
                       "not written any more");
        cr_assert(holds_at(blk, 1 << 16, 5));
    }
    cr_assert_eq(get("i", 1 << 16, 8), 2 << 16, "the table is as it was");
    refused(RW, IMAGE, "marked corrupt");
}

/* Version 2 has no bit for it. */
Test(qcow2_open, version_2_stops_writing_when_corrupt)
{
    create("compat=0.10", "1M");
    SHELL("qemu-io -c 'write -P 5 0 128k' i");
    put("i", 4 << 16, 8, UINT64_C(1) << 63 | 1 << 16);
    uint64_t extension = get("i", 72, 8);
    g_autoptr(BlockBackend) blk = image_open(RW, IMAGE);
    uint8_t buf[512] = { 1 };

    image_check_io(blk_pwrite(blk, 0, sizeof(buf), buf, 0), -EIO, "corrupt");
    image_check_io(blk_pwrite(blk, 1 << 19, sizeof(buf), buf, 0), -EIO,
                   "not written any more");
    cr_assert_eq(get("i", 72, 8), extension);
}

Test(qcow2_open, tables_over_each_other_are_only_read)
{
    create("cluster_size=64k", "1M");
    SHELL("qemu-io -c 'write -P 5 0 128k' i");
    put("i", 3 << 16, 8, UINT64_C(1) << 63 | 2 << 16); /* L2 is a block */
    refused(RW, IMAGE, "repair it with 'check -r all'");
    g_autoptr(BlockBackend) blk = image_open(0, IMAGE);
    g_autoptr(GError) error = NULL;
    cr_assert(!blk_set_read_only(blk, false, &error));
}

Test(qcow2_open, a_refcount_block_has_one_entry)
{
    create("cluster_size=64k", "1M");
    put("i", (1 << 16) + 8, 8, 2 << 16);
    refused(RW, IMAGE, "a refcount block and a refcount block are both");
    SHELL("qemu-img check -q -r all i");
    blk_close(image_open(RW, IMAGE));
}

Test(qcow2_open, without_a_refcount_table)
{
    create("cluster_size=64k", "1M");
    PUT(refcount_table_clusters, 0);
    refused(RW, IMAGE, "no refcount table");
    refused(0, IMAGE, "no refcount table");
    PUT(refcount_table_clusters, 1);
    PUT(refcount_table_offset, 1 << 24);
    refused(RW, IMAGE, "within the file");
    PUT(refcount_table_offset, 1 << 16);
    put("i", 1 << 16, 8, 1 << 16 | 512);
    refused(RW, IMAGE, "refcount table entry 0 is not the offset");
}

Test(qcow2_open, damaged_snapshot_tables)
{
    create("cluster_size=64k", "1M");
    SHELL("qemu-io -c 'write -P 5 0 128k' i");
    SHELL("qemu-img snapshot -c one i");
    off_t at = (off_t)GET("i", snapshots_offset);
    uint64_t l1 = get("i", at, 8);

    put("i", at, 8, l1 + 8);
    refused(0, IMAGE, "l1_table_offset of snapshot 'one' is");
    put("i", at, 8, UINT64_C(1) << 40);
    refused(0, IMAGE, "it must be a multiple of the cluster size");
    put("i", at, 8, l1);
    put("i", at + 8, 4, 0x7fffffff);
    refused(0, IMAGE, "l1_size of snapshot 'one' is 2147483647; at most");
    put("i", at + 8, 4, 1);
    uint64_t extra = get("i", at + 36, 4);
    put("i", at + 36, 4, 1025);
    refused(0, IMAGE, "extra_data_size of entry 0");
    put("i", at + 36, 4, extra);
    PUT(nb_snapshots, 1000);
    refused(0, IMAGE, "snapshot");
    PUT(nb_snapshots, 65536);
    refused(0, IMAGE, "snapshots_offset is");
    PUT(nb_snapshots, 1);
    g_autoptr(BlockBackend) blk = image_open(RW, IMAGE);
    g_autoptr(BdrvInfo) info = blk_get_info(blk, NULL);
    cr_assert_str_eq(options_get(info->specific, "snapshots.0.name"), "one");
}

/* ---- What the header says ---- */

Test(qcow2_open, autoclear_bits_go_with_the_first_change)
{
    create("cluster_size=64k", "1M");
    PUT(autoclear_features, UINT64_C(1) << 40);
    PUT(compatible_features, UINT64_C(1) << 41);
    {
        g_autoptr(BlockBackend) blk = image_open(RW, IMAGE);
        cr_assert(holds_at(blk, 0, 0));
        cr_assert_eq(blk_flush(blk), 0);
    }
    cr_assert_eq(GET("i", autoclear_features), UINT64_C(1) << 40);
    {
        g_autoptr(BlockBackend) blk = image_open(RW, IMAGE);
        write_at(blk, 0, 1);
        cr_assert_eq(GET("i", autoclear_features), 0);
    }
    cr_assert_eq(GET("i", compatible_features), UINT64_C(1) << 41);
    SHELL("qemu-img check i");
}

Test(qcow2_open, reopening_writes_everything)
{
    create("lazy_refcounts=on", "16M");
    g_autoptr(BlockBackend) blk = image_open(RW, IMAGE);
    g_autoptr(GError) error = NULL;

    for (int round = 1; round < 4; round++) {
        write_at(blk, round << 20, round);
        cr_assert_eq(GET("i", incompatible_features), QCOW2_INCOMPAT_DIRTY);
        cr_assert(blk_set_read_only(blk, true, &error), "%s",
                  error ? error->message : "");
        cr_assert_eq(GET("i", incompatible_features), 0);
        SHELL("qemu-img check -U i");
        cr_assert(holds_at(blk, round << 20, round));
        cr_assert(blk_set_read_only(blk, false, &error), "%s",
                  error ? error->message : "");
    }
}

Test(qcow2_open, another_backing_file_is_recorded)
{
    int status;

    create("cluster_size=512", "1M");
    SHELL("qemu-img create -q -f raw base 1M");
    g_autofree char *too_long = g_strnfill(1024, 'b');
    {
        g_autoptr(BlockBackend) blk = image_open(RW, IMAGE);
        g_autoptr(GError) error = NULL;

        cr_assert_eq(blk_change_backing_file(blk, too_long, "raw", &error),
                     -EINVAL);
        image_check_text(error->message, "1024 bytes");
        g_clear_error(&error);
        too_long[500] = '\0';
        cr_assert_eq(blk_change_backing_file(blk, too_long, "raw", &error),
                     -EINVAL);
        image_check_text(error->message, "a cluster has 512");
        cr_assert_eq(GET("i", backing_file_offset), 0);
        /* The names of features leave little room here. */
        cr_assert_eq(blk_change_backing_file(blk, "base", "raw", NULL), 0);
    }
    g_autofree char *info = image_shell(&status, "qemu-img info i");
    image_check_text(info, "backing file: base");
    image_check_text(info, "backing file format: raw");
    {
        g_autoptr(BlockBackend) blk = image_open(RW, IMAGE);
        g_autoptr(BdrvInfo) described = blk_get_info(blk, NULL);

        cr_assert_str_eq(described->backing_filename, "base");
        cr_assert_eq(blk_change_backing_file(blk, NULL, NULL, NULL), 0);
    }
    cr_assert_eq(GET("i", backing_file_offset), 0);
    SHELL("qemu-img check i");
}

/* 70000 entries of zeroes, in a hole. */
Test(qcow2_open, bitmaps_without_end_are_none)
{
    const uint64_t directory = UINT64_C(1) << 20;
    const uint64_t bytes = UINT64_C(70000) * sizeof(Qcow2DiskBitmap);
    off_t at = sizeof(Qcow2DiskHeader);

    create("cluster_size=512", "1M");
    PUT(autoclear_features, QCOW2_AUTOCLEAR_BITMAPS);
    PUT(header_length, at);
    put("i", at, 4, QCOW2_EXT_BITMAPS);
    put("i", at + 4, 4, sizeof(Qcow2DiskBitmaps));
    put("i", at + 8, 4, 70000);
    put("i", at + 12, 4, 0);
    put("i", at + 16, 8, bytes);
    put("i", at + 24, 8, directory);
    put("i", at + 32, 8, QCOW2_EXT_END);
    put("i", (off_t)(directory + bytes), 1, 0);
    g_autoptr(BlockBackend) blk = image_open(0, IMAGE);
    g_autoptr(BdrvInfo) info = blk_get_info(blk, NULL);
    cr_assert_not(options_has_prefix(info->specific, "bitmaps"));
}
