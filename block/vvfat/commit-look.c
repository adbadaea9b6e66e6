/* SPDX-License-Identifier: MIT */
/*
 * What a commit would do. Clusters that the overlay has need not differ from
 * the host's file: one whose end lies behind the file's is kept, and so is
 * everything when a process ended between a commit and its tidying up. A
 * commit finds that out by comparing, and so does this.
 */
#include <string.h>

#include "block/vvfat/commit-int.h"

#define CHUNK (INT64_C(256) * 1024)

static bool range_is_same(Commit *c, const Inode *inode, HostFile *file,
                          InodeRange range)
{
    g_autofree uint8_t *guest = g_malloc((gsize)CHUNK);
    g_autofree uint8_t *host = g_malloc((gsize)CHUNK);
    int64_t end = range.offset + range.bytes;

    for (int64_t at = range.offset; at < end; at += CHUNK) {
        int64_t n = MIN(end - at, CHUNK);
        IOVector iov;

        iov_init_buf(&iov, host, (size_t)n);
        if (commit_read_file(c, inode, at, n, guest) < 0 ||
            hostfs_read_full(c->config.fs, file, at, &iov, 0, (size_t)n) < 0 ||
            memcmp(guest, host, (size_t)n) != 0) {
            return false;
        }
    }
    return true;
}

static bool ranges_are_same(Commit *c, const Inode *inode)
{
    const HostFsOps *ops = c->config.fs->ops;
    const GArray *ranges = inode->change->ranges;
    g_autofree char *path = inode_host_path(inode);
    HostFile *file;
    HostStat st;
    bool same = true;

    if (ops->file_open(c->config.fs, path, &file, &st) < 0) {
        return false;
    }
    for (guint i = 0; same && ranges && i < ranges->len; i++) {
        same = range_is_same(c, inode, file,
                             g_array_index(ranges, InodeRange, i));
    }
    ops->file_close(c->config.fs, file);
    return same && st.size == inode_size(inode);
}

/* Whether only the contents may differ, and they do not. */
static bool is_same(Commit *c, Inode *inode)
{
    InodeChange *change = inode->change;
    InodeContent content = change->content;
    bool differs;

    if (change->held || content == CONTENT_SAME || !inode_is_on_host(inode)) {
        return false;
    }
    change->content = CONTENT_SAME;
    differs = commit_differs(c, inode);
    change->content = content;
    return !differs && ranges_are_same(c, inode);
}

static uint64_t hold_all(Commit *c)
{
    g_autoptr(GPtrArray) planned = commit_judge_all(c);
    uint64_t n = 0;

    for (guint i = 0; i < planned->len; i++) {
        Inode *inode = g_ptr_array_index(planned, i);

        if (!is_same(c, inode)) {
            inode->change->held |= inode->change->held ? 0 : INODE_WAITS;
            n++;
        }
    }
    return n;
}

int commit_look(Commit *c, bool closing, CommitResult *result)
{
    int ret;

    commit_result_clear(result);
    overlay_freeze(c->config.overlay, commit_touch, c);
    ret = guest_state_update(c->config.state, closing);
    result->suspended = commit_check_suspended(c);
    if (!result->suspended) {
        result->held = hold_all(c);
    }
    overlay_thaw(c->config.overlay);
    return ret;
}
