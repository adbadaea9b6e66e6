/* SPDX-License-Identifier: MIT */
/* The file driver: options, opening, names, reopening. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "tests/unit/fault-syscall.h"
#include "tests/unit/image-fixture.h"

TestSuite(file, .init = image_dir_init, .fini = image_dir_fini);

#define RW (BDRV_O_RDWR | BDRV_O_RESIZE | BDRV_O_UNMAP)

static void check_refused(unsigned flags, const char *options,
                          const char *reason)
{
    g_autofree char *error = image_open_error(flags, options);

    image_check_text(error, reason);
}

Test(file, options_are_checked)
{
    image_make("x", 512, 1);
    check_refused(0, "driver=file", "filename");
    check_refused(0, "driver=file,filename=", "filename");
    check_refused(0, "driver=file,filename=%D/x,locking=maybe", "locking");
    check_refused(0, "driver=file,filename=%D/x,filname=y", "filname");
}

Test(file, a_missing_file_is_named)
{
    check_refused(0, "driver=file,filename=%D/none",
                  "/none': No such file or directory");
}

Test(file, what_is_no_image_is_refused)
{
    g_autofree char *fifo = image_path("fifo");
    g_autofree char *path = image_path("socket");
    struct sockaddr_un addr = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    cr_assert_eq(mkfifo(fifo, 0644), 0);
    g_strlcpy(addr.sun_path, path, sizeof(addr.sun_path));
    cr_assert_eq(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);

    check_refused(0, "driver=file,filename=%D", "is a directory");
    check_refused(RW, "driver=file,filename=%D", "use fat:/var/tmp");
    check_refused(0, "driver=file,filename=%D/fifo", "is a FIFO");
    check_refused(RW, "driver=file,filename=%D/socket", "is a socket");
    check_refused(0, "driver=file,filename=/dev/null", "character device");
    close(fd);
}

Test(file, a_name_with_a_colon_opens_again)
{
    g_autofree char *name = NULL;

    cr_assert_eq(chdir(image_dir), 0);
    image_make("a:b", 4096, 3);
    g_autoptr(BlockBackend) blk = image_open(0, "driver=file,filename=a:b");
    name = blk_get_filename(blk);
    cr_assert_str_eq(name, "file:a:b");
    g_autoptr(BlockBackend)
        again = image_open_name(BDRV_O_PROTOCOL | BDRV_O_FORCE_SHARE, name);
    cr_assert_eq(blk_getlength(again), 4096);
}

Test(file, a_plain_name_stays_plain)
{
    image_make("a", 10, 3);
    g_autoptr(BlockBackend)
        blk = image_open_name(BDRV_O_PROTOCOL, "file:%D/a");
    g_autofree char *name = blk_get_filename(blk);
    g_autofree char *path = image_path("a");

    cr_assert_str_eq(name, path);
    cr_assert_eq(blk_getlength(blk), 10);
    cr_assert_str_eq(blk_get_format_name(blk), "file");
}

Test(file, an_empty_name_is_refused)
{
    g_autoptr(GError) error = NULL;

    cr_assert_null(blk_open("file:", NULL, BDRV_O_PROTOCOL, &error));
    image_check_text(error->message, "names no file");
}

Test(file, a_read_only_file_system_degrades_only_when_allowed)
{
    if (!image_mount_tmpfs("m", "size=1m")) {
        cr_skip_test("needs root");
    }
    int status;
    image_make("m/x", 4096, 1);
    g_free(image_shell(&status, "mount -o remount,ro m"));
    cr_assert_eq(status, 0);

    check_refused(RW, "driver=file,filename=%D/m/x", "for writing");
    g_autoptr(BlockBackend) blk = image_open(BDRV_O_RDWR | BDRV_O_AUTO_RDONLY,
                                             "driver=file,filename=%D/m/x");
    cr_assert(blk_is_read_only(blk));
    cr_assert_lt(blk_pwrite(blk, 0, 4, "abcd", 0), 0);
}

Test(file, length_and_allocation)
{
    image_make("sparse", 1 << 20, -1);
    g_autoptr(BlockBackend)
        blk = image_open(0, "driver=file,filename=%D/sparse");

    cr_assert_eq(blk_getlength(blk), 1 << 20);
    cr_assert_eq(blk_get_allocated_size(blk), 0);
    cr_assert(blk_has_zero_init(blk));
}

Test(file, reopening_moves_between_read_only_and_read_write)
{
    g_autoptr(GError) error = NULL;

    image_make("x", 8192, 1);
    g_autoptr(BlockBackend)
        blk = image_open(BDRV_O_RDWR, "driver=file,filename=%D/x");
    g_autofree char *path = image_path("x");
    cr_assert_eq(rename(path, "/var/tmp/vvfat-test-renamed"), 0);

    cr_assert(blk_set_read_only(blk, true, &error), "%s",
              error ? error->message : "");
    cr_assert_lt(blk_pwrite(blk, 0, 4, "abcd", 0), 0);
    /* Without the name: it is the same file, not whatever is there now. */
    image_make("x", 8192, 2);
    cr_assert(blk_set_read_only(blk, false, &error), "%s",
              error ? error->message : "");
    cr_assert_eq(blk_pwrite(blk, 0, 4, "abcd", 0), 0);
    cr_assert(image_holds("x", 0, 8192, 2, 0));
    cr_assert_eq(rename("/var/tmp/vvfat-test-renamed", path), 0);
    cr_assert(!image_holds("x", 0, 4, 1, 0));
    cr_assert(image_holds("x", 4, 8188, 1, 4));
}

Test(file, reopening_read_only_needs_a_flush_that_succeeds)
{
    g_autoptr(GError) error = NULL;

    image_make("x", 8192, 1);
    g_autoptr(BlockBackend)
        blk = image_open(BDRV_O_RDWR, "driver=file,filename=%D/x");
    cr_assert_eq(blk_pwrite(blk, 0, 4, "abcd", 0), 0);
    fault_arm(FAULT_FDATASYNC, 0, 1, EIO);
    cr_assert(!blk_set_read_only(blk, true, &error));
    cr_assert_not_null(error);
    cr_assert_eq(blk_pwrite(blk, 0, 4, "efgh", 0), 0);
}

Test(file, a_block_device_is_an_image)
{
    char *device = image_loop_new("disk", 1);
    if (device == NULL) {
        cr_skip_test("needs loop devices");
    }
    g_autofree char *options = g_strdup_printf("driver=file,filename=%s",
                                               device);
    {
        g_autoptr(GError) error = NULL;
        uint8_t buf[512];
        g_auto(BdrvBlockStatus) status = { 0 };
        g_autoptr(BlockBackend) blk = image_open(RW, options);

        cr_assert_eq(blk_getlength(blk), 1 << 20);
        cr_assert(!blk_has_zero_init(blk));
        image_pattern(buf, sizeof(buf), 9, 0);
        cr_assert_eq(blk_pwrite(blk, 1000, 512, buf, BDRV_REQ_FUA), 0);
        memset(buf, 0, sizeof(buf));
        cr_assert_eq(blk_pread(blk, 1000, 512, buf, 0), 0);
        cr_assert(image_pattern_is(buf, 512, 9, 0));
        cr_assert_eq(
            blk_block_status(blk, 0, 1 << 20, BDRV_WANT_PRECISE, &status), 0);
        cr_assert(status.flags & BDRV_BLOCK_DATA);
        cr_assert_eq(blk_pwrite_zeroes(blk, 700, 5000, BDRV_REQ_MAY_UNMAP), 0);
        cr_assert_eq(blk_pread(blk, 1000, 512, buf, 0), 0);
        cr_assert_eq(buf[0] | buf[511], 0);
        cr_assert_eq(blk_pwrite_zeroes(blk, 0, 8192, 0), 0);
        cr_assert_eq(blk_pdiscard(blk, 65536, 65536), 0);

        /* It has the size it has. */
        cr_assert_eq(
            blk_truncate(blk, 1 << 19, false, PREALLOC_MODE_OFF, &error), 0);
        cr_assert_lt(
            blk_truncate(blk, 1 << 19, true, PREALLOC_MODE_OFF, &error), 0);
        g_clear_error(&error);
        cr_assert_lt(
            blk_truncate(blk, 1 << 21, false, PREALLOC_MODE_OFF, &error), 0);
        image_check_text(error->message, "1048576");
        g_clear_error(&error);
        cr_assert_lt(
            blk_truncate(blk, 1 << 20, false, PREALLOC_MODE_FULL, &error), 0);
        cr_assert_eq(blk_flush(blk), 0);
    }
    image_loop_free(device);
}
