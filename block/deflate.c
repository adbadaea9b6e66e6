/* SPDX-License-Identifier: MIT */
/*
 * The parameters are those of the images that QEMU writes: no zlib header, a
 * window of 1 << 12 bytes, the default level, the most memory.
 *
 * A stream is made for each call. Keeping it saves a tenth of the time for a
 * cluster of 4 KiB and a fiftieth for one of 64 KiB, but 280 KiB would stay
 * with every thread that ever compressed something.
 */
#include "block/deflate.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <zlib.h>

#define WINDOW_BITS (-12) /* negative: raw deflate */
#define MEMORY_LEVEL 9

/* False when zlib cannot count that far. */
static bool stream_set_buffers(z_stream *stream, void *dst, int64_t dst_bytes,
                               const void *src, int64_t src_bytes)
{
    if (dst_bytes < 0 || dst_bytes > UINT_MAX || src_bytes < 0 ||
        src_bytes > UINT_MAX) {
        return false;
    }
    stream->next_in = (z_const Bytef *)src;
    stream->avail_in = (uInt)src_bytes;
    stream->next_out = dst;
    stream->avail_out = (uInt)dst_bytes;
    return true;
}

int64_t deflate_cluster(void *dst, int64_t dst_bytes, const void *src,
                        int64_t src_bytes)
{
    z_stream stream = { 0 };
    int64_t result = -ENOSPC;

    if (!stream_set_buffers(&stream, dst, dst_bytes, src, src_bytes)) {
        return -EINVAL;
    }
    if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, WINDOW_BITS,
                     MEMORY_LEVEL, Z_DEFAULT_STRATEGY) != Z_OK) {
        return -ENOMEM;
    }
    /* zlib cannot tell an end that just fits from one that does not. */
    if (deflate(&stream, Z_FINISH) == Z_STREAM_END && stream.avail_out > 0) {
        result = dst_bytes - stream.avail_out;
    }
    deflateEnd(&stream);
    return result;
}

int inflate_cluster(void *dst, int64_t dst_bytes, const void *src,
                    int64_t src_bytes)
{
    z_stream stream = { 0 };
    int ret;

    if (!stream_set_buffers(&stream, dst, dst_bytes, src, src_bytes)) {
        return -EINVAL;
    }
    if (inflateInit2(&stream, WINDOW_BITS) != Z_OK) {
        return -ENOMEM;
    }
    /* Z_BUF_ERROR with all of dst filled: there is more in the stream than
     * the cluster holds, or its end is missing. Neither does harm. */
    ret = inflate(&stream, Z_FINISH);
    ret = ret == Z_MEM_ERROR ? -ENOMEM
          : (ret == Z_STREAM_END || ret == Z_BUF_ERROR) &&
                  stream.avail_out == 0
              ? 0
              : -EIO;
    inflateEnd(&stream);
    return ret;
}
