/* SPDX-License-Identifier: MIT */
/*
 * The temporary files of a plan. A name alone proves nothing: what is removed
 * is
 *
 * - what has a name that the plan chose, where no file under that name was
 *   recorded as staged: it never swapped its name with another file's, so
 *   nobody else's can have got it;
 * - the staged file itself;
 * - exactly the version that was to be replaced, where the two have swapped
 *   their names.
 *
 * Anything else under the name of a staged file was swapped with it: what the
 * host put into the place of the old version just before.
 */
#include <errno.h>

#include "block/vvfat/apply.h"
#include "block/vvfat/reconcile-int.h"

static guint temp_hash(gconstpointer key)
{
    const ReconcileTemp *temp = key;

    return g_direct_hash(temp->dir) ^ g_str_hash(temp->name);
}

static gboolean temp_equal(gconstpointer a, gconstpointer b)
{
    const ReconcileTemp *one = a, *other = b;

    return one->dir == other->dir && g_str_equal(one->name, other->name);
}

GHashTable *reconcile_temps_new(void)
{
    return g_hash_table_new_full(temp_hash, temp_equal, g_free, NULL);
}

/* ---- What the plan says ---- */

static ReconcileTemp *add(Reconcile *r, Inode *dir, const char *name)
{
    ReconcileTemp *temp = g_new0(ReconcileTemp, 1);

    temp->dir = dir;
    temp->name = name;
    g_hash_table_replace(r->temps, temp, temp);
    return temp;
}

static InodeHostId host_id(const Inode *inode)
{
    return inode && inode_is_on_host(inode) ? inode->host : (InodeHostId){ 0 };
}

/* A file that the host may turn out to have changed, where it stands or where
 * it was to go first. */
static void note_written(Reconcile *r, const JournalOp *op)
{
    Inode *inode = journal_tree_get(r->tree, op->inode);
    const ReconcileFate *fate = inode ? g_hash_table_lookup(r->fates, inode)
                                      : NULL;

    if (fate) {
        add(r, inode->host_parent, op->name);
        add(r, fate->dir, op->name);
    }
}

static void note_staged(Reconcile *r, const JournalStaged *staged,
                        GHashTable *victims)
{
    const uint64_t *victim = g_hash_table_lookup(victims, &staged->inode);
    ReconcileTemp *temp = add(r, journal_tree_get(r->tree, staged->dir),
                              staged->name);

    temp->staged = staged->id;
    temp->old = host_id(journal_tree_get(r->tree, staged->inode));
    if (victim) {
        temp->victim = host_id(journal_tree_get(r->tree, *victim));
    }
}

void reconcile_note_temps(Reconcile *r, const JournalPlan *plan)
{
    g_autoptr(GHashTable)
        victims = g_hash_table_new(g_int64_hash, g_int64_equal);

    for (guint i = 0; i < plan->ops->len; i++) {
        JournalOp *op = &g_array_index(plan->ops, JournalOp, i);

        if (op->kind == PLAN_PLACE && op->victim) {
            g_hash_table_insert(victims, &op->inode, &op->victim);
        } else if (op->kind == PLAN_STAGE && op->name) {
            add(r, journal_tree_get(r->tree, op->dir), op->name);
        } else if (op->kind == PLAN_WRITE && op->name) {
            note_written(r, op);
        }
    }
    for (guint i = 0; i < plan->staged->len; i++) {
        const JournalStaged *staged = &g_array_index(plan->staged,
                                                     JournalStaged, i);

        if (staged->name) {
            note_staged(r, staged, victims);
        }
    }
}

/* ---- What is there ---- */

static bool is_file(const HostStat *st, const InodeHostId *id)
{
    return id->ino != 0 && st->ino == id->ino && st->dev == id->dev;
}

static bool is_version(const HostStat *st, const InodeHostId *id)
{
    return is_file(st, id) && st->size == id->size &&
           apply_host_id(st).mtime_ns == id->mtime_ns;
}

static bool may_remove(const ReconcileTemp *temp, const HostStat *st)
{
    return temp->staged.ino == 0 || is_file(st, &temp->staged) ||
           is_version(st, &temp->old) || is_version(st, &temp->victim);
}

/* The host's own, and the only one: under a name that says so. */
static void put_aside(Reconcile *r, const Inode *dir, const char *path)
{
    g_autofree char *aside = apply_aside_path(dir);
    int ret = r->fs->ops->rename(r->fs, path, aside, HOST_RENAME_NOREPLACE);

    report_add(r->report, REPORT_CONFLICT, ret == 0 ? aside : path,
               "changed on the host while the guest's version took its place, "
               "and kept");
}

int reconcile_clear_temp(Reconcile *r, Inode *dir, const char *name)
{
    const ReconcileTemp key = { .dir = dir, .name = name };
    const ReconcileTemp *temp = g_hash_table_lookup(r->temps, &key);
    g_autofree char *path = inode_host_path_at(dir, name);
    HostStat st;
    int ret;

    if (!temp) {
        return 0;
    }
    ret = r->fs->ops->stat(r->fs, path, &st);
    if (ret == 0 && may_remove(temp, &st)) {
        ret = r->fs->ops->unlink(r->fs, path);
    } else if (ret == 0) {
        put_aside(r, dir, path);
    }
    return apply_is_gone(ret) ? 0 : ret;
}
