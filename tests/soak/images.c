/* SPDX-License-Identifier: MIT */
/*
 * Images of other drivers beside the guests: random requests, compared with a
 * copy in memory; each is opened and closed many times. And fat:DIR, which is
 * read twice and has to be the same.
 */
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "block/block.h"
#include "tests/model/hostdir.h"
#include "tests/model/prng.h"
#include "tests/soak/soak.h"

#define SIZE (INT64_C(6) << 20)
#define LONGEST 150000u
#define REQUESTS 40u /* between opening and closing */

typedef struct Image {
    Worker *worker;
    Prng prng;
    char *path;
    const char *format;
    uint8_t *data;
} Image;

static void complain(Image *image, const char *what, int ret)
{
    g_autofree char *text = ret < 0 ? blk_strerror(ret) : g_strdup("");

    worker_complain(image->worker,
                    g_strdup_printf("%s (%s) %s", what, image->format, text));
}

static bool create(Image *image)
{
    g_autoptr(Options) options = options_new();
    g_autoptr(GError) error = NULL;

    options_set_int(options, "size", SIZE);
    if (!bdrv_create(image->format, image->path, options, &error)) {
        worker_complain(image->worker, g_strdup(error->message));
        return false;
    }
    return true;
}

static int step(Image *image, BlockBackend *blk)
{
    int64_t at = prng_below(&image->prng, (uint32_t)SIZE);
    int64_t most = 1 + prng_below(&image->prng, LONGEST);
    int64_t n = MIN(most, SIZE - at);
    g_autofree uint8_t *buffer = NULL;
    int ret;

    switch (prng_below(&image->prng, 8)) {
    case 0:
        return blk_flush(blk);
    case 1:
        memset(image->data + at, 0, (size_t)n);
        return blk_pwrite_zeroes(blk, at, n, BDRV_REQ_MAY_UNMAP);
    case 2:
    case 3:
    case 4:
        prng_fill(&image->prng, image->data + at, (size_t)n);
        return blk_pwrite(blk, at, n, image->data + at, 0);
    default:
        buffer = g_malloc((gsize)n);
        ret = blk_pread(blk, at, n, buffer, 0);
        if (ret == 0 && memcmp(buffer, image->data + at, (size_t)n) != 0) {
            complain(image, "an image does not hold what was written", 0);
        }
        return ret;
    }
}

static void use(Image *image)
{
    g_autoptr(Options) options = options_new();
    g_autoptr(GError) error = NULL;
    g_autoptr(BlockBackend) blk = NULL;
    int ret = 0;

    options_set(options, "driver", image->format);
    options_set(options, "file.filename", image->path);
    blk = blk_open(NULL, options, BDRV_O_RDWR | BDRV_O_UNMAP, &error);
    if (!blk) {
        worker_complain(image->worker, g_strdup(error->message));
        return;
    }
    for (unsigned i = 0; i < REQUESTS && ret == 0; i++) {
        ret = step(image, blk);
        image->worker->n_ops++;
    }
    ret = ret < 0 ? ret : blk_flush(blk);
    if (ret < 0) {
        complain(image, "a request failed:", ret);
    }
}

static char *checksum(Worker *worker, const char *name)
{
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_MD5);
    g_autoptr(GError) error = NULL;
    g_autoptr(BlockBackend) blk = blk_open(name, NULL, 0, &error);
    g_autofree uint8_t *data = g_malloc(LONGEST);
    int64_t size = blk ? blk_getlength(blk) : 0;

    if (!blk) {
        worker_complain(worker, g_strdup(error->message));
    }
    for (int64_t at = 0; at < size; at += LONGEST) {
        int64_t n = MIN((int64_t)LONGEST, size - at);

        if (blk_pread(blk, at, n, data, 0) < 0) {
            worker_complain(worker, g_strdup("fat:DIR cannot be read"));
        }
        g_checksum_update(sum, data, n);
    }
    return g_strdup(g_checksum_get_string(sum));
}

static void read_twice(Worker *worker, const char *dir)
{
    g_autofree char *name = g_strdup_printf("fat:size=24M:%s", dir);
    g_autofree char *once = checksum(worker, name);
    g_autofree char *twice = checksum(worker, name);

    if (strcmp(once, twice) != 0) {
        worker_complain(worker, g_strdup("fat:DIR is not the same twice"));
    }
}

void images_work(Worker *worker)
{
    static const char *const formats[] = { "raw", "qcow", "qcow2" };
    g_autofree char *dir = g_build_filename(worker->work, "dir", NULL);
    Image image = { .worker = worker, .prng = { worker->seed } };

    image.path = g_build_filename(worker->work, "image", NULL);
    image.format = formats[prng_below(&image.prng, G_N_ELEMENTS(formats))];
    image.data = g_malloc0((gsize)SIZE);
    worker->what = g_strdup_printf("images, seed %" PRIu64 ", %s",
                                   worker->seed, image.format);
    if (create(&image)) {
        for (unsigned i = 0; i < worker->soak->n_ops / 20 && !worker->why;
             i++) {
            use(&image);
        }
    }
    model_free(hostdir_make(dir, worker->seed, UINT32_C(8) << 20));
    for (unsigned i = 0; i < 2 && !worker->why; i++) {
        read_twice(worker, dir);
    }
    g_free(image.path);
    g_free(image.data);
}
