/* SPDX-License-Identifier: MIT */
/*
 * Files that the guest sees twice: where they are, and through a symbolic
 * link, with clusters of their own. What it does to the first is done to the
 * host's file; the second keeps the bytes, the size and the times that its
 * entry has. So what is about to change goes to the overlay first, and the
 * second is *detached* from its file as far as that.
 *
 * A file that is no longer what the inode says is the host's own: nothing is
 * read from it, and apply leaves it alone.
 */
#include <errno.h>
#include <string.h>

#include "block/vvfat/commit-int.h"

/* ---- Saving ---- */

/* Whether the host has the file no more, or has another one or other contents.
 * What cannot be looked at may be the same. */
static bool is_host_changed(Commit *c, const Inode *inode)
{
    g_autofree char *path = inode_host_path(inode);
    const InodeHostId *known = &inode->host;
    InodeHostId now;
    HostStat st;
    int r = c->config.fs->ops->stat(c->config.fs, path, &st);

    if (r < 0) {
        return r == -ENOENT || r == -ENOTDIR || r == -ELOOP;
    }
    now = apply_host_id(&st);
    return st.kind != HOST_FILE || now.dev != known->dev ||
           now.ino != known->ino ||
           (!inode->change->is_torn &&
            (now.size != known->size || now.mtime_ns != known->mtime_ns));
}

static bool save_run(Commit *c, Inode *inode, ClusterRun run, void *opaque)
{
    int *ret = opaque;

    (void)inode;
    *ret = overlay_save(c->config.overlay, commit_cluster_offset(c, run.first),
                        (int64_t)run.count * c->cluster_size);
    return *ret == 0;
}

/* What was saved of it is not looked for in the file any more: its size is at
 * most `size` bytes. */
static void detach(Commit *c, Inode *linked, int64_t size)
{
    overlay_lock(c->config.overlay);
    if (size < linked->host.size) {
        data_map_truncate(c->config.map, linked,
                          (uint64_t)size / c->cluster_size);
        linked->host.size = size;
    }
    if (linked->host_chain.n_runs == 0) {
        data_map_forget(c->config.map, linked);
    }
    linked->is_detached = true;
    overlay_unlock(c->config.overlay);
    linked_note(guest_state_linked(c->config.state), linked);
}

static void hold(const Commit *c, Inode *inode, const Inode *linked, int error)
{
    InodeChange *change = inode->change;
    g_autofree char *path = inode_path(linked);

    change->held |= INODE_IO_ERROR;
    change->error = error;
    g_free(change->detail);
    change->detail = g_strdup_printf("what '%s', which a symbolic link leads "
                                     "to, needs of its old contents could not "
                                     "be kept in the overlay %s: %s",
                                     path, overlay_place(c->config.overlay),
                                     g_strerror(-error));
}

static void save_files(Commit *c, Inode *inode, const GPtrArray *files)
{
    bool goes = commit_goes(inode);

    if ((!goes && inode->change->content == CONTENT_SAME) ||
        is_host_changed(c, inode)) {
        return;
    }
    for (guint i = 0; i < files->len; i++) {
        Inode *linked = g_ptr_array_index(files, i);
        int ret = 0;

        if (linked == inode) {
            continue;
        }
        if (!commit_doomed(c, inode, linked, save_run, &ret)) {
            hold(c, inode, linked, ret);
            return;
        }
        detach(c, linked, goes ? 0 : inode_size(inode));
    }
}

void commit_save_linked(Commit *c, Inode *inode)
{
    const Linked *linked = guest_state_linked(c->config.state);
    const GPtrArray *files;

    if (linked_is_empty(linked) || !inode_is_on_host(inode)) {
        return;
    }
    if (!inode->change->target_name) {
        g_hash_table_add(c->removed, inode_host_path(inode));
    }
    files = inode->is_directory ? NULL : linked_showing(linked, &inode->host);
    if (files) {
        save_files(c, inode, files);
    }
}

bool commit_is_written(Commit *c, const Inode *inode)
{
    bool is_kept = c->config.begin != NULL;
    bool written = false;

    for (uint32_t i = 0; !is_kept && !written && i < inode->chain.n_runs;
         i++) {
        ClusterRun run = chain_runs(&inode->chain)[i];

        written = overlay_is_dirty(c->config.overlay,
                                   commit_cluster_offset(c, run.first),
                                   (int64_t)run.count * c->cluster_size);
    }
    return written;
}

/* ---- Telling ---- */

/* Tell of a link whose target has another name now, or is gone, unless it leads
 * somewhere again. */
static bool tell_link(Inode *link, const char *was, void *opaque)
{
    Commit *c = opaque;
    const HostFsOps *ops = c->config.fs->ops;
    bool is_moved = strcmp(was, link->link_path) != 0;
    g_autofree char *path = NULL;
    g_autofree char *real = NULL;
    g_autofree char *detail = NULL;
    HostStat st;

    if (link->host_parent->is_linked_to) {
        return true; /* it is told of where it is */
    }
    if (!c->config.event ||
        (!is_moved && !g_hash_table_contains(c->removed, link->link_path))) {
        return false;
    }
    path = inode_host_path_at(link->host_parent, link->host_name);
    if (ops->stat(c->config.fs, path, &st) < 0 || st.kind != HOST_SYMLINK ||
        ops->resolve(c->config.fs, path, &real) != -ENOENT) {
        return false;
    }
    detail = is_moved ? g_strdup_printf("symbolic link that leads nowhere any "
                                        "more: the guest has renamed its "
                                        "target to '%s'",
                                        link->link_path)
                      : g_strdup("symbolic link that leads nowhere any more: "
                                 "the guest has removed its target");
    c->config.event(APPLY_DANGLING, path, detail, c->config.opaque);
    return true;
}

void commit_tell_links(Commit *c)
{
    if (c->links_moved || g_hash_table_size(c->removed)) {
        linked_foreach(guest_state_linked(c->config.state), tell_link, c);
    }
    c->links_moved = false;
    g_hash_table_remove_all(c->removed);
}
