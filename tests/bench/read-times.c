/* SPDX-License-Identifier: MIT */
/*
 * Random reads, for rows_reads.py and scale.py. Prints how many there were in
 * a second.
 *
 *   read-times threads NAME BYTES SPAN THREADS NODES
 *       Each thread makes blocking reads of BYTES in the first SPAN bytes of
 *       the image, which is opened NODES times; threads go round over them.
 *   read-times files NAME BYTES
 *       One thread reads BYTES where a host file begins, of all files.
 *   read-times queue NAME BYTES SPAN DEPTH
 *       One thread keeps DEPTH asynchronous reads under way.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/aio.h"

#define RUN_US (G_USEC_PER_SEC / 2)
#define MAX_THREADS 64u
#define MAX_DEPTH 1024u

typedef struct Reader {
    BlockBackend *blk;
    int64_t bytes, span;
    const GArray *starts; /* int64_t: read there only; NULL: anywhere */
    uint64_t random;      /* state; odd numbers differ */
    uint64_t reads;
    pthread_t thread;
} Reader;

static atomic_bool stop;

G_NORETURN static void die(const char *what, const char *why)
{
    fprintf(stderr, "read-times: %s: %s\n", what, why);
    exit(1);
}

static int64_t next_offset(Reader *r)
{
    uint64_t choices = r->starts ? r->starts->len
                                 : (uint64_t)(r->span / r->bytes);
    uint64_t chosen;

    r->random ^= r->random << 13;
    r->random ^= r->random >> 7;
    r->random ^= r->random << 17;
    chosen = r->random % choices;
    return r->starts ? g_array_index(r->starts, int64_t, chosen)
                     : (int64_t)chosen * r->bytes;
}

static BlockBackend *open_image(const char *name)
{
    g_autoptr(GError) error = NULL;
    BlockBackend *blk = blk_open(name, NULL, 0, &error);

    if (blk == NULL) {
        die(name, error->message);
    }
    return blk;
}

static void must(int ret)
{
    if (ret < 0) {
        die("reading", blk_strerror(ret));
    }
}

/* ---- Blocking ---- */

static void *reader_main(void *opaque)
{
    Reader *r = opaque;
    g_autofree char *buf = g_malloc((gsize)r->bytes);
    uint64_t reads = 0;

    while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
        must(blk_pread(r->blk, next_offset(r), r->bytes, buf, 0));
        reads++;
    }
    r->reads = reads;
    return NULL;
}

static double run_threads(const char *name, int64_t bytes, int64_t span,
                          unsigned n_threads, unsigned n_nodes)
{
    g_autofree Reader *readers = g_new0(Reader, n_threads);
    g_autofree BlockBackend **nodes = g_new(BlockBackend *, n_nodes);
    uint64_t reads = 0;

    for (unsigned i = 0; i < n_nodes; i++) {
        nodes[i] = open_image(name);
    }
    int64_t start = g_get_monotonic_time();
    for (unsigned i = 0; i < n_threads; i++) {
        readers[i] = (Reader){ .blk = nodes[i % n_nodes],
                               .bytes = bytes,
                               .span = span,
                               .random = 2 * i + 1 };
        if (pthread_create(&readers[i].thread, NULL, reader_main,
                           &readers[i]) != 0) {
            die("a thread", "could not be started");
        }
    }
    g_usleep(RUN_US);
    atomic_store(&stop, true);
    for (unsigned i = 0; i < n_threads; i++) {
        pthread_join(readers[i].thread, NULL);
        reads += readers[i].reads;
    }
    double seconds = (double)(g_get_monotonic_time() - start) / G_USEC_PER_SEC;
    for (unsigned i = 0; i < n_nodes; i++) {
        blk_close(nodes[i]);
    }
    return (double)reads / seconds;
}

/* ---- Files ---- */

static GArray *find_files(BlockBackend *blk, int64_t bytes)
{
    GArray *starts = g_array_new(FALSE, FALSE, sizeof(int64_t));
    int64_t end = blk_getlength(blk) - bytes;

    for (int64_t at = 0; at <= end;) {
        g_auto(BdrvBlockStatus) status = { 0 };

        must(blk_block_status(blk, at, end + bytes - at, BDRV_WANT_HOST_FILE,
                              &status));
        if (status.host_file && status.map == 0) {
            g_array_append_val(starts, at);
        }
        at += status.bytes;
    }
    return starts;
}

static double run_files(const char *name, int64_t bytes)
{
    Reader r = { .blk = open_image(name), .bytes = bytes, .random = 1 };
    g_autoptr(GArray) starts = find_files(r.blk, bytes);
    g_autofree char *buf = g_malloc((gsize)bytes);
    int64_t start, spent;

    if (starts->len == 0) {
        die(name, "there are no files");
    }
    r.starts = starts;
    start = g_get_monotonic_time();
    do {
        must(blk_pread(r.blk, next_offset(&r), bytes, buf, 0));
        r.reads++;
        spent = g_get_monotonic_time() - start;
    } while (spent < RUN_US);
    blk_close(r.blk);
    return (double)r.reads * G_USEC_PER_SEC / (double)spent;
}

/* ---- A queue ---- */

typedef struct Queue {
    Reader reader;
    AioContext *ctx;
    int64_t end;
} Queue;

typedef struct Place {
    Queue *queue;
    char *buf;
} Place;

static void place_read(Place *place);

static void place_done(void *opaque, int ret)
{
    Place *place = opaque;

    must(ret);
    place->queue->reader.reads++;
    if (g_get_monotonic_time() < place->queue->end) {
        place_read(place);
    }
}

static void place_read(Place *place)
{
    Reader *r = &place->queue->reader;
    IOVector iov;

    iov_init_buf(&iov, place->buf, (size_t)r->bytes);
    blk_aio_preadv(r->blk, place->queue->ctx, next_offset(r), &iov, 0,
                   place_done, place);
}

static double run_queue(const char *name, int64_t bytes, int64_t span,
                        unsigned depth)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(AioContext) ctx = aio_context_new(0, &error);
    g_autofree Place *places = g_new(Place, depth);
    Queue q = { .reader = { .bytes = bytes, .span = span, .random = 1 } };

    if (ctx == NULL) {
        die("a context", error->message);
    }
    q.ctx = ctx;
    q.reader.blk = open_image(name);
    int64_t start = g_get_monotonic_time();
    q.end = start + RUN_US;
    for (unsigned i = 0; i < depth; i++) {
        places[i] = (Place){ .queue = &q, .buf = g_malloc((gsize)bytes) };
        place_read(&places[i]);
    }
    aio_context_drain(ctx);
    double seconds = (double)(g_get_monotonic_time() - start) / G_USEC_PER_SEC;
    for (unsigned i = 0; i < depth; i++) {
        g_free(places[i].buf);
    }
    blk_close(q.reader.blk);
    return (double)q.reader.reads / seconds;
}

/* ---- The command line ---- */

static int64_t number(const char *text, guint64 max)
{
    guint64 n;

    if (!g_ascii_string_to_unsigned(text, 10, 1, max, &n, NULL)) {
        die(text, "not a number that is possible here");
    }
    return (int64_t)n;
}

int main(int argc, char **argv)
{
    bool threads = argc == 7 && strcmp(argv[1], "threads") == 0;
    bool files = argc == 4 && strcmp(argv[1], "files") == 0;
    bool queue = argc == 6 && strcmp(argv[1], "queue") == 0;

    if (!threads && !files && !queue) {
        die("usage", "see the head of tests/bench/read-times.c");
    }
    int64_t bytes = number(argv[3], 1 << 30);
    if (files) {
        printf("%.0f\n", run_files(argv[2], bytes));
        return 0;
    }
    int64_t span = number(argv[4], INT64_MAX);
    if (span < bytes) {
        die(argv[4], "the span has no room for one read");
    }
    double rate = threads ? run_threads(argv[2], bytes, span,
                                        (unsigned)number(argv[5], MAX_THREADS),
                                        (unsigned)number(argv[6], MAX_THREADS))
                          : run_queue(argv[2], bytes, span,
                                      (unsigned)number(argv[5], MAX_DEPTH));
    printf("%.0f\n", rate);
    return 0;
}
