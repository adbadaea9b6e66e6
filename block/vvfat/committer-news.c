/* SPDX-License-Identifier: MIT */
#include "block/vvfat/committer-news.h"

#include "block/vvfat/report.h"

/* A file of which was told that it waits. */
typedef struct Told {
    char *path;      /* as it was told */
    uint64_t commit; /* the last one that found it waiting */
} Told;

struct CommitterNews {
    CommitterTell *tell;
    void *opaque;
    GHashTable *told; /* id of an inode -> Told */
    uint64_t commits;
    bool is_suspended;

    /* Path and detail of conflicts, the latter behind the former's NUL: of
     * this commit and of the one before, which a change that has to wait is
     * found in again. */
    GPtrArray *conflicts;
    GHashTable *found, *found_before;
};

/* ---- Words ---- */

char *committer_reason_of(const InodeChange *change)
{
    const char *text = inode_held_text(change->held);

    if (change->error < 0 && !change->detail) {
        return g_strdup_printf("%s: %s", text, g_strerror(-change->error));
    }
    return change->detail ? g_strdup_printf("%s: %s", text, change->detail)
                          : g_strdup(text);
}

char *committer_path_of(const Inode *inode)
{
    g_autofree char *path = inode->parent || !inode_is_on_host(inode)
                                ? inode_path(inode)
                                : inode_host_path(inode);

    return report_escape(*path ? path : inode->name);
}

/* ---- Telling ---- */

static void told_free(gpointer data)
{
    Told *told = data;

    g_free(told->path);
    g_free(told);
}

CommitterNews *committer_news_new(CommitterTell *tell, void *opaque)
{
    CommitterNews *news = g_new0(CommitterNews, 1);

    news->tell = tell;
    news->opaque = opaque;
    news->told = g_hash_table_new_full(g_int64_hash, g_int64_equal, g_free,
                                       told_free);
    news->conflicts = g_ptr_array_new_with_free_func(g_free);
    news->found = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    news->found_before = g_hash_table_new_full(g_str_hash, g_str_equal, g_free,
                                               NULL);
    return news;
}

void committer_news_free(CommitterNews *news)
{
    if (news) {
        g_hash_table_unref(news->told);
        g_ptr_array_unref(news->conflicts);
        g_hash_table_unref(news->found);
        g_hash_table_unref(news->found_before);
        g_free(news);
    }
}

static void tell(const CommitterNews *news, BlkEventKind kind,
                 const char *path, const char *detail, int error)
{
    const BlkEvent event = {
        .kind = kind, .error = error, .path = path, .detail = detail
    };

    if (news->tell) {
        news->tell(&event, news->opaque);
    }
}

/* ---- Conflicts ---- */

bool committer_news_conflict(CommitterNews *news, const char *path,
                             const char *detail)
{
    char *key = g_strdup_printf("%s\n%s", path, detail);
    bool is_new = !g_hash_table_contains(news->found_before, key);

    g_hash_table_add(news->found, key);
    if (is_new) {
        g_ptr_array_add(news->conflicts, report_escape(path));
        g_ptr_array_add(news->conflicts, report_escape(detail));
    }
    return is_new;
}

static void tell_conflicts(CommitterNews *news, bool quietly)
{
    GHashTable *found = news->found;

    for (guint i = 0; !quietly && i < news->conflicts->len; i += 2) {
        tell(news, BLK_EVENT_CONFLICT, news->conflicts->pdata[i],
             news->conflicts->pdata[i + 1], 0);
    }
    g_ptr_array_set_size(news->conflicts, 0);
    g_hash_table_remove_all(news->found_before);
    news->found = news->found_before;
    news->found_before = found;
}

/* ---- What waits ---- */

static void note_waiting(CommitterNews *news, const Inode *inode, bool quietly)
{
    const gint64 id = (gint64)inode->id;
    Told *told = g_hash_table_lookup(news->told, &id);

    if (!told) {
        told = g_new(Told, 1);
        told->path = committer_path_of(inode);
        g_hash_table_insert(news->told, g_memdup2(&id, sizeof(id)), told);
        if (!quietly) {
            g_autofree char *reason = committer_reason_of(inode->change);

            tell(news, BLK_EVENT_HELD_BACK, told->path, reason, 0);
        }
    }
    told->commit = news->commits;
}

static void tell_released(CommitterNews *news, bool quietly)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, news->told);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const Told *told = value;

        if (told->commit != news->commits) {
            if (!quietly) {
                tell(news, BLK_EVENT_RELEASED, told->path, NULL, 0);
            }
            g_hash_table_iter_remove(&iter);
        }
    }
}

static void tell_waiting(CommitterNews *news, const GuestState *state,
                         bool quietly)
{
    const GPtrArray *changes = guest_state_changes(state);

    news->commits++;
    for (guint i = 0; i < changes->len; i++) {
        const Inode *inode = g_ptr_array_index(changes, i);

        if (inode->change->held) {
            note_waiting(news, inode, quietly);
        }
    }
    tell_released(news, quietly);
}

void committer_news_commit(CommitterNews *news, const GuestState *state,
                           const CommitOutcome *outcome, bool quietly)
{
    bool was_suspended = news->is_suspended;

    news->is_suspended = outcome->suspended != NULL;
    tell_conflicts(news, quietly);
    if (!outcome->suspended) { /* else nothing was looked at */
        tell_waiting(news, state, quietly);
    }
    if (quietly) {
        return;
    }
    if (outcome->suspended && !was_suspended) {
        tell(news, BLK_EVENT_SUSPENDED, NULL, outcome->suspended, 0);
    } else if (!outcome->suspended && was_suspended) {
        tell(news, BLK_EVENT_RESUMED, NULL, NULL, 0);
    }
    if (outcome->had_work || outcome->error < 0) {
        tell(news, BLK_EVENT_COMMIT, NULL, outcome->words, outcome->error);
    }
}
