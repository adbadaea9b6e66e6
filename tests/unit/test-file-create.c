/* SPDX-License-Identifier: MIT */
/* The file driver: creating and resizing. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/fault-syscall.h"
#include "tests/unit/image-fixture.h"

TestSuite(file_create, .init = image_dir_init, .fini = image_dir_fini);

#define RW (BDRV_O_RDWR | BDRV_O_RESIZE)
#define MIB (1024 * 1024)

static bool create(const char *name, const char *text, GError **errp)
{
    g_autoptr(Options) options = options_new();
    g_autofree char *path = image_path(name);

    cr_assert(options_parse_keyval(options, text, NULL, NULL));
    return bdrv_create("file", path, options, errp);
}

static void check_created(const char *name, const char *text)
{
    g_autoptr(GError) error = NULL;

    cr_assert(create(name, text, &error), "%s", error ? error->message : "?");
}

static void check_not_created(const char *name, const char *text,
                              const char *reason)
{
    g_autoptr(GError) error = NULL;

    cr_assert(!create(name, text, &error));
    image_check_text(error->message, reason);
}

Test(file_create, a_sparse_file)
{
    check_created("x", "size=1M");
    cr_assert_eq(image_size("x"), MIB);
    cr_assert_eq(image_allocated("x"), 0);
}

Test(file_create, preallocated)
{
    check_created("falloc", "size=1M,preallocation=falloc");
    cr_assert_eq(image_size("falloc"), MIB);
    cr_assert_geq(image_allocated("falloc"), MIB);
    check_created("full", "size=1M,preallocation=full");
    cr_assert_geq(image_allocated("full"), MIB);
    cr_assert(!image_is_hole("full", 0, MIB));
    cr_assert(image_is_zero("full", 0, MIB));
}

Test(file_create, an_existing_file_is_emptied)
{
    image_make("x", MIB, 1);
    check_created("x", "size=64k,nocow=on");
    cr_assert_eq(image_size("x"), 65536);
    cr_assert(image_is_zero("x", 0, 65536));
}

Test(file_create, through_a_symbolic_link)
{
    int status;

    g_free(image_shell(&status, "ln -s target link"));
    check_created("link", "size=64k");
    cr_assert_eq(image_size("target"), 65536);
}

Test(file_create, options_are_checked)
{
    check_not_created("x", "size=1M,preallocation=metadata", "preallocation");
    check_not_created("x", "size=-1", "size");
    check_not_created("x", "size=1M,sise=2", "sise");
    cr_assert(!image_exists("x"));
    check_not_created("none/x", "size=1M", "No such file");
    check_not_created(".", "size=1M", "is a directory");
}

Test(file_create, an_image_in_use_stays_as_it_is)
{
    image_make("x", 8192, 1);
    BlockBackend *blk = image_open(0, "driver=file,filename=%D/x");

    check_not_created("x", "size=1M", "Is another process using the image");
    cr_assert_eq(image_size("x"), 8192);
    cr_assert(image_holds("x", 0, 8192, 1, 0));
    blk_close(blk);
    check_created("x", "size=1M");
}

Test(file_create, no_room_leaves_no_file)
{
    int status;

    if (!image_mount_tmpfs("m", "size=1m")) {
        cr_skip_test("needs root");
    }
    check_not_created("m/x", "size=8M,preallocation=falloc", "No space left");
    cr_assert(!image_exists("m/x"));
    check_not_created("m/x", "size=8M,preallocation=full", "No space left");
    cr_assert(!image_exists("m/x"));

    /* Behind a link, what was made goes; the link does not. */
    g_free(image_shell(&status, "ln -s m/y link"));
    check_not_created("link", "size=8M,preallocation=full", "No space left");
    cr_assert(!image_exists("m/y"));
    g_free(image_shell(&status, "test -L link"));
    cr_assert_eq(status, 0);
}

Test(file_create, a_device_must_be_large_enough)
{
    char *device = image_loop_new("disk", 1);
    g_autoptr(GError) error = NULL;
    g_autoptr(Options) options = options_new();

    if (device == NULL) {
        cr_skip_test("needs loop devices");
    }
    options_set(options, "size", "1M");
    cr_assert(bdrv_create("file", device, options, &error), "%s",
              error ? error->message : "?");
    options_set(options, "size", "2M");
    cr_assert(!bdrv_create("file", device, options, &error));
    image_check_text(error->message, device);
    image_loop_free(device);
}

/* ---- Resizing ---- */

static void check_resized(BlockBackend *blk, int64_t size,
                          PreallocMode prealloc)
{
    g_autoptr(GError) error = NULL;

    cr_assert_eq(blk_truncate(blk, size, true, prealloc, &error), 0, "%s",
                 error ? error->message : "?");
    cr_assert_eq(image_size("x"), size);
    cr_assert_eq(blk_getlength(blk), size);
}

static void check_not_resized(BlockBackend *blk, int64_t size,
                              PreallocMode prealloc, const char *reason)
{
    g_autoptr(GError) error = NULL;
    int64_t before = blk_getlength(blk);

    cr_assert_lt(blk_truncate(blk, size, true, prealloc, &error), 0);
    image_check_text(error->message, reason);
    cr_assert_eq(blk_getlength(blk), before);
}

Test(file_create, resizing)
{
    image_make("x", MIB, 1);
    g_autoptr(BlockBackend) blk = image_open(RW, "driver=file,filename=%D/x");

    check_resized(blk, MIB / 2, PREALLOC_MODE_OFF);
    check_resized(blk, MIB, PREALLOC_MODE_OFF);
    cr_assert(image_holds("x", 0, MIB / 2, 1, 0));
    cr_assert(image_is_zero("x", MIB / 2, MIB / 2));
    cr_assert(image_is_hole("x", MIB / 2, MIB / 2));
    check_resized(blk, 2 * MIB, PREALLOC_MODE_FALLOC);
    check_resized(blk, 3 * MIB, PREALLOC_MODE_FULL);
    cr_assert_geq(image_allocated("x"), 5 * MIB / 2);
    cr_assert(!image_is_hole("x", 2 * MIB, MIB));
    check_resized(blk, 3 * MIB, PREALLOC_MODE_FULL);
    check_not_resized(blk, MIB, PREALLOC_MODE_FULL, "shrink");
    check_not_resized(blk, 4 * MIB, PREALLOC_MODE_METADATA, "metadata");
}

Test(file_create, growing_without_room_keeps_the_size)
{
    if (!image_mount_tmpfs("m", "size=2m")) {
        cr_skip_test("needs root");
    }
    image_make("m/x", MIB, 1);
    g_autoptr(BlockBackend)
        blk = image_open(RW, "driver=file,filename=%D/m/x");
    check_not_resized(blk, 8 * MIB, PREALLOC_MODE_FALLOC, "No space left");
    check_not_resized(blk, 8 * MIB, PREALLOC_MODE_FULL, "No space left");
    cr_assert_eq(image_size("m/x"), MIB);
    cr_assert(image_holds("m/x", 0, MIB, 1, 0));
}

Test(file_create, full_preallocation_that_cannot_be_synced)
{
    image_make("x", MIB, 1);
    g_autoptr(BlockBackend) blk = image_open(RW, "driver=file,filename=%D/x");

    fault_arm(FAULT_FDATASYNC, 0, 1, EIO);
    check_not_resized(blk, 2 * MIB, PREALLOC_MODE_FULL, "Input/output error");
    cr_assert_eq(image_size("x"), MIB);
}

/* Any thread may start a program meanwhile, which has the descriptor for a
 * moment, and its locks. */
Test(file_create, the_new_file_is_not_locked)
{
    fault_copy_fd();
    check_created("x", "size=1M,preallocation=full");
    cr_assert_geq(fault_copied_fd(), 0);
    blk_close(image_open(RW, "driver=file,filename=%D/x"));
    close(fault_copied_fd());
}
