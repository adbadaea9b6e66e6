/* SPDX-License-Identifier: MIT */
/*
 * Which clusters of a writable volume are whose bytes on the host, and reading
 * them. A cluster that is mapped has the bytes of its inode's host file, from
 * an offset on; behind the file's end there are zeroes. It stays mapped when
 * the host has deleted that file: bytes that are lost are an error, and no
 * zeroes.
 *
 * An inode is in the map only where its host_chain says so; one that is freed
 * has none.
 *
 * Not locked: the gate of the overlay lets readers in together, and those who
 * change the map, or the host's side of an inode, alone.
 */
#ifndef VVFAT_DATA_MAP_H
#define VVFAT_DATA_MAP_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

#include "block/iov.h"
#include "block/vvfat/hostfs.h"
#include "block/vvfat/inode.h"
#include "util/interval-map.h"

typedef struct DataMap DataMap;

/* fs must outlive it. */
DataMap *data_map_new(HostFs *fs, uint32_t cluster_size);
void data_map_free(DataMap *map);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(DataMap, data_map_free)

/* Let inode->host_chain be mapped to the inode's host file, from its start;
 * inode->mapped_at rises from call to call. */
void data_map_add(DataMap *map, Inode *inode);

/* Unmap what is still mapped of inode->host_chain, which is empty then. */
void data_map_remove(DataMap *map, Inode *inode);

/*
 * The inode is about to be freed, and has no host file: nothing refers to it
 * afterwards. Clusters that is_needed() says cannot be read until something
 * else has them: their bytes went with the host file. The others are unmapped.
 */
void data_map_retire(DataMap *map, Inode *inode,
                     bool (*is_needed)(uint32_t cluster, void *opaque),
                     void *opaque);

/* Unmap what is still mapped of inode->host_chain from a cluster of it on, and
 * let it end there. */
void data_map_truncate(DataMap *map, Inode *inode, uint64_t clusters);

/* The host file behind the inode is another one, or none. */
void data_map_forget(DataMap *map, const Inode *inode);

/* What a cluster is mapped to: interval.value is the inode, and
 * interval.offset is where interval.start is in its file, in clusters; false:
 * nothing, and interval.end is where that ends. */
bool data_map_lookup(const DataMap *map, uint32_t cluster, Interval *interval);

/*
 * Whether clusters from `cluster` on are mapped to the inode at an offset of
 * its file: how many of them, at most `count`, are, or are not.
 */
uint32_t data_map_run(const DataMap *map, const Inode *inode, int64_t offset,
                      uint32_t cluster, uint32_t count, bool *mapped);

/*
 * Fill part of a vector with `bytes` bytes from a byte of a cluster on; the
 * clusters from there on are mapped as one interval, or none of them is:
 * zeroes. As open_files_read(): -EIDRM when the host's file is not what it
 * was, or is no more.
 */
int data_map_read(DataMap *map, uint32_t cluster, uint32_t in_cluster,
                  const IOVector *iov, size_t iov_offset, size_t bytes)
    G_GNUC_WARN_UNUSED_RESULT;

/*
 * How many bytes from there on, at most `bytes`, read as zeroes, or may not.
 * All are mapped as one interval, and begin and end with sectors. precise:
 * look for holes in the host's file.
 */
int64_t data_map_extent(DataMap *map, uint32_t cluster, uint32_t in_cluster,
                        int64_t bytes, bool precise, bool *is_zero);

#endif
