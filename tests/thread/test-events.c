/* SPDX-License-Identifier: MIT */
/*
 * Events and changes of the medium beside everything else.
 *
 * A guest makes files in a writable directory and flushes, while threads add
 * and remove handlers, at once and through a context that another one
 * dispatches; handlers ask for the node's information. Then the medium of one
 * device changes between images and a directory all the time, while others
 * read, write, drain and ask: each request meets one medium, as it is.
 */
#include <glib/gstdio.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "block/event.h"
#include "tests/model/fatvol.h"

#define ROUNDS 60
#define MEDIA_ROUNDS 40
#define IMAGE_BYTES 65536

typedef struct Job {
    BlockBackend *blk;
    AioContext *ctx;
    const char *top;
    atomic_int *stop;
    atomic_uint heard;
    const char *wrong; /* the step that failed; NULL: none */
} Job;

/* ---- Listening ---- */

/* One handler, from adding to the call of destroy. */
typedef struct Ear {
    Job *job;
    atomic_int destroyed;
} Ear;

static void ear_hear(BlockBackend *blk, const BlkEvent *event, void *opaque)
{
    Ear *ear = opaque;
    g_autoptr(BdrvInfo) info = blk ? blk_get_info(blk, NULL) : NULL;

    if (ear->destroyed || !event->node || (blk && !info)) {
        ear->job->wrong = "a handler was called after its end, or for nothing";
    }
    ear->job->heard++;
}

static void ear_destroy(gpointer opaque)
{
    Ear *ear = opaque;

    ear->destroyed++;
}

static gpointer listener_run(gpointer opaque)
{
    Job *job = opaque;

    while (!*job->stop && !job->wrong) {
        Ear ear = { .job = job };
        unsigned handle = blk_add_event_handler(job->blk, job->ctx, ear_hear,
                                                &ear, ear_destroy);

        g_usleep(3000);
        blk_remove_event_handler(job->blk, handle);
        if (ear.destroyed != 1) {
            job->wrong = "opaque was not freed once";
        }
    }
    return NULL;
}

static gpointer dispatcher_run(gpointer opaque)
{
    Job *job = opaque;

    while (!*job->stop) {
        aio_context_poll(job->ctx, 0);
        g_usleep(500);
    }
    return NULL;
}

/* ---- A guest ---- */

static gpointer guest_run(gpointer opaque)
{
    Job *job = opaque;
    g_autofree char *why = NULL;
    Disk *disk = disk_new(job->blk, &why);
    FatVol *vol = disk ? fatvol_open(disk, &why) : NULL;

    for (int i = 0; vol && i < ROUNDS && !job->wrong; i++) {
        g_autofree char *name = g_strdup_printf("FILE%d", i);
        FatEntry entry;

        if (!fatvol_add(vol, 0, name, true, SLOT_ANY, &entry)) {
            job->wrong = "there is no room for a file";
            break;
        }
        entry_set_time(vol, &entry, 1600000000 + i * 2);
        fatvol_write(vol, &entry, 0, (const uint8_t *)name, 5);
        if (i % 3 == 0) { /* a file that waits until it is removed */
            fatvol_put(vol, entry_cluster(vol, &entry), 0);
        }
        g_free(disk_write(disk, ORDER_LINUX, 0, 0, UINT32_MAX));
        if (blk_flush(job->blk) < 0) {
            job->wrong = "flushing failed";
        }
        if (i % 3 == 0) {
            fatvol_delete_tree(vol, &entry);
        }
        fatvol_entry_clear(&entry);
    }
    *job->stop = 1;
    if (!vol) {
        job->wrong = "the guest has no volume";
    }
    fatvol_free(vol);
    if (disk) {
        disk->blk = NULL;
        disk_free(disk);
    }
    return NULL;
}

/* ---- Media ---- */

static gpointer reader_run(gpointer opaque)
{
    Job *job = opaque;

    while (!*job->stop && !job->wrong) {
        uint8_t buf[SECTOR];
        g_autofree char *name = blk_get_filename(job->blk);
        int64_t length = blk_getlength(job->blk);
        BlkGeometry geometry;

        /* No medium may be found, but not by a request. */
        if (blk_pread(job->blk, 0, SECTOR, buf, 0) < 0 || !name ||
            blk_get_geometry(job->blk, &geometry) < 0 ||
            (length != 0 && length < IMAGE_BYTES)) {
            job->wrong = "a request or a question failed";
        } else if (memcmp(buf, buf + 1, SECTOR - 1) != 0 &&
                   buf[SECTOR - 1] != 0xaa) {
            job->wrong = "a sector of no medium was read";
        }
    }
    return NULL;
}

static void completed(void *opaque, int ret)
{
    Job *job = opaque;

    if (ret < 0) {
        job->wrong = "an asynchronous request failed";
    }
    job->heard++;
}

/* Requests of a context of its own. */
static gpointer aio_run(gpointer opaque)
{
    Job *job = opaque;
    g_autoptr(AioContext) ctx = aio_context_new(2, NULL);
    uint8_t buf[8][SECTOR];

    while (ctx && !*job->stop && !job->wrong) {
        for (int i = 0; i < 8; i++) {
            g_auto(IOVector) iov;

            iov_init_buf(&iov, buf[i], SECTOR);
            blk_aio_preadv(job->blk, ctx, i * SECTOR, &iov, 0, completed, job);
        }
        blk_aio_flush(job->blk, ctx, completed, job);
        aio_context_drain(ctx);
    }
    return NULL;
}

static bool change(Job *job, int round)
{
    static const char *const media[] = {
        "driver=raw,node-name=n,file.filename=%s/a",
        "driver=raw,file.filename=%s/b",
        "driver=vvfat,rw=on,fat-type=12,size=1M,partition=none,dir=%s/dir",
    };
    const char *medium = media[round / 2 % G_N_ELEMENTS(media)];
    g_autoptr(Options) options = options_new();
    g_auto(GStrv) parts = g_strsplit(medium, "%s", 2);
    g_autofree char *text = g_strjoinv(job->top, parts);
    g_autoptr(GError) error = NULL;
    bool again = round % 2;

    if (!options_parse_keyval(options, text, NULL, &error) ||
        !blk_change_medium(job->blk, NULL, again ? NULL : options, BDRV_O_RDWR,
                           &error)) {
        fprintf(stderr, "%s\n", error->message);
        return false;
    }
    return true;
}

static gpointer changer_run(gpointer opaque)
{
    Job *job = opaque;

    for (int i = 0; i < MEDIA_ROUNDS && !job->wrong; i++) {
        if (!change(job, i)) {
            job->wrong = "a change of the medium failed";
        }
        if (i % 5 == 0) {
            blk_drained_begin(job->blk);
            blk_drained_end(job->blk);
        }
        g_usleep(1000);
    }
    *job->stop = 1;
    return NULL;
}

/* ---- All of it ---- */

static int run_jobs(BlockBackend *blk, AioContext *ctx, const char *top,
                    const GThreadFunc *funcs, unsigned n)
{
    atomic_int stop = 0;
    Job jobs[8] = { 0 };
    GThread *threads[8];
    int failed = 0;

    for (unsigned i = 0; i < n; i++) {
        /* Every other listener is called through the context. */
        bool has_ctx = funcs[i] == dispatcher_run || i % 2;

        jobs[i].blk = blk;
        jobs[i].ctx = has_ctx ? ctx : NULL;
        jobs[i].top = top;
        jobs[i].stop = &stop;
        threads[i] = g_thread_new("job", funcs[i], &jobs[i]);
    }
    for (unsigned i = 0; i < n; i++) {
        g_thread_join(threads[i]);
        if (!jobs[i].wrong && funcs[i] == listener_run && !jobs[i].heard) {
            jobs[i].wrong = "a listener heard nothing";
        }
        if (jobs[i].wrong) {
            fprintf(stderr, "job %u: %s\n", i, jobs[i].wrong);
            failed = 1;
        }
    }
    return failed;
}

static BlockBackend *open_disk(const char *top, const char *rest)
{
    g_autoptr(Options) options = options_new();
    g_autofree char *text = g_strconcat(rest, top, "/dir", NULL);
    g_autoptr(GError) error = NULL;
    BlockBackend *blk = NULL;

    if (options_parse_keyval(options, text, NULL, &error)) {
        blk = blk_open(NULL, options, BDRV_O_RDWR, &error);
    }
    if (!blk) {
        fprintf(stderr, "%s\n", error->message);
    }
    return blk;
}

static void make_image(const char *top, const char *name, char byte)
{
    g_autofree char *path = g_build_filename(top, name, NULL);
    g_autofree char *data = g_malloc(IMAGE_BYTES);

    memset(data, byte, IMAGE_BYTES);
    g_assert(g_file_set_contents(path, data, IMAGE_BYTES, NULL));
}

static int run_all(const char *top)
{
    static const GThreadFunc guest[] = { listener_run, listener_run, guest_run,
                                         dispatcher_run };
    static const GThreadFunc media[] = { listener_run, listener_run,
                                         changer_run,  dispatcher_run,
                                         reader_run,   aio_run };
    AioContext *ctx = aio_context_new(2, NULL);
    BlockBackend *blk = open_disk(top,
                                  "driver=vvfat,rw=on,fat-type=12,size=1M,"
                                  "partition=none,commit-delay=1,dir=");
    Job last = { 0 };
    Ear ear = { .job = &last };
    int failed = 1;

    if (ctx && blk) {
        failed = run_jobs(blk, ctx, top, guest, G_N_ELEMENTS(guest));
        failed |= run_jobs(blk, ctx, top, media, G_N_ELEMENTS(media));
        blk_add_event_handler(blk, ctx, ear_hear, &ear, ear_destroy);
    }
    blk_close(blk);
    while (ctx && aio_context_dispatch(ctx)) {
    }
    if (ctx) {
        aio_context_unref(ctx);
    }
    return failed || last.wrong || ear.destroyed != 1;
}

int main(void)
{
    g_autofree char *top = g_dir_make_tmp("vvfat-events-XXXXXX", NULL);
    g_autofree char *dir = g_build_filename(top, "dir", NULL);
    g_autofree char *command = g_strdup_printf("rm -r '%s'", top);
    int failed;

    g_assert(top && g_mkdir(dir, 0755) == 0);
    make_image(top, "a", 'A');
    make_image(top, "b", 'B');
    failed = run_all(top);
    g_assert(g_spawn_command_line_sync(command, NULL, NULL, NULL, NULL));
    return failed;
}
