/* SPDX-License-Identifier: MIT */
/* Runs of zeroes in a buffer that is to be written. */
#ifndef TOOLS_ZERO_RUNS_H
#define TOOLS_ZERO_RUNS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct ZeroRuns {
    int64_t block;    /* looked at as a whole, aligned in the target */
    int64_t shortest; /* run of zeroes worth to be left out */
} ZeroRuns;

/*
 * For a target with clusters of `cluster` bytes (1: none) and runs of at least
 * `sparse` bytes: where there are clusters, a run begins and ends with them.
 */
ZeroRuns zero_runs_for(int64_t cluster, int64_t sparse);

/*
 * The length of what stands at buf[0]: of a run of zeroes that is long enough
 * to be left out (*zero), or of everything before the next one. offset: of the
 * buffer in the target.
 */
int64_t zero_runs_next(const ZeroRuns *runs, const char *buf, int64_t offset,
                       int64_t bytes, bool *zero);

#endif
