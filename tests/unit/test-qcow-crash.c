/* SPDX-License-Identifier: MIT */
/*
 * Power fails at any moment, and of what was not flushed any sectors reach
 * the disk: the image is sound, what was flushed is there, and each sector is
 * one that was written. And each request to the file fails in turn: the
 * request of the guest fails, and nothing that it did not write is changed.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "tests/unit/qcow-fixture.h"
#include "tests/unit/qcow2-fixture.h"

#define SIZE (512 * 1024)
#define SECTOR 512
#define STEPS 40

TestSuite(qcow_crash, .init = tape_init, .fini = image_dir_fini,
          .timeout = 600);

/* What the device held after a step. */
typedef struct Version {
    uint8_t bytes[SIZE];
    unsigned began;   /* the instant of the step that made it */
    unsigned durable; /* when a flush after it had ended; UINT_MAX: never */
} Version;

typedef struct History {
    BlockBackend *blk;
    Tape *tape;
    GRand *rand;
    Version *version; /* STEPS + 1; the first is the empty image */
    unsigned last;
} History;

#define BACKING                                                               \
    ",backing.driver=raw,backing.file.driver=file,"                           \
    "backing.file.filename=%D/base"

static BlockBackend *open_image(const char *driver, const char *name,
                                bool backing)
{
    g_autofree char *options =
        g_strdup_printf("driver=qcow,file.driver=%s,file.filename=%%D/%s%s",
                        driver, name, backing ? BACKING : "");

    return image_open(BDRV_O_RDWR | BDRV_O_UNMAP, options);
}

static void history_init(History *h, unsigned cluster_bits, unsigned l2_bits,
                         bool backing, uint32_t seed)
{
    *h = (History){ 0 };
    h->rand = g_rand_new_with_seed(seed);
    h->version = g_new0(Version, STEPS + 1);
    if (backing) {
        image_make("base", SIZE, 3);
        image_pattern(h->version[0].bytes, SIZE, 3, 0);
    }
    qcow_make("image", cluster_bits, l2_bits, SIZE, backing ? "base" : NULL);
    h->blk = open_image("tape", "image", backing);
    h->tape = tape_of(h->blk);
}

static void history_clear(History *h)
{
    blk_close(h->blk);
    g_rand_free(h->rand);
    g_free(h->version);
}

/* What it leaves is not said, but that it stays. */
static int discard(History *h, uint8_t *bytes, int64_t offset, int64_t n)
{
    int ret = blk_pdiscard(h->blk, offset, n);

    cr_assert_eq(blk_pread(h->blk, offset, n, bytes + offset, 0), 0);
    return ret;
}

/* One request, as it changes `bytes`. */
static int step(History *h, uint8_t *bytes)
{
    g_autofree uint8_t *buf = g_malloc(SIZE);
    int64_t offset = g_rand_int_range(h->rand, 0, SIZE);
    int64_t n = g_rand_int_range(h->rand, 1, 60000);

    n = MIN(n, SIZE - offset);
    switch (g_rand_int_range(h->rand, 0, 6)) {
    case 0:
        return blk_flush(h->blk);
    case 1:
        memset(bytes + offset, 0, (size_t)n);
        return blk_pwrite_zeroes(h->blk, offset, n, 0);
    case 2:
        offset &= ~INT64_C(65535);
        memset(buf, g_rand_int_range(h->rand, 1, 256), 65536);
        memcpy(bytes + offset, buf, 65536);
        return blk_pwrite(h->blk, offset, 65536, buf,
                          BDRV_REQ_WRITE_COMPRESSED);
    case 3:
        return discard(h, bytes, offset, n);
    default:
        memset(buf, g_rand_int_range(h->rand, 1, 256), (size_t)n);
        memcpy(bytes + offset, buf, (size_t)n);
        return blk_pwrite(h->blk, offset, n, buf, 0);
    }
}

static void run_steps(History *h)
{
    for (unsigned i = 1; i <= STEPS; i++) {
        unsigned flushes = tape_flushes(h->tape);

        memcpy(h->version[i].bytes, h->version[i - 1].bytes, SIZE);
        h->version[i].began = tape_now(h->tape);
        h->version[i].durable = UINT_MAX;
        int ret = step(h, h->version[i].bytes);
        g_autofree char *text = ret < 0 ? blk_strerror(ret) : NULL;
        cr_assert_eq(ret, 0, "%s", text);
        h->last = i;
        if (i % 8 == 0) {
            cr_assert_eq(blk_flush(h->blk), 0);
        }
        /* A flush of ours may have been one of the driver's own besides; only
         * blk_flush() promises something. */
        if (i % 8 == 0 && tape_flushes(h->tape) > flushes) {
            h->version[i].durable = tape_now(h->tape);
        }
    }
}

/* Each sector is that of one of the versions first..last. */
static void check_versions(const History *h, const uint8_t *bytes,
                           unsigned first, unsigned last, unsigned instant)
{
    for (int64_t at = 0; at < SIZE; at += SECTOR) {
        bool found = false;

        for (unsigned i = first; i <= last && !found; i++) {
            found = memcmp(bytes + at, h->version[i].bytes + at, SECTOR) == 0;
        }
        cr_assert(found, "instant %u: sector at %d is none of %u to %u",
                  instant, (int)at, first, last);
    }
}

static void check_crash(History *h, unsigned instant, bool backing)
{
    g_autofree uint8_t *bytes = g_malloc(SIZE);
    g_autoptr(GString) text = g_string_new(NULL);
    unsigned first = 0;
    unsigned last = 0;

    for (unsigned i = 1; i <= h->last; i++) {
        first = h->version[i].durable <= instant ? i : first;
        last = h->version[i].began <= instant ? i : last;
    }
    tape_crash(h->tape, instant, h->rand, "crashed");
    g_autoptr(BlockBackend) blk = open_image("file", "crashed", backing);
    cr_assert_eq(qcow_corruptions(blk, text), 0, "instant %u: %s", instant,
                 text->str);
    cr_assert_eq(blk_pread(blk, 0, SIZE, bytes, 0), 0);
    check_versions(h, bytes, first, last, instant);

    /* What is written now takes nothing that was there. */
    memset(bytes + 100000, 0x77, 70000);
    cr_assert_eq(blk_pwrite(blk, 100000, 70000, bytes + 100000, 0), 0);
    g_autofree uint8_t *now = g_malloc(SIZE);
    cr_assert_eq(blk_pread(blk, 0, SIZE, now, 0), 0);
    cr_assert_arr_eq(now, bytes, SIZE);
    cr_assert_eq(qcow_corruptions(blk, NULL), 0);
}

static void crash_everywhere(unsigned cluster_bits, unsigned l2_bits,
                             bool backing)
{
    for (uint32_t seed = 1; seed <= 3; seed++) {
        History h;

        history_init(&h, cluster_bits, l2_bits, backing, seed);
        run_steps(&h);
        unsigned end = tape_now(h.tape);
        cr_assert_gt(end, 40);
        for (unsigned instant = 0; instant <= end; instant++) {
            check_crash(&h, instant, backing);
        }
        history_clear(&h);
    }
}

Test(qcow_crash, with_clusters_of_4k)
{
    crash_everywhere(12, 9, false);
}

Test(qcow_crash, with_backing_file)
{
    crash_everywhere(9, 12, true);
}

Test(qcow_crash, with_many_tables)
{
    crash_everywhere(9, 6, true);
}

/* ---- Failing requests ---- */

/* The k-th request to the file fails, `times` times: each step is done, or
 * its sectors are old or new. */
static bool fail_at(int k, int times, unsigned cluster_bits, unsigned l2_bits)
{
    g_autofree uint8_t *bytes = g_malloc(SIZE);
    bool failed = false;
    History h;

    history_init(&h, cluster_bits, l2_bits, true, 7);
    tape_fail(h.tape, k, times, EIO);
    for (int i = 0; i < STEPS; i++) {
        memcpy(h.version[1].bytes, h.version[0].bytes, SIZE);
        int ret = step(&h, h.version[1].bytes);
        cr_assert(ret == 0 || ret == -EIO);
        failed |= ret < 0;
        if (ret < 0 && times < 0 && i > STEPS / 2) {
            tape_fail(h.tape, 0, 0, 0);
        }
        cr_assert_eq(blk_pread(h.blk, 0, SIZE, bytes, 0), 0);
        check_versions(&h, bytes, ret == 0 ? 1 : 0, 1, 0);
        memcpy(h.version[0].bytes, bytes, SIZE);
    }
    tape_fail(h.tape, 0, 0, 0);
    cr_assert_eq(blk_flush(h.blk), 0);
    cr_assert_eq(qcow_corruptions(h.blk, NULL), 0);
    tape_save(h.tape, "saved");
    g_autoptr(BlockBackend) blk = open_image("file", "saved", true);
    cr_assert_eq(qcow_corruptions(blk, NULL), 0);
    cr_assert_eq(blk_pread(blk, 0, SIZE, bytes, 0), 0);
    cr_assert_arr_eq(bytes, h.version[0].bytes, SIZE);
    history_clear(&h);
    return failed;
}

static void fail_everywhere(unsigned cluster_bits, unsigned l2_bits)
{
    int k = 0;

    while (fail_at(k, 1, cluster_bits, l2_bits)) {
        k++;
    }
    cr_assert_gt(k, 40);
    for (int from = 0; from < k; from += 3) {
        cr_assert(fail_at(from, -1, cluster_bits, l2_bits));
    }
}

Test(qcow_crash, each_request_fails_with_clusters_of_4k)
{
    fail_everywhere(12, 9);
}

Test(qcow_crash, each_request_fails_with_many_tables)
{
    fail_everywhere(9, 6);
}

/* Emptying that fails leaves what was there, or nothing. */
Test(qcow_crash, each_request_of_emptying_fails)
{
    g_autofree uint8_t *bytes = g_malloc(SIZE);
    bool failed = true;

    for (int k = 0; failed; k++) {
        History h;

        history_init(&h, 9, 6, true, 7);
        memcpy(h.version[1].bytes, h.version[0].bytes, SIZE);
        for (int i = 0; i < 10; i++) {
            cr_assert_eq(step(&h, h.version[1].bytes), 0);
        }
        cr_assert_eq(blk_flush(h.blk), 0);
        tape_fail(h.tape, k, 1, EIO);
        failed = blk_make_empty(h.blk, NULL) < 0;
        tape_fail(h.tape, 0, 0, 0);
        unsigned is = failed ? 1 : 0;
        cr_assert_eq(blk_pread(h.blk, 0, SIZE, bytes, 0), 0);
        check_versions(&h, bytes, is, is, (unsigned)k);
        cr_assert_eq(blk_flush(h.blk), 0);
        tape_save(h.tape, "saved");
        g_autoptr(BlockBackend) blk = open_image("file", "saved", true);
        cr_assert_eq(blk_pread(blk, 0, SIZE, bytes, 0), 0);
        check_versions(&h, bytes, is, is, (unsigned)k);
        cr_assert(k > 0 || failed);
        history_clear(&h);
    }
}
