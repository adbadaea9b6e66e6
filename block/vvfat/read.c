/* SPDX-License-Identifier: MIT */
/*
 * A request is cut at the borders of the layout's regions. The layout is
 * immutable and the cache of open files locks for itself, so there is nothing
 * to lock here.
 */
#include "block/vvfat/read.h"

#include <errno.h>

#include "block/vvfat/open-files.h"

#define MAX_OPEN_FILES 128u
#define METADATA_CHUNK 4096

struct DiskReader {
    const Layout *layout;
    HostFs *fs;
    OpenFiles *files;
};

static char *node_path(const void *key, const void *opaque)
{
    return tree_real_path(opaque, key);
}

static const char *node_changed(const void *key, const HostStat *st,
                                const void *opaque)
{
    const TreeNode *node = key;
    const Tree *tree = opaque;
    uint64_t dev = g_array_index(tree->devices, uint64_t, node->host_dev);

    if (st->ino != node->host_ino || st->dev != dev) {
        return "was replaced by another file";
    }
    return st->size < (int64_t)node->size ? "has shrunk" : NULL;
}

DiskReader *disk_reader_new(const Layout *layout, HostFs *fs)
{
    DiskReader *reader = g_new(DiskReader, 1);
    OpenFilesSource source = {
        .path = node_path,
        .changed = node_changed,
        .opaque = layout_tree(layout),
    };

    reader->layout = layout;
    reader->fs = fs;
    reader->files = open_files_new(&source, fs, MAX_OPEN_FILES);
    return reader;
}

void disk_reader_free(DiskReader *reader)
{
    if (reader) {
        open_files_free(reader->files);
        g_free(reader);
    }
}

/* ---- Reading ---- */

void disk_read_metadata(const Layout *layout, int64_t offset,
                        const IOVector *iov, size_t done, size_t bytes)
{
    uint8_t chunk[METADATA_CHUNK];

    while (bytes) {
        size_t n = MIN(bytes, sizeof(chunk));

        layout_read_metadata(layout, offset, (int64_t)n, chunk);
        iov_from_buf(iov, done, chunk, n);
        offset += (int64_t)n;
        done += n;
        bytes -= n;
    }
}

int disk_reader_preadv(DiskReader *reader, int64_t offset, const IOVector *iov)
{
    size_t done = 0;

    while (done < iov->size) {
        int64_t at = offset + (int64_t)done;
        Region region;
        size_t n;
        int r = 0;

        layout_region(reader->layout, at, &region);
        n = MIN(iov->size - done, (size_t)(region.end - at));
        switch (region.kind) {
        case REGION_ZERO:
            iov_memset(iov, done, 0, n);
            break;
        case REGION_METADATA:
            disk_read_metadata(reader->layout, at, iov, done, n);
            break;
        case REGION_FILE:
            r = open_files_read(reader->files, region.node,
                                region.file_offset + at - region.start, iov,
                                done, n);
            break;
        }
        if (r < 0) {
            return open_files_guest_error(r);
        }
        done += n;
    }
    return 0;
}

/* ---- Extents ---- */

static int64_t sector_floor(int64_t n)
{
    return n / SECTOR_SIZE * SECTOR_SIZE;
}

static int64_t sector_ceil(int64_t n)
{
    return sector_floor(n + SECTOR_SIZE - 1);
}

static int file_extent(DiskReader *reader, const Region *region,
                       int64_t offset, bool precise, DiskExtent *extent)
{
    const TreeNode *node = region->node;
    int64_t in_file = region->file_offset + offset - region->start;
    int64_t end = node->size;
    OpenFile *file;
    int64_t stop;
    int r;

    extent->node = node;
    extent->file_offset = in_file;
    /* What can be copied in the kernel ends at the last whole sector. */
    if (end >= DISK_READER_MIN_COPY && sector_floor(end) > in_file) {
        end = sector_floor(end);
    }
    end = MIN(end, in_file + extent->bytes);
    extent->bytes = sector_ceil(end - in_file);
    if (!precise || !node->is_sparse) {
        return 0;
    }
    r = open_files_get(reader->files, node, &file);
    if (r < 0) {
        return open_files_guest_error(r);
    }
    stop = hostfs_find_hole(reader->fs, open_file_host(file),
                            (int64_t)node->size, in_file, end,
                            &extent->is_zero);
    open_files_put(reader->files, file);
    extent->bytes = sector_ceil(stop - in_file);
    return 0;
}

int disk_reader_extent(DiskReader *reader, int64_t offset, int64_t bytes,
                       bool precise, DiskExtent *extent)
{
    Region region;

    layout_region(reader->layout, offset, &region);
    *extent = (DiskExtent){
        .bytes = MIN(bytes, sector_ceil(region.end - offset)),
        .is_zero = region.kind == REGION_ZERO,
    };
    if (region.kind == REGION_FILE) {
        return file_extent(reader, &region, offset, precise, extent);
    }
    return 0;
}

/* ---- Copying ---- */

int disk_reader_copy(DiskReader *reader, int64_t offset, BlockDriverState *dst,
                     int64_t dst_offset, int64_t bytes, unsigned flags)
{
    OpenFile *file;
    Region region;
    int r;

    layout_region(reader->layout, offset, &region);
    if (region.kind != REGION_FILE || bytes > region.end - offset) {
        return -ENOTSUP;
    }
    r = open_files_get(reader->files, region.node, &file);
    if (r < 0) {
        return open_files_guest_error(r);
    }
    r = reader->fs->ops->file_fd(reader->fs, open_file_host(file));
    if (r >= 0) {
        r = bdrv_copy_host_range(r, region.file_offset + offset - region.start,
                                 dst, dst_offset, bytes, flags);
    }
    open_files_put(reader->files, file);
    return r;
}
