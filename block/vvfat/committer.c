/* SPDX-License-Identifier: MIT */
/*
 * Requests are numbered. The thread takes the number of the last one, commits,
 * and then all up to that number are done: however many flushes wait, two
 * commits serve them.
 *
 * The lock guards the numbers and what is told of the last commit; the commit
 * runs without it, and events are told without it, before those who wait for
 * the commit go on.
 */
#include "block/vvfat/committer.h"

#include <pthread.h>
#include <time.h>

#include "block/driver.h"
#include "block/error.h"
#include "block/vvfat/committer-status.h"
#include "util/thread.h"

#define RETRY_MS 5000u /* after the host failed */

struct Committer {
    Commit *commit;
    GuestState *state;
    CommitPolicy policy;
    unsigned delay_ms;

    pthread_t thread;
    bool is_running;     /* the thread; the owner's */
    CommitterNews *news; /* the thread's, then the owner's */

    pthread_mutex_t lock;
    pthread_cond_t wake;     /* the thread has something to do */
    pthread_cond_t finished; /* a commit is over */
    uint64_t requested, done;
    bool whole; /* the next one is to be as the last one would be */
    bool stopping;
    bool has_ended; /* there are no more commits */
    bool is_armed;  /* a commit is due at: */
    gint64 due;     /* monotonic microseconds */
    gint64 last_write;

    CommitterStatus status; /* of the last commit */
};

/* ---- The thread ---- */

typedef enum NoteKind {
    NOTE_COMMIT,
    NOTE_LOOK,  /* it was none, but a look at what would be to commit */
    NOTE_START, /* the same, before anybody listens */
} NoteKind;

/* Other policies leave it to others when to commit; only they make looks. */
static bool commits_by_itself(const Committer *c)
{
    return c->policy <= COMMIT_IDLE;
}

static void note_result(Committer *c, int ret, CommitResult *result,
                        NoteKind kind)
{
    CommitterStatus status, before;
    g_autofree char *told = NULL;

    committer_status_init(&status, c->state, ret, result);
    told = g_strdup(status.words);
    const CommitOutcome outcome = {
        .had_work = result->operations > 0,
        .error = status.error,
        .words = told,
        .suspended = result->suspended,
    };
    pthread_mutex_lock(&c->lock);
    before = c->status;
    committer_status_follow(&status, &before, kind == NOTE_COMMIT);
    c->status = status;
    if (outcome.error < 0 && commits_by_itself(c) && !c->is_armed) {
        c->is_armed = true;
        c->due = g_get_monotonic_time() + RETRY_MS * G_GINT64_CONSTANT(1000);
    }
    pthread_mutex_unlock(&c->lock);
    committer_status_clear(&before);
    committer_news_commit(c->news, c->state, &outcome, kind == NOTE_START);
}

static void commit_once(Committer *c, bool closing)
{
    CommitResult result = { 0 };
    int ret = commit_run(c->commit, closing, &result);

    note_result(c, ret, &result, NOTE_COMMIT);
    commit_result_clear(&result);
}

static void look_once(Committer *c, bool closing, NoteKind kind)
{
    CommitResult result = { 0 };
    int ret = commit_look(c->commit, closing, &result);

    note_result(c, ret, &result, kind);
    commit_result_clear(&result);
}

void committer_look(Committer *c)
{
    look_once(c, false, NOTE_START);
}

/* The last one, or one as if it were that. */
static void commit_whole(Committer *c)
{
    if (c->policy == COMMIT_MANUAL) {
        look_once(c, true, NOTE_LOOK);
    } else {
        commit_once(c, true);
    }
}

static void wait_until(Committer *c, gint64 due)
{
    gint64 left = MAX(due - g_get_monotonic_time(), 0);
    struct timespec at;

    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += left / G_USEC_PER_SEC;
    at.tv_nsec += left % G_USEC_PER_SEC * 1000;
    if (at.tv_nsec >= 1000000000) {
        at.tv_sec++;
        at.tv_nsec -= 1000000000;
    }
    pthread_cond_timedwait(&c->wake, &c->lock, &at);
}

/* Wait for something to do, with the lock held: false when it is to stop. */
static bool wait_for_work(Committer *c)
{
    while (!c->stopping && c->requested == c->done) {
        gint64 idle = c->last_write + c->delay_ms * G_GINT64_CONSTANT(1000);

        if (!c->is_armed) {
            pthread_cond_wait(&c->wake, &c->lock);
        } else if (MAX(c->due, idle) > g_get_monotonic_time()) {
            wait_until(c, MAX(c->due, idle));
        } else {
            return true;
        }
    }
    return !c->stopping;
}

static void *committer_thread(void *opaque)
{
    Committer *c = opaque;

    pthread_mutex_lock(&c->lock);
    while (wait_for_work(c)) {
        uint64_t upto = c->requested;
        bool whole = c->whole;

        c->is_armed = false;
        c->whole = false;
        pthread_mutex_unlock(&c->lock);
        if (whole) {
            commit_whole(c);
        } else {
            commit_once(c, false);
        }
        pthread_mutex_lock(&c->lock);
        c->done = upto;
        pthread_cond_broadcast(&c->finished);
    }
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

/* ---- For others ---- */

Committer *committer_new(Commit *commit, GuestState *state,
                         CommitPolicy policy, unsigned delay_ms,
                         CommitterTell *tell, void *opaque, GError **errp)
{
    Committer *c = g_new0(Committer, 1);
    pthread_condattr_t attr;
    int err;

    c->commit = commit;
    c->state = state;
    c->policy = policy;
    c->delay_ms = delay_ms;
    c->news = committer_news_new(tell, opaque);
    pthread_mutex_init(&c->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&c->wake, &attr);
    pthread_condattr_destroy(&attr);
    pthread_cond_init(&c->finished, NULL);
    err = thread_create(&c->thread, committer_thread, c);
    c->is_running = err == 0;
    if (err) {
        block_error_set_errno(errp, err,
                              "Could not start the thread that "
                              "commits");
        committer_free(c);
        return NULL;
    }
    return c;
}

/* With the lock held. The last commit covers what came too late for others. */
static int run_and_wait(Committer *c, char **words)
{
    uint64_t number = ++c->requested;

    pthread_cond_signal(&c->wake);
    while (c->done < number && !c->has_ended) {
        pthread_cond_wait(&c->finished, &c->lock);
    }
    if (words) {
        *words = g_strdup(c->status.words);
    }
    return c->status.error;
}

int committer_run(Committer *c, char **words)
{
    pthread_mutex_lock(&c->lock);
    int error = run_and_wait(c, words);
    pthread_mutex_unlock(&c->lock);
    return error;
}

int committer_run_whole(Committer *c, bool may_wait, uint64_t *lost,
                        char **words)
{
    pthread_mutex_lock(&c->lock);
    c->whole = true;
    int error = run_and_wait(c, words);
    *lost = committer_status_lost(&c->status, may_wait);
    pthread_mutex_unlock(&c->lock);
    return error;
}

static int run_for_guest(Committer *c)
{
    g_autofree char *words = NULL;
    int ret = committer_run(c, &words);

    if (ret < 0) {
        bdrv_set_io_error("%s", words ? words : g_strerror(-ret));
    }
    return ret;
}

void committer_wake(Committer *c)
{
    if (commits_by_itself(c)) {
        pthread_mutex_lock(&c->lock);
        c->last_write = g_get_monotonic_time();
        if (!c->is_armed) {
            c->is_armed = true;
            c->due = c->last_write;
            pthread_cond_signal(&c->wake);
        }
        pthread_mutex_unlock(&c->lock);
    }
}

int committer_wrote(Committer *c)
{
    if (c->policy == COMMIT_WRITE) {
        return run_for_guest(c);
    }
    committer_wake(c);
    return 0;
}

int committer_flush(Committer *c)
{
    return c->policy <= COMMIT_FLUSH ? run_for_guest(c) : 0;
}

uint64_t committer_stop(Committer *c, bool may_wait)
{
    uint64_t lost;

    if (c->is_running) {
        pthread_mutex_lock(&c->lock);
        c->stopping = true;
        pthread_cond_signal(&c->wake);
        pthread_mutex_unlock(&c->lock);
        pthread_join(c->thread, NULL);
        c->is_running = false;
    }
    commit_whole(c);
    pthread_mutex_lock(&c->lock);
    c->has_ended = true;
    pthread_cond_broadcast(&c->finished);
    lost = committer_status_lost(&c->status, may_wait);
    pthread_mutex_unlock(&c->lock);
    return lost;
}

void committer_free(Committer *c)
{
    if (c) {
        pthread_mutex_destroy(&c->lock);
        pthread_cond_destroy(&c->wake);
        pthread_cond_destroy(&c->finished);
        committer_status_clear(&c->status);
        committer_news_free(c->news);
        commit_free(c->commit);
        g_free(c);
    }
}

bool committer_conflict(Committer *c, const char *path, const char *detail)
{
    return committer_news_conflict(c->news, path, detail);
}

char *committer_reason(Committer *c)
{
    char *words;

    pthread_mutex_lock(&c->lock);
    words = committer_status_reason(&c->status);
    pthread_mutex_unlock(&c->lock);
    return words;
}

static const char *policy_name(CommitPolicy policy)
{
    static const char *const names[] = { "write", "flush", "idle", "close",
                                         "manual" };

    return names[policy];
}

void committer_info(Committer *c, Options *facts)
{
    pthread_mutex_lock(&c->lock);
    options_set(facts, "commit.policy", policy_name(c->policy));
    committer_status_info(&c->status, facts);
    pthread_mutex_unlock(&c->lock);
}
