/* SPDX-License-Identifier: MIT */
/*
 * Which inode has a cluster, and following chains.
 *
 * A chain is followed from the first cluster whose entry changed on; what is
 * before that stays. Clusters of an inode that is itself to be followed again,
 * or that has no entry any more, are free to be taken. One that anybody else
 * has makes both wait: what the guest is about shows when it has written the
 * rest.
 */
#include <errno.h>

#include "block/vvfat/fat.h"
#include "block/vvfat/guest-state-int.h"

Inode *guest_state_owner(const GuestState *s, uint32_t cluster,
                         uint64_t *index)
{
    Interval found;

    if (!interval_map_lookup(s->owners, cluster, &found)) {
        return NULL;
    }
    if (index) {
        *index = found.offset + (cluster - found.start);
    }
    return found.value;
}

/* Clear what a run of clusters still has of the inode's. */
static void release_run(GuestState *s, const Inode *inode, ClusterRun run)
{
    uint32_t at = run.first, end = at + run.count;
    Interval found;

    while (at < end && interval_map_next(s->owners, at, &found) &&
           found.start < end) {
        uint32_t start = MAX(found.start, at);
        uint32_t stop = MIN(found.end, end);

        if (found.value == inode) {
            interval_map_clear(s->owners, start, stop);
        }
        at = stop;
    }
}

void guest_chain_release(GuestState *s, Inode *inode, uint64_t from)
{
    uint64_t length = chain_length(&inode->chain);

    while (from < length) {
        ClusterRun run;

        if (!chain_locate(&inode->chain, from, &run)) {
            break;
        }
        release_run(s, inode, run);
        from += run.count;
    }
}

static void set_defect(GuestState *s, Inode *inode, unsigned defect)
{
    if (!(inode->defects & CHAIN_DEFECTS)) {
        g_ptr_array_add(s->defective, inode);
    }
    inode->defects |= defect;
    guest_state_change(s, inode);
}

/* ---- Following ---- */

/* A chain being followed. */
typedef struct Walk {
    GuestState *s;
    Inode *inode;
    ClusterRun tail; /* not yet in the chain */
} Walk;

/* Put the tail into the chain, and take its clusters. */
static int walk_settle_tail(Walk *w)
{
    uint32_t index = (uint32_t)chain_length(&w->inode->chain);
    uint32_t first = w->tail.first, end = first + w->tail.count;

    if (w->tail.count == 0) {
        return 0;
    }
    if (!chain_append(&w->inode->chain, w->tail)) {
        return -ENOMEM;
    }
    interval_map_set(w->s->owners, first, end, w->inode, index);
    w->tail.count = 0;
    return 0;
}

static bool is_free_to_take(GuestState *s, Inode *owner)
{
    if (!owner->is_stale && !guest_state_is_linked(s, owner)) {
        guest_mark_stale(s, owner, 0);
    }
    return owner->is_stale;
}

/* Whether the chain may have a cluster; else its defect is noted. */
static bool walk_accept(Walk *w, uint32_t cluster)
{
    GuestState *s = w->s;
    uint32_t last = s->config.boot.cluster_count + FAT_FIRST_CLUSTER - 1;
    Inode *owner;

    if (cluster < FAT_FIRST_CLUSTER || cluster > last) {
        set_defect(s, w->inode, INODE_CHAIN_BAD);
        return false;
    }
    owner = guest_state_owner(s, cluster, NULL);
    if (cluster - w->tail.first < w->tail.count || owner == w->inode) {
        set_defect(s, w->inode, INODE_CHAIN_LOOP);
        return false;
    }
    if (owner && !is_free_to_take(s, owner)) {
        set_defect(s, w->inode, INODE_CROSS_LINK);
        set_defect(s, owner, INODE_CROSS_LINK);
        return false;
    }
    return true;
}

/* Follow from `cluster` on to the end, or to what is wrong. */
static int walk(Walk *w, uint32_t cluster)
{
    int ret;

    while (walk_accept(w, cluster)) {
        uint32_t value;

        ret = guest_fat_get(w->s, cluster, &value);
        if (ret < 0) {
            return ret;
        }
        if (value < FAT_FIRST_CLUSTER || value == FAT_ENTRY_BAD) {
            set_defect(w->s, w->inode, INODE_CHAIN_BAD);
            break;
        }
        if (w->tail.count == 0 || w->tail.first + w->tail.count != cluster) {
            ret = walk_settle_tail(w);
            if (ret < 0) {
                return ret;
            }
            w->tail = (ClusterRun){ .first = cluster };
        }
        w->tail.count++;
        if (sparse_bitmap_get(w->s->differ, cluster)) {
            set_defect(w->s, w->inode, INODE_FATS_DIFFER);
        }
        if (value == FAT_ENTRY_EOC) {
            break;
        }
        cluster = value;
    }
    return walk_settle_tail(w);
}

static uint32_t first_cluster(const GuestState *s, const Inode *inode)
{
    const BootInfo *boot = &s->config.boot;

    if (inode == s->root) {
        return boot->root_cluster;
    }
    return inode_entry_cluster(&inode->entry, boot->fat_type);
}

/* How many clusters of the chain stay, and where to go on: 0 for nowhere. */
static int resume_at(GuestState *s, const Inode *inode, uint64_t *keep,
                     uint32_t *cluster)
{
    uint32_t first = first_cluster(s, inode);
    ClusterRun last;

    *keep = MIN(inode->stale_from, chain_length(&inode->chain));
    if (first != chain_first(&inode->chain) ||
        (inode->defects & CHAIN_DEFECTS)) {
        *keep = 0;
    }
    *cluster = first;
    if (*keep == 0 || !chain_locate(&inode->chain, *keep - 1, &last)) {
        return 0;
    }
    return guest_fat_get(s, last.first, cluster);
}

static void check_length(GuestState *s, Inode *inode)
{
    uint64_t clusters = chain_length(&inode->chain);

    if (inode->is_directory ? clusters == 0 && inode != s->root
                            : inode_size(inode) > clusters * s->cluster_size) {
        set_defect(s, inode, INODE_CHAIN_SHORT);
    }
}

int guest_chain_update(GuestState *s, Inode *inode)
{
    Walk w = { .s = s, .inode = inode };
    uint64_t keep;
    uint32_t cluster;
    int ret = resume_at(s, inode, &keep, &cluster);

    if (ret < 0) {
        return ret;
    }
    inode->is_known = false;
    if (!inode->is_directory) {
        guest_state_change(s, inode); /* the entry may be as it was */
    }
    guest_chain_release(s, inode, keep);
    chain_truncate(&inode->chain, keep);
    if (inode->defects & CHAIN_DEFECTS) {
        inode->defects &= ~CHAIN_DEFECTS;
        g_ptr_array_remove_fast(s->defective, inode);
    }
    if (cluster != 0 && cluster != FAT_ENTRY_EOC) {
        ret = walk(&w, cluster);
    }
    if (!inode->is_directory) {
        /* Other clusters, other bytes: its entry need not say so. */
        guest_state_change(s, inode);
    }
    if (ret == 0) {
        check_length(s, inode);
        inode->is_stale = false;
        inode->stale_from = 0;
    }
    return ret;
}
