/* SPDX-License-Identifier: MIT */
/*
 * A directory that was touched, read again and compared with its children.
 *
 * Children and entries are both in the order of slots. An entry whose short
 * name, first cluster and kind stand where they stood is the same child; all
 * others are left to guest-match.c, once every touched directory has been
 * read: what disappeared in one may have appeared in another.
 *
 * Of a directory that is known only the parts that were touched are read
 * (guest-dir-parts.c); the children between them stay as they are.
 */
#include <errno.h>
#include <string.h>

#include "block/vvfat/guest-dir-int.h"

/* What is written so: in a directory that is fresh or was cleared. */
#define UNUSED_ATTRIBUTES 0xc0

void guest_entry_clear(GuestEntry *entry)
{
    g_clear_pointer(&entry->name, g_free);
}

/* ---- Bytes ---- */

static int64_t cluster_offset(const GuestState *s, uint32_t cluster)
{
    const BootInfo *boot = &s->config.boot;

    return (int64_t)boot->data_start * boot->bytes_per_sector +
           (int64_t)(cluster - FAT_FIRST_CLUSTER) * s->cluster_size;
}

static int read_clusters(GuestState *s, const Inode *dir, uint64_t at,
                         GByteArray *bytes)
{
    uint8_t *out = bytes->data;
    uint64_t left = bytes->len;
    int ret = 0;

    while (ret == 0 && left) {
        uint64_t in_cluster = at % s->cluster_size, n;
        ClusterRun run;

        if (!chain_locate(&dir->chain, at / s->cluster_size, &run)) {
            return -EIO;
        }
        n = MIN(left, (uint64_t)run.count * s->cluster_size - in_cluster);
        ret =
            s->config.read(s->config.opaque,
                           cluster_offset(s, run.first) + (int64_t)in_cluster,
                           (int64_t)n, out);
        out += n;
        at += n;
        left -= n;
    }
    return ret;
}

static int read_bytes(GuestState *s, const Inode *dir, const DirPart *part,
                      GByteArray *bytes)
{
    const BootInfo *boot = &s->config.boot;
    uint64_t at = (uint64_t)part->first * FAT_DIRENT_SIZE;

    g_byte_array_set_size(bytes, (part->end - part->first) * FAT_DIRENT_SIZE);
    if (dir == s->root && boot->fat_type != 32) {
        return s->config.read(
            s->config.opaque,
            (int64_t)boot->root_start * boot->bytes_per_sector + (int64_t)at,
            bytes->len, bytes->data);
    }
    return read_clusters(s, dir, at, bytes);
}

/* ---- Entries ---- */

static unsigned entry_defects(const GuestState *s, const DirentItem *item,
                              const char *name)
{
    const FatDirent *entry = &item->entry;
    bool is_directory = entry->attr & FAT_ATTR_DIRECTORY;
    unsigned defects = 0;

    if ((entry->attr & UNUSED_ATTRIBUTES) ||
        (is_directory &&
         (le32_get(entry->size) != 0 ||
          inode_entry_cluster(entry, s->config.boot.fat_type) == 0))) {
        defects |= INODE_DAMAGED;
    }
    if (*name == '\0' || strchr(name, '/') ||
        (item->defects & DIRENT_BAD_LONG_NAME) ||
        (item->long_units == 0 && (item->defects & DIRENT_BAD_SHORT_NAME))) {
        defects |= INODE_NAME_UNSAFE;
    }
    return defects;
}

static void add_entry(DirRead *r, const DirentItem *item)
{
    GuestEntry e = {
        .dir = r->dir,
        .entry = item->entry,
        .slot = item->first_slot,
        .n_slots = item->n_slots,
    };

    if (item->long_units) {
        e.name = names_utf16_to_utf8(item->long_name, item->long_units);
    } else {
        e.name = names_short_to_utf8(r->s->config.codepage, item->entry.name,
                                     item->entry.case_flags);
    }
    e.defects = entry_defects(r->s, item, e.name);
    g_array_append_val(r->entries, e);
}

/* False: the directory ends here. */
static bool parse(DirRead *r, const DirPart *part, const GByteArray *bytes)
{
    DirentReader reader;
    DirentItem item;

    dirent_reader_init(&reader);
    reader.slot = part->first;
    for (guint at = 0; at + FAT_DIRENT_SIZE <= bytes->len;
         at += FAT_DIRENT_SIZE) {
        if (!dirent_reader_feed(&reader, (const FatDirent *)(bytes->data + at),
                                &item)) {
            continue;
        }
        switch (item.kind) {
        case DIRENT_FILE:
            add_entry(r, &item);
            break;
        case DIRENT_DOT:
            r->has_dot |= item.first_slot == 0 &&
                          inode_entry_cluster(&item.entry,
                                              r->s->config.boot.fat_type) ==
                              chain_first(&r->dir->chain);
            break;
        case DIRENT_DOTDOT:
        case DIRENT_LABEL:
            break;
        case DIRENT_END:
            return false;
        }
    }
    return true;
}

/* ---- Comparing ---- */

static bool is_same_entry(const GuestState *s, const Inode *child,
                          const GuestEntry *e)
{
    unsigned fat_type = s->config.boot.fat_type;

    return child->slot + child->n_slots == e->slot + e->n_slots &&
           memcmp(child->entry.name, e->entry.name, FAT_SHORT_NAME_SIZE) ==
               0 &&
           child->is_directory == !!(e->entry.attr & FAT_ATTR_DIRECTORY) &&
           inode_entry_cluster(&child->entry, fat_type) ==
               inode_entry_cluster(&e->entry, fat_type);
}

/* Take over what the entry says of a child that it is the same of. */
void guest_entry_apply(GuestState *s, Inode *child, GuestEntry *e)
{
    unsigned chain_defects = child->defects & CHAIN_DEFECTS;
    bool is_new_size = le32_get(child->entry.size) != le32_get(e->entry.size);
    bool is_changed =
        memcmp(&child->entry, &e->entry, sizeof(e->entry)) != 0 ||
        g_strcmp0(child->name, e->name) != 0 || child->parent != e->dir ||
        child->defects != (e->defects | chain_defects);

    child->parent = e->dir;
    child->entry = e->entry;
    child->slot = (uint16_t)e->slot;
    child->n_slots = (uint8_t)e->n_slots;
    child->defects = e->defects | chain_defects |
                     (child->defects & (INODE_DOTS | INODE_IO_ERROR));
    inode_set_name(child, e->name);
    if (is_new_size && !child->is_directory) {
        guest_mark_stale(s, child, UINT32_MAX); /* compare with its chain */
    }
    if (is_changed) {
        guest_state_change(s, child);
    }
}

static uint32_t last_slot_of(const Inode *child)
{
    return child->slot + child->n_slots;
}

/* Children and entries of a part, both ascending: pair them by the slot of
 * the short entry. */
static void compare_part(const DirRead *r, const DirPart *part, Inode **old,
                         GPtrArray *kept)
{
    GuestState *s = r->s;
    uint32_t at = part->child, end = part->end_child;

    for (guint i = part->entry; i < part->end_entry; i++) {
        GuestEntry *e = &g_array_index(r->entries, GuestEntry, i);

        while (at < end && last_slot_of(old[at]) < e->slot + e->n_slots) {
            guest_orphan_add(s, old[at++]);
        }
        if (at < end && is_same_entry(s, old[at], e)) {
            guest_entry_apply(s, old[at], e);
            g_ptr_array_add(kept, old[at++]);
        } else {
            if (at < end && last_slot_of(old[at]) == e->slot + e->n_slots) {
                guest_orphan_add(s, old[at++]);
            }
            g_array_append_val(s->appeared, *e);
            e->name = NULL;
        }
    }
    while (at < end) {
        guest_orphan_add(s, old[at++]);
    }
}

/* Children first..end-1. */
static void keep(GPtrArray *kept, Inode **children, uint32_t first,
                 uint32_t end)
{
    guint at = kept->len;

    if (first < end) {
        g_ptr_array_set_size(kept, (gint)(at + end - first));
        memcpy(kept->pdata + at, children + first,
               (end - first) * sizeof(*children));
    }
}

static void compare(DirRead *r)
{
    Inode *dir = r->dir;
    g_autoptr(GPtrArray) kept = g_ptr_array_new();
    uint32_t n_old = dir->n_children, at = 0;
    g_autofree Inode **old = g_steal_pointer(&dir->children);

    dir->n_children = 0;
    for (guint i = 0; i < r->parts->len; i++) {
        const DirPart *part = &g_array_index(r->parts, DirPart, i);

        keep(kept, old, at, part->child);
        compare_part(r, part, old, kept);
        at = part->end_child;
    }
    keep(kept, old, at, n_old);
    dir->n_children = kept->len;
    dir->children = (Inode **)g_ptr_array_steal(kept, NULL);
}

/* ---- Formatting ---- */

static bool has_children_left(const DirRead *r)
{
    uint32_t left = r->dir->n_children;

    for (guint i = 0; i < r->parts->len; i++) {
        const DirPart *part = &g_array_index(r->parts, DirPart, i);

        left -= part->end_child - part->child;
    }
    return left + r->entries->len > 0;
}

/* Whether a root that had children has none, and zeroes where they stood:
 * deleting leaves a mark, formatting does not. */
static bool is_formatted(const DirRead *r, const GByteArray *bytes)
{
    const Inode *dir = r->dir;
    uint64_t at;

    if (dir != r->s->root || dir->n_children == 0 || has_children_left(r)) {
        return false;
    }
    at = (uint64_t)(last_slot_of(dir->children[0]) - 1) * FAT_DIRENT_SIZE;
    return at >= bytes->len || bytes->data[at] == FAT_DIRENT_END;
}

/* ---- Reading ---- */

static void set_dots(GuestState *s, Inode *dir, bool is_missing)
{
    bool was_missing = dir->defects & INODE_DOTS;

    if (is_missing != was_missing) {
        dir->defects ^= INODE_DOTS;
        guest_state_change(s, dir);
    }
}

/* Read the parts; `bytes` are those of the last. */
static int read_parts(DirRead *r, GByteArray *bytes)
{
    int ret = 0;

    r->is_cut = r->has_dot = false;
    g_array_set_size(r->entries, 0);
    for (guint i = 0; ret == 0 && !r->is_cut && i < r->parts->len; i++) {
        DirPart *part = &g_array_index(r->parts, DirPart, i);

        part->entry = r->entries->len;
        ret = read_bytes(r->s, r->dir, part, bytes);
        if (ret == 0 && !parse(r, part, bytes)) {
            r->is_cut = part->end_child < r->dir->n_children;
        }
        part->end_entry = r->entries->len;
    }
    return ret;
}

/* The parts that were touched; or all of it, where that is not enough to know
 * what became of the rest. */
static int read_entries(DirRead *r, GByteArray *bytes)
{
    int ret;

    if (r->dir->is_known && !(r->dir->defects & INODE_DOTS)) {
        guest_dir_parts(r->s, r->dir, r->parts);
        ret = read_parts(r, bytes);
        if (ret < 0 ||
            (!r->is_cut && (r->dir != r->s->root || has_children_left(r)))) {
            return ret;
        }
    }
    guest_dir_whole(r->s, r->dir, r->parts);
    return read_parts(r, bytes);
}

static bool has_begin(const DirRead *r)
{
    return r->parts->len && g_array_index(r->parts, DirPart, 0).first == 0;
}

static int read_dir(GuestState *s, Inode *dir)
{
    g_autoptr(GByteArray) bytes = g_byte_array_new();
    g_autoptr(GArray) entries = g_array_new(FALSE, FALSE, sizeof(GuestEntry));
    g_autoptr(GArray) parts = g_array_new(FALSE, FALSE, sizeof(DirPart));
    DirRead r = { .s = s, .dir = dir, .parts = parts, .entries = entries };
    int ret;

    g_array_set_clear_func(entries, (GDestroyNotify)guest_entry_clear);
    ret = read_entries(&r, bytes);
    if (ret < 0) {
        dir->is_known = false;
        return ret;
    }
    if (is_formatted(&r, bytes)) {
        s->suspended = g_strdup("the guest has formatted the volume; its new "
                                "contents stay in the overlay, and the "
                                "directory stays as it is");
        s->root_touched = true; /* look again */
        dir->is_known = false;
        return 0;
    }
    if (has_begin(&r)) {
        set_dots(s, dir, dir != s->root && !r.has_dot);
    }
    if (dir->defects & INODE_DOTS) {
        dir->is_known = false;
        return 0; /* not written yet, or damaged: what is known stays */
    }
    guest_dir_twins(&r);
    compare(&r);
    guest_dir_known(s, dir);
    return 0;
}

/* One that cannot be read waits alone, as long as it is so. */
static void set_unreadable(GuestState *s, Inode *dir, bool is_unreadable)
{
    bool was_unreadable = dir->defects & INODE_IO_ERROR;

    if (dir != s->root && is_unreadable != was_unreadable) {
        dir->defects ^= INODE_IO_ERROR;
        guest_state_change(s, dir);
    }
}

int guest_dirs_read(GuestState *s)
{
    int ret = 0;

    while (s->to_read->len && !s->suspended) {
        Inode *dir = g_ptr_array_steal_index_fast(s->to_read,
                                                  s->to_read->len - 1);
        int r;

        /* Its clusters may be somebody else's by now. */
        if (!guest_state_is_linked(s, dir)) {
            g_hash_table_add(s->unlinked, dir);
            continue;
        }
        r = dir->is_stale ? guest_chain_update(s, dir) : 0;
        r = r < 0 ? r : read_dir(s, dir);
        set_unreadable(s, dir, r < 0);
        if (r < 0) {
            g_hash_table_add(s->touched_dirs, dir); /* next time */
            ret = ret ? ret : r;
        }
    }
    return ret;
}
