/* SPDX-License-Identifier: MIT */
/*
 * Inodes that no entry has any more.
 *
 * A guest that moves a file may write the directory that loses it first, and
 * one that deletes it writes directory and FAT in any order. So an inode whose
 * entry has gone stays, with what the host has of it, until its clusters are
 * free or another's. Then it is gone for good, and with a directory all that
 * was in it loses its entry. An empty file has no clusters: it stays while its
 * directory is damaged, which may have cost it its entry.
 */
#include "block/vvfat/fat.h"
#include "block/vvfat/guest-state-int.h"

void guest_orphan_add(GuestState *s, Inode *inode)
{
    if (inode->parent) {
        g_hash_table_insert(s->lost_from, inode,
                            GSIZE_TO_POINTER(inode->parent->id));
    }
    inode->parent = NULL;
    inode->is_orphan = true;
    g_ptr_array_add(s->orphans, inode);
    guest_mark_stale(s, inode, 0);
    guest_state_change(s, inode);
}

void guest_orphan_adopt(GuestState *s, Inode *inode)
{
    inode->is_orphan = false;
    g_hash_table_remove(s->lost_from, inode);
    inode->defects &= ~INODE_LOST_CHAIN;
    g_ptr_array_remove_fast(s->orphans, inode);
}

/* Whether a cluster of the run is still allocated, and nobody else's. */
static int run_is_held(GuestState *s, const Inode *inode, ClusterRun run)
{
    for (uint32_t i = 0; i < run.count; i++) {
        uint32_t cluster = run.first + i;
        int ret;

        if (guest_state_owner(s, cluster, NULL) != inode) {
            continue;
        }
        ret = guest_state_allocated(s, cluster);
        if (ret != 0) {
            return ret;
        }
    }
    return 0;
}

static int is_held(GuestState *s, const Inode *inode)
{
    for (uint32_t i = 0; i < inode->chain.n_runs; i++) {
        int ret = run_is_held(s, inode, chain_runs(&inode->chain)[i]);

        if (ret != 0) {
            return ret;
        }
    }
    return 0;
}

/* Not directories: they have clusters, and the one that this one was in may be
 * below it now. */
static bool waits_for_directory(const Inode *inode)
{
    return !inode->is_directory && inode->chain.n_runs == 0 &&
           inode->host_parent && inode->host_parent->defects;
}

/* It is no more. The list gets its children. */
static void let_go(GuestState *s, Inode *inode)
{
    inode->is_orphan = false;
    inode->is_stale = false;
    g_hash_table_remove(s->lost_from, inode);
    if (inode->defects & CHAIN_DEFECTS) {
        g_ptr_array_remove_fast(s->defective, inode);
    }
    inode->defects = 0;
    guest_chain_release(s, inode, 0);
    chain_clear(&inode->chain);
    for (uint32_t i = 0; i < inode->n_children; i++) {
        guest_orphan_add(s, inode->children[i]);
    }
    g_clear_pointer(&inode->children, g_free);
    inode->n_children = 0;
    if (!inode_is_on_host(inode)) {
        g_hash_table_add(s->retired, inode);
    }
}

int guest_orphans_update(GuestState *s)
{
    int ret = 0;

    /* Those let go are followed by their children, at the end. */
    for (guint i = 0; i < s->orphans->len;) {
        Inode *inode = g_ptr_array_index(s->orphans, i);
        int held = inode->is_stale ? is_held(s, inode) : 1;

        if (held == 0 && waits_for_directory(inode)) {
            inode->defects |= INODE_LOST_CHAIN; /* and is asked again */
            i++;
            continue;
        }
        if (held == 0) {
            g_ptr_array_remove_index_fast(s->orphans, i);
            let_go(s, inode);
            continue;
        }
        if (held < 0) {
            ret = held;
        } else {
            inode->is_stale = false;
            inode->defects |= INODE_LOST_CHAIN;
        }
        i++;
    }
    return ret;
}

int guest_state_allocated(GuestState *s, uint32_t cluster)
{
    uint32_t value;
    int ret;

    if (sparse_bitmap_get(s->differ, cluster)) {
        return 1;
    }
    ret = guest_fat_get(s, cluster, &value);
    return ret < 0 ? ret : value != FAT_ENTRY_FREE;
}
