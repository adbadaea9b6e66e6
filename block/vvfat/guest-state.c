/* SPDX-License-Identifier: MIT */
/*
 * An update, in this order: the boot sector (which may stop it); the FAT,
 * which makes the owners of changed clusters stale; stale directories; touched
 * directories, all read before any entry that appeared gets an inode; chains
 * of stale files; orphans. Each step may use what those before it found out.
 */
#include "block/vvfat/guest-state.h"

#include <errno.h>

#include "block/vvfat/guest-state-int.h"

#define MAX_PASSES 8u /* beside the first, in one update */

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
    s->root->name = g_strdup("");
    s->root->host_name = g_strdup("");
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

/* Free the inodes that nobody needs any more. */
static void retire(GuestState *s)
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

        g_hash_table_remove(s->touched_dirs, inode);
        g_hash_table_remove(s->unlinked, inode);
        if (inode->change) {
            drop_change(s, inode);
        }
        if (inode->is_linked_to) {
            linked_remove(s->linked, inode);
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
        retire(s);
    }
}

/* ---- Touching ---- */

void guest_mark_stale(GuestState *s, Inode *inode, uint64_t from)
{
    if (!inode->is_stale) {
        inode->is_stale = true;
        inode->stale_from = from;
        g_ptr_array_add(s->stale, inode);
    }
    inode->stale_from = MIN(inode->stale_from, from);
}

static void touch_clusters(GuestState *s, uint64_t first, uint64_t end)
{
    Interval found;

    while (first < end && interval_map_next(s->owners, first, &found) &&
           found.start < end) {
        Inode *inode = found.value;

        if (inode->is_directory) {
            uint64_t at = MAX(first, found.start);

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
        uint64_t first = (uint64_t)(MAX(offset, data) - data) /
                         s->cluster_size;
        uint64_t last = (uint64_t)(end - data - 1) / s->cluster_size;

        touch_clusters(s, first + FAT_FIRST_CLUSTER,
                       last + FAT_FIRST_CLUSTER + 1);
    }
}

/* ---- The boot sector ---- */

static const char *changed_parameter(const BootInfo *old, const BootInfo *now)
{
    if (old->volume_id != now->volume_id) {
        return "serial number";
    }
    if (old->fat_type != now->fat_type ||
        old->cluster_count != now->cluster_count ||
        old->total_sectors != now->total_sectors) {
        return "size or FAT type";
    }
    if (old->bytes_per_sector != now->bytes_per_sector ||
        old->sectors_per_cluster != now->sectors_per_cluster ||
        old->reserved_sectors != now->reserved_sectors ||
        old->fat_count != now->fat_count ||
        old->sectors_per_fat != now->sectors_per_fat ||
        old->root_entries != now->root_entries ||
        old->root_cluster != now->root_cluster ||
        old->active_fat != now->active_fat || old->mirrored != now->mirrored) {
        return "layout";
    }
    return NULL;
}

static int check_boot(GuestState *s)
{
    uint8_t sector[SECTOR_SIZE];
    g_autoptr(GError) error = NULL;
    const char *changed;
    BootInfo now;
    int ret;

    if (!s->boot_touched) {
        return 0;
    }
    ret = s->config.read(s->config.opaque, 0, sizeof(sector), sector);
    if (ret < 0) {
        return ret;
    }
    if (!boot_parse(sector, s->config.volume_bytes, &now, &error)) {
        s->suspended = g_strdup_printf(
            "the guest has written a boot sector that is none of a FAT "
            "volume (%s)",
            error->message);
        return 0;
    }
    changed = changed_parameter(&s->config.boot, &now);
    if (changed) {
        s->suspended = g_strdup_printf(
            "the guest has formatted the volume: its %s is another", changed);
        return 0;
    }
    s->boot_touched = false;
    return 0;
}

/* ---- Updates ---- */

/* Of two that want a cluster, the one that has been there longer is asked
 * first. */
static int compare_age(gconstpointer a, gconstpointer b)
{
    const Inode *one = *(Inode *const *)a;
    const Inode *other = *(Inode *const *)b;

    if (inode_is_on_host(one) != inode_is_on_host(other)) {
        return inode_is_on_host(one) ? -1 : 1;
    }
    return (one->id > other->id) - (one->id < other->id);
}

/* Directories among the stale: their chains first, and then all they hold. */
static int update_stale_dirs(GuestState *s)
{
    int ret = 0;

    g_ptr_array_sort(s->stale, compare_age);
    for (guint i = 0; i < s->stale->len; i++) {
        Inode *inode = g_ptr_array_index(s->stale, i);
        int r;

        if (!inode->is_directory || !inode->is_stale ||
            !guest_state_is_linked(s, inode)) {
            continue;
        }
        r = guest_chain_update(s, inode);
        ret = ret ? ret : r;
        g_hash_table_add(s->touched_dirs, inode);
    }
    return ret;
}

static int update_dirs(GuestState *s)
{
    GHashTableIter iter;
    gpointer key;

    g_hash_table_iter_init(&iter, s->touched_dirs);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
        s->root_touched |= key == s->root;
        if (key != s->root) {
            g_ptr_array_add(s->to_read, key);
        }
    }
    g_hash_table_remove_all(s->touched_dirs);
    if (s->root_touched) {
        s->root_touched = false;
        g_ptr_array_add(s->to_read, s->root); /* the last is read first */
    }
    return guest_dirs_read(s);
}

/* What is still stale is so until the next update. */
static int update_stale(GuestState *s)
{
    guint kept = 0;
    int ret = 0;

    g_ptr_array_sort(s->stale, compare_age);
    for (guint i = 0; i < s->stale->len; i++) {
        Inode *inode = g_ptr_array_index(s->stale, i);

        if (inode->is_stale && guest_state_is_linked(s, inode)) {
            int r = guest_chain_update(s, inode);

            ret = ret ? ret : r;
        }
        if (inode->is_stale) {
            s->stale->pdata[kept++] = inode;
        }
    }
    g_ptr_array_set_size(s->stale, (gint)kept);
    return ret;
}

static void forget_fresh(GuestState *s)
{
    guint kept = 0;

    for (guint i = 0; i < s->stale->len; i++) {
        if (((Inode *)s->stale->pdata[i])->is_stale) {
            s->stale->pdata[kept++] = s->stale->pdata[i];
        }
    }
    g_ptr_array_set_size(s->stale, (gint)kept);
}

/* A format that was found in the middle: what was not read is touched. */
static void put_back_to_read(GuestState *s)
{
    for (guint i = 0; i < s->to_read->len; i++) {
        g_hash_table_add(s->touched_dirs, s->to_read->pdata[i]);
    }
    g_ptr_array_set_size(s->to_read, 0);
}

/* Directories that were to be read, and that are in the tree again, after all
 * that was found: they count as touched. False: there is none. */
static bool touch_relinked(GuestState *s)
{
    GHashTableIter iter;
    gpointer key;
    bool any = false;

    g_hash_table_iter_init(&iter, s->unlinked);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
        if (guest_state_is_linked(s, key)) {
            g_hash_table_add(s->touched_dirs, key);
            g_hash_table_iter_remove(&iter);
            any = true;
        }
    }
    return any;
}

/* Those that are not in the tree now may be by the next update. */
static void touch_unlinked(GuestState *s)
{
    GHashTableIter iter;
    gpointer key;

    g_hash_table_iter_init(&iter, s->unlinked);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
        g_hash_table_add(s->touched_dirs, key);
    }
    g_hash_table_remove_all(s->unlinked);
}

/* Directories and their entries, until none is left that can be read. */
static int update_entries(GuestState *s)
{
    int ret = 0, r;
    bool any;

    do {
        r = update_dirs(s);
        ret = ret ? ret : r;
        if (s->suspended) {
            return ret;
        }
        r = guest_match(s);
        ret = ret ? ret : r;
        retire(s); /* doubles, before their place is taken */
        any = touch_relinked(s);
    } while (ret == 0 && (any || g_hash_table_size(s->touched_dirs) > 0));
    return ret;
}

/* Chains, directories, entries, orphans: once. */
static int update_pass(GuestState *s)
{
    int ret, r;

    for (guint i = 0; i < s->defective->len; i++) {
        guest_mark_stale(s, g_ptr_array_index(s->defective, i), 0);
    }
    ret = update_stale_dirs(s);
    r = update_entries(s);
    ret = ret ? ret : r;
    touch_unlinked(s);
    if (s->suspended) {
        put_back_to_read(s);
        return ret;
    }
    /* What is in directories that are gone must be known not to hold its
     * clusters, before others are found to have them. */
    r = guest_orphans_update(s);
    ret = ret ? ret : r;
    r = update_stale(s);
    ret = ret ? ret : r;
    r = guest_orphans_update(s);
    ret = ret ? ret : r;
    forget_fresh(s);
    retire(s);
    return ret;
}

static bool has_cross_links(const GuestState *s)
{
    for (guint i = 0; i < s->defective->len; i++) {
        const Inode *inode = g_ptr_array_index(s->defective, i);

        if (inode->defects & INODE_CROSS_LINK) {
            return true;
        }
    }
    return false;
}

int guest_state_update(GuestState *s, bool closing)
{
    guint n_defective = 0;
    int ret;

    g_clear_pointer(&s->suspended, g_free);
    s->closing = closing;
    ret = check_boot(s);
    if (ret == 0 && !s->suspended) {
        ret = guest_fat_update(s);
    }
    if (ret < 0) {
        /* Nothing can be said of any file. */
        s->suspended = g_strdup("the volume's boot sector or FAT could not be "
                                "read");
    }
    if (s->suspended) {
        return ret;
    }
    ret = update_pass(s);
    /* A chain can have met one that was found to be gone later, and that one
     * another: as long as less and less is wrong. */
    for (unsigned i = 0; i < MAX_PASSES && n_defective != s->defective->len &&
                         ret == 0 && !s->suspended && has_cross_links(s);
         i++) {
        n_defective = s->defective->len;
        ret = update_pass(s);
    }
    return ret;
}
