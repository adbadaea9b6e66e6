/* SPDX-License-Identifier: MIT */
/*
 * The graph changes beside requests: threads write parts of the same blocks
 * through one node (read-modify-writes that must not undo each other), while
 * others open and close a second user of that node, drain it, report events
 * that it listens to, and add and remove blockers.
 */
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "block/driver.h"

#define WRITERS 4
#define ROUNDS 1000
#define PART 100 /* bytes of each block that one thread owns */

typedef struct Job {
    BlockBackend *blk;
    int self;
    const char *wrong; /* the step that failed; NULL: none */
} Job;

static BlockBackend *open_shared(const char *text, unsigned perm,
                                 GError **errp)
{
    g_autoptr(Options) options = options_new();

    if (!options_parse_keyval(options, text, NULL, errp)) {
        return NULL;
    }
    return blk_open_with_perm(NULL, options, BDRV_O_RDWR, perm, BLK_PERM_ALL,
                              errp);
}

static gpointer writer_run(gpointer opaque)
{
    Job *job = opaque;
    uint8_t mine[PART], back[PART];

    for (int i = 0; i < ROUNDS && job->wrong == NULL; i++) {
        int64_t offset = (i % 3) * 4096 + job->self * PART;

        memset(mine, job->self * 50 + i % 50 + 1, PART);
        if (blk_pwrite(job->blk, offset, PART, mine, 0) < 0 ||
            blk_pread(job->blk, offset, PART, back, 0) < 0) {
            job->wrong = "a request failed";
        } else if (memcmp(mine, back, PART) != 0) {
            job->wrong = "another thread's write undid this one's";
        }
    }
    return NULL;
}

static gpointer opener_run(gpointer opaque)
{
    Job *job = opaque;
    uint8_t buf[512];

    for (int i = 0; i < ROUNDS && job->wrong == NULL; i++) {
        BlockBackend *blk = open_shared("driver=raw,file=disk",
                                        BLK_PERM_CONSISTENT_READ, NULL);

        if (blk == NULL || blk_pread(blk, 0, sizeof(buf), buf, 0) < 0) {
            job->wrong = "the second user could not read";
        }
        blk_close(blk);
    }
    return NULL;
}

static gpointer drainer_run(gpointer opaque)
{
    Job *job = opaque;

    for (int i = 0; i < ROUNDS; i++) {
        blk_drained_begin(job->blk);
        g_thread_yield();
        blk_drained_end(job->blk);
    }
    return NULL;
}

static gpointer reporter_run(gpointer opaque)
{
    Job *job = opaque;
    BlockDriverState *bs = blk_bs(job->blk);

    for (int i = 0; i < ROUNDS; i++) {
        unsigned blocker = bdrv_add_state_save_blocker(bs, "because");
        g_auto(GStrv) reasons = blk_get_state_save_blockers(job->blk);

        if (g_strv_length(reasons) != 1) {
            job->wrong = "a blocker was lost";
        }
        bdrv_remove_state_save_blocker(bs, blocker);
        bdrv_debug_event(bs, "something");
    }
    return NULL;
}

static int run_all(BlockBackend *blk)
{
    static const GThreadFunc others[] = { opener_run, drainer_run,
                                          reporter_run };
    Job jobs[WRITERS + G_N_ELEMENTS(others)];
    GThread *threads[G_N_ELEMENTS(jobs)];
    int failed = 0;

    for (int i = 0; i < (int)G_N_ELEMENTS(jobs); i++) {
        GThreadFunc run = i < WRITERS ? writer_run : others[i - WRITERS];

        jobs[i] = (Job){ .blk = blk, .self = i };
        threads[i] = g_thread_new("job", run, &jobs[i]);
    }
    for (int i = 0; i < (int)G_N_ELEMENTS(jobs); i++) {
        g_thread_join(threads[i]);
        if (jobs[i].wrong) {
            fprintf(stderr, "thread %d: %s\n", i, jobs[i].wrong);
            failed = 1;
        }
    }
    return failed;
}

int main(void)
{
    g_autofree char *path = g_strdup("/tmp/vvfat-graph-XXXXXX");
    g_autofree char *options = NULL;
    g_autoptr(GError) error = NULL;
    int fd = g_mkstemp(path);

    if (fd < 0 || ftruncate(fd, 64 * 1024) < 0) {
        perror(path);
        return 1;
    }
    close(fd);
    options = g_strdup_printf("driver=raw,file.driver=blkdebug,"
                              "file.node-name=disk,file.align=4096,"
                              "file.image.driver=file,file.image.filename=%s",
                              path);
    BlockBackend *blk = open_shared(
        options, BLK_PERM_CONSISTENT_READ | BLK_PERM_WRITE, &error);
    if (blk == NULL) {
        fprintf(stderr, "%s\n", error->message);
        return 1;
    }
    int failed = run_all(blk);
    blk_close(blk);
    g_unlink(path);
    return failed;
}
