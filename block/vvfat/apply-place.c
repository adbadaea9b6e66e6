/* SPDX-License-Identifier: MIT */
/*
 * Giving staged files their names.
 *
 * A file of the inode that stands on the host under another name is moved to
 * the new one first, and replaced there: at no moment has the inode two files
 * or none, whatever fails.
 */
#include <errno.h>
#include <string.h>

#include "block/vvfat/apply-int.h"

bool apply_place_guest(Apply *apply, ApplyMove *m)
{
    Inode *inode = m->inode;
    g_autofree char *temp = NULL;
    int r;

    if (!apply_stage_guest(apply, inode, m->dir,
                           inode_is_on_host(inode) ? inode : NULL,
                           m->temp_name)) {
        apply_hold(apply, inode, INODE_CONFLICT);
        return false;
    }
    temp = apply_temp_path(inode);
    r = apply_sync_temp(apply, inode);
    if (r < 0) {
        apply_fail(apply, inode, r, "sync", temp);
        apply_drop_temp(apply, inode);
        return false;
    }
    m->from = temp;
    m->is_placing = true;
    return apply_move(apply, m, NULL);
}

/* The temporary file to the directory that it goes to, over a border between
 * file systems. */
static bool bring_over(Apply *apply, Inode *inode, Inode *dir)
{
    g_autofree char *old = apply_temp_path(inode);
    int r = apply_stage_copy(apply, inode, dir, old);

    if (r < 0) {
        apply_fail(apply, inode, r, "copy", old);
        return false;
    }
    r = apply->fs->ops->unlink(apply->fs, old);
    if (r < 0 && !apply_is_gone(r)) {
        apply_fail(apply, inode, r, "unlink", old);
        return false;
    }
    return true;
}

static bool move_temp(Apply *apply, ApplyMove *m)
{
    g_autofree char *from = apply_temp_path(m->inode);
    g_autofree char *nearer = NULL;
    bool exdev = false;

    m->from = from;
    m->is_placing = true;
    if (apply_move(apply, m, &exdev) || !exdev) {
        return !m->inode->change->held;
    }
    if (!bring_over(apply, m->inode, m->dir)) {
        return false;
    }
    nearer = apply_temp_path(m->inode);
    m->from = nearer;
    return apply_move(apply, m, NULL);
}

static bool is_host_file(const Inode *inode, const HostStat *st)
{
    return inode && inode_is_on_host(inode) &&
           apply_judge(inode, st) == LOOK_SAME;
}

/* A run that was cut off before it removed what the new file has replaced has
 * left that under the temporary name. */
static void remove_exchanged(Apply *apply, const PlanOp *op)
{
    g_autofree char *temp = apply_temp_path(op->inode);
    HostStat st;

    if (apply->fs->ops->stat(apply->fs, temp, &st) == 0 &&
        (is_host_file(op->inode, &st) || is_host_file(op->victim, &st))) {
        apply_remove_made(apply, temp);
    }
}

/* A run that was cut off has placed it: say so in the inode. */
static bool is_placed(Apply *apply, const PlanOp *op)
{
    Inode *inode = op->inode;
    InodeChange *change = inode->change;
    g_autofree char *name = apply_find_at(apply, &change->staged, false,
                                          op->dir, op->name);

    if (!name) {
        return false;
    }
    remove_exchanged(apply, op);
    apply_lock(apply);
    if (op->victim && apply_stands_at(op->victim, op->dir, op->name)) {
        apply_forget(apply, op->victim);
    }
    if (inode_is_on_host(inode)) {
        apply_forget(apply, inode);
    }
    inode->host = change->staged;
    apply_settle(apply, inode, op->dir, name);
    apply_unlock(apply);
    g_clear_pointer(&change->temp_name, g_free);
    change->temp_dir = NULL;
    change->content = CONTENT_SAME;
    change->is_torn = false;
    apply_set_dirty(apply, op->dir);
    return true;
}

/* Where the inode's own file is, when it has another name than the new one. */
typedef struct Own {
    bool stays;   /* not moved: the new file takes nothing's place */
    char *remove; /* path of one that is to be removed afterwards, or NULL */
} Own;

/* Move it to the new name if that can be. False: the inode is held. */
static bool move_own(Apply *apply, const PlanOp *op, Own *own)
{
    Inode *inode = op->inode;
    g_autofree char *from = apply_entry_path(inode);
    int look = apply_look(apply, inode, NULL);
    ApplyMove m = {
        .inode = inode,
        .from = from,
        .dir = op->dir,
        .name = op->name,
        .victim = op->victim,
    };

    if (look < 0) {
        apply_fail(apply, inode, look, "stat", from);
        return false;
    }
    if ((look == LOOK_OTHER || look == LOOK_GONE) &&
        apply_is_renamed(apply, op)) {
        return true;
    }
    /* A link's own file is another one, which keeps its contents. */
    own->stays = inode->link_path || look == LOOK_OTHER || look == LOOK_GONE;
    if (!own->stays && !apply_move(apply, &m, &own->stays) && !own->stays) {
        return false;
    }
    if (own->stays && look == LOOK_SAME) {
        own->remove = g_steal_pointer(&from);
    } else if (own->stays && look != LOOK_GONE) {
        apply_event(apply, APPLY_CONFLICT, from,
                    "it was changed on the host, and is kept");
    }
    return true;
}

/* What it has of the attributes that copying them from another file, or
 * making it, gave it. */
static void note_attributes(Apply *apply, const PlanOp *op, uint8_t attr)
{
    Inode *inode = op->inode;

    inode->host_entry.attr = attr;
    if ((attr ^ inode->entry.attr) & FAT_ATTR_DOS) {
        apply_op_attributes(apply, op);
    }
}

static void place_staged(Apply *apply, const PlanOp *op)
{
    Inode *inode = op->inode;
    Own own = { 0 };
    g_autofree char *name = NULL;
    ApplyMove m = { .inode = inode, .dir = op->dir };

    if (inode_is_on_host(inode) &&
        !apply_stands_at(inode, op->dir, op->name) &&
        !apply_is_beside(inode, op->dir, op->name) &&
        !move_own(apply, op, &own)) {
        return;
    }
    /* Its own file may have got a conflict name. */
    name = g_strdup(inode_is_on_host(inode) && !own.stays ? inode->host_name
                                                          : op->name);
    m.name = name;
    m.victim = apply_stands_at(inode, op->dir, name) ? inode : op->victim;
    if (move_temp(apply, &m) && own.remove) {
        apply_remove_source(apply, inode, own.remove);
    }
    g_free(own.remove);
}

void apply_op_place(Apply *apply, const PlanOp *op)
{
    Inode *inode = op->inode;
    bool was_on_host = inode_is_on_host(inode);
    uint8_t attr = was_on_host ? inode->host_entry.attr : FAT_ATTR_ARCHIVE;
    int staged;

    if (inode->change->content == CONTENT_SAME) {
        apply_op_rename(apply, op);
        return;
    }
    if (!apply_has_dir(apply, inode, op->dir)) {
        return;
    }
    if (!was_on_host && op->victim && inode_is_on_host(op->victim)) {
        attr = op->victim->host_entry.attr;
    }
    staged = apply_is_staged(apply, inode);
    if (staged < 0) {
        g_autofree char *temp = apply_temp_path(inode);

        apply_fail(apply, inode, staged, "stat", temp);
        return;
    }
    if (!staged && inode->change->temp_name && is_placed(apply, op)) {
        note_attributes(apply, op, attr);
        return;
    }
    if (!staged) {
        const Inode *from = was_on_host ? inode : op->victim;
        int r;

        if (!apply_stage_guest(apply, inode, op->dir, from, NULL)) {
            return;
        }
        r = apply_sync_temp(apply, inode);
        if (r < 0) {
            apply_fail(apply, inode, r, "sync", op->name);
            apply_drop_temp(apply, inode);
            return;
        }
    }
    place_staged(apply, op);
    if (!inode->change->held) {
        note_attributes(apply, op, attr);
    }
}
