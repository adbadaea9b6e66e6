/* SPDX-License-Identifier: MIT */
/* Changes that concern more than one entry. */
#include <string.h>

#include "tests/model/fatvol.h"

#define META E_ATTR /* from here on an entry is about what its name names */

/* "." or "..": the first or second slot. */
static void put_dots(FatVol *vol, uint32_t dir, unsigned slot,
                     uint32_t cluster)
{
    int64_t at = fatvol_cluster_at(vol, dir) + slot * ENTRY_SIZE;
    uint8_t *raw = vol->disk->mem + at;

    put16(raw + E_CLUSTER_HIGH, cluster >> 16);
    put16(raw + E_CLUSTER, cluster);
    disk_touch(vol->disk, at, ENTRY_SIZE, CLASS_DIR);
}

bool fatvol_mkdir(FatVol *vol, uint32_t parent, FatEntry *entry)
{
    uint32_t c = fatvol_alloc(vol, 0);
    uint8_t *raw;

    if (c == 0) {
        return false;
    }
    raw = vol->disk->mem + fatvol_cluster_at(vol, c);
    memset(raw, 0, vol->cluster_size);
    disk_touch(vol->disk, fatvol_cluster_at(vol, c), vol->cluster_size,
               CLASS_DIR);
    entry->raw[E_ATTR] = ATTR_DIR;
    entry_set_cluster(vol, entry, c);
    for (unsigned slot = 0; slot < 2; slot++) {
        memcpy(raw + slot * ENTRY_SIZE + META, entry->raw + META,
               ENTRY_SIZE - META);
        memset(raw + slot * ENTRY_SIZE, ' ', SHORT_SIZE);
        memset(raw + slot * ENTRY_SIZE, '.', slot + 1);
        raw[slot * ENTRY_SIZE + E_CASE] = 0;
        put_dots(vol, c, slot, slot ? parent : c);
    }
    return true;
}

void fatvol_delete_tree(FatVol *vol, FatEntry *entry)
{
    if (entry_is_dir(entry)) {
        unsigned slot = 0;
        FatEntry child;

        while (
            fatvol_read_dir(vol, entry_cluster(vol, entry), &slot, &child)) {
            fatvol_delete_tree(vol, &child);
            fatvol_entry_clear(&child);
        }
    }
    fatvol_remove(vol, entry);
    fatvol_free_chain(vol, entry_cluster(vol, entry));
}

static void copy_meta(FatVol *vol, FatEntry *to, const FatEntry *from)
{
    uint8_t case_bits = to->raw[E_CASE];

    memcpy(to->raw + META, from->raw + META, ENTRY_SIZE - META);
    to->raw[E_CASE] = case_bits;
    entry_touch(vol, to);
}

static void fix_parent(FatVol *vol, const FatEntry *entry)
{
    if (entry_is_dir(entry)) {
        put_dots(vol, entry_cluster(vol, entry), 1, entry->dir);
    }
}

bool fatvol_move(FatVol *vol, FatEntry *entry, uint32_t dir, const char *name,
                 bool short_only_ok, bool new_first)
{
    uint8_t old[ENTRY_SIZE];
    FatEntry from = { .raw = old }, to;

    memcpy(old, entry->raw, ENTRY_SIZE);
    if (!new_first) {
        fatvol_remove(vol, entry);
    }
    if (!fatvol_add(vol, dir, name, short_only_ok, SLOT_ANY, &to)) {
        /* Its own slots are free still. */
        if (!new_first && fatvol_add(vol, entry->dir, entry->name,
                                     short_only_ok, SLOT_ANY, &to)) {
            copy_meta(vol, &to, &from);
            fatvol_entry_clear(&to);
        }
        return false;
    }
    copy_meta(vol, &to, &from);
    fix_parent(vol, &to);
    if (new_first) {
        fatvol_remove(vol, entry);
    }
    fatvol_entry_clear(entry);
    *entry = to;
    return true;
}

bool fatvol_replace(FatVol *vol, FatEntry *entry, FatEntry *target,
                    bool into_entry)
{
    uint32_t lost = entry_cluster(vol, target);

    if (!into_entry) {
        g_autofree char *name = g_strdup(target->name);

        fatvol_delete_tree(vol, target);
        return fatvol_move(vol, entry, target->dir, name, false, true);
    }
    copy_meta(vol, target, entry);
    fix_parent(vol, target);
    fatvol_remove(vol, entry);
    fatvol_free_chain(vol, lost);
    return true;
}

void fatvol_exchange(FatVol *vol, FatEntry *a, FatEntry *b)
{
    uint8_t old[ENTRY_SIZE];
    FatEntry from = { .raw = old };

    memcpy(old, a->raw, ENTRY_SIZE);
    copy_meta(vol, a, b);
    copy_meta(vol, b, &from);
    if (a->dir != b->dir) {
        fix_parent(vol, a);
        fix_parent(vol, b);
    }
}

bool fatvol_defragment(FatVol *vol, FatEntry *entry)
{
    uint32_t old = entry_cluster(vol, entry);
    unsigned n = fatvol_chain_length(vol, old);
    uint32_t first = 0, last = 0;

    if (n == 0 || n > vol->n_free) {
        return false;
    }
    for (uint32_t c = old; c; c = fatvol_next(vol, c)) {
        last = fatvol_alloc(vol, last);
        first = first ? first : last;
        memcpy(vol->disk->mem + fatvol_cluster_at(vol, last),
               vol->disk->mem + fatvol_cluster_at(vol, c), vol->cluster_size);
    }
    entry_set_cluster(vol, entry, first);
    fatvol_touch(vol, entry);
    if (entry_is_dir(entry)) {
        unsigned slot = 0;
        FatEntry child;

        put_dots(vol, first, 0, first);
        while (fatvol_read_dir(vol, first, &slot, &child)) {
            fix_parent(vol, &child);
            fatvol_entry_clear(&child);
        }
    }
    fatvol_free_chain(vol, old);
    return true;
}
