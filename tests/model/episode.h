/* SPDX-License-Identifier: MIT */
/*
 * A run in a process of its own, so that one that crashes or hangs is a
 * finding like any other; and making the list of operations of such a run as
 * short as can be.
 */
#ifndef TESTS_MODEL_EPISODE_H
#define TESTS_MODEL_EPISODE_H

#include "tests/model/run.h"

typedef struct Episode {
    GPtrArray *ops; /* what was done, the last one failing */
    char *why;      /* NULL: nothing was wrong */
    uint64_t n_done, n_skipped, n_flushes, n_judged;
} Episode;

/* Do these operations, or (NULL) make config->n_ops of them. work is emptied
 * first. */
Episode *episode_run(const Config *config, const GPtrArray *ops);
void episode_free(Episode *episode);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Episode, episode_free)

/*
 * The shortest list found in so many seconds that fails, by leaving out
 * pieces (delta debugging). The result is a failed episode; takes the one
 * given.
 */
Episode *episode_shrink(const Config *config, Episode *failed,
                        unsigned seconds);

#endif
