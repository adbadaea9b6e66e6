/* SPDX-License-Identifier: MIT */
/* blk_get_geometry(): what drivers say, what partition tables and sizes do. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/image-fixture.h"

TestSuite(chs_geometry, .init = image_dir_init, .fini = image_dir_fini);

#define RAW_X "driver=raw,file.filename=%D/x"

static void make_disk(uint64_t sectors)
{
    image_make("x", (int64_t)sectors * 512, -1);
}

/* "1024x16x63", with "floppy" behind it for one. */
static void check_geometry(BlockBackend *blk, const char *expected)
{
    BlkGeometry g;
    int ret = blk_get_geometry(blk, &g);
    g_autofree char *text = g_strdup_printf("%ux%ux%u%s", g.cylinders, g.heads,
                                            g.sectors,
                                            g.is_floppy ? " floppy" : "");

    cr_assert_eq(ret, 0);
    cr_assert_str_eq(text, expected);
}

static void check_image(const char *options, const char *expected)
{
    g_autoptr(BlockBackend) blk = image_open(0, options);

    check_geometry(blk, expected);
}

static void check_size(uint64_t sectors, const char *expected)
{
    make_disk(sectors);
    check_image(RAW_X, expected);
}

/* ---- By size ---- */

Test(chs_geometry, heads_keep_the_cylinders_at_1024)
{
    check_size(1, "1x16x63");
    check_size(1008 * 7 + 5, "7x16x63");
    check_size(1024 * 16 * 63, "1024x16x63");
    check_size(1024 * 16 * 63 + 1, "512x32x63");
    check_size(1024 * 32 * 63, "1024x32x63");
    check_size(1024 * 32 * 63 + 1, "512x64x63");
    check_size(1024 * 64 * 63 + 1, "512x128x63");
    check_size(1024 * 128 * 63, "1024x128x63");
    check_size(1024 * 128 * 63 + 1, "514x255x63");
    check_size(UINT64_C(16383) * 255 * 63 + 100000, "16383x255x63");
}

Test(chs_geometry, floppies_are_known_by_their_size)
{
    check_size(320, "40x1x8 floppy");
    check_size(720, "40x2x9 floppy");
    check_size(1440, "80x2x9 floppy");
    check_size(2400, "80x2x15 floppy");
    check_size(2880, "80x2x18 floppy");
    check_size(5760, "80x2x36 floppy");
    check_size(2881, "2x16x63");
}

Test(chs_geometry, less_than_a_sector_has_none)
{
    BlkGeometry g;

    image_make("x", 511, 1);
    g_autoptr(BlockBackend) blk = image_open(0, RAW_X);
    cr_assert_eq(blk_get_geometry(blk, &g), -EMEDIUMTYPE);
}

Test(chs_geometry, errors_of_reading_are_told)
{
    BlkGeometry g;

    make_disk(10000);
    g_autoptr(BlockBackend)
        blk = image_open(0, "driver=blkdebug,inject-error.0.iotype=read,"
                            "image.driver=raw,image.file.filename=%D/x");
    image_check_io(blk_get_geometry(blk, &g), -EIO, "injected");
}

/* ---- By partition table ---- */

static void put_chs(uint8_t *out, unsigned c, unsigned h, unsigned s)
{
    out[0] = (uint8_t)h;
    out[1] = (uint8_t)(s | c >> 8 << 6);
    out[2] = (uint8_t)c;
}

static void put_lba(uint8_t *out, uint32_t value)
{
    for (int i = 0; i < 4; i++) {
        out[i] = (uint8_t)(value >> 8 * i);
    }
}

/* Of the sectors first..last on a disk of so many heads and sectors; those
 * behind 1023 cylinders as `far` has them. */
static void put_place(uint8_t *out, uint32_t lba, unsigned heads,
                      unsigned sectors, const uint8_t far[3])
{
    uint32_t c = lba / sectors / heads;

    if (c > 1023) {
        memcpy(out, far, 3);
    } else {
        put_chs(out, c, lba / sectors % heads, lba % sectors + 1);
    }
}

static void put_entry(uint8_t *mbr, int i, uint32_t first, uint32_t last,
                      unsigned heads, unsigned sectors, const uint8_t far[3])
{
    uint8_t *entry = mbr + 446 + 16 * i;

    put_place(entry + 1, first, heads, sectors, far);
    entry[4] = 0x06;
    put_place(entry + 5, last, heads, sectors, far);
    put_lba(entry + 8, first);
    put_lba(entry + 12, last - first + 1);
    mbr[510] = 0x55;
    mbr[511] = 0xaa;
}

static void check_table(uint64_t disk_sectors, const uint8_t mbr[512],
                        const char *expected)
{
    g_autofree char *path = image_path("x");

    make_disk(disk_sectors);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    cr_assert_eq(pwrite(fd, mbr, 512, 0), 512);
    close(fd);
    check_image(RAW_X, expected);
}

static const uint8_t far_last[3] = { 0xfe, 0xff, 0xff };
static const uint8_t far_none[3] = { 0xff, 0xff, 0xff };

Test(chs_geometry, a_partition_that_ends_with_its_cylinder_tells)
{
    uint8_t mbr[512] = { 0 };

    put_entry(mbr, 1, 17, 9 * 17 * 300 - 1, 9, 17, far_none);
    check_table(50000, mbr, "326x9x17");
    put_entry(mbr, 3, 9 * 17 * 300, 9 * 17 * 310 - 1, 9, 17, far_none);
    check_table(50000, mbr, "326x9x17");
    /* One that contradicts: the table is worth nothing. */
    put_entry(mbr, 2, 9 * 17 * 310, 9 * 17 * 320 - 1, 10, 17, far_none);
    check_table(50000, mbr, "49x16x63");
}

Test(chs_geometry, partitions_that_end_anywhere_tell_too)
{
    uint8_t mbr[512] = { 0 };

    /* As tools do it that align at 1 MiB, for disks of 64 MiB and 1 GiB. */
    put_entry(mbr, 0, 2048, 131071, 255, 63, far_last);
    check_table(131072, mbr, "8x255x63");
    put_entry(mbr, 0, 2048, 2097151, 64, 63, far_last);
    check_table(2097152, mbr, "520x64x63");
    put_entry(mbr, 0, 2048, 2097151, 240, 63, far_last);
    check_table(2097152, mbr, "138x240x63");
}

Test(chs_geometry, partitions_behind_the_last_cylinder_agree)
{
    uint8_t mbr[512] = { 0 };

    put_entry(mbr, 0, 63, 40000000, 255, 63, far_last);
    check_table(41943040, mbr, "2610x255x63");
    /* 16 heads, though as many cylinders are more than a BIOS can name. */
    put_entry(mbr, 0, 63, 3999999, 16, 63,
              (const uint8_t[]){ 15, 0xff, 0xff });
    check_table(4000000, mbr, "3968x16x63");
    /* Nothing but the start is exact: what the size says fits as well. */
    put_entry(mbr, 0, 63, 40000000, 255, 63, far_none);
    check_table(41943040, mbr, "2610x255x63");
    /* With 64 heads, which the size says, the end would have a number. */
    put_entry(mbr, 0, 63, 3999999, 16, 63, far_none);
    check_table(4000000, mbr, "1984x32x63");
}

Test(chs_geometry, what_is_no_table_is_not_heeded)
{
    uint8_t mbr[512] = { 0 };

    put_entry(mbr, 0, 17, 9 * 17 * 300 - 1, 9, 17, far_none);
    mbr[511] = 0;
    check_table(50000, mbr, "49x16x63");
    mbr[511] = 0xaa;
    mbr[446 + 16] = 'c'; /* as in the code of a boot sector */
    check_table(50000, mbr, "49x16x63");
    mbr[446 + 16] = 0x80;
    check_table(50000, mbr, "326x9x17");
    mbr[446 + 4] = 0xee; /* a protective entry */
    check_table(50000, mbr, "49x16x63");
    mbr[446 + 4] = 0; /* unused */
    check_table(50000, mbr, "49x16x63");
    mbr[446 + 4] = 6;
    put_lba(mbr + 446 + 12, 0); /* empty */
    check_table(50000, mbr, "49x16x63");
}

Test(chs_geometry, zero_and_extreme_numbers_are_survived)
{
    uint8_t mbr[512] = { 0 };

    put_entry(mbr, 0, 1, 100, 9, 17, far_none);
    put_chs(mbr + 446 + 5, 0, 0, 0); /* no sector 0 */
    check_table(50000, mbr, "49x16x63");
    put_entry(mbr, 0, 0xfffffff0u, 0xfffffffeu, 255, 63, far_none);
    put_lba(mbr + 446 + 12, 0xffffffffu);
    check_table(50000, mbr, "49x16x63");
}

Test(chs_geometry, a_floppy_with_a_partition_table_is_a_disk)
{
    uint8_t mbr[512] = { 0 };

    put_entry(mbr, 0, 17, 9 * 17 * 18 - 1, 9, 17, far_none);
    check_table(2880, mbr, "18x9x17");
}

Test(chs_geometry, tables_of_sfdisk)
{
    g_autofree char *output = NULL;
    int status;

    image_need_program("sfdisk");
    make_disk(400000);
    output = image_shell(&status, "echo ',,6' | sfdisk -q x");
    cr_assert_eq(status, 0, "%s", output);
    /* It reckons with 255 heads. */
    check_image(RAW_X, "24x255x63");
}

/* ---- By driver ---- */

static void check_fat(const char *words, const char *expected)
{
    g_autofree char *name = g_strdup_printf("fat:%s%%D/tree", words);
    g_autoptr(BlockBackend) blk = image_open_name(0, name);

    check_geometry(blk, expected);
}

static void make_tree(void)
{
    int status;

    g_free(image_shell(&status, "mkdir tree"));
    cr_assert_eq(status, 0);
}

Test(chs_geometry, vvfat_has_its_own)
{
    make_tree();
    check_fat("", "1024x16x63");
    check_fat("12:", "64x16x63");
    check_fat("floppy:", "80x2x36 floppy");
    check_fat("size=1440k:floppy:", "80x2x18 floppy");
    check_fat("size=2G:", "261x255x63");
    check_fat("size=200G:", "16383x255x63");
}

static void copy_fat(const char *words)
{
    g_autofree char *name = g_strdup_printf("fat:%s%%D/tree", words);
    g_autoptr(BlockBackend) blk = image_open_name(0, name);
    uint8_t sector[512];

    cr_assert_eq(blk_pread(blk, 0, 512, sector, 0), 0);
    make_disk((uint64_t)blk_getlength(blk) / 512);
    g_autofree char *path = image_path("x");
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    cr_assert_eq(pwrite(fd, sector, 512, 0), 512);
    close(fd);
}

Test(chs_geometry, a_copy_of_a_vvfat_disk_has_the_same)
{
    make_tree();
    copy_fat("");
    check_image(RAW_X, "1024x16x63");
    copy_fat("12:");
    check_image(RAW_X, "64x16x63");
    copy_fat("size=2G:");
    check_image(RAW_X, "261x255x63");
    copy_fat("floppy:");
    check_image(RAW_X, "80x2x36 floppy");
}

Test(chs_geometry, what_shows_its_child_passes_the_question_on)
{
    make_tree();
    check_image("driver=blkdebug,inject-error.0.iotype=read,"
                "image.driver=vvfat,image.dir=%D/tree,image.floppy=on",
                "80x2x36 floppy");
    check_image("driver=raw,file.driver=vvfat,file.dir=%D/tree,file.fat-type="
                "12",
                "64x16x63");
    /* A window is another disk. */
    check_image("driver=raw,size=1474560,file.driver=vvfat,file.dir=%D/tree,"
                "file.floppy=on",
                "80x2x18 floppy");
}

Test(chs_geometry, the_table_inside_an_image_counts)
{
    g_autoptr(Options) options = options_new();
    g_autofree char *path = image_path("x");
    uint8_t mbr[512] = { 0 };

    options_set(options, "size", "25600000");
    cr_assert(bdrv_create("qcow2", path, options, NULL));
    g_autoptr(BlockBackend)
        blk = image_open(BDRV_O_RDWR, "driver=qcow2,file.filename=%D/x");
    check_geometry(blk, "49x16x63");
    put_entry(mbr, 0, 17, 9 * 17 * 300 - 1, 9, 17, far_none);
    cr_assert_eq(blk_pwrite(blk, 0, 512, mbr, 0), 0);
    check_geometry(blk, "326x9x17");
}
