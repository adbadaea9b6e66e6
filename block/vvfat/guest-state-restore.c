/* SPDX-License-Identifier: MIT */
/*
 * All inodes, to be kept, and a state made of those that were. The guest's
 * side of these is as old as their last commit, so everything is looked at
 * again by the first update: FATs against zeroes, all directories, all chains.
 */
#include <string.h>

#include "block/vvfat/guest-state-int.h"

GPtrArray *guest_state_inodes(const GuestState *s)
{
    GPtrArray *all = g_ptr_array_new();

    g_ptr_array_add(all, s->root);
    for (guint i = 0; i < s->changes->len; i++) {
        Inode *inode = g_ptr_array_index(s->changes, i);

        if (!inode->parent && inode != s->root) {
            g_ptr_array_add(all, inode);
        }
    }
    for (guint at = 0; at < all->len; at++) {
        Inode *inode = g_ptr_array_index(all, at);

        for (uint32_t i = 0; i < inode->n_children; i++) {
            g_ptr_array_add(all, inode->children[i]);
        }
    }
    return all;
}

static void take_clusters(GuestState *s, Inode *inode)
{
    uint32_t index = 0;

    for (uint32_t i = 0; i < inode->chain.n_runs; i++) {
        ClusterRun run = chain_runs(&inode->chain)[i];

        interval_map_set(s->owners, run.first, run.first + run.count, inode,
                         index);
        index += run.count;
    }
}

/* Whether the sides may differ: those that do not are told from each other
 * when the change is judged. */
static bool may_differ(const Inode *inode)
{
    const char *known = inode->alias ? inode->alias : inode->host_name;

    return inode->parent != inode->host_parent ||
           g_strcmp0(known, inode->name) != 0 ||
           inode->entry.attr != inode->host_entry.attr ||
           !inode_has_entry_time(inode) ||
           (!inode->is_directory && inode_size(inode) != inode->host.size);
}

static void restore_inode(GuestState *s, Inode *inode)
{
    s->last_id = MAX(s->last_id, inode->id);
    linked_add(s->linked, inode);
    take_clusters(s, inode);
    if (!inode->parent && inode != s->root) {
        guest_orphan_add(s, inode);
    }
    guest_mark_stale(s, inode, 0);
    if (inode != s->root && may_differ(inode)) {
        guest_state_change(s, inode);
    }
    if (inode->is_directory) {
        g_hash_table_add(s->touched_dirs, inode);
    }
}

/* An interrupted plan may have removed directories that others were in, as far
 * as is recorded, and from which the host took these away. */
static void leave_gone(const GPtrArray *inodes)
{
    for (guint i = 0; i < inodes->len; i++) {
        Inode *inode = g_ptr_array_index(inodes, i);

        if (inode_is_on_host(inode) && !inode_is_reachable(inode)) {
            inode_leave_host(inode);
        }
    }
}

void guest_state_restore(GuestState *s, const GPtrArray *inodes)
{
    inode_free(s->root);
    s->root = g_ptr_array_index(inodes, 0);
    s->boot_touched = true;
    s->root_touched = true;
    leave_gone(inodes);
    for (guint i = 0; i < inodes->len; i++) {
        restore_inode(s, g_ptr_array_index(inodes, i));
    }
}
