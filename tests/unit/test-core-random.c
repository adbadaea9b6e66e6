/* SPDX-License-Identifier: MIT */
/*
 * Random requests of every kind against a copy in memory, at several
 * alignments and limits; and writers side by side whose blocks overlap.
 */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <errno.h>
#include <string.h>

#include "tests/unit/core-fixture.h"

#define STEPS 4000

typedef struct Setup {
    char options[120];
    int64_t size;
} Setup;

static Setup setups[] = {
    { "driver=mem,size=65536", 65536 },
    { "driver=mem,size=65536,align=512", 65536 },
    { "driver=mem,size=65536,align=4096", 65536 },
    { "driver=mem,size=70001,align=512", 70001 },
    { "driver=mem,size=70001,align=4096,max-transfer=8192", 70001 },
    { "driver=mem,size=65536,align=512,max-transfer=1024,zeroes-align=2048,"
      "max-zeroes=4096,discard-align=1024",
      65536 },
    { "driver=raw,file.driver=mem,file.size=70001,file.align=512", 70001 },
    { "driver=raw,offset=777,size=50000,file.driver=mem,file.size=70001,"
      "file.align=512",
      50000 },
    { "driver=blkdebug,align=4096,image.driver=mem,image.size=70001,"
      "image.align=512",
      70001 },
};

typedef struct Walk {
    BlockBackend *blk;
    MemDisk *disk;
    GRand *rand;
    int64_t size;
    uint8_t *shadow, *buf;
    bool *unknown; /* discarded: any contents */
} Walk;

static void pick_range(Walk *w, int64_t *offset, int64_t *bytes)
{
    *offset = g_rand_int_range(w->rand, 0, (gint32)w->size + 1);
    *bytes = g_rand_int_range(w->rand, 0,
                              g_rand_boolean(w->rand) ? 600 : 20000);
    *bytes = MIN(*bytes, w->size - *offset);
}

/* A vector of up to five pieces over buf. */
static void make_vector(Walk *w, IOVector *iov, int64_t bytes)
{
    int64_t at = 0;

    iov_init(iov);
    for (int i = 0; i < 4 && at < bytes; i++) {
        int64_t n = g_rand_int_range(w->rand, 0, (gint32)(bytes - at) + 1);

        iov_add(iov, w->buf + at, (size_t)n);
        at += n;
    }
    if (at < bytes) {
        iov_add(iov, w->buf + at, (size_t)(bytes - at));
    }
}

static void do_write(Walk *w, int64_t offset, int64_t bytes)
{
    g_auto(IOVector) iov;

    for (int64_t i = 0; i < bytes; i++) {
        w->buf[i] = (uint8_t)g_rand_int(w->rand);
    }
    make_vector(w, &iov, bytes);
    cr_assert_eq(blk_pwritev(w->blk, offset, bytes, &iov,
                             g_rand_boolean(w->rand) ? BDRV_REQ_FUA : 0),
                 0);
    memcpy(w->shadow + offset, w->buf, (size_t)bytes);
    memset(w->unknown + offset, 0, (size_t)bytes * sizeof(bool));
}

static void do_zeroes(Walk *w, int64_t offset, int64_t bytes)
{
    cr_assert_eq(
        blk_pwrite_zeroes(w->blk, offset, bytes,
                          g_rand_boolean(w->rand) ? BDRV_REQ_MAY_UNMAP : 0),
        0);
    memset(w->shadow + offset, 0, (size_t)bytes);
    memset(w->unknown + offset, 0, (size_t)bytes * sizeof(bool));
}

static void do_discard(Walk *w, int64_t offset, int64_t bytes)
{
    cr_assert_eq(blk_pdiscard(w->blk, offset, bytes), 0);
    memset(w->unknown + offset, 1, (size_t)bytes * sizeof(bool));
}

static void do_copy(Walk *w, int64_t offset, int64_t bytes)
{
    int64_t to = g_rand_int_range(w->rand, 0, (gint32)w->size + 1);

    if (g_rand_boolean(w->rand)) {
        offset &= ~INT64_C(4095);
        to &= ~INT64_C(4095);
        bytes &= ~INT64_C(4095);
    }
    bytes = MIN(bytes, w->size - to);
    int ret = blk_copy_range(w->blk, offset, w->blk, to, bytes, 0);

    if (bytes > 0 && offset < to + bytes && to < offset + bytes) {
        cr_assert_eq(ret, -EINVAL);
    } else if (ret != -ENOTSUP) {
        cr_assert_eq(ret, 0);
        memcpy(w->shadow + to, w->shadow + offset, (size_t)bytes);
        memcpy(w->unknown + to, w->unknown + offset,
               (size_t)bytes * sizeof(bool));
    }
}

static void do_read(Walk *w, int64_t offset, int64_t bytes)
{
    g_auto(IOVector) iov;

    memset(w->buf, 0xa5, (size_t)bytes);
    make_vector(w, &iov, bytes);
    cr_assert_eq(blk_preadv(w->blk, offset, bytes, &iov, 0), 0);
    for (int64_t i = 0; i < bytes; i++) {
        cr_assert(w->unknown[offset + i] || w->buf[i] == w->shadow[offset + i],
                  "byte %" G_GINT64_FORMAT, offset + i);
    }
}

static void walk_step(Walk *w)
{
    static void (*const steps[])(Walk *, int64_t, int64_t) = {
        do_write, do_write, do_zeroes, do_discard, do_copy, do_read, do_read,
    };
    int64_t offset, bytes;

    pick_range(w, &offset, &bytes);
    steps[g_rand_int_range(w->rand, 0, G_N_ELEMENTS(steps))](w, offset, bytes);
}

ParameterizedTestParameters(core_random, requests_of_every_kind)
{
    return cr_make_param_array(Setup, setups, G_N_ELEMENTS(setups));
}

ParameterizedTest(Setup *setup, core_random, requests_of_every_kind,
                  .init = core_init)
{
    Walk w = { .size = setup->size };

    w.blk = core_open(BDRV_O_RDWR | BDRV_O_UNMAP, setup->options);
    w.disk = core_disk(w.blk);
    w.rand = g_rand_new_with_seed(20240229);
    w.shadow = g_malloc0((gsize)w.size);
    w.buf = g_malloc0((gsize)w.size);
    w.unknown = g_new0(bool, (gsize)w.size);
    for (int i = 0; i < STEPS; i++) {
        walk_step(&w);
    }
    do_read(&w, 0, w.size);
    cr_assert_eq(w.disk->misaligned, 0);
    blk_close(w.blk);
    g_rand_free(w.rand);
    g_free(w.shadow);
    g_free(w.buf);
    g_free(w.unknown);
}

/* ---- Side by side ---- */

#define THREADS 8
#define SLICE 100 /* bytes that a thread owns, in blocks that all share */
#define ROUNDS 60

typedef struct Writer {
    BlockBackend *blk;
    int number;
    int failures;
} Writer;

/* Each thread rewrites its own bytes of every block and reads them back: a
 * read-modify-write that is not alone undoes somebody's work. */
static gpointer writer_main(gpointer opaque)
{
    Writer *w = opaque;
    uint8_t mine[SLICE], back[SLICE];

    for (int round = 0; round < ROUNDS; round++) {
        int64_t block = round % 3;
        int64_t offset = block * 4096 + w->number * SLICE;

        memset(mine, w->number * 31 + round + 1, sizeof(mine));
        if (round % 4 == 3) {
            memset(mine, 0, sizeof(mine));
            w->failures += blk_pwrite_zeroes(w->blk, offset, sizeof(mine),
                                             0) != 0;
        } else {
            w->failures += blk_pwrite(w->blk, offset, sizeof(mine), mine, 0) !=
                           0;
        }
        w->failures += blk_pread(w->blk, offset, sizeof(back), back, 0) != 0;
        w->failures += memcmp(mine, back, sizeof(mine)) != 0;
    }
    return NULL;
}

static int run_writers(BlockBackend *blk)
{
    Writer writers[THREADS];
    GThread *threads[THREADS];
    int failures = 0;

    for (int i = 0; i < THREADS; i++) {
        writers[i] = (Writer){ .blk = blk, .number = i };
        threads[i] = g_thread_new("writer", writer_main, &writers[i]);
    }
    for (int i = 0; i < THREADS; i++) {
        g_thread_join(threads[i]);
        failures += writers[i].failures;
    }
    return failures;
}

Test(core_random, writers_of_one_block_do_not_undo_each_other,
     .init = core_init)
{
    g_autoptr(BlockBackend)
        blk = core_open(BDRV_O_RDWR, "driver=mem,size=64K,align=4096");
    MemDisk *disk = core_disk(blk);

    disk->delay_us = 20;
    cr_assert_eq(run_writers(blk), 0);
    cr_assert_eq(disk->misaligned, 0);
}

Test(core_random, the_same_below_a_format, .init = core_init)
{
    g_autoptr(BlockBackend) blk = core_open(
        BDRV_O_RDWR, "driver=raw,file.driver=blkdebug,file.align=4096,"
                     "file.image.driver=mem,file.image.size=64K");

    core_disk(blk)->delay_us = 20;
    cr_assert_eq(run_writers(blk), 0);
}
