/* SPDX-License-Identifier: MIT */
/* Copies that do not pass through the process: the contract of copy_range. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "tests/unit/core-fixture.h"

#define SIZE 65536

typedef struct Pair {
    BlockBackend *src, *dst;
    MemDisk *from, *to;
} Pair;

static Pair pair;

static void open_pair(const char *src, const char *dst)
{
    pair.src = core_open(0, src);
    pair.dst = core_open(BDRV_O_RDWR, dst);
    pair.from = core_disk(pair.src);
    pair.to = core_disk(pair.dst);
    for (int i = 0; i < SIZE; i++) {
        pair.from->data[i] = (uint8_t)(i % 239 + 1);
    }
}

static void fini(void)
{
    blk_close(pair.src);
    blk_close(pair.dst);
}

TestSuite(core_copy, .init = core_init, .fini = fini);

/* The target holds the source's bytes there and nothing else. */
static void check_copied(int64_t src, int64_t dst, int64_t bytes)
{
    const uint8_t *to = pair.to->data;

    cr_assert_arr_eq(to + dst, pair.from->data + src, (size_t)bytes);
    for (int64_t i = 0; i < SIZE; i++) {
        cr_assert(to[i] == 0 || (i >= dst && i < dst + bytes), "byte %d",
                  (int)i);
    }
}

static int copy(int64_t src, int64_t dst, int64_t bytes, unsigned flags)
{
    return blk_copy_range(pair.src, src, pair.dst, dst, bytes, flags);
}

Test(core_copy, one_call_of_each_driver)
{
    open_pair("driver=mem,size=64K", "driver=mem,size=64K");
    cr_assert_eq(copy(100, 5000, 3000, 0), 0);
    check_copied(100, 5000, 3000);
    core_expect(pair.from, "c100+3000");
    core_expect(pair.to, "t5000+3000");
    cr_assert_eq(blk_flush(pair.dst), 0);
    core_expect(pair.to, "F");
}

Test(core_copy, through_formats_and_filters)
{
    open_pair("driver=raw,offset=1024,file.driver=mem,file.size=64K",
              "driver=raw,offset=512,file.driver=blkdebug,"
              "file.image.driver=mem,file.image.size=64K");
    cr_assert_eq(copy(0, 0, 3000, 0), 0);
    check_copied(1024, 512, 3000);
    core_expect(pair.from, "c1024+3000");
    core_expect(pair.to, "t512+3000");
}

Test(core_copy, ranges_and_permissions)
{
    open_pair("driver=mem,size=64K", "driver=mem,size=64K");
    cr_assert_eq(copy(SIZE - 10, 0, 11, 0), -EIO);
    cr_assert_eq(copy(0, SIZE - 10, 11, 0), -EIO);
    cr_assert_eq(copy(-1, 0, 1, 0), -EIO);
    cr_assert_eq(copy(0, 0, INT64_MAX, 0), -EIO);
    cr_assert_eq(copy(0, 0, 0, 0), 0);
    cr_assert_eq(blk_copy_range(pair.dst, 0, pair.src, 0, 10, 0), -EACCES);
    core_expect(pair.from, "");
    core_expect(pair.to, "");
}

Test(core_copy, within_one_device)
{
    open_pair("driver=mem,size=64K", "driver=mem,size=64K");
    memset(pair.to->data, 7, 100);
    cr_assert_eq(blk_copy_range(pair.dst, 0, pair.dst, 99, 100, 0), -EINVAL);
    cr_assert_eq(blk_copy_range(pair.dst, 99, pair.dst, 0, 100, 0), -EINVAL);
    cr_assert_eq(blk_copy_range(pair.dst, 0, pair.dst, 100, 100, 0), 0);
    cr_assert_eq(pair.to->data[199], 7);
    cr_assert_eq(pair.to->data[200], 0);
}

Test(core_copy, drivers_that_cannot)
{
    open_pair("driver=cow,file.driver=mem,file.size=64K",
              "driver=mem,size=64K");
    cr_assert_eq(copy(0, 0, 100, 0), -ENOTSUP);
    cr_assert_eq(blk_copy_range(pair.dst, 0, pair.src, 0, 100, 0), -EACCES);
    g_autoptr(BlockBackend) cow =
        core_open(BDRV_O_RDWR, "driver=cow,file.driver=mem,file.size=64K");
    cr_assert_eq(blk_copy_range(pair.dst, 0, cow, 0, 100, 0), -ENOTSUP);
    core_expect(pair.to, "");
}

Test(core_copy, blocks_are_not_taken_apart)
{
    open_pair("driver=mem,size=64K,align=512",
              "driver=mem,size=64K,align=4096");
    cr_assert_eq(copy(512, 4096, 4096, 0), 0);
    cr_assert_eq(copy(100, 4096, 4096, 0), -ENOTSUP);
    cr_assert_eq(copy(512, 4097, 4096, 0), -ENOTSUP);
    cr_assert_eq(copy(512, 4096, 512, 0), -ENOTSUP);
    check_copied(512, 4096, 4096);
    cr_assert_eq(pair.from->misaligned + pair.to->misaligned, 0);
}

Test(core_copy, in_pieces)
{
    open_pair("driver=mem,size=64K,max-transfer=10000",
              "driver=mem,size=64K,max-transfer=9000,align=512");
    cr_assert_eq(copy(0, 1024, 20480, 0), 0);
    check_copied(0, 1024, 20480);
    core_expect(pair.from, "c0+8704 c8704+8704 c17408+3072");
    core_expect(pair.to, "t1024+8704 t9728+8704 t18432+3072");
}

Test(core_copy, not_at_all_when_the_first_piece_fails)
{
    open_pair("driver=mem,size=64K,max-transfer=4096", "driver=mem,size=64K");
    pair.to->fail[MEM_COPY_TO] = ENOTSUP;
    cr_assert_eq(copy(0, 0, 20000, 0), -ENOTSUP);
    core_expect(pair.to, "t0+4096");
}

Test(core_copy, to_the_end_once_a_piece_is_copied)
{
    open_pair("driver=mem,size=64K,max-transfer=4096", "driver=mem,size=64K");
    pair.to->fail[MEM_COPY_TO] = ENOTSUP;
    pair.to->fail_after[MEM_COPY_TO] = 2;
    cr_assert_eq(copy(0, 0, 20000, 0), 0);
    check_copied(0, 0, 20000);
    core_expect(pair.to, "t0+4096 t4096+4096 t8192+4096 W8192+11808");
}

Test(core_copy, the_rest_below_a_format_too)
{
    open_pair("driver=mem,size=64K",
              "driver=raw,file.driver=mem,file.size=64K,"
              "file.max-transfer=4096");
    pair.to->fail[MEM_COPY_TO] = ENOTSUP;
    pair.to->fail_after[MEM_COPY_TO] = 1;
    cr_assert_eq(copy(0, 0, 20000, 0), 0);
    check_copied(0, 0, 20000);
    cr_assert_eq(pair.to->misaligned, 0);
}

Test(core_copy, other_errors_are_errors)
{
    open_pair("driver=mem,size=64K,max-transfer=4096", "driver=mem,size=64K");
    pair.to->fail[MEM_COPY_TO] = ENOSPC;
    pair.to->fail_after[MEM_COPY_TO] = 1;
    cr_assert_eq(copy(0, 0, 20000, 0), -ENOSPC);
    cr_assert_eq(copy(0, 0, 20000, 0), -ENOSPC);
}

Test(core_copy, fua_flushes_the_target)
{
    open_pair("driver=mem,size=64K", "driver=mem,size=64K");
    cr_assert_eq(copy(0, 0, 100, BDRV_REQ_FUA), 0);
    core_expect(pair.to, "t0+100 F");
}

Test(core_copy, a_guest_cannot_choose_the_format_so_either)
{
    open_pair("driver=mem,size=64K,magic=COW!",
              "file.driver=mem,file.size=64K");
    cr_assert_eq(copy(0, 0, 100, 0), -ENOTSUP);
    cr_assert_eq(copy(0, 4096, 100, 0), 0);
}

Test(core_copy, a_host_file_that_is_too_short)
{
    open_pair("driver=mem,size=64K",
              "driver=raw,file.driver=mem,file.size=64K");
    BdrvChild *file = bdrv_child(blk_bs(pair.dst), "file");
    MemDisk *from = pair.from;

    cr_assert_eq(bdrv_copy_range_to_child(file, from->fd, 100, 0, 50, 0), 0);
    cr_assert_eq(bdrv_copy_range_to_child(file, from->fd,
                                          (INT64_C(64) << 20) - 10, 0, 50, 0),
                 -EIO);
    cr_assert_eq(
        bdrv_copy_host_range(from->fd, -1, blk_bs(pair.dst), 0, 50, 0),
        -EINVAL);
}
