/* SPDX-License-Identifier: MIT */
/*
 * Removing what the guest removed, and nothing else: a file that changed on
 * the host stays, and is the host's alone from then on.
 */
#include <errno.h>

#include "block/vvfat/apply-int.h"

/* It is gone from the host, or no affair of the guest any more. */
static void let_go(Apply *apply, Inode *inode)
{
    Inode *dir = inode->host_parent;

    apply_forget(apply, inode);
    if (dir) {
        apply_set_dirty(apply, dir);
    }
}

static void remove_entry(Apply *apply, Inode *inode,
                         int (*remove)(HostFs *fs, const char *path),
                         const char *call)
{
    g_autofree char *path = NULL;
    int look, r;

    if (!inode_is_on_host(inode)) {
        return;
    }
    path = apply_entry_path(inode);
    look = apply_look(apply, inode, NULL);
    if (look < 0) {
        apply_fail(apply, inode, look, "stat", path);
        return;
    }
    if (look != LOOK_SAME) {
        apply_lock(apply);
        let_go(apply, inode);
        apply_unlock(apply);
        if (look != LOOK_GONE) {
            apply_event(apply, APPLY_CONFLICT, path,
                        "it was changed on the host, and is kept");
        }
        return;
    }
    apply_lock(apply);
    r = remove(apply->fs, path);
    r = apply_is_gone(r) ? 0 : r;
    if (r == 0) {
        let_go(apply, inode);
    }
    apply_unlock(apply);
    if (r == -ENOTEMPTY || r == -EEXIST) {
        apply_hold_text(apply, inode, INODE_NOT_EMPTY, 0, path,
                        "it holds files that the guest does not see");
    } else if (r < 0) {
        apply_fail(apply, inode, r, call, path);
    }
}

void apply_op_unlink(Apply *apply, const PlanOp *op)
{
    remove_entry(apply, op->inode, apply->fs->ops->unlink, "unlink");
}

void apply_op_rmdir(Apply *apply, const PlanOp *op)
{
    if (op->inode->link_path) {
        remove_entry(apply, op->inode, apply->fs->ops->unlink, "unlink");
    } else {
        remove_entry(apply, op->inode, apply->fs->ops->rmdir, "rmdir");
    }
}
