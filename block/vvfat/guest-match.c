/* SPDX-License-Identifier: MIT */
/*
 * Entries that appeared, and the inodes they are of.
 *
 * First cluster: an orphan that begins with it was moved or renamed. For a
 * file that is so as long as its first cluster was not written since, or its
 * creation time is the same, too; else the cluster was freed and given to a
 * new file. Directories are the same when their cluster is: what is in them
 * is compared anyhow.
 *
 * Name: an orphan of this directory that had the name was written anew
 * (truncated and written, or deleted and made again): the host's file keeps
 * its mode, owner and attributes.
 *
 * The other order, where the new entry is written before the old one goes,
 * shows as two entries for one chain, which both wait. When the old one goes
 * its inode takes the place of the new one (guest_take_over()).
 */
#include <string.h>

#include "block/vvfat/guest-state-int.h"

/* ---- Children ---- */

static int compare_slots(const void *a, const void *b)
{
    const Inode *one = *(Inode *const *)a;
    const Inode *other = *(Inode *const *)b;

    return (one->slot > other->slot) - (one->slot < other->slot);
}

static void add_child(Inode *dir, Inode *child)
{
    dir->children = g_renew(Inode *, dir->children, dir->n_children + 1);
    dir->children[dir->n_children++] = child;
    child->parent = dir;
}

/* ---- Which inode ---- */

static bool has_same_creation(const FatDirent *a, const FatDirent *b)
{
    return le16_get(a->cdate) == le16_get(b->cdate) &&
           le16_get(a->ctime) == le16_get(b->ctime) &&
           a->ctime_10ms == b->ctime_10ms && le16_get(a->cdate) != 0;
}

static Inode *find_by_cluster(GuestState *s, const GuestEntry *e)
{
    uint32_t cluster = inode_entry_cluster(&e->entry, s->config.boot.fat_type);
    bool is_directory = e->entry.attr & FAT_ATTR_DIRECTORY;
    uint64_t index;
    Inode *owner;

    if (cluster == 0) {
        return NULL;
    }
    owner = guest_state_owner(s, cluster, &index);
    if (!owner || index != 0 || !owner->is_orphan ||
        owner->is_directory != is_directory) {
        return NULL;
    }
    if (is_directory || has_same_creation(&owner->entry, &e->entry) ||
        !s->config.is_dirty(s->config.opaque, cluster)) {
        return owner;
    }
    return NULL;
}

static Inode *find_by_name(GHashTable *names, const GuestEntry *e)
{
    g_autofree char *key = g_strdup_printf("%p/%s", (void *)e->dir, e->name);
    Inode *inode = g_hash_table_lookup(names, key);

    if (!inode || !inode->is_orphan || inode->is_directory ||
        (e->entry.attr & FAT_ATTR_DIRECTORY)) {
        return NULL;
    }
    return inode;
}

static GHashTable *names_of_orphans(const GuestState *s)
{
    GHashTable *names = g_hash_table_new_full(g_str_hash, g_str_equal, g_free,
                                              NULL);

    for (guint i = 0; i < s->orphans->len; i++) {
        Inode *inode = g_ptr_array_index(s->orphans, i);

        if (inode->last_parent) {
            g_hash_table_insert(names,
                                g_strdup_printf("%p/%s",
                                                (void *)inode->last_parent,
                                                inode->name),
                                inode);
        }
    }
    return names;
}

/* ---- Taking over ---- */

/* The new inode, never on the host, that has the first cluster of an orphan;
 * both waited as long as there were two entries. */
static Inode *find_double(GuestState *s, const Inode *orphan)
{
    uint32_t first = inode_entry_cluster(&orphan->entry,
                                         s->config.boot.fat_type);

    for (guint i = 0; first && i < s->defective->len; i++) {
        Inode *d = g_ptr_array_index(s->defective, i);

        if (d != orphan && d->parent && !inode_is_on_host(d) &&
            d->is_directory == orphan->is_directory &&
            inode_entry_cluster(&d->entry, s->config.boot.fat_type) == first) {
            return d;
        }
    }
    return NULL;
}

static void replace_child(Inode *dir, const Inode *old, Inode *child)
{
    for (uint32_t i = 0; i < dir->n_children; i++) {
        if (dir->children[i] == old) {
            dir->children[i] = child;
        }
    }
    child->parent = dir;
}

/* The orphan goes on where its double stands, which goes. */
static void take_over(GuestState *s, Inode *orphan, Inode *d)
{
    guest_orphan_adopt(s, orphan);
    replace_child(d->parent, d, orphan);
    g_free(orphan->name);
    orphan->name = g_steal_pointer(&d->name);
    orphan->entry = d->entry;
    orphan->slot = d->slot;
    orphan->n_slots = d->n_slots;
    orphan->defects = (orphan->defects & CHAIN_DEFECTS) |
                      (d->defects & ~CHAIN_DEFECTS & ~INODE_DOTS);
    guest_mark_stale(s, orphan, 0);
    guest_state_change(s, orphan);
    d->parent = NULL;
    guest_chain_release(s, d, 0);
    g_hash_table_add(s->retired, d);
}

static void take_over_doubles(GuestState *s)
{
    for (guint i = 0; i < s->orphans->len;) {
        Inode *orphan = g_ptr_array_index(s->orphans, i);
        Inode *d = NULL;

        if (inode_is_on_host(orphan) && orphan->defects & INODE_CROSS_LINK) {
            d = find_double(s, orphan);
        }
        if (d && !g_hash_table_contains(s->retired, d)) {
            take_over(s, orphan, d); /* takes it out of the list */
        } else {
            i++;
        }
    }
}

/* ---- All that appeared ---- */

/* A directory whose cluster another, linked one has is not read: it would
 * have all its children twice. */
static bool is_owned_by_linked(GuestState *s, const Inode *dir)
{
    Inode *owner = guest_state_owner(
        s, inode_entry_cluster(&dir->entry, s->config.boot.fat_type), NULL);

    return owner && owner != dir && !owner->is_orphan;
}

static int read_new_directory(GuestState *s, Inode *dir)
{
    bool is_double = is_owned_by_linked(s, dir);
    int ret = guest_chain_update(s, dir);

    if (ret < 0 || is_double || chain_first(&dir->chain) == 0) {
        return ret;
    }
    g_ptr_array_add(s->to_read, dir);
    return guest_dirs_read(s);
}

static int match_entry(GuestState *s, GHashTable *names, GuestEntry *e)
{
    bool is_directory = e->entry.attr & FAT_ATTR_DIRECTORY;
    Inode *inode = find_by_cluster(s, e);
    bool is_new;

    if (!inode) {
        inode = find_by_name(names, e);
    }
    is_new = !inode;
    if (inode) {
        guest_orphan_adopt(s, inode);
    } else {
        inode = guest_inode_new(s, is_directory);
    }
    add_child(e->dir, inode);
    guest_entry_apply(s, inode, e);
    guest_state_change(s, inode);
    guest_mark_stale(s, inode, 0);
    return is_new && is_directory ? read_new_directory(s, inode) : 0;
}

int guest_match(GuestState *s)
{
    g_autoptr(GHashTable) names = names_of_orphans(s);
    g_autoptr(GHashTable) dirs = g_hash_table_new(NULL, NULL);
    GHashTableIter iter;
    gpointer key;
    int ret = 0;

    take_over_doubles(s);
    /* New directories add to the array. */
    for (guint i = 0; i < s->appeared->len; i++) {
        GuestEntry e = g_array_index(s->appeared, GuestEntry, i);
        int r;

        g_array_index(s->appeared, GuestEntry, i).name = NULL;
        g_hash_table_add(dirs, e.dir);
        r = match_entry(s, names, &e);
        ret = ret ? ret : r;
        guest_entry_clear(&e);
    }
    g_array_set_size(s->appeared, 0);
    g_hash_table_iter_init(&iter, dirs);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
        Inode *dir = key;

        qsort(dir->children, dir->n_children, sizeof(*dir->children),
              compare_slots);
    }
    return ret;
}
