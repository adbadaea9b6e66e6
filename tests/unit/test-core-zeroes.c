/* SPDX-License-Identifier: MIT */
/* Zeroes and discards through the core. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "tests/unit/core-fixture.h"

TestSuite(core_zeroes, .init = core_init);

static bool all_bytes_are(const uint8_t *p, uint8_t byte, size_t bytes)
{
    while (bytes > 0 && *p == byte) {
        p++;
        bytes--;
    }
    return bytes == 0;
}

Test(core_zeroes, the_driver_does_whole_blocks)
{
    g_autoptr(BlockBackend)
        blk = core_open(BDRV_O_RDWR, "driver=mem,align=512");
    MemDisk *disk = core_disk(blk);

    memset(disk->data, 1, 8192);
    cr_assert_eq(blk_pwrite_zeroes(blk, 512, 1024, 0), 0);
    core_expect(disk, "Z512+1024");
    cr_assert_eq(blk_pwrite_zeroes(blk, 100, 2000, 0), 0);
    core_expect(disk, "R0+512 W0+512 Z512+1536 R2048+512 W2048+512");
    cr_assert(all_bytes_are(disk->data, 1, 100));
    cr_assert(all_bytes_are(disk->data + 100, 0, 2000));
    cr_assert(all_bytes_are(disk->data + 2100, 1, 6092));
    cr_assert_eq(blk_pwrite_zeroes(blk, 3000, 20, 0), 0);
    core_expect(disk, "R2560+512 W2560+512");
    cr_assert_eq(blk_pwrite_zeroes(blk, 3072, 20, 0), 0);
    core_expect(disk, "R3072+512 W3072+512");
}

Test(core_zeroes, in_units_and_pieces_of_the_driver)
{
    g_autoptr(BlockBackend) blk = core_open(
        BDRV_O_RDWR, "driver=mem,align=512,zeroes-align=4096,max-zeroes=8192");
    MemDisk *disk = core_disk(blk);

    cr_assert_eq(blk_pwrite_zeroes(blk, 1024, 23552, 0), 0);
    core_expect(disk, "W1024+3072 Z4096+8192 Z12288+8192 Z20480+4096");
    cr_assert_eq(blk_pwrite_zeroes(blk, 4096, 512, 0), 0);
    core_expect(disk, "W4096+512");
    cr_assert_eq(blk_pwrite_zeroes(blk, 8192, 4608, 0), 0);
    core_expect(disk, "Z8192+4096 W12288+512");
}

Test(core_zeroes, the_end_of_the_device_ends_a_unit)
{
    g_autoptr(BlockBackend) blk = core_open(
        BDRV_O_RDWR, "driver=mem,align=512,zeroes-align=4096,size=5000");

    cr_assert_eq(blk_pwrite_zeroes(blk, 0, 5000, 0), 0);
    core_expect(core_disk(blk), "Z0+5000");
}

Test(core_zeroes, written_when_the_driver_cannot)
{
    g_autoptr(BlockBackend)
        blk = core_open(BDRV_O_RDWR, "driver=mem,max-zeroes=65536,size=4M");
    MemDisk *disk = core_disk(blk);

    memset(disk->data, 1, 4 << 20);
    disk->fail[MEM_ZEROES] = ENOTSUP;
    cr_assert_eq(blk_pwrite_zeroes(blk, 0, (2 << 20) + 5, 0), 0);
    core_expect(disk, "Z0+65536 W0+1048576 W1048576+1048576 W2097152+5");
    cr_assert(all_bytes_are(disk->data, 0, (2 << 20) + 5));
    cr_assert_eq(disk->data[(2 << 20) + 5], 1);
}

Test(core_zeroes, another_error_is_not_hidden_by_writing)
{
    g_autoptr(BlockBackend) blk = core_open(BDRV_O_RDWR, "driver=mem");
    MemDisk *disk = core_disk(blk);

    disk->fail[MEM_ZEROES] = ENOSPC;
    cr_assert_eq(blk_pwrite_zeroes(blk, 0, 4096, 0), -ENOSPC);
    core_expect(disk, "Z0+4096");
}

Test(core_zeroes, no_fallback_never_writes)
{
    g_autoptr(BlockBackend) blk =
        core_open(BDRV_O_RDWR, "driver=mem,no-fallback=on,zeroes-align=4096");
    g_autoptr(BlockBackend) ignorant = core_open(BDRV_O_RDWR, "driver=mem");
    MemDisk *disk = core_disk(blk);

    cr_assert_eq(blk_pwrite_zeroes(blk, 0, 4096, BDRV_REQ_NO_FALLBACK), 0);
    core_expect(disk, "Z0+4096n");
    cr_assert_eq(blk_pwrite_zeroes(blk, 512, 4096, BDRV_REQ_NO_FALLBACK),
                 -ENOTSUP);
    core_expect(disk, "");
    disk->fail[MEM_ZEROES] = ENOTSUP;
    cr_assert_eq(blk_pwrite_zeroes(blk, 0, 4096, BDRV_REQ_NO_FALLBACK),
                 -ENOTSUP);
    core_expect(disk, "Z0+4096n");
    cr_assert_eq(blk_pwrite_zeroes(ignorant, 0, 4096, BDRV_REQ_NO_FALLBACK),
                 -ENOTSUP);
    core_expect(core_disk(ignorant), "");
}

Test(core_zeroes, holes_only_where_discards_are_wanted)
{
    g_autoptr(BlockBackend)
        keep = core_open(BDRV_O_RDWR, "driver=mem,unmap=on");
    g_autoptr(BlockBackend)
        drop = core_open(BDRV_O_RDWR | BDRV_O_UNMAP, "driver=mem,unmap=on");
    g_autoptr(BlockBackend)
        cannot = core_open(BDRV_O_RDWR | BDRV_O_UNMAP, "driver=mem");

    cr_assert_eq(blk_pwrite_zeroes(keep, 0, 512, BDRV_REQ_MAY_UNMAP), 0);
    core_expect(core_disk(keep), "Z0+512");
    cr_assert_eq(blk_pwrite_zeroes(drop, 0, 512, BDRV_REQ_MAY_UNMAP), 0);
    core_expect(core_disk(drop), "Z0+512m");
    cr_assert_eq(blk_pwrite_zeroes(cannot, 0, 512, BDRV_REQ_MAY_UNMAP), 0);
    core_expect(core_disk(cannot), "Z0+512");
}

Test(core_zeroes, fua)
{
    g_autoptr(BlockBackend)
        knows = core_open(BDRV_O_RDWR, "driver=mem,fua=on,align=512");
    g_autoptr(BlockBackend)
        blk = core_open(BDRV_O_RDWR, "driver=mem,align=512");

    cr_assert_eq(blk_pwrite_zeroes(knows, 0, 1000, BDRV_REQ_FUA), 0);
    core_expect(core_disk(knows), "Z0+512f R512+512 W512+512f");
    cr_assert_eq(blk_pwrite_zeroes(blk, 0, 1000, BDRV_REQ_FUA), 0);
    core_expect(core_disk(blk), "Z0+512 R512+512 W512+512 F");
}

/* ---- Discards ---- */

Test(core_zeroes, discards_drop_whole_units_alone)
{
    g_autoptr(BlockBackend) blk =
        core_open(BDRV_O_RDWR | BDRV_O_UNMAP,
                  "driver=mem,align=512,discard-align=4096,max-discard=8192,"
                  "size=41000");
    MemDisk *disk = core_disk(blk);

    memset(disk->data, 1, 41000);
    cr_assert_eq(blk_pdiscard(blk, 100, 24576), 0);
    core_expect(disk, "D4096+8192 D12288+8192 D20480+4096");
    cr_assert(all_bytes_are(disk->data, 1, 4096));
    cr_assert(all_bytes_are(disk->data + 24576, 1, 100));
    cr_assert_eq(blk_pdiscard(blk, 100, 7000), 0);
    core_expect(disk, "");
    cr_assert_eq(blk_pdiscard(blk, 36864, 4136), 0);
    core_expect(disk, "D36864+4136");
}

Test(core_zeroes, discards_are_hints)
{
    g_autoptr(BlockBackend)
        blk = core_open(BDRV_O_RDWR | BDRV_O_UNMAP, "driver=mem");
    g_autoptr(BlockBackend) ignoring = core_open(BDRV_O_RDWR, "driver=mem");
    MemDisk *disk = core_disk(blk);

    cr_assert_eq(blk_pdiscard(ignoring, 0, 4096), 0);
    core_expect(core_disk(ignoring), "");
    disk->fail[MEM_DISCARD] = ENOTSUP;
    cr_assert_eq(blk_pdiscard(blk, 0, 4096), 0);
    disk->fail[MEM_DISCARD] = EIO;
    cr_assert_eq(blk_pdiscard(blk, 0, 4096), -EIO);
}
