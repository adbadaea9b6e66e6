/* SPDX-License-Identifier: MIT */
#include "block/vvfat/data-map.h"

#include "block/vvfat/open-files.h"

#define MAX_OPEN_FILES 128u

struct DataMap {
    HostFs *fs;
    uint32_t cluster_size;
    IntervalMap *clusters; /* -> Inode, cluster index in its file */
    OpenFiles *files;
    uint64_t last_mapped;
    Inode lost; /* what needed clusters of freed inodes are mapped to */
};

static char *inode_file_path(const void *key, const void *opaque)
{
    (void)opaque;
    return inode_host_path(key);
}

static const char *inode_file_changed(const void *key, const HostStat *st,
                                      const void *opaque)
{
    const Inode *inode = key;

    (void)opaque;
    if (st->ino != inode->host.ino || st->dev != inode->host.dev) {
        return "was replaced by another file";
    }
    return st->size < inode->host.size ? "has shrunk" : NULL;
}

DataMap *data_map_new(HostFs *fs, uint32_t cluster_size)
{
    static const OpenFilesSource source = {
        .path = inode_file_path,
        .changed = inode_file_changed,
    };
    DataMap *map = g_new0(DataMap, 1);

    map->fs = fs;
    map->cluster_size = cluster_size;
    map->clusters = interval_map_new();
    map->files = open_files_new(&source, fs, MAX_OPEN_FILES);
    map->lost.host.size = INT64_MAX / 2; /* has every cluster */
    return map;
}

void data_map_free(DataMap *map)
{
    if (map) {
        open_files_free(map->files);
        interval_map_free(map->clusters);
        g_free(map);
    }
}

/* ---- Mapping ---- */

void data_map_add(DataMap *map, Inode *inode)
{
    uint32_t index = 0;

    inode->mapped_at = MAX(map->last_mapped, inode->mapped_at) + 1;
    map->last_mapped = inode->mapped_at;
    for (uint32_t i = 0; i < inode->host_chain.n_runs; i++) {
        ClusterRun run = chain_runs(&inode->host_chain)[i];

        interval_map_set(map->clusters, run.first, run.first + run.count,
                         inode, index);
        index += run.count;
    }
}

static void unmap_run(DataMap *map, const Inode *inode, ClusterRun run)
{
    uint32_t at = run.first, end = at + run.count;
    Interval found;

    while (at < end && interval_map_next(map->clusters, at, &found) &&
           found.start < end) {
        uint32_t start = MAX(found.start, at);
        uint32_t stop = MIN(found.end, end);

        if (found.value == inode) {
            interval_map_clear(map->clusters, start, stop);
        }
        at = stop;
    }
}

void data_map_remove(DataMap *map, Inode *inode)
{
    for (uint32_t i = 0; i < inode->host_chain.n_runs; i++) {
        unmap_run(map, inode, chain_runs(&inode->host_chain)[i]);
    }
    chain_clear(&inode->host_chain);
}

static void lose_run(DataMap *map, const Inode *inode, ClusterRun run,
                     bool (*is_needed)(uint32_t cluster, void *opaque),
                     void *opaque)
{
    Interval found;

    for (uint32_t at = run.first; at < run.first + run.count; at++) {
        if (data_map_lookup(map, at, &found) && found.value == inode &&
            is_needed(at, opaque)) {
            interval_map_set(map->clusters, at, at + 1, &map->lost, at);
        }
    }
}

void data_map_retire(DataMap *map, Inode *inode,
                     bool (*is_needed)(uint32_t cluster, void *opaque),
                     void *opaque)
{
    for (uint32_t i = 0; i < inode->host_chain.n_runs; i++) {
        lose_run(map, inode, chain_runs(&inode->host_chain)[i], is_needed,
                 opaque);
    }
    data_map_remove(map, inode);
    data_map_forget(map, inode);
}

void data_map_truncate(DataMap *map, Inode *inode, uint64_t clusters)
{
    uint64_t at = clusters;
    ClusterRun run;

    while (chain_locate(&inode->host_chain, at, &run)) {
        unmap_run(map, inode, run);
        at += run.count;
    }
    chain_truncate(&inode->host_chain, clusters);
}

void data_map_forget(DataMap *map, const Inode *inode)
{
    open_files_forget(map->files, inode);
}

bool data_map_lookup(const DataMap *map, uint32_t cluster, Interval *interval)
{
    return interval_map_lookup(map->clusters, cluster, interval);
}

uint32_t data_map_run(const DataMap *map, const Inode *inode, int64_t offset,
                      uint32_t cluster, uint32_t count, bool *mapped)
{
    Interval found;
    uint32_t index;

    if (!interval_map_lookup(map->clusters, cluster, &found)) {
        *mapped = false;
        return (uint32_t)MIN(count, found.end - cluster);
    }
    index = found.offset + (cluster - found.start);
    *mapped = found.value == inode &&
              index == (uint64_t)offset / map->cluster_size;
    return (uint32_t)MIN(count, found.end - cluster);
}

/* ---- Reading ---- */

static int read_file(DataMap *map, const Inode *inode, int64_t offset,
                     const IOVector *iov, size_t iov_offset, size_t bytes)
{
    if (!inode_is_on_host(inode)) {
        return open_files_deleted();
    }
    return open_files_read(map->files, inode, offset, iov, iov_offset, bytes);
}

/* Where a byte of a cluster is in the host file of its interval. */
static int64_t file_offset(const DataMap *map, const Interval *found,
                           uint32_t cluster, uint32_t in_cluster)
{
    int64_t index = (int64_t)found->offset + (cluster - found->start);

    return index * map->cluster_size + in_cluster;
}

int data_map_read(DataMap *map, uint32_t cluster, uint32_t in_cluster,
                  const IOVector *iov, size_t iov_offset, size_t bytes)
{
    Interval found;
    const Inode *inode;
    int64_t offset, left;
    size_t n = 0;
    int ret = 0;

    if (data_map_lookup(map, cluster, &found)) {
        inode = found.value;
        offset = file_offset(map, &found, cluster, in_cluster);
        left = MAX(inode->host.size - offset, 0);
        n = (size_t)MIN((int64_t)bytes, left);
        if (n) {
            ret = read_file(map, inode, offset, iov, iov_offset, n);
        }
    }
    if (ret == 0 && n < bytes) {
        iov_memset(iov, iov_offset + n, 0, bytes - n);
    }
    return ret;
}

int64_t data_map_extent(DataMap *map, uint32_t cluster, uint32_t in_cluster,
                        int64_t bytes, bool precise, bool *is_zero)
{
    const Inode *inode;
    Interval found;
    OpenFile *file;
    int64_t offset, end;

    *is_zero = true;
    if (!data_map_lookup(map, cluster, &found)) {
        return bytes;
    }
    inode = found.value;
    offset = file_offset(map, &found, cluster, in_cluster);
    end = (inode->host.size + SECTOR_SIZE - 1) / SECTOR_SIZE * SECTOR_SIZE;
    if (offset >= end) {
        return bytes;
    }
    *is_zero = false;
    end = MIN(end, offset + bytes);
    if (precise && inode->is_sparse &&
        open_files_get(map->files, inode, &file) == 0) {
        end = hostfs_find_hole(map->fs, open_file_host(file), inode->host.size,
                               offset, end, is_zero);
        open_files_put(map->files, file);
    }
    return end - offset;
}
