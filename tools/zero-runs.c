/* SPDX-License-Identifier: MIT */
#include "tools/zero-runs.h"

#include <glib.h>
#include <string.h>

#define BLOCK_BYTES 4096

static bool is_zero(const char *buf, int64_t bytes)
{
    return buf[0] == 0 && memcmp(buf, buf + 1, (size_t)bytes - 1) == 0;
}

ZeroRuns zero_runs_for(int64_t cluster, int64_t sparse)
{
    if (cluster == 1) {
        return (ZeroRuns){ .block = MIN(sparse, BLOCK_BYTES),
                           .shortest = sparse };
    }
    /* 1: also the last cluster, which may be short. */
    return (ZeroRuns){ .block = cluster,
                       .shortest = sparse <= cluster ? 1 : sparse };
}

int64_t zero_runs_next(const ZeroRuns *runs, const char *buf, int64_t offset,
                       int64_t bytes, bool *zero)
{
    int64_t shortest = runs->shortest;
    int64_t block = runs->block;
    int64_t run = 0; /* zeroes that end at pos */
    int64_t pos = 0;

    while (pos < bytes && (run < shortest || run == pos)) {
        int64_t n = MIN(block - (offset + pos) % block, bytes - pos);
        if (is_zero(buf + pos, n)) {
            run += n;
        } else if (run >= shortest) {
            break;
        } else {
            run = 0;
        }
        pos += n;
    }
    *zero = run >= shortest && run == pos;
    return *zero || run < shortest ? pos : pos - run;
}
