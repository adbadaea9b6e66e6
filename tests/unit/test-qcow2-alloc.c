/* SPDX-License-Identifier: MIT */
/* Which host clusters are handed out, and when they may be used again. */
#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "block/qcow2/qcow2-host.h"
#include "tests/unit/qcow2-fixture.h"

TestSuite(qcow2_alloc, .init = tape_init, .fini = image_dir_fini);

#define NEED_IMAGE(options)                                                   \
    if (!tape_create("a.img", options, "1M")) {                               \
        cr_skip_test("needs qemu-img");                                       \
    }

/* An image, its state locked for the time of the test. */
typedef struct Held {
    BlockBackend *blk;
    Qcow2State *s;
    int64_t cluster; /* bytes */
} Held;

static Held hold(const char *options)
{
    Held h = { .blk = tape_open("a.img", options) };

    h.s = tape_state(h.blk);
    h.cluster = h.s->cluster_size;
    pthread_mutex_lock(&h.s->lock);
    cr_assert_eq(qcow2_prepare_change(h.s), 0);
    return h;
}

static void release(Held *h)
{
    pthread_mutex_unlock(&h->s->lock);
    blk_close(h->blk);
}

static uint64_t refcount(Held *h, int64_t offset)
{
    uint64_t result;

    cr_assert_eq(
        qcow2_refcount_get(h->s, offset >> h->s->cluster_bits, &result), 0);
    return result;
}

static int64_t alloc(Held *h, int64_t clusters)
{
    int64_t offset = qcow2_alloc_clusters(h->s, clusters * h->cluster);

    cr_assert_gt(offset, 0);
    cr_assert_eq(offset % h->cluster, 0);
    for (int64_t i = 0; i < clusters; i++) {
        cr_assert_eq(refcount(h, offset + i * h->cluster), 1);
    }
    return offset;
}

/* ---- Which ---- */

Test(qcow2_alloc, clusters_follow_each_other)
{
    NEED_IMAGE("cluster_size=4096");
    Held h = hold("");
    int64_t first = alloc(&h, 1);
    int64_t fresh = h.s->fresh_offset;

    cr_assert_eq(alloc(&h, 3), first + h.cluster);
    cr_assert_eq(alloc(&h, 1), first + 4 * h.cluster);
    cr_assert_eq(h.s->fresh_offset, first + 5 * h.cluster);
    cr_assert_leq(fresh, h.s->fresh_offset);
    release(&h);
}

Test(qcow2_alloc, the_first_hole_that_is_large_enough_is_taken)
{
    NEED_IMAGE("cluster_size=512");
    Held h = hold("");
    int64_t all = alloc(&h, 100);

    qcow2_free_now(h.s, all + 10 * 512, 1 * 512);
    qcow2_free_now(h.s, all + 20 * 512, 2 * 512);
    qcow2_free_now(h.s, all + 30 * 512, 4 * 512);
    cr_assert_eq(alloc(&h, 3), all + 30 * 512);
    cr_assert_eq(alloc(&h, 2), all + 20 * 512);
    cr_assert_eq(alloc(&h, 2), all + 100 * 512);
    cr_assert_eq(alloc(&h, 1), all + 10 * 512);
    cr_assert_eq(alloc(&h, 1), all + 33 * 512);
    cr_assert_eq(alloc(&h, 1), all + 102 * 512);
    /* Two holes that grow together. */
    qcow2_free_now(h.s, all + 40 * 512, 512);
    qcow2_free_now(h.s, all + 42 * 512, 512);
    cr_assert_eq(alloc(&h, 3), all + 103 * 512);
    qcow2_free_now(h.s, all + 41 * 512, 512);
    cr_assert_eq(alloc(&h, 3), all + 40 * 512);
    release(&h);
}

/* What is found by hints is what is found by looking everywhere. */
Test(qcow2_alloc, hints_miss_no_hole)
{
    enum { CLUSTERS = 700 };
    bool used[CLUSTERS] = { false };
    g_autoptr(GRand) rand = g_rand_new_with_seed(3);

    NEED_IMAGE("cluster_size=512");
    Held h = hold("");

    /* Blocks for all of it, so that none is made later. */
    int64_t base = alloc(&h, CLUSTERS);
    qcow2_free_now(h.s, base, CLUSTERS * 512);
    for (int step = 0; step < 4000; step++) {
        int n = g_rand_int_range(rand, 1, 20);

        if (g_rand_boolean(rand)) {
            int at = g_rand_int_range(rand, 0, CLUSTERS - n);

            for (int i = at; i < at + n; i++) {
                if (used[i]) {
                    qcow2_free_now(h.s, base + i * 512, 512);
                    used[i] = false;
                }
            }
            continue;
        }
        int expected = 0, run = 0;
        while (run < n && expected + run < CLUSTERS) {
            if (used[expected + run]) {
                expected += run + 1;
                run = 0;
            } else {
                run++;
            }
        }
        if (run == n) {
            cr_assert_eq(alloc(&h, n), base + expected * 512, "step %d", step);
            for (int i = expected; i < expected + n; i++) {
                used[i] = true;
            }
        }
    }
    release(&h);
}

Test(qcow2_alloc, at_a_place_as_far_as_it_is_free)
{
    NEED_IMAGE("cluster_size=4096");
    Held h = hold("");
    int64_t first = alloc(&h, 10);

    cr_assert_eq(qcow2_alloc_clusters_at(h.s, first, 4096), 0);
    qcow2_free_now(h.s, first + 4 * 4096, 3 * 4096);
    cr_assert_eq(qcow2_alloc_clusters_at(h.s, first + 5 * 4096, 4 * 4096),
                 2 * 4096);
    cr_assert_eq(qcow2_alloc_clusters_at(h.s, first + 10 * 4096, 5 * 4096),
                 5 * 4096);
    cr_assert_eq(refcount(&h, first + 14 * 4096), 1);
    cr_assert_eq(refcount(&h, first + 15 * 4096), 0);
    cr_assert_eq(alloc(&h, 1), first + 4 * 4096);
    cr_assert_eq(alloc(&h, 1), first + 15 * 4096);
    cr_assert_eq(qcow2_alloc_clusters_at(h.s, INT64_C(1) << 56, 4096), 0);
    release(&h);
}

Test(qcow2_alloc, metadata_is_not_handed_out)
{
    NEED_IMAGE("cluster_size=4096");
    Held h = hold("");
    int64_t next = alloc(&h, 1) + 4096;

    /* A refcount of 0 where a table stands: the image is corrupt. */
    qcow2_overlap_add(h.s, next + 4096, 1);
    cr_assert_eq(qcow2_alloc_clusters(h.s, 3 * 4096), -EIO);
    cr_assert_eq(refcount(&h, next), 0);
    cr_assert_eq(qcow2_overlap_check(h.s, next, 4096), 0);
    cr_assert_eq(qcow2_overlap_check(h.s, next + 4095, 2), -EIO);
    /* More clusters than there are tables. */
    cr_assert_eq(qcow2_overlap_check(h.s, next, INT64_C(1) << 50), -EIO);
    cr_assert_eq(qcow2_overlap_check(h.s, next + 8192, INT64_C(1) << 50), 0);
    qcow2_overlap_remove(h.s, next + 4096, 1);
    cr_assert_eq(qcow2_overlap_check(h.s, next, 3 * 4096), 0);
    qcow2_overlap_add(h.s, next + 4096, 8192);
    qcow2_overlap_remove(h.s, next + 8192, INT64_C(1) << 50);
    cr_assert_eq(qcow2_overlap_check(h.s, next + 8192, 4096), 0);
    cr_assert_eq(qcow2_overlap_check(h.s, next + 4096, 4096), -EIO);
    cr_assert_eq(qcow2_overlap_check(h.s, 0, 1), -EIO);
    release(&h);
}

/* ---- Packed ---- */

Test(qcow2_alloc, compressed_clusters_share_host_clusters)
{
    NEED_IMAGE("cluster_size=4096");
    Held h = hold("");
    int64_t a = qcow2_alloc_packed(h.s, 1500);
    int64_t b = qcow2_alloc_packed(h.s, 1500);
    int64_t c = qcow2_alloc_packed(h.s, 1500);
    int64_t d = qcow2_alloc_packed(h.s, 3692);

    cr_assert_eq(a % 4096, 0);
    cr_assert_eq(b, a + 1500);
    cr_assert_eq(c, a + 3000); /* into the next cluster */
    cr_assert_eq(d, a + 4500); /* up to its end */
    cr_assert_eq(refcount(&h, a), 3);
    cr_assert_eq(refcount(&h, a + 4096), 2);
    cr_assert_eq(h.s->packed_offset, 0);
    qcow2_free_now(h.s, c, 1500);
    cr_assert_eq(refcount(&h, a), 2);
    cr_assert_eq(refcount(&h, a + 4096), 1);
    qcow2_free_now(h.s, a, 1500);
    qcow2_free_now(h.s, b, 1500);
    qcow2_free_now(h.s, d, 3692);
    cr_assert_eq(refcount(&h, a), 0);
    cr_assert_eq(refcount(&h, a + 4096), 0);
    cr_assert_eq(alloc(&h, 2), a);
    release(&h);
}

Test(qcow2_alloc, packing_goes_elsewhere_when_the_next_cluster_is_taken)
{
    NEED_IMAGE("cluster_size=4096");
    Held h = hold("");
    int64_t a = qcow2_alloc_packed(h.s, 3000);
    int64_t other = alloc(&h, 1);

    cr_assert_eq(other, a + 4096);
    cr_assert_eq(qcow2_alloc_packed(h.s, 1097), other + 4096);
    cr_assert_eq(refcount(&h, a), 1);
    release(&h);
}

Test(qcow2_alloc, a_cluster_that_is_free_again_is_not_packed_into)
{
    NEED_IMAGE("cluster_size=4096");
    Held h = hold("");
    int64_t a = qcow2_alloc_packed(h.s, 1000);

    qcow2_free_now(h.s, a, 1000);
    cr_assert_eq(h.s->packed_offset, 0);
    cr_assert_eq(alloc(&h, 1), a);
    cr_assert_eq(qcow2_alloc_packed(h.s, 1000), a + 4096);
    release(&h);
}

Test(qcow2_alloc, refcounts_of_one_bit_are_not_shared)
{
    NEED_IMAGE("cluster_size=4096,refcount_bits=1");
    Held h = hold("");
    int64_t a = qcow2_alloc_packed(h.s, 1000);

    cr_assert_eq(qcow2_alloc_packed(h.s, 1000), a + 4096);
    cr_assert_eq(qcow2_alloc_packed(h.s, 4096), a + 8192);
    release(&h);
}

/* ---- When ---- */

Test(qcow2_alloc, a_free_waits_for_the_disk_and_for_requests)
{
    NEED_IMAGE("cluster_size=4096");
    Held h = hold("pass-discard-request=off");
    Qcow2Request older, newer;
    int64_t a = alloc(&h, 6);
    int64_t b = a + 3 * 4096, c = a + 5 * 4096;

    qcow2_request_begin(h.s, &older);
    qcow2_free_later(h.s, a, 4096);
    qcow2_free_later(h.s, a + 4096, 4096);
    qcow2_request_begin(h.s, &newer);
    qcow2_free_later(h.s, b, 4096);
    cr_assert_eq(h.s->frees->len, 2, "neighbours are one");
    cr_assert_eq(qcow2_write_back(h.s), 0);
    cr_assert_eq(refcount(&h, a), 1, "a request may use it");
    qcow2_free_later(h.s, c, 4096);
    qcow2_request_end(h.s, &older);
    cr_assert_eq(refcount(&h, a), 0);
    cr_assert_eq(refcount(&h, a + 4096), 0);
    cr_assert_eq(refcount(&h, b), 1);
    qcow2_request_end(h.s, &newer);
    cr_assert_eq(refcount(&h, b), 0);
    cr_assert_eq(refcount(&h, c), 1, "the disk refers to it");
    cr_assert_eq(qcow2_write_back(h.s), 0);
    cr_assert_eq(refcount(&h, c), 0);
    cr_assert_eq(h.s->frees->len, 0);
    release(&h);
}

Test(qcow2_alloc, a_free_waits_until_a_flush_succeeds)
{
    NEED_IMAGE("cluster_size=4096");
    Held h = hold("");
    int64_t a = alloc(&h, 4);
    char byte = 1;

    cr_assert_eq(qcow2_write_back_all(h.s), 0);
    cr_assert_eq(bdrv_pwrite(h.s->file, a, 1, &byte, 0), 0);
    qcow2_free_later(h.s, a, 4096);
    tape_fail(tape_of(h.blk), 0, 1, EIO);
    cr_assert_eq(qcow2_write_back(h.s), -EIO);
    cr_assert_eq(refcount(&h, a), 1);
    cr_assert_eq(qcow2_write_back(h.s), 0);
    cr_assert_eq(refcount(&h, a), 0);
    release(&h);
}

Test(qcow2_alloc, references_to_one_packed_cluster_are_counted_one_by_one)
{
    NEED_IMAGE("cluster_size=4096");
    Held h = hold("");
    int64_t a = qcow2_alloc_packed(h.s, 1024);
    int64_t b = qcow2_alloc_packed(h.s, 1024);
    int64_t c = qcow2_alloc_packed(h.s, 2048);

    cr_assert_eq(c, a + 2048);
    qcow2_free_later(h.s, a, 1024);
    qcow2_free_later(h.s, b, 1024);
    cr_assert_eq(qcow2_write_back(h.s), 0);
    cr_assert_eq(refcount(&h, a), 1);
    qcow2_free_later(h.s, c, 2048);
    cr_assert_eq(qcow2_write_back(h.s), 0);
    cr_assert_eq(refcount(&h, a), 0);
    release(&h);
}

Test(qcow2_alloc, many_frees_do_not_wait_for_the_guest)
{
    NEED_IMAGE("cluster_size=512");
    Held h = hold("");
    int64_t a = alloc(&h, 20000);

    for (int64_t i = 0; i < 20000; i += 2) {
        qcow2_free_later(h.s, a + i * 512, 512);
        cr_assert_leq(h.s->frees->len, 10000);
    }
    cr_assert_leq(alloc(&h, 1), a);
    cr_assert_eq(h.s->frees->len, 0);
    release(&h);
}

Test(qcow2_alloc, freed_clusters_leave_the_file_and_the_caches)
{
    NEED_IMAGE("cluster_size=4096");
    Held h = hold("discard=unmap");
    int64_t a = alloc(&h, 2);
    uint8_t byte = 1, *piece;

    cr_assert(h.s->discards_host);
    cr_assert_eq(table_cache_get_zeroed(h.s->l2_cache, a, (void **)&piece), 0);
    table_cache_dirty(h.s->l2_cache, piece);
    table_cache_put(h.s->l2_cache, piece);
    qcow2_overlap_add(h.s, a, 4096);
    cr_assert_eq(bdrv_pwrite(h.s->file, a + 4096, 1, &byte, 0), 0);
    qcow2_free_now(h.s, a, 4096);
    cr_assert_not(table_cache_is_dirty(h.s->l2_cache));
    cr_assert_eq(qcow2_overlap_check(h.s, a, 4096), 0);
    cr_assert_eq(bdrv_pread(h.s->file, a, 1, &byte, 0), 0);
    cr_assert_eq(byte, 0xdd, "discarded");
    release(&h);
}

static uint8_t host_byte(Held *h, int64_t offset)
{
    uint8_t byte;

    cr_assert_eq(bdrv_pread(h->s->file, offset, 1, &byte, 0), 0);
    return byte;
}

Test(qcow2_alloc, a_flush_discards_what_nothing_else_is_in)
{
    NEED_IMAGE("cluster_size=4096");
    Held h = hold("discard=unmap");
    int64_t a = qcow2_alloc_packed(h.s, 1000);
    int64_t b = qcow2_alloc_packed(h.s, 3096);
    int64_t c = qcow2_alloc_packed(h.s, 1000);
    int64_t d = qcow2_alloc_packed(h.s, 1000);
    int64_t whole = alloc(&h, 2);
    g_autofree uint8_t *ones = g_malloc(5 * 4096);

    memset(ones, 1, 5 * 4096);
    cr_assert_eq(bdrv_pwrite(h.s->file, a, 5 * 4096, ones, 0), 0);
    qcow2_free_later(h.s, whole + 4096, 4096);
    qcow2_free_later(h.s, c, 1000);
    qcow2_free_later(h.s, a, 1000);
    qcow2_free_later(h.s, b, 3096);
    qcow2_free_later(h.s, whole, 4096);
    pthread_mutex_unlock(&h.s->lock);
    cr_assert_eq(qcow2_flush(blk_bs(h.blk)), 0);
    pthread_mutex_lock(&h.s->lock);
    cr_assert_eq(h.s->frees->len, 0);
    cr_assert_eq(refcount(&h, a), 0);
    cr_assert_eq(refcount(&h, d), 1);
    cr_assert_eq(refcount(&h, whole), 0);
    cr_assert_eq(host_byte(&h, a), 0xdd);
    cr_assert_eq(host_byte(&h, b + 3095), 0xdd);
    cr_assert_eq(host_byte(&h, c), 1, "another one is there");
    cr_assert_eq(host_byte(&h, whole), 0xdd);
    cr_assert_eq(host_byte(&h, whole + 8191), 0xdd);
    /* Room is appended to the one that is left. */
    cr_assert_eq(qcow2_alloc_packed(h.s, 100), d + 1000);
    release(&h);
}
