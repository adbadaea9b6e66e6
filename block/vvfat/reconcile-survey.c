/* SPDX-License-Identifier: MIT */
/* One look at every file: only to tell what the user may want to know. What
 * depends on a file looks at it again. */
#include <errno.h>

#include "block/vvfat/apply.h"
#include "block/vvfat/names.h"
#include "block/vvfat/reconcile.h"

typedef struct Survey {
    HostFs *fs;
    Report *report;
    GHashTable *names; /* of Inode, by directory and name on the host */
} Survey;

static guint name_hash(gconstpointer key)
{
    const Inode *inode = key;

    return g_direct_hash(inode->host_parent) ^ g_str_hash(inode->host_name);
}

static gboolean name_equal(gconstpointer a, gconstpointer b)
{
    const Inode *one = a, *other = b;

    return one->host_parent == other->host_parent &&
           g_str_equal(one->host_name, other->host_name);
}

static void tell(const Survey *s, ReportKind kind, Inode *dir,
                 const char *name, const char *what)
{
    g_autofree char *path = inode_host_path_at(dir, name);

    report_add(s->report, kind, path, "%s", what);
}

static void compare_link(const Survey *s, const Inode *link,
                         const HostStat *st)
{
    g_autofree char *path = inode_host_path_at(link->host_parent,
                                               link->host_name);
    g_autofree char *real = NULL;

    if (st->kind == HOST_SYMLINK &&
        s->fs->ops->resolve(s->fs, path, &real) == -ENOENT) {
        tell(s, REPORT_DANGLING, link->host_parent, link->host_name,
             "symbolic link that leads nowhere any more");
    }
}

static void compare(const Survey *s, const Inode *inode, const HostStat *st)
{
    InodeHostId id = apply_host_id(st);

    /* A link's own numbers are not kept: what it leads to is another's. */
    if (inode->link_path) {
        compare_link(s, inode, st);
        return;
    }
    if (st->kind != (inode->is_directory ? HOST_DIRECTORY : HOST_FILE) ||
        id.dev != inode->host.dev || id.ino != inode->host.ino) {
        tell(s, REPORT_CONFLICT, inode->host_parent, inode->host_name,
             "replaced on the host by another one");
    } else if (!inode->is_directory && (id.size != inode->host.size ||
                                        id.mtime_ns != inode->host.mtime_ns)) {
        tell(s, REPORT_CONFLICT, inode->host_parent, inode->host_name,
             "changed on the host");
    }
}

static void look_at(const Survey *s, HostDir *open, Inode *dir,
                    const char *name)
{
    Inode key = { .host_parent = dir, .host_name = name };
    Inode *inode = g_hash_table_lookup(s->names, &key);
    HostStat st;

    if (s->fs->ops->stat_at(s->fs, open, name, &st) < 0) {
        return;
    }
    if (inode) {
        compare(s, inode, &st);
        g_hash_table_remove(s->names, inode);
    } else if (names_is_temporary(name)) {
        tell(s, REPORT_SKIPPED, dir, name, NAMES_WHY_TEMPORARY);
    } else {
        tell(s, REPORT_SKIPPED, dir, name,
             "not in the volume: made on the host since the overlay was, or "
             "left out then");
    }
}

static void look_into(const Survey *s, Inode *dir)
{
    const HostFsOps *ops = s->fs->ops;
    g_autofree char *path = inode_host_path(dir);
    const char *name;
    HostDir *open;

    if (ops->dir_open(s->fs, path, &open) < 0) {
        return;
    }
    while (ops->dir_next(s->fs, open, &name) > 0) {
        look_at(s, open, dir, name);
    }
    ops->dir_close(s->fs, open);
}

static bool is_below_link(const Inode *inode)
{
    return inode->is_linked_to || inode->link_path;
}

void reconcile_survey(HostFs *fs, const GPtrArray *inodes, Report *report)
{
    g_autoptr(GHashTable) names = g_hash_table_new(name_hash, name_equal);
    Survey s = { .fs = fs, .report = report, .names = names };
    GHashTableIter iter;
    gpointer key;

    for (guint i = 1; i < inodes->len; i++) {
        Inode *inode = g_ptr_array_index(inodes, i);

        if (inode_is_on_host(inode) && !is_below_link(inode->host_parent)) {
            g_hash_table_add(names, inode);
        }
    }
    for (guint i = 0; i < inodes->len; i++) {
        Inode *dir = g_ptr_array_index(inodes, i);

        if (dir->is_directory && inode_is_on_host(dir) &&
            !is_below_link(dir)) {
            look_into(&s, dir);
        }
    }
    g_hash_table_iter_init(&iter, names);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
        const Inode *inode = key;

        tell(&s, REPORT_CONFLICT, inode->host_parent, inode->host_name,
             "gone from the host");
    }
}
