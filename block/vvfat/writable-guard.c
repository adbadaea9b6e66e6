/* SPDX-License-Identifier: MIT */
/*
 * What the guest may not do: write what the host does not let us write, and
 * move the partition.
 */
#include <errno.h>

#include "block/vvfat/partition.h"
#include "block/vvfat/writable-int.h"

static int refuse(const Inode *inode, const char *what)
{
    g_autofree char *path = inode_host_path(inode);
    g_autofree char *text = report_escape(path ? path : inode->name);

    bdrv_set_io_error("The host does not allow to write '%s'; its %s cannot "
                      "be changed (protect=report accepts such writes, and "
                      "holds them back)",
                      text, what);
    return -EACCES;
}

static int read_gated(void *opaque, int64_t offset, int64_t bytes, void *buf)
{
    return overlay_read_gated(((Writable *)opaque)->overlay, offset, bytes,
                              buf);
}

static int check_clusters(Writable *w, int64_t offset, int64_t bytes)
{
    int64_t end = MIN(offset + bytes, w->data_end) - w->data_offset;
    int64_t at = MAX(offset - w->data_offset, 0);

    while (at < end) {
        uint32_t cluster = (uint32_t)(at / w->cluster_size) +
                           FAT_FIRST_CLUSTER;
        Interval found;

        if (data_map_lookup(w->map, cluster, &found)) {
            const Inode *inode = found.value;

            if (inode->is_protected) {
                return refuse(inode, "data");
            }
        }
        if (found.end >= UINT32_MAX) {
            break;
        }
        at = (int64_t)(found.end - FAT_FIRST_CLUSTER) * w->cluster_size;
    }
    return 0;
}

int writable_check_write(void *opaque, int64_t offset, int64_t bytes,
                         const IOVector *iov)
{
    Writable *w = opaque;
    const Inode *inode;
    int ret;

    if (!w->protect) {
        return 0;
    }
    ret = check_clusters(w, offset, bytes);
    if (ret < 0) {
        return ret;
    }
    inode = protect_check_entries(w->protect, offset, bytes, iov, read_gated,
                                  w, &ret);
    return inode ? refuse(inode, "directory entry") : ret;
}

void writable_refresh_protection(void *opaque)
{
    Writable *w = opaque;

    if (w->protect) {
        protect_refresh(w->protect);
    }
}

/* ---- The partition ---- */

static int read_frozen_disk(void *opaque, int64_t offset, int64_t bytes,
                            void *buf)
{
    Writable *w = opaque;

    return overlay_read_frozen(w->overlay, offset, bytes, buf);
}

/* The volume's partition must be where it was. Its type, name and flags, and
 * the disk's signature, are the guest's affair. */
char *writable_check_partition(void *opaque)
{
    Writable *w = opaque;
    g_autoptr(PartitionList) list = NULL;

    if (w->volume_offset == 0) {
        return NULL;
    }
    list = partition_find(read_frozen_disk, w, (uint64_t)w->disk_bytes, NULL);
    if (!list) {
        return g_strdup("the partition table cannot be read");
    }
    for (guint i = 0; i < list->partitions->len; i++) {
        const Partition *p = &g_array_index(list->partitions, Partition, i);

        if (p->start == (uint64_t)w->volume_offset &&
            p->bytes >= (uint64_t)w->volume_bytes) {
            return NULL;
        }
    }
    return g_strdup("the guest has changed the partition table: the volume's "
                    "partition is not where it was");
}
