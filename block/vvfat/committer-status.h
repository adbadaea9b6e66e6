/* SPDX-License-Identifier: MIT */
/*
 * How the last commit ended: what the committer tells those who ask between
 * two. It refers to nothing that a commit changes.
 */
#ifndef VVFAT_COMMITTER_STATUS_H
#define VVFAT_COMMITTER_STATUS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "block/options.h"
#include "block/vvfat/commit.h"

/* All zeroes: there was none yet. */
typedef struct CommitterStatus {
    int error;       /* 0, or the -errno of what the host failed at; */
    char *words;     /* about it, or NULL */
    char *suspended; /* why nothing is committed any more, or NULL */
    uint64_t n_commits;
    uint64_t n_held;
    uint64_t n_lost; /* inodes that the host has not as the guest has them; */
    uint64_t n_waiting; /* of these, only because nothing was committed */
    int64_t last_time;  /* of the last commit, seconds since 1970; 0: none */
    GArray *pending;    /* what is held, and why; NULL: nothing */
} CommitterStatus;

/* From what commit_run() or commit_look() returned, and the state as it is
 * now. Takes the words out of the result. */
void committer_status_init(CommitterStatus *status, const GuestState *state,
                           int ret, CommitResult *result);
void committer_status_clear(CommitterStatus *status);

/* It comes after another one, which a commit has ended now, or a look. */
void committer_status_follow(CommitterStatus *status,
                             const CommitterStatus *before, bool is_commit);

/* How many inodes are lost if there is no further commit, and one at least
 * while commits are suspended. may_wait: those that wait for one are not. */
uint64_t committer_status_lost(const CommitterStatus *status, bool may_wait);

/* Why something is not in the directory, when something is not: the first
 * reason in words. g_free(). */
char *committer_status_reason(const CommitterStatus *status);

/* As facts: "commit.*", "pending.N.{path,reason}". */
void committer_status_info(const CommitterStatus *status, Options *facts);

#endif
