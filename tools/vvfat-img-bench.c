/* SPDX-License-Identifier: MIT */
/*
 * vvfat-img bench: the same requests as qemu-img bench, timed.
 *
 * Requests are numbered. A worker takes the next number that is not taken
 * (`taken`) and with it the position that goes with it; the request is
 * blocking, so as many are under way as there are workers. With a flush
 * interval, the queue of workers is as deep as qemu-img's: a flush is due
 * whenever the number of requests that are left is a multiple of the interval.
 * Whoever takes a request that a flush stands before waits until all earlier
 * ones are done (unless --no-drain), and flushes; those behind wait for that.
 */
#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "block/block.h"
#include "tools/tool-args.h"
#include "tools/tool-image.h"
#include "tools/tool-output.h"

#define MAX_THREADS_PER_CPU 4
#define BUFFER_ALIGNMENT 4096
#define MAX_DEPTH 4096

enum {
    KEY_FLUSH_INTERVAL = KEY_COMMAND,
    KEY_NO_DRAIN,
    KEY_PATTERN,
};

typedef struct Bench {
    ImageArgs image;
    const char *cache;
    const char *name;
    bool write, quiet, no_drain;
    int count, depth, flush_interval;
    int64_t offset, request_bytes, step; /* step -1: request_bytes */
    int pattern;

    BlockBackend *blk;
    int64_t length; /* of the image: positions wrap round */
    char *buf;      /* of all requests */
    atomic_int taken, done;
    atomic_bool failed;
    pthread_mutex_t lock;
    pthread_cond_t changed; /* `done` reached a flush, `flushed`, `failed` */
    int flushed;            /* requests before this one need not wait; lock */
} Bench;

/* ---- Requests ---- */

static void fail(Bench *b, int ret)
{
    g_autofree char *reason = blk_strerror(ret);

    pthread_mutex_lock(&b->lock);
    if (!atomic_exchange(&b->failed, true)) {
        tool_error("Failed request: %s", reason);
    }
    pthread_cond_broadcast(&b->changed);
    pthread_mutex_unlock(&b->lock);
}

/* Where request `index` begins: all go round in the image. */
static int64_t position(const Bench *b, int index)
{
    if (b->length == 0 || index == 0) {
        return b->offset;
    }
    unsigned __int128 distance = (unsigned __int128)b->step * (unsigned)index +
                                 (unsigned __int128)b->offset;
    return (int64_t)(distance % (unsigned __int128)b->length);
}

static bool is_flush_before(const Bench *b, int index)
{
    return b->flush_interval > 0 && index > 0 &&
           (b->count - index) % b->flush_interval == 0;
}

/* The first request from `index` on that a flush stands before. */
static int next_flush(const Bench *b, int index)
{
    int left = (b->count - index) % b->flush_interval;

    return index + (left == 0 && index > 0 ? 0
                    : left == 0            ? b->flush_interval
                                           : left);
}

/* Before request `index`: carry out the flush there, or wait for an earlier
 * one that somebody else carries out. */
static bool keep_flush_order(Bench *b, int index)
{
    int ret = 0;

    pthread_mutex_lock(&b->lock);
    if (is_flush_before(b, index)) {
        while (!b->no_drain && atomic_load(&b->done) < index &&
               !atomic_load(&b->failed)) {
            pthread_cond_wait(&b->changed, &b->lock);
        }
        pthread_mutex_unlock(&b->lock);
        ret = blk_flush(b->blk);
        pthread_mutex_lock(&b->lock);
        b->flushed = next_flush(b, index + 1);
        pthread_cond_broadcast(&b->changed);
    } else if (!b->no_drain) {
        while (index >= b->flushed && !atomic_load(&b->failed)) {
            pthread_cond_wait(&b->changed, &b->lock);
        }
    }
    pthread_mutex_unlock(&b->lock);
    if (ret < 0) {
        fail(b, ret);
    }
    return ret >= 0;
}

static void note_done(Bench *b)
{
    int done = atomic_fetch_add(&b->done, 1) + 1;

    if (b->flush_interval > 0 && is_flush_before(b, done)) {
        pthread_mutex_lock(&b->lock);
        pthread_cond_broadcast(&b->changed);
        pthread_mutex_unlock(&b->lock);
    }
}

/* Reads of several workers at a time may come to the same buffer: nobody
 * looks at it. But a buffer each keeps processors from fighting over it. */
static void *work(void *opaque)
{
    Bench *b = opaque;
    g_autofree char *own = NULL;
    char *buf = b->buf;

    if (!b->write && b->request_bytes > 0) {
        own = g_try_malloc((gsize)b->request_bytes);
        if (!own) {
            fail(b, -ENOMEM);
            return NULL;
        }
        buf = own;
    }
    while (!atomic_load(&b->failed)) {
        int index = atomic_fetch_add(&b->taken, 1);
        if (index >= b->count ||
            (b->flush_interval > 0 && !keep_flush_order(b, index))) {
            break;
        }
        int64_t at = position(b, index);
        int ret = b->write ? blk_pwrite(b->blk, at, b->request_bytes, buf, 0)
                           : blk_pread(b->blk, at, b->request_bytes, buf, 0);
        if (ret < 0) {
            fail(b, ret);
            break;
        }
        note_done(b);
    }
    return NULL;
}

/* ---- The run ---- */

/* More threads than this only wait for a processor. */
static unsigned choose_threads(const Bench *b)
{
    unsigned limit = MAX_THREADS_PER_CPU * g_get_num_processors();

    return CLAMP(MIN((unsigned)b->depth, (unsigned)b->count), 1, limit);
}

static void run_threads(Bench *b)
{
    unsigned n = choose_threads(b) - 1;
    g_autofree pthread_t *threads = g_new(pthread_t, n + 1);
    unsigned started = 0;

    b->flushed = b->flush_interval > 0 ? next_flush(b, 0) : b->count;
    while (started < n &&
           pthread_create(&threads[started], NULL, work, b) == 0) {
        started++;
    }
    work(b);
    while (started > 0) {
        pthread_join(threads[--started], NULL);
    }
}

static bool run_requests(Bench *b)
{
    int64_t start = g_get_monotonic_time();

    pthread_mutex_init(&b->lock, NULL);
    pthread_cond_init(&b->changed, NULL);
    run_threads(b);
    pthread_mutex_destroy(&b->lock);
    pthread_cond_destroy(&b->changed);
    if (atomic_load(&b->failed)) {
        return false;
    }
    if (!b->quiet) {
        printf("Run completed in %3.3f seconds.\n",
               (double)(g_get_monotonic_time() - start) / G_USEC_PER_SEC);
    }
    return true;
}

static void print_plan(const Bench *b)
{
    printf("Sending %d %s requests, %" PRId64 " bytes each, %d in parallel "
           "(starting at offset %" PRId64 ", step size %" PRId64 ")\n",
           b->count, b->write ? "write" : "read", b->request_bytes, b->depth,
           b->offset, b->step);
    if (b->flush_interval > 0) {
        printf("Sending flush every %d requests\n", b->flush_interval);
    }
    fflush(stdout);
}

static bool bench(Bench *b)
{
    void *buf = NULL;

    b->length = blk_getlength(b->blk);
    if (b->length < 0) {
        g_autofree char *reason = blk_strerror((int)b->length);
        tool_error("%s: %s", b->name, reason);
        return false;
    }
    if (b->write && posix_memalign(&buf, BUFFER_ALIGNMENT,
                                   MAX((size_t)b->request_bytes, 1)) != 0) {
        tool_error("There is no memory for a request of %" PRId64 " bytes",
                   b->request_bytes);
        return false;
    }
    if (buf) {
        memset(buf, b->pattern, (size_t)b->request_bytes);
    }
    b->buf = buf;
    if (!b->quiet) {
        print_plan(b);
    }
    bool ok = run_requests(b);
    free(buf);
    int ret = ok && b->write ? blk_flush(b->blk) : 0;
    if (ret < 0) {
        g_autofree char *reason = blk_strerror(ret);
        tool_error("Failed flush: %s", reason);
    }
    return ok && ret >= 0;
}

/* ---- The command line ---- */

static int parse_number(const char *what, const char *text, guint64 min,
                        guint64 max)
{
    guint64 n;

    if (!g_ascii_string_to_unsigned(text, 10, min, max, &n, NULL)) {
        tool_args_usage("Invalid %s specified", what);
    }
    return (int)n;
}

static int parse_pattern(const char *text)
{
    char *end;
    guint64 n = g_ascii_strtoull(text, &end, 0);

    if (!g_ascii_isdigit(*text) || *end || n > 255) {
        tool_args_usage("Invalid pattern byte specified");
    }
    return (int)n;
}

static int64_t parse_buffer_bytes(const char *text)
{
    int64_t bytes = tool_args_size("buffer size", text);

    if (bytes > INT32_MAX) {
        tool_args_usage("Invalid buffer size specified. Must be between 0 and "
                        "%d.",
                        INT32_MAX);
    }
    return bytes;
}

static void check_aio(const char *text)
{
    if (!g_str_equal(text, "threads")) {
        tool_args_usage("Invalid aio option: %s (only 'threads' is supported)",
                        text);
    }
}

static void take_option(Bench *b, int key, const char *arg)
{
    switch (key) {
    case 'c':
        b->count = parse_number("request count", arg, 0, INT32_MAX);
        break;
    case 'd':
        b->depth = parse_number("queue depth", arg, 1, MAX_DEPTH);
        break;
    case 's':
        b->request_bytes = parse_buffer_bytes(arg);
        break;
    case 'S':
        b->step = tool_args_size("step_size", arg);
        break;
    case 'o':
        b->offset = tool_args_size("offset", arg);
        break;
    case 'i':
        check_aio(arg);
        break;
    case 'n':
        tool_args_usage("-n (native AIO) is not supported; requests are made "
                        "by threads");
    case 't':
        b->cache = arg;
        break;
    case 'w':
        b->write = true;
        break;
    case 'q':
        b->quiet = true;
        break;
    case KEY_FLUSH_INTERVAL:
        b->flush_interval = parse_number("flush interval", arg, 0, INT32_MAX);
        break;
    case KEY_NO_DRAIN:
        b->no_drain = true;
        break;
    case KEY_PATTERN:
        b->pattern = parse_pattern(arg);
        break;
    default:
        image_args_take(&b->image, key, arg);
        break;
    }
}

static void check_options(Bench *b)
{
    image_args_check(&b->image);
    image_check_cache("cache mode", b->cache);
    if (!b->write && b->flush_interval > 0) {
        tool_args_usage("--flush-interval is only available in write tests");
    }
    if (b->flush_interval > 0 && b->flush_interval < b->depth) {
        tool_args_usage("Flush interval can't be smaller than depth");
    }
    if (b->write && b->image.force_share) {
        tool_args_usage("-w and -U are mutually exclusive");
    }
    if (b->step < 0) {
        b->step = b->request_bytes;
    }
}

static int run_bench(const Command *command, int argc, char **argv)
{
    Bench b = { .cache = "writeback",
                .count = 75000,
                .depth = 64,
                .request_bytes = 4096,
                .step = -1 };
    const char *arg;
    int key, n;

    tool_args_begin(command, argc, argv);
    while ((key = tool_args_next(&arg)) != -1) {
        take_option(&b, key, arg);
    }
    check_options(&b);
    char **names = tool_args_operands(1, 1, "Expecting one image file name",
                                      &n);
    b.name = names[0];
    b.blk = b.write ? image_open_target(b.name, b.image.format,
                                        b.image.image_opts, b.cache)
                    : image_open_source(b.name, &b.image);
    bool ok = b.blk && bench(&b);
    blk_close(b.blk);
    return ok ? 0 : 1;
}

static const ToolOption options[] = {
    { 'c', NULL, "COUNT", "Number of requests (75000)" },
    { 'd', NULL, "DEPTH", "Requests under way at a time, at most (64)" },
    { 's', NULL, "SIZE", "Bytes of a request (4k)" },
    { 'S', NULL, "STEP", "From one request to the next (SIZE)" },
    { 'o', NULL, "OFFSET", "Where the first request begins (0)" },
    { 'w', NULL, NULL, "Write, and destroy what the image holds" },
    { KEY_PATTERN, "pattern", "BYTE", "What is written (0)" },
    { KEY_FLUSH_INTERVAL, "flush-interval", "N",
      "When writing: wait and flush after every N requests" },
    { KEY_NO_DRAIN, "no-drain", NULL, "Do not wait before a flush" },
    { 't', NULL, "CACHE", "Cache mode (writeback)" },
    { 'i', NULL, "AIO", "How requests are made: threads" },
    { 'n', NULL, NULL, "Not supported" },
    TOOL_OPTION_FORMAT,
    TOOL_OPTION_QUIET,
    TOOL_OPTION_FORCE_SHARE,
    TOOL_OPTION_IMAGE_OPTS,
    { 0 },
};

const Command command_bench = {
    .name = "bench",
    .operands = "IMAGE",
    .summary = "Measure how fast an image is read or written",
    .notes = "Requests go round in the image. They are made by threads, each "
             "waiting for its\nown: DEPTH of them, but no more than four for "
             "each processor, since further\nones would wait for a processor "
             "rather than for the disk.\n",
    .options = options,
    .run = run_bench,
};
