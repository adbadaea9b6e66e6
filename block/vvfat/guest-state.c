/* SPDX-License-Identifier: MIT */
/* The state of a guest's volume between two updates: the tree, the list of
 * changes, and what was touched. */
#include "block/vvfat/guest-state.h"

#include <assert.h>

#include "block/vvfat/guest-state-int.h"

/* ---- The state ---- */

Inode *guest_inode_new(GuestState *s, bool is_directory)
{
    Inode *inode = inode_new(is_directory);

    inode->id = ++s->last_id;
    return inode;
}

GuestState *guest_state_new(const GuestStateConfig *config)
{
    GuestState *s = g_new0(GuestState, 1);

    s->config = *config;
    s->cluster_size = config->boot.sectors_per_cluster *
                      config->boot.bytes_per_sector;
    s->linked = linked_new();
    s->owners = interval_map_new();
    s->changes = g_ptr_array_new();
    s->defective = g_ptr_array_new();
    s->orphans = g_ptr_array_new();
    s->lost_from = g_hash_table_new(NULL, NULL);
    s->pages = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    s->differ = sparse_bitmap_new();
    s->touched_pages = g_hash_table_new(NULL, NULL);
    s->touched_dirs = g_hash_table_new(NULL, NULL);
    s->touched_clusters = sparse_bitmap_new();
    s->stale = g_ptr_array_new();
    s->to_read = g_ptr_array_new();
    s->unlinked = g_hash_table_new(NULL, NULL);
    s->appeared = g_array_new(FALSE, FALSE, sizeof(GuestEntry));
    g_array_set_clear_func(s->appeared, (GDestroyNotify)guest_entry_clear);
    s->retired = g_hash_table_new(NULL, NULL);
    s->root = guest_inode_new(s, true);
    inode_borrow_names(s->root, "", "");
    return s;
}

static void free_below(GPtrArray *roots)
{
    while (roots->len) {
        Inode *inode = g_ptr_array_steal_index_fast(roots, roots->len - 1);

        for (uint32_t i = 0; i < inode->n_children; i++) {
            g_ptr_array_add(roots, inode->children[i]);
        }
        inode_free(inode);
    }
}

void guest_state_free(GuestState *s)
{
    g_autoptr(GPtrArray) roots = NULL;

    if (!s) {
        return;
    }
    /* The tree, and what is no longer, or not, in it. */
    roots = g_ptr_array_new();
    g_ptr_array_add(roots, s->root);
    for (guint i = 0; i < s->changes->len; i++) {
        Inode *inode = g_ptr_array_index(s->changes, i);

        if (!inode->parent && inode != s->root) {
            g_ptr_array_add(roots, inode);
        }
    }
    free_below(roots);
    linked_free(s->linked);
    interval_map_free(s->owners);
    g_ptr_array_unref(s->changes);
    g_ptr_array_unref(s->defective);
    g_ptr_array_unref(s->orphans);
    g_hash_table_unref(s->lost_from);
    g_hash_table_unref(s->pages);
    sparse_bitmap_free(s->differ);
    g_hash_table_unref(s->touched_pages);
    g_hash_table_unref(s->touched_dirs);
    sparse_bitmap_free(s->touched_clusters);
    g_ptr_array_unref(s->stale);
    g_ptr_array_unref(s->to_read);
    g_hash_table_unref(s->unlinked);
    g_array_unref(s->appeared);
    g_hash_table_unref(s->retired);
    g_free(s->suspended);
    g_free(s);
}

const char *guest_state_suspended(const GuestState *s)
{
    return s->suspended;
}

Inode *guest_state_root(const GuestState *s)
{
    return s->root;
}

const BootInfo *guest_state_boot(const GuestState *s)
{
    return &s->config.boot;
}

Linked *guest_state_linked(const GuestState *s)
{
    return s->linked;
}

bool guest_state_is_linked(const GuestState *s, const Inode *inode)
{
    while (inode->parent) {
        inode = inode->parent;
    }
    return inode == s->root;
}

/* ---- Changes ---- */

const GPtrArray *guest_state_changes(const GuestState *s)
{
    return s->changes;
}

void guest_state_change(GuestState *s, Inode *inode)
{
    if (!inode->change) {
        inode->change = g_new0(InodeChange, 1);
        inode->change->index = s->changes->len;
        g_ptr_array_add(s->changes, inode);
    }
}

static void drop_change(GuestState *s, Inode *inode)
{
    guint index = inode->change->index;

    g_ptr_array_remove_index_fast(s->changes, index);
    if (index < s->changes->len) {
        Inode *moved = g_ptr_array_index(s->changes, index);

        moved->change->index = index;
    }
    inode_change_free(g_steal_pointer(&inode->change));
}

static bool is_retired(GuestState *s, gconstpointer inode)
{
    return g_hash_table_contains(s->retired, inode);
}

static void remove_retired(GuestState *s, GPtrArray *inodes)
{
    guint kept = 0;

    for (guint i = 0; i < inodes->len; i++) {
        if (!is_retired(s, inodes->pdata[i])) {
            inodes->pdata[kept++] = inodes->pdata[i];
        }
    }
    g_ptr_array_set_size(inodes, (gint)kept);
}

void guest_retire(GuestState *s)
{
    GHashTableIter iter;
    gpointer key;

    if (g_hash_table_size(s->retired) == 0) {
        return;
    }
    remove_retired(s, s->defective);
    remove_retired(s, s->orphans);
    remove_retired(s, s->stale);
    remove_retired(s, s->to_read);
    g_hash_table_iter_init(&iter, s->retired);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
        Inode *inode = key;

        g_hash_table_remove(s->lost_from, inode);
        g_hash_table_remove(s->touched_dirs, inode);
        g_hash_table_remove(s->unlinked, inode);
        if (inode->change) {
            drop_change(s, inode);
        }
        if (inode->is_linked_to) {
            linked_remove(s->linked, inode);
        }
        if (s->config.retire) {
            s->config.retire(s->config.opaque, inode);
            assert(inode->host_chain.n_runs == 0);
        }
        inode_free(inode);
    }
    g_hash_table_remove_all(s->retired);
}

void guest_state_settle(GuestState *s, Inode *inode)
{
    if (inode->change) {
        drop_change(s, inode);
    }
    if (inode != s->root && !inode->parent && !inode->is_orphan &&
        !inode_is_on_host(inode)) {
        g_hash_table_add(s->retired, inode);
        guest_retire(s);
    }
}

/* ---- Touching ---- */

void guest_mark_stale(GuestState *s, Inode *inode, uint32_t from)
{
    if (!inode->is_stale) {
        inode->is_stale = true;
        inode->stale_from = from;
        g_ptr_array_add(s->stale, inode);
    }
    inode->stale_from = MIN(inode->stale_from, from);
}

static void touch_clusters(GuestState *s, uint32_t first, uint32_t end)
{
    Interval found;

    while (first < end && interval_map_next(s->owners, first, &found) &&
           found.start < end) {
        Inode *inode = found.value;

        if (inode->is_directory) {
            uint32_t at = MAX(first, found.start);

            g_hash_table_add(s->touched_dirs, inode);
            sparse_bitmap_set(s->touched_clusters, at,
                              MIN(end, found.end) - at);
        } else {
            guest_state_change(s, inode);
        }
        first = found.end;
    }
}

void guest_state_touch(GuestState *s, int64_t offset, int64_t bytes)
{
    const BootInfo *boot = &s->config.boot;
    int64_t sector = boot->bytes_per_sector;
    int64_t data = (int64_t)boot->data_start * sector;
    int64_t end = offset + bytes;

    s->boot_touched |= offset < sector && end > 0;
    guest_fat_touch(s, offset, bytes);
    if (boot->root_sectors && end > (int64_t)boot->root_start * sector &&
        offset < data) {
        s->root_touched = true;
    }
    if (end > data) {
        uint32_t after = boot->cluster_count + FAT_FIRST_CLUSTER;
        int64_t first = (MAX(offset, data) - data) / s->cluster_size;
        int64_t last = (end - data - 1) / s->cluster_size;

        touch_clusters(s, (uint32_t)MIN(first + FAT_FIRST_CLUSTER, after),
                       (uint32_t)MIN(last + FAT_FIRST_CLUSTER + 1, after));
    }
}
