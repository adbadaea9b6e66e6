/* SPDX-License-Identifier: MIT */
/*
 * Copy a source to a target: fast, sparse, on several threads.
 */
#ifndef TOOLS_COPY_ENGINE_H
#define TOOLS_COPY_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include "tools/copy-source.h"
#include "tools/copy-target.h"
#include "tools/copy-walk.h"
#include "tools/progress.h"

#define COPY_MAX_WORKERS 16

typedef struct CopyJob {
    CopySource *source;
    CopyTarget *target;
    int64_t offset, bytes; /* of the source; goes to the target's start */
    int64_t sparse_bytes;  /* shortest run of zeroes to leave out; 0: none is
                              looked for, and the target is allocated whole */
    HostCopy host_copy;
    unsigned workers;         /* 1..COPY_MAX_WORKERS; 0: chosen */
    int64_t bytes_per_second; /* that are written, at most; 0: no limit */
    bool out_of_order;        /* images only, and none that compress */
    bool salvage;             /* what cannot be read becomes zeroes */
    bool quiet;               /* no warnings about that */
    bool wants_progress;
} CopyJob;

/* Copy all, then flush the target. False with the error printed; or with none
 * when partial_file_interrupted(). */
bool copy_run(const CopyJob *job);

#endif
