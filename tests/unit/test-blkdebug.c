/* SPDX-License-Identifier: MIT */
/* The blkdebug driver: each kind of rule, the limits, and its options. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "block/driver.h"
#include "tests/unit/image-fixture.h"

TestSuite(blkdebug, .init = image_dir_init, .fini = image_dir_fini);

#define RW (BDRV_O_RDWR | BDRV_O_RESIZE | BDRV_O_UNMAP)
#define MIB (1024 * 1024)
#define NODE "driver=blkdebug,image.driver=file,image.filename=%D/x,"

static BlockBackend *open_with(const char *rules)
{
    g_autofree char *options = g_strconcat(NODE, rules, NULL);

    image_make("x", MIB, 1);
    return image_open(RW, options);
}

static void check_refused(const char *rules, const char *reason)
{
    g_autofree char *options = g_strconcat(NODE, rules, NULL);
    g_autofree char *error = image_open_error(RW, options);

    image_check_text(error, reason);
}

static int read_at(BlockBackend *blk, int64_t offset, int64_t bytes)
{
    g_autofree uint8_t *buf = g_malloc((size_t)bytes);
    int ret = blk_pread(blk, offset, bytes, buf, 0);

    if (ret == 0) {
        cr_assert(image_pattern_is(buf, (size_t)bytes, 1, offset));
    }
    return ret;
}

/* Writes what is there already, so that reading can go on. */
static int write_at(BlockBackend *blk, int64_t offset, int64_t bytes)
{
    g_autofree uint8_t *buf = g_malloc((size_t)bytes);

    image_pattern(buf, (size_t)bytes, 1, offset);
    return blk_pwrite(blk, offset, bytes, buf, 0);
}

static int status_of(BlockBackend *blk)
{
    g_auto(BdrvBlockStatus) status = { 0 };

    return blk_block_status(blk, 0, 512, BDRV_WANT_PRECISE, &status);
}

Test(blkdebug, options_are_checked)
{
    g_autofree char *no_image = image_open_error(0, "driver=blkdebug");

    image_make("x", MIB, 1);
    image_check_text(no_image, "image");
    check_refused("inject-error.0.errno=EWHAT", "EWHAT");
    check_refused("inject-error.0.errno=0", "errno '0'");
    check_refused("inject-error.0.errno=5000", "errno '5000'");
    check_refused("inject-error.0.errno=-5", "errno '-5'");
    check_refused("inject-error.0.iotype=reed", "iotype");
    check_refused("inject-error.0.sector=1,inject-error.0.offset=1",
                  "inject-error.0: give either sector");
    check_refused("inject-error.0.sector=-1", "inject-error.0: ");
    check_refused("inject-error.0.bytes=0", "bytes");
    check_refused("inject-error.0.once=perhaps", "once");
    check_refused("inject-error.0.ones=on", "inject-error.0 has no option");
    check_refused("inject-error.1.errno=5", "numbered from 0");
    check_refused("inject-error=5", "numbered from 0");
    check_refused("inject-delay.0.event=read", "inject-delay.0 needs ms");
    check_refused("inject-delay.0.ms=3600001", "ms");
    check_refused("set-state.0.event=read", "needs event and new_state");
    check_refused("set-state.0.new_state=2", "needs event and new_state");
    check_refused("set-state.0.new_state=0,set-state.0.event=read",
                  "new_state");
    check_refused("align=3", "power of two");
    check_refused("align=2G", "align");
    check_refused("align=4096,max-transfer=5000", "multiple of align");
    check_refused("align=512,opt-discard=100", "multiple of align");
    check_refused("max-transfre=5000", "max-transfer");
}

Test(blkdebug, a_missing_image_is_named)
{
    g_autofree char *error = image_open_error(
        0, "driver=blkdebug,image.driver=file,image.filename=%D/none");

    image_check_text(error, "/none': No such file");
}

Test(blkdebug, without_rules_everything_passes)
{
    g_autoptr(BlockBackend) blk = open_with("align=1");

    cr_assert_eq(blk_getlength(blk), MIB);
    cr_assert_eq(read_at(blk, 7, 1000), 0);
    cr_assert_eq(write_at(blk, 7, 1000), 0);
    cr_assert_eq(blk_pwrite_zeroes(blk, 4096, 4096, BDRV_REQ_MAY_UNMAP), 0);
    cr_assert(image_is_hole("x", 4096, 4096));
    cr_assert_eq(blk_pdiscard(blk, 8192, 4096), 0);
    cr_assert(image_is_hole("x", 8192, 4096));
    cr_assert_eq(status_of(blk), 0);
    cr_assert_eq(blk_flush(blk), 0);
}

/* ---- By name ---- */

Test(blkdebug, by_name)
{
    image_make("x", MIB, 1);
    g_autoptr(BlockBackend) blk = image_open_name(0, "blkdebug::%D/x");
    cr_assert_eq(read_at(blk, 0, 4096), 0);
    g_autoptr(BlockBackend) two = image_open_name(0, "blkdebug::null:");
    cr_assert_eq(blk_getlength(two), 1 << 30);
    g_autoptr(BlockBackend)
        three = image_open_name(0, "blkdebug::blkdebug::%D/x");
    cr_assert_eq(read_at(three, 0, 4096), 0);
    g_autoptr(BlockBackend) four = image_open_name(
        0, "blkdebug::json:{\"driver\":\"null\",\"size\":4096}");
    cr_assert_eq(blk_getlength(four), 4096);
}

Test(blkdebug, names_that_say_too_little_or_too_much)
{
    static const struct {
        const char *name, *reason;
    } cases[] = {
        { "blkdebug:", "names no image" },
        { "blkdebug::", "names no image" },
        { "blkdebug:rules.cfg:x", "reads no rules from files ('rules.cfg')" },
        { "blkdebug::what:x", "what" },
        { "blkdebug::null:x", "nothing may follow" },
        { "blkdebug::json:{", "json" },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GError) error = NULL;

        cr_assert_null(blk_open(cases[i].name, NULL, 0, &error));
        image_check_text(error->message, cases[i].reason);
    }
}

Test(blkdebug, opens_again_by_its_name)
{
    g_autoptr(BlockBackend) blk =
        open_with("inject-error.0.iotype=read,inject-error.0.errno=ENOMEDIUM");
    g_autofree char *name = blk_get_filename(blk);
    blk_close(g_steal_pointer(&blk));

    g_autoptr(BlockBackend) again = image_open_name(0, name);
    cr_assert_eq(read_at(again, 0, 512), -ENOMEDIUM);
}

/* ---- Errors ---- */

Test(blkdebug, each_kind_of_request_fails_alone)
{
    static const char *const kinds[] = { "read",    "write", "write-zeroes",
                                         "discard", "flush", "block-status",
                                         "truncate" };

    for (size_t i = 0; i < G_N_ELEMENTS(kinds); i++) {
        g_autofree char *rule = g_strdup_printf(
            "inject-error.0.iotype=%s,inject-error.0.errno=ENXIO", kinds[i]);
        g_autoptr(BlockBackend) blk = open_with(rule);
        g_autoptr(GError) error = NULL;
        int results[G_N_ELEMENTS(kinds)] = {
            read_at(blk, 0, 512),
            write_at(blk, 0, 512),
            blk_pwrite_zeroes(blk, 4096, 4096, 0),
            blk_pdiscard(blk, 8192, 4096),
            blk_flush(blk),
            status_of(blk),
            blk_truncate(blk, 2 * MIB, true, PREALLOC_MODE_OFF, &error),
        };

        for (size_t k = 0; k < G_N_ELEMENTS(kinds); k++) {
            cr_assert_eq(results[k], k == i ? -ENXIO : 0, "%s of %s: %d",
                         kinds[k], kinds[i], results[k]);
        }
    }
}

Test(blkdebug, without_a_kind_all_fail_but_block_status)
{
    g_autoptr(BlockBackend) blk = open_with("inject-error.0.errno=28");

    image_check_io(read_at(blk, 0, 512), -ENOSPC, "injected");
    cr_assert_eq(write_at(blk, 0, 512), -ENOSPC);
    cr_assert_eq(blk_pwrite_zeroes(blk, 0, 4096, 0), -ENOSPC);
    cr_assert_eq(blk_pdiscard(blk, 0, 4096), -ENOSPC);
    cr_assert_eq(status_of(blk), 0);
    cr_assert(image_holds("x", 0, MIB, 1, 0));
}

Test(blkdebug, the_error_is_eio_unless_named)
{
    g_autoptr(BlockBackend) blk =
        open_with("inject-error.0.iotype=read,inject-error.0.immediately=on");

    cr_assert_eq(read_at(blk, 0, 512), -EIO);
    cr_assert_eq(read_at(blk, 0, 512), -EIO);
}

Test(blkdebug, once)
{
    g_autoptr(BlockBackend)
        blk = open_with("inject-error.0.iotype=read,inject-error.0.once=on");

    cr_assert_eq(read_at(blk, 0, 512), -EIO);
    cr_assert_eq(read_at(blk, 0, 512), 0);
}

Test(blkdebug, two_rules_for_one_request_are_used_one_by_one)
{
    g_autoptr(BlockBackend)
        blk = open_with("inject-error.0.iotype=read,inject-error.0.once=on,"
                        "inject-error.1.iotype=read,inject-error.1.once=on,"
                        "inject-error.1.errno=ENOMEM");

    cr_assert_eq(read_at(blk, 0, 512), -EIO);
    cr_assert_eq(read_at(blk, 0, 512), -ENOMEM);
    cr_assert_eq(read_at(blk, 0, 512), 0);
}

Test(blkdebug, a_range)
{
    g_autoptr(BlockBackend)
        blk = open_with("inject-error.0.offset=4096,inject-error.0.bytes=1k");

    cr_assert_eq(read_at(blk, 0, 4096), 0);
    cr_assert_eq(read_at(blk, 0, 4097), -EIO);
    cr_assert_eq(read_at(blk, 5119, 1), -EIO);
    cr_assert_eq(write_at(blk, 5120, 512), 0);
    cr_assert_eq(write_at(blk, 5000, 1), -EIO);
    cr_assert_eq(blk_flush(blk), 0);
}

Test(blkdebug, a_byte_and_a_sector)
{
    g_autoptr(BlockBackend)
        blk = open_with("inject-error.0.offset=100,inject-error.1.sector=8,"
                        "inject-error.1.errno=ENOSPC");

    cr_assert_eq(read_at(blk, 0, 100), 0);
    cr_assert_eq(read_at(blk, 100, 1), -EIO);
    cr_assert_eq(read_at(blk, 101, 3995), 0);
    cr_assert_eq(read_at(blk, 4607, 1), -ENOSPC);
    cr_assert_eq(read_at(blk, 4608, 1), 0);
}

Test(blkdebug, copies_fail_as_copies_and_as_reads_or_writes)
{
    static const struct {
        const char *src_rule, *dst_rule;
        int expected;
    } cases[] = {
        { "align=1", "align=1", 0 },
        { "inject-error.0.iotype=copy-range", "align=1", -EIO },
        { "inject-error.0.iotype=read", "align=1", -EIO },
        { "inject-error.0.iotype=write", "align=1", 0 },
        { "align=1", "inject-error.0.iotype=copy-range", -EIO },
        { "align=1", "inject-error.0.iotype=write", -EIO },
        { "align=1", "inject-error.0.iotype=read", 0 },
        { "align=1",
          "inject-error.0.iotype=copy-range,inject-error.0.errno=ENOTSUP",
          -ENOTSUP },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *options = g_strconcat(
            "driver=blkdebug,image.driver=file,image.filename=%D/y,",
            cases[i].dst_rule, NULL);
        g_autoptr(BlockBackend) src = open_with(cases[i].src_rule);
        image_make("y", MIB, 2);
        g_autoptr(BlockBackend) dst = image_open(RW, options);

        cr_assert_eq(blk_copy_range(src, 0, dst, 0, MIB / 2, 0),
                     cases[i].expected, "case %zu", i);
        cr_assert(image_holds("y", 0, MIB / 2, cases[i].expected ? 2 : 1, 0));
    }
}

/* ---- Events and states ---- */

Test(blkdebug, a_kind_of_request_as_event)
{
    g_autoptr(BlockBackend) blk = open_with(
        "inject-error.0.event=flush,inject-error.0.iotype=read,"
        "inject-error.0.once=on");

    cr_assert_eq(read_at(blk, 0, 512), 0);
    cr_assert_eq(write_at(blk, 0, 512), 0);
    cr_assert_eq(blk_flush(blk), 0);
    cr_assert_eq(read_at(blk, 0, 512), -EIO);
    cr_assert_eq(read_at(blk, 0, 512), 0);
}

Test(blkdebug, the_third_write_fails)
{
    g_autoptr(BlockBackend)
        blk = open_with("set-state.0.event=write,set-state.0.state=1,"
                        "set-state.0.new_state=2,"
                        "set-state.1.event=write,set-state.1.state=2,"
                        "set-state.1.new_state=3,"
                        "inject-error.0.event=write,inject-error.0.state=3,"
                        "inject-error.0.errno=ENOSPC,inject-error.0.once=on");

    cr_assert_eq(write_at(blk, 0, 512), 0);
    cr_assert_eq(read_at(blk, 0, 512), 0);
    cr_assert_eq(write_at(blk, 0, 512), 0);
    cr_assert_eq(write_at(blk, 0, 512), -ENOSPC);
    cr_assert_eq(write_at(blk, 0, 512), 0);
}

/* Drivers report to the nodes around them, not to themselves. */
Test(blkdebug, an_event_of_a_driver)
{
    image_make("x", MIB, 1);
    g_autoptr(BlockBackend) blk = image_open(
        RW, "driver=raw,file.driver=blkdebug,file.image.driver=file,"
            "file.image.filename=%D/x,"
            "file.inject-error.0.event=cluster_alloc,"
            "file.inject-error.0.once=on,"
            "file.inject-delay.0.event=cluster_alloc,"
            "file.inject-delay.0.ms=20");

    cr_assert_eq(read_at(blk, 0, 512), 0);
    bdrv_debug_event(blk_bs(blk), "cluster_free");
    cr_assert_eq(read_at(blk, 0, 512), 0);
    gint64 start = g_get_monotonic_time();
    bdrv_debug_event(blk_bs(blk), "cluster_alloc");
    cr_assert_geq(g_get_monotonic_time() - start, 20000);
    cr_assert_eq(write_at(blk, 0, 512), -EIO);
    cr_assert_eq(write_at(blk, 0, 512), 0);
}

/* ---- Delays ---- */

Test(blkdebug, delays)
{
    g_autoptr(BlockBackend)
        blk = open_with("inject-delay.0.iotype=read,inject-delay.0.ms=20,"
                        "inject-delay.0.offset=4096,inject-delay.0.bytes=4096,"
                        "inject-delay.0.once=on");

    cr_assert_eq(write_at(blk, 4096, 512), 0);
    gint64 start = g_get_monotonic_time();
    cr_assert_eq(read_at(blk, 4096, 512), 0);
    cr_assert_geq(g_get_monotonic_time() - start, 20000);
}

static gpointer read_slowly(gpointer blk)
{
    return GINT_TO_POINTER(read_at(blk, 4096, 512));
}

Test(blkdebug, a_delay_delays_nobody_else)
{
    g_autoptr(BlockBackend)
        blk = open_with("inject-delay.0.iotype=read,inject-delay.0.ms=2000,"
                        "inject-delay.0.offset=4096");

    gint64 start = g_get_monotonic_time();
    GThread *thread = g_thread_new("slow", read_slowly, blk);
    cr_assert_eq(read_at(blk, 0, 512), 0);
    cr_assert_lt(g_get_monotonic_time() - start, 1500000);
    cr_assert_eq(GPOINTER_TO_INT(g_thread_join(thread)), 0);
    cr_assert_geq(g_get_monotonic_time() - start, 2000000);
}

/* ---- Limits ---- */

Test(blkdebug, limits)
{
    g_autoptr(BlockBackend) blk = open_with(
        "align=4096,max-transfer=64k,opt-write-zero=8192,max-write-zero=64k,"
        "opt-discard=16k,max-discard=128k");
    BdrvLimits limits = blk_get_limits(blk);

    cr_assert_eq(limits.request_alignment, 4096);
    cr_assert_eq(limits.max_transfer, 65536);
    cr_assert_eq(limits.pwrite_zeroes_alignment, 8192);
    cr_assert_eq(limits.max_pwrite_zeroes, 65536);
    cr_assert_eq(limits.pdiscard_alignment, 16384);
    cr_assert_eq(limits.max_pdiscard, 131072);

    cr_assert_eq(read_at(blk, 5, MIB - 10), 0);
    cr_assert_eq(write_at(blk, 5, MIB - 10), 0);
    cr_assert_eq(blk_pwrite_zeroes(blk, 4097, 300001, 0), 0);
    cr_assert(image_is_zero("x", 4097, 300001));
    cr_assert(image_holds("x", 0, 4097, 1, 0));
    cr_assert(image_holds("x", 304098, MIB - 304098, 1, 304098));
}

Test(blkdebug, requests_are_split_before_the_rules)
{
    g_autoptr(BlockBackend) blk = open_with(
        "max-transfer=4096,set-state.0.event=read,set-state.0.new_state=2,"
        "inject-error.0.iotype=read,inject-error.0.state=2");

    cr_assert_eq(read_at(blk, 0, 4096), 0);
    blk_close(g_steal_pointer(&blk));
    blk = open_with(
        "max-transfer=4096,set-state.0.event=read,set-state.0.new_state=2,"
        "inject-error.0.iotype=read,inject-error.0.state=2");
    cr_assert_eq(read_at(blk, 0, 8192), -EIO);
}
