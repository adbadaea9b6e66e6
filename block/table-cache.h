/* SPDX-License-Identifier: MIT */
/*
 * A write-back cache of equal pieces of on-disk tables, of bounded size: the
 * L2 tables and refcount blocks of the qcow formats.
 *
 * A piece is `piece_bytes` (a power of two) at a multiple of that in the
 * child. Pieces in use are pinned; the least recently used of the others makes
 * room for a new one. A piece that reaches past the end of the child is zeroes
 * there.
 *
 * Nothing is locked: the owner calls under a lock of its own, which is held
 * while pieces are read and written.
 */
#ifndef BLOCK_TABLE_CACHE_H
#define BLOCK_TABLE_CACHE_H

#include "block/driver.h"

typedef struct TableCache TableCache;

/*
 * Called before dirty pieces are written, to make durable what they refer to.
 * 0 or -errno; then nothing is written. Must not get or write pieces of this
 * cache.
 */
typedef int TableCacheBarrier(void *opaque);

/* NULL when there is no memory. barrier may be NULL. max_pieces >= 4; memory
 * is taken as it is needed. */
TableCache *table_cache_new(BdrvChild *child, int64_t piece_bytes,
                            unsigned max_pieces, TableCacheBarrier *barrier,
                            void *opaque);

/* Dirty pieces are lost: write them first. cache may be NULL. */
void table_cache_free(TableCache *cache);

/*
 * The piece at `offset` (a multiple of piece_bytes), pinned until
 * table_cache_put(). At most two pieces may be pinned at a time. 0 or -errno:
 * reading it failed, or writing the dirty pieces to make room.
 */
int table_cache_get(TableCache *cache, int64_t offset, void **piece)
    G_GNUC_WARN_UNUSED_RESULT;

/* The same without reading: zeroes, clean. For tables that are new. */
int table_cache_get_zeroed(TableCache *cache, int64_t offset, void **piece)
    G_GNUC_WARN_UNUSED_RESULT;
void table_cache_put(TableCache *cache, void *piece);

/* The pinned piece has changed. */
void table_cache_dirty(TableCache *cache, void *piece);

bool table_cache_is_dirty(const TableCache *cache);

/*
 * Barrier, then every dirty piece in order of offset, neighbours in one
 * write. Pieces stay dirty from the first error on. Nothing is flushed.
 */
int table_cache_write(TableCache *cache) G_GNUC_WARN_UNUSED_RESULT;

/* Forget pieces of a range, dirty or not: its clusters are no tables now (or
 * were changed by other means). None of them may be pinned. */
void table_cache_drop(TableCache *cache, int64_t offset, int64_t bytes);

#endif
