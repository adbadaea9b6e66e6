/* SPDX-License-Identifier: MIT */
/* Block status: passing on, looking for zeroes, backing files, ends. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "tests/unit/core-fixture.h"

TestSuite(core_status, .init = core_init);

#define PRECISE BDRV_WANT_PRECISE

/*
 * The status of the whole device as "0+4096 dza0 ...": d data, z zero, a
 * allocated, the depth, e end.
 */
static char *status_text(BlockBackend *blk, unsigned want)
{
    GString *text = g_string_new(NULL);
    int64_t length = blk_getlength(blk);

    for (int64_t at = 0; at < length;) {
        g_auto(BdrvBlockStatus) status = { 0 };

        cr_assert_eq(blk_block_status(blk, at, length - at, want, &status), 0);
        cr_assert_gt(status.bytes, 0);
        cr_assert_leq(status.bytes, length - at);
        cr_assert(!(status.flags & (BDRV_BLOCK_RAW | BDRV_BLOCK_RECURSE)));
        g_string_append_printf(
            text, "%s%d-%s%s%s%d%s", at ? " " : "", (int)(at / 4096),
            status.flags & BDRV_BLOCK_DATA ? "d" : "",
            status.flags & BDRV_BLOCK_ZERO ? "z" : "",
            status.flags & BDRV_BLOCK_ALLOCATED ? "a" : "", status.depth,
            status.flags & BDRV_BLOCK_EOF ? "e" : "");
        at += status.bytes;
    }
    return g_string_free(text, FALSE);
}

static void check_status(BlockBackend *blk, unsigned want, const char *wanted)
{
    g_autofree char *text = status_text(blk, want);

    cr_assert_str_eq(text, wanted, "%s, not %s", text, wanted);
}

Test(core_status, ranges)
{
    g_autoptr(BlockBackend) blk = core_open(0, "driver=mem,size=10000");
    g_auto(BdrvBlockStatus) status = { 0 };

    cr_assert_eq(blk_block_status(blk, -1, 10, 0, &status), -EIO);
    cr_assert_eq(blk_block_status(blk, 10000, 1, 0, &status), -EIO);
    cr_assert_eq(blk_block_status(blk, 0, 0, 0, &status), -EINVAL);
    cr_assert_eq(blk_block_status(blk, 0, -5, 0, &status), -EINVAL);
    cr_assert_eq(blk_block_status(blk, 9999, INT64_MAX, 0, &status), 0);
    cr_assert_eq(status.bytes, 1);
    cr_assert_eq(status.flags, BDRV_BLOCK_DATA | BDRV_BLOCK_ALLOCATED |
                                   BDRV_BLOCK_OFFSET_VALID | BDRV_BLOCK_EOF);
    cr_assert_eq(status.map, 9999);
    cr_assert_eq(status.file, blk_bs(blk));
}

Test(core_status, answers_for_blocks_are_trimmed)
{
    g_autoptr(BlockBackend)
        blk = core_open(0, "driver=mem,size=10000,align=512");
    g_auto(BdrvBlockStatus) status = { 0 };
    MemDisk *disk = core_disk(blk);

    cr_assert_eq(blk_block_status(blk, 700, 100, 0, &status), 0);
    cr_assert_eq(status.bytes, 100);
    cr_assert_eq(status.map, 700);
    core_expect(disk, "S512+512");
    cr_assert_eq(blk_block_status(blk, 9000, 5000, 0, &status), 0);
    cr_assert_eq(status.bytes, 1000);
    core_expect(disk, "S8704+1296");
}

Test(core_status, a_wrong_answer_is_an_error)
{
    g_autoptr(BlockBackend) blk = core_open(0, "driver=mem,size=8192");
    g_auto(BdrvBlockStatus) status = { 0 };
    MemDisk *disk = core_disk(blk);

    disk->status_excess = -8192;
    int ret = blk_block_status(blk, 0, 8192, 0, &status);
    g_autofree char *words = blk_strerror(ret);
    cr_assert_eq(ret, -EIO);
    core_check_text(words, "gave a status of 0 bytes");
    disk->status_excess = 1;
    cr_assert_eq(blk_block_status(blk, 0, 8192, 0, &status), -EIO);
    disk->status_excess = 0;
    disk->fail[MEM_STATUS] = ENOSPC;
    cr_assert_eq(blk_block_status(blk, 0, 8192, 0, &status), -ENOSPC);
}

Test(core_status, filters_and_raw_show_their_child)
{
    g_autoptr(BlockBackend)
        blk = core_open(0, "driver=pass,file.driver=raw,file.file.driver=mem,"
                           "file.file.size=20480");
    MemDisk *disk = core_disk(blk);
    g_auto(BdrvBlockStatus) status = { 0 };

    disk->status_unit = 4096;
    disk->status_map = "ddzzd";
    check_status(blk, PRECISE, "0-da0 2-za0 4-da0e");
    cr_assert_eq(blk_block_status(blk, 100, 20000, PRECISE, &status), 0);
    cr_assert_eq(status.bytes, 8092);
    cr_assert_eq(status.map, 100);
    cr_assert_eq(bdrv_opaque(status.file), disk);
}

Test(core_status, a_window_maps_into_its_file)
{
    g_autoptr(BlockBackend)
        blk = core_open(0, "driver=raw,offset=4096,size=8192,file.driver=mem,"
                           "file.size=20480");
    g_auto(BdrvBlockStatus) status = { 0 };

    cr_assert_eq(blk_block_status(blk, 10, 8192, 0, &status), 0);
    cr_assert_eq(status.bytes, 8182);
    cr_assert_eq(status.map, 4106);
    cr_assert(status.flags & BDRV_BLOCK_EOF);
}

Test(core_status, data_in_a_hole_of_the_file_is_zero)
{
    g_autoptr(BlockBackend) blk =
        core_open(0, "driver=cow,map=rrrd,file.driver=mem,file.size=16384");
    MemDisk *disk = core_disk(blk);

    disk->status_unit = 4096;
    disk->status_map = "dzdz";
    check_status(blk, PRECISE, "0-da0 1-dza0 2-da0 3-da0e");
    check_status(blk, 0, "0-da0 3-da0e");
}

Test(core_status, backing_files)
{
    g_autoptr(BlockBackend) blk = core_open(
        0, "driver=cow,map=duuuuzuu,file.driver=mem,file.size=32768,"
           "backing.driver=cow,backing.map=ddduu,"
           "backing.file.driver=mem,backing.file.size=24576,"
           "backing.backing.driver=cow,backing.backing.map=zzzzu,"
           "backing.backing.file.driver=mem,backing.backing.file.size=20480");

    check_status(blk, PRECISE, "0-da0 1-da1 3-za2 4-z2 5-za0 6-z0e");
}

Test(core_status, a_filter_above_a_chain_does_not_hide_it)
{
    g_autoptr(BlockBackend) blk = core_open(
        0, "driver=pass,file.driver=cow,file.map=uu,file.file.driver=mem,"
           "file.file.size=8192,file.backing.driver=cow,file.backing.map=du,"
           "file.backing.file.driver=mem,file.backing.file.size=8192");

    check_status(blk, PRECISE, "0-da1 1-z1e");
}
