/* SPDX-License-Identifier: MIT */
/*
 * What a commit changed, as events: each thing is told once, when it comes and
 * when it goes. Calls are made by the thread that commits.
 */
#ifndef VVFAT_COMMITTER_NEWS_H
#define VVFAT_COMMITTER_NEWS_H

#include <glib.h>
#include <stdbool.h>

#include "block/event.h"
#include "block/vvfat/guest-state.h"

/* Called without a lock; event->node is not set. */
typedef void CommitterTell(const BlkEvent *event, void *opaque);

typedef struct CommitterNews CommitterNews;

/* tell may be NULL: nobody listens. */
CommitterNews *committer_news_new(CommitterTell *tell, void *opaque);
void committer_news_free(CommitterNews *news);

/* A conflict, found in the middle of a commit: told at its end. False: the
 * commit before found the same. */
bool committer_news_conflict(CommitterNews *news, const char *path,
                             const char *detail);

typedef struct CommitOutcome {
    bool had_work; /* there was something to do on the host */
    int error;     /* 0 or -errno; */
    const char *words;
    const char *suspended; /* why nothing is committed any more, or NULL */
} CommitOutcome;

/* A commit is over. quietly: it is where things stand in the beginning, and no
 * news. Costs what is in the state's list of changes. */
void committer_news_commit(CommitterNews *news, const GuestState *state,
                           const CommitOutcome *outcome, bool quietly);

/* Where the guest has a file, or, when it has it no more, the host; and why it
 * waits, in words. g_free(). */
char *committer_path_of(const Inode *inode);
char *committer_reason_of(const InodeChange *change);

#endif
