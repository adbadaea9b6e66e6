/* SPDX-License-Identifier: MIT */
/*
 * Making durable what was done: a few files and directories one by one, more
 * of them by one call for the whole file system. That call knows the file
 * system of the root alone, so what is on another one (a mount point below the
 * root) is always done by itself.
 *
 * A sync that fails says that once. The kernel has given up what it could not
 * write, and shows it from memory as if it were on the disk; another sync that
 * succeeds proves nothing of it. So such a file is marked (is_unsynced), and
 * what the overlay has of it is written once more, without a look at what is
 * there, before a sync of it counts. What the overlay has not was durable
 * before. Directories, and what else a file system keeps in its own journal,
 * stay in the set, and are synced until that does not fail.
 */
#include <errno.h>

#include "block/vvfat/apply-int.h"

void apply_set_dirty(Apply *apply, Inode *inode)
{
    g_hash_table_add(apply->dirty, inode);
}

static int sync_file(Apply *apply, const char *path)
{
    const HostFsOps *ops = apply->fs->ops;
    HostFile *file;
    HostStat st;
    int r = ops->file_open(apply->fs, path, &file, &st);

    if (r == -EACCES) {
        /* One may write a file without reading it. */
        return ops->sync_fs(apply->fs);
    }
    if (r == 0) {
        r = ops->file_sync(apply->fs, file);
        ops->file_close(apply->fs, file);
    }
    return r;
}

int apply_sync_temp(Apply *apply, const Inode *inode)
{
    g_autofree char *path = apply_temp_path(inode);

    return sync_file(apply, path);
}

static int root_device(Apply *apply, uint64_t *dev)
{
    HostStat st;
    int r = apply->fs->ops->stat(apply->fs, "", &st);

    *dev = r == 0 ? st.dev : 0;
    return r;
}

/* ---- Staged files ---- */

static void fail_staged(Apply *apply, Inode *inode, int r)
{
    g_autofree char *path = apply_temp_path(inode);

    apply_fail(apply, inode, r, "sync", path);
    apply_drop_temp(apply, inode);
}

/* The temporary names as well: after a crash the bytes may be there alone.
 * Results by directory, as pointers: 0 or errno. */
static int sync_temp_dir(Apply *apply, GHashTable *dirs, Inode *dir)
{
    gpointer error = NULL;

    if (!g_hash_table_lookup_extended(dirs, dir, NULL, &error)) {
        g_autofree char *path = inode_host_path(dir);
        int r = apply->fs->ops->dir_sync(apply->fs, path);

        error = GINT_TO_POINTER(-r);
        g_hash_table_insert(dirs, dir, error);
    }
    return -GPOINTER_TO_INT(error);
}

void apply_sync_staged(Apply *apply, const GPtrArray *inodes)
{
    g_autoptr(GHashTable) dirs = g_hash_table_new(NULL, NULL);
    bool each = inodes->len <= APPLY_SYNC_EACH;
    uint64_t dev = 0;
    int all = each ? 0 : root_device(apply, &dev);

    if (!each && all == 0) {
        all = apply->fs->ops->sync_fs(apply->fs);
    }
    for (guint i = 0; i < inodes->len; i++) {
        Inode *inode = g_ptr_array_index(inodes, i);
        bool alone = each || inode->change->staged.dev != dev;
        int r = alone ? apply_sync_temp(apply, inode) : all;

        if (alone && apply_is_gone(r)) {
            continue; /* of an earlier run: it may have its name already */
        }
        if (r == 0 && alone) {
            r = sync_temp_dir(apply, dirs, inode->change->temp_dir);
        }
        if (r < 0) {
            fail_staged(apply, inode, r);
        }
    }
}

/* ---- What a run changed ---- */

static int sync_inode(Apply *apply, const Inode *inode)
{
    g_autofree char *path = inode_host_path(inode);
    int r = inode->is_directory ? apply->fs->ops->dir_sync(apply->fs, path)
                                : sync_file(apply, path);

    /* Somebody gave it another name, or took it away. */
    return apply_is_gone(r) ? apply->fs->ops->sync_fs(apply->fs) : r;
}

static void drop_removed(GHashTable *dirty)
{
    GHashTableIter iter;
    gpointer key;

    g_hash_table_iter_init(&iter, dirty);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
        if (!inode_is_on_host(key)) {
            g_hash_table_iter_remove(&iter);
        }
    }
}

/* The set, which stays as it is. Files that it failed for are marked. */
static int sync_set(Apply *apply)
{
    GHashTableIter iter;
    gpointer key;
    uint64_t dev = 0;
    bool each;
    int all = 0, result;

    drop_removed(apply->dirty);
    each = g_hash_table_size(apply->dirty) <= APPLY_SYNC_EACH;
    if (!each) {
        all = root_device(apply, &dev);
        all = all < 0 ? all : apply->fs->ops->sync_fs(apply->fs);
    }
    result = all;
    g_hash_table_iter_init(&iter, apply->dirty);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
        Inode *inode = key;
        bool alone = each || inode->host.dev != dev;
        int r = alone ? sync_inode(apply, inode) : all;

        inode->is_unsynced |= r < 0 && !inode->is_directory;
        result = result < 0 ? result : r;
    }
    return result;
}

/* Whether nothing is left to be written of a file. */
static bool is_written(const Inode *inode)
{
    const InodeChange *change = inode->change;

    return !change || (!change->held && change->content == CONTENT_SAME);
}

int apply_sync_dirty(Apply *apply)
{
    int r = sync_set(apply);
    GHashTableIter iter;
    gpointer key;

    if (r < 0) {
        return r;
    }
    g_hash_table_iter_init(&iter, apply->dirty);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
        Inode *inode = key;

        inode->is_unsynced &= !is_written(inode);
    }
    g_hash_table_remove_all(apply->dirty);
    return 0;
}

void apply_retire(Apply *apply, Inode *inode)
{
    g_hash_table_remove(apply->dirty, inode);
}

bool apply_is_unsynced(const Apply *apply)
{
    return g_hash_table_size(apply->dirty) > 0;
}

int apply_resync(Apply *apply)
{
    return apply_is_unsynced(apply) ? sync_set(apply) : 0;
}
