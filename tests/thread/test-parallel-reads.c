/* SPDX-License-Identifier: MIT */
/*
 * Eight threads read one vvfat node, each at places of its own, with more
 * files than descriptors are kept open for; every byte must be the one that a
 * single reader saw, and the thread sanitizer must see no race.
 */
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>

#include "block/block.h"

#define THREADS 8
#define REQUESTS 400
#define FILES 600
#define REQUEST_MAX (192 * 1024)

typedef struct Reader {
    BlockBackend *blk;
    const uint8_t *expected;
    int64_t size;
    guint32 seed;
    char *wrong; /* what differed; NULL: nothing */
} Reader;

static void make_source(void)
{
    g_mkdir("source", 0777);
    for (int i = 0; i < FILES; i++) {
        g_autofree char *path = g_strdup_printf("source/file number %d", i);
        gsize bytes = (gsize)(i * 97 % 5000) + (i % 100 == 0 ? 1000000 : 0);
        g_autofree char *data = g_malloc(bytes + 1);

        memset(data, 'a' + i % 26, bytes);
        if (!g_file_set_contents(path, data, (gssize)bytes, NULL)) {
            perror(path);
        }
    }
}

static gpointer reader_run(gpointer opaque)
{
    Reader *reader = opaque;
    g_autofree uint8_t *buf = g_malloc(REQUEST_MAX);
    GRand *rand = g_rand_new_with_seed(reader->seed);

    for (int i = 0; i < REQUESTS && reader->wrong == NULL; i++) {
        int64_t offset = (int64_t)(g_rand_double(rand) * (double)reader->size);
        int64_t bytes = g_rand_int_range(rand, 1, REQUEST_MAX);
        g_auto(BdrvBlockStatus) status = { 0 };
        int ret;

        bytes = MIN(bytes, reader->size - offset);
        ret = blk_pread(reader->blk, offset, bytes, buf, 0);
        if (ret < 0 || memcmp(buf, reader->expected + offset, (size_t)bytes)) {
            reader->wrong = g_strdup_printf(
                "%" G_GINT64_FORMAT " bytes at %" G_GINT64_FORMAT ": %d",
                bytes, offset, ret);
        }
        ret = blk_block_status(reader->blk, offset, bytes, BDRV_WANT_PRECISE,
                               &status);
        if (ret < 0 || status.bytes < 1 || status.bytes > bytes) {
            reader->wrong = g_strdup_printf(
                "status at %" G_GINT64_FORMAT ": %d", offset, ret);
        }
    }
    g_rand_free(rand);
    return NULL;
}

int main(void)
{
    g_autoptr(GError) err = NULL;
    g_autoptr(BlockBackend) blk = NULL;
    g_autofree uint8_t *expected = NULL;
    GThread *threads[THREADS];
    Reader readers[THREADS];
    int64_t size;
    int failed = 0;

    make_source();
    blk = blk_open("json:{\"driver\":\"vvfat\",\"dir\":\"source\","
                   "\"fat-type\":\"16\",\"size\":\"32M\"}",
                   NULL, 0, &err);
    if (blk == NULL) {
        fprintf(stderr, "%s\n", err->message);
        return 1;
    }
    size = blk_getlength(blk);
    expected = size > 0 ? g_try_malloc((gsize)size) : NULL;
    if (expected == NULL || blk_pread(blk, 0, size, expected, 0) < 0) {
        fprintf(stderr, "cannot read the whole device\n");
        return 1;
    }
    for (unsigned i = 0; i < THREADS; i++) {
        readers[i] = (Reader){ blk, expected, size, i + 1, NULL };
        threads[i] = g_thread_new("reader", reader_run, &readers[i]);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        g_thread_join(threads[i]);
        if (readers[i].wrong) {
            fprintf(stderr, "thread %u: %s\n", i, readers[i].wrong);
            g_free(readers[i].wrong);
            failed = 1;
        }
    }
    return failed;
}
