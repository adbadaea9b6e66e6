/* SPDX-License-Identifier: MIT */
/*
 * An update, in this order: the boot sector (which may stop it); the FAT,
 * which makes the owners of changed clusters stale; stale directories; touched
 * directories, all read before any entry that appeared gets an inode; chains
 * of stale files; orphans. Each step may use what those before it found out.
 */
#include "block/vvfat/guest-state-int.h"
#include "block/vvfat/guest-state.h"

#define MAX_PASSES 8u /* beside the first, in one update */

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
        guest_retire(s); /* doubles, before their place is taken */
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
    guest_retire(s);
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
