/* SPDX-License-Identifier: MIT */
/*
 * Entries that appeared, and the inodes they are of.
 *
 * First cluster: an orphan that begins with it, or what is below one, was moved
 * or renamed. For a
 * file that is so as long as its first cluster was not written since, or its
 * creation time is the same, too; else the cluster was freed and given to a
 * new file. Directories are the same when their cluster is: what is in them
 * is compared anyhow.
 *
 * Name: an orphan of this directory that had the name was written anew
 * (truncated and written, or deleted and made again): the host's file keeps
 * its mode, owner and attributes. A directory was moved to other clusters.
 *
 * The other order, where the new entry is written before the old one goes,
 * shows as two entries for one chain, which both wait. When the old one goes
 * its inode takes the place of the new one (guest_take_over()).
 */
#include <inttypes.h>
#include <string.h>

#include "block/vvfat/guest-state-int.h"

/* ---- Children ---- */

/* Add to the children, which are in the order of their slots. */
static void add_child(Inode *dir, Inode *child, uint32_t slot)
{
    uint32_t low = 0, high = dir->n_children;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (dir->children[middle]->slot < slot) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    dir->children = g_renew(Inode *, dir->children, dir->n_children + 1);
    memmove(dir->children + low + 1, dir->children + low,
            (dir->n_children - low) * sizeof(*dir->children));
    dir->children[low] = child;
    dir->n_children++;
    child->parent = dir;
}

/* Out of a directory that is itself without an entry. It may have the child
 * still, when it is in the tree again. */
static void remove_child(GuestState *s, Inode *dir, const Inode *child)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < dir->n_children; i++) {
        if (dir->children[i] != child) {
            dir->children[kept++] = dir->children[i];
        }
    }
    dir->n_children = kept;
    dir->is_known = false;
    g_hash_table_add(s->unlinked, dir);
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
    if (!owner || index != 0 || owner->is_directory != is_directory ||
        guest_state_is_linked(s, owner)) {
        return NULL;
    }
    if (is_directory || has_same_creation(&owner->entry, &e->entry) ||
        !s->config.is_dirty(s->config.opaque, cluster)) {
        return owner;
    }
    return NULL;
}

/* A name in a directory, as a key. g_free(). */
static char *name_key(uint64_t dir, const char *name)
{
    return g_strdup_printf("%" PRIu64 "/%s", dir, name);
}

static Inode *find_by_name(GHashTable *names, const GuestEntry *e)
{
    g_autofree char *key = name_key(e->dir->id, e->name);
    Inode *inode = g_hash_table_lookup(names, key);
    bool is_directory = e->entry.attr & FAT_ATTR_DIRECTORY;

    if (!inode || !inode->is_orphan || inode->is_directory != is_directory) {
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
        gsize dir = GPOINTER_TO_SIZE(g_hash_table_lookup(s->lost_from, inode));

        if (dir) {
            g_hash_table_insert(names, name_key(dir, inode->name), inode);
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

        /* Ordered by what it costs: there can be many of both. */
        if (inode_entry_cluster(&d->entry, s->config.boot.fat_type) == first &&
            d != orphan && d->is_directory == orphan->is_directory &&
            !inode_is_on_host(d) && guest_state_is_linked(s, d)) {
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
    dir->is_known = false;
    child->parent = dir;
}

/* What was read as the double's children is looked for among the orphan's. */
static void drop_children(GuestState *s, Inode *d)
{
    for (uint32_t i = 0; i < d->n_children; i++) {
        guest_orphan_add(s, d->children[i]);
    }
    g_clear_pointer(&d->children, g_free);
    d->n_children = 0;
}

/* Entries that were read in a directory, and are about to be read again. */
static void forget_entries(GuestState *s, const Inode *dir)
{
    for (guint i = s->appeared->len; i > 0; i--) {
        if (g_array_index(s->appeared, GuestEntry, i - 1).dir == dir) {
            g_array_remove_index_fast(s->appeared, i - 1);
        }
    }
}

/* The orphan goes on where its double stands, which goes. */
static int take_over(GuestState *s, Inode *orphan, Inode *d)
{
    guest_orphan_adopt(s, orphan);
    replace_child(d->parent, d, orphan);
    inode_set_name(orphan, d->name);
    orphan->entry = d->entry;
    orphan->slot = d->slot;
    orphan->n_slots = d->n_slots;
    orphan->defects = (orphan->defects & CHAIN_DEFECTS) |
                      (d->defects & ~CHAIN_DEFECTS & ~INODE_DOTS);
    guest_mark_stale(s, orphan, 0);
    guest_state_change(s, orphan);
    d->parent = NULL;
    drop_children(s, d);
    guest_chain_release(s, d, 0);
    g_hash_table_add(s->retired, d);
    if (!orphan->is_directory) {
        return 0;
    }
    forget_entries(s, orphan);
    g_ptr_array_add(s->to_read, orphan);
    return guest_chain_update(s, orphan);
}

static int take_over_doubles(GuestState *s)
{
    int ret = 0, r;

    for (guint i = 0; i < s->orphans->len;) {
        Inode *orphan = g_ptr_array_index(s->orphans, i);
        Inode *d = NULL;

        if (inode_is_on_host(orphan) && orphan->defects & INODE_CROSS_LINK) {
            d = find_double(s, orphan);
        }
        if (d && !g_hash_table_contains(s->retired, d)) {
            r = take_over(s, orphan, d); /* takes it out of the list */
            ret = ret ? ret : r;
        } else {
            i++;
        }
    }
    r = guest_dirs_read(s);
    return ret ? ret : r;
}

/* ---- All that appeared ---- */

/*
 * In this order, as a name says less than a cluster: whatever a cluster tells;
 * directories that nothing tells, which are new, and read at once, as entries
 * in them may be told by their clusters; directories that their names tell, but
 * when entries appear in one, all of that again first; files at the end.
 */
typedef struct Match {
    GuestState *s;
    GHashTable *names; /* of orphans */
    GArray *dirs;      /* GuestEntry: not told yet */
    GArray *files;     /* GuestEntry: not told yet */
    int ret;           /* the first error */
} Match;

static void note_error(Match *m, int ret)
{
    m->ret = m->ret ? m->ret : ret;
}

/* The inode is the entry's, from now on. */
static void take_place(Match *m, Inode *inode, GuestEntry *e)
{
    if (inode->is_orphan) {
        guest_orphan_adopt(m->s, inode);
    } else if (inode->parent) {
        remove_child(m->s, inode->parent, inode);
    }
    add_child(e->dir, inode, e->slot);
    guest_entry_apply(m->s, inode, e);
    guest_state_change(m->s, inode);
    guest_mark_stale(m->s, inode, 0);
    if (inode->is_directory) {
        /* While it had no entry its chain was not followed, nor it read. */
        g_hash_table_add(m->s->touched_dirs, inode);
    }
}

/* What a cluster tells; the others wait. */
static void match_clusters(Match *m)
{
    for (guint i = 0; i < m->s->appeared->len; i++) {
        GuestEntry *e = &g_array_index(m->s->appeared, GuestEntry, i);
        Inode *inode;

        if (g_hash_table_contains(m->s->retired, e->dir)) {
            continue; /* a double: read as what it is the double of */
        }
        /* It may stand below what the entry is of: no tree, then. */
        if (!guest_state_is_linked(m->s, e->dir)) {
            g_hash_table_add(m->s->unlinked, e->dir);
            e->dir->is_known = false; /* all of it is to be read again */
            continue;
        }
        inode = find_by_cluster(m->s, e);
        if (inode) {
            take_place(m, inode, e);
            continue; /* the array's clear function frees the rest */
        }
        g_array_append_val(
            e->entry.attr & FAT_ATTR_DIRECTORY ? m->dirs : m->files, *e);
        e->name = NULL;
    }
    g_array_set_size(m->s->appeared, 0);
}

/* One whose cluster another, linked one has gets no chain, and is not read: it
 * would have all its children twice. */
static void read_directory(Match *m, Inode *dir)
{
    int ret = guest_chain_update(m->s, dir);

    if (ret == 0 && chain_first(&dir->chain) != 0) {
        g_ptr_array_add(m->s->to_read, dir);
        ret = guest_dirs_read(m->s);
    }
    note_error(m, ret);
}

/* The entry stays in the array until forget_placed(), without its name. */
static void place_directory(Match *m, guint i, Inode *inode)
{
    GuestEntry *at = &g_array_index(m->dirs, GuestEntry, i);
    GuestEntry e = *at;

    at->name = NULL;
    inode = inode ? inode : guest_inode_new(m->s, true);
    take_place(m, inode, &e);
    read_directory(m, inode);
    guest_entry_clear(&e);
}

static void forget_placed(Match *m)
{
    guint kept = 0;

    for (guint i = 0; i < m->dirs->len; i++) {
        GuestEntry *e = &g_array_index(m->dirs, GuestEntry, i);

        if (e->name) {
            GuestEntry left = *e;

            e->name = NULL;
            g_array_index(m->dirs, GuestEntry, kept++) = left;
        }
    }
    g_array_set_size(m->dirs, kept);
}

/* New directories; false when there was none. */
static bool place_new_directories(Match *m)
{
    guint n = m->dirs->len;

    for (guint i = 0; i < n; i++) {
        if (!find_by_name(m->names, &g_array_index(m->dirs, GuestEntry, i))) {
            place_directory(m, i, NULL);
        }
    }
    forget_placed(m);
    return m->dirs->len < n;
}

/* Directories that their names tell, up to one in which entries appeared. */
static void place_named_directories(Match *m)
{
    for (guint i = 0; i < m->dirs->len && m->s->appeared->len == 0; i++) {
        place_directory(
            m, i,
            find_by_name(m->names, &g_array_index(m->dirs, GuestEntry, i)));
    }
    forget_placed(m);
}

static void place_files(Match *m)
{
    for (guint i = 0; i < m->files->len; i++) {
        GuestEntry *e = &g_array_index(m->files, GuestEntry, i);
        Inode *inode = find_by_name(m->names, e);

        take_place(m, inode ? inode : guest_inode_new(m->s, false), e);
    }
}

static GArray *entries_new(void)
{
    GArray *entries = g_array_new(FALSE, FALSE, sizeof(GuestEntry));

    g_array_set_clear_func(entries, (GDestroyNotify)guest_entry_clear);
    return entries;
}

int guest_match(GuestState *s)
{
    g_autoptr(GHashTable) names = NULL;
    g_autoptr(GArray) dirs = entries_new();
    g_autoptr(GArray) files = entries_new();
    Match m = { .s = s, .dirs = dirs, .files = files };

    m.ret = take_over_doubles(s);
    if (s->appeared->len == 0) {
        return m.ret;
    }
    names = names_of_orphans(s);
    m.names = names;
    do {
        match_clusters(&m);
        if (!place_new_directories(&m)) {
            place_named_directories(&m);
        }
    } while (s->appeared->len || dirs->len);
    place_files(&m);
    return m.ret;
}
