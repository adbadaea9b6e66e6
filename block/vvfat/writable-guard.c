/* SPDX-License-Identifier: MIT */
/*
 * What the guest may not do: write after the last commit has begun, or what
 * the host does not let us write; and move the partition.
 *
 * To write what is there already is no change, and is allowed: who copies a
 * whole image over the disk writes every sector. Data of protected files is
 * then left out of the request, so that no commit finds it written; with
 * protect=report, too, where all else may be written.
 */
#include <errno.h>
#include <string.h>

#include "block/vvfat/partition.h"
#include "block/vvfat/writable-int.h"

#define COMPARED (INT64_C(256) << 10) /* bytes at a time */

static int refuse(const Inode *inode, const char *what)
{
    g_autofree char *path = committer_path_of(inode);

    bdrv_set_io_error(
        "%s '%s'; its %s cannot be changed (protect=report "
        "accepts such writes, and holds them back%s)",
        inode->is_linked_to ? "A link leads to"
                            : "The host does not allow to write",
        path, what,
        protect_is_the_owners(inode) ? "; protect=allow allows them" : "");
    return -EACCES;
}

static int read_gated(void *opaque, int64_t offset, int64_t bytes, void *buf)
{
    return overlay_read_gated(((Writable *)opaque)->overlay, offset, bytes,
                              buf);
}

/* How many bytes from offset on, at most `bytes`, are of one protected file,
 * *inode, or of none: NULL. */
static int64_t protected_run(const Writable *w, int64_t offset, int64_t bytes,
                             const Inode **inode)
{
    int64_t in_data = offset - w->data_offset;
    Interval found;

    *inode = NULL;
    if (in_data < 0 || offset >= w->data_end) {
        return in_data < 0 ? MIN(bytes, -in_data) : bytes;
    }
    if (data_map_lookup(
            w->map, (uint32_t)(in_data / w->cluster_size) + FAT_FIRST_CLUSTER,
            &found) &&
        ((const Inode *)found.value)->is_protected) {
        *inode = found.value;
    }
    if (found.end >= UINT32_MAX) {
        return bytes;
    }
    return MIN(bytes,
               (int64_t)(found.end - FAT_FIRST_CLUSTER) * w->cluster_size -
                   in_data);
}

/* Whether the disk holds what is to be written; *ret is -errno when that could
 * not be found out. */
static bool is_unchanged(Writable *w, int64_t offset, int64_t bytes,
                         const IOVector *iov, size_t iov_offset, int *ret)
{
    size_t most = (size_t)MIN(bytes, COMPARED);
    g_autofree uint8_t *old = g_try_malloc(most);
    g_autofree uint8_t *new = g_try_malloc0(most);
    bool same = old && new;

    *ret = same ? 0 : -ENOMEM;
    while (same && bytes) {
        size_t n = (size_t)MIN(bytes, COMPARED);

        *ret = read_gated(w, offset, (int64_t)n, old);
        if (iov) {
            iov_to_buf(iov, iov_offset, new, n);
        }
        same = *ret == 0 && memcmp(old, new, n) == 0;
        offset += (int64_t)n;
        iov_offset += n;
        bytes -= (int64_t)n;
    }
    return same;
}

/* 1: there are such clusters, and they hold what is to be written. */
static int check_clusters(Writable *w, int64_t offset, int64_t bytes,
                          const IOVector *iov)
{
    int64_t done = 0;
    int found = 0;

    while (done < bytes) {
        const Inode *inode;
        int64_t n = protected_run(w, offset + done, bytes - done, &inode);
        int ret;

        if (inode) {
            if (!is_unchanged(w, offset + done, n, iov, (size_t)done, &ret)) {
                return ret < 0 ? ret : refuse(inode, "data");
            }
            found = 1;
        }
        done += n;
    }
    return found;
}

static bool has_protected(const Writable *w, int64_t offset, int64_t bytes)
{
    const Inode *inode = NULL;

    while (!inode && bytes) {
        int64_t n = protected_run(w, offset, bytes, &inode);

        offset += n;
        bytes -= n;
    }
    return inode != NULL;
}

int writable_check_write(void *opaque, int64_t offset, int64_t bytes,
                         const IOVector *iov)
{
    Writable *w = opaque;
    const Inode *inode;
    int found, ret;

    if (w->is_finished) {
        bdrv_set_io_error("The last commit has begun: nothing can be written "
                          "any more");
        return -ESHUTDOWN;
    }
    if (!w->protect) {
        return 0;
    }
    if (w->config->protect == PROTECT_REPORT) {
        return has_protected(w, offset, bytes);
    }
    found = check_clusters(w, offset, bytes, iov);
    if (found < 0) {
        return found;
    }
    inode = protect_check_entries(w->protect, offset, bytes, iov, read_gated,
                                  w, &ret);
    if (inode) {
        return refuse(inode, "directory entry");
    }
    return ret < 0 ? ret : found;
}

/* With protect=error, the check has compared already. */
int64_t writable_kept_run(void *opaque, int64_t offset, int64_t bytes,
                          const IOVector *iov, size_t iov_offset, bool *kept)
{
    Writable *w = opaque;
    const Inode *inode;
    int64_t n = protected_run(w, offset, bytes, &inode);
    int ret;

    *kept = inode && (w->config->protect != PROTECT_REPORT ||
                      is_unchanged(w, offset, n, iov, iov_offset, &ret));
    return n;
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
