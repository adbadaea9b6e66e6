/* SPDX-License-Identifier: MIT */
/* Guessing the format of an image by its first bytes. */
#ifndef BLOCK_PROBE_H
#define BLOCK_PROBE_H

#include "block/block-int.h"

/* As much as drivers are shown; shorter images show all they have. */
#define PROBE_BYTES 2048

/* The driver that is surest about the bytes of this node; NULL and *errp if
 * they cannot be read or no driver wants them. */
const BlockDriver *probe_node(BlockDriverState *bs, const char *filename,
                              GError **errp);

/* Whether the guard wants to see a change there: the node's format was guessed
 * as raw, and the first PROBE_BYTES are concerned. */
bool probe_guard_covers(const BlockDriverState *bs, int64_t offset);

/*
 * Refuse a write that would make the image look like another format the next
 * time, since a guest could give itself any file of the host as backing file
 * that way. iov NULL: zeroes, which can make a version or a flag what it has to
 * be. 0 or -errno. What the guard covers stays as it is meanwhile: the caller
 * has the request of probe_guard_begin().
 */
int probe_guard_write(BlockDriverState *bs, int64_t offset, int64_t bytes,
                      const IOVector *iov);

/* A serialising request for all that the guard looks at, and up to `end`. */
void probe_guard_begin(TrackedRequest *req, BlockDriverState *bs, int64_t end);

#endif
