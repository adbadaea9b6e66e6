/* SPDX-License-Identifier: MIT */
/*
 * Eight threads write, compress, zero, discard, read and flush one qcow2
 * image, each in slices of its own that share clusters with those of others.
 * Each must find what it left there; in the end the image is sound, without a
 * leak, and holds everything; and the thread sanitizer must see no race.
 */
#include <errno.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "block/block.h"

#define THREADS 8
#define ROUNDS 500
#define CLUSTER 4096
#define SLICE (3 * CLUSTER / 2)
#define SLICES (THREADS * 32) /* every THREADSth is one thread's */

static const char *const images[] = {
    "cluster_size=4k",
    "cluster_size=4k,refcount_bits=1",
    "cluster_size=4k,lazy_refcounts=on",
    "cluster_size=4k,compat=0.10",
};

typedef struct Writer {
    BlockBackend *blk;
    unsigned self;
    uint8_t fill[SLICES / THREADS];
    char *wrong; /* the step that failed; NULL: none */
} Writer;

static int64_t slice_offset(const Writer *w, unsigned n)
{
    return (int64_t)(n * THREADS + w->self) * SLICE;
}

static bool slice_is(BlockBackend *blk, int64_t offset, uint8_t fill)
{
    uint8_t buf[SLICE];

    return blk_pread(blk, offset, SLICE, buf, 0) == 0 && buf[0] == fill &&
           memcmp(buf, buf + 1, SLICE - 1) == 0;
}

static int write_compressed(BlockBackend *blk, int64_t offset, uint8_t *buf)
{
    int ret = 0;

    /* Every other slice begins with a whole cluster. */
    if (offset % CLUSTER == 0) {
        ret = blk_pwrite(blk, offset, CLUSTER, buf, BDRV_REQ_WRITE_COMPRESSED);
    }
    return ret < 0
               ? ret
               : blk_pwrite(blk, offset + CLUSTER, SLICE - CLUSTER, buf, 0);
}

/* One step on a slice; what it must hold is in *fill after. */
static int step(Writer *w, GRand *rand, int64_t offset, uint8_t *fill)
{
    uint8_t buf[SLICE];
    int ret;

    switch (g_rand_int_range(rand, 0, 8)) {
    case 0:
        *fill = 0;
        return blk_pwrite_zeroes(w->blk, offset, SLICE,
                                 g_rand_boolean(rand) ? BDRV_REQ_MAY_UNMAP
                                                      : 0);
    case 1:
        /* What it leaves there is anything. */
        *fill = 0;
        ret = blk_pdiscard(w->blk, offset, SLICE);
        return ret < 0 ? ret : blk_pwrite_zeroes(w->blk, offset, SLICE, 0);
    case 2:
        return g_rand_int_range(rand, 0, 10) == 0 ? blk_flush(w->blk) : 0;
    case 3:
        memset(buf, *fill, SLICE);
        if (offset % CLUSTER != 0) {
            return 0;
        }
        return write_compressed(w->blk, offset, buf);
    default:
        *fill = (uint8_t)g_rand_int_range(rand, 1, 256);
        memset(buf, *fill, SLICE);
        return blk_pwrite(w->blk, offset, SLICE, buf,
                          *fill == 1 ? BDRV_REQ_FUA : 0);
    }
}

static gpointer writer_run(gpointer opaque)
{
    Writer *w = opaque;
    GRand *rand = g_rand_new_with_seed(w->self + 1);

    for (int i = 0; i < ROUNDS && w->wrong == NULL; i++) {
        unsigned n = (unsigned)g_rand_int_range(rand, 0, SLICES / THREADS);
        int64_t offset = slice_offset(w, n);
        int ret = step(w, rand, offset, &w->fill[n]);

        if (ret < 0) {
            w->wrong = blk_strerror(ret);
        } else if (!slice_is(w->blk, offset, w->fill[n])) {
            w->wrong = g_strdup("a slice does not hold what was written");
        }
    }
    g_rand_free(rand);
    return NULL;
}

static BlockBackend *open_image(const char *path)
{
    g_autoptr(Options) options = options_new();
    g_autoptr(GError) error = NULL;

    options_set(options, "driver", "qcow2");
    options_set(options, "discard", "unmap");
    options_set(options, "l2-cache-size", "16k");
    options_set(options, "refcount-cache-size", "16k");
    BlockBackend *blk = blk_open(path, options, BDRV_O_RDWR | BDRV_O_UNMAP,
                                 &error);
    if (blk == NULL) {
        fprintf(stderr, "%s\n", error->message);
    }
    return blk;
}

static void say(const char *text, void *opaque)
{
    (void)opaque;
    fprintf(stderr, "%s\n", text);
}

/* Opened again, everything is there, and nothing else. */
static bool check_image(const char *path, const Writer *writers)
{
    BdrvCheckResult result = { .message = say };
    g_autoptr(BlockBackend) blk = open_image(path);

    if (blk == NULL || blk_check(blk, &result, 0, NULL) < 0 ||
        result.corruptions > 0 || result.leaks > 0 ||
        result.check_errors > 0) {
        return false;
    }
    for (unsigned i = 0; i < SLICES; i++) {
        const Writer *w = &writers[i % THREADS];

        if (!slice_is(blk, (int64_t)i * SLICE, w->fill[i / THREADS])) {
            fprintf(stderr, "slice %u is lost\n", i);
            return false;
        }
    }
    return true;
}

static bool run(const char *path, const char *create)
{
    g_autoptr(Options) options = options_new();
    g_autofree char *size = g_strdup_printf("%d", SLICES * SLICE);
    g_autoptr(GError) error = NULL;
    GThread *threads[THREADS];
    Writer writers[THREADS] = { 0 };
    bool ok = true;

    options_set(options, "size", size);
    if (!options_parse_keyval(options, create, NULL, &error) ||
        !bdrv_create("qcow2", path, options, &error)) {
        fprintf(stderr, "%s\n", error->message);
        return false;
    }
    BlockBackend *blk = open_image(path);
    if (blk == NULL) {
        return false;
    }
    for (unsigned i = 0; i < THREADS; i++) {
        writers[i].blk = blk;
        writers[i].self = i;
        threads[i] = g_thread_new("writer", writer_run, &writers[i]);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        g_thread_join(threads[i]);
        if (writers[i].wrong) {
            fprintf(stderr, "%s: thread %u: %s\n", create, i,
                    writers[i].wrong);
            g_free(writers[i].wrong);
            ok = false;
        }
    }
    blk_close(blk);
    return ok && check_image(path, writers);
}

int main(void)
{
    g_autofree char *dir = g_strdup("/tmp/vvfat-qcow2-writes-XXXXXX");
    int failed = 0;

    if (g_mkdtemp(dir) == NULL) {
        perror(dir);
        return 1;
    }
    for (size_t i = 0; i < G_N_ELEMENTS(images); i++) {
        g_autofree char *path = g_strdup_printf("%s/image%zu", dir, i);

        failed |= !run(path, images[i]);
        unlink(path);
    }
    rmdir(dir);
    return failed;
}
