/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "tests/unit/fault-syscall.h"
#include "tests/unit/image-fixture.h"
#include "tests/unit/qcow-fixture.h"

#define MIB (INT64_C(1) << 20)

TestSuite(qcow, .init = image_dir_init, .fini = image_dir_fini,
          .timeout = 300);

/* Create through the driver; options as "size=...,backing_file=...". */
static char *create(const char *name, const char *text)
{
    g_autoptr(Options) options = options_new();
    g_autofree char *path = image_path(name);
    g_autoptr(GError) error = NULL;

    cr_assert(options_parse_keyval(options, text, NULL, NULL));
    if (bdrv_create("qcow", path, options, &error)) {
        return NULL;
    }
    return g_strdup(error->message);
}

static BlockBackend *new_image(const char *options)
{
    g_autofree char *error = create("image", options);

    cr_assert_null(error, "%s", error);
    return qcow_open_rw("image");
}

static void write_pattern(BlockBackend *blk, int64_t offset, int64_t bytes,
                          int seed, unsigned flags)
{
    g_autofree uint8_t *buf = g_malloc((gsize)bytes);

    image_pattern(buf, (size_t)bytes, seed, offset);
    cr_assert_eq(blk_pwrite(blk, offset, bytes, buf, flags), 0);
}

static void check_pattern(BlockBackend *blk, int64_t offset, int64_t bytes,
                          int seed)
{
    g_autofree uint8_t *buf = g_malloc((gsize)bytes);

    cr_assert_eq(blk_pread(blk, offset, bytes, buf, 0), 0);
    cr_assert(image_pattern_is(buf, (size_t)bytes, seed, offset));
}

static void check_zero(BlockBackend *blk, int64_t offset, int64_t bytes)
{
    g_autofree uint8_t *buf = g_malloc((gsize)bytes);
    IOVector iov;

    cr_assert_eq(blk_pread(blk, offset, bytes, buf, 0), 0);
    iov_init_buf(&iov, buf, (size_t)bytes);
    cr_assert(iov_is_zero(&iov, 0, (size_t)bytes));
}

/* "u 4096 d 512 ..."; c: compressed. */
static void expect_status(BlockBackend *blk, int64_t offset, int64_t bytes,
                          const char *expected)
{
    g_autoptr(GString) text = g_string_new(NULL);

    while (bytes > 0) {
        g_auto(BdrvBlockStatus) status = { 0 };

        cr_assert_eq(blk_block_status(blk, offset, bytes, 0, &status), 0);
        char kind = status.depth > 0                         ? 'b'
                    : status.flags & BDRV_BLOCK_COMPRESSED   ? 'c'
                    : status.flags & BDRV_BLOCK_OFFSET_VALID ? 'd'
                                                             : 'u';
        g_string_append_printf(text, "%s%c %" G_GINT64_FORMAT,
                               text->len ? " " : "", kind, status.bytes);
        offset += status.bytes;
        bytes -= status.bytes;
    }
    cr_assert_str_eq(text->str, expected);
}

/* ---- Creating ---- */

Test(qcow, sizes_are_those_of_qemu)
{
    g_autoptr(BlockBackend) plain = new_image("size=10M");
    g_autoptr(BdrvInfo) info = blk_get_info(plain, NULL);

    cr_assert_eq(info->cluster_size, 4096);
    cr_assert_eq(info->virtual_size, 10 * MIB);
    cr_assert_not(info->encrypted);
    cr_assert(blk_has_zero_init(plain));
    cr_assert_eq(image_size("image"), 48 + 5 * 8);

    image_make("base", 1000, 1);
    cr_assert_null(create("over", "size=1000,backing_file=base"));
    g_autoptr(BlockBackend) over = qcow_open_rw("over");
    g_autoptr(BdrvInfo) over_info = blk_get_info(over, NULL);
    cr_assert_eq(over_info->cluster_size, 512);
    cr_assert_eq(over_info->virtual_size, 1024);
    cr_assert_str_eq(over_info->backing_filename, "base");
    cr_assert_not(blk_has_zero_init(over));
    check_pattern(over, 0, 1000, 1);
    check_zero(over, 1000, 24);
}

Test(qcow, larger_devices_get_larger_tables_and_clusters)
{
    static const struct {
        const char *options;
        int64_t cluster;
    } cases[] = {
        { "size=2T", 4096 },
        { "size=2T,backing_file=x", 512 },
        { "size=100T", 16384 },
        { "size=511T", 65536 },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *error = create("image", cases[i].options);

        cr_assert_null(error, "%s", error);
        g_autoptr(BlockBackend)
            blk = image_open(BDRV_O_RDWR | BDRV_O_NO_BACKING,
                             "driver=qcow,file.filename=%D/image");
        g_autoptr(BdrvInfo) info = blk_get_info(blk, NULL);
        cr_assert_eq(info->cluster_size, cases[i].cluster);
        int64_t last = info->virtual_size - 5000;
        write_pattern(blk, last, 5000, 4, 0);
        check_pattern(blk, last, 5000, 4);
        cr_assert_eq(qcow_corruptions(blk, NULL), 0);
    }
}

Test(qcow, creating_what_cannot_be)
{
    g_autofree char *name = g_strnfill(1024, 'n');
    g_autofree char *long_name = g_strconcat("size=1M,backing_file=", name,
                                             NULL);
    static const char *const cases[][2] = {
        { "", "cannot have the size 0" },
        { "size=7E", "too many for a qcow image" },
        { "size=1M,encryption=on", "encryption" },
        { "size=1M,preallocation=full", "preallocation" },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *error = create("image", cases[i][0]);

        image_check_text(error, cases[i][1]);
        cr_assert_not(image_exists("image"));
    }
    g_autofree char *error = create("image", long_name);
    image_check_text(error, "has 1024 bytes");
    long_name[strlen(long_name) - 1] = '\0';
    cr_assert_null(create("image", long_name));
}

Test(qcow, measure_tells_what_an_image_takes)
{
    g_autoptr(Options) options = options_new();
    BdrvMeasure measure;

    image_make("base", 300000, 5);
    g_autoptr(BlockBackend) source = image_open_name(0, "%D/base");
    cr_assert(bdrv_measure("qcow", options, source, &measure, NULL));
    g_autoptr(BlockBackend) blk = new_image("size=300032");
    write_pattern(blk, 0, 300000, 5, 0);
    cr_assert_eq(blk_flush(blk), 0);
    cr_assert_eq((uint64_t)image_size("image"), measure.required);
    cr_assert_eq(measure.fully_allocated, measure.required);

    options_set(options, "size", "10M");
    cr_assert(bdrv_measure("qcow", options, NULL, &measure, NULL));
    cr_assert_eq(measure.required, 4096);
    cr_assert_eq(measure.fully_allocated, 4096 + 5 * 4096 + 10 * MIB);
}

/* ---- Requests ---- */

Test(qcow, long_writes_are_few_host_writes)
{
    image_make("base", MIB, 1);
    g_autoptr(BlockBackend) blk = new_image("size=64M,backing_file=base");
    unsigned before = fault_count(FAULT_PWRITEV);

    write_pattern(blk, 0, 8 * MIB, 1, 0);
    /* One for each 2 MiB: a table describes as much. */
    cr_assert_leq(fault_count(FAULT_PWRITEV) - before, 4 + 4);
    expect_status(blk, 0, 8 * MIB, "d 2097152 d 2097152 d 2097152 d 2097152");
    check_pattern(blk, 0, 8 * MIB, 1);
}

Test(qcow, what_is_allocated_is_written_in_place)
{
    g_autoptr(BlockBackend) blk = new_image("size=4M");

    write_pattern(blk, 0, MIB, 1, 0);
    cr_assert_eq(blk_flush(blk), 0);
    int64_t size = image_size("image");
    write_pattern(blk, 1000, MIB - 1000, 2, 0);
    cr_assert_eq(blk_pwrite_zeroes(blk, 5000, 10000, 0), 0);
    cr_assert_eq(blk_flush(blk), 0);
    cr_assert_eq(image_size("image"), size);
    check_pattern(blk, 0, 1000, 1);
    check_pattern(blk, 1000, 4000, 2);
    check_zero(blk, 5000, 10000);
    check_pattern(blk, 15000, MIB - 15000, 2);
}

Test(qcow, zeroes_take_no_room_where_there_are_zeroes)
{
    image_make("base", MIB, 1);
    g_autoptr(BlockBackend) blk = new_image("size=4M,backing_file=base");
    int64_t size = image_size("image");

    cr_assert_eq(blk_pwrite_zeroes(blk, MIB, 3 * MIB, 0), 0);
    cr_assert_eq(image_size("image"), size);
    cr_assert_eq(blk_pwrite_zeroes(blk, 0, 1024, BDRV_REQ_NO_FALLBACK),
                 -ENOTSUP);
    cr_assert_eq(blk_pwrite_zeroes(blk, 100, 1000, 0), 0);
    check_pattern(blk, 0, 100, 1);
    check_zero(blk, 100, 1000);
    check_pattern(blk, 1100, MIB - 1100, 1);
}

Test(qcow, compressed_clusters_stand_together)
{
    g_autoptr(BlockBackend) blk = new_image("size=4M");
    g_autofree uint8_t *buf = g_malloc0(MIB);

    cr_assert_eq(blk_pwrite(blk, 4096, MIB, buf, BDRV_REQ_WRITE_COMPRESSED),
                 0);
    cr_assert_lt(image_size("image"), 20000);
    expect_status(blk, 0, MIB, "u 4096 c 1044480");
    /* A part of one is written: it is an ordinary cluster now. */
    write_pattern(blk, 8192 + 100, 1000, 3, 0);
    expect_status(blk, 0, 16384, "u 4096 c 4096 d 4096 c 4096");
    check_zero(blk, 8192, 100);
    check_pattern(blk, 8292, 1000, 3);
    check_zero(blk, 9292, MIB - 9292);
    cr_assert_eq(qcow_corruptions(blk, NULL), 0);
}

Test(qcow, device_ends_in_the_middle_of_a_cluster)
{
    g_autoptr(BlockBackend) blk = new_image("size=10000");
    uint8_t buf[2049] = { 1 };

    cr_assert_eq(blk_getlength(blk), 10240);
    write_pattern(blk, 9000, 1240, 1, 0);
    check_zero(blk, 0, 9000);
    check_pattern(blk, 9000, 1240, 1);
    write_pattern(blk, 8192, 2048, 2, BDRV_REQ_WRITE_COMPRESSED);
    expect_status(blk, 4096, 6144, "u 4096 c 2048");
    check_pattern(blk, 8192, 2048, 2);
    cr_assert_eq(blk_pwrite(blk, 8192, 2049, buf, 0), -EIO);
}

Test(qcow, resizing_and_repairing_are_refused)
{
    g_autoptr(BlockBackend) blk = NULL;
    BdrvCheckResult result = { 0 };
    g_autoptr(GError) error = NULL;

    g_free(create("image", "size=1M"));
    blk = image_open(BDRV_O_RDWR | BDRV_O_RESIZE,
                     "driver=qcow,file.filename=%D/image");
    cr_assert_eq(blk_truncate(blk, 2 * MIB, false, PREALLOC_MODE_OFF, &error),
                 -ENOTSUP);
    g_clear_error(&error);
    cr_assert_eq(blk_check(blk, &result, BDRV_FIX_ERRORS, &error), -ENOTSUP);
    image_check_text(error->message, "cannot be repaired");
}

/* ---- Emptying ---- */

Test(qcow, emptied_image_shows_the_backing_file)
{
    image_make("base", 8 * MIB, 1);
    g_autoptr(BlockBackend) blk = new_image("size=8M,backing_file=base");
    int64_t size = image_size("image");

    for (int i = 0; i < 3; i++) {
        write_pattern(blk, 0, 8 * MIB, 2 + i, 0);
        cr_assert_eq(i % 2 ? blk_flush(blk) : 0, 0);
        check_pattern(blk, 0, 8 * MIB, 2 + i);
        cr_assert_eq(blk_make_empty(blk, NULL), 0);
        cr_assert_eq(image_size("image"), size);
        check_pattern(blk, 0, 8 * MIB, 1);
    }
    write_pattern(blk, 3 * MIB, 100, 7, 0);
    cr_assert_eq(blk_flush(blk), 0);
    blk_close(blk);
    blk = qcow_open_rw("image");
    check_pattern(blk, 3 * MIB, 100, 7);
    check_pattern(blk, 3 * MIB + 100, MIB, 1);
    cr_assert_eq(qcow_corruptions(blk, NULL), 0);
}

Test(qcow, emptying_is_as_quick_as_what_was_written)
{
    g_autofree char *error = create("image", "size=2T,backing_file=base");

    cr_assert_null(error);
    g_autoptr(BlockBackend) blk = image_open(
        BDRV_O_RDWR | BDRV_O_NO_BACKING, "driver=qcow,file.filename=%D/image");
    write_pattern(blk, 1024 * 1024 * MIB, 512, 1, 0);
    unsigned before = fault_count(FAULT_PWRITEV);
    cr_assert_eq(blk_make_empty(blk, NULL), 0);
    cr_assert_eq(fault_count(FAULT_PWRITEV) - before, 1);
    check_zero(blk, 1024 * 1024 * MIB, 512);
}

Test(qcow, read_only_reopening_writes_the_tables)
{
    g_autoptr(BlockBackend) blk = NULL;
    g_autoptr(GError) error = NULL;

    g_free(create("image", "size=1M"));
    blk = image_open(BDRV_O_RDWR | BDRV_O_NO_FLUSH,
                     "driver=qcow,file.filename=%D/image");
    write_pattern(blk, 5000, 5000, 1, 0);
    cr_assert(blk_set_read_only(blk, true, &error));
    cr_assert_eq(qcow_peek_be64("image", 48), 4096);
    check_pattern(blk, 5000, 5000, 1);
    cr_assert(blk_set_read_only(blk, false, &error));
    write_pattern(blk, 100000, 5000, 1, 0);
    check_pattern(blk, 100000, 5000, 1);
}

/* It cannot grow, and has old contents in the place of the L1 table. */
Test(qcow, a_device_is_refused)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(Options) set = options_new();
    char *device = image_loop_new("disk", 1);

    if (device == NULL) {
        cr_skip_test("no loop devices");
    }
    options_set(set, "size", "512k");
    cr_assert(!bdrv_create("qcow", device, set, &error));
    image_check_text(error->message, "a file that grows");
    image_loop_free(device);
    cr_assert(image_is_hole("disk", 0, 1 << 20));
}
