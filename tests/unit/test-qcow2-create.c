/* SPDX-License-Identifier: MIT */
/* New qcow2 images, judged by qemu-img: every combination of options that is
 * offered, what is refused, and what a failure leaves behind. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/image-fixture.h"

TestSuite(qcow2_create, .init = image_dir_init, .fini = image_dir_fini,
          .timeout = 300);

#define SHELL(...)                                                            \
    do {                                                                      \
        int status_;                                                          \
        g_autofree char *out_ = image_shell(&status_, __VA_ARGS__);           \
        cr_assert_eq(status_, 0, "%s", out_);                                 \
    } while (0)

static bool create(const char *name, const char *options, GError **errp)
{
    g_autoptr(Options) set = options_new();
    g_autofree char *path = image_path(name);

    cr_assert(options_parse_keyval(set, options, NULL, errp));
    return bdrv_create("qcow2", path, set, errp);
}

static void must_create(const char *options)
{
    g_autoptr(GError) error = NULL;

    cr_assert(create("i", options, &error), "%s: %s", options,
              error ? error->message : "");
}

/* ---- What is offered ---- */

static void judge(const char *text)
{
    int status;
    g_autofree char *check = image_shell(&status, "qemu-img check i 2>&1");

    cr_assert_eq(status, 0, "%s: %s", text, check);
}

/* qemu-img reads zeroes from it, and as many as there should be. */
static void judge_contents(const char *text, const char *size)
{
    int status;
    g_autofree char *zero = image_shell(
        &status,
        "qemu-img create -q -f qcow2 z %s && qemu-img compare i z 2>&1", size);

    cr_assert_eq(status, 0, "%s: %s", text, zero);
    cr_assert_null(strstr(zero, "mismatch"), "%s: %s", text, zero);
}

static const char *const widths[] = {
    "cluster_size=512,refcount_bits=1", "cluster_size=512,refcount_bits=64",
    "cluster_size=1k,refcount_bits=32", "cluster_size=4k,refcount_bits=2",
    "cluster_size=64k,refcount_bits=8", "cluster_size=64k",
    "cluster_size=2M,refcount_bits=4",  "cluster_size=4k,compat=0.10",
    "cluster_size=2M,compat=v2",        "lazy_refcounts=on",
};

Test(qcow2_create, every_combination_is_sound)
{
    static const char *const modes[] = { "off", "metadata", "falloc", "full" };
    static const char *const sizes[] = { "0", "1", "512", "1M", "5242368" };

    image_need_program("qemu-img");
    for (guint w = 0; w < G_N_ELEMENTS(widths); w++) {
        for (guint m = 0; m < G_N_ELEMENTS(modes); m++) {
            for (guint i = 0; i < G_N_ELEMENTS(sizes); i++) {
                g_autofree char *options =
                    g_strdup_printf("%s,preallocation=%s,size=%s", widths[w],
                                    modes[m], sizes[i]);

                must_create(options);
                judge(options);
                judge_contents(options, sizes[i]);
            }
        }
    }
}

Test(qcow2_create, large_tables)
{
    image_need_program("qemu-img");
    must_create("size=128G,cluster_size=512,refcount_bits=64");
    judge("128G");
    cr_assert_lt(image_allocated("i"), 16 << 20, "the L1 table is a hole");
    must_create("size=2E,cluster_size=2M");
    judge("2E");
    must_create("size=1T,preallocation=metadata,cluster_size=2M");
    SHELL("qemu-img check i");
}

Test(qcow2_create, sizes_are_multiples_of_512)
{
    must_create("size=1000001");
    g_autoptr(BlockBackend) blk = image_open(0, "driver=qcow2,file.filename="
                                                "%D/i");
    cr_assert_eq(blk_getlength(blk), 1000448);
}

Test(qcow2_create, preallocated_space_is_there)
{
    must_create("size=4M,preallocation=metadata");
    cr_assert_geq(image_size("i"), 4 << 20);
    cr_assert_lt(image_allocated("i"), 2 << 20);
    must_create("size=4M,preallocation=falloc");
    cr_assert_geq(image_allocated("i"), 4 << 20);
    must_create("size=4M,preallocation=full,cluster_size=512");
    cr_assert_geq(image_allocated("i"), 4 << 20);
}

Test(qcow2_create, the_header_is_as_asked)
{
    int status;

    image_need_program("qemu-img");
    must_create("size=1M,backing_file=base,backing_fmt=raw,lazy_refcounts=on,"
                "refcount_bits=32,cluster_size=4k");
    g_autofree char *info = image_shell(&status, "qemu-img info i");
    image_check_text(info, "backing file: base");
    image_check_text(info, "backing file format: raw");
    image_check_text(info, "cluster_size: 4096");
    image_check_text(info, "lazy refcounts: true");
    image_check_text(info, "refcount bits: 32");
    image_check_text(info, "compat: 1.1");
    must_create("size=1M,compat=0.10");
    g_autofree char *old = image_shell(&status, "qemu-img info i");
    image_check_text(old, "compat: 0.10");
}

/* ---- What is refused ---- */

Test(qcow2_create, refusals_leave_what_is_there)
{
    static const char *const refused[][2] = {
        { "cluster_size=256", "cluster_size is 256; allowed are powers" },
        { "cluster_size=4M", "cluster_size is 4194304" },
        { "cluster_size=65537", "cluster_size is 65537" },
        { "cluster_size=0", "cluster_size is 0" },
        { "refcount_bits=0", "refcount_bits is 0; allowed are powers" },
        { "refcount_bits=3", "refcount_bits is 3" },
        { "refcount_bits=128", "refcount_bits is 128" },
        { "compat=0.10,refcount_bits=8", "refcount_bits=8 needs compat=1.1" },
        { "compat=v2,lazy_refcounts=on", "lazy_refcounts=on needs" },
        { "compat=1.2", "compat" },
        { "compression_type=zstd", "compression_type" },
        { "preallocation=some", "preallocation" },
        { "extended_l2=on", "extended_l2" },
        { "backing_file=", "backing_file is empty" },
        { "backing_fmt=raw", "backing_fmt needs the option backing_file" },
        { "backing_file=b,backing_fmt=nothing", "no known format" },
        { "backing_file=b,backing_fmt=raw,preallocation=metadata",
          "exclude each other" },
        { "cluster_size=512,size=129G", "needs cluster_size=1024" },
        { "cluster_size=64k,size=3P", "needs cluster_size=131072" },
        { "size=2305843009213693953", "2305843009213693952 bytes at most" },
        { "size=7E", "2305843009213693952 bytes at most" },
    };

    image_make("i", 10000, 3);
    for (guint i = 0; i < G_N_ELEMENTS(refused); i++) {
        g_autofree char *options = g_strconcat("size=1M,", refused[i][0],
                                               NULL);
        g_autoptr(GError) error = NULL;

        cr_assert(!create("i", options, &error), "%s", options);
        image_check_text(error->message, refused[i][1]);
        cr_assert(!create("new", options, NULL));
        cr_assert(!image_exists("new"));
    }
    cr_assert(image_holds("i", 0, 10000, 3, 0));
}

Test(qcow2_create, a_backing_name_that_does_not_fit)
{
    g_autofree char *name = g_strnfill(1000, 'n');
    g_autofree char *options =
        g_strdup_printf("cluster_size=1k,backing_file=%s", name);
    g_autoptr(GError) error = NULL;

    image_make("i", 10000, 3);
    cr_assert(!create("i", options, &error));
    image_check_text(error->message, "a cluster has 1024");
    cr_assert(image_holds("i", 0, 10000, 3, 0));
}

/* ---- Failures ---- */

Test(qcow2_create, nothing_stays_of_a_failure)
{
    g_autoptr(GError) error = NULL;

    if (!image_mount_tmpfs("small", "size=1M")) {
        cr_skip_test("cannot mount");
    }
    cr_assert(!create("small/i", "size=8M,preallocation=full", &error));
    cr_assert_eq(error->code, ENOSPC, "%s", error->message);
    cr_assert(!image_exists("small/i"));
    g_clear_error(&error);
    cr_assert(!create("small/i", "size=8M,cluster_size=2M", &error));
    cr_assert_eq(error->code, ENOSPC, "%s", error->message);
    cr_assert(!image_exists("small/i"));
    cr_assert(create("small/i", "size=8M", NULL));
}

Test(qcow2_create, what_is_in_use_is_left_alone)
{
    g_autoptr(GError) error = NULL;

    must_create("size=1M");
    g_autoptr(BlockBackend)
        blk = image_open(BDRV_O_RDWR, "driver=qcow2,file.filename=%D/i");
    cr_assert(!create("i", "size=2M", &error));
    cr_assert_eq(error->code, EAGAIN, "%s", error->message);
    cr_assert_eq(blk_getlength(blk), 1 << 20);
    cr_assert_eq(blk_pwrite_zeroes(blk, 0, 1 << 20, 0), 0);
}

/* A device holds whatever was there before. */
Test(qcow2_create, over_old_contents)
{
    char *device = image_loop_new("disk", 8);
    g_autoptr(GError) error = NULL;
    g_autoptr(Options) set = options_new();

    if (device == NULL) {
        cr_skip_test("no loop devices");
    }
    g_autofree uint8_t *junk = g_malloc(8 << 20);
    g_autoptr(Options) raw = options_new();
    options_set(raw, "driver", "raw");
    BlockBackend *blk = blk_open(device, raw, BDRV_O_RDWR, &error);
    memset(junk, 0xff, 8 << 20);
    cr_assert_eq(blk_pwrite(blk, 0, 8 << 20, junk, 0), 0);
    blk_close(blk);

    options_set(set, "size", "6M");
    cr_assert(bdrv_create("qcow2", device, set, &error), "%s",
              error ? error->message : "");
    blk = blk_open(device, NULL, BDRV_O_RDWR, &error);
    cr_assert_not_null(blk, "%s", error ? error->message : "");
    cr_assert_str_eq(blk_get_format_name(blk), "qcow2");
    cr_assert_eq(blk_pwrite(blk, 1 << 20, 1, "x", 0), 0);
    cr_assert_eq(blk_pread(blk, 0, 6 << 20, junk, 0), 0);
    for (int i = 0; i < 6 << 20; i++) {
        cr_assert(junk[i] == 0 || i >> 20 == 1, "%#x at %d", junk[i], i);
    }
    blk_close(blk);
    image_loop_free(device);
}
