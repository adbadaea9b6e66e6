/* SPDX-License-Identifier: MIT */
/*
 * An image that grows over a longer backing file while it is used: by
 * resizing, and by a parent's writes past the end, from two threads. Others
 * write and read at the end meanwhile. What the backing file has never comes
 * to light, no write is undone, and the thread sanitizer sees no race.
 */
#include <errno.h>
#include <glib/gstdio.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "block/driver.h"

#define WRITERS 3
#define CLASSES 4 /* of offsets, by remainder: the writers', the growers' */
#define STEP 3072 /* bytes by which it grows: no whole clusters */
#define START 1024
#define SIZE (START + 200 * STEP)
#define TAIL 8192 /* what is looked at, at the end */
#define OLD 0x11  /* every byte of the backing file */

typedef struct Worker {
    BlockBackend *blk; /* a filter over the image */
    unsigned self;
    GRand *rand;
    uint8_t *written;  /* by this thread; 0: nothing */
    const char *wrong; /* what failed; NULL: nothing */
} Worker;

static atomic_bool finished; /* growing */

static void step_write(Worker *w)
{
    int64_t length = blk_getlength(w->blk);
    int64_t near = MIN(length, 2 * TAIL);
    int64_t at = length - near + g_rand_int_range(w->rand, 0, (gint32)near);
    uint8_t byte = (uint8_t)g_rand_int_range(w->rand, OLD + 1, 256);
    uint8_t found = 0;

    at += w->self - at % CLASSES;
    if (at >= length) {
        return;
    }
    if (blk_pwrite(w->blk, at, 1, &byte, 0) < 0 ||
        blk_pread(w->blk, at, 1, &found, 0) < 0) {
        w->wrong = "writing or reading failed";
    } else if (found != byte) {
        w->wrong = "a byte is not what was written";
    }
    w->written[at] = byte;
}

static void step_look(Worker *w)
{
    int64_t length = blk_getlength(w->blk);
    int64_t start = MAX(length - TAIL, START);
    uint8_t buf[TAIL];

    if (length <= start) {
        return;
    }
    if (blk_pread(w->blk, start, length - start, buf, 0) < 0) {
        w->wrong = "reading the end failed";
    } else if (memchr(buf, OLD, (size_t)(length - start))) {
        w->wrong = "the backing file has come to light";
    }
}

static gpointer writer_run(gpointer opaque)
{
    Worker *w = opaque;

    while (!w->wrong && !finished) {
        step_write(w);
        step_look(w);
    }
    return NULL;
}

/* Two at once; the one or the other is late now and then, and then writes
 * what is inside already. */
static gpointer grower_run(gpointer opaque)
{
    Worker *w = opaque;
    BdrvChild *child = bdrv_child(blk_bs(w->blk), "image");
    uint8_t zero = 0;
    int ret = 0;

    for (int64_t end = START; ret == 0 && end < SIZE;) {
        end = blk_getlength(w->blk) + STEP;
        ret = w->self ? bdrv_pwrite(child, end - 1, 1, &zero, 0)
                      : bdrv_pwrite_zeroes(child, end - 1, 1, 0);
    }
    if (ret < 0) {
        w->wrong = "writing past the end failed";
    }
    return NULL;
}

static gpointer resizer_run(gpointer opaque)
{
    Worker *w = opaque;

    for (int64_t size = START; !w->wrong && size < SIZE; size += STEP) {
        if (blk_truncate(w->blk, size + STEP, false, PREALLOC_MODE_OFF, NULL) <
            0) {
            w->wrong = "resizing failed";
        }
    }
    return NULL;
}

static const char *compare(Worker *w)
{
    int64_t length = blk_getlength(w->blk);

    for (int64_t at = w->self; at < length; at += CLASSES) {
        uint8_t byte = 0;

        if (w->written[at] && (blk_pread(w->blk, at, 1, &byte, 0) < 0 ||
                               byte != w->written[at])) {
            return "a write was undone";
        }
    }
    return w->wrong;
}

static BlockBackend *open_images(void)
{
    g_autofree char *old = g_strnfill(SIZE * 2, OLD);
    g_autoptr(Options) create = options_new();
    g_autoptr(Options) options = options_new();
    g_autoptr(GError) error = NULL;
    BlockBackend *blk = NULL;

    options_set_int(create, "size", START);
    options_set_int(create, "cluster_size", 4096);
    if (g_file_set_contents("base", old, SIZE * 2, &error) &&
        bdrv_create("qcow2", "image", create, &error) &&
        options_parse_keyval(options,
                             "driver=blkdebug,image.driver=qcow2,"
                             "image.file.filename=image,"
                             "image.backing.driver=raw,"
                             "image.backing.file.filename=base",
                             NULL, &error)) {
        blk = blk_open(NULL, options, BDRV_O_RDWR | BDRV_O_RESIZE, &error);
    }
    if (!blk) {
        fprintf(stderr, "%s\n", error ? error->message : "?");
    }
    return blk;
}

/* Grow with these threads, while the writers write. What failed, or NULL. */
static const char *grow(GThreadFunc run, unsigned growers)
{
    BlockBackend *blk = open_images();
    Worker workers[WRITERS + 2] = { 0 };
    GThread *threads[WRITERS + 2];
    const char *wrong = blk ? NULL : "opening failed";
    unsigned n = blk ? WRITERS + growers : 0;

    finished = false;
    for (unsigned i = 0; i < n; i++) {
        Worker *w = &workers[i];
        bool writes = i < WRITERS;

        w->blk = blk;
        w->self = writes ? i : i - WRITERS;
        w->rand = g_rand_new_with_seed(i);
        w->written = g_malloc0(SIZE + 2 * STEP + CLASSES);
        threads[i] = g_thread_new("worker", writes ? writer_run : run, w);
    }
    for (unsigned i = n; i-- > 0;) {
        if (i < WRITERS) {
            finished = true;
        }
        g_thread_join(threads[i]);
    }
    for (unsigned i = 0; i < n; i++) {
        const char *found = i < WRITERS ? compare(&workers[i])
                                        : workers[i].wrong;

        wrong = wrong ? wrong : found;
        g_rand_free(workers[i].rand);
        g_free(workers[i].written);
    }
    blk_close(blk);
    g_unlink("image");
    g_unlink("base");
    return wrong;
}

int main(void)
{
    g_autofree char *dir = g_dir_make_tmp("vvfat-growing-XXXXXX", NULL);
    const char *wrong = "no directory";

    if (dir && g_chdir(dir) == 0) {
        wrong = grow(resizer_run, 1);
        wrong = wrong ? wrong : grow(grower_run, 2);
        (void)!g_chdir("/");
        g_rmdir(dir);
    }
    if (wrong) {
        fprintf(stderr, "%s\n", wrong);
    }
    return wrong != NULL;
}
