/* SPDX-License-Identifier: MIT */
/*
 * The image of an overlay that is kept fails a write: so does the guest's, with
 * the same error, and the next one succeeds. Any error may come from below, so
 * none of them has another meaning in between.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <glib/gstdio.h>
#include <inttypes.h>

#include "block/vvfat/writable-int.h"
#include "image-fixture.h"

#define DISK                                                                  \
    "driver=vvfat,dir=%D/dir,rw=on,fat-type=12,size=1M,partition=none,"       \
    "cluster-size=512,overlay=%D/overlay.qcow2"
#define SECTOR 512
#define PLACE (1200 * SECTOR) /* of free clusters */

TestSuite(kept_errors, .init = image_dir_init, .fini = image_dir_fini,
          .timeout = 30);

/* What was written before is not repeated when the disk is opened again. */
static void write_elsewhere(void)
{
    g_autoptr(BlockBackend) blk = image_open(BDRV_O_RDWR, DISK);
    const uint8_t zeroes[SECTOR] = { 0 };

    for (int i = 0; i < 3; i++) {
        cr_assert_eq(blk_pwrite(blk, PLACE + 8 * SECTOR, SECTOR, zeroes, 0),
                     0);
        cr_assert_eq(blk_flush(blk), 0);
    }
}

/* A disk whose image has a place for a sector of the guest. */
static void make_disk(void)
{
    g_autofree char *dir = image_path("dir");
    const uint8_t zeroes[SECTOR] = { 0 };
    BlockBackend *blk;

    cr_assert_eq(g_mkdir(dir, 0755), 0);
    blk = image_open(BDRV_O_RDWR, DISK);
    cr_assert_eq(blk_pwrite(blk, PLACE, SECTOR, zeroes, 0), 0);
    blk_close(blk);
    write_elsewhere();
}

/* Where a byte of the image stands in its file. */
static int64_t place_of(int64_t offset)
{
    g_autoptr(BlockBackend) blk = image_open(
        0, "driver=qcow2,file.driver=file,file.filename=%D/overlay.qcow2");
    g_auto(BdrvBlockStatus) status = { 0 };

    cr_assert_eq(blk_block_status(blk, offset, SECTOR, 0, &status), 0);
    cr_assert(status.flags & BDRV_BLOCK_OFFSET_VALID);
    return status.map;
}

static void add_rule(GString *options, unsigned n, int64_t offset, int error)
{
    g_string_append_printf(options,
                           ",write-target.file.inject-error.%u.iotype=write,"
                           "write-target.file.inject-error.%u.once=on,"
                           "write-target.file.inject-error.%u.offset=%" PRId64
                           ","
                           "write-target.file.inject-error.%u.bytes=1,"
                           "write-target.file.inject-error.%u.errno=%d",
                           n, n, n, offset, n, n, error);
}

/* The guest's write fails, and not for long, when the first one that touches
 * these places of the image does. */
static void check_write_fails(int64_t one, int64_t other, int error)
{
    g_autoptr(GString) options = g_string_new(
        DISK ",write-target.file.driver=blkdebug,"
             "write-target.file.image.driver=file,"
             "write-target.file.image.filename=%D/overlay.qcow2");
    uint8_t wrote[SECTOR] = { (uint8_t)error }, read[SECTOR];
    BlockBackend *blk;

    add_rule(options, 0, place_of(one), error);
    add_rule(options, 1, place_of(other), error);
    blk = image_open(BDRV_O_RDWR, options->str);
    image_check_io(blk_pwrite(blk, PLACE, SECTOR, wrote, 0), -error,
                   error == ENOSPC ? "could not take this"
                                   : "blkdebug: injected error");
    (void)!blk_pwrite(blk, PLACE, SECTOR, wrote, 0);
    cr_assert_eq(blk_pwrite(blk, PLACE, SECTOR, wrote, 0), 0);
    cr_assert_eq(blk_flush(blk), 0);
    cr_assert_eq(blk_pread(blk, PLACE, SECTOR, read, 0), 0);
    cr_assert_arr_eq(read, wrote, SECTOR);
    blk_close(blk);
    write_elsewhere();
}

static const int errors[] = { EIO, EAGAIN, ENOSPC };

Test(kept_errors, of_the_data)
{
    make_disk();
    for (size_t i = 0; i < G_N_ELEMENTS(errors); i++) {
        check_write_fails(KEPT_DISK + PLACE, KEPT_DISK + PLACE, errors[i]);
    }
}

/* At the beginning of its half, whichever is the next one. */
Test(kept_errors, of_the_redo_log)
{
    make_disk();
    for (size_t i = 0; i < G_N_ELEMENTS(errors); i++) {
        check_write_fails(KEPT_REDO, KEPT_REDO + REDO_BYTES / 2, errors[i]);
    }
}
