/* SPDX-License-Identifier: MIT */
/* The null driver. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "tests/unit/image-fixture.h"

TestSuite(null);

static void check_refused(const char *options, const char *reason)
{
    g_autofree char *error = image_open_error(0, options);

    image_check_text(error, reason);
}

Test(null, options_are_checked)
{
    check_refused("driver=null,size=big", "size");
    check_refused("driver=null,read-zeroes=perhaps", "read-zeroes");
    check_refused("driver=null,latency-ns=-1", "latency-ns");
    check_refused("driver=null,latency-ns=3600000000001", "latency-ns");
    check_refused("driver=null,latency=1", "latency-ns");
}

Test(null, a_name_after_the_protocol_is_refused)
{
    g_autoptr(GError) error = NULL;

    cr_assert_null(blk_open("null:1G", NULL, 0, &error));
    image_check_text(error->message, "nothing may follow 'null:'");
}

Test(null, by_name)
{
    g_autoptr(BlockBackend) blk = image_open_name(BDRV_O_RDWR, "null:");

    cr_assert_eq(blk_getlength(blk), 1 << 30);
    cr_assert_str_eq(blk_get_format_name(blk), "null");
    cr_assert_eq(blk_get_allocated_size(blk), 0);
}

Test(null, reads_zeroes_and_forgets_writes)
{
    g_auto(BdrvBlockStatus) status = { 0 };
    char buf[512];

    g_autoptr(BlockBackend)
        blk = image_open(BDRV_O_RDWR | BDRV_O_UNMAP, "driver=null,size=1M");
    cr_assert_eq(blk_getlength(blk), 1 << 20);
    memset(buf, 'x', sizeof(buf));
    cr_assert_eq(blk_pwrite(blk, 0, 512, buf, BDRV_REQ_FUA), 0);
    cr_assert_eq(blk_pwrite_zeroes(blk, 0, 4096, BDRV_REQ_NO_FALLBACK), 0);
    cr_assert_eq(blk_pdiscard(blk, 0, 4096), 0);
    cr_assert_eq(blk_flush(blk), 0);
    cr_assert_eq(blk_pread(blk, 0, 512, buf, 0), 0);
    for (size_t i = 0; i < sizeof(buf); i++) {
        cr_assert_eq(buf[i], 0);
    }
    cr_assert_eq(blk_block_status(blk, 0, 1 << 20, 0, &status), 0);
    cr_assert(status.flags & BDRV_BLOCK_ZERO);
    cr_assert_eq(status.bytes, 1 << 20);
    cr_assert_lt(blk_pread(blk, (1 << 20) - 1, 2, buf, 0), 0);
}

Test(null, without_zeroes_the_buffer_stays)
{
    g_auto(BdrvBlockStatus) status = { 0 };
    char buf[4] = "abc";

    g_autoptr(BlockBackend) blk = image_open(0, "driver=null,read-zeroes=off");
    cr_assert_eq(blk_pread(blk, 0, 4, buf, 0), 0);
    cr_assert_str_eq(buf, "abc");
    cr_assert_eq(blk_block_status(blk, 0, 512, 0, &status), 0);
    cr_assert(!(status.flags & BDRV_BLOCK_ZERO));
    cr_assert(status.flags & BDRV_BLOCK_DATA);
}

Test(null, takes_its_time)
{
    char buf[4];

    g_autoptr(BlockBackend)
        blk = image_open(0, "driver=null,latency-ns=20000000");
    gint64 start = g_get_monotonic_time();
    cr_assert_eq(blk_pread(blk, 0, 4, buf, 0), 0);
    cr_assert_geq(g_get_monotonic_time() - start, 20000);
}

Test(null, opens_again_by_its_name)
{
    g_autoptr(BlockBackend) blk = image_open(0, "driver=null,size=12345");
    g_autofree char *name = blk_get_filename(blk);
    g_autoptr(BlockBackend) again = image_open_name(0, name);

    cr_assert_eq(blk_getlength(again), 12345);
}
