/* SPDX-License-Identifier: MIT */
/*
 * Random requests on images of all layouts, against a copy in memory; what is
 * left is judged by qemu-img.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "tests/unit/image-fixture.h"
#include "tests/unit/qcow-fixture.h"

#define STEPS 220

TestSuite(qcow_random, .init = image_dir_init, .fini = image_dir_fini,
          .timeout = 300);

typedef struct Model {
    BlockBackend *blk;
    GRand *rand;
    int64_t size;
    uint8_t *bytes; /* what the image must hold */
    uint8_t *buf;   /* as large */
    bool compressed;
} Model;

static BlockBackend *open_image(void)
{
    return image_open(BDRV_O_RDWR | BDRV_O_UNMAP,
                      "driver=qcow,file.filename=%D/image");
}

static void check_contents(Model *m)
{
    cr_assert_eq(blk_pread(m->blk, 0, m->size, m->buf, 0), 0);
    cr_assert_arr_eq(m->buf, m->bytes, (size_t)m->size);
}

static void reopen(Model *m)
{
    cr_assert_eq(blk_flush(m->blk), 0);
    blk_close(m->blk);
    m->blk = open_image();
    cr_assert_eq(qcow_corruptions(m->blk, NULL), 0);
    check_contents(m);
}

/* Some compresses, some does not. */
static void make_data(Model *m, int64_t bytes)
{
    int kind = g_rand_int_range(m->rand, 0, 3);
    int64_t half = kind == 2 ? bytes / 2 : kind * bytes;

    memset(m->buf, g_rand_int_range(m->rand, 0, 256), (size_t)bytes);
    for (int64_t i = 0; i < half; i++) {
        m->buf[i] = (uint8_t)g_rand_int(m->rand);
    }
}

/* Each sector is as it was or zero: what is behind is never seen. */
static void discard(Model *m, int64_t offset, int64_t bytes)
{
    static const uint8_t zeroes[512];

    cr_assert_eq(blk_pdiscard(m->blk, offset, bytes), 0);
    cr_assert_eq(blk_pread(m->blk, 0, m->size, m->buf, 0), 0);
    for (int64_t at = 0; at < m->size; at += 512) {
        cr_assert(memcmp(m->buf + at, m->bytes + at, 512) == 0 ||
                  (at >= offset && at + 512 <= offset + bytes &&
                   memcmp(m->buf + at, zeroes, 512) == 0));
    }
    memcpy(m->bytes, m->buf, (size_t)m->size);
}

static void step(Model *m)
{
    int64_t most = g_rand_int_range(m->rand, 0, 20) == 0 ? m->size
                                                         : m->size / 16;
    int64_t offset = g_rand_int_range(m->rand, 0, (gint32)m->size);
    int64_t bytes = g_rand_int_range(m->rand, 1, (gint32)most + 1);

    bytes = MIN(bytes, m->size - offset);
    switch (g_rand_int_range(m->rand, 0, 9)) {
    case 0:
        cr_assert_eq(blk_pwrite_zeroes(
                         m->blk, offset, bytes,
                         g_rand_boolean(m->rand) ? BDRV_REQ_MAY_UNMAP : 0),
                     0);
        memset(m->bytes + offset, 0, (size_t)bytes);
        break;
    case 1:
    case 2:
        make_data(m, bytes);
        cr_assert_eq(blk_pwrite(m->blk, offset, bytes, m->buf,
                                m->compressed ? BDRV_REQ_WRITE_COMPRESSED : 0),
                     0);
        memcpy(m->bytes + offset, m->buf, (size_t)bytes);
        break;
    case 3:
        cr_assert_eq(blk_pread(m->blk, offset, bytes, m->buf, 0), 0);
        cr_assert_arr_eq(m->buf, m->bytes + offset, (size_t)bytes);
        break;
    case 4:
        cr_assert_eq(blk_flush(m->blk), 0);
        break;
    case 5:
        discard(m, offset, bytes);
        break;
    default:
        make_data(m, bytes);
        cr_assert_eq(blk_pwrite(m->blk, offset, bytes, m->buf, 0), 0);
        memcpy(m->bytes + offset, m->buf, (size_t)bytes);
        break;
    }
}

/* qemu-img sees the same. */
static void judge(Model *m)
{
    int status;
    g_autofree char *path = image_path("model");

    cr_assert(g_file_set_contents(path, (const char *)m->bytes,
                                  (gssize)m->size, NULL));
    g_autofree char *output =
        image_shell(&status, "qemu-img compare -f qcow -F raw image model");
    cr_assert_eq(status, 0, "%s", output);
}

static void run_model(unsigned cluster_bits, unsigned l2_bits, int64_t size,
                      int64_t backing, bool compressed)
{
    Model m = { .size = size, .compressed = compressed };

    m.rand = g_rand_new_with_seed(cluster_bits * 100 + l2_bits);
    m.bytes = g_malloc0((gsize)size);
    m.buf = g_malloc((gsize)MAX(size, backing));
    if (backing > 0) {
        image_make("base", backing, 3);
        image_pattern(m.buf, (size_t)backing, 3, 0);
        memcpy(m.bytes, m.buf, (size_t)MIN(size, backing));
    }
    qcow_make("image", cluster_bits, l2_bits, size, backing ? "base" : NULL);
    m.blk = open_image();
    check_contents(&m);
    for (int i = 0; i < STEPS; i++) {
        step(&m);
        if (i % 50 == 49) {
            reopen(&m);
        }
    }
    check_contents(&m);
    cr_assert_eq(qcow_corruptions(m.blk, NULL), 0);
    blk_close(m.blk);
    judge(&m);
    g_rand_free(m.rand);
    g_free(m.bytes);
    g_free(m.buf);
}

Test(qcow_random, as_made_without_backing_file)
{
    run_model(12, 9, 3 * 1024 * 1024 + 512, 0, false);
}

Test(qcow_random, as_made_with_backing_file)
{
    run_model(9, 12, 3 * 1024 * 1024 + 512, 2 * 1024 * 1024 + 100, false);
}

Test(qcow_random, compressed_clusters)
{
    run_model(12, 9, 3 * 1024 * 1024 + 1536, 0, true);
}

Test(qcow_random, compressed_clusters_over_a_longer_backing_file)
{
    run_model(13, 7, 3 * 1024 * 1024 + 1536, 4 * 1024 * 1024, true);
}

Test(qcow_random, smallest_clusters_and_tables)
{
    run_model(9, 6, 512 * 1024, 300000, true);
}

Test(qcow_random, largest_clusters_and_tables)
{
    run_model(16, 13, 5 * 1024 * 1024 + 512, 1000000, true);
}

Test(qcow_random, large_clusters_with_the_smallest_tables)
{
    run_model(16, 6, 9 * 1024 * 1024, 1000001, true);
}
