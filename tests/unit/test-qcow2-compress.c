/* SPDX-License-Identifier: MIT */
/* Compressed clusters: written, read, overwritten, damaged. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/image-fixture.h"
#include "tests/unit/qcow2-model.h"

TestSuite(qcow2_compress, .init = model_dir_init, .fini = image_dir_fini);

#define KIB INT64_C(1024)
#define MIB (1024 * KIB)
#define CLUSTER (64 * KIB)
#define OPEN "driver=qcow2,file.filename=%D/i"

static BlockBackend *make(const char *options)
{
    model_shell("qemu-img create -q -f qcow2 %s i 16M", options);
    return image_open(MODEL_RW, OPEN);
}

static void finish(BlockBackend *blk)
{
    cr_assert_eq(blk_flush(blk), 0);
    blk_close(blk);
    model_shell("qemu-img check -q i");
}

/* Data of which about one byte in `sparse` is random. */
static void fill(uint8_t *buf, int64_t bytes, guint32 seed, guint32 sparse)
{
    GRand *rand = g_rand_new_with_seed(seed);

    memset(buf, (int)(seed % 255 + 1), (size_t)bytes);
    for (int64_t i = 0; i < bytes; i += 4) {
        guint32 x = g_rand_int(rand);

        if (x % sparse == 0) {
            x = g_rand_int(rand);
            memcpy(buf + i, &x, 4);
        }
    }
    g_rand_free(rand);
}

static int write_compressed(BlockBackend *blk, int64_t offset, int64_t bytes,
                            uint8_t *buf)
{
    IOVector iov;

    iov_init_buf(&iov, buf, (size_t)bytes);
    return blk_pwritev(blk, offset, bytes, &iov, BDRV_REQ_WRITE_COMPRESSED);
}

static void check_contents(BlockBackend *blk, int64_t offset, int64_t bytes,
                           const uint8_t *expected)
{
    g_autofree uint8_t *buf = g_malloc((gsize)bytes);

    cr_assert_eq(blk_pread(blk, offset, bytes, buf, 0), 0);
    cr_assert_eq(memcmp(buf, expected, (size_t)bytes), 0);
}

static unsigned status_flags(BlockBackend *blk, int64_t offset)
{
    g_auto(BdrvBlockStatus) status = { 0 };

    cr_assert_eq(blk_block_status(blk, offset, CLUSTER, 0, &status), 0);
    return status.flags;
}

Test(qcow2_compress, many_clusters_in_one_request)
{
    g_autofree uint8_t *buf = g_malloc(16 * MIB);
    g_autofree char *raw = image_path("raw");
    BlockBackend *blk = make("");

    fill(buf, 16 * MIB, 1, 8);
    cr_assert_eq(write_compressed(blk, 0, 16 * MIB, buf), 0);
    check_contents(blk, 0, 16 * MIB, buf);
    check_contents(blk, 12345, MIB, buf + 12345);
    cr_assert(status_flags(blk, 5 * CLUSTER) & BDRV_BLOCK_COMPRESSED);
    finish(blk);
    cr_assert_lt(image_size("i"), 8 * MIB);
    cr_assert(g_file_set_contents(raw, (char *)buf, 16 * MIB, NULL));
    model_shell("qemu-img compare -q -F raw i raw");
}

/* Streams stand one behind the other, across the bounds of clusters. */
Test(qcow2_compress, streams_are_packed)
{
    g_autofree uint8_t *buf = g_malloc(16 * MIB);
    BlockBackend *blk = make("");

    fill(buf, 16 * MIB, 2, 100000);
    cr_assert_eq(write_compressed(blk, 0, 16 * MIB, buf), 0);
    finish(blk);
    cr_assert_lt(image_size("i"), 8 * CLUSTER);
}

Test(qcow2_compress, the_same_requests_give_the_same_image)
{
    g_autofree uint8_t *buf = g_malloc(16 * MIB);

    fill(buf, 16 * MIB, 3, 20);
    for (int i = 0; i < 2; i++) {
        BlockBackend *blk = make("");

        for (int64_t at = 0; at < 16 * MIB; at += 2 * MIB) {
            cr_assert_eq(write_compressed(blk, at, 2 * MIB, buf + at), 0);
        }
        finish(blk);
        model_shell("mv i i%d", i);
    }
    model_shell("cmp i0 i1");
}

Test(qcow2_compress, what_does_not_become_smaller_is_plain)
{
    g_autofree uint8_t *buf = g_malloc(4 * CLUSTER);
    BlockBackend *blk = make("");

    fill(buf, 4 * CLUSTER, 4, 1);
    cr_assert_eq(write_compressed(blk, 0, 4 * CLUSTER, buf), 0);
    cr_assert(status_flags(blk, CLUSTER) & BDRV_BLOCK_OFFSET_VALID);
    check_contents(blk, 0, 4 * CLUSTER, buf);
    finish(blk);
}

Test(qcow2_compress, zeroes_take_no_room)
{
    g_autofree uint8_t *buf = g_malloc0(16 * MIB);
    BlockBackend *blk = make("");
    int64_t size = image_size("i");

    cr_assert_eq(write_compressed(blk, 0, 16 * MIB, buf), 0);
    cr_assert_eq(image_size("i"), size);
    cr_assert_not(status_flags(blk, 0) & BDRV_BLOCK_DATA);
    fill(buf, CLUSTER, 5, 50);
    cr_assert_eq(write_compressed(blk, 0, CLUSTER, buf), 0);
    memset(buf, 0, CLUSTER);
    cr_assert_eq(write_compressed(blk, 0, CLUSTER, buf), 0);
    check_contents(blk, 0, CLUSTER, buf);
    cr_assert(status_flags(blk, 0) & BDRV_BLOCK_ZERO);
    finish(blk);
}

Test(qcow2_compress, zeroes_over_a_backing_file_in_version_2)
{
    g_autofree uint8_t *buf = g_malloc0(CLUSTER);

    image_make("base", MIB, 1);
    BlockBackend *blk = make("-o compat=0.10 -b base -F raw");
    cr_assert_eq(write_compressed(blk, 0, CLUSTER, buf), 0);
    cr_assert_eq(write_compressed(blk, 2 * MIB, CLUSTER, buf), 0);
    check_contents(blk, 0, CLUSTER, buf);
    cr_assert(status_flags(blk, 0) & BDRV_BLOCK_COMPRESSED);
    cr_assert_not(status_flags(blk, 2 * MIB) & BDRV_BLOCK_ALLOCATED);
    finish(blk);
}

Test(qcow2_compress, parts_of_clusters_are_refused)
{
    g_autofree uint8_t *buf = g_malloc0(2 * CLUSTER);
    BlockBackend *blk = make("");

    image_check_io(write_compressed(blk, 512, CLUSTER, buf), -EINVAL,
                   "whole clusters of 65536 bytes");
    image_check_io(write_compressed(blk, 0, CLUSTER + 512, buf), -EINVAL,
                   "whole clusters");
    finish(blk);
}

Test(qcow2_compress, the_device_may_end_within_the_last_cluster)
{
    g_autoptr(Options) options = options_new();
    g_autofree char *path = image_path("i");
    g_autofree uint8_t *buf = g_malloc(2 * CLUSTER);

    options_set(options, "size", "100352");
    cr_assert(bdrv_create("qcow2", path, options, NULL));
    BlockBackend *blk = image_open(MODEL_RW, OPEN);
    fill(buf, 100352, 6, 30);
    cr_assert_eq(write_compressed(blk, 0, 100352, buf), 0);
    check_contents(blk, 0, 100352, buf);
    check_contents(blk, 100000, 352, buf + 100000);
    finish(blk);
}

Test(qcow2_compress, a_part_is_overwritten)
{
    g_autofree uint8_t *buf = g_malloc(MIB);
    BlockBackend *blk = make("");

    fill(buf, MIB, 7, 10);
    cr_assert_eq(write_compressed(blk, 0, MIB, buf), 0);
    memcpy(buf + 3 * CLUSTER + 777, "overwritten", 11);
    cr_assert_eq(blk_pwrite(blk, 3 * CLUSTER + 777, 11, "overwritten", 0), 0);
    check_contents(blk, 0, MIB, buf);
    cr_assert(status_flags(blk, 3 * CLUSTER) & BDRV_BLOCK_OFFSET_VALID);
    fill(buf + 4 * CLUSTER, CLUSTER, 8, 10);
    cr_assert_eq(
        write_compressed(blk, 3 * CLUSTER, 2 * CLUSTER, buf + 3 * CLUSTER), 0);
    check_contents(blk, 0, MIB, buf);
    finish(blk);
}

/* Small reads keep inflated clusters; the places of their streams are given
 * to other streams again and again. */
Test(qcow2_compress, nothing_is_kept_of_a_stream_that_was_replaced)
{
    g_autofree uint8_t *buf = g_malloc(4 * CLUSTER);
    BlockBackend *blk = make("");

    for (guint32 i = 0; i < 200; i++) {
        int64_t at = i % 4 * CLUSTER;

        fill(buf + at, CLUSTER, 100 + i, 4);
        cr_assert_eq(write_compressed(blk, at, CLUSTER, buf + at), 0);
        cr_assert_eq(blk_flush(blk), 0);
        for (int64_t k = 0; k < (i < 4 ? 1 : 4); k++) {
            check_contents(blk, k * CLUSTER + 512 * (i % 100), 512,
                           buf + k * CLUSTER + 512 * (i % 100));
        }
    }
    finish(blk);
    /* The places were used again indeed. */
    cr_assert_lt(image_size("i"), 20 * CLUSTER);
}

Test(qcow2_compress, into_memory_in_pieces)
{
    g_autofree uint8_t *buf = g_malloc(4 * MIB);
    g_autofree uint8_t *back = g_malloc(4 * MIB);
    g_auto(IOVector) iov;
    BlockBackend *blk = make("");

    fill(buf, 4 * MIB, 9, 15);
    cr_assert_eq(write_compressed(blk, 0, 4 * MIB, buf), 0);
    iov_init(&iov);
    for (int64_t at = 0; at < 4 * MIB - 1000; at += 100000) {
        iov_add(&iov, back + at, (size_t)MIN(100000, 4 * MIB - 1000 - at));
    }
    cr_assert_eq(blk_preadv(blk, 500, 4 * MIB - 1000, &iov, 0), 0);
    cr_assert_eq(memcmp(back, buf + 500, 4 * MIB - 1000), 0);
    finish(blk);
}

/* The first streams stand in cluster 4, behind the tables of a new image. */
static void damage_first_stream(void)
{
    g_autofree char *path = image_path("i");
    char buf[1000];
    int fd = open(path, O_WRONLY | O_CLOEXEC);

    memset(buf, 0xff, sizeof(buf));
    cr_assert_eq(pwrite(fd, buf, sizeof(buf), 4 * CLUSTER + 50), 1000);
    close(fd);
}

Test(qcow2_compress, damaged_streams_are_errors)
{
    g_autofree uint8_t *buf = g_malloc(MIB);
    BlockBackend *blk = make("");

    fill(buf, MIB, 10, 10);
    cr_assert_eq(write_compressed(blk, 0, MIB, buf), 0);
    finish(blk);
    damage_first_stream();
    blk = image_open(0, OPEN);
    image_check_io(blk_pread(blk, 100, 100, buf, 0), -EIO,
                   "compressed cluster at byte 262144");
    image_check_io(blk_pread(blk, 0, MIB, buf, 0), -EIO, "is damaged");
    cr_assert_eq(blk_pread(blk, MIB / 2, MIB / 2, buf, 0), 0);
    blk_close(blk);
}

Test(qcow2_compress, what_qemu_img_compressed_is_read)
{
    static const char *const sizes[] = { "512", "4k", "64k", "2M" };
    g_autofree uint8_t *buf = g_malloc(5 * MIB);
    g_autofree char *raw = image_path("raw");

    fill(buf, 5 * MIB, 11, 12);
    memset(buf + MIB, 0, MIB);
    cr_assert(g_file_set_contents(raw, (char *)buf, 5 * MIB, NULL));
    for (unsigned i = 0; i < G_N_ELEMENTS(sizes); i++) {
        model_shell("qemu-img convert -f raw -O qcow2 -c -o cluster_size=%s "
                    "raw i",
                    sizes[i]);
        BlockBackend *blk = image_open(MODEL_RW, OPEN);
        check_contents(blk, 0, 5 * MIB, buf);
        for (int64_t at = 0; at < 5 * MIB; at += 70001) {
            int64_t bytes = MIN(70001, 5 * MIB - at);

            check_contents(blk, at, bytes, buf + at);
        }
        cr_assert_eq(blk_pwrite(blk, 2 * MIB + 12345, 4, "data", 0), 0);
        finish(blk);
    }
}
