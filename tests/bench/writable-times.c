/* SPDX-License-Identifier: MIT */
/*
 * Times of a writable directory, for rows_commit.py.
 *
 *   writable-times replay DIR BEFORE AFTER ROUNDS
 *       BEFORE and AFTER are raw images of DIR's disk, as it is and as a guest
 *       would have left it. What differs is written onto fat:rw:DIR, and the
 *       flush is timed: a line of seconds. Each further round goes back, and
 *       forth again.
 *   writable-times busy DIR BEFORE AFTER FILE SECONDS
 *       The same once, with a guest that reads and writes 4 KiB all over the
 *       clusters of DIR/FILE. A line: the 99th percentile of its requests in
 *       SECONDS at rest, the one while the flush runs, and the flush's time.
 *   writable-times open DIR READ-ONLY-OR-RW
 *       A line: seconds to open, and the bytes that the process has grown by.
 *
 * DISK_SIZE in the environment is the option `size` of the disk.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "block/block.h"

#define CHUNK (1 << 20)
#define SECTOR 512
#define REQUEST 4096
#define MAX_SAMPLES (1 << 22)

G_NORETURN static void die(const char *what, int ret)
{
    g_autofree char *text = ret < 0 ? blk_strerror(ret) : NULL;

    fprintf(stderr, "writable-times: %s%s%s\n", what, text ? ": " : "",
            text ? text : "");
    exit(1);
}

static void must(const char *what, int ret)
{
    if (ret < 0) {
        die(what, ret);
    }
}

static double seconds_since(gint64 start)
{
    return (double)(g_get_monotonic_time() - start) / 1e6;
}

static BlockBackend *open_disk(const char *dir, bool rw)
{
    g_autofree char *name = g_strconcat(rw ? "fat:rw:" : "fat:", dir, NULL);
    g_autoptr(Options) options = options_new();
    g_autoptr(GError) error = NULL;
    BlockBackend *blk;

    if (g_getenv("DISK_SIZE")) {
        options_set(options, "size", g_getenv("DISK_SIZE"));
    }
    if (rw) {
        /* Nothing is committed but by the flush that is timed. */
        options_set(options, "commit", "flush");
        options_set(options, "commit-delay", "3600000");
    }
    blk = blk_open(name, options, rw ? BDRV_O_RDWR : 0, &error);
    if (!blk) {
        die(error->message, 0);
    }
    return blk;
}

/* ---- Replaying ---- */

static int open_image(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0) {
        die(path, 0);
    }
    return fd;
}

static void read_image(int fd, int64_t offset, uint8_t *buf, size_t bytes)
{
    ssize_t n = pread(fd, buf, bytes, offset);

    if (n < 0) {
        die("cannot read an image", 0);
    }
    memset(buf + n, 0, bytes - (size_t)n);
}

/* Write the sectors of a chunk that differ, run by run. */
static void replay_chunk(BlockBackend *blk, int64_t offset, const uint8_t *old,
                         const uint8_t *new, size_t bytes)
{
    size_t from = 0;

    if (memcmp(old, new, bytes) == 0) {
        return;
    }
    for (size_t at = 0; at <= bytes; at += SECTOR) {
        if (at < bytes && memcmp(old + at, new + at, SECTOR) != 0) {
            continue;
        }
        if (from < at) {
            must("write", blk_pwrite(blk, offset + (int64_t)from,
                                     (int64_t)(at - from), new + from, 0));
        }
        from = at + SECTOR;
    }
}

static void replay(BlockBackend *blk, const char *before, const char *after)
{
    g_autofree uint8_t *old = g_malloc(CHUNK);
    g_autofree uint8_t *new = g_malloc(CHUNK);
    int64_t end = blk_getlength(blk);
    int old_fd = open_image(before), new_fd = open_image(after);

    for (int64_t at = 0; at < end; at += CHUNK) {
        size_t bytes = (size_t)MIN(CHUNK, end - at);

        read_image(old_fd, at, old, bytes);
        read_image(new_fd, at, new, bytes);
        replay_chunk(blk, at, old, new, bytes);
    }
    close(old_fd);
    close(new_fd);
}

static void run_replay(char **argv)
{
    g_autoptr(BlockBackend) blk = open_disk(argv[0], true);
    int rounds = atoi(argv[3]);

    for (int i = 0; i < rounds; i++) {
        gint64 start;

        replay(blk, argv[1 + i % 2], argv[2 - i % 2]);
        start = g_get_monotonic_time();
        must("flush", blk_flush(blk));
        printf("%.6f\n", seconds_since(start));
    }
}

/* ---- A guest that does something else meanwhile ---- */

typedef struct Guest {
    BlockBackend *blk;
    int64_t offset, bytes; /* where it reads and writes */
    atomic_bool stop;
    float *latencies; /* microseconds */
    size_t n;
} Guest;

static void *guest_thread(void *opaque)
{
    Guest *g = opaque;
    uint8_t data[REQUEST];
    uint64_t state = 88172645463325252;

    memset(data, 'g', sizeof(data));
    while (!atomic_load(&g->stop) && g->n < MAX_SAMPLES) {
        gint64 start = g_get_monotonic_time();
        int64_t at;

        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        at = g->offset +
             (int64_t)((state >> 1) % (uint64_t)(g->bytes / REQUEST)) *
                 REQUEST;
        must("guest", state & 1 ? blk_pread(g->blk, at, REQUEST, data, 0)
                                : blk_pwrite(g->blk, at, REQUEST, data, 0));
        g->latencies[g->n++] = (float)(g_get_monotonic_time() - start);
        g_usleep(50); /* or it alone would fill a processor */
    }
    return NULL;
}

static int compare_floats(const void *a, const void *b)
{
    float one = *(const float *)a, other = *(const float *)b;

    return (one > other) - (one < other);
}

static float percentile_99(Guest *g)
{
    if (g->n == 0) {
        return 0;
    }
    qsort(g->latencies, g->n, sizeof(*g->latencies), compare_floats);
    return g->latencies[g->n * 99 / 100];
}

/* Where the clusters of a file are: its longest extent. */
static void find_file(const char *dir, const char *file, Guest *g)
{
    g_autoptr(BlockBackend) blk = open_disk(dir, false);
    int64_t end = blk_getlength(blk), at = 0;

    while (at < end) {
        g_auto(BdrvBlockStatus) status = { 0 };

        must("status", blk_block_status(blk, at, end - at, BDRV_WANT_HOST_FILE,
                                        &status));
        if (status.host_file && g_str_has_suffix(status.host_file, file) &&
            status.bytes > g->bytes) {
            g->offset = at;
            g->bytes = status.bytes;
        }
        at += status.bytes;
    }
    if (g->bytes < REQUEST) {
        die("the disk does not have the file", 0);
    }
}

static void run_busy(char **argv)
{
    Guest g = { .latencies = g_new(float, MAX_SAMPLES) };
    g_autoptr(BlockBackend) blk = NULL;
    float at_rest, in_commit;
    pthread_t thread;
    gint64 start;
    double taken;

    find_file(argv[0], argv[3], &g);
    blk = open_disk(argv[0], true);
    g.blk = blk;
    replay(blk, argv[1], argv[2]);
    pthread_create(&thread, NULL, guest_thread, &g);
    g_usleep((gulong)(atof(argv[4]) * 1e6));
    atomic_store(&g.stop, true);
    pthread_join(thread, NULL);
    at_rest = percentile_99(&g);

    g.n = 0;
    atomic_store(&g.stop, false);
    start = g_get_monotonic_time();
    pthread_create(&thread, NULL, guest_thread, &g);
    must("flush", blk_flush(blk));
    taken = seconds_since(start);
    atomic_store(&g.stop, true);
    pthread_join(thread, NULL);
    in_commit = percentile_99(&g);
    printf("%.0f %.0f %.3f\n", at_rest, in_commit, taken);
    g_free(g.latencies);
}

/* ---- Opening ---- */

static int64_t resident_bytes(void)
{
    g_autofree char *text = NULL;
    long long total, resident = 0;

    if (!g_file_get_contents("/proc/self/statm", &text, NULL, NULL) ||
        sscanf(text, "%lld %lld", &total, &resident) != 2) {
        return 0;
    }
    return resident * sysconf(_SC_PAGESIZE);
}

static void run_open(char **argv)
{
    int64_t before = resident_bytes();
    gint64 start = g_get_monotonic_time();
    BlockBackend *blk = open_disk(argv[0], strcmp(argv[1], "rw") == 0);

    printf("%.6f", seconds_since(start));
    printf(" %" PRId64 "\n", resident_bytes() - before);
    blk_close(blk);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int n_args;
        void (*run)(char **argv);
    } commands[] = {
        { "replay", 4, run_replay },
        { "busy", 5, run_busy },
        { "open", 2, run_open },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(commands); i++) {
        if (argc == commands[i].n_args + 2 &&
            strcmp(argv[1], commands[i].name) == 0) {
            commands[i].run(argv + 2);
            return 0;
        }
    }
    die("see the head of its source", 0);
}
