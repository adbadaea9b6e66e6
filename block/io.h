/* SPDX-License-Identifier: MIT */
/*
 * The way of a request through one node:
 *
 *   io.c           checks, and the entry points of parents (bdrv_*)
 *   io-pad.c       unaligned ranges: reading around them, read-modify-write
 *   io-split.c     one request as several calls of the driver
 *   io-zeroes.c    making a range read as zeroes
 *   io-discard.c   dropping contents
 *   io-flush.c     making writes durable
 *   io-length.c    the length of a node, and changing it
 *   io-error.c     the words for an error
 *
 * All node_* functions are for who has entered the node (drain.h), with a
 * range that was checked.
 */
#ifndef BLOCK_IO_H
#define BLOCK_IO_H

#include "block/block-int.h"

/* ---- io-error.c ---- */

/* Forget this thread's message: a request begins. */
void io_error_clear(void);

/* Put another message (g_free()d by this file later; NULL: none) in the place
 * of this thread's, which is the caller's then. */
char *io_error_swap(char *message);

/* ---- io.c ---- */

/* Whether the range is one at all: 0 or -EIO. */
int io_check_range(const BlockDriverState *bs, int64_t offset, int64_t bytes);

/*
 * Whether the parent may write there: -EACCES if the node is read-only,
 * -EPERM without the permission, -EIO past the end, save for a parent that
 * may resize a node that can.
 */
int io_check_write(const BdrvChild *child, int64_t offset, int64_t bytes,
                   unsigned flags);

int node_preadv(BlockDriverState *bs, int64_t offset, int64_t bytes,
                const IOVector *iov);
int node_pwritev(BlockDriverState *bs, int64_t offset, int64_t bytes,
                 const IOVector *iov, unsigned flags);

/*
 * A write up to `end` has ended with ret: there may be something to flush,
 * also after an error, and after success the node may have grown.
 */
void node_written(BlockDriverState *bs, int64_t end, int ret);

/* ---- io-pad.c ---- */

/* Whether the range is in whole blocks; the last block may be cut off by the
 * node's end. */
bool node_range_is_aligned(const BlockDriverState *bs, int64_t offset,
                           int64_t bytes);

/* Read a range inside the node, aligned or not. */
int node_read_padded(BlockDriverState *bs, int64_t offset, int64_t bytes,
                     const IOVector *iov);

/* Write a range, aligned or not; the latter only while a serialising request
 * covers it. FUA is passed on or ignored. */
int node_write_padded(BlockDriverState *bs, int64_t offset, int64_t bytes,
                      const IOVector *iov, unsigned flags);

/* ---- io-split.c: aligned ranges to the driver ---- */

int driver_preadv(BlockDriverState *bs, int64_t offset, int64_t bytes,
                  const IOVector *iov);
int driver_pwritev(BlockDriverState *bs, int64_t offset, int64_t bytes,
                   const IOVector *iov, unsigned flags);

/* The largest multiple of alignment up to limit (0: no limit) and bytes;
 * `bytes` itself when it fits. */
int64_t io_piece(int64_t bytes, int64_t limit, int64_t alignment);

/* ---- io-zeroes.c ---- */

int node_pwrite_zeroes(BlockDriverState *bs, int64_t offset, int64_t bytes,
                       unsigned flags);

/*
 * Zero a range behind the known end of the node, inside the driver's `length`,
 * while a serialising request covers it. Both ends are aligned, or an end.
 */
int node_zero_new_part(BlockDriverState *bs, int64_t offset, int64_t bytes,
                       int64_t length);

/* ---- io-discard.c ---- */

int node_pdiscard(BlockDriverState *bs, int64_t offset, int64_t bytes);

/* ---- io-flush.c ---- */

/* Flush the node and what is below; nothing if nothing was written. */
int node_flush(BlockDriverState *bs);

/* The flags of a request, without FUA where flushes are ignored. */
unsigned node_request_flags(const BlockDriverState *bs, unsigned flags);

/* ---- io-length.c ---- */

/* Bytes, as the core knows them. Filters have their child's. */
int64_t node_length(const BlockDriverState *bs);

/*
 * For a request that reaches past the end of a node that its driver does not
 * make longer by writing (grows_by_write): resize it to `end`, before the
 * request is tracked. The new part reads as zeroes. 0 or -errno.
 */
int node_grow(BlockDriverState *bs, int64_t end);

/* Ask the driver. 0 or -errno. */
int node_refresh_length(BlockDriverState *bs);

#endif
