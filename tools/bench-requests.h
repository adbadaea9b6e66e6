/* SPDX-License-Identifier: MIT */
/* Many requests to an image, several at a time: what bench measures. */
#ifndef TOOLS_BENCH_REQUESTS_H
#define TOOLS_BENCH_REQUESTS_H

#include <stdbool.h>
#include <stdint.h>

#include "block/block.h"

typedef struct BenchRequests {
    BlockBackend *blk;
    int count;
    int depth;             /* under way at a time, at most */
    int64_t request_bytes; /* of each */
    int64_t offset, step;  /* of the first; from each to the next */
    bool write;
    int pattern;        /* what is written */
    int flush_interval; /* writes between two flushes; 0: there is none */
    bool no_drain;      /* a flush does not wait for requests before it */
} BenchRequests;

/* Make them all. False with the error printed. */
bool bench_requests_run(const BenchRequests *plan);

#endif
