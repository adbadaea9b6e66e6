/* SPDX-License-Identifier: MIT */
/*
 * Eight threads write, compress, discard and flush one qcow image, each in
 * clusters of its own, and read those of the others meanwhile: blocks that are
 * given back too early would be zeroes in a stream that is being read. Now and
 * then the image is emptied. In the end it is sound and holds what was left
 * there; and the thread sanitizer must see no race.
 */
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "block/block.h"

#define THREADS 8
#define ROUNDS 600
#define CLUSTER 4096
#define CLUSTERS 32 /* of each thread */
#define SIZE (THREADS * CLUSTERS * CLUSTER)

typedef struct Writer {
    BlockBackend *blk;
    unsigned self;
    uint8_t fill[CLUSTERS];
    const char *wrong; /* NULL: nothing */
} Writer;

static int64_t cluster_offset(const Writer *w, unsigned n)
{
    return (int64_t)(n * THREADS + w->self) * CLUSTER;
}

/* One step on a cluster; what it must hold is in *fill after. */
static int step(Writer *w, GRand *rand, int64_t offset, uint8_t *fill)
{
    uint8_t buf[CLUSTER];
    int kind = g_rand_int_range(rand, 0, 8);

    switch (kind) {
    case 0:
    case 1:
        *fill = 0;
        return blk_pdiscard(w->blk, offset, CLUSTER);
    case 2:
        return blk_flush(w->blk);
    case 3:
        *fill = 0;
        return blk_pwrite_zeroes(w->blk, offset, CLUSTER, BDRV_REQ_MAY_UNMAP);
    default:
        *fill = (uint8_t)g_rand_int(rand);
        memset(buf, *fill, CLUSTER);
        return blk_pwrite(w->blk, offset, CLUSTER, buf,
                          kind < 6 ? BDRV_REQ_WRITE_COMPRESSED : 0);
    }
}

static bool cluster_is(BlockBackend *blk, int64_t offset, uint8_t fill)
{
    uint8_t buf[CLUSTER];

    return blk_pread(blk, offset, CLUSTER, buf, 0) == 0 && buf[0] == fill &&
           memcmp(buf, buf + 1, CLUSTER - 1) == 0;
}

static gpointer writer_run(gpointer opaque)
{
    Writer *w = opaque;
    GRand *rand = g_rand_new_with_seed(w->self + 1);
    uint8_t others[8 * CLUSTER];

    for (int i = 0; i < ROUNDS && w->wrong == NULL; i++) {
        unsigned n = (unsigned)g_rand_int_range(rand, 0, CLUSTERS);
        int64_t offset = cluster_offset(w, n);
        int64_t where = g_rand_int_range(rand, 0, SIZE - (int)sizeof(others));

        if (step(w, rand, offset, &w->fill[n]) < 0) {
            w->wrong = "a request failed";
        } else if (!cluster_is(w->blk, offset, w->fill[n])) {
            w->wrong = "a cluster does not hold what was written";
        } else if (blk_pread(w->blk, where, sizeof(others), others, 0) < 0) {
            w->wrong = "others' clusters cannot be read";
        }
    }
    g_rand_free(rand);
    return NULL;
}

/* Everything is written, discarded, flushed or emptied, at once. */
static gpointer whole_run(gpointer opaque)
{
    Writer *w = opaque;
    g_autofree uint8_t *buf = g_malloc(SIZE);

    for (int i = 0; i < 30 && w->wrong == NULL; i++) {
        int ret = 0;

        memset(buf, 0x11, SIZE);
        switch (w->self % 4) {
        case 0:
            ret = i % 4 == 0 ? blk_make_empty(w->blk, NULL)
                             : blk_pdiscard(w->blk, 0, SIZE);
            break;
        case 1:
            ret = blk_pwrite(w->blk, 0, SIZE, buf, BDRV_REQ_WRITE_COMPRESSED);
            break;
        case 2:
            ret = blk_flush(w->blk);
            break;
        default:
            ret = blk_pread(w->blk, 0, SIZE, buf, 0);
            for (int k = 0; ret == 0 && k < SIZE; k++) {
                if (buf[k] != 0x11 && buf[k] != 0) {
                    w->wrong = "what is read was never written";
                    break;
                }
            }
            break;
        }
        if (ret < 0) {
            w->wrong = "a request failed";
        }
    }
    return NULL;
}

static int run_all(Writer *writers, GThreadFunc run, const char *name)
{
    GThread *threads[THREADS];
    int failed = 0;

    for (unsigned i = 0; i < THREADS; i++) {
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

static BlockBackend *open_image(const char *path, GError **errp)
{
    g_autoptr(Options) options = options_new();

    options_set(options, "driver", "qcow");
    options_set(options, "file.filename", path);
    return blk_open(NULL, options, BDRV_O_RDWR | BDRV_O_UNMAP, errp);
}

/* Closed and opened again it holds what each has left. */
static int check_image(const char *path, const Writer *writers)
{
    g_autoptr(BlockBackend) blk = open_image(path, NULL);
    BdrvCheckResult result = { 0 };
    int failed = blk == NULL || blk_check(blk, &result, 0, NULL) < 0 ||
                 result.corruptions > 0;

    for (unsigned i = 0; i < THREADS && !failed; i++) {
        for (unsigned n = 0; n < CLUSTERS && !failed; n++) {
            failed = !cluster_is(blk, cluster_offset(&writers[i], n),
                                 writers[i].fill[n]);
        }
    }
    if (failed) {
        fprintf(stderr, "the image is not what was left\n");
    }
    return failed;
}

static int run_on(const char *path)
{
    g_autoptr(Options) create = options_new();
    g_autoptr(GError) error = NULL;
    Writer writers[THREADS];
    BlockBackend *blk = NULL;

    options_set_int(create, "size", SIZE);
    if (!bdrv_create("qcow", path, create, &error) ||
        (blk = open_image(path, &error)) == NULL) {
        fprintf(stderr, "%s\n", error->message);
        return 1;
    }
    for (unsigned i = 0; i < THREADS; i++) {
        writers[i] = (Writer){ .blk = blk, .self = i };
    }
    int failed = run_all(writers, whole_run, "whole");
    failed |= blk_make_empty(blk, NULL) < 0;
    failed |= run_all(writers, writer_run, "writer");
    blk_close(blk);
    return check_image(path, writers) | failed;
}

int main(void)
{
    g_autofree char *dir = g_strdup("/tmp/vvfat-qcow-XXXXXX");

    if (g_mkdtemp(dir) == NULL) {
        perror(dir);
        return 1;
    }
    g_autofree char *path = g_strdup_printf("%s/image", dir);
    int failed = run_on(path);
    g_unlink(path);
    g_rmdir(dir);
    return failed;
}
