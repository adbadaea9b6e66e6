/* SPDX-License-Identifier: MIT */
/* Zeroes and discards in qcow2 images: what becomes of the clusters. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "tests/unit/image-fixture.h"
#include "tests/unit/qcow2-model.h"

TestSuite(qcow2_zero, .init = model_dir_init, .fini = image_dir_fini);

#define KIB INT64_C(1024)
#define MIB (1024 * KIB)
#define CLUSTER (64 * KIB)
#define NO_WRITES BDRV_REQ_NO_FALLBACK
#define OPEN "driver=qcow2,file.filename=%D/i"

/* An image "i" of 1 MiB over "base", whose bytes are all data, or over none;
 * its first four clusters are written. */
static BlockBackend *make(const char *options, bool backing, const char *open)
{
    g_autofree uint8_t *buf = g_malloc(4 * CLUSTER);

    if (backing) {
        image_make("base", MIB, 1);
    }
    model_shell("qemu-img create -q -f qcow2 -o %s %s i 1M", options,
                backing ? "-b base -F raw" : "");
    BlockBackend *blk = image_open(MODEL_RW, open);
    image_pattern(buf, (size_t)(4 * CLUSTER), 2, 0);
    cr_assert_eq(blk_pwrite(blk, 0, 4 * CLUSTER, buf, 0), 0);
    return blk;
}

/* "d" data, "z" zeroes, "-" not in this image; "h" behind it: with a host
 * cluster. A letter a cluster. */
static void check_map(BlockBackend *blk, const char *expected)
{
    g_autoptr(GString) map = g_string_new(NULL);

    for (int64_t at = 0; at < MIB; at += CLUSTER) {
        g_auto(BdrvBlockStatus) status = { 0 };

        cr_assert_eq(blk_block_status(blk, at, CLUSTER, 0, &status), 0);
        cr_assert_eq(status.bytes, CLUSTER);
        if (!(status.flags & BDRV_BLOCK_ALLOCATED) || status.depth > 0) {
            g_string_append(map, "-");
        } else {
            g_string_append(map, status.flags & BDRV_BLOCK_ZERO ? "z" : "d");
            if (status.flags & BDRV_BLOCK_OFFSET_VALID) {
                g_string_append(map, "h");
            }
        }
    }
    cr_assert_eq(strncmp(map->str, expected, strlen(expected)), 0,
                 "%s is not %s", map->str, expected);
}

static void check_zero(BlockBackend *blk, int64_t offset, int64_t bytes)
{
    g_autofree uint8_t *buf = g_malloc((gsize)bytes);
    IOVector iov;

    iov_init_buf(&iov, buf, (size_t)bytes);
    cr_assert_eq(blk_preadv(blk, offset, bytes, &iov, 0), 0);
    cr_assert(iov_is_zero(&iov, 0, (size_t)bytes));
}

static void check_pattern(BlockBackend *blk, int64_t offset, int64_t bytes,
                          int seed)
{
    g_autofree uint8_t *buf = g_malloc((gsize)bytes);

    cr_assert_eq(blk_pread(blk, offset, bytes, buf, 0), 0);
    cr_assert(image_pattern_is(buf, (size_t)bytes, seed, offset));
}

static void finish(BlockBackend *blk)
{
    cr_assert_eq(blk_flush(blk), 0);
    blk_close(blk);
    model_shell("qemu-img check -q i");
}

Test(qcow2_zero, keep_their_host_clusters_unless_told_otherwise)
{
    BlockBackend *blk = make("compat=1.1", false, OPEN);

    cr_assert_eq(blk_pwrite_zeroes(blk, CLUSTER, CLUSTER, NO_WRITES), 0);
    cr_assert_eq(blk_pwrite_zeroes(blk, 2 * CLUSTER, CLUSTER,
                                   NO_WRITES | BDRV_REQ_MAY_UNMAP),
                 0);
    check_map(blk, "dhzhzdh---");
    check_zero(blk, CLUSTER, 2 * CLUSTER);
    check_pattern(blk, 0, CLUSTER, 2);
    check_pattern(blk, 3 * CLUSTER, CLUSTER, 2);
    finish(blk);
}

Test(qcow2_zero, a_reserved_cluster_is_used_again)
{
    g_auto(BdrvBlockStatus) before = { 0 }, after = { 0 };
    BlockBackend *blk = make("compat=1.1", false, OPEN);

    cr_assert_eq(blk_block_status(blk, CLUSTER, CLUSTER, 0, &before), 0);
    cr_assert_eq(blk_pwrite_zeroes(blk, CLUSTER, CLUSTER, NO_WRITES), 0);
    cr_assert_eq(blk_pwrite(blk, CLUSTER + 5000, 4, "data", 0), 0);
    cr_assert_eq(blk_block_status(blk, CLUSTER, CLUSTER, 0, &after), 0);
    cr_assert_eq(before.map, after.map);
    check_zero(blk, CLUSTER, 5000);
    check_zero(blk, CLUSTER + 5004, CLUSTER - 5004);
    check_pattern(blk, 2 * CLUSTER, CLUSTER, 2);
    finish(blk);
}

Test(qcow2_zero, over_nothing_stay_nothing)
{
    BlockBackend *blk = make("compat=1.1", false, OPEN);
    int64_t size = image_size("i");

    cr_assert_eq(blk_pwrite_zeroes(blk, 4 * CLUSTER, 12 * CLUSTER, NO_WRITES),
                 0);
    check_map(blk, "dhdhdhdh------------");
    cr_assert_eq(image_size("i"), size);
    finish(blk);
}

Test(qcow2_zero, hide_the_backing_file)
{
    BlockBackend *blk = make("compat=1.1", true, OPEN);
    int64_t size = image_size("i");

    cr_assert_eq(blk_pwrite_zeroes(blk, 2 * CLUSTER, 8 * CLUSTER, NO_WRITES),
                 0);
    check_map(blk, "dhdhzhzhzzzzzz------");
    check_zero(blk, 2 * CLUSTER, 8 * CLUSTER);
    check_pattern(blk, 10 * CLUSTER, 6 * CLUSTER, 1);
    cr_assert_eq(image_size("i"), size);
    finish(blk);
}

Test(qcow2_zero, of_parts_of_clusters_are_written)
{
    BlockBackend *blk = make("compat=1.1", true, OPEN);

    cr_assert_eq(blk_pwrite_zeroes(blk, CLUSTER - 100, CLUSTER + 200, 0), 0);
    check_map(blk, "dhzhdhdh---");
    check_zero(blk, CLUSTER - 100, CLUSTER + 200);
    check_pattern(blk, 0, CLUSTER - 100, 2);
    check_pattern(blk, 2 * CLUSTER + 100, 2 * CLUSTER - 100, 2);
    finish(blk);
}

Test(qcow2_zero, version_2_has_none)
{
    BlockBackend *blk = make("compat=0.10", true, OPEN);

    cr_assert_eq(
        blk_pwrite_zeroes(blk, 0, CLUSTER, NO_WRITES | BDRV_REQ_MAY_UNMAP),
        -ENOTSUP);
    cr_assert_eq(blk_pwrite_zeroes(blk, 5 * CLUSTER, CLUSTER, NO_WRITES),
                 -ENOTSUP);
    check_pattern(blk, 0, CLUSTER, 2);
    cr_assert_eq(blk_pwrite_zeroes(blk, 5 * CLUSTER, CLUSTER, 0), 0);
    check_map(blk, "dhdhdhdh-dh-");
    check_zero(blk, 5 * CLUSTER, CLUSTER);
    finish(blk);
}

Test(qcow2_zero, version_2_can_drop_clusters_over_nothing)
{
    BlockBackend *blk = make("compat=0.10", false, OPEN);

    cr_assert_eq(blk_pwrite_zeroes(blk, 0, CLUSTER, NO_WRITES), -ENOTSUP);
    cr_assert_eq(blk_pwrite_zeroes(blk, CLUSTER, CLUSTER,
                                   NO_WRITES | BDRV_REQ_MAY_UNMAP),
                 0);
    cr_assert_eq(blk_pwrite_zeroes(blk, 6 * CLUSTER, CLUSTER, NO_WRITES), 0);
    check_map(blk, "dh-dhdh---");
    check_zero(blk, CLUSTER, CLUSTER);
    finish(blk);
}

Test(qcow2_zero, of_a_terabyte_take_no_time_and_no_room)
{
    model_shell("qemu-img create -q -f qcow2 i 8T");
    BlockBackend *blk = image_open(MODEL_RW, OPEN);
    int64_t size = image_size("i");
    gint64 start = g_get_monotonic_time();

    cr_assert_eq(blk_pwrite_zeroes(blk, 0, INT64_C(8) << 40,
                                   NO_WRITES | BDRV_REQ_MAY_UNMAP),
                 0);
    cr_assert_lt(g_get_monotonic_time() - start, G_USEC_PER_SEC);
    cr_assert_eq(image_size("i"), size);
    finish(blk);
}

/* ---- Discards ---- */

Test(qcow2_zero, discarded_clusters_are_dropped)
{
    BlockBackend *blk = make("compat=1.1", false, OPEN);

    cr_assert_eq(blk_pdiscard(blk, CLUSTER - 10, 2 * CLUSTER + 20), 0);
    check_map(blk, "dh--dh---");
    check_zero(blk, CLUSTER, 2 * CLUSTER);
    check_pattern(blk, 0, CLUSTER, 2);
    check_pattern(blk, 3 * CLUSTER, CLUSTER, 2);
    finish(blk);
}

Test(qcow2_zero, discarded_clusters_do_not_show_the_backing_file)
{
    BlockBackend *blk = make("compat=1.1", true, OPEN);

    cr_assert_eq(blk_pdiscard(blk, 3 * CLUSTER, 2 * CLUSTER), 0);
    check_map(blk, "dhdhdhzz---");
    check_zero(blk, 3 * CLUSTER, 2 * CLUSTER);
    check_pattern(blk, 5 * CLUSTER, CLUSTER, 1);
    finish(blk);
}

Test(qcow2_zero, version_2_does_not_discard_over_a_backing_file)
{
    BlockBackend *blk = make("compat=0.10", true, OPEN);

    cr_assert_eq(blk_pdiscard(blk, 3 * CLUSTER, 2 * CLUSTER), 0);
    check_map(blk, "dhdhdhdh---");
    check_pattern(blk, 0, 4 * CLUSTER, 2);
    finish(blk);
}

/* What was freed is used again once the tables say so on the disk. */
Test(qcow2_zero, the_file_does_not_grow_when_clusters_come_and_go)
{
    g_autofree uint8_t *buf = g_malloc(4 * CLUSTER);
    BlockBackend *blk = make("compat=1.1", true, OPEN);
    int64_t size = image_size("i");

    image_pattern(buf, (size_t)(4 * CLUSTER), 7, 0);
    for (int i = 0; i < 50; i++) {
        int64_t offset = i % 4 * 4 * CLUSTER;

        cr_assert_eq(blk_pdiscard(blk, 0, MIB), 0);
        cr_assert_eq(blk_flush(blk), 0);
        cr_assert_eq(blk_pwrite(blk, offset, 4 * CLUSTER, buf, 0), 0);
    }
    cr_assert_leq(image_size("i"), size + 4 * CLUSTER);
    finish(blk);
}

/* The device's last cluster is whole where the device ends. */
Test(qcow2_zero, reach_to_the_end_of_the_device)
{
    g_autoptr(Options) options = options_new();
    g_autofree char *path = image_path("i");
    g_autofree uint8_t *buf = g_malloc(2 * CLUSTER);

    options_set(options, "size", "100352");
    cr_assert(bdrv_create("qcow2", path, options, NULL));
    BlockBackend *blk = image_open(MODEL_RW, OPEN);
    image_pattern(buf, 100352, 2, 0);
    cr_assert_eq(blk_pwrite(blk, 0, 100352, buf, 0), 0);
    cr_assert_eq(blk_pwrite_zeroes(blk, CLUSTER, 100352 - CLUSTER,
                                   NO_WRITES | BDRV_REQ_MAY_UNMAP),
                 0);
    check_zero(blk, CLUSTER, 100352 - CLUSTER);
    check_pattern(blk, 0, CLUSTER, 2);
    cr_assert_eq(blk_pdiscard(blk, 0, 100352), 0);
    check_zero(blk, 0, 100352);
    finish(blk);
}
