/* SPDX-License-Identifier: MIT */
/*
 * Eight threads on one qcow2 image with a backing file. Each owns some bytes
 * of every shared cluster, which it writes while others write theirs: copy on
 * write must not undo anybody's. Each owns some clusters besides, which it
 * writes, compresses, zeroes and discards. All find what they left, the check
 * finds nothing wrong, and the thread sanitizer sees no race.
 */
#include <glib/gstdio.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "block/block.h"

#define THREADS 8
#define ROUNDS 250
#define CLUSTER 4096
#define PART 400   /* bytes of each shared cluster that one thread owns */
#define SHARED 200 /* clusters; then come those with an owner */
#define OWNED 40   /* clusters of each thread */
#define SIZE ((int64_t)(SHARED + THREADS * OWNED) * CLUSTER)
#define OLD 0x11 /* every byte of the backing file */

typedef struct Worker {
    BlockBackend *blk;
    unsigned self;
    GRand *rand;
    uint8_t parts[SHARED]; /* what this thread's bytes hold */
    uint8_t owned[OWNED];
    const char *wrong; /* the step that failed; NULL: none */
} Worker;

/* Each round begins with a write to the same cluster by all. */
static pthread_barrier_t together;

static bool range_is(BlockBackend *blk, int64_t offset, int64_t bytes,
                     uint8_t fill)
{
    uint8_t buf[CLUSTER];

    return blk_pread(blk, offset, bytes, buf, 0) == 0 && buf[0] == fill &&
           memcmp(buf, buf + 1, (size_t)bytes - 1) == 0;
}

static int64_t part_offset(const Worker *w, unsigned n)
{
    return (int64_t)n * CLUSTER + w->self * PART;
}

static int64_t owned_offset(const Worker *w, unsigned n)
{
    return (SHARED + (int64_t)w->self * OWNED + n) * CLUSTER;
}

/* Bytes of a cluster that all share, and all write now. */
static void step_shared(Worker *w, unsigned n)
{
    uint8_t buf[PART];

    w->parts[n] = (uint8_t)g_rand_int_range(w->rand, 1, 256);
    memset(buf, w->parts[n], PART);
    if (blk_pwrite(w->blk, part_offset(w, n), PART, buf, 0) < 0) {
        w->wrong = "writing a part of a cluster failed";
    } else if (!range_is(w->blk, part_offset(w, n), PART, w->parts[n])) {
        w->wrong = "a part of a shared cluster is not what was written";
    }
}

static int write_owned(Worker *w, int64_t offset, int64_t bytes, uint8_t fill,
                       unsigned flags)
{
    g_autofree uint8_t *buf = g_malloc((gsize)bytes);
    IOVector iov;

    memset(buf, fill, (size_t)bytes);
    iov_init_buf(&iov, buf, (size_t)bytes);
    return blk_pwritev(w->blk, offset, bytes, &iov, flags);
}

/* Clusters of this thread's own. */
static void step_owned(Worker *w)
{
    unsigned first = (unsigned)g_rand_int_range(w->rand, 0, OWNED);
    unsigned end = (unsigned)g_rand_int_range(w->rand, (gint32)first + 1,
                                              OWNED + 1);
    int64_t offset = owned_offset(w, first);
    int64_t bytes = (int64_t)(end - first) * CLUSTER;
    uint8_t fill = 0;
    int ret;

    switch (g_rand_int_range(w->rand, 0, 6)) {
    case 0:
        ret = blk_pwrite_zeroes(w->blk, offset, bytes, 0);
        break;
    case 1:
        ret = blk_pwrite_zeroes(w->blk, offset, bytes, BDRV_REQ_MAY_UNMAP);
        break;
    case 2: /* over a backing file, what is discarded becomes zeroes */
        ret = blk_pdiscard(w->blk, offset, bytes);
        break;
    case 3:
        fill = (uint8_t)g_rand_int_range(w->rand, 1, 256);
        ret = write_owned(w, offset, bytes, fill, 0);
        break;
    default:
        fill = (uint8_t)g_rand_int_range(w->rand, 1, 256);
        ret = write_owned(w, offset, bytes, fill, BDRV_REQ_WRITE_COMPRESSED);
    }
    memset(w->owned + first, fill, end - first);
    if (ret < 0) {
        w->wrong = "changing clusters failed";
    } else if (!range_is(w->blk, offset, CLUSTER, fill)) {
        w->wrong = "a cluster is not what it was made";
    }
}

static void step_ask(Worker *w)
{
    g_auto(BdrvBlockStatus) status = { 0 };

    if (blk_flush(w->blk) < 0 ||
        blk_block_status(w->blk, part_offset(w, 0), SHARED * CLUSTER / 2,
                         BDRV_WANT_PRECISE, &status) < 0) {
        w->wrong = "a flush or a question about block status failed";
    }
}

static gpointer worker_run(gpointer opaque)
{
    Worker *w = opaque;

    for (unsigned i = 0; i < ROUNDS; i++) {
        pthread_barrier_wait(&together);
        if (w->wrong == NULL) {
            step_shared(w, i % SHARED);
        }
        if (w->wrong == NULL && g_rand_boolean(w->rand)) {
            step_owned(w);
        }
        if (w->wrong == NULL && g_rand_int_range(w->rand, 0, 20) == 0) {
            step_ask(w);
        }
    }
    return NULL;
}

static void verify(Worker *w)
{
    for (unsigned n = 0; n < SHARED && w->wrong == NULL; n++) {
        if (!range_is(w->blk, part_offset(w, n), PART, w->parts[n])) {
            w->wrong = "in the end, a part of a shared cluster is not what "
                       "was written";
        }
    }
    for (unsigned n = 0; n < OWNED && w->wrong == NULL; n++) {
        if (!range_is(w->blk, owned_offset(w, n), CLUSTER, w->owned[n])) {
            w->wrong = "in the end, a cluster is not what it was made";
        }
    }
}

/* ---- The image ---- */

static bool make_images(const char *dir, char **image, GError **errp)
{
    g_autofree char *base = g_build_filename(dir, "base", NULL);
    g_autofree char *old = g_malloc(SIZE);
    g_autoptr(Options) options = options_new();
    g_autofree char *size = g_strdup_printf("%" G_GINT64_FORMAT, SIZE);

    memset(old, OLD, SIZE);
    if (!g_file_set_contents(base, old, SIZE, errp)) {
        return false;
    }
    options_set(options, "size", size);
    options_set(options, "cluster_size", "4096");
    options_set(options, "backing_file", base);
    options_set(options, "backing_fmt", "raw");
    *image = g_build_filename(dir, "image", NULL);
    return bdrv_create("qcow2", *image, options, errp);
}

/* Small caches, so that tables come and go. */
static BlockBackend *open_image(const char *image, GError **errp)
{
    g_autoptr(Options) options = options_new();

    options_set(options, "driver", "qcow2");
    options_set(options, "file.filename", image);
    options_set(options, "l2-cache-size", "8192");
    options_set(options, "l2-cache-entry-size", "512");
    return blk_open(NULL, options, BDRV_O_RDWR | BDRV_O_UNMAP, errp);
}

static bool run(BlockBackend *blk)
{
    GThread *threads[THREADS];
    static Worker workers[THREADS];
    bool ok = true;

    pthread_barrier_init(&together, NULL, THREADS);
    for (unsigned i = 0; i < THREADS; i++) {
        workers[i] = (Worker){ .blk = blk, .self = i };
        workers[i].rand = g_rand_new_with_seed(i + 1);
        memset(workers[i].parts, OLD, SHARED);
        memset(workers[i].owned, OLD, OWNED);
        threads[i] = g_thread_new("worker", worker_run, &workers[i]);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        g_thread_join(threads[i]);
    }
    pthread_barrier_destroy(&together);
    for (unsigned i = 0; i < THREADS; i++) {
        verify(&workers[i]);
        g_rand_free(workers[i].rand);
        if (workers[i].wrong) {
            fprintf(stderr, "thread %u: %s\n", i, workers[i].wrong);
            ok = false;
        }
    }
    return ok;
}

static void say(const char *text, void *opaque)
{
    (void)opaque;
    fprintf(stderr, "%s\n", text);
}

static bool check(BlockBackend *blk)
{
    BdrvCheckResult result = { .message = say };
    g_autoptr(GError) error = NULL;

    if (blk_flush(blk) < 0 || blk_check(blk, &result, 0, &error) < 0) {
        fprintf(stderr, "%s\n", error ? error->message : "flushing failed");
        return false;
    }
    return result.corruptions == 0 && result.leaks == 0 &&
           result.check_errors == 0;
}

int main(void)
{
    g_autofree char *dir = g_dir_make_tmp("vvfat-qcow2-XXXXXX", NULL);
    g_autofree char *image = NULL;
    g_autoptr(GError) error = NULL;
    BlockBackend *blk = NULL;
    bool ok = false;

    if (dir && make_images(dir, &image, &error)) {
        blk = open_image(image, &error);
    }
    if (blk) {
        ok = run(blk) && check(blk);
        blk_close(blk);
    } else {
        fprintf(stderr, "%s\n", error ? error->message : "no directory");
    }
    if (dir) {
        g_autofree char *base = g_build_filename(dir, "base", NULL);

        g_unlink(base);
        if (image) {
            g_unlink(image);
        }
        g_rmdir(dir);
    }
    return !ok;
}
