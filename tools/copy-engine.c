/* SPDX-License-Identifier: MIT */
/*
 * Workers take segments (copy-walk.h) one after the other under `lock`, read
 * them side by side, and write them in turn: `turn` is the number of the
 * segment to be written next. A target that may be written out of order knows
 * no turns; what need not be written gets no number. The first error stops
 * all, and so does a signal.
 */
#include "tools/copy-engine.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "tools/partial-file.h"
#include "tools/tool-output.h"

#define BUFFER_BYTES ((int64_t)2 << 20)
#define DETECT_BYTES 4096 /* zeroes are looked for in blocks of this size */

typedef struct Engine {
    const CopyJob *job;
    Progress progress;
    bool counts_zeroes; /* zeroes are a part of the progress, too */

    pthread_mutex_t lock;
    pthread_cond_t turn_changed;
    CopyWalk walk;        /* lock */
    uint64_t next_number; /* lock */
    uint64_t turn;        /* lock */
    bool failed;          /* lock; an error was printed */
    atomic_bool stopped;
} Engine;

typedef struct Task {
    Segment segment;
    uint64_t number;
} Task;

/* ---- Errors ---- */

static bool is_stopped(Engine *e)
{
    return atomic_load(&e->stopped) || partial_file_interrupted();
}

static void stop(Engine *e)
{
    pthread_mutex_lock(&e->lock);
    atomic_store(&e->stopped, true);
    pthread_cond_broadcast(&e->turn_changed);
    pthread_mutex_unlock(&e->lock);
}

static void fail(Engine *e, const char *doing, int64_t offset,
                 const char *preposition, const char *name, const char *reason)
{
    pthread_mutex_lock(&e->lock);
    if (!e->failed) {
        e->failed = true;
        progress_break(&e->progress);
        tool_error("error while %s at byte %" PRId64 " %s '%s': %s", doing,
                   offset, preposition, name, reason);
    }
    pthread_mutex_unlock(&e->lock);
    stop(e);
}

static void fail_reading(Engine *e, const Segment *s, int64_t done, int ret)
{
    g_autofree char *reason = blk_strerror(ret);
    g_autofree char *name = s->blk ? blk_get_filename(s->blk) : NULL;

    fail(e, "reading", s->blk_offset + done, "of", name ? name : "source",
         reason);
}

static void fail_writing(Engine *e, int64_t offset, int ret)
{
    const CopyTarget *target = e->job->target;
    g_autofree char *reason = copy_target_strerror(target, ret);

    fail(e, "writing", offset, "of", target->name, reason);
}

/* ---- Taking turns ---- */

static bool zeroes_can_be_left_out(const Engine *e)
{
    return e->job->target->reads_zero && e->job->sparse_bytes > 0;
}

/* The next segment that needs work; 1, 0 at the end, -errno. */
static int take_task(Engine *e, Task *task)
{
    Segment *s = &task->segment;
    int ret;

    pthread_mutex_lock(&e->lock);
    while ((ret = copy_walk_next(&e->walk, s)) > 0 &&
           s->kind == SEGMENT_ZERO && zeroes_can_be_left_out(e)) {
        if (e->counts_zeroes) {
            progress_add(&e->progress, (uint64_t)s->bytes);
        }
    }
    task->number = e->next_number++;
    pthread_mutex_unlock(&e->lock);
    return ret;
}

/* Wait until the task may write. False when everything is stopped. */
static bool wait_for_turn(Engine *e, const Task *task)
{
    if (!e->job->out_of_order) {
        pthread_mutex_lock(&e->lock);
        while (e->turn != task->number && !is_stopped(e)) {
            pthread_cond_wait(&e->turn_changed, &e->lock);
        }
        pthread_mutex_unlock(&e->lock);
    }
    return !is_stopped(e);
}

static void end_turn(Engine *e)
{
    if (!e->job->out_of_order) {
        pthread_mutex_lock(&e->lock);
        e->turn++;
        pthread_cond_broadcast(&e->turn_changed);
        pthread_mutex_unlock(&e->lock);
    }
}

/* ---- Writing ---- */

static bool is_zero(const char *buf, int64_t bytes)
{
    return buf[0] == 0 && memcmp(buf, buf + 1, (size_t)bytes - 1) == 0;
}

/*
 * The length of what stands at buf[0]: of a run of zeroes that is long enough
 * to be left out (*zero), or of everything before the next one. Looked at in
 * blocks that are aligned in the target.
 */
static int64_t next_piece(const Engine *e, const char *buf, int64_t offset,
                          int64_t bytes, bool *zero)
{
    int64_t sparse = e->job->sparse_bytes;
    int64_t block = MIN(sparse, DETECT_BYTES);
    int64_t run = 0; /* zeroes that end at pos */
    int64_t pos = 0;

    while (pos < bytes && (run < sparse || run == pos)) {
        int64_t n = MIN(block - (offset + pos) % block, bytes - pos);
        if (is_zero(buf + pos, n)) {
            run += n;
        } else if (run >= sparse) {
            break;
        } else {
            run = 0;
        }
        pos += n;
    }
    *zero = run >= sparse && run == pos;
    return *zero || run < sparse ? pos : pos - run;
}

static bool write_buffer(Engine *e, const char *buf, int64_t offset,
                         int64_t bytes)
{
    CopyTarget *target = e->job->target;

    while (bytes > 0) {
        bool zero = false;
        int64_t n = bytes;
        int ret = 0;

        if (e->job->sparse_bytes > 0) {
            n = next_piece(e, buf, offset, bytes, &zero);
        }
        if (!zero) {
            ret = copy_target_write(target, offset, n, buf);
        } else if (!target->reads_zero) {
            ret = copy_target_write_zeroes(target, offset, n, false);
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

/* Piece by piece, if it is longer than the buffer. */
static bool copy_by_buffer(Engine *e, const Task *task, char *buf)
{
    const Segment *s = &task->segment;

    for (int64_t done = 0; done < s->bytes;) {
        int64_t n = MIN(s->bytes - done, BUFFER_BYTES);
        int ret = blk_pread(s->blk, s->blk_offset + done, n, buf, 0);
        if (ret < 0) {
            fail_reading(e, s, done, ret);
            return false;
        }
        if (!wait_for_turn(e, task) ||
            !write_buffer(e, buf, s->offset + done, n)) {
            return false;
        }
        done += n;
    }
    return true;
}

static bool copy_by_kernel(Engine *e, const Task *task, char *buf)
{
    const Segment *s = &task->segment;
    const CopyTarget *target = e->job->target;

    if (!wait_for_turn(e, task)) {
        return false;
    }
    int ret = blk_copy_range(s->blk, s->blk_offset, target->blk, s->offset,
                             s->bytes, 0);
    if (ret == -ENOTSUP) {
        /* Nor will it be for what follows. */
        pthread_mutex_lock(&e->lock);
        e->walk.min_host = 0;
        pthread_mutex_unlock(&e->lock);
        return copy_by_buffer(e, task, buf);
    }
    if (ret < 0) {
        g_autofree char *reason = blk_strerror(ret);
        fail(e, "copying", s->offset, "to", target->name, reason);
    }
    return ret >= 0;
}

static bool write_zeroes(Engine *e, const Task *task)
{
    const Segment *s = &task->segment;

    if (!wait_for_turn(e, task)) {
        return false;
    }
    int ret = copy_target_write_zeroes(e->job->target, s->offset, s->bytes,
                                       e->job->sparse_bytes == 0);
    if (ret < 0) {
        fail_writing(e, s->offset, ret);
    }
    return ret >= 0;
}

/* ---- Workers ---- */

static bool do_task(Engine *e, const Task *task, char *buf)
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
        end_turn(e);
        if (s->kind != SEGMENT_ZERO || e->counts_zeroes) {
            progress_add(&e->progress, (uint64_t)s->bytes);
        }
    }
    return ok;
}

static void *work(void *opaque)
{
    Engine *e = opaque;
    void *buf = NULL;
    Task task;

    if (posix_memalign(&buf, DETECT_BYTES, (size_t)BUFFER_BYTES) != 0) {
        fail(e, "beginning", 0, "of", e->job->target->name,
             g_strerror(ENOMEM));
        return NULL;
    }
    while (!is_stopped(e)) {
        int ret = take_task(e, &task);
        if (ret < 0) {
            fail_reading(e, &task.segment, 0, ret);
        }
        if (ret <= 0 || !do_task(e, &task, buf)) {
            break;
        }
    }
    if (is_stopped(e)) {
        stop(e); /* a signal wakes nobody who waits for a turn */
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
    n = (unsigned)MIN(n, job->bytes / BUFFER_BYTES + 1) - 1;
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

static void prepare_walk(Engine *e)
{
    const CopyJob *job = e->job;
    CopyWalk *walk = &e->walk;

    *walk = (CopyWalk){
        .source = job->source,
        .start = job->offset,
        .end = job->offset + job->bytes,
        .max_read = BUFFER_BYTES,
        .host_copy = job->host_copy,
        .alignment = 1,
        .position = job->offset,
    };
    /* Shared blocks and holes take no room: not what `sparse_bytes` 0 asks
     * for. A stream is written to, not copied to. */
    if (!job->target->blk || job->sparse_bytes == 0) {
        return;
    }
    walk->alignment = blk_get_limits(job->target->blk).request_alignment;
    for (guint i = 0; i < copy_source_count(job->source); i++) {
        BdrvLimits limits = blk_get_limits(copy_source_image(job->source, i));
        walk->alignment = MAX(walk->alignment, limits.request_alignment);
        walk->min_host = MAX(walk->min_host, limits.min_copy_range);
    }
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
    Engine e = { .job = job };

    if (!begin_progress(&e)) {
        return false;
    }
    prepare_walk(&e);
    pthread_mutex_init(&e.lock, NULL);
    pthread_cond_init(&e.turn_changed, NULL);
    run_workers(&e);
    pthread_mutex_destroy(&e.lock);
    pthread_cond_destroy(&e.turn_changed);
    progress_end(&e.progress, !is_stopped(&e));
    if (is_stopped(&e)) {
        return false;
    }
    int ret = copy_target_finish(job->target);
    if (ret < 0) {
        g_autofree char *reason = copy_target_strerror(job->target, ret);
        tool_error("error while flushing '%s': %s", job->target->name, reason);
    }
    return ret >= 0;
}
