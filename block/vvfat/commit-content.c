/* SPDX-License-Identifier: MIT */
/*
 * Which bytes of a file the host does not have.
 *
 * A cluster of the chain is the host's own where it is mapped to the same
 * place of the same file and the overlay has none of it: what was written
 * since, or was saved when the file became shorter. Everything else has to be
 * written, whatever the reason: new data, appended clusters, a file that was
 * put together anew, clusters moved by a defragmenter.
 */
#include <errno.h>

#include "block/vvfat/commit-int.h"

/* ---- Comparing ---- */

/* How many clusters from one on, of a run, are the host's own or are not. */
static uint32_t own_run(Commit *c, const Inode *inode, int64_t offset,
                        ClusterRun run, bool *own)
{
    bool mapped, present;
    uint32_t n = data_map_run(c->config.map, inode, offset, run.first,
                              run.count, &mapped);
    int64_t bytes;

    *own = false;
    if (!mapped) {
        return n;
    }
    bytes = overlay_run(c->config.overlay, commit_cluster_offset(c, run.first),
                        (int64_t)n * c->cluster_size, &present);
    if (!present && bytes >= c->cluster_size) {
        *own = true;
        return (uint32_t)(bytes / c->cluster_size);
    }
    return present ? (uint32_t)MIN(commit_clusters(c, bytes), n) : 1;
}

static void add_range(InodeChange *change, int64_t offset, int64_t end)
{
    InodeRange *last = NULL;
    InodeRange range = { .offset = offset, .bytes = end - offset };

    if (range.bytes <= 0) {
        return;
    }
    if (change->ranges->len) {
        last = &g_array_index(change->ranges, InodeRange,
                              change->ranges->len - 1);
    }
    if (last && last->offset + last->bytes == offset) {
        last->bytes += range.bytes;
    } else {
        g_array_append_val(change->ranges, range);
    }
}

/* Whether others on the host have this file by another name. */
static bool has_other_names(Commit *c, const Inode *inode)
{
    g_autofree char *path = inode_host_path(inode);
    HostStat st;

    return path && c->config.fs->ops->stat(c->config.fs, path, &st) == 0 &&
           st.nlink > 1;
}

void commit_examine(Commit *c, Inode *inode)
{
    InodeChange *change = inode->change;
    int64_t size = inode_size(inode), offset = 0;
    uint64_t n = commit_clusters(c, size), at = 0, n_own = 0;

    if (change->ranges) {
        g_array_set_size(change->ranges, 0);
    } else {
        change->ranges = g_array_new(FALSE, FALSE, sizeof(InodeRange));
    }
    while (at < n) {
        ClusterRun run;
        bool own;

        if (!chain_locate(&inode->chain, at, &run)) {
            break; /* the chain is short: that is held elsewhere */
        }
        run.count = (uint32_t)MIN(run.count, n - at);
        run.count = own_run(c, inode, offset, run, &own);
        n_own += own ? run.count : 0;
        at += run.count;
        if (!own) {
            add_range(change, offset,
                      MIN((int64_t)at * c->cluster_size, size));
        }
        offset = (int64_t)at * c->cluster_size;
    }
    if (!inode_is_on_host(inode) || (n > 0 && n_own == 0)) {
        change->content = CONTENT_WHOLE;
    } else if (change->ranges->len || size != inode->host.size) {
        change->content = has_other_names(c, inode) ? CONTENT_WHOLE
                                                    : CONTENT_RANGES;
    } else {
        change->content = CONTENT_SAME;
    }
}

/* ---- What will be gone ---- */

typedef struct Doomed {
    Commit *c;
    Inode *inode; /* that shows the host file */
    CommitRunVisitor *visit;
    void *opaque;
} Doomed;

/* A cluster of the host file: whether it is still what the guest reads there,
 * and in use. */
static bool is_needed(const Doomed *d, uint32_t cluster)
{
    Interval found;

    return data_map_lookup(d->c->config.map, cluster, &found) &&
           found.value == d->inode &&
           guest_state_allocated(d->c->config.state, cluster) != 0;
}

/* Clusters first..end-1 of the host file. */
static bool doom_clusters(Doomed *d, uint64_t first, uint64_t end)
{
    end = MIN(end, chain_length(&d->inode->host_chain));
    while (first < end) {
        ClusterRun run, part = { 0 };

        if (!chain_locate(&d->inode->host_chain, first, &run)) {
            break;
        }
        run.count = (uint32_t)MIN(run.count, end - first);
        first += run.count;
        for (uint32_t i = 0; i <= run.count; i++) {
            if (i < run.count && is_needed(d, run.first + i)) {
                part.first = part.count ? part.first : run.first + i;
                part.count++;
            } else if (part.count) {
                if (!d->visit(d->c, d->inode, part, d->opaque)) {
                    return false;
                }
                part.count = 0;
            }
        }
    }
    return true;
}

/* Whether it will be copied, since it goes to another file system. */
static bool is_carried_over(const Inode *inode)
{
    const Inode *dir = inode->parent;

    return dir != inode->host_parent && inode_is_on_host(dir) &&
           dir->host.dev != inode->host.dev;
}

bool commit_goes(const Inode *inode)
{
    return !inode->change->target_name ||
           inode->change->content == CONTENT_WHOLE || is_carried_over(inode);
}

bool commit_doomed(Commit *c, Inode *inode, Inode *shown_by,
                   CommitRunVisitor *visit, void *opaque)
{
    Doomed d = { .c = c, .inode = shown_by, .visit = visit, .opaque = opaque };
    const InodeChange *change = inode->change;
    uint64_t cluster_size = c->cluster_size;

    if (!inode_is_on_host(inode) || inode->is_directory) {
        return true;
    }
    if (!change->target_name || change->content == CONTENT_WHOLE ||
        (shown_by != inode && commit_goes(inode))) {
        return doom_clusters(&d, 0, UINT64_MAX);
    }
    if (change->content == CONTENT_SAME) {
        return true;
    }
    for (guint i = 0; i < change->ranges->len; i++) {
        InodeRange range = g_array_index(change->ranges, InodeRange, i);

        if (!doom_clusters(&d, (uint64_t)range.offset / cluster_size,
                           commit_clusters(c, range.offset + range.bytes))) {
            return false;
        }
    }
    return doom_clusters(&d, (uint64_t)inode_size(inode) / cluster_size,
                         UINT64_MAX);
}

bool commit_save_run(Commit *c, Inode *inode, ClusterRun run, void *opaque)
{
    int *ret = opaque;

    (void)inode;
    *ret = overlay_save(c->config.overlay, commit_cluster_offset(c, run.first),
                        (int64_t)run.count * c->cluster_size);
    return *ret == 0;
}

/* ---- Reading ---- */

int commit_read_file(Commit *c, const Inode *inode, int64_t offset,
                     int64_t bytes, void *buf)
{
    uint8_t *out = buf;

    while (bytes > 0) {
        uint32_t in_cluster = (uint32_t)(offset % c->cluster_size);
        ClusterRun run;
        int64_t n;
        int ret;

        if (!chain_locate(&inode->chain, (uint64_t)offset / c->cluster_size,
                          &run)) {
            return -EIO;
        }
        n = MIN(bytes, (int64_t)run.count * c->cluster_size - in_cluster);
        ret = overlay_read_frozen(
            c->config.overlay,
            commit_cluster_offset(c, run.first) + in_cluster, n, out);
        if (ret < 0) {
            return ret;
        }
        out += n;
        offset += n;
        bytes -= n;
    }
    return 0;
}
