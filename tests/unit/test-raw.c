/* SPDX-License-Identifier: MIT */
/* The raw driver: all of a file, or a window into it. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "tests/unit/image-fixture.h"

TestSuite(raw, .init = image_dir_init, .fini = image_dir_fini);

#define RW (BDRV_O_RDWR | BDRV_O_RESIZE | BDRV_O_UNMAP)
#define KIB 1024
#define MIB (1024 * 1024)
#define FILE_X ",file.filename=%D/x"
#define WINDOW "driver=raw,offset=65536,size=128k" FILE_X

static void check_refused(const char *options, const char *reason)
{
    g_autofree char *error = image_open_error(RW, options);

    image_check_text(error, reason);
}

Test(raw, options_are_checked)
{
    image_make("x", MIB, 1);
    check_refused("driver=raw", "file");
    check_refused("driver=raw,offset=x" FILE_X, "offset");
    check_refused("driver=raw,size=x" FILE_X, "size");
    check_refused("driver=raw,offest=5" FILE_X, "offset");
    check_refused("driver=raw,offset=1048577" FILE_X,
                  "offset (1048577) lies behind the end");
    check_refused("driver=raw,size=1048577" FILE_X, "1048576 bytes");
    check_refused("driver=raw,offset=1048000,size=577" FILE_X, "576 bytes");
    check_refused("driver=raw,offset=7E,size=7E" FILE_X, "offset");
    check_refused("driver=raw,file.driver=file,file.filename=%D/none",
                  "No such file");
}

Test(raw, is_what_a_plain_file_is)
{
    uint8_t buf[1000];

    image_make("x", 5000, 1);
    g_autoptr(BlockBackend) blk = image_open_name(RW, "%D/x");
    g_autofree char *name = blk_get_filename(blk);
    g_autofree char *path = image_path("x");

    cr_assert_str_eq(blk_get_format_name(blk), "raw");
    cr_assert_str_eq(name, path);
    cr_assert_eq(blk_getlength(blk), 5000);
    cr_assert(blk_has_zero_init(blk));
    cr_assert_eq(blk_pread(blk, 4000, 1000, buf, 0), 0);
    cr_assert(image_pattern_is(buf, 1000, 1, 4000));
    cr_assert_gt(blk_get_limits(blk).min_copy_range, 0);
}

Test(raw, a_window_reads_and_writes_its_part)
{
    uint8_t buf[512];

    image_make("x", MIB, 1);
    g_autoptr(BlockBackend) blk = image_open(RW, WINDOW);
    cr_assert_eq(blk_getlength(blk), 128 * KIB);
    cr_assert_eq(blk_pread(blk, 100, 512, buf, 0), 0);
    cr_assert(image_pattern_is(buf, 512, 1, 65536 + 100));

    image_pattern(buf, 512, 2, 0);
    cr_assert_eq(blk_pwrite(blk, 100, 512, buf, BDRV_REQ_FUA), 0);
    cr_assert(image_holds("x", 65536 + 100, 512, 2, 0));
    cr_assert_eq(blk_pwrite_zeroes(blk, 64 * KIB, 64 * KIB, 0), 0);
    cr_assert(image_is_zero("x", 128 * KIB, 64 * KIB));
    cr_assert(image_holds("x", 192 * KIB, MIB - 192 * KIB, 1, 192 * KIB));
    cr_assert_eq(blk_pdiscard(blk, 32 * KIB, 32 * KIB), 0);
    cr_assert(image_is_hole("x", 96 * KIB, 32 * KIB));
    cr_assert(image_holds("x", 0, 65536, 1, 0));
}

Test(raw, nothing_outside_the_window)
{
    uint8_t buf[512] = { 0 };

    image_make("x", MIB, 1);
    g_autoptr(BlockBackend) blk = image_open(RW, WINDOW);
    cr_assert_lt(blk_pread(blk, 128 * KIB, 1, buf, 0), 0);
    cr_assert_lt(blk_pwrite(blk, 128 * KIB - 100, 512, buf, 0), 0);
    cr_assert_lt(blk_pwrite_zeroes(blk, 0, 128 * KIB + 1, 0), 0);
    cr_assert_lt(blk_pwrite(blk, INT64_MAX - 100, 512, buf, 0), 0);
    cr_assert(image_holds("x", 0, MIB, 1, 0));
}

Test(raw, status_is_the_files_moved_by_the_offset)
{
    g_auto(BdrvBlockStatus) status = { 0 };

    image_make("x", MIB, -1);
    g_autoptr(BlockBackend) all = image_open(RW, "driver=raw" FILE_X);
    cr_assert_eq(blk_pwrite(all, 96 * KIB, 4, "data", 0), 0);
    blk_close(g_steal_pointer(&all));

    g_autoptr(BlockBackend) blk = image_open(0, WINDOW);
    cr_assert_eq(
        blk_block_status(blk, 0, 128 * KIB, BDRV_WANT_PRECISE, &status), 0);
    cr_assert(status.flags & BDRV_BLOCK_ZERO);
    cr_assert_eq(status.bytes, 32 * KIB);
    cr_assert_eq(status.map, 64 * KIB);
    bdrv_block_status_clear(&status);
    cr_assert_eq(
        blk_block_status(blk, 32 * KIB, 96 * KIB, BDRV_WANT_PRECISE, &status),
        0);
    cr_assert(status.flags & BDRV_BLOCK_DATA);
    cr_assert_eq(status.map, 96 * KIB);
}

Test(raw, copies_in_and_out_of_a_window)
{
    image_make("x", MIB, 1);
    image_make("y", MIB, 2);
    g_autoptr(BlockBackend) src = image_open(0, WINDOW);
    g_autoptr(BlockBackend)
        dst = image_open(RW, "driver=raw,offset=4096,size=512k,"
                             "file.filename=%D/y");

    cr_assert_eq(blk_copy_range(src, 1000, dst, 8192, 100000, 0), 0);
    cr_assert(image_holds("y", 4096 + 8192, 100000, 1, 65536 + 1000));
    cr_assert(image_holds("y", 0, 4096 + 8192, 2, 0));
    cr_assert_lt(blk_copy_range(src, 128 * KIB - 10, dst, 0, 11, 0), 0);
    cr_assert_lt(blk_copy_range(src, 0, dst, 512 * KIB - 10, 11, 0), 0);
}

Test(raw, resizing)
{
    g_autoptr(GError) error = NULL;

    image_make("x", MIB, 1);
    {
        g_autoptr(BlockBackend) blk = image_open(RW, WINDOW);
        cr_assert_lt(blk_truncate(blk, MIB, false, PREALLOC_MODE_OFF, &error),
                     0);
        image_check_text(error->message, "fixed size");
        g_clear_error(&error);
    }
    g_autoptr(BlockBackend)
        blk = image_open(RW, "driver=raw,offset=65536" FILE_X);
    cr_assert_eq(blk_getlength(blk), MIB - 65536);
    cr_assert_eq(blk_truncate(blk, 2 * MIB, true, PREALLOC_MODE_OFF, &error),
                 0);
    cr_assert_eq(image_size("x"), 2 * MIB + 65536);
    cr_assert_eq(blk_getlength(blk), 2 * MIB);
    cr_assert_lt(
        blk_truncate(blk, INT64_MAX - 5, true, PREALLOC_MODE_OFF, &error), 0);
    cr_assert_not_null(error);
}

Test(raw, a_window_opens_again_by_its_name)
{
    uint8_t buf[512];

    image_make("x", MIB, 1);
    g_autoptr(BlockBackend) blk = image_open(0, WINDOW);
    g_autofree char *name = blk_get_filename(blk);

    image_check_text(name, "json:");
    g_autoptr(BlockBackend) again = image_open_name(0, name);
    cr_assert_eq(blk_getlength(again), 128 * KIB);
    cr_assert_eq(blk_pread(again, 0, 512, buf, 0), 0);
    cr_assert(image_pattern_is(buf, 512, 1, 65536));
}

Test(raw, creating_makes_the_file)
{
    g_autoptr(Options) options = options_new();
    g_autoptr(GError) error = NULL;
    g_autofree char *path = image_path("new");

    options_set(options, "size", "3M");
    cr_assert(bdrv_create("raw", path, options, &error), "%s",
              error ? error->message : "?");
    cr_assert_eq(image_size("new"), 3 * MIB);
    options_set(options, "cluster_size", "3M");
    cr_assert(!bdrv_create("raw", path, options, &error));
    image_check_text(error->message, "cluster_size");
}

Test(raw, measuring)
{
    g_autoptr(Options) options = options_new();
    g_autoptr(GError) error = NULL;
    BdrvMeasure measure;

    options_set(options, "size", "3M");
    cr_assert(bdrv_measure("raw", options, NULL, &measure, &error));
    cr_assert_eq(measure.required, 3 * MIB);
    cr_assert_eq(measure.fully_allocated, 3 * MIB);

    image_make("x", 12345, 1);
    g_autoptr(BlockBackend) blk = image_open(0, "driver=raw" FILE_X);
    g_autoptr(Options) none = options_new();
    cr_assert(bdrv_measure("raw", none, blk, &measure, &error));
    cr_assert_eq(measure.required, 12345);
}

/* A guest must not turn a raw image whose format was guessed into another. */
Test(raw, a_guessed_format_is_not_written_away)
{
    uint8_t zeroes[512] = { 0 };

    image_make("x", MIB, 1);
    g_autoptr(BlockBackend) blk = image_open_name(RW, "%D/x");
    cr_assert_eq(blk_pwrite(blk, 0, 512, zeroes, 0), 0);
    cr_assert_eq(blk_flush(blk), 0);
}
