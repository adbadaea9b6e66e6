/* SPDX-License-Identifier: MIT */
/* Resizing and emptying qcow2 images: contents, the size of the file, crashes
 * and failures in between. qemu-img judges. */
#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "tests/unit/qcow2-fixture.h"

TestSuite(qcow2_resize, .init = tape_init, .fini = image_dir_fini,
          .timeout = 300);

#define RW (BDRV_O_RDWR | BDRV_O_RESIZE)
#define IMAGE "driver=qcow2,file.filename=%D/i"
#define MIB (INT64_C(1) << 20)

#define NEED_IMAGE(options, size)                                             \
    if (!tape_create("i", options, size)) {                                   \
        cr_skip_test("needs qemu-img");                                       \
    }

#define SHELL(...)                                                            \
    do {                                                                      \
        int status_;                                                          \
        g_autofree char *out_ = image_shell(&status_, __VA_ARGS__);           \
        cr_assert_eq(status_, 0, "%s", out_);                                 \
    } while (0)

static void resize_with(BlockBackend *blk, int64_t size, PreallocMode mode)
{
    g_autoptr(GError) error = NULL;

    cr_assert_eq(blk_truncate(blk, size, true, mode, &error), 0,
                 "%" PRId64 ": %s", size, error ? error->message : "");
    cr_assert_eq(blk_getlength(blk), size);
}

static void resize(BlockBackend *blk, int64_t size)
{
    resize_with(blk, size, PREALLOC_MODE_OFF);
}

static void resize_fails(BlockBackend *blk, int64_t size, PreallocMode mode,
                         const char *part)
{
    g_autoptr(GError) error = NULL;
    int64_t before = blk_getlength(blk);

    cr_assert_lt(blk_truncate(blk, size, true, mode, &error), 0);
    image_check_text(error->message, part);
    cr_assert_eq(blk_getlength(blk), before);
}

static void write_at(BlockBackend *blk, int64_t offset, int64_t bytes,
                     int seed)
{
    g_autofree uint8_t *buf = g_malloc((gsize)bytes);

    image_pattern(buf, (size_t)bytes, seed, offset);
    cr_assert_eq(blk_pwrite(blk, offset, bytes, buf, 0), 0);
}

static void check_at(BlockBackend *blk, int64_t offset, int64_t bytes,
                     int seed)
{
    g_autofree uint8_t *buf = g_malloc((gsize)bytes);

    cr_assert_eq(blk_pread(blk, offset, bytes, buf, 0), 0);
    cr_assert(image_pattern_is(buf, (size_t)bytes, seed, offset),
              "%d at %" PRId64, seed, offset);
}

static void check_zero(BlockBackend *blk, int64_t offset, int64_t bytes)
{
    g_autofree uint8_t *buf = g_malloc((gsize)bytes);

    cr_assert_eq(blk_pread(blk, offset, bytes, buf, 0), 0);
    for (int64_t i = 0; i < bytes; i++) {
        cr_assert_eq(buf[i], 0, "%#x at %" PRId64, buf[i], offset + i);
    }
}

/* ---- Contents ---- */

/* An L1 table of one cluster describes 2 MiB here. */
Test(qcow2_resize, growing_in_small_steps)
{
    NEED_IMAGE("cluster_size=512", "0");
    {
        g_autoptr(BlockBackend) blk = image_open(RW, IMAGE);

        for (int64_t size = 96 * 1024; size < 5 * MIB; size += 96 * 1024) {
            resize(blk, size);
            write_at(blk, size - 700, 700, 5);
        }
        for (int64_t size = 96 * 1024; size < 5 * MIB; size += 96 * 1024) {
            check_at(blk, size - 700, 700, 5);
            check_zero(blk, size - 96 * 1024, 1000);
        }
    }
    cr_assert_eq(tape_check("i"), 0);
    cr_assert_lt(image_size("i"), MIB);
}

typedef struct Twin {
    BlockBackend *blk;
    uint8_t *bytes;
    int64_t size;
} Twin;

static void twin_step(Twin *twin, GRand *rand, int64_t max)
{
    int64_t at = g_rand_int_range(rand, 0, (int)max);

    if (g_rand_int_range(rand, 0, 5) == 0 || twin->size == 0) {
        at &= ~INT64_C(511);
        resize(twin->blk, at);
        if (at < twin->size) {
            memset(twin->bytes + at, 0, (size_t)(twin->size - at));
        }
        twin->size = at;
    } else {
        at %= twin->size;
        int64_t n = g_rand_int_range(rand, 1, 60000);

        n = MIN(n, twin->size - at);

        image_pattern(twin->bytes + at, (size_t)n, (int)(at % 250), 0);
        int ret = blk_pwrite(twin->blk, at, n, twin->bytes + at, 0);
        g_autofree char *reason = blk_strerror(ret);
        cr_assert_eq(ret, 0, "%s", reason);
    }
}

static void random_resizes(const char *options, uint32_t seed)
{
    enum { MAX = 3 << 20, STEPS = 150 };
    g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
    g_autofree uint8_t *read = g_malloc(MAX);
    Twin twin = { .bytes = g_malloc0(MAX), .size = MIB };

    cr_assert(tape_create("i", options, "1M"));
    for (int round = 0; round < 3; round++) {
        twin.blk = image_open(RW, IMAGE);
        for (int i = 0; i < STEPS; i++) {
            twin_step(&twin, rand, MAX);
        }
        if (twin.size > 0) {
            cr_assert_eq(blk_pread(twin.blk, 0, twin.size, read, 0), 0);
            cr_assert_arr_eq(read, twin.bytes, (size_t)twin.size);
        }
        blk_close(twin.blk);
        cr_assert_eq(tape_check("i"), 0);
    }
    g_free(twin.bytes);
}

Test(qcow2_resize, what_was_cut_off_never_comes_back)
{
    static const char *const options[] = {
        "cluster_size=512,refcount_bits=64",
        "cluster_size=512,compat=0.10",
        "cluster_size=4k,refcount_bits=1",
        "cluster_size=64k",
        "lazy_refcounts=on",
    };

    NEED_IMAGE("cluster_size=512", "0");
    for (guint i = 0; i < G_N_ELEMENTS(options); i++) {
        random_resizes(options[i], i + 1);
    }
}

/* Also where the new part is not a whole cluster, and in version 2, which has
 * no zero clusters. */
Test(qcow2_resize, a_longer_backing_file_does_not_show)
{
    static const char *const compat[] = { "1.1", "0.10" };

    NEED_IMAGE("cluster_size=512", "0");
    image_make("base", 3 * MIB, 9);
    for (guint i = 0; i < G_N_ELEMENTS(compat); i++) {
        SHELL("qemu-img create -q -f qcow2 -b base -F raw -o compat=%s i 1M",
              compat[i]);
        {
            g_autoptr(BlockBackend) blk = image_open(RW, IMAGE);

            resize(blk, 700 * 1024 + 512);
            resize(blk, 5 * MIB);
            check_at(blk, 0, 700 * 1024 + 512, 9);
            check_zero(blk, 700 * 1024 + 512, 5 * MIB - 700 * 1024 - 512);
        }
        cr_assert_eq(tape_check("i"), 0);
    }
}

/* ---- Preallocation ---- */

static void preallocate(PreallocMode mode, const char *options)
{
    cr_assert(tape_create("i", options, "1M"));
    {
        g_autoptr(BlockBackend) blk = image_open(RW, IMAGE);

        /* Clusters with old contents are free for the new part. */
        write_at(blk, 0, MIB, 4);
        cr_assert_eq(blk_pdiscard(blk, 256 * 1024, 512 * 1024), 0);
        cr_assert_eq(blk_flush(blk), 0);
        resize_with(blk, 4 * MIB + 512, mode);
        check_at(blk, 0, 256 * 1024, 4);
        check_zero(blk, MIB, 3 * MIB + 512);

        for (int64_t at = MIB; at < 4 * MIB;) {
            g_auto(BdrvBlockStatus) status = { 0 };

            cr_assert_eq(blk_block_status(blk, at, 4 * MIB - at, 0, &status),
                         0);
            cr_assert(status.flags & BDRV_BLOCK_ALLOCATED, "at %" PRId64, at);
            cr_assert(status.flags & BDRV_BLOCK_OFFSET_VALID);
            at += status.bytes;
        }
    }
    cr_assert_eq(tape_check("i"), 0);
    if (mode != PREALLOC_MODE_METADATA) {
        cr_assert_geq(image_allocated("i"), 3 * MIB);
    }
}

Test(qcow2_resize, preallocating_the_new_part)
{
    static const PreallocMode modes[] = { PREALLOC_MODE_METADATA,
                                          PREALLOC_MODE_FALLOC,
                                          PREALLOC_MODE_FULL };

    NEED_IMAGE("cluster_size=512", "0");
    for (guint i = 0; i < G_N_ELEMENTS(modes); i++) {
        preallocate(modes[i], "cluster_size=512,refcount_bits=64");
        preallocate(modes[i], "cluster_size=4k,compat=0.10");
        preallocate(modes[i], "cluster_size=64k");
    }
}

/* ---- Shrinking and emptying ---- */

/* Piece by piece, so that refcount blocks are near what they describe. */
static void write_pieces(BlockBackend *blk, int64_t size, int seed)
{
    const int64_t piece = 16384;

    for (int64_t at = 0; at < size; at += piece) {
        write_at(blk, at, MIN(piece, size - at), seed);
    }
}

static void shrink_and_grow(const char *options, int64_t size)
{
    const int64_t kept = 64 * 1024;
    g_autofree char *text = g_strdup_printf("%" PRId64, size);

    cr_assert(tape_create("i", options, text));
    {
        g_autoptr(BlockBackend) blk = image_open(RW, IMAGE);

        write_pieces(blk, size, 2);
        cr_assert_geq(image_size("i"), size);
        resize(blk, kept);
        cr_assert_lt(image_size("i"), MIB, "%" PRId64, image_size("i"));
        check_at(blk, 0, kept, 2);
        resize(blk, size);
        check_zero(blk, kept, size - kept);
        write_at(blk, 0, size, 3);
        check_at(blk, 0, size, 3);
    }
    cr_assert_eq(tape_check("i"), 0);
}

Test(qcow2_resize, shrinking_gives_the_space_back)
{
    NEED_IMAGE("cluster_size=512", "0");
    shrink_and_grow("cluster_size=512,refcount_bits=64", 3 * MIB / 2);
    shrink_and_grow("cluster_size=4k,refcount_bits=64", 8 * MIB);
    shrink_and_grow("cluster_size=64k", 8 * MIB);
}

Test(qcow2_resize, an_emptied_overlay_shows_its_backing_file)
{
    NEED_IMAGE("cluster_size=512", "0");
    image_make("base", 2 * MIB, 9);
    SHELL("qemu-img create -q -f qcow2 -b base -F raw -o cluster_size=4k i "
          "3000000");
    {
        g_autoptr(BlockBackend) blk = image_open(RW, IMAGE);

        write_at(blk, 0, MIB, 1);
        write_at(blk, 2900000, 5000, 1);
        cr_assert_eq(blk_pwrite_zeroes(blk, MIB, MIB, BDRV_REQ_MAY_UNMAP), 0);
        cr_assert_eq(blk_make_empty(blk, NULL), 0);
        check_at(blk, 0, 2 * MIB, 9);
        check_zero(blk, 2 * MIB, 3000000 - 2 * MIB);
        cr_assert_lt(image_size("i"), 64 * 1024);
        write_at(blk, 100, 5000, 3);
        check_at(blk, 100, 5000, 3);
        check_at(blk, 0, 100, 9);
    }
    cr_assert_eq(tape_check("i"), 0);
}

/* ---- Snapshots ---- */

Test(qcow2_resize, snapshots_keep_their_contents)
{
    NEED_IMAGE("cluster_size=4k", "3M");
    {
        g_autoptr(BlockBackend) blk = image_open(RW, IMAGE);
        write_at(blk, 0, 3 * MIB, 7);
    }
    SHELL("qemu-img snapshot -c before i && cp i expected");
    {
        g_autoptr(BlockBackend) blk = image_open(RW, IMAGE);

        resize(blk, MIB);
        check_at(blk, 0, MIB, 7);
        resize(blk, 40 * MIB);
        check_zero(blk, MIB, 3 * MIB);
        write_at(blk, 39 * MIB, 1000, 8);
        cr_assert_eq(blk_make_empty(blk, NULL), 0);
        check_zero(blk, 0, 40 * MIB);
    }
    cr_assert_eq(tape_check("i"), 0);
    SHELL("qemu-img snapshot -a before i && qemu-img compare -s i expected");
    cr_assert_eq(tape_check("i"), 0);
}

Test(qcow2_resize, version_2_with_snapshots_keeps_its_size)
{
    NEED_IMAGE("compat=0.10", "1M");
    SHELL("qemu-img snapshot -c one i");
    g_autoptr(BlockBackend) blk = image_open(RW, IMAGE);
    resize_fails(blk, 2 * MIB, PREALLOC_MODE_OFF, "that has snapshots cannot");
    resize_fails(blk, 512, PREALLOC_MODE_OFF, "that has snapshots cannot");
}

/* ---- Limits ---- */

Test(qcow2_resize, sizes_that_cannot_be)
{
    NEED_IMAGE("cluster_size=512", "1M");
    g_autoptr(BlockBackend) blk = image_open(RW, IMAGE);

    resize_fails(blk, 1000, PREALLOC_MODE_OFF, "multiple of 512, and 1000");
    resize_fails(blk, INT64_C(200) << 30, PREALLOC_MODE_OFF,
                 "it needs cluster_size=1024");
    resize_fails(blk, 512, PREALLOC_MODE_METADATA, "shrink");
    cr_assert_eq(blk_truncate(blk, 1000, false, PREALLOC_MODE_OFF, NULL), 0);
    cr_assert_eq(blk_getlength(blk), 1024);
    resize(blk, INT64_C(128) << 30);
    write_at(blk, (INT64_C(128) << 30) - 512, 512, 1);
    check_at(blk, (INT64_C(128) << 30) - 512, 512, 1);
    resize(blk, 0);
    cr_assert_lt(image_allocated("i"), 64 * MIB);
}

/* ---- Crashes and failures ---- */

#define KEPT (INT64_C(200) << 10) /* data at the beginning */

/* Grows the L1 table in place and elsewhere, and shrinks. */
static const int64_t changes[] = { 2 * MIB, 5 * MIB, 300 * 1024, 0, 3 * MIB };

static int64_t saved_size(const char *name, int64_t kept)
{
    g_autofree char *text =
        g_strdup_printf("driver=qcow2,file.filename=%%D/%s", name);
    g_autoptr(BlockBackend) blk = image_open(0, text);
    int64_t size = blk_getlength(blk);

    kept = MIN(size, kept);
    if (kept > 0) {
        check_at(blk, 0, kept, 6);
    }
    return size;
}

Test(qcow2_resize, a_crash_leaves_the_old_size_or_the_new_one)
{
    g_autoptr(GRand) dice = g_rand_new_with_seed(3);

    NEED_IMAGE("cluster_size=512,refcount_bits=64", "256k");
    SHELL("mv i empty");
    g_autoptr(BlockBackend) blk = tape_open("empty", "");
    Tape *tape = tape_of(blk);
    int64_t before = 256 * 1024;

    write_at(blk, 0, KEPT, 6);
    cr_assert_eq(blk_flush(blk), 0);
    for (guint i = 0; i < 3; i++) {
        unsigned first = tape_now(tape);

        resize(blk, changes[i]);
        unsigned end = tape_now(tape);
        for (unsigned at = first; at <= end; at += 1 + (end - first) / 60) {
            tape_crash(tape, at, dice, "crashed");
            (void)tape_check("crashed");
            int64_t size = saved_size("crashed", KEPT);
            cr_assert(size == before || size == changes[i],
                      "%" PRId64 " on the way from %" PRId64 " to %" PRId64,
                      size, before, changes[i]);
        }
        before = changes[i];
    }
}

/* Fail the k-th write or flush of a resize, and maybe all that follow. */
static bool fail_resize(guint step, int k, int times)
{
    g_autoptr(BlockBackend) blk = tape_open("i", "");
    g_autoptr(GError) error = NULL;
    Tape *tape = tape_of(blk);

    for (guint i = 0; i < step; i++) {
        resize(blk, changes[i]);
    }
    int64_t before = blk_getlength(blk);
    int64_t kept = MIN(MIN(before, changes[step]), KEPT);
    tape_fail(tape, k, times, EIO);
    int ret = blk_truncate(blk, changes[step], true, PREALLOC_MODE_OFF,
                           &error);
    tape_save(tape, "failed");
    tape_fail(tape, 0, 0, 0);
    (void)tape_check("failed");
    int64_t size = saved_size("failed", kept);
    cr_assert(size == before || size == changes[step]);
    if (ret == 0) {
        return false;
    }
    cr_assert_eq(blk_getlength(blk), before);
    cr_assert_not_null(error);
    if (times == 1) {
        cr_assert_eq(blk_flush(blk), 0);
        tape_save(tape, "settled");
        cr_assert_eq(saved_size("settled", kept), before);
        resize(blk, changes[step]);
        cr_assert_eq(blk_flush(blk), 0);
        tape_save(tape, "again");
        (void)tape_check("again");
        cr_assert_eq(saved_size("again", kept), changes[step]);
    }
    return true;
}

Test(qcow2_resize, failing_at_each_step)
{
    NEED_IMAGE("cluster_size=512,refcount_bits=64", "256k");
    {
        g_autoptr(BlockBackend) blk = image_open(RW, IMAGE);
        write_at(blk, 0, KEPT, 6);
    }
    for (guint step = 0; step < G_N_ELEMENTS(changes); step++) {
        int k = 0;

        while (k < 200 && fail_resize(step, k, 1)) {
            (void)fail_resize(step, k, -1);
            k++;
        }
        cr_assert(k > 0 && k < 200, "%d steps of change %u", k, step);
    }
}
