/* SPDX-License-Identifier: MIT */
/* vvfat-img bench: the same requests as qemu-img bench, timed. */
#include <inttypes.h>

#include "block/block.h"
#include "tools/bench-requests.h"
#include "tools/tool-args.h"
#include "tools/tool-image.h"
#include "tools/tool-output.h"

#define MAX_DEPTH 4096

enum {
    KEY_FLUSH_INTERVAL = KEY_COMMAND,
    KEY_NO_DRAIN,
    KEY_PATTERN,
};

typedef struct Bench {
    ImageArgs image;
    const char *cache;
    bool quiet;
    BenchRequests plan; /* step -1: request_bytes */
} Bench;

/* ---- The run ---- */

static void print_plan(const BenchRequests *b)
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

static bool run_timed(const BenchRequests *plan, bool quiet)
{
    int64_t start = g_get_monotonic_time();

    if (!bench_requests_run(plan)) {
        return false;
    }
    if (!quiet) {
        printf("Run completed in %3.3f seconds.\n",
               (double)(g_get_monotonic_time() - start) / G_USEC_PER_SEC);
    }
    return true;
}

static bool bench(const Bench *b)
{
    if (!b->quiet) {
        print_plan(&b->plan);
    }
    if (!run_timed(&b->plan, b->quiet)) {
        return false;
    }
    int ret = b->plan.write ? blk_flush(b->plan.blk) : 0;
    if (ret < 0) {
        g_autofree char *reason = blk_strerror(ret);
        tool_error("Failed flush: %s", reason);
    }
    return ret >= 0;
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
        b->plan.count = parse_number("request count", arg, 0, INT32_MAX);
        break;
    case 'd':
        b->plan.depth = parse_number("queue depth", arg, 1, MAX_DEPTH);
        break;
    case 's':
        b->plan.request_bytes = parse_buffer_bytes(arg);
        break;
    case 'S':
        b->plan.step = tool_args_size("step_size", arg);
        break;
    case 'o':
        b->plan.offset = tool_args_size("offset", arg);
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
        b->plan.write = true;
        break;
    case 'q':
        b->quiet = true;
        break;
    case KEY_FLUSH_INTERVAL:
        b->plan.flush_interval = parse_number("flush interval", arg, 0,
                                              INT32_MAX);
        break;
    case KEY_NO_DRAIN:
        b->plan.no_drain = true;
        break;
    case KEY_PATTERN:
        b->plan.pattern = parse_pattern(arg);
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
    if (!b->plan.write && b->plan.flush_interval > 0) {
        tool_args_usage("--flush-interval is only available in write tests");
    }
    if (b->plan.flush_interval > 0 && b->plan.flush_interval < b->plan.depth) {
        tool_args_usage("Flush interval can't be smaller than depth");
    }
    if (b->plan.write && b->image.force_share) {
        tool_args_usage("-w and -U are mutually exclusive");
    }
    if (b->plan.step < 0) {
        b->plan.step = b->plan.request_bytes;
    }
}

static int run_bench(const Command *command, int argc, char **argv)
{
    Bench b = { .cache = "writeback",
                .plan = { .count = 75000,
                          .depth = 64,
                          .request_bytes = 4096,
                          .step = -1 } };
    const char *arg;
    int key, n;

    tool_args_begin(command, argc, argv);
    while ((key = tool_args_next(&arg)) != -1) {
        take_option(&b, key, arg);
    }
    check_options(&b);
    char **names = tool_args_operands(1, 1, "Expecting one image file name",
                                      &n);
    b.plan.blk = b.plan.write ? image_open_target(names[0], b.image.format,
                                                  b.image.image_opts, b.cache)
                              : image_open_source(names[0], &b.image);
    bool ok = b.plan.blk && bench(&b);
    ok = image_finish(b.plan.blk, names[0]) && ok;
    blk_close(b.plan.blk);
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
