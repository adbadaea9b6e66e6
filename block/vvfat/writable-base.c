/* SPDX-License-Identifier: MIT */
/*
 * The disk below the overlay: bytes of host files where clusters are mapped to
 * them, else what the layout computes, else zeroes.
 */
#include "block/vvfat/read.h"
#include "block/vvfat/writable-int.h"

/* What the layout has: metadata as computed, else zeroes. Its files are in
 * the data map. */
static void read_layout(const Writable *w, int64_t offset, const IOVector *iov,
                        size_t at, size_t bytes)
{
    if (!w->layout) {
        iov_memset(iov, at, 0, bytes);
        return;
    }
    while (bytes) {
        Region region;
        size_t n;

        layout_region(w->layout, offset, &region);
        n = MIN(bytes, (size_t)(region.end - offset));
        if (region.kind == REGION_METADATA) {
            disk_read_metadata(w->layout, offset, iov, at, n);
        } else {
            iov_memset(iov, at, 0, n);
        }
        offset += (int64_t)n;
        at += n;
        bytes -= n;
    }
}

/* Bytes of the data area: of a host file, or of the layout. */
static int read_clusters(Writable *w, int64_t offset, const IOVector *iov,
                         size_t at, size_t bytes, size_t *done)
{
    int64_t in_data = offset - w->data_offset;
    uint32_t index = (uint32_t)(in_data / w->cluster_size);
    uint32_t cluster = index + FAT_FIRST_CLUSTER;
    uint32_t in_cluster = (uint32_t)(in_data % w->cluster_size);
    Interval found;
    bool mapped = data_map_lookup(w->map, cluster, &found);
    uint64_t room = (uint64_t)(found.end - cluster) * w->cluster_size;

    if (found.end < UINT32_MAX) {
        bytes = (size_t)MIN(bytes, room - in_cluster);
    }
    *done = bytes;
    if (mapped) {
        return data_map_read(w->map, cluster, in_cluster, iov, at, bytes);
    }
    read_layout(w, offset, iov, at, bytes);
    return 0;
}

int writable_read_base(void *opaque, int64_t offset, const IOVector *iov,
                       size_t iov_offset, size_t bytes)
{
    Writable *w = opaque;
    size_t done = 0;
    int ret = 0;

    while (ret == 0 && done < bytes) {
        int64_t at = offset + (int64_t)done;
        size_t n = bytes - done;

        if (at >= w->data_offset && at < w->data_end) {
            n = (size_t)MIN((int64_t)n, w->data_end - at);
            ret = read_clusters(w, at, iov, iov_offset + done, n, &n);
        } else {
            if (at < w->data_offset) {
                n = (size_t)MIN((int64_t)n, w->data_offset - at);
            }
            read_layout(w, at, iov, iov_offset + done, n);
        }
        done += n;
    }
    return ret;
}

int writable_read_initial(void *opaque, int64_t offset, int64_t bytes,
                          void *buf)
{
    Writable *w = opaque;
    IOVector iov;

    iov_init_buf(&iov, buf, (size_t)bytes);
    read_layout(w, w->volume_offset + offset, &iov, 0, (size_t)bytes);
    return 0;
}

/* ---- Extents ---- */

/* What the base has at an offset: how far it is of one kind. */
static int64_t base_extent(const Writable *w, int64_t offset, int64_t bytes,
                           bool precise, bool *is_zero)
{
    Region region;
    int64_t end;

    if (offset >= w->data_offset && offset < w->data_end) {
        int64_t in_data = offset - w->data_offset;
        uint32_t cluster = (uint32_t)(in_data / w->cluster_size) +
                           FAT_FIRST_CLUSTER;
        Interval found;
        bool mapped = data_map_lookup(w->map, cluster, &found);

        end = w->data_end;
        if (found.end < UINT32_MAX) {
            end = MIN(end, w->data_offset +
                               (int64_t)(found.end - FAT_FIRST_CLUSTER) *
                                   w->cluster_size);
        }
        bytes = MIN(bytes, end - offset);
        if (mapped) {
            return data_map_extent(w->map, cluster,
                                   (uint32_t)(in_data % w->cluster_size),
                                   bytes, precise, is_zero);
        }
    }
    if (!w->layout) {
        *is_zero = true;
        return bytes;
    }
    layout_region(w->layout, offset, &region);
    *is_zero = region.kind != REGION_METADATA;
    end = (region.end + SECTOR_SIZE - 1) / SECTOR_SIZE * SECTOR_SIZE;
    return MIN(bytes, end - offset);
}

int64_t writable_extent(Writable *w, int64_t offset, int64_t bytes,
                        bool precise, bool *is_zero)
{
    bool present;
    int64_t n;

    overlay_enter(w->overlay);
    *is_zero = false;
    n = overlay_run(w->overlay, offset, bytes, &present);
    if (!present) {
        n = base_extent(w, offset, n, precise, is_zero);
    }
    overlay_leave(w->overlay);
    return n;
}
