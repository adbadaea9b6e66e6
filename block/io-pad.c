/* SPDX-License-Identifier: MIT */
/*
 * Unaligned requests. The driver gets whole blocks of request_alignment bytes:
 * the request with a head and a tail around it,
 *
 *     |  head  |  the caller's buffers  |  tail  |
 *     ^ start                                    ^ end
 *
 * in one vector. The block that holds the head and the one that holds the tail
 * are bounced through memory of ours; they may be one and the same. Where the
 * node ends in the middle of a block, so does the last block: nothing past the
 * end is read, and a write never makes the node longer than was asked for.
 */
#include <errno.h>
#include <stdlib.h>

#include "block/io.h"

/* Direct I/O of a driver may ask for memory that is aligned too. */
#define PAD_MEMORY_ALIGNMENT 4096

typedef struct IOPadding {
    int64_t start, end;
    size_t head, tail;              /* bytes around the request */
    int64_t tail_start;             /* where the block of the tail begins */
    uint8_t *head_block;            /* from start on; NULL: no head */
    uint8_t *tail_block;            /* from tail_start on; NULL: no tail */
    int64_t head_bytes, tail_bytes; /* of the two blocks, inside the node */
    void *memory;
    IOVector iov;
} IOPadding;

bool node_range_is_aligned(const BlockDriverState *bs, int64_t offset,
                           int64_t bytes)
{
    int64_t mask = (int64_t)bs->limits.request_alignment - 1;

    return (offset & mask) == 0 && (((offset + bytes) & mask) == 0 ||
                                    offset + bytes == node_length(bs));
}

/* Lay out the blocks, and where they are in memory. 0 or -ENOMEM. */
static int pad_init(IOPadding *pad, const BlockDriverState *bs, int64_t offset,
                    int64_t bytes, const IOVector *iov)
{
    int64_t alignment = bs->limits.request_alignment;
    int64_t mask = alignment - 1;
    int64_t stop = offset + bytes;
    int64_t length = MAX(node_length(bs), stop);
    int64_t blocks;

    *pad = (IOPadding){ .start = offset & ~mask };
    pad->end = MIN((stop + mask) & ~mask, length);
    pad->head = (size_t)(offset - pad->start);
    pad->tail = (size_t)(pad->end - stop);
    pad->tail_start = (stop - 1) & ~mask;

    bool one_block = pad->tail_start == pad->start;
    blocks = pad->head && pad->tail && !one_block ? 2 : 1;
    if (posix_memalign(&pad->memory, PAD_MEMORY_ALIGNMENT,
                       (size_t)(blocks * alignment)) != 0) {
        pad->memory = NULL;
        return -ENOMEM;
    }
    if (pad->head) {
        pad->head_block = pad->memory;
        pad->head_bytes = MIN(alignment, pad->end - pad->start);
    }
    if (pad->tail) {
        pad->tail_block = (uint8_t *)pad->memory +
                          (blocks == 2 ? alignment : 0);
        pad->tail_bytes = pad->end - pad->tail_start;
    }

    iov_init(&pad->iov);
    if (pad->head) {
        iov_add(&pad->iov, pad->head_block, pad->head);
    }
    for (int i = 0; i < iov->niov; i++) {
        iov_add(&pad->iov, iov->iov[i].iov_base, iov->iov[i].iov_len);
    }
    if (pad->tail) {
        iov_add(&pad->iov, pad->tail_block + (stop - pad->tail_start),
                pad->tail);
    }
    return 0;
}

static void pad_clear(IOPadding *pad)
{
    if (pad->memory) {
        iov_clear(&pad->iov);
        free(pad->memory);
    }
}

int node_read_padded(BlockDriverState *bs, int64_t offset, int64_t bytes,
                     const IOVector *iov)
{
    IOPadding pad;
    int ret;

    if (node_range_is_aligned(bs, offset, bytes)) {
        return driver_preadv(bs, offset, bytes, iov);
    }
    ret = pad_init(&pad, bs, offset, bytes, iov);
    if (ret == 0) {
        ret = driver_preadv(bs, pad.start, pad.end - pad.start, &pad.iov);
    }
    pad_clear(&pad);
    return ret;
}

/* Read a block as far as the node has it; the rest is zeroes. */
static int read_block(BlockDriverState *bs, int64_t offset, int64_t bytes,
                      uint8_t *block)
{
    IOVector iov;

    if (block == NULL) {
        return 0;
    }
    iov_init_buf(&iov, block, (size_t)bytes);
    return node_preadv(bs, offset, bytes, &iov);
}

int node_write_padded(BlockDriverState *bs, int64_t offset, int64_t bytes,
                      const IOVector *iov, unsigned flags)
{
    IOPadding pad;
    int ret;

    if (node_range_is_aligned(bs, offset, bytes)) {
        return driver_pwritev(bs, offset, bytes, iov, flags);
    }
    ret = pad_init(&pad, bs, offset, bytes, iov);
    if (ret == 0) {
        ret = read_block(bs, pad.start, pad.head_bytes, pad.head_block);
    }
    if (ret == 0 && pad.tail_block != pad.head_block) {
        ret = read_block(bs, pad.tail_start, pad.tail_bytes, pad.tail_block);
    }
    if (ret == 0) {
        ret = driver_pwritev(bs, pad.start, pad.end - pad.start, &pad.iov,
                             flags);
    }
    pad_clear(&pad);
    return ret;
}
