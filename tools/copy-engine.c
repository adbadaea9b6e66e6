/* SPDX-License-Identifier: MIT */
/*
 * Workers take segments from the queue (copy-queue.h), read them side by side,
 * and write them, in turn where that matters. The first error stops all, and
 * so does a signal.
 */
#include "tools/copy-engine.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "tools/copy-queue.h"
#include "tools/copy-salvage.h"
#include "tools/rate-limit.h"
#include "tools/tool-image.h"
#include "tools/tool-output.h"
#include "tools/zero-runs.h"

typedef struct Engine {
    const CopyJob *job;
    Progress progress;
    bool counts_zeroes; /* zeroes are a part of the progress, too */
    int64_t buffer_bytes;
    ZeroRuns zero_runs;
    RateLimit rate;
    CopyQueue queue;
    pthread_mutex_t message_lock; /* of what is printed meanwhile */
    bool failed;                  /* message_lock; an error was printed */
} Engine;

/* ---- Errors ---- */

static bool is_stopped(void *opaque)
{
    const Engine *e = opaque;

    return copy_queue_is_stopped(&e->queue);
}

/* Why, for a message that names the image: the driver's own words may do so,
 * too. */
static const char *reason_without(const char *name, int ret, const char *words)
{
    g_autofree char *quoted = g_strdup_printf("'%s'", name);

    return strstr(words, quoted) ? g_strerror(-ret) : words;
}

static void fail(Engine *e, const char *doing, int64_t offset,
                 const char *preposition, const char *name, int ret,
                 const char *words)
{
    const char *reason = reason_without(name, ret, words);

    pthread_mutex_lock(&e->message_lock);
    if (!e->failed) {
        e->failed = true;
        progress_break(&e->progress);
        tool_error("error while %s at byte %" PRId64 " %s '%s': %s", doing,
                   offset, preposition, name, reason);
    }
    pthread_mutex_unlock(&e->message_lock);
    copy_queue_stop(&e->queue);
}

/* source_offset: where in the source. */
static void fail_reading(Engine *e, int64_t source_offset, int ret)
{
    int64_t offset;
    g_autofree char *reason = blk_strerror(ret);
    BlockBackend *blk = copy_source_locate(e->job->source, source_offset,
                                           &offset);
    g_autofree char *name = blk ? blk_get_filename(blk) : NULL;

    fail(e, "reading", offset, "of", name ? name : "source", ret, reason);
}

static void warn_lost(int64_t source_offset, int ret, void *opaque)
{
    Engine *e = opaque;
    g_autofree char *reason = blk_strerror(ret);

    if (e->job->quiet) {
        return;
    }
    pthread_mutex_lock(&e->message_lock);
    progress_break(&e->progress);
    tool_warning("error while reading offset %" PRId64 ": %s", source_offset,
                 reason);
    pthread_mutex_unlock(&e->message_lock);
}

static void fail_writing(Engine *e, int64_t offset, int ret)
{
    const CopyTarget *target = e->job->target;
    g_autofree char *reason = copy_target_strerror(target, ret);

    fail(e, "writing", offset, "of", target->name, ret, reason);
}

/* ---- What is not written ---- */

static bool is_left_out(const Segment *s, void *opaque)
{
    Engine *e = opaque;

    if (s->kind != SEGMENT_SKIP &&
        (s->kind != SEGMENT_ZERO || e->job->sparse_bytes == 0 ||
         s->offset < e->job->target->zero_from)) {
        return false;
    }
    if (e->counts_zeroes) {
        progress_add(&e->progress, (uint64_t)s->bytes);
    }
    return true;
}

/* ---- Writing ---- */

/* What is not written already reads so from zero_from on. */
static int write_zero_run(Engine *e, int64_t offset, int64_t bytes)
{
    CopyTarget *target = e->job->target;

    if (offset >= target->zero_from) {
        return 0;
    }
    bytes = MIN(bytes, target->zero_from - offset);
    return copy_target_write_zeroes(target, offset, bytes, false);
}

static bool write_buffer(Engine *e, const char *buf, int64_t offset,
                         int64_t bytes)
{
    while (bytes > 0) {
        bool zero = false;
        int64_t n = bytes;
        int ret;

        if (e->job->sparse_bytes > 0) {
            n = zero_runs_next(&e->zero_runs, buf, offset, bytes, &zero);
        }
        if (zero) {
            ret = write_zero_run(e, offset, n);
        } else {
            rate_limit_wait(&e->rate, n, is_stopped, e);
            ret = copy_target_write(e->job->target, offset, n, buf);
        }
        if (ret < 0) {
            fail_writing(e, offset, ret);
            return false;
        }
        buf += n;
        offset += n;
        bytes -= n;
    }
    return true;
}

static bool read_buffer(Engine *e, char *buf, int64_t source_offset,
                        int64_t bytes)
{
    const CopySource *source = e->job->source;
    int64_t failed;

    if (e->job->salvage) {
        copy_salvage(source, source_offset, bytes, buf, warn_lost, e);
        return true;
    }
    int ret = copy_source_read(source, source_offset, bytes, buf, &failed);
    if (ret < 0) {
        fail_reading(e, failed, ret);
    }
    return ret >= 0;
}

/* Piece by piece, if it is longer than the buffer. */
static bool copy_by_buffer(Engine *e, const CopyTask *task, char *buf)
{
    const Segment *s = &task->segment;

    for (int64_t done = 0; done < s->bytes;) {
        int64_t n = MIN(s->bytes - done, e->buffer_bytes);
        if (!read_buffer(e, buf, s->source_offset + done, n) ||
            !copy_queue_wait_for_turn(&e->queue, task) ||
            !write_buffer(e, buf, s->offset + done, n)) {
            return false;
        }
        done += n;
    }
    return true;
}

static bool copy_by_kernel(Engine *e, const CopyTask *task, char *buf)
{
    const Segment *s = &task->segment;
    const CopyTarget *target = e->job->target;

    if (!copy_queue_wait_for_turn(&e->queue, task)) {
        return false;
    }
    int64_t blk_offset;
    BlockBackend *blk = copy_source_locate(e->job->source, s->source_offset,
                                           &blk_offset);
    rate_limit_wait(&e->rate, s->bytes, is_stopped, e);
    int ret = blk_copy_range(blk, blk_offset, target->blk, s->offset, s->bytes,
                             0);
    if (ret == -ENOTSUP) {
        /* Nor will it be for what follows. */
        copy_queue_forget_host(&e->queue);
        return copy_by_buffer(e, task, buf);
    }
    if (ret < 0) {
        g_autofree char *reason = blk_strerror(ret);
        fail(e, "copying", s->offset, "to", target->name, ret, reason);
    }
    return ret >= 0;
}

/* Whether zeroes are written as bytes, and take the time of bytes. */
static bool zeroes_are_bytes(const Engine *e)
{
    const CopyTarget *target = e->job->target;

    return e->job->sparse_bytes == 0 || (!target->blk && !target->can_seek);
}

static int write_zero_piece(Engine *e, int64_t offset, int64_t bytes)
{
    return e->job->sparse_bytes == 0
               ? copy_target_write_zeroes(e->job->target, offset, bytes, true)
               : write_zero_run(e, offset, bytes);
}

static bool write_zeroes(Engine *e, const CopyTask *task)
{
    const Segment *s = &task->segment;
    int64_t piece = zeroes_are_bytes(e) ? e->buffer_bytes : s->bytes;

    if (!copy_queue_wait_for_turn(&e->queue, task)) {
        return false;
    }
    for (int64_t done = 0; done < s->bytes;) {
        int64_t n = MIN(s->bytes - done, piece);
        if (zeroes_are_bytes(e)) {
            rate_limit_wait(&e->rate, n, is_stopped, e);
        }
        if (is_stopped(e)) {
            return false;
        }
        int ret = write_zero_piece(e, s->offset + done, n);
        if (ret < 0) {
            fail_writing(e, s->offset + done, ret);
            return false;
        }
        done += n;
    }
    return true;
}

/* ---- Workers ---- */

static bool do_task(Engine *e, const CopyTask *task, char *buf)
{
    const Segment *s = &task->segment;
    bool ok;

    switch (s->kind) {
    case SEGMENT_ZERO:
        ok = write_zeroes(e, task);
        break;
    case SEGMENT_HOST:
        ok = copy_by_kernel(e, task, buf);
        break;
    default:
        ok = copy_by_buffer(e, task, buf);
        break;
    }
    if (ok) {
        copy_queue_end_turn(&e->queue);
        if (s->kind != SEGMENT_ZERO || e->counts_zeroes) {
            progress_add(&e->progress, (uint64_t)s->bytes);
        }
    }
    return ok;
}

static void *work(void *opaque)
{
    Engine *e = opaque;
    void *buf = image_try_buffer((size_t)e->buffer_bytes);
    CopyTask task;

    if (!buf) {
        fail(e, "beginning", 0, "of", e->job->target->name, -ENOMEM,
             g_strerror(ENOMEM));
        return NULL;
    }
    while (!is_stopped(e)) {
        int64_t position;
        int ret = copy_queue_take(&e->queue, &task, &position);
        if (ret < 0) {
            fail_reading(e, position, ret);
        }
        if (ret <= 0 || !do_task(e, &task, buf)) {
            break;
        }
    }
    if (is_stopped(e)) {
        copy_queue_stop(
            &e->queue); /* a signal wakes nobody who waits for a turn */
    }
    free(buf);
    return NULL;
}

static void run_workers(Engine *e)
{
    const CopyJob *job = e->job;
    pthread_t threads[COPY_MAX_WORKERS];
    unsigned n = job->workers;
    unsigned started = 0;

    if (n == 0) {
        n = CLAMP(2 * g_get_num_processors(), 2, 8);
    }
    /* No more than there can be segments at a time; this thread is one. */
    n = (unsigned)MIN(n, job->bytes / e->buffer_bytes + 1) - 1;
    while (started < n &&
           pthread_create(&threads[started], NULL, work, e) == 0) {
        started++;
    }
    work(e);
    while (started > 0) {
        pthread_join(threads[--started], NULL);
    }
}

/* ---- The whole ---- */

static CopyWalk make_walk(const Engine *e)
{
    const CopyJob *job = e->job;
    CopyWalk walk = {
        .source = job->source,
        .start = job->offset,
        .end = job->offset + job->bytes,
        .cluster = job->target->cluster,
        .max_read = e->buffer_bytes,
        .host_copy = job->salvage ? HOST_COPY_NEVER : job->host_copy,
        .alignment = job->target->cluster,
        .salvages = job->salvage,
        .position = job->offset,
    };
    /* Shared blocks and holes take no room: not what `sparse_bytes` 0 asks
     * for. A stream is written to, not copied to; so is what compresses. */
    if (!job->target->blk || job->sparse_bytes == 0 || job->target->compress) {
        return walk;
    }
    BdrvLimits limits = blk_get_limits(job->target->blk);
    walk.alignment = MAX(walk.alignment, limits.request_alignment);
    for (guint i = 0; i < copy_source_count(job->source); i++) {
        limits = blk_get_limits(copy_source_image(job->source, i));
        walk.alignment = MAX(walk.alignment, limits.request_alignment);
        walk.min_host = MAX(walk.min_host, limits.min_copy_range);
    }
    return walk;
}

/* On a terminal the bytes to be moved count, which takes a look at the whole
 * status first. */
static bool begin_progress(Engine *e)
{
    const CopyJob *job = e->job;
    int64_t total = job->bytes;

    e->counts_zeroes = !progress_is_live(job->wants_progress);
    if (!e->counts_zeroes) {
        total = copy_source_count_data(job->source, job->offset, job->bytes);
        if (total < 0 && job->salvage) {
            e->counts_zeroes = true;
            total = job->bytes;
        }
        if (total < 0) {
            g_autofree char *reason = blk_strerror((int)total);
            tool_error("error while reading block status: %s", reason);
            return false;
        }
    }
    progress_begin(&e->progress, (uint64_t)total, job->wants_progress);
    return true;
}

bool copy_run(const CopyJob *job)
{
    Engine e = { .job = job,
                 .buffer_bytes = copy_target_buffer_bytes(
                     job->target, job->bytes_per_second),
                 .zero_runs = zero_runs_for(job->target->cluster,
                                            job->sparse_bytes) };

    if (!begin_progress(&e)) {
        return false;
    }
    const CopyWalk walk = make_walk(&e);
    /* What compresses packs clusters in the order in which they come: in turn,
     * so that the image is the same every time. */
    copy_queue_init(&e.queue, &walk,
                    !job->out_of_order || job->target->compress, is_left_out,
                    &e);
    rate_limit_init(&e.rate, job->bytes_per_second);
    pthread_mutex_init(&e.message_lock, NULL);
    run_workers(&e);
    bool stopped = is_stopped(&e);
    pthread_mutex_destroy(&e.message_lock);
    rate_limit_destroy(&e.rate);
    copy_queue_destroy(&e.queue);
    progress_end(&e.progress, !stopped);
    if (stopped) {
        return false;
    }
    int ret = copy_target_finish(job->target);
    if (ret < 0) {
        g_autofree char *reason = copy_target_strerror(job->target, ret);
        tool_error("error while flushing '%s': %s", job->target->name,
                   reason_without(job->target->name, ret, reason));
    }
    return ret >= 0;
}
