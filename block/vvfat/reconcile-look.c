/* SPDX-License-Identifier: MIT */
/* What a plan was about, and what the directories that it was about hold. */
#include <errno.h>

#include "block/vvfat/apply.h"
#include "block/vvfat/names.h"
#include "block/vvfat/reconcile-int.h"

/* ---- What the plan says ---- */

static ReconcileFate *fate_of(Reconcile *r, uint64_t number)
{
    Inode *inode = number > 1 ? journal_tree_get(r->tree, number) : NULL;
    ReconcileFate *fate;

    if (!inode) {
        return NULL;
    }
    fate = g_hash_table_lookup(r->fates, inode);
    if (!fate) {
        fate = g_new0(ReconcileFate, 1);
        fate->inode = inode;
        g_hash_table_insert(r->fates, inode, fate);
    }
    return fate;
}

void reconcile_note_dir(Reconcile *r, Inode *dir)
{
    if (dir && dir->is_directory && !g_hash_table_contains(r->dirs, dir)) {
        g_hash_table_insert(r->dirs, dir, GINT_TO_POINTER(false));
    }
}

static void note_op(Reconcile *r, const JournalOp *op)
{
    ReconcileFate *fate = fate_of(r, op->inode);
    ReconcileFate *victim = fate_of(r, op->victim);

    if (!fate) {
        return;
    }
    switch (op->kind) {
    case PLAN_MKDIR:
    case PLAN_RENAME:
    case PLAN_PLACE:
        fate->dir = journal_tree_get(r->tree, op->dir);
        fate->name = op->name;
        fate->is_placed |= op->kind == PLAN_PLACE;
        break;
    case PLAN_WRITE: /* in the place of links: a new file */
        fate->is_placed = true;
        fate->is_changed = true;
        /* That a sync of it failed was not recorded. */
        fate->inode->is_unsynced = true;
        break;
    case PLAN_ATTRIBUTES:
    case PLAN_TIMES:
        fate->is_changed = true;
        break;
    case PLAN_UNLINK:
    case PLAN_RMDIR:
        fate->goes = true;
        break;
    case PLAN_STAGE:
    case PLAN_ASIDE:
        break;
    }
    if (victim) {
        victim->goes = true;
        reconcile_note_dir(r, victim->inode->host_parent);
    }
    reconcile_note_dir(r, fate->inode->host_parent);
    reconcile_note_dir(r, journal_tree_get(r->tree, op->dir));
}

void reconcile_note_plan(Reconcile *r, const JournalPlan *plan)
{
    for (guint i = 0; i < plan->ops->len; i++) {
        note_op(r, &g_array_index(plan->ops, JournalOp, i));
    }
    for (guint i = 0; i < plan->staged->len; i++) {
        const JournalStaged *staged = &g_array_index(plan->staged,
                                                     JournalStaged, i);
        ReconcileFate *fate = fate_of(r, staged->inode);

        if (fate && staged->id.ino != 0) {
            fate->staged = staged;
        }
        reconcile_note_dir(r, journal_tree_get(r->tree, staged->dir));
    }
    reconcile_note_temps(r, plan);
}

/* ---- What is there ---- */

static void free_found(gpointer data)
{
    ReconcileFound *f = data;

    g_free(f->name);
    g_free(f);
}

static void add_found(Reconcile *r, Inode *dir, const char *name,
                      const HostStat *st)
{
    GPtrArray *list = g_hash_table_lookup(r->found, &st->ino);
    ReconcileFound *f = g_new0(ReconcileFound, 1);

    f->dir = dir;
    f->name = g_strdup(name);
    f->st = *st;
    if (!list) {
        list = g_ptr_array_new_with_free_func(free_found);
        g_hash_table_insert(r->found, &f->st.ino, list);
    }
    g_ptr_array_add(list, f);
}

static int list_entries(Reconcile *r, Inode *dir, HostDir *open,
                        GPtrArray *temporary)
{
    const HostFsOps *ops = r->fs->ops;
    const char *name;
    int ret;

    while ((ret = ops->dir_next(r->fs, open, &name)) > 0) {
        HostStat st;

        ret = ops->stat_at(r->fs, open, name, &st);
        if (ret == -ENOENT) {
            continue;
        }
        if (ret < 0) {
            return ret;
        }
        if (names_is_temporary(name) && st.kind == HOST_FILE) {
            g_ptr_array_add(temporary, g_strdup(name));
        } else {
            add_found(r, dir, name, &st);
        }
    }
    return ret;
}

/* 1: listed; 0: it is not known where it is. */
static int list_dir(Reconcile *r, Inode *dir)
{
    const HostFsOps *ops = r->fs->ops;
    g_autofree char *path = inode_host_path(dir);
    g_autoptr(GPtrArray) temporary = g_ptr_array_new_with_free_func(g_free);
    HostDir *open;
    HostStat st;
    int ret = path ? ops->stat(r->fs, path, &st) : -ENOENT;

    if (ret < 0 || st.kind != HOST_DIRECTORY || st.dev != dir->host.dev ||
        st.ino != dir->host.ino) {
        return ret == -ENOENT || ret == -ENOTDIR || ret == -ELOOP ? 0
               : ret < 0                                          ? ret
                                                                  : 0;
    }
    ret = ops->dir_open(r->fs, path, &open);
    if (ret < 0) {
        return ret;
    }
    ret = list_entries(r, dir, open, temporary);
    ops->dir_close(r->fs, open);
    for (guint i = 0; ret == 0 && i < temporary->len; i++) {
        ret = reconcile_clear_temp(r, dir, g_ptr_array_index(temporary, i));
    }
    return ret < 0 ? ret : 1;
}

int reconcile_list_dirs(Reconcile *r, bool *progress)
{
    g_autoptr(GPtrArray) todo = g_ptr_array_new();
    GHashTableIter iter;
    gpointer dir, listed;

    g_hash_table_iter_init(&iter, r->dirs);
    while (g_hash_table_iter_next(&iter, &dir, &listed)) {
        if (!GPOINTER_TO_INT(listed)) {
            g_ptr_array_add(todo, dir);
        }
    }
    for (guint i = 0; i < todo->len; i++) {
        int ret = list_dir(r, g_ptr_array_index(todo, i));

        if (ret < 0) {
            return ret;
        }
        if (ret) {
            g_hash_table_insert(r->dirs, g_ptr_array_index(todo, i),
                                GINT_TO_POINTER(true));
            *progress = true;
        }
    }
    return 0;
}
