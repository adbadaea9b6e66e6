/* SPDX-License-Identifier: MIT */
/*
 * Which parts of a directory are to be read again.
 *
 * The children of a directory that is known (Inode.is_known) are the entries
 * of its clusters but for those touched since. A part is the slots of touched
 * clusters, widened on both sides to where one child ends: what stands before
 * it cannot be a piece of a long name that goes on in it, and what stands
 * behind it cannot be one that begins there.
 */
#include "block/vvfat/guest-dir-int.h"

static uint32_t end_of(const Inode *child)
{
    return child->slot + child->n_slots;
}

/* Slots of the directory. */
static uint32_t count_slots(const GuestState *s, const Inode *dir)
{
    const BootInfo *boot = &s->config.boot;

    if (dir == s->root && boot->fat_type != 32) {
        return boot->root_entries;
    }
    return (uint32_t)MIN(chain_length(&dir->chain) * s->cluster_size /
                             FAT_DIRENT_SIZE,
                         FAT_MAX_DIR_ENTRIES);
}

/* Index of the first child that ends behind a slot. */
static uint32_t find_child(const Inode *dir, uint32_t slot)
{
    uint32_t low = 0, high = dir->n_children;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (end_of(dir->children[middle]) <= slot) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* Add what touched slots first..end-1 make necessary; ascending. */
static void add_part(GArray *parts, const Inode *dir, uint32_t slots,
                     uint32_t first, uint32_t end)
{
    uint32_t child = find_child(dir, first);
    uint32_t last = find_child(dir, end);
    DirPart part = {
        .child = child,
        .first = child ? end_of(dir->children[child - 1]) : 0,
        .end_child = MIN(last + 1, dir->n_children),
        .end = last < dir->n_children ? end_of(dir->children[last]) : slots,
    };
    DirPart *before = parts->len
                          ? &g_array_index(parts, DirPart, parts->len - 1)
                          : NULL;

    if (before && part.first < before->end) {
        before->end = MAX(before->end, part.end);
        before->end_child = MAX(before->end_child, part.end_child);
    } else {
        g_array_append_val(parts, part);
    }
}

void guest_dir_whole(const GuestState *s, const Inode *dir, GArray *parts)
{
    DirPart part = {
        .end = count_slots(s, dir),
        .end_child = dir->n_children,
    };

    g_array_set_size(parts, 0);
    g_array_append_val(parts, part);
}

void guest_dir_parts(const GuestState *s, const Inode *dir, GArray *parts)
{
    uint32_t slots = count_slots(s, dir);
    uint64_t per_cluster = s->cluster_size / FAT_DIRENT_SIZE, index = 0;

    g_array_set_size(parts, 0);
    for (uint32_t i = 0; i < dir->chain.n_runs; i++) {
        ClusterRun run = chain_runs(&dir->chain)[i];
        uint64_t at = run.first, end = at + run.count, first, count;

        while (sparse_bitmap_next(s->touched_clusters, at, &first, &count) &&
               first < end &&
               (index + (first - run.first)) * per_cluster < slots) {
            at = MIN(first + count, end);
            add_part(parts, dir, slots,
                     (uint32_t)((index + (first - run.first)) * per_cluster),
                     (uint32_t)MIN((index + (at - run.first)) * per_cluster,
                                   slots));
        }
        index += run.count;
    }
}

void guest_dir_known(GuestState *s, Inode *dir)
{
    dir->is_known = dir != s->root || s->config.boot.fat_type == 32;
    for (uint32_t i = 0; i < dir->chain.n_runs; i++) {
        ClusterRun run = chain_runs(&dir->chain)[i];

        sparse_bitmap_clear(s->touched_clusters, run.first, run.count);
    }
}
