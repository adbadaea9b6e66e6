/* SPDX-License-Identifier: MIT */
/*
 * After the host has it: clusters become the host's bytes, and leave the
 * overlay.
 *
 * What the guest wrote behind the end of a file, in its last cluster or in
 * clusters that it has in store, is not on the host. Unless it is zeroes the
 * overlay keeps it, dirty: when the file grows, it is part of it.
 */
#include <errno.h>

#include "block/vvfat/commit-int.h"

/* Whether the frozen bytes of a range are zeroes. */
static bool is_zero(Commit *c, int64_t offset, int64_t bytes)
{
    g_autofree uint8_t *buffer = g_malloc((gsize)bytes);
    IOVector iov;

    if (bytes == 0) {
        return true;
    }
    if (overlay_read_frozen(c->config.overlay, offset, bytes, buffer) < 0) {
        return false;
    }
    iov_init_buf(&iov, buffer, (size_t)bytes);
    return iov_is_zero(&iov, 0, (size_t)bytes);
}

/*
 * How many bytes of the chain the host shows as the guest has them: the whole
 * last cluster if what is behind the end is zero; else the overlay keeps that
 * cluster, from wherever it comes now. -errno when it cannot.
 */
static int64_t shown_bytes(Commit *c, const Inode *inode)
{
    int64_t size = inode_size(inode);
    int64_t in_last = size % c->cluster_size;
    int64_t offset;
    ClusterRun last;
    int ret;

    if (in_last == 0 ||
        !chain_locate(&inode->chain, (uint64_t)size / c->cluster_size,
                      &last)) {
        return size;
    }
    offset = commit_cluster_offset(c, last.first);
    if (is_zero(c, offset + in_last, c->cluster_size - in_last)) {
        return size - in_last + c->cluster_size;
    }
    ret = overlay_save(c->config.overlay, offset, c->cluster_size);
    return ret < 0 ? ret : size;
}

/* The overlay's units of a file, up to what the host shows, and behind. */
static void settle_units(Commit *c, const Inode *inode, int64_t shown)
{
    Overlay *overlay = c->config.overlay;
    uint64_t length = chain_length(&inode->chain), at = 0;

    while (at < length) {
        int64_t start = (int64_t)at * c->cluster_size, n, part;
        int64_t offset;
        ClusterRun run;

        if (!chain_locate(&inode->chain, at, &run)) {
            break;
        }
        n = (int64_t)run.count * c->cluster_size;
        part = CLAMP(shown - start, 0, n);
        offset = commit_cluster_offset(c, run.first);
        overlay_committed(overlay, offset, part);
        at += run.count;
    }
}

/* False, with everything as it was, when there is no memory. */
static bool map_file(Commit *c, Inode *inode)
{
    uint64_t n = commit_clusters(c, inode_size(inode));
    ClusterChain chain = { 0 };

    if (!chain_copy(&chain, &inode->chain)) {
        return false;
    }
    chain_truncate(&chain, n);
    data_map_remove(c->config.map, inode);
    inode->host_chain = chain;
    data_map_add(c->config.map, inode);
    return true;
}

/* The host has the file, but whose its clusters are cannot be kept: they stay
 * what they were, and the next commit compares it again. */
static void hold_unmapped(Inode *inode)
{
    inode->change->held |= INODE_IO_ERROR;
    inode->change->error = -ENOMEM;
}

static void finish_file(Commit *c, Inode *inode)
{
    int64_t shown = shown_bytes(c, inode);

    if (shown < 0) {
        return; /* still mapped as it was: compared again when touched */
    }
    overlay_lock(c->config.overlay);
    if (map_file(c, inode)) {
        settle_units(c, inode, shown);
    } else {
        hold_unmapped(inode);
    }
    overlay_unlock(c->config.overlay);
}

static void finish_inode(Commit *c, Inode *inode)
{
    if (inode->is_detached) {
        return; /* the overlay is what has its bytes */
    }
    /* What is gone is unmapped already, or when it is freed. */
    if (inode->change->target_name && !inode->is_directory) {
        finish_file(c, inode);
    }
    inode->host_entry = inode_host_entry(&inode->entry);
}

/* ---- Discards ---- */

/* Clusters that the guest has discarded and that are free. */
static void drop_free(int64_t offset, int64_t bytes, void *opaque)
{
    Commit *c = opaque;
    const BootInfo *boot = guest_state_boot(c->config.state);
    int64_t cs = c->cluster_size;
    int64_t first = MAX(offset - c->data_offset + cs - 1, 0) / cs;
    int64_t end = MIN((offset + bytes - c->data_offset) / cs,
                      (int64_t)boot->cluster_count);

    for (int64_t i = first; i < end; i++) {
        uint32_t cluster = (uint32_t)i + FAT_FIRST_CLUSTER;

        if (guest_state_allocated(c->config.state, cluster) == 0) {
            overlay_unneeded(c->config.overlay,
                             commit_cluster_offset(c, cluster), cs);
        }
    }
}

void commit_finish(Commit *c)
{
    const GPtrArray *changes = guest_state_changes(c->config.state);

    for (guint i = 0; i < changes->len; i++) {
        Inode *inode = g_ptr_array_index(changes, i);

        if (!inode->change->held) {
            finish_inode(c, inode);
        }
        if (c->error == 0 && inode->change->held && inode->change->error < 0) {
            c->error = inode->change->error;
        }
    }
    overlay_lock(c->config.overlay);
    overlay_discards(c->config.overlay, drop_free, c);
    overlay_unlock(c->config.overlay);
}

void commit_settle(Commit *c)
{
    const GPtrArray *changes = guest_state_changes(c->config.state);

    /* Settling takes the last of the list into the place of this one. */
    for (guint i = changes->len; i > 0; i--) {
        Inode *inode = g_ptr_array_index(changes, i - 1);

        if (!inode->change->held) {
            guest_state_settle(c->config.state, inode);
        }
    }
}
