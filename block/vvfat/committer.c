/* SPDX-License-Identifier: MIT */
/*
 * Requests are numbered. The thread takes the number of the last one, commits,
 * and then all up to that number are done: however many flushes wait, two
 * commits serve them.
 *
 * The lock guards the numbers and what is told of the last commit; the commit
 * runs without it.
 */
#include "block/vvfat/committer.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

#include "block/driver.h"
#include "block/error.h"
#include "block/vvfat/report.h"

#define RETRY_MS 5000u    /* after the host failed */
#define MAX_PENDING 1000u /* that are named */

typedef struct Pending {
    char *path, *reason;
} Pending;

struct Committer {
    Commit *commit;
    GuestState *state;
    CommitPolicy policy;
    unsigned delay_ms;

    pthread_t thread;
    bool is_running; /* the thread; the owner's */

    pthread_mutex_t lock;
    pthread_cond_t wake;     /* the thread has something to do */
    pthread_cond_t finished; /* a commit is over */
    uint64_t requested, done;
    bool stopping;
    bool is_armed; /* a commit is due at: */
    gint64 due;    /* monotonic microseconds */
    gint64 last_write;

    /* The last commit. */
    int error;   /* of the last one, as committer_run() gives it */
    char *words; /* about it, or NULL */
    char *suspended;
    uint64_t n_commits, n_held;
    int64_t last_time; /* seconds since 1970; 0: none yet */
    GArray *pending;   /* Pending, the first MAX_PENDING */
};

/* ---- What is told ---- */

static void pending_clear(gpointer data)
{
    Pending *p = data;

    g_free(p->path);
    g_free(p->reason);
}

static char *reason_of(const InodeChange *change)
{
    const char *text = inode_held_text(change->held);

    if (change->error < 0 && !change->detail) {
        return g_strdup_printf("%s: %s", text, g_strerror(-change->error));
    }
    return change->detail ? g_strdup_printf("%s: %s", text, change->detail)
                          : g_strdup(text);
}

/* Where the guest has it, or, when it has it no more, the host. */
static char *path_of(const Inode *inode)
{
    g_autofree char *path = inode->parent || !inode_is_on_host(inode)
                                ? inode_path(inode)
                                : inode_host_path(inode);

    return report_escape(*path ? path : inode->name);
}

static GArray *list_pending(const GuestState *state)
{
    const GPtrArray *changes = guest_state_changes(state);
    GArray *list = g_array_new(FALSE, FALSE, sizeof(Pending));

    g_array_set_clear_func(list, pending_clear);
    for (guint i = 0; i < changes->len && list->len < MAX_PENDING; i++) {
        const Inode *inode = g_ptr_array_index(changes, i);

        if (inode->change->held) {
            Pending p = { path_of(inode), reason_of(inode->change) };

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
    path = path_of(inode);
    reason = reason_of(change);
    return g_strdup_printf("'%s' could not be committed: %s", path, reason);
}

/* ---- The thread ---- */

static void note_result(Committer *c, int ret, CommitResult *result)
{
    GArray *pending = list_pending(c->state);
    int error = ret < 0 ? ret : result->error;
    char *words = NULL;

    if (error == 0 && result->failed) {
        error = -EIO;
    }
    if (error < 0) {
        words = result->words ? g_steal_pointer(&result->words)
                              : failure_words(c->state, error);
    }
    pthread_mutex_lock(&c->lock);
    c->error = error;
    g_free(c->words);
    c->words = words;
    g_free(c->suspended);
    c->suspended = g_steal_pointer(&result->suspended);
    c->n_commits++;
    c->n_held = result->held;
    c->last_time = (int64_t)time(NULL);
    g_array_unref(c->pending);
    c->pending = pending;
    if (error < 0 && !c->is_armed) {
        c->is_armed = true;
        c->due = g_get_monotonic_time() + RETRY_MS * G_GINT64_CONSTANT(1000);
    }
    pthread_mutex_unlock(&c->lock);
}

static void commit_once(Committer *c, bool closing)
{
    CommitResult result = { 0 };
    int ret = commit_run(c->commit, closing, &result);

    note_result(c, ret, &result);
    commit_result_clear(&result);
}

void committer_look(Committer *c)
{
    CommitResult result = { 0 };
    int ret = commit_look(c->commit, &result);

    note_result(c, ret, &result);
    commit_result_clear(&result);
    c->n_commits = 0;
    c->last_time = 0;
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

        c->is_armed = false;
        pthread_mutex_unlock(&c->lock);
        commit_once(c, false);
        pthread_mutex_lock(&c->lock);
        c->done = upto;
        pthread_cond_broadcast(&c->finished);
    }
    pthread_mutex_unlock(&c->lock);
    return NULL;
}

/* ---- For others ---- */

Committer *committer_new(Commit *commit, GuestState *state,
                         CommitPolicy policy, unsigned delay_ms, GError **errp)
{
    Committer *c = g_new0(Committer, 1);
    pthread_condattr_t attr;
    int err;

    c->commit = commit;
    c->state = state;
    c->policy = policy;
    c->delay_ms = delay_ms;
    c->pending = g_array_new(FALSE, FALSE, sizeof(Pending));
    pthread_mutex_init(&c->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&c->wake, &attr);
    pthread_condattr_destroy(&attr);
    pthread_cond_init(&c->finished, NULL);
    err = pthread_create(&c->thread, NULL, committer_thread, c);
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

int committer_run(Committer *c, char **words)
{
    uint64_t number;
    int error;

    pthread_mutex_lock(&c->lock);
    number = ++c->requested;
    pthread_cond_signal(&c->wake);
    while (c->done < number) {
        pthread_cond_wait(&c->finished, &c->lock);
    }
    error = c->error;
    if (words) {
        *words = g_strdup(c->words);
    }
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

uint64_t committer_stop(Committer *c)
{
    uint64_t left;

    if (c->is_running) {
        pthread_mutex_lock(&c->lock);
        c->stopping = true;
        pthread_cond_signal(&c->wake);
        pthread_mutex_unlock(&c->lock);
        pthread_join(c->thread, NULL);
        c->is_running = false;
    }
    if (c->policy != COMMIT_MANUAL) {
        commit_once(c, true);
    }
    left = c->n_held;
    return c->suspended ? MAX(left, 1) : left;
}

void committer_free(Committer *c)
{
    if (c) {
        pthread_mutex_destroy(&c->lock);
        pthread_cond_destroy(&c->wake);
        pthread_cond_destroy(&c->finished);
        g_array_unref(c->pending);
        g_free(c->words);
        g_free(c->suspended);
        commit_free(c->commit);
        g_free(c);
    }
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
