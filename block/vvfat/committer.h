/* SPDX-License-Identifier: MIT */
/*
 * When to commit: a thread that runs one commit after the other, when asked,
 * when the guest has been idle, and again some time after the host failed. The
 * latter two are not for policies that leave it to others when to commit.
 */
#ifndef VVFAT_COMMITTER_H
#define VVFAT_COMMITTER_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "block/options.h"
#include "block/vvfat/commit.h"
#include "block/vvfat/committer-news.h"

/* Each includes those behind it. */
typedef enum CommitPolicy {
    COMMIT_WRITE, /* after each write of the guest */
    COMMIT_FLUSH, /* when it flushes */
    COMMIT_IDLE,  /* when it has written nothing for some time */
    COMMIT_CLOSE,
    COMMIT_MANUAL, /* on request alone */
} CommitPolicy;

typedef struct Committer Committer;

/*
 * Start the thread. Takes over commit. The state behind it is the thread's
 * from now on. tell: what happens, as it happens; on the thread, or on that of
 * committer_stop(). NULL and *errp when there can be no thread.
 */
Committer *committer_new(Commit *commit, GuestState *state,
                         CommitPolicy policy, unsigned delay_ms,
                         CommitterTell *tell, void *opaque, GError **errp);

/*
 * Commit everything written before this call, and wait for it. 0; or -errno
 * when the host failed and something of it is not there: it stays pending until
 * the next one. What is held back because the guest has written half of it,
 * or because it is damaged, is no error. words (may be NULL) gets the reason,
 * for g_free().
 */
int committer_run(Committer *committer, char **words)
    G_GNUC_WARN_UNUSED_RESULT;

/*
 * The same while the guest keeps still, as if it were to be the last one.
 * *lost: how many inodes the host has not as the guest has them, and one at
 * least when commits are suspended. With the policy manual nothing is
 * committed, but what would be is found out; may_wait: that is no loss.
 */
int committer_run_whole(Committer *committer, bool may_wait, uint64_t *lost,
                        char **words) G_GNUC_WARN_UNUSED_RESULT;

/* The guest has written, or flushes: commit, if that is the policy. As
 * committer_run(). */
int committer_wrote(Committer *committer) G_GNUC_WARN_UNUSED_RESULT;
int committer_flush(Committer *committer) G_GNUC_WARN_UNUSED_RESULT;

/* There is something to commit from before: as if the guest had just written,
 * without waiting for it. */
void committer_wake(Committer *committer);

/* The last one, as committer_run_whole(), and the end of the thread; the guest
 * is gone. What is lost. committer_run() gives this one's result from then
 * on. */
uint64_t committer_stop(Committer *committer, bool may_wait);

void committer_free(Committer *committer);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Committer, committer_free)

/* Why something is not in the directory, when something is not: the first
 * reason in words. g_free(). */
char *committer_reason(Committer *committer);

/* For commits to call, when they find a conflict; false: the commit before
 * found the same. */
bool committer_conflict(Committer *committer, const char *path,
                        const char *detail);

/* Before anything was asked of it, with COMMIT_MANUAL: find out what is
 * pending, for committer_info(). */
void committer_look(Committer *committer);

/* Facts for the node's information: "commit.*", "pending.N.{path,reason}". */
void committer_info(Committer *committer, Options *facts);

#endif
