/* SPDX-License-Identifier: MIT */
/*
 * Eight threads write, zero, map and read one qcow image with a backing file,
 * each in sectors of its own, so that many share each cluster; now and then
 * one empties it while all wait. Each must find what it left there, and the
 * thread sanitizer must see no race.
 */
#include <errno.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "block/block.h"

#define THREADS 8
#define ROUNDS 500
#define SECTOR 512
#define SECTORS 64 /* of each thread */
#define SIZE (THREADS * SECTORS * SECTOR)
#define BACKING_BYTE 0xb5

typedef struct Writer {
    BlockBackend *blk;
    unsigned self;
    const char *wrong; /* the step that failed; NULL: none */
} Writer;

/* One step on the sector at `offset`; what it must hold is in *fill after. */
static int step(Writer *w, GRand *rand, int64_t offset, uint8_t *fill)
{
    g_auto(BdrvBlockStatus) status = { 0 };
    uint8_t buf[SECTOR];

    switch (g_rand_int_range(rand, 0, 8)) {
    case 0:
        *fill = 0;
        return blk_pwrite_zeroes(w->blk, offset, SECTOR, 0);
    case 1:
        return blk_flush(w->blk);
    case 2:
        return blk_block_status(w->blk, offset, SECTOR, 0, &status);
    default:
        *fill = (uint8_t)g_rand_int(rand);
        memset(buf, *fill, SECTOR);
        return blk_pwrite(w->blk, offset, SECTOR, buf, 0);
    }
}

static bool sector_is(BlockBackend *blk, int64_t offset, uint8_t fill)
{
    uint8_t buf[SECTOR];

    return blk_pread(blk, offset, SECTOR, buf, 0) == 0 && buf[0] == fill &&
           memcmp(buf, buf + 1, SECTOR - 1) == 0;
}

static gpointer writer_run(gpointer opaque)
{
    Writer *w = opaque;
    GRand *rand = g_rand_new_with_seed(w->self + 1);
    uint8_t fill[SECTORS];

    memset(fill, BACKING_BYTE, sizeof(fill));
    for (int i = 0; i < ROUNDS && w->wrong == NULL; i++) {
        unsigned n = (unsigned)g_rand_int_range(rand, 0, SECTORS);
        int64_t offset = (int64_t)(n * THREADS + w->self) * SECTOR;

        if (step(w, rand, offset, &fill[n]) < 0) {
            w->wrong = "a request failed";
        } else if (!sector_is(w->blk, offset, fill[n])) {
            w->wrong = "a sector does not hold what was written";
        }
    }
    for (unsigned n = 0; n < SECTORS && w->wrong == NULL; n++) {
        if (!sector_is(w->blk, (int64_t)(n * THREADS + w->self) * SECTOR,
                       fill[n])) {
            w->wrong = "a sector does not hold what was written last";
        }
    }
    g_rand_free(rand);
    return NULL;
}

/* Compressed writes of everything, and emptying, beside each other: what is
 * read is one of the two. */
static gpointer whole_run(gpointer opaque)
{
    Writer *w = opaque;
    g_autofree uint8_t *buf = g_malloc(SIZE);

    for (int i = 0; i < 30 && w->wrong == NULL; i++) {
        int ret;

        if (w->self % 4 == 0) {
            ret = blk_make_empty(w->blk, NULL);
        } else if (w->self % 4 == 1) {
            memset(buf, 0x11, SIZE);
            ret = blk_pwrite(w->blk, 0, SIZE, buf, BDRV_REQ_WRITE_COMPRESSED);
        } else {
            ret = blk_pread(w->blk, 0, SIZE, buf, 0);
            for (int k = 0; ret == 0 && k < SIZE; k++) {
                if (buf[k] != 0x11 && buf[k] != BACKING_BYTE) {
                    w->wrong = "what is read was never written";
                    break;
                }
            }
        }
        if (ret < 0) {
            w->wrong = "a request failed";
        }
    }
    return NULL;
}

static int run_all(BlockBackend *blk, GThreadFunc run, const char *name)
{
    GThread *threads[THREADS];
    Writer writers[THREADS];
    int failed = 0;

    for (unsigned i = 0; i < THREADS; i++) {
        writers[i] = (Writer){ .blk = blk, .self = i };
        threads[i] = g_thread_new(name, run, &writers[i]);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        g_thread_join(threads[i]);
        if (writers[i].wrong) {
            fprintf(stderr, "%s %u: %s\n", name, i, writers[i].wrong);
            failed = 1;
        }
    }
    return failed;
}

/* An image with clusters of 4 KiB, so that eight sectors share one. */
static BlockBackend *open_image(const char *dir, GError **errp)
{
    g_autofree char *path = g_strdup_printf("%s/image", dir);
    g_autofree char *base = g_strdup_printf("%s/base", dir);
    g_autofree char *bytes = g_malloc(SIZE);
    g_autoptr(Options) create = options_new();
    g_autoptr(Options) options = options_new();

    memset(bytes, BACKING_BYTE, SIZE);
    options_set_int(create, "size", SIZE);
    if (!g_file_set_contents(base, bytes, SIZE, errp) ||
        !bdrv_create("qcow", path, create, errp)) {
        return NULL;
    }
    options_set(options, "driver", "qcow");
    options_set(options, "file.filename", path);
    options_set(options, "backing.driver", "raw");
    options_set(options, "backing.file.filename", base);
    return blk_open(NULL, options, BDRV_O_RDWR, errp);
}

int main(void)
{
    g_autofree char *dir = g_strdup("/tmp/vvfat-qcow-XXXXXX");
    g_autoptr(GError) error = NULL;
    BdrvCheckResult result = { 0 };
    BlockBackend *blk;

    if (g_mkdtemp(dir) == NULL) {
        perror(dir);
        return 1;
    }
    blk = open_image(dir, &error);
    if (blk == NULL) {
        fprintf(stderr, "%s\n", error->message);
        return 1;
    }
    int failed = run_all(blk, writer_run, "writer");
    failed |= blk_make_empty(blk, NULL) < 0;
    failed |= run_all(blk, whole_run, "whole");
    failed |= blk_check(blk, &result, 0, NULL) < 0 || result.corruptions > 0;
    blk_close(blk);

    g_autofree char *path = g_strdup_printf("%s/image", dir);
    g_autofree char *base = g_strdup_printf("%s/base", dir);
    g_unlink(path);
    g_unlink(base);
    g_rmdir(dir);
    return failed;
}
