/* SPDX-License-Identifier: MIT */
/* Reading and writing through the core: ranges, padding, splitting, FUA. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "tests/unit/core-fixture.h"

TestSuite(core_io, .init = core_init);

static void check_error(int ret, int expected, const char *part)
{
    g_autofree char *text = blk_strerror(ret);

    cr_assert_eq(ret, expected, "got %d", ret);
    core_check_text(text, part);
}

/* ---- Ranges ---- */

Test(core_io, backends_stay_inside_the_device)
{
    g_autoptr(BlockBackend)
        blk = core_open(BDRV_O_RDWR | BDRV_O_RESIZE, "driver=mem,size=1000");
    char buf[16] = "";

    cr_assert_eq(blk_pread(blk, 984, 16, buf, 0), 0);
    check_error(blk_pread(blk, 985, 16, buf, 0), -EIO, "past the end");
    check_error(blk_pwrite(blk, 985, 16, buf, 0), -EIO, "past the end");
    check_error(blk_pwrite_zeroes(blk, 1000, 1, 0), -EIO, "past the end");
    check_error(blk_pdiscard(blk, 999, 2), -EIO, "past the end");
    check_error(blk_pread(blk, -1, 1, buf, 0), -EIO, "No such range");
    check_error(blk_pread(blk, 1, -1, buf, 0), -EIO, "No such range");
    check_error(blk_pwrite(blk, INT64_MAX, 16, buf, 0), -EIO, "No such range");
    check_error(blk_pdiscard(blk, 8, INT64_MAX), -EIO, "No such range");
    cr_assert_eq(blk_pread(blk, 1000, 0, buf, 0), 0);
    cr_assert_eq(blk_pwrite(blk, 1000, 0, buf, 0), 0);
    core_expect(core_disk(blk), "R984+16");
}

Test(core_io, a_vector_of_another_size_is_refused)
{
    g_autoptr(BlockBackend) blk = core_open(0, "driver=mem");
    char buf[16];
    IOVector iov;

    iov_init_buf(&iov, buf, sizeof(buf));
    check_error(blk_preadv(blk, 0, 8, &iov, 0), -EINVAL, "vector of 16");
}

Test(core_io, read_only_nodes_refuse_every_change)
{
    g_autoptr(BlockBackend) blk = core_open(0, "driver=mem");
    g_autoptr(GError) error = NULL;
    char buf[8] = "";

    check_error(blk_pwrite(blk, 0, 8, buf, 0), -EACCES, "read-only");
    check_error(blk_pwrite_zeroes(blk, 0, 8, 0), -EACCES, "read-only");
    check_error(blk_pdiscard(blk, 0, 8), -EACCES, "read-only");
    cr_assert_eq(blk_truncate(blk, 8, false, PREALLOC_MODE_OFF, &error),
                 -EACCES);
    core_check_text(error->message, "read-only");
    core_expect(core_disk(blk), "");
}

Test(core_io, a_missing_permission_is_another_error)
{
    g_autoptr(Options) options = options_new();
    g_autoptr(GError) error = NULL;
    char buf[8] = "";

    options_set(options, "driver", "mem");
    g_autoptr(BlockBackend) blk =
        blk_open_with_perm(NULL, options, BDRV_O_RDWR,
                           BLK_PERM_CONSISTENT_READ | BLK_PERM_WRITE_UNCHANGED,
                           BLK_PERM_ALL, &error);
    cr_assert(blk);
    check_error(blk_pwrite(blk, 0, 8, buf, 0), -EPERM, "permission to write");
    cr_assert_eq(blk_pwrite(blk, 0, 8, buf, BDRV_REQ_WRITE_UNCHANGED), 0);
    cr_assert_eq(blk_truncate(blk, 8, false, PREALLOC_MODE_OFF, &error),
                 -EPERM);
    core_check_text(error->message, "permission to resize");
}

Test(core_io, the_words_of_a_driver_last_until_the_next_request)
{
    g_autoptr(BlockBackend) blk = core_open(0, "driver=mem");
    char buf[8];

    bdrv_set_io_error("'%s' has shrunk", "a.txt");
    check_error(-EIO, -EIO, "'a.txt' has shrunk");
    core_disk(blk)->fail[MEM_READ] = EIO;
    int ret = blk_pread(blk, 0, 8, buf, 0);
    g_autofree char *text = blk_strerror(ret);
    cr_assert_str_eq(text, g_strerror(EIO));
}

/* ---- Padding ---- */

Test(core_io, aligned_requests_go_as_they_are)
{
    g_autoptr(BlockBackend)
        blk = core_open(BDRV_O_RDWR, "driver=mem,align=512");
    char buf[1024] = "";

    cr_assert_eq(blk_pread(blk, 512, 1024, buf, 0), 0);
    cr_assert_eq(blk_pwrite(blk, 512, 1024, buf, 0), 0);
    core_expect(core_disk(blk), "R512+1024 W512+1024");
}

Test(core_io, unaligned_reads_are_widened_in_one_call)
{
    g_autoptr(BlockBackend) blk = core_open(0, "driver=mem,align=512");
    MemDisk *disk = core_disk(blk);
    uint8_t buf[700];

    for (int i = 0; i < 2048; i++) {
        disk->data[i] = (uint8_t)(i % 251);
    }
    cr_assert_eq(blk_pread(blk, 600, 700, buf, 0), 0);
    cr_assert_arr_eq(buf, disk->data + 600, 700);
    core_expect(disk, "R512+1024");
    cr_assert_eq(blk_pread(blk, 600, 7, buf, 0), 0);
    cr_assert_arr_eq(buf, disk->data + 600, 7);
    core_expect(disk, "R512+512");
    cr_assert_eq(blk_pread(blk, 512, 7, buf, 0), 0);
    cr_assert_arr_eq(buf, disk->data + 512, 7);
    core_expect(disk, "R512+512");
}

Test(core_io, unaligned_writes_keep_what_is_around_them)
{
    g_autoptr(BlockBackend)
        blk = core_open(BDRV_O_RDWR, "driver=mem,align=512");
    MemDisk *disk = core_disk(blk);
    uint8_t buf[1200], expected[2048];

    memset(disk->data, 1, 4096);
    memset(expected, 1, sizeof(expected));
    memset(buf, 2, sizeof(buf));
    cr_assert_eq(blk_pwrite(blk, 600, 1200, buf, 0), 0);
    memset(expected + 600, 2, 1200);
    cr_assert_arr_eq(disk->data, expected, 2048);
    core_expect(disk, "R512+512 R1536+512 W512+1536");
    cr_assert_eq(blk_pwrite(blk, 10, 20, buf, 0), 0);
    memset(expected + 10, 2, 20);
    cr_assert_arr_eq(disk->data, expected, 2048);
    core_expect(disk, "R0+512 W0+512");
    cr_assert_eq(blk_pwrite(blk, 512, 20, buf, 0), 0);
    core_expect(disk, "R512+512 W512+512");
    cr_assert_eq(blk_pwrite(blk, 500, 12, buf, 0), 0);
    core_expect(disk, "R0+512 W0+512");
}

Test(core_io, scattered_buffers_are_padded_too)
{
    g_autoptr(BlockBackend)
        blk = core_open(BDRV_O_RDWR, "driver=mem,align=16");
    MemDisk *disk = core_disk(blk);
    char a[] = "abc", b[] = "defghijklmno", c[] = "pq";
    g_auto(IOVector) iov;

    iov_init(&iov);
    iov_add(&iov, a, 3);
    iov_add(&iov, b, 12);
    iov_add(&iov, c, 2);
    cr_assert_eq(blk_pwritev(blk, 30, 17, &iov, 0), 0);
    cr_assert_arr_eq(disk->data + 30, "abcdefghijklmnopq", 17);
    memset(a, 0, 3);
    memset(b, 0, 12);
    memset(c, 0, 2);
    cr_assert_eq(blk_preadv(blk, 30, 17, &iov, 0), 0);
    cr_assert_str_eq(a, "abc");
    cr_assert_str_eq(b, "defghijklmno");
    cr_assert_str_eq(c, "pq");
}

Test(core_io, a_device_that_ends_within_a_block)
{
    g_autoptr(BlockBackend)
        blk = core_open(BDRV_O_RDWR, "driver=mem,align=512,size=1000");
    MemDisk *disk = core_disk(blk);
    char buf[1000] = "";

    cr_assert_eq(blk_pread(blk, 0, 1000, buf, 0), 0);
    cr_assert_eq(blk_pwrite(blk, 512, 488, buf, 0), 0);
    core_expect(disk, "R0+1000 W512+488");
    cr_assert_eq(blk_pread(blk, 999, 1, buf, 0), 0);
    core_expect(disk, "R512+488");
    cr_assert_eq(blk_pwrite(blk, 900, 50, buf, 0), 0);
    core_expect(disk, "R512+488 W512+488");
    cr_assert_eq(blk_getlength(blk), 1000);
    cr_assert_eq(disk->length, 1000);
}

Test(core_io, a_failing_read_of_the_head_fails_the_write)
{
    g_autoptr(BlockBackend)
        blk = core_open(BDRV_O_RDWR, "driver=mem,align=512");
    MemDisk *disk = core_disk(blk);

    disk->fail[MEM_READ] = EIO;
    disk->fail_after[MEM_READ] = 1;
    cr_assert_eq(blk_pwrite(blk, 500, 100, disk->data + 8192, 0), -EIO);
    core_expect(disk, "R0+512 R512+512");
}

/* ---- Splitting ---- */

Test(core_io, long_requests_are_split)
{
    g_autoptr(BlockBackend)
        blk = core_open(BDRV_O_RDWR, "driver=mem,align=512,max-transfer=1500");
    MemDisk *disk = core_disk(blk);
    g_autofree uint8_t *buf = g_malloc(4096);
    g_autofree uint8_t *back = g_malloc0(4096);

    cr_assert_eq(blk_get_limits(blk).max_transfer, 1024);
    for (int i = 0; i < 4096; i++) {
        buf[i] = (uint8_t)(i % 253);
    }
    cr_assert_eq(blk_pwrite(blk, 512, 2560, buf, 0), 0);
    core_expect(disk, "W512+1024 W1536+1024 W2560+512");
    cr_assert_eq(blk_pread(blk, 512, 2560, back, 0), 0);
    core_expect(disk, "R512+1024 R1536+1024 R2560+512");
    cr_assert_arr_eq(buf, back, 2560);
}

Test(core_io, the_first_failing_piece_ends_the_request)
{
    g_autoptr(BlockBackend)
        blk = core_open(BDRV_O_RDWR, "driver=mem,max-transfer=1000");
    MemDisk *disk = core_disk(blk);

    disk->fail[MEM_WRITE] = ENOSPC;
    disk->fail_after[MEM_WRITE] = 1;
    cr_assert_eq(blk_pwrite(blk, 0, 5000, disk->data + 8192, 0), -ENOSPC);
    core_expect(disk, "W0+1000 W1000+1000");
}

/* ---- FUA and flushing ---- */

Test(core_io, fua_is_passed_to_drivers_that_know_it)
{
    g_autoptr(BlockBackend)
        blk = core_open(BDRV_O_RDWR, "driver=mem,fua=on,max-transfer=512");
    MemDisk *disk = core_disk(blk);

    cr_assert_eq(blk_pwrite(blk, 0, 1024, disk->data + 8192, BDRV_REQ_FUA), 0);
    core_expect(disk, "W0+512f W512+512f");
}

Test(core_io, fua_is_one_flush_elsewhere)
{
    g_autoptr(BlockBackend)
        blk = core_open(BDRV_O_RDWR, "driver=mem,max-transfer=512");
    MemDisk *disk = core_disk(blk);
    uint8_t *buf = disk->data + 8192;

    cr_assert_eq(blk_pwrite(blk, 0, 1024, buf, BDRV_REQ_FUA), 0);
    core_expect(disk, "W0+512 W512+512 F");
    disk->fail[MEM_FLUSH] = EIO;
    cr_assert_eq(blk_pwrite(blk, 0, 512, buf, BDRV_REQ_FUA), -EIO);
}

Test(core_io, flushing_twice_flushes_once)
{
    g_autoptr(BlockBackend) blk = core_open(BDRV_O_RDWR, "driver=mem");
    MemDisk *disk = core_disk(blk);
    char buf[8] = "";

    cr_assert_eq(blk_pwrite(blk, 0, 8, buf, 0), 0);
    cr_assert_eq(blk_flush(blk), 0);
    cr_assert_eq(blk_flush(blk), 0);
    core_expect(disk, "W0+8 F");
}

/* A server that was killed wrote it, and the guest flushes through the next. */
Test(core_io, the_first_flush_covers_what_was_written_before_opening)
{
    g_autoptr(BlockBackend) blk = core_open(BDRV_O_RDWR, "driver=mem");
    MemDisk *disk = core_disk(blk);

    cr_assert_eq(blk_flush(blk), 0);
    cr_assert_eq(blk_flush(blk), 0);
    core_expect(disk, "F");
}

Test(core_io, a_failed_flush_and_a_failed_write_are_flushed_again)
{
    g_autoptr(BlockBackend) blk = core_open(BDRV_O_RDWR, "driver=mem");
    MemDisk *disk = core_disk(blk);
    char buf[8] = "";

    cr_assert_eq(blk_pwrite(blk, 0, 8, buf, 0), 0);
    disk->fail[MEM_FLUSH] = EIO;
    cr_assert_eq(blk_flush(blk), -EIO);
    cr_assert_eq(blk_flush(blk), -EIO);
    disk->fail[MEM_FLUSH] = 0;
    cr_assert_eq(blk_flush(blk), 0);
    core_expect(disk, "W0+8 F F F");
    disk->fail[MEM_WRITE] = ENOSPC;
    cr_assert_eq(blk_pwrite(blk, 0, 8, buf, 0), -ENOSPC);
    cr_assert_eq(blk_flush(blk), 0);
    core_expect(disk, "W0+8 F");
}

Test(core_io, no_flush_means_none)
{
    g_autoptr(BlockBackend)
        blk = core_open(BDRV_O_RDWR, "driver=mem,cache.no-flush=on");
    char buf[8] = "";

    cr_assert_eq(blk_pwrite(blk, 0, 8, buf, BDRV_REQ_FUA), 0);
    cr_assert_eq(blk_flush(blk), 0);
    core_expect(core_disk(blk), "W0+8");

    g_autoptr(BlockBackend)
        fua = core_open(BDRV_O_RDWR, "driver=mem,fua=on,cache.no-flush=on");
    cr_assert_eq(blk_pwrite(fua, 0, 8, buf, BDRV_REQ_FUA), 0);
    cr_assert_eq(blk_pwrite_zeroes(fua, 0, 8, BDRV_REQ_FUA), 0);
    core_expect(core_disk(fua), "W0+8 Z0+8");
}

Test(core_io, a_flush_reaches_the_file_and_not_the_backing_file)
{
    g_autoptr(BlockBackend)
        base = core_open(BDRV_O_RDWR, "driver=mem,node-name=base");
    char buf[8] = "";

    cr_assert_eq(blk_pwrite(base, 0, 8, buf, 0), 0);
    core_forget(core_disk(base));
    g_autoptr(Options) options = options_new();
    options_set(options, "driver", "cow");
    options_set(options, "file.driver", "mem");
    options_set(options, "backing", "base");
    g_autoptr(BlockBackend) blk = blk_open_with_perm(
        NULL, options, BDRV_O_RDWR, BLK_PERM_WRITE, BLK_PERM_ALL, NULL);
    cr_assert(blk);
    cr_assert_eq(blk_pwrite(blk, 0, 8, buf, 0), 0);
    cr_assert_eq(blk_flush(blk), 0);
    core_expect(core_disk(blk), "W0+8 F");
    core_expect(core_disk(base), "");
}

/* ---- Past the end, for parents ---- */

Test(core_io, parents_read_zeroes_past_the_end)
{
    g_autoptr(BlockBackend) top =
        core_open(0, "driver=raw,file.driver=mem,file.size=50,file.align=16,"
                     "file.magic=hello");
    char buf[300];

    memset(buf, 'x', sizeof(buf));
    cr_assert_eq(bdrv_pread(bdrv_child(blk_bs(top), "file"), 2, 298, buf, 0),
                 0);
    cr_assert_arr_eq(buf, "llo", 3);
    for (int i = 3; i < 298; i++) {
        cr_assert_eq(buf[i], 0);
    }
    cr_assert_eq(bdrv_pread(bdrv_child(blk_bs(top), "file"), 5000, 10, buf, 0),
                 0);
}

Test(core_io, formats_grow_their_file_by_writing)
{
    g_autoptr(BlockBackend) blk =
        core_open(BDRV_O_RDWR, "driver=cow,file.driver=mem,file.size=1000,"
                               "file.align=512");
    BdrvChild *file = bdrv_child(blk_bs(blk), "file");
    MemDisk *disk = core_disk(blk);
    uint8_t buf[700];

    memset(buf, 7, sizeof(buf));
    cr_assert_eq(bdrv_pwrite(file, 2000, 700, buf, 0), 0);
    cr_assert_eq(bdrv_getlength(bdrv_child_bs(file)), 2700);
    cr_assert_eq(disk->length, 2700);
    cr_assert_eq(disk->data[1999], 0);
    cr_assert_eq(disk->data[2000], 7);
    cr_assert_eq(disk->misaligned, 0);
    cr_assert_eq(bdrv_pwrite_zeroes(file, 2600, 1000, 0), 0);
    cr_assert_eq(bdrv_getlength(bdrv_child_bs(file)), 3600);
    cr_assert_eq(disk->length, 3600);
    cr_assert_eq(disk->data[2599], 7);
    cr_assert_eq(disk->data[2600], 0);
    cr_assert_eq(disk->misaligned, 0);
}

Test(core_io, parents_without_the_permission_do_not_grow_it)
{
    g_autoptr(BlockBackend) blk =
        core_open(BDRV_O_RDWR, "driver=pass,file.driver=mem,file.size=1000");
    char buf[8] = "";

    check_error(bdrv_pwrite(bdrv_child(blk_bs(blk), "file"), 996, 8, buf, 0),
                -EIO, "cannot grow");
}

/* ---- Resizing ---- */

Test(core_io, truncate)
{
    g_autoptr(BlockBackend) blk = core_open(BDRV_O_RDWR | BDRV_O_RESIZE,
                                            "driver=raw,file.driver=mem");
    MemDisk *disk = core_disk(blk);
    g_autoptr(GError) error = NULL;
    char buf[8] = "";

    cr_assert_eq(blk_truncate(blk, 5000, false, PREALLOC_MODE_OFF, NULL), 0);
    cr_assert_eq(blk_getlength(blk), 5000);
    cr_assert_eq(blk_pread(blk, 4993, 8, buf, 0), -EIO);
    cr_assert_eq(blk_truncate(blk, 9000, true, PREALLOC_MODE_OFF, NULL), 0);
    cr_assert_eq(blk_getlength(blk), 9000);
    cr_assert_eq(blk_pread(blk, 8992, 8, buf, 0), 0);
    core_expect(disk, "T5000 T9000 R8992+8");
    cr_assert_eq(blk_truncate(blk, -1, false, PREALLOC_MODE_OFF, &error),
                 -EINVAL);
    g_clear_error(&error);
    cr_assert_eq(
        blk_truncate(blk, INT64_MAX, false, PREALLOC_MODE_OFF, &error),
        -EFBIG);
    g_clear_error(&error);
    disk->fail[MEM_TRUNCATE] = ENOSPC;
    cr_assert_eq(blk_truncate(blk, 1, false, PREALLOC_MODE_OFF, &error),
                 -ENOSPC);
    core_check_text(error->message, "does not get 1 bytes");
    cr_assert_eq(blk_getlength(blk), 9000);
}

Test(core_io, growing_does_not_uncover_the_backing_file)
{
    g_autoptr(BlockBackend)
        blk = core_open(BDRV_O_RDWR | BDRV_O_RESIZE,
                        "driver=cow,file.driver=mem,file.size=4096,"
                        "backing.driver=mem,backing.size=20000");

    cr_assert_eq(blk_truncate(blk, 30000, false, PREALLOC_MODE_OFF, NULL), 0);
    core_expect(core_disk(blk), "T30000 W4096+15904");
}

/* ---- Zeroes that come as data ---- */

Test(core_io, detect_zeroes)
{
    g_autoptr(BlockBackend)
        blk = core_open(BDRV_O_RDWR, "driver=mem,detect-zeroes=on,unmap=on");
    g_autoptr(BlockBackend) holes = core_open(
        BDRV_O_RDWR, "driver=mem,detect-zeroes=unmap,discard=unmap,unmap=on");
    char buf[1024] = "";

    cr_assert_eq(blk_pwrite(blk, 512, 1024, buf, 0), 0);
    core_expect(core_disk(blk), "Z512+1024");
    cr_assert_eq(blk_pwrite(holes, 512, 1024, buf, 0), 0);
    core_expect(core_disk(holes), "Z512+1024m");
    buf[1023] = 1;
    cr_assert_eq(blk_pwrite(blk, 512, 1024, buf, 0), 0);
    core_expect(core_disk(blk), "W512+1024");
}
