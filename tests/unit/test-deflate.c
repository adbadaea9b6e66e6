/* SPDX-License-Identifier: MIT */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "block/deflate.h"

#define CLUSTER 65536

static void fill_text(uint8_t *buf, size_t bytes)
{
    for (size_t at = 0; at < bytes; at += 16) {
        char line[17];

        snprintf(line, sizeof(line), "line %10zu\n", at / 16);
        memcpy(buf + at, line, MIN(16, bytes - at));
    }
}

static void fill_random(uint8_t *buf, size_t bytes, uint32_t seed)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(seed);

    for (size_t i = 0; i < bytes; i++) {
        buf[i] = (uint8_t)g_rand_int(rand);
    }
}

/* What it became, and its size in *used. */
static uint8_t *compressed_text(size_t bytes, int64_t *used)
{
    g_autofree uint8_t *src = g_malloc(bytes);
    uint8_t *dst = g_malloc(bytes);

    fill_text(src, bytes);
    *used = deflate_cluster(dst, (int64_t)bytes, src, (int64_t)bytes);
    cr_assert_gt(*used, 0);
    return dst;
}

Test(deflate, comes_back_at_every_cluster_size)
{
    for (int bits = 9; bits <= 21; bits++) {
        int64_t bytes = INT64_C(1) << bits;
        int64_t used = 0;
        g_autofree uint8_t *packed = compressed_text((size_t)bytes, &used);
        g_autofree uint8_t *want = g_malloc((gsize)bytes);
        g_autofree uint8_t *got = g_malloc((gsize)bytes);

        cr_assert_lt(used, bytes);
        fill_text(want, (size_t)bytes);
        cr_assert_eq(inflate_cluster(got, bytes, packed, used), 0);
        cr_assert_arr_eq(got, want, (size_t)bytes);
    }
}

Test(deflate, becomes_smaller_than_the_room_or_does_not_fit)
{
    g_autofree uint8_t *src = g_malloc(CLUSTER);
    g_autofree uint8_t *dst = g_malloc(CLUSTER);
    int64_t used = 0;
    g_autofree uint8_t *packed = compressed_text(CLUSTER, &used);

    fill_text(src, CLUSTER);
    cr_assert_eq(deflate_cluster(dst, used + 1, src, CLUSTER), used);
    cr_assert_arr_eq(dst, packed, (size_t)used);
    dst[used] = 0x5a;
    cr_assert_eq(deflate_cluster(dst, used, src, CLUSTER), -ENOSPC);
    cr_assert_eq(dst[used], 0x5a);
    cr_assert_eq(deflate_cluster(dst, 0, src, CLUSTER), -ENOSPC);
}

Test(deflate, random_bytes_do_not_become_smaller)
{
    g_autofree uint8_t *src = g_malloc(CLUSTER);
    g_autofree uint8_t *dst = g_malloc(CLUSTER);

    fill_random(src, CLUSTER, 1);
    cr_assert_eq(deflate_cluster(dst, CLUSTER - 1, src, CLUSTER), -ENOSPC);
}

Test(deflate, bytes_behind_the_stream_do_no_harm)
{
    int64_t used = 0;
    g_autofree uint8_t *packed = compressed_text(CLUSTER, &used);
    g_autofree uint8_t *want = g_malloc(CLUSTER);
    g_autofree uint8_t *got = g_malloc(CLUSTER);

    memset(packed + used, 0xff, (size_t)(CLUSTER - used));
    fill_text(want, CLUSTER);
    cr_assert_eq(inflate_cluster(got, CLUSTER, packed, CLUSTER), 0);
    cr_assert_arr_eq(got, want, CLUSTER);
}

Test(deflate, short_or_damaged_stream_is_an_error)
{
    int64_t used = 0;
    g_autofree uint8_t *packed = compressed_text(CLUSTER, &used);
    g_autofree uint8_t *got = g_malloc(CLUSTER + 1);

    cr_assert_eq(inflate_cluster(got, CLUSTER, packed, used / 2), -EIO);
    cr_assert_eq(inflate_cluster(got, CLUSTER, packed, 0), -EIO);
    /* The stream ends before the cluster does. */
    cr_assert_eq(inflate_cluster(got, CLUSTER + 1, packed, used), -EIO);
    packed[0] |= 0x06; /* a block of a type that there is not */
    cr_assert_eq(inflate_cluster(got, CLUSTER, packed, used), -EIO);
}

Test(deflate, never_writes_behind_the_cluster)
{
    g_autofree uint8_t *src = g_malloc(4096);
    g_autofree uint8_t *got = g_malloc(4096 + 16);

    for (uint32_t seed = 0; seed < 500; seed++) {
        fill_random(src, 4096, seed);
        memset(got + 4096, 0xa5, 16);
        int ret = inflate_cluster(got, 4096, src, 4096);
        cr_assert(ret == 0 || ret == -EIO);
        for (int i = 0; i < 16; i++) {
            cr_assert_eq(got[4096 + i], 0xa5);
        }
    }
}

Test(deflate, sizes_that_zlib_cannot_count)
{
    uint8_t byte = 0;
    int64_t huge = (int64_t)UINT_MAX + 1;

    cr_assert_eq(deflate_cluster(&byte, huge, &byte, 1), -EINVAL);
    cr_assert_eq(deflate_cluster(&byte, 1, &byte, -1), -EINVAL);
    cr_assert_eq(inflate_cluster(&byte, huge, &byte, 1), -EINVAL);
    cr_assert_eq(inflate_cluster(&byte, 1, &byte, huge), -EINVAL);
}
