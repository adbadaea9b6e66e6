/* SPDX-License-Identifier: MIT */
#include "block/vvfat/protect.h"

#include <stddef.h>
#include <string.h>

/* Entries of protected inodes, by the sector of the disk they are in. */
struct Protect {
    const Geometry *geometry;
    GArray *members;     /* Member: all protected inodes */
    GHashTable *sectors; /* number -> GArray of Guarded */
};

typedef struct Member {
    const Inode *inode;
    int64_t place; /* of its first entry on the disk; -1: it has none */
} Member;

typedef struct Guarded {
    const Inode *inode;
    uint16_t first, end; /* bytes of the sector */
} Guarded;

/* ---- Making one ---- */

static void guard_slot(Protect *p, const Inode *inode, int64_t offset)
{
    gpointer key = GSIZE_TO_POINTER((gsize)(offset / SECTOR_SIZE));
    GArray *guarded = g_hash_table_lookup(p->sectors, key);
    Guarded g = {
        .inode = inode,
        .first = (uint16_t)(offset % SECTOR_SIZE),
        .end = (uint16_t)(offset % SECTOR_SIZE + FAT_DIRENT_SIZE),
    };

    if (!guarded) {
        guarded = g_array_new(FALSE, FALSE, sizeof(Guarded));
        g_hash_table_insert(p->sectors, key, guarded);
    }
    g_array_append_val(guarded, g);
}

/* The disk's offset of a byte of a directory; -1: it has none. */
static int64_t directory_offset(const Inode *dir, const Geometry *g,
                                uint64_t byte)
{
    uint32_t cluster_size = geometry_cluster_size(g);
    ClusterRun run;

    if (!dir->parent && g->root_sectors) {
        return (int64_t)((g->volume_start + g->root_start) * SECTOR_SIZE +
                         byte);
    }
    if (!chain_locate(&dir->chain, byte / cluster_size, &run)) {
        return -1;
    }
    return geometry_cluster_offset(g, run.first) +
           (int64_t)(byte % cluster_size);
}

/* Where an entry of an inode stands; -1: nowhere. */
static int64_t slot_offset(const Protect *p, const Inode *inode, uint32_t i)
{
    if (!inode->parent) {
        return -1;
    }
    return directory_offset(inode->parent, p->geometry,
                            (uint64_t)(inode->slot + i) * FAT_DIRENT_SIZE);
}

static void guard_all(Protect *p)
{
    g_hash_table_remove_all(p->sectors);
    for (guint i = 0; i < p->members->len; i++) {
        Member *m = &g_array_index(p->members, Member, i);

        m->place = slot_offset(p, m->inode, 0);
        for (uint32_t slot = 0; slot < m->inode->n_slots; slot++) {
            int64_t offset = slot_offset(p, m->inode, slot);

            if (offset >= 0) {
                guard_slot(p, m->inode, offset);
            }
        }
    }
}

/* The protected inodes below a directory. g_ptr_array_unref(). */
static GPtrArray *find_protected(Inode *root)
{
    g_autoptr(GPtrArray) dirs = g_ptr_array_new();
    GPtrArray *found = g_ptr_array_new();

    g_ptr_array_add(dirs, root);
    while (dirs->len) {
        const Inode *dir = g_ptr_array_steal_index_fast(dirs, dirs->len - 1);

        for (uint32_t i = 0; i < dir->n_children; i++) {
            Inode *inode = dir->children[i];

            if (inode->is_protected) {
                g_ptr_array_add(found, inode);
            }
            if (inode->is_directory) {
                g_ptr_array_add(dirs, inode);
            }
        }
    }
    return found;
}

bool protect_is_the_owners(const Inode *inode)
{
    return !inode->is_directory && !inode->is_linked_to &&
           (!inode->parent || !inode->parent->is_protected) &&
           (inode->host_entry.attr & FAT_ATTR_READ_ONLY);
}

void protect_allow_owner(Inode *root)
{
    g_autoptr(GPtrArray) found = find_protected(root);

    for (guint i = 0; i < found->len; i++) {
        Inode *inode = found->pdata[i];

        inode->is_protected = !protect_is_the_owners(inode);
    }
}

Protect *protect_new(Inode *root, const Geometry *g)
{
    g_autoptr(Protect) p = g_new0(Protect, 1);
    g_autoptr(GPtrArray) found = find_protected(root);

    p->geometry = g;
    p->members = g_array_new(FALSE, FALSE, sizeof(Member));
    p->sectors = g_hash_table_new_full(NULL, NULL, NULL,
                                       (GDestroyNotify)g_array_unref);
    for (guint i = 0; i < found->len; i++) {
        Member m = { .inode = found->pdata[i] };

        g_array_append_val(p->members, m);
    }
    guard_all(p);
    return p->members->len ? g_steal_pointer(&p) : NULL;
}

void protect_refresh(Protect *p)
{
    for (guint i = 0; i < p->members->len; i++) {
        const Member *m = &g_array_index(p->members, Member, i);

        if (slot_offset(p, m->inode, 0) != m->place) {
            guard_all(p);
            return;
        }
    }
}

void protect_free(Protect *p)
{
    if (p) {
        g_array_unref(p->members);
        g_hash_table_unref(p->sectors);
        g_free(p);
    }
}

/* ---- Checking ---- */

static bool slot_differs(const uint8_t *old, const uint8_t *new)
{
    static const size_t adate = offsetof(FatDirent, adate);
    FatDirent a, b;

    memcpy(&a, old, sizeof(a));
    memcpy(&b, new, sizeof(b));
    if (a.attr != FAT_ATTR_LONG_NAME) {
        memcpy((uint8_t *)&b + adate, (uint8_t *)&a + adate, sizeof(a.adate));
    }
    return memcmp(&a, &b, sizeof(a)) != 0;
}

static const Inode *check_sector(const GArray *guarded, const uint8_t *old,
                                 const uint8_t *new)
{
    for (guint i = 0; i < guarded->len; i++) {
        const Guarded *g = &g_array_index(guarded, Guarded, i);

        if (slot_differs(old + g->first, new + g->first)) {
            return g->inode;
        }
    }
    return NULL;
}

const Inode *protect_check_entries(const Protect *p, int64_t offset,
                                   int64_t bytes, const IOVector *iov,
                                   ProtectRead *read, void *opaque, int *ret)
{
    *ret = 0;
    for (int64_t at = offset; at < offset + bytes; at += SECTOR_SIZE) {
        uint8_t old[SECTOR_SIZE], new[SECTOR_SIZE] = { 0 };
        const Inode *inode;
        const GArray *guarded = g_hash_table_lookup(
            p->sectors, GSIZE_TO_POINTER((gsize)(at / SECTOR_SIZE)));

        if (!guarded) {
            continue;
        }
        *ret = read(opaque, at, SECTOR_SIZE, old);
        if (*ret < 0) {
            return NULL;
        }
        if (iov) {
            iov_to_buf(iov, (size_t)(at - offset), new, SECTOR_SIZE);
        }
        inode = check_sector(guarded, old, new);
        if (inode) {
            return inode;
        }
    }
    return NULL;
}
