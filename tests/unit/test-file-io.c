/* SPDX-License-Identifier: MIT */
/* The file driver: data, zeroes, holes, flushes, and what goes wrong. */
#include <criterion/criterion.h>
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "block/block-int.h"
#include "tests/unit/fault-syscall.h"
#include "tests/unit/image-fixture.h"

TestSuite(file_io, .init = image_dir_init, .fini = image_dir_fini);

#define RW (BDRV_O_RDWR | BDRV_O_RESIZE | BDRV_O_UNMAP)
#define KIB 1024
#define MIB (1024 * 1024)

static BlockBackend *open_rw(const char *name)
{
    g_autofree char *options = g_strdup_printf("driver=file,filename=%%D/%s",
                                               name);

    return image_open(RW, options);
}

/* The status at offset, as one letter; its length in *bytes. */
static char status_at(BlockBackend *blk, int64_t offset, int64_t *bytes)
{
    g_auto(BdrvBlockStatus) status = { 0 };
    int64_t rest = blk_getlength(blk) - offset;

    cr_assert_eq(
        blk_block_status(blk, offset, rest, BDRV_WANT_PRECISE, &status), 0);
    cr_assert(status.flags & BDRV_BLOCK_ALLOCATED);
    cr_assert(status.flags & BDRV_BLOCK_OFFSET_VALID);
    cr_assert_eq(status.map, offset);
    *bytes = status.bytes;
    return status.flags & BDRV_BLOCK_ZERO ? 'z' : 'd';
}

/* More elements than one call takes, of odd and zero lengths. */
static void check_vectors(BlockBackend *blk)
{
    enum { ELEMENTS = 3 * IOV_MAX + 5 };
    g_autofree uint8_t *buf = g_malloc0(ELEMENTS * 5);
    g_auto(IOVector) iov;
    size_t bytes = 0;

    iov_init(&iov);
    for (size_t i = 0; i < ELEMENTS; i++) {
        iov_add(&iov, buf + bytes, i % 5);
        bytes += i % 5;
    }
    image_pattern(buf, bytes, 5, 0);
    cr_assert_eq(blk_pwritev(blk, 777, (int64_t)bytes, &iov, 0), 0);
    memset(buf, 0, bytes);
    cr_assert_eq(blk_preadv(blk, 777, (int64_t)bytes, &iov, 0), 0);
    cr_assert(image_pattern_is(buf, bytes, 5, 0));
    cr_assert(image_holds("x", 777, (int64_t)bytes, 5, 0));
    cr_assert(image_holds("x", 0, 777, 1, 0));
    cr_assert(
        image_holds("x", 777 + (int64_t)bytes, 100, 1, 777 + (int64_t)bytes));
}

Test(file_io, long_vectors)
{
    image_make("x", MIB, 1);
    g_autoptr(BlockBackend) blk = open_rw("x");

    check_vectors(blk);
}

Test(file_io, short_and_interrupted_calls_are_continued)
{
    image_make("x", MIB, 1);
    g_autoptr(BlockBackend) blk = open_rw("x");

    fault_short_io(3);
    check_vectors(blk);
    g_autofree uint8_t *buf = g_malloc(1000);
    image_pattern(buf, 1000, 8, 0);
    cr_assert_eq(blk_pwrite(blk, 11, 1000, buf, BDRV_REQ_FUA), 0);
    cr_assert(image_holds("x", 11, 1000, 8, 0));
}

Test(file_io, an_error_names_file_and_offset)
{
    char buf[100];

    image_make("x", MIB, 1);
    g_autoptr(BlockBackend) blk = open_rw("x");
    fault_arm(FAULT_PREADV, 0, 1, EIO);
    image_check_io(blk_pread(blk, 4096, 100, buf, 0), -EIO,
                   "/x' at byte 4096 failed: Input/output error");
    fault_arm(FAULT_PWRITEV, 0, 1, EDQUOT);
    image_check_io(blk_pwrite(blk, 5000, 100, buf, 0), -EDQUOT,
                   "/x' at byte 5000 failed");
    cr_assert_eq(blk_pread(blk, 4096, 100, buf, 0), 0);
}

Test(file_io, a_file_that_shrinks_is_an_error_not_zeroes)
{
    char buf[8192];
    int64_t bytes;

    image_make("x", 8192, 1);
    g_autoptr(BlockBackend) blk = open_rw("x");
    g_autofree char *path = image_path("x");
    cr_assert_eq(truncate(path, 5000), 0);

    image_check_io(blk_pread(blk, 0, 8192, buf, 0), -EIO, "shrunk");
    cr_assert_eq(blk_pread(blk, 0, 5000, buf, 0), 0);
    cr_assert_eq(status_at(blk, 6000, &bytes), 'd');
}

/* Formats do so; a program that holds the backend may not. */
Test(file_io, writing_past_the_end_grows_the_file)
{
    char buf[5000] = "x";

    image_make("x", 4096, 1);
    g_autoptr(BlockBackend) blk = open_rw("x");
    cr_assert_eq(bdrv_pwrite(blk->root, 100000, 5000, buf, 0), 0);
    cr_assert_eq(image_size("x"), 105000);
    cr_assert_eq(blk_getlength(blk), 105000);
    cr_assert_eq(bdrv_pwrite_zeroes(blk->root, 200000, 5000, 0), 0);
    cr_assert_eq(image_size("x"), 205000);
    cr_assert(image_is_zero("x", 105000, 100000));
}

/* ---- Flushing ---- */

Test(file_io, a_failed_flush_stays_failed)
{
    image_make("x", 4096, 1);
    g_autoptr(BlockBackend) blk = open_rw("x");

    cr_assert_eq(blk_pwrite(blk, 0, 4, "abcd", 0), 0);
    cr_assert_eq(blk_flush(blk), 0);
    cr_assert_eq(blk_pwrite(blk, 0, 4, "efgh", 0), 0);
    fault_arm(FAULT_FDATASYNC, 0, 1, ENOSPC);
    image_check_io(blk_flush(blk), -ENOSPC, "may be lost");
    image_check_io(blk_flush(blk), -ENOSPC, "may be lost");
    cr_assert_eq(blk_pwrite(blk, 0, 4, "ijkl", 0), 0);
    cr_assert_eq(blk_flush(blk), -ENOSPC);
}

Test(file_io, fua_without_the_kernels_help)
{
    image_make("x", 4096, 1);
    g_autoptr(BlockBackend) blk = open_rw("x");

    fault_arm(FAULT_PWRITEV2, 0, -1, EOPNOTSUPP);
    unsigned before = fault_count(FAULT_FDATASYNC);
    cr_assert_eq(blk_pwrite(blk, 10, 4, "abcd", BDRV_REQ_FUA), 0);
    cr_assert_eq(fault_count(FAULT_FDATASYNC), before + 1);
    cr_assert_eq(blk_pwrite(blk, 20, 4, "abcd", 0), 0);
    cr_assert_eq(fault_count(FAULT_FDATASYNC), before + 1);
    cr_assert_eq(blk_flush(blk), 0);
}

Test(file_io, fua_whose_sync_fails_poisons_flushing)
{
    image_make("x", 4096, 1);
    g_autoptr(BlockBackend) blk = open_rw("x");

    cr_assert_eq(blk_pwrite(blk, 0, 4, "abcd", 0), 0);
    fault_arm(FAULT_PWRITEV2, 0, 1, EIO);
    cr_assert_eq(blk_pwrite(blk, 10, 4, "abcd", BDRV_REQ_FUA), -EIO);
    cr_assert_eq(blk_flush(blk), -EIO);
}

Test(file_io, fua_whose_write_fails_does_not)
{
    image_make("x", 4096, 1);
    g_autoptr(BlockBackend) blk = open_rw("x");

    fault_arm(FAULT_PWRITEV2, 0, 1, ENOSPC);
    fault_arm(FAULT_PWRITEV, 0, 1, ENOSPC);
    image_check_io(blk_pwrite(blk, 10, 4, "abcd", BDRV_REQ_FUA), -ENOSPC,
                   "at byte 10 failed");
    cr_assert_eq(blk_pwrite(blk, 10, 4, "abcd", BDRV_REQ_FUA), 0);
    cr_assert_eq(blk_flush(blk), 0);
}

/* ---- Zeroes and holes ---- */

static void check_zeroes(const char *name, bool punches)
{
    image_make(name, MIB, 1);
    g_autoptr(BlockBackend) blk = open_rw(name);

    /* Kept: zero, but the space is still ours. */
    int64_t full = image_allocated(name);
    cr_assert_eq(blk_pwrite_zeroes(blk, 64 * KIB, 64 * KIB, 0), 0);
    cr_assert(image_is_zero(name, 64 * KIB, 64 * KIB));
    cr_assert_geq(image_allocated(name), full);

    /* Odd ends: not a byte beside them. */
    cr_assert_eq(blk_pwrite_zeroes(blk, 200001, 99999, BDRV_REQ_MAY_UNMAP), 0);
    cr_assert(image_is_zero(name, 200001, 99999));
    cr_assert(image_holds(name, 128 * KIB, 200001 - 128 * KIB, 1, 128 * KIB));
    cr_assert(image_holds(name, 300000, MIB - 300000, 1, 300000));
    cr_assert_eq(image_is_hole(name, 204800, 94208), punches);
    cr_assert_eq(image_allocated(name) < full, punches);

    cr_assert_eq(blk_pdiscard(blk, 512 * KIB, 128 * KIB), 0);
    cr_assert_eq(image_is_hole(name, 512 * KIB, 128 * KIB), punches);
    cr_assert(image_holds(name, 640 * KIB, 384 * KIB, 1, 640 * KIB));
    cr_assert_eq(image_size(name), MIB);
}

Test(file_io, zeroes_and_discards_are_holes)
{
    check_zeroes("x", true);
}

Test(file_io, zeroes_where_ranges_cannot_be_zeroed)
{
    if (!image_mount_tmpfs("m", "size=8m")) {
        cr_skip_test("needs root");
    }
    check_zeroes("m/x", true);
}

Test(file_io, zeroes_where_the_host_knows_no_such_thing)
{
    fault_arm(FAULT_FALLOCATE, 0, -1, EOPNOTSUPP);
    check_zeroes("x", false);

    /* Each method was tried once. */
    cr_assert_leq(fault_count(FAULT_FALLOCATE), 3);
}

Test(file_io, no_fallback_fails_rather_than_writing)
{
    image_make("x", MIB, 1);
    g_autoptr(BlockBackend) blk = open_rw("x");

    fault_arm(FAULT_FALLOCATE, 0, -1, EOPNOTSUPP);
    cr_assert_eq(blk_pwrite_zeroes(blk, 0, MIB, BDRV_REQ_NO_FALLBACK),
                 -ENOTSUP);
    cr_assert(image_holds("x", 0, MIB, 1, 0));
}

Test(file_io, zeroes_that_fail_say_so)
{
    image_make("x", MIB, 1);
    g_autoptr(BlockBackend) blk = open_rw("x");

    fault_arm(FAULT_FALLOCATE, 0, 1, EIO);
    image_check_io(blk_pwrite_zeroes(blk, 4096, 4096, 0), -EIO,
                   "Writing zeroes to");
    fault_arm(FAULT_FALLOCATE, 0, 1, EIO);
    image_check_io(blk_pdiscard(blk, 4096, 4096), -EIO, "Discarding in");
}

Test(file_io, discard_needs_leave)
{
    image_make("x", MIB, 1);
    g_autoptr(BlockBackend)
        blk = image_open(BDRV_O_RDWR, "driver=file,filename=%D/x");

    cr_assert_eq(blk_pdiscard(blk, 0, MIB), 0);
    cr_assert(image_holds("x", 0, MIB, 1, 0));
}

/* ---- Block status ---- */

Test(file_io, status_tells_data_from_holes)
{
    int64_t bytes;
    g_autofree uint8_t *buf = g_malloc(64 * KIB);

    image_make("x", MIB, -1);
    g_autoptr(BlockBackend) blk = open_rw("x");
    cr_assert_eq(status_at(blk, 0, &bytes), 'z');
    cr_assert_eq(bytes, MIB);

    image_pattern(buf, 64 * KIB, 4, 0);
    cr_assert_eq(blk_pwrite(blk, 128 * KIB, 64 * KIB, buf, 0), 0);
    cr_assert_eq(status_at(blk, 0, &bytes), 'z');
    cr_assert_eq(bytes, 128 * KIB);
    cr_assert_eq(status_at(blk, 130 * KIB, &bytes), 'd');
    cr_assert_eq(bytes, 62 * KIB);
    cr_assert_eq(status_at(blk, 192 * KIB, &bytes), 'z');
    cr_assert_eq(bytes, MIB - 192 * KIB);

    /* What is known of data does not outlive it. */
    cr_assert_eq(status_at(blk, 128 * KIB, &bytes), 'd');
    cr_assert_eq(blk_pdiscard(blk, 128 * KIB, 32 * KIB), 0);
    cr_assert_eq(status_at(blk, 128 * KIB, &bytes), 'z');
    cr_assert_eq(bytes, 32 * KIB);
    cr_assert_eq(status_at(blk, 160 * KIB, &bytes), 'd');
    cr_assert_eq(
        blk_pwrite_zeroes(blk, 160 * KIB, 32 * KIB, BDRV_REQ_MAY_UNMAP), 0);
    cr_assert_eq(status_at(blk, 160 * KIB, &bytes), 'z');
}

Test(file_io, status_of_a_file_that_ends_in_data)
{
    int64_t bytes;

    image_make("x", 5000, 1);
    g_autoptr(BlockBackend) blk = open_rw("x");
    cr_assert_eq(status_at(blk, 0, &bytes), 'd');
    cr_assert_eq(bytes, 5000);
    cr_assert_eq(status_at(blk, 4999, &bytes), 'd');
    cr_assert_eq(bytes, 1);
}

/* ---- A full disk ---- */

Test(file_io, a_full_disk_is_an_error_with_words)
{
    g_autofree uint8_t *buf = g_malloc0(2 * MIB);

    if (!image_mount_tmpfs("m", "size=1m")) {
        cr_skip_test("needs root");
    }
    image_make("m/x", 2 * MIB, -1);
    g_autoptr(BlockBackend) blk = open_rw("m/x");
    image_check_io(blk_pwrite(blk, 0, 2 * MIB, buf, 0), -ENOSPC,
                   "No space left on device");
    cr_assert_eq(blk_flush(blk), 0);
}
