/* SPDX-License-Identifier: MIT */
/*
 * Every piece stands in the hash, and on one of two lists: `pinned`, or `idle`
 * with the least recently used at the tail. Dirty ones are on the list `dirty`
 * besides. Pieces without contents wait on `spare` for their next use.
 *
 * A dirty piece that has to make room takes all dirty ones with it: the
 * barrier, which is usually a flush, is paid once for many pieces, and they
 * can be merged into few writes.
 */
#include "block/table-cache.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Direct I/O of a driver may ask for aligned memory. */
#define PIECE_MEMORY_ALIGNMENT 4096

/* Neighbours in one write. */
#define MAX_MERGED 128

typedef struct Piece {
    struct Piece *hash_next;
    GList use_link;   /* on `pinned`, `idle` or `spare` */
    GList dirty_link; /* on `dirty`, if is_dirty */
    int64_t offset;
    unsigned pins;
    bool is_dirty;
    void *data;
} Piece;

struct TableCache {
    BdrvChild *child;
    int64_t piece_bytes;
    unsigned piece_bits;
    unsigned max_pieces, n_pieces; /* n_pieces: with memory */
    TableCacheBarrier *barrier;
    void *opaque;
    Piece **buckets;
    uint64_t bucket_mask;
    GQueue pinned, idle, spare, dirty;
};

/* ---- Making and freeing ---- */

TableCache *table_cache_new(BdrvChild *child, int64_t piece_bytes,
                            unsigned max_pieces, TableCacheBarrier *barrier,
                            void *opaque)
{
    unsigned buckets = 4;

    assert(piece_bytes > 0 && (piece_bytes & (piece_bytes - 1)) == 0);
    assert(max_pieces >= 4);
    while (buckets < max_pieces && buckets < 1u << 24) {
        buckets *= 2;
    }
    TableCache *cache = g_try_new0(TableCache, 1);
    if (cache == NULL) {
        return NULL;
    }
    cache->buckets = g_try_new0(Piece *, buckets);
    if (cache->buckets == NULL) {
        g_free(cache);
        return NULL;
    }
    cache->child = child;
    cache->piece_bytes = piece_bytes;
    cache->piece_bits = (unsigned)__builtin_ctzll((uint64_t)piece_bytes);
    cache->max_pieces = max_pieces;
    cache->barrier = barrier;
    cache->opaque = opaque;
    cache->bucket_mask = buckets - 1;
    return cache;
}

static void piece_free(gpointer data)
{
    Piece *piece = data;

    free(piece->data);
    g_free(piece);
}

static void free_list(GQueue *queue)
{
    GList *link;

    while ((link = g_queue_pop_head_link(queue)) != NULL) {
        piece_free(link->data);
    }
}

void table_cache_free(TableCache *cache)
{
    if (cache != NULL) {
        assert(g_queue_is_empty(&cache->pinned));
        free_list(&cache->idle);
        free_list(&cache->spare);
        g_free(cache->buckets);
        g_free(cache);
    }
}

/* ---- The hash ---- */

/* The link that points, or would point, to the piece at offset. */
static Piece **hash_find(const TableCache *cache, int64_t offset)
{
    uint64_t hash = (uint64_t)offset >> cache->piece_bits;
    Piece **link = &cache->buckets[hash & cache->bucket_mask];

    while (*link != NULL && (*link)->offset != offset) {
        link = &(*link)->hash_next;
    }
    return link;
}

static void hash_insert(TableCache *cache, Piece *piece)
{
    Piece **link = hash_find(cache, piece->offset);

    assert(*link == NULL);
    piece->hash_next = NULL;
    *link = piece;
}

static void hash_remove(TableCache *cache, Piece *piece)
{
    Piece **link = hash_find(cache, piece->offset);

    assert(*link == piece);
    *link = piece->hash_next;
}

static void set_clean(TableCache *cache, Piece *piece)
{
    if (piece->is_dirty) {
        g_queue_unlink(&cache->dirty, &piece->dirty_link);
        piece->is_dirty = false;
    }
}

/* ---- Writing ---- */

static gint compare_offsets(gconstpointer a, gconstpointer b, gpointer opaque)
{
    int64_t left = ((const Piece *)a)->offset;
    int64_t right = ((const Piece *)b)->offset;

    (void)opaque;
    return (left > right) - (left < right);
}

/* Write the first dirty piece and its neighbours behind it. */
static int write_run(TableCache *cache)
{
    Piece *first = g_queue_peek_head(&cache->dirty);
    struct iovec vec[MAX_MERGED];
    int64_t end = first->offset;
    IOVector iov;
    int n = 0;

    for (GList *link = cache->dirty.head; link != NULL && n < MAX_MERGED;
         link = link->next) {
        const Piece *piece = link->data;

        if (piece->offset != end) {
            break;
        }
        vec[n].iov_base = piece->data;
        vec[n].iov_len = (size_t)cache->piece_bytes;
        end += cache->piece_bytes;
        n++;
    }
    iov_init_external(&iov, vec, n);
    int ret = bdrv_pwritev(cache->child, first->offset, end - first->offset,
                           &iov, 0);
    for (; ret == 0 && n > 0; n--) {
        set_clean(cache, g_queue_peek_head(&cache->dirty));
    }
    return ret;
}

bool table_cache_is_dirty(const TableCache *cache)
{
    return cache->dirty.length > 0;
}

int table_cache_write(TableCache *cache)
{
    int ret = 0;

    if (cache->dirty.length == 0) {
        return 0;
    }
    if (cache->barrier != NULL) {
        ret = cache->barrier(cache->opaque);
    }
    g_queue_sort(&cache->dirty, compare_offsets, NULL);
    while (ret == 0 && cache->dirty.length > 0) {
        ret = write_run(cache);
    }
    return ret;
}

/* ---- Pieces ---- */

static Piece *piece_new(const TableCache *cache)
{
    Piece *piece = g_try_new0(Piece, 1);

    if (piece == NULL) {
        return NULL;
    }
    if (posix_memalign(&piece->data, PIECE_MEMORY_ALIGNMENT,
                       (size_t)cache->piece_bytes) != 0) {
        g_free(piece);
        return NULL;
    }
    piece->use_link.data = piece;
    piece->dirty_link.data = piece;
    return piece;
}

/* Take the contents from an idle piece. */
static void forget(TableCache *cache, Piece *piece)
{
    set_clean(cache, piece);
    hash_remove(cache, piece);
    g_queue_unlink(&cache->idle, &piece->use_link);
    g_queue_push_head_link(&cache->spare, &piece->use_link);
}

/* A piece without contents, on no list. */
static int make_room(TableCache *cache, Piece **piece)
{
    if (cache->spare.length == 0 && cache->n_pieces < cache->max_pieces) {
        *piece = piece_new(cache);
        if (*piece != NULL) {
            cache->n_pieces++;
            return 0;
        }
    }
    if (cache->spare.length == 0) {
        Piece *oldest = g_queue_peek_tail(&cache->idle);

        if (oldest == NULL) {
            return -ENOMEM;
        }
        int ret = oldest->is_dirty ? table_cache_write(cache) : 0;
        if (ret < 0) {
            return ret;
        }
        forget(cache, oldest);
    }
    *piece = g_queue_pop_head_link(&cache->spare)->data;
    return 0;
}

static void pin(TableCache *cache, Piece *piece)
{
    if (piece->pins++ == 0) {
        g_queue_unlink(&cache->idle, &piece->use_link);
        g_queue_push_head_link(&cache->pinned, &piece->use_link);
    }
}

/* A new piece at offset, pinned, its memory undefined. */
static int insert_piece(TableCache *cache, int64_t offset, Piece **piece)
{
    int ret = make_room(cache, piece);

    if (ret < 0) {
        return ret;
    }
    (*piece)->offset = offset;
    (*piece)->pins = 1;
    hash_insert(cache, *piece);
    g_queue_push_head_link(&cache->pinned, &(*piece)->use_link);
    return 0;
}

static void unpin(TableCache *cache, Piece *piece)
{
    assert(piece->pins > 0);
    if (--piece->pins == 0) {
        g_queue_unlink(&cache->pinned, &piece->use_link);
        g_queue_push_head_link(&cache->idle, &piece->use_link);
    }
}

int table_cache_get(TableCache *cache, int64_t offset, void **data)
{
    assert((offset & (cache->piece_bytes - 1)) == 0);
    Piece *piece = *hash_find(cache, offset);

    if (piece != NULL) {
        pin(cache, piece);
        *data = piece->data;
        return 0;
    }
    int ret = insert_piece(cache, offset, &piece);
    if (ret < 0) {
        return ret;
    }
    ret = bdrv_pread(cache->child, offset, cache->piece_bytes, piece->data, 0);
    if (ret < 0) {
        unpin(cache, piece);
        forget(cache, piece);
        return ret;
    }
    *data = piece->data;
    return 0;
}

int table_cache_get_zeroed(TableCache *cache, int64_t offset, void **data)
{
    assert((offset & (cache->piece_bytes - 1)) == 0);
    Piece *piece = *hash_find(cache, offset);

    if (piece != NULL) {
        pin(cache, piece);
        set_clean(cache, piece);
    } else {
        int ret = insert_piece(cache, offset, &piece);

        if (ret < 0) {
            return ret;
        }
    }
    memset(piece->data, 0, (size_t)cache->piece_bytes);
    *data = piece->data;
    return 0;
}

/* Few are pinned, so the list is searched. */
static Piece *pinned_piece(const TableCache *cache, const void *data)
{
    GList *link = cache->pinned.head;

    while (link != NULL && ((const Piece *)link->data)->data != data) {
        link = link->next;
    }
    assert(link != NULL);
    return link->data;
}

void table_cache_put(TableCache *cache, void *data)
{
    unpin(cache, pinned_piece(cache, data));
}

void table_cache_dirty(TableCache *cache, void *data)
{
    Piece *piece = pinned_piece(cache, data);

    if (!piece->is_dirty) {
        piece->is_dirty = true;
        g_queue_push_tail_link(&cache->dirty, &piece->dirty_link);
    }
}

void table_cache_drop(TableCache *cache, int64_t offset, int64_t bytes)
{
    int64_t end = offset + bytes;
    int64_t first = offset & ~(cache->piece_bytes - 1);

    if ((end - first) >> cache->piece_bits < cache->idle.length) {
        for (int64_t at = first; at < end; at += cache->piece_bytes) {
            Piece *piece = *hash_find(cache, at);

            if (piece != NULL) {
                assert(piece->pins == 0);
                forget(cache, piece);
            }
        }
        return;
    }
    for (GList *link = cache->idle.head; link != NULL;) {
        Piece *piece = link->data;

        link = link->next;
        if (piece->offset >= first && piece->offset < end) {
            forget(cache, piece);
        }
    }
}
