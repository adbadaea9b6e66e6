/* SPDX-License-Identifier: MIT */
/*
 * A disk whose guest has given it another serial number: nothing is committed,
 * and after each flush the image beside the directory is the disk.
 */
#include <criterion/criterion.h>
#include <glib/gstdio.h>
#include <inttypes.h>
#include <string.h>

#include "image-fixture.h"

#define SECTOR 512
#define SERIAL 39 /* in the boot sector of FAT16, 4 bytes */
#define WRITES 6  /* between two flushes */

TestSuite(writable_suspended, .init = image_dir_init, .fini = image_dir_fini);

static BlockBackend *open_disk(const char *dir, const char *size)
{
    g_autofree char *path = image_path(dir);
    g_autofree char *options = g_strdup_printf(
        "driver=vvfat,dir=%s,rw=on,fat-type=16,partition=none,size=%s", path,
        size);

    g_mkdir(path, 0700);
    return image_open(BDRV_O_RDWR | BDRV_O_UNMAP, options);
}

static void set_serial(BlockBackend *disk, uint8_t serial)
{
    uint8_t boot[SECTOR];

    cr_assert_eq(blk_pread(disk, 0, SECTOR, boot, 0), 0);
    boot[SERIAL] = serial;
    cr_assert_eq(blk_pwrite(disk, 0, SECTOR, boot, 0), 0);
}

static uint8_t serial_of(BlockBackend *disk)
{
    uint8_t boot[SECTOR];

    cr_assert_eq(blk_pread(disk, 0, SECTOR, boot, 0), 0);
    return boot[SERIAL];
}

static char *image_of(BlockBackend *disk)
{
    g_autoptr(BdrvInfo) info = blk_get_info(disk, NULL);

    cr_assert(info && info->specific);
    return g_strdup(options_get(info->specific, "commit.rescue"));
}

/* A piece of the disk: random bytes, zeroes, or no longer needed. */
static void scribble(BlockBackend *disk, GRand *rand, int64_t length)
{
    int64_t first = SECTOR *
                    (int64_t)g_rand_int_range(rand, 1, (int)(length / SECTOR));
    int64_t bytes = MIN(SECTOR * (int64_t)g_rand_int_range(rand, 1, 64),
                        length - first);
    g_autofree uint8_t *data = g_malloc((gsize)bytes);

    memset(data, g_rand_int_range(rand, 1, 256), (size_t)bytes);
    switch (g_rand_int_range(rand, 0, 6)) {
    case 0:
        cr_assert_eq(blk_pwrite_zeroes(disk, first, bytes, 0), 0);
        break;
    case 1:
        cr_assert_eq(blk_pdiscard(disk, first, bytes), 0);
        break;
    default:
        cr_assert_eq(blk_pwrite(disk, first, bytes, data, 0), 0);
        break;
    }
}

static void check_image(BlockBackend *disk, const char *path, int64_t length)
{
    g_autofree char *options = g_strdup_printf(
        "driver=qcow2,file.driver=file,file.filename=%s,force-share=on", path);
    g_autoptr(BlockBackend) image = image_open(0, options);
    g_autofree uint8_t *expected = g_malloc((gsize)length);
    g_autofree uint8_t *kept = g_malloc((gsize)length);

    cr_assert_eq(blk_getlength(image), length);
    cr_assert_eq(blk_pread(disk, 0, length, expected, 0), 0);
    cr_assert_eq(blk_pread(image, 0, length, kept, 0), 0);
    for (int64_t i = 0; i < length; i++) {
        cr_assert_eq(kept[i], expected[i], "offset %" PRId64, i);
    }
}

Test(writable_suspended, each_flush_is_kept)
{
    g_autoptr(BlockBackend) disk = open_disk("dir", "8M");
    g_autoptr(GRand) rand = g_rand_new_with_seed(1);
    g_autofree char *first = NULL;
    int64_t length = blk_getlength(disk);
    uint8_t serial = serial_of(disk);

    set_serial(disk, serial ^ 1);
    for (unsigned i = 0; i < 12; i++) {
        g_autofree char *path = NULL;

        for (unsigned k = 0; k < WRITES; k++) {
            scribble(disk, rand, length);
        }
        cr_assert_eq(blk_flush(disk), 0);
        path = image_of(disk);
        cr_assert_not_null(path);
        first = first ? first : g_strdup(path);
        cr_assert_str_eq(path, first);
        check_image(disk, path, length);
    }
}

Test(writable_suspended, goes_on_elsewhere_when_there_is_no_room)
{
    BlockBackend *disk;
    g_autoptr(GRand) rand = g_rand_new_with_seed(2);
    g_autofree char *first = NULL;
    g_autofree char *last = NULL;
    g_autofree char *mounted = image_path("small/");
    int64_t length;

    if (!image_mount_tmpfs("small", "size=1m")) {
        cr_skip_test();
    }
    disk = open_disk("small/dir", "8M");
    length = blk_getlength(disk);
    set_serial(disk, serial_of(disk) ^ 1);
    cr_assert_eq(blk_flush(disk), 0);
    first = image_of(disk);
    cr_assert(g_str_has_prefix(first, mounted), "%s", first);
    for (unsigned i = 0; i < 40; i++) {
        for (unsigned k = 0; k < WRITES; k++) {
            scribble(disk, rand, length);
        }
        cr_assert_eq(blk_flush(disk), 0);
    }
    last = image_of(disk);
    cr_assert(!g_str_has_prefix(last, mounted), "%s", last);
    cr_assert(!g_file_test(first, G_FILE_TEST_EXISTS));
    check_image(disk, last, length);
    blk_close(disk);
    cr_assert_eq(g_remove(last), 0);
}

Test(writable_suspended, goes_when_the_volume_is_back)
{
    BlockBackend *disk = open_disk("dir", "8M");
    g_autofree char *path = NULL;
    g_autofree char *none = NULL;
    g_autoptr(GError) error = NULL;
    uint8_t serial = serial_of(disk);

    set_serial(disk, serial ^ 1);
    cr_assert_eq(blk_flush(disk), 0);
    path = image_of(disk);
    cr_assert(g_file_test(path, G_FILE_TEST_EXISTS));
    set_serial(disk, serial);
    cr_assert_eq(blk_flush(disk), 0);
    none = image_of(disk);
    cr_assert_null(none);
    cr_assert(!g_file_test(path, G_FILE_TEST_EXISTS));
    cr_assert_eq(blk_commit(disk, true, &error), 0);
    blk_close(disk);
}
