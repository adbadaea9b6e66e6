/* SPDX-License-Identifier: MIT */
/*
 * Clusters as raw deflate streams with a window of 4 KiB, as both qcow formats
 * hold them. May be called on any thread. Sizes are those of clusters: -EINVAL
 * for those that zlib cannot count (4 GiB).
 */
#ifndef BLOCK_DEFLATE_H
#define BLOCK_DEFLATE_H

#include <glib.h>
#include <stdint.h>

/*
 * Compress into dst, which has room for dst_bytes. Bytes used, fewer than
 * dst_bytes; -ENOSPC when it does not become that small; or -ENOMEM.
 */
int64_t deflate_cluster(void *dst, int64_t dst_bytes, const void *src,
                        int64_t src_bytes) G_GNUC_WARN_UNUSED_RESULT;

/*
 * Decompress exactly dst_bytes. src may have bytes behind the stream. 0,
 * -EIO when the stream is damaged or short, or -ENOMEM.
 */
int inflate_cluster(void *dst, int64_t dst_bytes, const void *src,
                    int64_t src_bytes) G_GNUC_WARN_UNUSED_RESULT;

#endif
