/* SPDX-License-Identifier: MIT */
/*
 * What each changed inode is to be on the host, or why it must wait.
 */
#include <errno.h>
#include <string.h>

#include "block/vvfat/commit-int.h"
#include "block/vvfat/names.h"

/* ---- Names ---- */

/* Whether the host's name is the one that belongs to the guest's. */
static bool has_its_name(const Inode *inode, const char *unmapped)
{
    if (!inode_is_on_host(inode)) {
        return false;
    }
    if (inode->alias) {
        return strcmp(inode->alias, inode->name) == 0;
    }
    return unmapped && strcmp(unmapped, inode->host_name) == 0;
}

static void judge_name(Inode *inode)
{
    InodeChange *change = inode->change;
    const char *why = NULL;
    g_autofree char *unmapped = names_unmap(inode->name, &why);

    if (has_its_name(inode, unmapped)) {
        change->target_name = g_strdup(inode->host_name);
    } else if (!unmapped || names_is_temporary(unmapped)) {
        change->held |= INODE_NAME_UNSAFE;
        change->detail = g_strdup(why);
    } else {
        change->target_name = g_steal_pointer(&unmapped);
    }
}

/* ---- Differences ---- */

static bool is_elsewhere(const Inode *inode)
{
    return inode->parent != inode->host_parent ||
           g_strcmp0(inode->change->target_name, inode->host_name) != 0;
}

static bool has_other_attributes(const Inode *inode)
{
    return ((inode->entry.attr ^ inode->host_entry.attr) & FAT_ATTR_DOS) ||
           !inode_has_entry_time(inode);
}

bool commit_differs(const Commit *c, const Inode *inode)
{
    const InodeChange *change = inode->change;

    if (inode == guest_state_root(c->config.state)) {
        return false;
    }
    if (!change->target_name) {
        return inode_is_on_host(inode);
    }
    return !inode_is_on_host(inode) || is_elsewhere(inode) ||
           change->content != CONTENT_SAME || has_other_attributes(inode);
}

/* ---- Judging ---- */

/* A cluster that nobody has any more, but that is not free: the guest is not
 * done with it. */
static bool has_owner(Commit *c, Inode *inode, ClusterRun run, void *opaque)
{
    (void)inode;
    (void)opaque;
    for (uint32_t i = 0; i < run.count; i++) {
        if (!guest_state_owner(c->config.state, run.first + i, NULL)) {
            return false;
        }
    }
    return true;
}

static void judge_linked(Commit *c, Inode *inode)
{
    InodeChange *change = inode->change;

    change->held |= inode->defects;
    judge_name(inode);
    if (inode->defects & INODE_IO_ERROR) {
        change->error = -EIO;
        g_free(change->detail);
        change->detail = g_strdup("the entries of the directory could not be "
                                  "read");
    }
    if (change->held || inode->is_directory) {
        return;
    }
    if (inode->is_detached) {
        change->content = commit_is_written(c, inode) ? CONTENT_RANGES
                                                      : CONTENT_SAME;
    } else {
        commit_examine(c, inode);
    }
}

static void judge_unlinked(Inode *inode)
{
    /* Below a directory that is an orphan, nothing is decided yet. */
    if (inode->is_orphan || inode->parent) {
        inode->change->held |= INODE_LOST_CHAIN;
    }
}

/* Whether the host does not allow what there is to do. */
static bool is_protected(const Commit *c, const Inode *inode)
{
    const Inode *from = inode->host_parent, *to = inode->parent;

    if (inode->is_protected) {
        return commit_differs(c, inode);
    }
    if (inode == guest_state_root(c->config.state) ||
        (inode_is_on_host(inode) && inode->change->target_name &&
         !is_elsewhere(inode))) {
        return false;
    }
    return (from && from->is_protected) ||
           (inode->change->target_name && to && to->is_protected);
}

static void reset(InodeChange *change)
{
    change->held = 0;
    change->error = 0;
    change->content = CONTENT_SAME;
    g_clear_pointer(&change->detail, g_free);
    g_clear_pointer(&change->target_name, g_free);
}

void commit_judge(Commit *c, Inode *inode)
{
    InodeChange *change = inode->change;

    reset(change);
    if (inode == guest_state_root(c->config.state)) {
        return;
    }
    if (guest_state_is_linked(c->config.state, inode)) {
        judge_linked(c, inode);
    } else {
        judge_unlinked(inode);
    }
    if (!change->held && is_protected(c, inode)) {
        change->held |= INODE_PROTECTED;
    }
    if (!change->held && !commit_doomed(c, inode, inode, has_owner, NULL)) {
        change->held |= INODE_LOST_CHAIN;
    }
}

/* ---- Files that were replaced ---- */

/* A name in a directory. */
typedef struct Place {
    const Inode *dir;
    const char *name;
} Place;

static guint place_hash(gconstpointer key)
{
    const Place *place = key;

    return g_str_hash(place->name) ^ g_direct_hash(place->dir);
}

static gboolean place_equal(gconstpointer a, gconstpointer b)
{
    const Place *one = a, *other = b;

    return one->dir == other->dir && strcmp(one->name, other->name) == 0;
}

static bool is_to_go(const Inode *inode)
{
    return !inode->change->held && !inode->change->target_name &&
           inode_is_on_host(inode);
}

static GHashTable *places_of_held(const GPtrArray *changes)
{
    GHashTable *places = g_hash_table_new_full(place_hash, place_equal, g_free,
                                               NULL);

    for (guint i = 0; i < changes->len; i++) {
        const Inode *inode = g_ptr_array_index(changes, i);

        if (inode->change->held && inode->parent &&
            inode->change->target_name) {
            Place *place = g_new(Place, 1);

            *place = (Place){ inode->parent, inode->change->target_name };
            g_hash_table_add(places, place);
        }
    }
    return places;
}

void commit_hold_predecessors(const GPtrArray *changes)
{
    g_autoptr(GHashTable) places = places_of_held(changes);

    if (g_hash_table_size(places) == 0) {
        return;
    }
    for (guint i = 0; i < changes->len; i++) {
        Inode *inode = g_ptr_array_index(changes, i);
        Place place = { inode->host_parent, inode->host_name };

        if (is_to_go(inode) && g_hash_table_contains(places, &place)) {
            inode->change->held |= INODE_SUCCESSOR;
        }
    }
}
