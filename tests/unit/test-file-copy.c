/* SPDX-License-Identifier: MIT */
/* The file driver: cloning and copying without a buffer. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "block/block-int.h"
#include "tests/unit/fault-syscall.h"
#include "tests/unit/image-fixture.h"

TestSuite(file_copy, .init = image_dir_init, .fini = image_dir_fini);

#define RW (BDRV_O_RDWR | BDRV_O_RESIZE)
#define KIB 1024
#define MIB (1024 * 1024)
#define SRC_BYTES (8 * MIB)

/* A source full of the pattern 1, a target full of the pattern 2. */
static void open_pair(const char *dir, BlockBackend **src, BlockBackend **dst)
{
    g_autofree char *src_name = g_strconcat(dir, "/src", NULL);
    g_autofree char *dst_name = g_strconcat(dir, "/dst", NULL);
    g_autofree char *src_options = g_strconcat("driver=file,filename=%D/",
                                               src_name, NULL);
    g_autofree char *dst_options = g_strconcat("driver=file,filename=%D/",
                                               dst_name, NULL);

    image_make(src_name, SRC_BYTES, 1);
    image_make(dst_name, SRC_BYTES, 2);
    *src = image_open(0, src_options);
    *dst = image_open(RW, dst_options);
}

/* The copy is there, and nothing beside it has changed. */
static void check_copy(const char *dst, int64_t from, int64_t to,
                       int64_t bytes)
{
    cr_assert(image_holds(dst, to, bytes, 1, from));
    cr_assert(image_holds(dst, 0, to, 2, 0));
    if (to + bytes < SRC_BYTES) {
        cr_assert(image_holds(dst, to + bytes, SRC_BYTES - to - bytes, 2,
                              to + bytes));
    }
}

static void check_copies(const char *dir)
{
    static const struct {
        int64_t from, to, bytes;
    } cases[] = {
        { 0, 0, SRC_BYTES },
        { MIB, 2 * MIB, 3 * MIB },
        { MIB + 512, 512, 2 * MIB },      /* clone but for head and tail */
        { MIB + 512, 4096, 2 * MIB + 7 }, /* nothing can be shared */
        { 3, 5, 100 },
        { 4095, 4095, 64 * KIB + 2 },
    };
    g_autofree char *dst_name = g_strconcat(dir, "/dst", NULL);

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(BlockBackend) src = NULL;
        g_autoptr(BlockBackend) dst = NULL;

        open_pair(dir, &src, &dst);
        cr_assert_eq(blk_copy_range(src, cases[i].from, dst, cases[i].to,
                                    cases[i].bytes, 0),
                     0);
        check_copy(dst_name, cases[i].from, cases[i].to, cases[i].bytes);
    }
}

/* Whether the host shares the blocks of the range, says filefrag. */
static bool is_shared(const char *name)
{
    int status;
    g_autofree char *out = image_shell(
        &status, "PATH=$PATH:/sbin:/usr/sbin; sync %s && filefrag -v %s", name,
        name);

    cr_assert_eq(status, 0, "%s", out);
    return strstr(out, "shared") != NULL;
}

static void check_clones(const char *mkfs)
{
    g_autoptr(BlockBackend) src = NULL;
    g_autoptr(BlockBackend) dst = NULL;

    if (!image_mount_loop("m", mkfs)) {
        cr_skip_test("cannot make or mount this file system here");
    }
    check_copies("m");

    /* Not even a copy in the kernel is needed. */
    open_pair("m", &src, &dst);
    unsigned before = fault_count(FAULT_COPY_FILE_RANGE);
    cr_assert(!is_shared("m/dst"));
    cr_assert_eq(blk_copy_range(src, MIB, dst, 2 * MIB, 4 * MIB, 0), 0);
    cr_assert_eq(fault_count(FAULT_COPY_FILE_RANGE), before);
    cr_assert(is_shared("m/dst"));
    check_copy("m/dst", MIB, 2 * MIB, 4 * MIB);
}

Test(file_copy, blocks_are_shared_on_btrfs, .timeout = 60)
{
    check_clones("mkfs.btrfs -q");
}

Test(file_copy, blocks_are_shared_on_xfs, .timeout = 60)
{
    check_clones("mkfs.xfs -q -m reflink=1");
}

Test(file_copy, on_the_file_system_at_hand)
{
    check_copies(".");
}

Test(file_copy, on_tmpfs)
{
    if (!image_mount_tmpfs("m", "size=64m")) {
        cr_skip_test("needs root");
    }
    check_copies("m");
}

Test(file_copy, in_short_pieces)
{
    fault_short_io(100000);
    check_copies(".");
}

Test(file_copy, within_one_image)
{
    g_autoptr(BlockBackend) src = NULL;
    g_autoptr(BlockBackend) dst = NULL;

    open_pair(".", &src, &dst);
    cr_assert_eq(blk_copy_range(dst, 0, dst, 4 * MIB, MIB, 0), 0);
    cr_assert(image_holds("dst", 4 * MIB, MIB, 2, 0));
}

/* Formats do so, over the edge to their file. */
Test(file_copy, past_the_end_grows_the_target)
{
    g_autoptr(BlockBackend) src = NULL;
    g_autoptr(BlockBackend) dst = NULL;
    g_autofree char *path = image_path("src");

    open_pair(".", &src, &dst);
    int fd = open(path, O_RDONLY);
    cr_assert_eq(
        bdrv_copy_range_to_child(dst->root, fd, 0, SRC_BYTES + 4096, MIB, 0),
        0);
    close(fd);
    cr_assert_eq(image_size("dst"), SRC_BYTES + 4096 + MIB);
    cr_assert(image_holds("dst", SRC_BYTES + 4096, MIB, 1, 0));
    cr_assert(image_is_zero("dst", SRC_BYTES, 4096));
    cr_assert_eq(blk_getlength(dst), SRC_BYTES + 4096 + MIB);
}

Test(file_copy, fua_flushes)
{
    g_autoptr(BlockBackend) src = NULL;
    g_autoptr(BlockBackend) dst = NULL;

    open_pair(".", &src, &dst);
    unsigned before = fault_count(FAULT_FDATASYNC);
    cr_assert_eq(blk_copy_range(src, 0, dst, 0, MIB, BDRV_REQ_FUA), 0);
    cr_assert_eq(fault_count(FAULT_FDATASYNC), before + 1);
}

/* ---- Through a pipe ---- */

Test(file_copy, a_pipe_where_the_kernel_copies_pages)
{
    g_autoptr(BlockBackend) src = NULL;
    g_autoptr(BlockBackend) dst = NULL;

    if (!image_mount_tmpfs("m", "size=64m")) {
        cr_skip_test("needs root");
    }
    open_pair("m", &src, &dst);
    unsigned before = fault_count(FAULT_COPY_FILE_RANGE);
    cr_assert_eq(blk_copy_range(src, 4096 + 3, dst, 512, 5 * MIB, 0), 0);
    cr_assert_eq(fault_count(FAULT_COPY_FILE_RANGE), before);
    check_copy("m/dst", 4096 + 3, 512, 5 * MIB);
}

/* The call that fails fills the pipe, or empties it, at the beginning or when
 * a part of what is in there has been written. */
Test(file_copy, what_a_pipe_leaves_is_copied_by_the_kernel)
{
    for (int skip = 0; skip < 12; skip++) {
        g_autoptr(BlockBackend) src = NULL;
        g_autoptr(BlockBackend) dst = NULL;

        open_pair(".", &src, &dst);
        unsigned before = fault_count(FAULT_COPY_FILE_RANGE);
        fault_short_io(100000);
        fault_arm(FAULT_SPLICE, skip, 1, EIO);
        cr_assert_eq(blk_copy_range(src, 4096 + 1, dst, 8192 + 7, MIB, 0), 0);
        cr_assert_gt(fault_count(FAULT_COPY_FILE_RANGE), before);
        check_copy("dst", 4096 + 1, 8192 + 7, MIB);
    }
}

Test(file_copy, a_pipe_that_is_interrupted_goes_on)
{
    g_autoptr(BlockBackend) src = NULL;
    g_autoptr(BlockBackend) dst = NULL;

    open_pair(".", &src, &dst);
    unsigned before = fault_count(FAULT_COPY_FILE_RANGE);
    fault_arm(FAULT_SPLICE, 1, 1, EINTR);
    cr_assert_eq(blk_copy_range(src, 0, dst, 0, MIB, 0), 0);
    cr_assert_eq(fault_count(FAULT_COPY_FILE_RANGE), before);
    check_copy("dst", 0, 0, MIB);
}

/* ---- What the kernel cannot ---- */

/* The next range does not go through a pipe, if it would. */
static void without_pipe(void)
{
    fault_arm(FAULT_SPLICE, 0, 1, EINVAL);
}

Test(file_copy, a_kernel_that_cannot_copy_writes_nothing)
{
    static const int errors[] = { EXDEV,  ENOSYS, EOPNOTSUPP,
                                  EINVAL, EBADF,  EPERM };

    for (size_t i = 0; i < G_N_ELEMENTS(errors); i++) {
        g_autoptr(BlockBackend) src = NULL;
        g_autoptr(BlockBackend) dst = NULL;

        open_pair(".", &src, &dst);
        without_pipe();
        fault_arm(FAULT_COPY_FILE_RANGE, 0, 1, errors[i]);
        cr_assert_eq(blk_copy_range(src, 0, dst, 0, MIB, 0), -ENOTSUP);
        cr_assert(image_holds("dst", 0, SRC_BYTES, 2, 0));
    }
}

Test(file_copy, a_kernel_that_gives_up_in_the_middle_is_helped)
{
    g_autoptr(BlockBackend) src = NULL;
    g_autoptr(BlockBackend) dst = NULL;

    open_pair(".", &src, &dst);
    without_pipe();
    fault_short_io(100000);
    fault_arm(FAULT_COPY_FILE_RANGE, 3, -1, EOPNOTSUPP);
    cr_assert_eq(blk_copy_range(src, 4096, dst, 8192, MIB, 0), 0);
    check_copy("dst", 4096, 8192, MIB);
}

Test(file_copy, zero_from_a_kernel_that_does_not_say_no)
{
    g_autoptr(BlockBackend) src = NULL;
    g_autoptr(BlockBackend) dst = NULL;

    open_pair(".", &src, &dst);
    without_pipe();
    fault_arm(FAULT_COPY_FILE_RANGE, 0, -1, 0);
    cr_assert_eq(blk_copy_range(src, 4096, dst, 8192, MIB, 0), 0);
    check_copy("dst", 4096, 8192, MIB);
}

Test(file_copy, errors_are_errors)
{
    g_autoptr(BlockBackend) src = NULL;
    g_autoptr(BlockBackend) dst = NULL;

    open_pair(".", &src, &dst);
    without_pipe();
    fault_arm(FAULT_COPY_FILE_RANGE, 0, 1, EIO);
    image_check_io(blk_copy_range(src, 0, dst, 4096, MIB, 0), -EIO,
                   "dst' at byte 4096 failed");
    without_pipe();
    fault_arm(FAULT_COPY_FILE_RANGE, 0, 1, ENOSPC);
    cr_assert_eq(blk_copy_range(src, 0, dst, 0, MIB, 0), -ENOSPC);
}

Test(file_copy, a_source_that_has_shrunk_is_named)
{
    g_autoptr(BlockBackend) src = NULL;
    g_autoptr(BlockBackend) dst = NULL;
    g_autofree char *path = image_path("src");

    open_pair(".", &src, &dst);
    cr_assert_eq(truncate(path, MIB), 0);
    image_check_io(blk_copy_range(src, 0, dst, 0, 2 * MIB, 0), -EIO,
                   "/src' has shrunk");
}

/* The rest of its last page is in memory, and holds zeroes. */
Test(file_copy, a_source_that_has_shrunk_by_a_byte_is_named)
{
    g_autoptr(BlockBackend) src = NULL;
    g_autoptr(BlockBackend) dst = NULL;
    g_autofree char *path = image_path("src");

    open_pair(".", &src, &dst);
    cr_assert_eq(truncate(path, MIB - 1), 0);
    image_check_io(blk_copy_range(src, 0, dst, 0, MIB, 0), -EIO,
                   "/src' has shrunk");
}

Test(file_copy, a_device_is_left_to_reads_and_writes)
{
    char *device = image_loop_new("disk", 16);

    if (device == NULL) {
        cr_skip_test("needs loop devices");
    }
    g_autofree char *options = g_strdup_printf("driver=file,filename=%s",
                                               device);
    image_make("src", MIB, 1);
    {
        g_autoptr(BlockBackend)
            src = image_open(0, "driver=file,filename=%D/src");
        g_autoptr(BlockBackend) dst = image_open(BDRV_O_RDWR, options);

        cr_assert_eq(blk_copy_range(src, 0, dst, 0, MIB, 0), -ENOTSUP);
    }
    image_loop_free(device);
}
