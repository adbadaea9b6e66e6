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

#include <errno.h>
#include <pthread.h>
#include <time.h>

#include "block/driver.h"
#include "block/error.h"
#include "block/vvfat/report.h"
#include "util/thread.h"

#define RETRY_MS 5000u /* after the host failed */

typedef struct Pending {
    char *path, *reason;
} Pending;

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

    /* The last commit. */
    int error;   /* of the last one, as committer_run() gives it */
    char *words; /* about it, or NULL */
    char *suspended;
    uint64_t n_commits, n_held;
    uint64_t n_lost, n_waiting; /* count_lost() */
    int64_t last_time;          /* seconds since 1970; 0: none yet */
    GArray *pending;            /* Pending */
};

/* ---- What is told ---- */

static void pending_clear(gpointer data)
{
    Pending *p = data;

    g_free(p->path);
    g_free(p->reason);
}

static GArray *list_pending(const GuestState *state)
{
    const GPtrArray *changes = guest_state_changes(state);
    GArray *list = g_array_new(FALSE, FALSE, sizeof(Pending));

    g_array_set_clear_func(list, pending_clear);
    for (guint i = 0; i < changes->len; i++) {
        const Inode *inode = g_ptr_array_index(changes, i);

        if (inode->change->held) {
            Pending p = { committer_path_of(inode),
                          committer_reason_of(inode->change) };

            g_array_append_val(list, p);
        }
    }
    return list;
}

static const InodeChange *first_failure(const GuestState *state,
                                        const Inode **inode)
{
    const GPtrArray *changes = guest_state_changes(state);

    for (guint i = 0; i < changes->len; i++) {
        *inode = g_ptr_array_index(changes, i);
        if ((*inode)->change->held & INODE_IO_ERROR) {
            return (*inode)->change;
        }
    }
    return NULL;
}

static char *failure_words(const GuestState *state, int error)
{
    const Inode *inode;
    const InodeChange *change = first_failure(state, &inode);
    g_autofree char *path = NULL;
    g_autofree char *reason = NULL;

    if (!change) {
        return g_strdup(g_strerror(-error));
    }
    path = committer_path_of(inode);
    reason = committer_reason_of(change);
    return g_strdup_printf("'%s' could not be committed: %s", path, reason);
}

/* ---- The thread ---- */

typedef enum NoteKind {
    NOTE_COMMIT,
    NOTE_LOOK,  /* it was none, but a look at what would be to commit */
    NOTE_START, /* the same, before anybody listens */
} NoteKind;

/* How many inodes the host has not as the guest has them; and how many of them
 * only because nothing was committed. */
static uint64_t count_lost(const GuestState *state, uint64_t *n_waiting)
{
    const GPtrArray *changes = guest_state_changes(state);
    uint64_t n = 0;

    *n_waiting = 0;
    for (guint i = 0; i < changes->len; i++) {
        const Inode *inode = g_ptr_array_index(changes, i);

        if (inode_is_loss(inode)) {
            n++;
            *n_waiting += inode->change->held == INODE_WAITS;
        }
    }
    return n;
}

static void note_result(Committer *c, int ret, CommitResult *result,
                        NoteKind kind)
{
    GArray *pending = list_pending(c->state);
    uint64_t n_waiting, n_lost = count_lost(c->state, &n_waiting);
    int error = ret < 0 ? ret : result->error;
    g_autofree char *told = NULL;
    char *words = NULL;

    if (error == 0 && result->failed) {
        error = -EIO;
    }
    if (error < 0) {
        words = result->words ? g_steal_pointer(&result->words)
                              : failure_words(c->state, error);
        told = g_strdup(words);
    }
    pthread_mutex_lock(&c->lock);
    c->error = error;
    g_free(c->words);
    c->words = words;
    g_free(c->suspended);
    c->suspended = g_strdup(result->suspended);
    c->n_held = result->held;
    c->n_lost = n_lost;
    c->n_waiting = n_waiting;
    if (kind == NOTE_COMMIT) {
        c->n_commits++;
        c->last_time = (int64_t)time(NULL);
    }
    g_array_unref(c->pending);
    c->pending = pending;
    if (error < 0 && !c->is_armed) {
        c->is_armed = true;
        c->due = g_get_monotonic_time() + RETRY_MS * G_GINT64_CONSTANT(1000);
    }
    pthread_mutex_unlock(&c->lock);

    const CommitOutcome outcome = {
        .had_work = result->operations > 0,
        .error = error,
        .words = told,
        .suspended = result->suspended,
    };
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
    c->pending = g_array_new(FALSE, FALSE, sizeof(Pending));
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
        *words = g_strdup(c->words);
    }
    return c->error;
}

int committer_run(Committer *c, char **words)
{
    pthread_mutex_lock(&c->lock);
    int error = run_and_wait(c, words);
    pthread_mutex_unlock(&c->lock);
    return error;
}

/* With the lock held. */
static uint64_t lost_now(const Committer *c, bool may_wait)
{
    uint64_t n = c->n_lost - (may_wait ? c->n_waiting : 0);

    return c->suspended ? MAX(n, 1) : n;
}

int committer_run_whole(Committer *c, bool may_wait, uint64_t *lost,
                        char **words)
{
    pthread_mutex_lock(&c->lock);
    c->whole = true;
    int error = run_and_wait(c, words);
    *lost = lost_now(c, may_wait);
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
    if (c->policy <= COMMIT_IDLE) {
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
    lost = lost_now(c, may_wait);
    pthread_mutex_unlock(&c->lock);
    return lost;
}

void committer_free(Committer *c)
{
    if (c) {
        pthread_mutex_destroy(&c->lock);
        pthread_cond_destroy(&c->wake);
        pthread_cond_destroy(&c->finished);
        g_array_unref(c->pending);
        committer_news_free(c->news);
        g_free(c->words);
        g_free(c->suspended);
        commit_free(c->commit);
        g_free(c);
    }
}

bool committer_conflict(Committer *c, const char *path, const char *detail)
{
    return committer_news_conflict(c->news, path, detail);
}

char *committer_suspended(Committer *c)
{
    char *suspended;

    pthread_mutex_lock(&c->lock);
    suspended = g_strdup(c->suspended);
    pthread_mutex_unlock(&c->lock);
    return suspended;
}

char *committer_reason(Committer *c)
{
    char *words = NULL;

    pthread_mutex_lock(&c->lock);
    if (c->suspended) {
        words = g_strdup(c->suspended);
    } else if (c->pending->len) {
        const Pending *p = &g_array_index(c->pending, Pending, 0);
        const char *more = c->n_held > 1 ? ", and others" : "";

        words = g_strdup_printf("'%s'%s: %s", p->path, more, p->reason);
    }
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
    options_set_int(facts, "commit.count", (int64_t)c->n_commits);
    if (c->last_time) {
        g_autoptr(GDateTime) t = g_date_time_new_from_unix_utc(c->last_time);
        g_autofree char *text = g_date_time_format_iso8601(t);

        options_set(facts, "commit.last-time", text);
        options_set(facts, "commit.last-result",
                    c->words       ? c->words
                    : c->suspended ? "suspended"
                                   : "success");
    }
    if (c->suspended) {
        options_set(facts, "commit.suspended", c->suspended);
    }
    options_set_int(facts, "commit.pending", (int64_t)c->n_held);
    for (guint i = 0; i < c->pending->len; i++) {
        const Pending *p = &g_array_index(c->pending, Pending, i);
        g_autofree char *path = g_strdup_printf("pending.%u.path", i);
        g_autofree char *reason = g_strdup_printf("pending.%u.reason", i);

        options_set(facts, path, p->path);
        options_set(facts, reason, p->reason);
    }
    pthread_mutex_unlock(&c->lock);
}
