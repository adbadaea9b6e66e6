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
#include "block/vvfat/reconcile-int.h"

/* ---- Which is which ---- */

/* How likely a name is: 0 is best; -1: not at all. */
static int rank(const ReconcileFate *fate, const ReconcileFound *f)
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

static const ReconcileFound *find(Reconcile *r, const ReconcileFate *fate,
                                  const InodeHostId *id)
{
    const GPtrArray *list = g_hash_table_lookup(r->found, &id->ino);
    HostKind kind = fate->inode->is_directory ? HOST_DIRECTORY : HOST_FILE;
    const ReconcileFound *best = NULL;
    int best_rank = INT_MAX;

    for (guint i = 0; list && i < list->len; i++) {
        const ReconcileFound *f = g_ptr_array_index(list, i);
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
    inode->host_entry.attr = inode->entry.attr ^ FAT_ATTR_DOS;
    le16_put(&inode->host_entry.mtime,
             (uint16_t)~le16_get(inode->entry.mtime));
    le16_put(&inode->host_entry.mdate,
             (uint16_t)~le16_get(inode->entry.mdate));
}

static void stand_at(ReconcileFate *fate, Inode *dir, const char *name)
{
    Inode *inode = fate->inode;
    const char *why;

    fate->is_settled = true;
    if (inode_is_on_host(inode) && inode->host_parent == dir &&
        strcmp(inode->host_name, name) == 0) {
        return;
    }
    inode->host_parent = dir;
    inode_set_host_name(inode, name);
    g_free(inode->alias);
    inode->alias = NULL;
    if (inode->name) {
        g_autofree char *plain = names_unmap(inode->name, &why);

        if (g_strcmp0(plain, name) != 0) {
            inode->alias = g_strdup(inode->name);
        }
    }
}

static void settle_placed(ReconcileFate *fate, const ReconcileFound *f)
{
    Inode *inode = fate->inode;

    chain_clear(&inode->host_chain);
    g_clear_pointer(&inode->link_path, g_free);
    inode->host = apply_host_id(&f->st);
    inode->is_sparse = f->st.is_sparse;
    stand_at(fate, f->dir, f->name);
    forget_attributes(inode);
}

static void settle_moved(Reconcile *r, ReconcileFate *fate,
                         const ReconcileFound *f)
{
    Inode *inode = fate->inode;
    g_autofree char *from = inode_host_path(inode);
    g_autofree char *to = NULL;

    stand_at(fate, f->dir, f->name);
    to = inode_host_path(inode);
    linked_follow(r->linked, &inode->host, from, to);
    /* Before staging was over, and while a new file waits to take its place,
     * nobody but the host writes it. */
    if (fate->is_changed && r->has_begun && !fate->staged &&
        !inode->link_path) {
        inode->host = apply_host_id(&f->st);
        forget_attributes(inode);
    }
}

/* A directory that was to be made. */
static int settle_made(Reconcile *r, ReconcileFate *fate)
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
        reconcile_note_dir(r, fate->inode);
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

static void settle_link(Reconcile *r, ReconcileFate *fate)
{
    Inode *link = fate->inode;

    if (fate->dir && inode_is_on_host(fate->dir) &&
        leads_there(r, link, fate->dir, fate->name)) {
        stand_at(fate, fate->dir, fate->name);
    } else if (leads_there(r, link, link->host_parent, link->host_name)) {
        fate->is_settled = true;
    }
}

static int settle(Reconcile *r, ReconcileFate *fate)
{
    const ReconcileFound *f = NULL;

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
        settle_moved(r, fate, f);
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
        ReconcileFate *fate = value;

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
        ReconcileFate *fate = value;
        Inode *inode = fate->inode;

        if (!fate->is_settled && fate->goes && inode_is_on_host(inode)) {
            inode->host_parent = NULL;
            inode_set_host_name(inode, NULL);
            g_clear_pointer(&inode->link_path, g_free);
            g_clear_pointer(&inode->alias, g_free);
            chain_clear(&inode->host_chain);
        }
    }
}

static void free_list(gpointer list)
{
    g_ptr_array_unref(list);
}

static Linked *links_of(const JournalTree *tree)
{
    g_autoptr(GPtrArray) inodes = journal_tree_list(tree);
    Linked *linked = linked_new();

    for (guint i = 0; i < inodes->len; i++) {
        linked_add(linked, g_ptr_array_index(inodes, i));
    }
    return linked;
}

/* What is recorded from now on must not be undone by a power cut. Files are
 * durable since they were staged, or written again. */
static int sync_found(Reconcile *r)
{
    const Inode *root = journal_tree_get(r->tree, 1);
    GHashTableIter iter;
    gpointer key, listed;
    int ret = r->fs->ops->sync_fs(r->fs);

    g_hash_table_iter_init(&iter, r->dirs);
    while (ret == 0 && g_hash_table_iter_next(&iter, &key, &listed)) {
        const Inode *dir = key;

        /* sync_fs() is for the device of the root. */
        if (GPOINTER_TO_INT(listed) && dir->host.dev != root->host.dev) {
            g_autofree char *path = inode_host_path(dir);

            ret = r->fs->ops->dir_sync(r->fs, path);
        }
    }
    return ret;
}

int reconcile_plan(HostFs *fs, const JournalTree *tree,
                   const JournalPlan *plan, Report *report)
{
    g_autoptr(GHashTable)
        fates = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    g_autoptr(GHashTable) dirs = g_hash_table_new(NULL, NULL);
    g_autoptr(GHashTable) found =
        g_hash_table_new_full(g_int64_hash, g_int64_equal, NULL, free_list);
    g_autoptr(GHashTable) temps = reconcile_temps_new();
    g_autoptr(Linked) linked = links_of(tree);
    Reconcile r = {
        .fs = fs,
        .tree = tree,
        .report = report,
        .linked = linked,
        .fates = fates,
        .dirs = dirs,
        .found = found,
        .temps = temps,
        .has_begun = plan->has_begun,
    };
    bool progress = true;

    reconcile_note_plan(&r, plan);
    while (progress) {
        int ret;

        progress = false;
        ret = reconcile_list_dirs(&r, &progress);
        if (ret == 0) {
            ret = settle_all(&r, &progress);
        }
        if (ret < 0) {
            return ret;
        }
    }
    settle_gone(&r);
    return sync_found(&r);
}
