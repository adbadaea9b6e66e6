/* SPDX-License-Identifier: MIT */
/*
 * The directories that the plan was about are listed, each as soon as it is
 * known where it is itself; each inode of the plan is looked for among what
 * they hold. A directory that moved lets more be listed, so both go on as long
 * as either finds something.
 *
 * After a power cut the host may have any of the plan's changes, in any order:
 * nothing here depends on how far the plan got.
 */
#include "block/vvfat/reconcile.h"

#include <errno.h>
#include <string.h>

#include "block/vvfat/apply.h"
#include "block/vvfat/names.h"

#define ATTRIBUTES                                                            \
    (FAT_ATTR_READ_ONLY | FAT_ATTR_HIDDEN | FAT_ATTR_SYSTEM | FAT_ATTR_ARCHIVE)

/* Something that a directory holds. */
typedef struct Found {
    Inode *dir;
    char *name;
    HostStat st;
} Found;

/* An inode of the plan. */
typedef struct Fate {
    Inode *inode;
    Inode *dir;                  /* where it was to go, or NULL */
    const char *name;            /* the name there */
    const JournalStaged *staged; /* or NULL */
    bool is_changed;             /* contents, times or attributes, in place */
    bool is_placed;              /* a new file was to take its place */
    bool goes;                   /* removed, or replaced by another */
    bool is_settled;
} Fate;

typedef struct Reconcile {
    HostFs *fs;
    const JournalTree *tree;
    GHashTable *fates; /* Inode -> Fate */
    GHashTable *dirs;  /* Inode -> whether it was listed */
    GHashTable *found; /* inode number -> GPtrArray of Found */
} Reconcile;

/* ---- What the plan says ---- */

static Fate *fate_of(Reconcile *r, uint64_t number)
{
    Inode *inode = number > 1 ? journal_tree_get(r->tree, number) : NULL;
    Fate *fate;

    if (!inode) {
        return NULL;
    }
    fate = g_hash_table_lookup(r->fates, inode);
    if (!fate) {
        fate = g_new0(Fate, 1);
        fate->inode = inode;
        g_hash_table_insert(r->fates, inode, fate);
    }
    return fate;
}

static void note_dir(Reconcile *r, Inode *dir)
{
    if (dir && dir->is_directory && !g_hash_table_contains(r->dirs, dir)) {
        g_hash_table_insert(r->dirs, dir, GINT_TO_POINTER(false));
    }
}

static void note_op(Reconcile *r, const JournalOp *op)
{
    Fate *fate = fate_of(r, op->inode);
    Fate *victim = fate_of(r, op->victim);

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
        note_dir(r, victim->inode->host_parent);
    }
    note_dir(r, fate->inode->host_parent);
    note_dir(r, journal_tree_get(r->tree, op->dir));
}

static void note_plan(Reconcile *r, const JournalPlan *plan)
{
    for (guint i = 0; i < plan->ops->len; i++) {
        note_op(r, &g_array_index(plan->ops, JournalOp, i));
    }
    for (guint i = 0; i < plan->staged->len; i++) {
        const JournalStaged *staged = &g_array_index(plan->staged,
                                                     JournalStaged, i);
        Fate *fate = fate_of(r, staged->inode);

        if (fate && staged->id.ino != 0) {
            fate->staged = staged;
        }
        note_dir(r, journal_tree_get(r->tree, staged->dir));
    }
}

/* ---- What is there ---- */

static void free_found(gpointer data)
{
    Found *f = data;

    g_free(f->name);
    g_free(f);
}

static void free_list(gpointer list)
{
    g_ptr_array_unref(list);
}

static void add_found(Reconcile *r, Inode *dir, const char *name,
                      const HostStat *st)
{
    GPtrArray *list = g_hash_table_lookup(r->found, &st->ino);
    Found *f = g_new0(Found, 1);

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
        if (apply_is_temp_name(name) && st.kind == HOST_FILE) {
            g_ptr_array_add(temporary, inode_host_path_at(dir, name));
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
        ret = ops->unlink(r->fs, g_ptr_array_index(temporary, i));
        ret = ret == -ENOENT ? 0 : ret;
    }
    return ret < 0 ? ret : 1;
}

static int list_dirs(Reconcile *r, bool *progress)
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

/* ---- Which is which ---- */

/* How likely a name is: 0 is best; -1: not at all. */
static int rank(const Fate *fate, const Found *f)
{
    const Inode *inode = fate->inode;
    bool is_at_goal = fate->dir && f->dir == fate->dir;
    bool is_at_home = inode_is_on_host(inode) && f->dir == inode->host_parent;

    if (is_at_goal && strcmp(f->name, fate->name) == 0) {
        return 0;
    }
    if (is_at_home && strcmp(f->name, inode->host_name) == 0) {
        return 1;
    }
    if (is_at_goal &&
        apply_may_stand_at(f->name, fate->name, inode->is_directory)) {
        return 2;
    }
    if (is_at_home &&
        apply_may_stand_at(f->name, inode->host_name, inode->is_directory)) {
        return 3;
    }
    return -1;
}

static const Found *find(Reconcile *r, const Fate *fate, const InodeHostId *id)
{
    const GPtrArray *list = g_hash_table_lookup(r->found, &id->ino);
    HostKind kind = fate->inode->is_directory ? HOST_DIRECTORY : HOST_FILE;
    const Found *best = NULL;
    int best_rank = INT_MAX;

    for (guint i = 0; list && i < list->len; i++) {
        const Found *f = g_ptr_array_index(list, i);
        int n = f->st.kind == kind && f->st.dev == id->dev ? rank(fate, f)
                                                           : -1;

        if (n >= 0 && n < best_rank) {
            best = f;
            best_rank = n;
        }
    }
    return best;
}

/* Everything that was to be set is to be set again. */
static void forget_attributes(Inode *inode)
{
    inode->host_entry.attr = inode->entry.attr ^ ATTRIBUTES;
    le16_put(&inode->host_entry.mtime,
             (uint16_t)~le16_get(inode->entry.mtime));
    le16_put(&inode->host_entry.mdate,
             (uint16_t)~le16_get(inode->entry.mdate));
}

static void stand_at(Fate *fate, Inode *dir, const char *name)
{
    Inode *inode = fate->inode;
    const char *why;

    fate->is_settled = true;
    if (inode_is_on_host(inode) && inode->host_parent == dir &&
        strcmp(inode->host_name, name) == 0) {
        return;
    }
    inode->host_parent = dir;
    g_free(inode->host_name);
    inode->host_name = g_strdup(name);
    g_free(inode->alias);
    inode->alias = NULL;
    if (inode->name) {
        g_autofree char *plain = names_unmap(inode->name, &why);

        if (g_strcmp0(plain, name) != 0) {
            inode->alias = g_strdup(inode->name);
        }
    }
}

static void settle_placed(Fate *fate, const Found *f)
{
    Inode *inode = fate->inode;

    chain_clear(&inode->host_chain);
    g_clear_pointer(&inode->link_path, g_free);
    inode->host = apply_host_id(&f->st);
    inode->is_sparse = f->st.is_sparse;
    stand_at(fate, f->dir, f->name);
    forget_attributes(inode);
}

static void settle_moved(Fate *fate, const Found *f)
{
    Inode *inode = fate->inode;

    stand_at(fate, f->dir, f->name);
    if (fate->is_changed && !inode->link_path) {
        inode->host = apply_host_id(&f->st);
        forget_attributes(inode);
    }
}

/* A directory that was to be made. */
static int settle_made(Reconcile *r, Fate *fate)
{
    g_autofree char *path = NULL;
    HostStat st;
    int ret;

    if (!fate->dir || !inode_is_on_host(fate->dir)) {
        return 0;
    }
    path = inode_host_path_at(fate->dir, fate->name);
    ret = r->fs->ops->stat(r->fs, path, &st);
    if (ret == 0 && st.kind == HOST_DIRECTORY) {
        fate->inode->host = apply_host_id(&st);
        stand_at(fate, fate->dir, fate->name);
        forget_attributes(fate->inode);
        note_dir(r, fate->inode);
    }
    return ret == -ENOENT || ret == -ENOTDIR || ret == -ELOOP ? 0 : ret;
}

/* A link is known by where it leads. */
static bool leads_there(Reconcile *r, const Inode *link, const Inode *dir,
                        const char *name)
{
    g_autofree char *path = inode_host_path_at(dir, name);
    g_autofree char *real = NULL;

    return r->fs->ops->resolve(r->fs, path, &real) == 0 &&
           strcmp(real, link->link_path) == 0;
}

static void settle_link(Reconcile *r, Fate *fate)
{
    Inode *link = fate->inode;

    if (fate->dir && inode_is_on_host(fate->dir) &&
        leads_there(r, link, fate->dir, fate->name)) {
        stand_at(fate, fate->dir, fate->name);
    } else if (leads_there(r, link, link->host_parent, link->host_name)) {
        fate->is_settled = true;
    }
}

static int settle(Reconcile *r, Fate *fate)
{
    const Found *f = NULL;

    if (fate->staged) {
        f = find(r, fate, &fate->staged->id);
        if (f && f->st.size == fate->staged->id.size) {
            settle_placed(fate, f);
            return 0;
        }
    }
    if (!inode_is_on_host(fate->inode)) {
        return fate->inode->is_directory ? settle_made(r, fate) : 0;
    }
    if (fate->inode->link_path) {
        settle_link(r, fate);
        return 0;
    }
    f = find(r, fate, &fate->inode->host);
    if (f) {
        settle_moved(fate, f);
    }
    return 0;
}

static int settle_all(Reconcile *r, bool *progress)
{
    GHashTableIter iter;
    gpointer value;
    int ret = 0;

    g_hash_table_iter_init(&iter, r->fates);
    while (ret == 0 && g_hash_table_iter_next(&iter, NULL, &value)) {
        Fate *fate = value;

        if (!fate->is_settled) {
            ret = settle(r, fate);
            *progress |= fate->is_settled;
        }
    }
    return ret;
}

/* What was to go, and is not where it was: it is gone. All others are where
 * nothing of ours put them; the next commit finds that. */
static void settle_gone(Reconcile *r)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, r->fates);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        Fate *fate = value;
        Inode *inode = fate->inode;

        if (!fate->is_settled && fate->goes && inode_is_on_host(inode)) {
            inode->host_parent = NULL;
            g_clear_pointer(&inode->host_name, g_free);
            g_clear_pointer(&inode->link_path, g_free);
            g_clear_pointer(&inode->alias, g_free);
            chain_clear(&inode->host_chain);
        }
    }
}

int reconcile_plan(HostFs *fs, const JournalTree *tree,
                   const JournalPlan *plan)
{
    g_autoptr(GHashTable)
        fates = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    g_autoptr(GHashTable) dirs = g_hash_table_new(NULL, NULL);
    g_autoptr(GHashTable) found =
        g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, free_list);
    Reconcile r = {
        .fs = fs, .tree = tree, .fates = fates, .dirs = dirs, .found = found
    };
    bool progress = true;

    note_plan(&r, plan);
    while (progress) {
        int ret;

        progress = false;
        ret = list_dirs(&r, &progress);
        if (ret == 0) {
            ret = settle_all(&r, &progress);
        }
        if (ret < 0) {
            return ret;
        }
    }
    settle_gone(&r);
    /* What is recorded from now on must not be undone by a power cut. */
    return fs->ops->sync_fs(fs);
}
