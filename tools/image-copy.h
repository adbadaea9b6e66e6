/* SPDX-License-Identifier: MIT */
/*
 * Sources to one target, from creating the target to removing it again when
 * that fails: what convert and dd have in common.
 */
#ifndef TOOLS_IMAGE_COPY_H
#define TOOLS_IMAGE_COPY_H

#include <stdbool.h>
#include <stdint.h>

#include "tools/copy-engine.h"
#include "tools/copy-source.h"

typedef struct ImageCopy {
    CopySource *source;
    int64_t offset, bytes;  /* of the source */
    const char *target;     /* name or options; "-": standard output */
    const char *format;     /* of the target */
    const char *cache;      /* of the target */
    Options *create;        /* create options without the size; or NULL */
    bool no_create;         /* the target exists and is large enough */
    bool target_image_opts; /* `target` holds options */
    bool target_is_zero;    /* an existing target reads as zeroes */
    bool has_backing; /* of the target: what the source has from its own is
                         left out */
    bool compress;
    int64_t sparse_bytes; /* these eight as in CopyJob */
    HostCopy host_copy;
    unsigned workers;
    int64_t bytes_per_second;
    bool out_of_order;
    bool salvage;
    bool quiet;
    bool wants_progress;
} ImageCopy;

/* Refuses a target that is a part of the source. False with the error
 * printed; the target is then as it was, or gone (see partial-file.h). */
bool image_copy(const ImageCopy *copy);

#endif
