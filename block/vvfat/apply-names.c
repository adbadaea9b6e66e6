/* SPDX-License-Identifier: MIT */
/*
 * Operations on names: directories made, things moved, put aside and removed.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "block/vvfat/apply-int.h"

/* ---- MKDIR ---- */

/* The directory is there: it is the inode's. 0 or -errno. */
static int take_directory(Apply *apply, Inode *inode, Inode *dir,
                          const char *name)
{
    g_autofree char *path = inode_host_path_at(dir, name);
    HostStat st;
    int r = apply->fs->ops->stat(apply->fs, path, &st);

    if (r < 0) {
        return r;
    }
    if (st.kind != HOST_DIRECTORY) {
        return -EEXIST;
    }
    apply_lock(apply);
    inode->host = apply_host_id(&st);
    apply_settle(apply, inode, dir, name);
    apply_unlock(apply);
    inode->host_entry.attr = FAT_ATTR_DIRECTORY;
    apply_note_times(apply, inode, &st);
    apply_set_dirty(apply, dir);
    apply_set_dirty(apply, inode);
    return 0;
}

static int make_directory(Apply *apply, Inode *inode, Inode *dir,
                          const char *name)
{
    g_autofree char *path = inode_host_path_at(dir, name);
    int r = apply->fs->ops->mkdir(apply->fs, path, apply->options.dir_mode);

    if (r < 0) {
        return r;
    }
    r = take_directory(apply, inode, dir, name);
    if (r < 0) {
        apply_remove_made(apply, path);
    }
    return r;
}

static int make_beside(Apply *apply, const PlanOp *op, const char *path)
{
    int r = -EEXIST;

    for (unsigned n = 1; r == -EEXIST && n <= APPLY_CONFLICT_NAMES; n++) {
        g_autofree char *name = apply_conflict_name(op->name, n, true);

        r = make_directory(apply, op->inode, op->dir, name);
        if (r == 0) {
            apply_event_beside(apply, path, name);
        }
    }
    return r;
}

void apply_op_mkdir(Apply *apply, const PlanOp *op)
{
    Inode *inode = op->inode;
    g_autofree char *path = NULL;
    int r;

    if (inode_is_on_host(inode) || !apply_has_dir(apply, inode, op->dir)) {
        return;
    }
    path = inode_host_path_at(op->dir, op->name);
    r = make_directory(apply, inode, op->dir, op->name);
    if (r == -EEXIST) {
        if (apply_is_planned_at(apply, inode, op->dir, op->name)) {
            apply_hold(apply, inode, INODE_NAME_TAKEN);
            return;
        }
        r = take_directory(apply, inode, op->dir, op->name);
        if (r == 0) {
            apply_event(apply, APPLY_CONFLICT, path,
                        "a directory was there already, and is used");
        }
    }
    if (r == -EEXIST) {
        r = make_beside(apply, op, path);
    }
    if (r < 0) {
        apply_fail(apply, inode, r, "mkdir", path);
    }
}

bool apply_make_again(Apply *apply, Inode *dir)
{
    g_autofree char *path = apply_entry_path(dir);
    g_autofree char *name = g_strdup(dir->host_name);
    int look = apply_look(apply, dir, NULL);
    int r;

    if (look != LOOK_GONE && look != LOOK_OTHER) {
        return false;
    }
    r = make_directory(apply, dir, dir->host_parent, name);
    if (r == -EEXIST) {
        r = take_directory(apply, dir, dir->host_parent, name);
    }
    if (r == 0) {
        apply_event(apply, APPLY_CONFLICT, path,
                    "the host had removed the directory; it is made again");
    }
    return r == 0;
}

/* ---- ASIDE ---- */

/* The same for the same file, so that a second run finds it. */
static char *aside_name(const Inode *inode, unsigned n)
{
    uint64_t mix = inode->host.ino * UINT64_C(0x9e3779b97f4a7c15) ^
                   inode->host.dev;

    return g_strdup_printf(APPLY_ASIDE_PREFIX "%016" PRIx64, mix + n);
}

static void note_aside(Apply *apply, Inode *inode, const char *name)
{
    ApplyAside aside = {
        .inode = inode,
        .name = g_strdup(name),
        .alias = g_strdup(inode->alias),
    };

    g_array_append_val(apply->asides, aside);
}

/* A run that was cut off has put it there. */
static void find_aside(Apply *apply, Inode *inode)
{
    g_autofree char *name = aside_name(inode, 0);
    g_autofree char *path = inode_host_path_at(inode->host_parent, name);
    HostStat st;
    int r = apply->fs->ops->stat(apply->fs, path, &st);

    if (r == 0 && apply_same_file(&st, &inode->host)) {
        note_aside(apply, inode, inode->host_name);
        apply_lock(apply);
        apply_settle(apply, inode, inode->host_parent, name);
        apply_unlock(apply);
    } else if (r < 0 && !apply_is_gone(r)) {
        apply_fail(apply, inode, r, "stat", path);
    }
}

void apply_op_aside(Apply *apply, const PlanOp *op)
{
    Inode *inode = op->inode;
    g_autofree char *from = NULL;
    int look, r = -EEXIST;

    if (!inode_is_on_host(inode) ||
        g_str_has_prefix(inode->host_name, APPLY_ASIDE_PREFIX)) {
        return;
    }
    from = apply_entry_path(inode);
    look = apply_look(apply, inode, NULL);
    if (look < 0) {
        apply_fail(apply, inode, look, "stat", from);
        return;
    }
    if (look == LOOK_GONE || look == LOOK_OTHER) {
        /* If it is not there either, it has its new name, or is gone: the
         * operation that is to give it that name finds out. */
        find_aside(apply, inode);
        return;
    }
    for (unsigned n = 0; r == -EEXIST && n < APPLY_CONFLICT_NAMES; n++) {
        g_autofree char *name = aside_name(inode, n);
        g_autofree char *to = inode_host_path_at(inode->host_parent, name);

        apply_lock(apply);
        r = apply->fs->ops->rename(apply->fs, from, to, HOST_RENAME_NOREPLACE);
        if (r == 0) {
            note_aside(apply, inode, inode->host_name);
            apply_set_dirty(apply, inode->host_parent);
            apply_settle(apply, inode, inode->host_parent, name);
        }
        apply_unlock(apply);
    }
    if (r < 0) {
        apply_fail(apply, inode, r, "rename", from);
    }
}

static void end_aside(Apply *apply, ApplyAside *aside)
{
    Inode *inode = aside->inode;
    g_autofree char *from = apply_entry_path(inode);
    ApplyMove m = {
        .inode = inode,
        .from = from,
        .dir = inode->host_parent,
        .name = aside->name,
    };

    /* Where this fails too, the inode says where its file is. */
    apply_move(apply, &m, NULL);
    /* Whichever name it has now, it is not the one that it is to have. */
    g_free(inode->alias);
    inode->alias = strcmp(inode->host_name, aside->name) == 0
                       ? g_steal_pointer(&aside->alias)
                       : NULL;
}

void apply_end_asides(Apply *apply)
{
    for (guint i = 0; i < apply->asides->len; i++) {
        ApplyAside *aside = &g_array_index(apply->asides, ApplyAside, i);
        Inode *inode = aside->inode;

        if (inode_is_on_host(inode) &&
            g_str_has_prefix(inode->host_name, APPLY_ASIDE_PREFIX)) {
            end_aside(apply, aside);
        }
        g_free(aside->name);
        g_free(aside->alias);
    }
    g_array_set_size(apply->asides, 0);
}

/* ---- RENAME ---- */

/* The file to another file system. */
static void carry_over(Apply *apply, const PlanOp *op, const char *from,
                       bool is_changed)
{
    Inode *inode = op->inode;
    InodeChange *change = inode->change;
    const InodeChange before = *change;
    const InodeHostId host = inode->host;
    g_autofree char *temp = NULL;
    ApplyMove m = {
        .inode = inode,
        .dir = op->dir,
        .name = op->name,
        .victim = op->victim,
        .is_placing = true,
    };
    int r;

    if (inode->is_directory) {
        apply_hold_text(apply, inode, INODE_IO_ERROR, -EXDEV, from,
                        "a directory cannot be moved to another file system");
        return;
    }
    r = apply_stage_copy(apply, inode, op->dir, from);
    if (r < 0) {
        apply_fail(apply, inode, r, "copy", from);
        return;
    }
    temp = apply_temp_path(inode);
    m.from = temp;
    if (!apply_move(apply, &m, NULL)) {
        apply_drop_temp(apply, inode);
        return;
    }
    change->content = before.content;
    change->is_torn = before.is_torn;
    if (is_changed) {
        /* Still not the version that the guest knows. */
        inode->host.size = host.size;
        inode->host.mtime_ns = host.mtime_ns;
    }
    apply_remove_source(apply, inode, from);
}

bool apply_is_renamed(Apply *apply, const PlanOp *op)
{
    Inode *inode = op->inode;
    g_autofree char *name = apply_find_at(
        apply, &inode->host, inode->is_directory, op->dir, op->name);

    if (!name) {
        return false;
    }
    apply_lock(apply);
    if (op->victim && apply_stands_at(op->victim, op->dir, op->name)) {
        apply_forget(apply, op->victim);
    }
    apply_set_dirty(apply, inode->host_parent);
    apply_set_dirty(apply, op->dir);
    apply_settle(apply, inode, op->dir, name);
    apply_unlock(apply);
    return true;
}

/* It is not where it was: it has its new name already, or is gone. */
static void rename_missing(Apply *apply, const PlanOp *op, const char *from)
{
    Inode *inode = op->inode;
    ApplyMove m = {
        .inode = inode,
        .dir = op->dir,
        .name = op->name,
        .victim = op->victim,
    };

    if (apply_is_renamed(apply, op)) {
        return;
    }
    if (inode->change->temp_name) {
        /* Its new contents may have replaced it there already. */
        apply_op_place(apply, op);
    } else if (inode->is_directory) {
        apply_hold_text(apply, inode, INODE_CONFLICT, 0, from,
                        "the directory is gone from the host");
    } else if (apply_place_guest(apply, &m)) {
        apply_event_beside(apply, from, inode->host_name);
    }
}

/* A link to another directory would lead elsewhere: its contents go there. */
static void rename_link(Apply *apply, const PlanOp *op, const char *from)
{
    Inode *inode = op->inode;
    ApplyMove m = {
        .inode = inode,
        .dir = op->dir,
        .name = op->name,
        .victim = op->victim,
    };

    if (inode->is_directory) {
        apply_hold_text(apply, inode, INODE_PROTECTED, 0, from,
                        "a link to a directory stays where it is");
        return;
    }
    if (apply_place_guest(apply, &m)) {
        apply_remove_source(apply, inode, from);
    }
}

void apply_op_rename(Apply *apply, const PlanOp *op)
{
    Inode *inode = op->inode;
    g_autofree char *from = NULL;
    ApplyMove m = {
        .inode = inode,
        .dir = op->dir,
        .name = op->name,
        .victim = op->victim,
    };
    bool exdev = false;
    int look;

    if (!apply_has_dir(apply, inode, op->dir) ||
        apply_stands_at(inode, op->dir, op->name) ||
        apply_is_beside(inode, op->dir, op->name)) {
        return;
    }
    if (!inode_is_on_host(inode)) {
        apply_hold(apply, inode, INODE_CONFLICT);
        return;
    }
    m.from = from = apply_entry_path(inode);
    look = apply_look(apply, inode, NULL);
    if (look < 0) {
        apply_fail(apply, inode, look, "stat", from);
    } else if (look == LOOK_GONE || look == LOOK_OTHER) {
        rename_missing(apply, op, from);
    } else if (inode->link_path && op->dir != inode->host_parent) {
        rename_link(apply, op, from);
    } else if (!apply_move(apply, &m, &exdev) && exdev) {
        carry_over(apply, op, from, look == LOOK_CHANGED);
    }
}
