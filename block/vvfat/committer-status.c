/* SPDX-License-Identifier: MIT */
#include "block/vvfat/committer-status.h"

#include <errno.h>
#include <time.h>

#include "block/vvfat/committer-news.h"

typedef struct Pending {
    char *path, *reason;
} Pending;

/* ---- From the list of changes ---- */

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

static bool is_failure(const Inode *inode)
{
    return inode->change->held & INODE_IO_ERROR;
}

static const Inode *first_of(const GuestState *state,
                             bool (*is_one)(const Inode *inode))
{
    const GPtrArray *changes = guest_state_changes(state);

    for (guint i = 0; i < changes->len; i++) {
        if (is_one(g_ptr_array_index(changes, i))) {
            return g_ptr_array_index(changes, i);
        }
    }
    return NULL;
}

static char *failure_words(const GuestState *state, int error)
{
    const Inode *inode = first_of(state, is_failure);
    g_autofree char *path = NULL;
    g_autofree char *reason = NULL;

    if (!inode) {
        inode = first_of(state, inode_is_shut_out);
    }
    if (!inode) {
        return g_strdup(g_strerror(-error));
    }
    path = committer_path_of(inode);
    reason = committer_reason_of(inode->change);
    return g_strdup_printf("'%s' could not be committed: %s", path, reason);
}

static void count_lost(CommitterStatus *status, const GuestState *state)
{
    const GPtrArray *changes = guest_state_changes(state);

    for (guint i = 0; i < changes->len; i++) {
        const Inode *inode = g_ptr_array_index(changes, i);

        if (inode_is_loss(inode)) {
            status->n_lost++;
            status->n_waiting += inode->change->held == INODE_WAITS;
        }
    }
}

/* ---- The status ---- */

void committer_status_init(CommitterStatus *status, const GuestState *state,
                           int ret, CommitResult *result)
{
    *status = (CommitterStatus){
        .error = ret < 0 ? ret : result->error,
        .suspended = g_strdup(result->suspended),
        .n_held = result->held,
        .pending = list_pending(state),
    };
    if (status->error == 0 && result->failed) {
        status->error = -EIO;
    }
    if (status->error < 0) {
        status->words = result->words ? g_steal_pointer(&result->words)
                                      : failure_words(state, status->error);
    }
    count_lost(status, state);
}

void committer_status_clear(CommitterStatus *status)
{
    g_clear_pointer(&status->words, g_free);
    g_clear_pointer(&status->suspended, g_free);
    g_clear_pointer(&status->pending, g_array_unref);
}

void committer_status_follow(CommitterStatus *status,
                             const CommitterStatus *before, bool is_commit)
{
    status->n_commits = before->n_commits + (is_commit ? 1 : 0);
    status->last_time = is_commit ? (int64_t)time(NULL) : before->last_time;
}

uint64_t committer_status_lost(const CommitterStatus *status, bool may_wait)
{
    uint64_t n = status->n_lost - (may_wait ? status->n_waiting : 0);

    return status->suspended ? MAX(n, 1) : n;
}

char *committer_status_reason(const CommitterStatus *status)
{
    const char *more = status->n_held > 1 ? ", and others" : "";
    const Pending *first;

    if (status->suspended) {
        return g_strdup(status->suspended);
    }
    if (!status->pending || status->pending->len == 0) {
        return g_strdup(status->words ? status->words
                                      : "the last commit failed");
    }
    first = &g_array_index(status->pending, Pending, 0);
    return g_strdup_printf("'%s'%s: %s", first->path, more, first->reason);
}

static void pending_info(const GArray *pending, Options *facts)
{
    for (guint i = 0; i < pending->len; i++) {
        const Pending *p = &g_array_index(pending, Pending, i);
        g_autofree char *path = g_strdup_printf("pending.%u.path", i);
        g_autofree char *reason = g_strdup_printf("pending.%u.reason", i);

        options_set(facts, path, p->path);
        options_set(facts, reason, p->reason);
    }
}

void committer_status_info(const CommitterStatus *status, Options *facts)
{
    options_set_int(facts, "commit.count", (int64_t)status->n_commits);
    if (status->last_time) {
        g_autoptr(GDateTime)
            t = g_date_time_new_from_unix_utc(status->last_time);
        g_autofree char *text = g_date_time_format_iso8601(t);

        options_set(facts, "commit.last-time", text);
        options_set(facts, "commit.last-result",
                    status->words       ? status->words
                    : status->suspended ? "suspended"
                                        : "success");
    }
    if (status->suspended) {
        options_set(facts, "commit.suspended", status->suspended);
    }
    options_set_int(facts, "commit.pending", (int64_t)status->n_held);
    if (status->pending) {
        pending_info(status->pending, facts);
    }
}
