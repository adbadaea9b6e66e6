/* SPDX-License-Identifier: MIT */
/*
 * Eight threads write, zero, discard, copy and map one image file, through
 * raw over blkdebug over file, each in slices of its own; each must find what
 * it left there, and the thread sanitizer must see no race.
 */
#include <errno.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "block/block.h"

#define THREADS 8
#define ROUNDS 150
#define SLICE (64 * 1024)
#define SLICES (THREADS * 8) /* every THREADSth is one thread's */

typedef struct Writer {
    BlockBackend *blk;
    unsigned self;
    const char *wrong; /* the step that failed; NULL: none */
} Writer;

/* One step on the slice at `offset`; what it must hold is in *fill after. */
static int step(Writer *w, GRand *rand, int64_t offset, uint8_t *fill)
{
    g_autofree uint8_t *buf = g_malloc(SLICE);
    g_auto(BdrvBlockStatus) status = { 0 };

    switch (g_rand_int_range(rand, 0, 5)) {
    case 0:
        *fill = 0;
        return blk_pwrite_zeroes(w->blk, offset, SLICE, BDRV_REQ_MAY_UNMAP);
    case 1:
        return blk_flush(w->blk);
    case 2:
        return blk_block_status(w->blk, offset, SLICE, BDRV_WANT_PRECISE,
                                &status);
    case 3: {
        /* There and back again: to a spare slice of this thread's. */
        int64_t spare = (int64_t)(SLICES + w->self) * SLICE;
        int ret = blk_copy_range(w->blk, offset, w->blk, spare, SLICE, 0);
        return ret < 0
                   ? ret
                   : blk_copy_range(w->blk, spare, w->blk, offset, SLICE, 0);
    }
    default:
        *fill = (uint8_t)g_rand_int_range(rand, 1, 256);
        memset(buf, *fill, SLICE);
        return blk_pwrite(w->blk, offset, SLICE, buf,
                          *fill % 16 == 0 ? BDRV_REQ_FUA : 0);
    }
}

static bool slice_is(BlockBackend *blk, int64_t offset, uint8_t fill)
{
    g_autofree uint8_t *buf = g_malloc(SLICE);

    if (blk_pread(blk, offset, SLICE, buf, 0) < 0) {
        return false;
    }
    return buf[0] == fill && memcmp(buf, buf + 1, SLICE - 1) == 0;
}

static gpointer writer_run(gpointer opaque)
{
    Writer *w = opaque;
    GRand *rand = g_rand_new_with_seed(w->self + 1);
    uint8_t fill[SLICES / THREADS] = { 0 };

    for (int i = 0; i < ROUNDS && w->wrong == NULL; i++) {
        unsigned n = (unsigned)g_rand_int_range(rand, 0, SLICES / THREADS);
        int64_t offset = (int64_t)(n * THREADS + w->self) * SLICE;
        int ret = step(w, rand, offset, &fill[n]);

        if (ret < 0 && ret != -ENOTSUP) {
            w->wrong = "a request failed";
        } else if (!slice_is(w->blk, offset, fill[n])) {
            w->wrong = "a slice does not hold what was written";
        }
    }
    g_rand_free(rand);
    return NULL;
}

int main(void)
{
    g_autofree char *path = g_strdup("/tmp/vvfat-parallel-XXXXXX");
    g_autoptr(Options) options = options_new();
    g_autoptr(GError) error = NULL;
    GThread *threads[THREADS];
    Writer writers[THREADS];
    int failed = 0;
    int fd = g_mkstemp(path);

    if (fd < 0 || ftruncate(fd, (SLICES + THREADS) * SLICE) < 0) {
        perror(path);
        return 1;
    }
    close(fd);
    options_set(options, "driver", "raw");
    options_set(options, "file.driver", "blkdebug");
    options_set(options, "file.inject-delay.0.ms", "1");
    options_set(options, "file.inject-delay.0.offset", "0");
    options_set(options, "file.image.driver", "file");
    options_set(options, "file.image.filename", path);
    BlockBackend *blk = blk_open(NULL, options, BDRV_O_RDWR | BDRV_O_UNMAP,
                                 &error);
    if (blk == NULL) {
        fprintf(stderr, "%s\n", error->message);
        return 1;
    }
    for (unsigned i = 0; i < THREADS; i++) {
        writers[i] = (Writer){ .blk = blk, .self = i };
        threads[i] = g_thread_new("writer", writer_run, &writers[i]);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        g_thread_join(threads[i]);
        if (writers[i].wrong) {
            fprintf(stderr, "thread %u: %s\n", i, writers[i].wrong);
            failed = 1;
        }
    }
    blk_close(blk);
    g_unlink(path);
    return failed;
}
