/* SPDX-License-Identifier: MIT */
/* Refcounts of every width, blocks and tables made as they are needed; judged
 * by what qemu-img check finds leaked. */
#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "block/qcow2/qcow2-host.h"
#include "tests/unit/qcow2-fixture.h"

TestSuite(qcow2_refcount, .init = tape_init, .fini = image_dir_fini);

#define NEED_IMAGE(options, size)                                             \
    if (!tape_create("a.img", options, size)) {                               \
        cr_skip_test("needs qemu-img");                                       \
    }

static int add(Qcow2State *s, int64_t cluster, int64_t n, int delta)
{
    pthread_mutex_lock(&s->lock);
    int ret = qcow2_prepare_change(s);
    if (ret == 0) {
        ret = qcow2_refcount_add(s, cluster, n, delta);
    }
    pthread_mutex_unlock(&s->lock);
    return ret;
}

static uint64_t get(Qcow2State *s, int64_t cluster)
{
    uint64_t refcount;

    pthread_mutex_lock(&s->lock);
    int ret = qcow2_refcount_get(s, cluster, &refcount);
    pthread_mutex_unlock(&s->lock);
    cr_assert_eq(ret, 0);
    return refcount;
}

static int64_t alloc(Qcow2State *s, int64_t clusters)
{
    pthread_mutex_lock(&s->lock);
    int64_t ret = qcow2_prepare_change(s);
    if (ret == 0) {
        ret = qcow2_alloc_clusters(s, clusters << s->cluster_bits);
    }
    pthread_mutex_unlock(&s->lock);
    return ret;
}

static void write_all(Qcow2State *s)
{
    pthread_mutex_lock(&s->lock);
    cr_assert_eq(qcow2_write_back_all(s), 0);
    pthread_mutex_unlock(&s->lock);
}

/* qemu-img looks at no cluster behind the end of the file. */
static void save(BlockBackend *blk, const char *name, int64_t bytes)
{
    g_autofree char *path = image_path(name);

    tape_save(tape_of(blk), name);
    cr_assert(bytes <= image_size(name) || truncate(path, bytes) == 0);
}

/* The refcount of a leaked cluster, as qemu-img names it; 0: not leaked. */
static uint64_t leaked(const char *report, int64_t cluster)
{
    g_autofree char *line =
        g_strdup_printf("Leaked cluster %" PRId64 " refcount=", cluster);
    const char *found = strstr(report, line);

    return found ? g_ascii_strtoull(found + strlen(line), NULL, 10) : 0;
}

/* ---- Widths ---- */

Test(qcow2_refcount, every_width_as_qemu_reads_it)
{
    for (unsigned order = 0; order <= 6; order++) {
        g_autofree char *options =
            g_strdup_printf("cluster_size=4096,refcount_bits=%u", 1u << order);
        g_autoptr(GRand) rand = g_rand_new_with_seed(order);
        uint64_t expected[300] = { 0 };
        int status;

        NEED_IMAGE(options, "1M");
        BlockBackend *blk = tape_open("a.img", "");
        Qcow2State *s = tape_state(blk);
        int64_t first = 40;
        int max = order < 4 ? (int)s->refcount_max : 60000;

        for (int i = 0; i < 300; i++) {
            int n = g_rand_int_range(rand, 0, max + 1);

            cr_assert_eq(get(s, first + i), 0);
            cr_assert(n == 0 || add(s, first + i, 1, n) == 0);
            expected[i] = (uint64_t)n;
        }
        /* Ranges that begin and end anywhere. */
        for (int i = 0; i < 300; i++) {
            int at = g_rand_int_range(rand, 0, 300);
            int n = g_rand_int_range(rand, 1, 301 - at);
            int delta = g_rand_boolean(rand) ? 1 : -1;
            int limit = delta > 0 ? max : 0;
            bool fits = true;

            for (int j = at; j < at + n; j++) {
                fits = fits && expected[j] != (uint64_t)limit;
            }
            if (fits) {
                cr_assert_eq(add(s, first + at, n, delta), 0);
                for (int j = at; j < at + n; j++) {
                    expected[j] += (uint64_t)(int64_t)delta;
                }
            }
        }
        for (int i = 0; i < 300; i++) {
            cr_assert_eq(get(s, first + i), expected[i]);
        }
        write_all(s);
        save(blk, "b.img", (first + 300) * 4096);
        blk_close(blk);
        g_autofree char *report = image_shell(&status,
                                              "qemu-img check -f qcow2 b.img");
        cr_assert_eq(status, 3, "%s", report);
        for (int i = 0; i < 300; i++) {
            cr_assert_eq(leaked(report, first + i), expected[i],
                         "width %u, cluster %d: %s", 1u << order, i, report);
        }
    }
}

Test(qcow2_refcount, what_does_not_fit_changes_nothing)
{
    for (unsigned order = 0; order <= 4; order++) {
        g_autofree char *options =
            g_strdup_printf("cluster_size=512,refcount_bits=%u", 1u << order);

        NEED_IMAGE(options, "64k");
        g_autoptr(BlockBackend) blk = tape_open("a.img", "");
        Qcow2State *s = tape_state(blk);
        int max = (int)s->refcount_max;

        /* Over several slices; the blocks are placed behind. */
        cr_assert_eq(add(s, 1000, 40000, 1), 0);
        cr_assert_eq(add(s, 1000, 40000, -1), 0);
        cr_assert_eq(add(s, 5000, 1, max), 0);
        cr_assert_eq(add(s, 1000, 40000, 1), -ERANGE);
        cr_assert_eq(get(s, 1000), 0);
        cr_assert_eq(get(s, 5000), (uint64_t)max);
        cr_assert_eq(get(s, 40999), 0);
        cr_assert_eq(add(s, 5000, 1, -max), 0);
        cr_assert_eq(add(s, 1000, 40000, 1), 0);
        cr_assert_eq(get(s, 5000), 1);
        cr_assert_eq(get(s, 40999), 1);
        cr_assert_eq(add(s, 1000, 40000, -1), 0);
        cr_assert_eq(get(s, 1000), 0);
        cr_assert_eq(get(s, 40999), 0);
    }
}

Test(qcow2_refcount, a_refcount_below_zero_is_corruption)
{
    NEED_IMAGE("cluster_size=512", "64k");
    g_autoptr(BlockBackend) blk = tape_open("a.img", "");
    Qcow2State *s = tape_state(blk);

    cr_assert_eq(add(s, 100, 50, 1), 0);
    cr_assert_eq(add(s, 100, 60, -1), -EIO);
    cr_assert_eq(get(s, 100), 1);
    cr_assert_eq(get(s, 149), 1);
    cr_assert_eq(get(s, 150), 0);
}

/* ---- Growing ---- */

Test(qcow2_refcount, tables_grow_with_the_file)
{
    for (unsigned order = 2; order <= 6; order += 2) {
        g_autofree char *options =
            g_strdup_printf("cluster_size=512,refcount_bits=%u", 1u << order);
        g_autofree bool *taken = g_new0(bool, 40000);
        int64_t total = 0;

        NEED_IMAGE(options, "64k");
        BlockBackend *blk = tape_open("a.img", "");
        Qcow2State *s = tape_state(blk);
        uint32_t before = s->reftable_size;

        for (int64_t n = 1; total < 30000; n = n * 5 % 97) {
            int64_t offset = alloc(s, n);

            cr_assert_gt(offset, 0, "at %" PRId64, total);
            for (int64_t i = offset / 512; i < offset / 512 + n; i++) {
                cr_assert_lt(i, 40000);
                cr_assert_not(taken[i]);
                cr_assert_eq(get(s, i), 1);
                taken[i] = true;
            }
            total += n;
        }
        cr_assert_gt(order == 2 ? 2 * before : s->reftable_size, before);
        write_all(s);
        save(blk, "b.img", s->fresh_offset);
        blk_close(blk);
        cr_assert_eq(tape_check("b.img"), total);
    }
}

/* The block has to go elsewhere when all that it describes is wanted. */
Test(qcow2_refcount, a_block_may_be_described_by_another)
{
    NEED_IMAGE("cluster_size=512", "64k");
    BlockBackend *blk = tape_open("a.img", "");
    Qcow2State *s = tape_state(blk);
    int64_t reach = INT64_C(1) << qcow2_refblock_bits(s);

    cr_assert_eq(add(s, 4 * reach, 3 * reach, 1), 0);
    for (int64_t i = 0; i < 3 * reach; i++) {
        cr_assert_eq(get(s, 4 * reach + i), 1);
    }
    write_all(s);
    save(blk, "b.img", 7 * reach * 512);
    blk_close(blk);
    cr_assert_eq(tape_check("b.img"), 3 * reach);
}

/* Far beyond the table. */
Test(qcow2_refcount, a_far_cluster_makes_the_table_as_large_as_needed)
{
    NEED_IMAGE("cluster_size=512", "64k");
    BlockBackend *blk = tape_open("a.img", "");
    Qcow2State *s = tape_state(blk);

    cr_assert_eq(add(s, 1000000, 2, 1), 0);
    cr_assert_eq(add(s, INT64_C(1) << 46, 1, 1), -EFBIG);
    cr_assert_eq(add(s, (INT64_C(1) << 47) - 1, 2, 1), -EFBIG);
    cr_assert_eq(get(s, INT64_C(1) << 46), 0);
    write_all(s);
    save(blk, "b.img", 1000002 * 512);
    blk_close(blk);
    cr_assert_eq(tape_check("b.img"), 2);
}

/* ---- Failing and crashing ---- */

Test(qcow2_refcount, growth_survives_every_failing_write)
{
    NEED_IMAGE("cluster_size=512,refcount_bits=64", "64k");
    for (int skip = 0;; skip++) {
        BlockBackend *blk = tape_open("a.img", "");
        Qcow2State *s = tape_state(blk);
        int64_t total = 0;
        int failures = 0;

        tape_fail(tape_of(blk), skip, 1 + skip % 3, EIO);
        while (total < 4500) {
            int64_t n = 1 + total % 60;
            int64_t offset = alloc(s, n);

            failures += offset < 0;
            cr_assert_lt(failures, 5);
            cr_assert(offset > 0 || offset == -EIO);
            total += offset > 0 ? n : 0;
        }
        tape_fail(tape_of(blk), 0, 0, 0);
        write_all(s);
        save(blk, "b.img", s->fresh_offset);
        blk_close(blk);
        int64_t leaks = tape_check("b.img");
        cr_assert_geq(leaks, total);
        /* At most the old table leaks, or a home for a block. */
        cr_assert_leq(leaks, total + 40);
        if (failures == 0) {
            cr_assert_eq(leaks, total);
            cr_assert_gt(skip, 60);
            break;
        }
    }
}

Test(qcow2_refcount, growth_survives_a_crash_at_every_write)
{
    g_autoptr(GRand) dice = g_rand_new_with_seed(7);

    NEED_IMAGE("cluster_size=512,refcount_bits=64", "64k");
    BlockBackend *blk = tape_open("a.img", "");
    Qcow2State *s = tape_state(blk);

    for (int64_t total = 0; total < 4500; total += 60) {
        cr_assert_gt(alloc(s, 60), 0);
        if (total % 7 == 0) {
            pthread_mutex_lock(&s->lock);
            cr_assert_eq(qcow2_before_l2_write(s), 0);
            pthread_mutex_unlock(&s->lock);
        }
    }
    write_all(s);
    unsigned now = tape_now(tape_of(blk));
    cr_assert_gt(now, 100);
    for (unsigned i = 0; i <= now; i += 4) {
        tape_crash(tape_of(blk), i, dice, "b.img");
        (void)tape_check("b.img");
    }
    blk_close(blk);
}
