/* SPDX-License-Identifier: MIT */
/* Writes that must know of each other. */
#ifndef BLOCK_REQUEST_H
#define BLOCK_REQUEST_H

#include "block/block-int.h"

struct TrackedRequest {
    BlockDriverState *bs;
    int64_t start, end; /* what it must have for itself, in whole blocks */
    bool serialising;   /* nothing that overlaps may run beside it */
    TrackedRequest *prev, *next;
};

/*
 * Enter the request into the node's list and wait for the earlier ones that
 * overlap it, if they or it are serialising. The range is widened to the
 * node's request_alignment.
 */
void request_begin(TrackedRequest *req, BlockDriverState *bs, int64_t start,
                   int64_t end, bool serialising);
void request_end(TrackedRequest *req);

#endif
