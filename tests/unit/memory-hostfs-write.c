/* SPDX-License-Identifier: MIT */
/* The host file system in memory: names, syncing and the whole. */
#include <errno.h>
#include <sys/stat.h>

#include "tests/unit/memory-hostfs-int.h"

/* ---- Names ---- */

static int may_change(const MemoryNode *dir)
{
    unsigned need = S_IWUSR | S_IXUSR;

    return (dir->mode & need) == need ? 0 : -EACCES;
}

/* A name in a directory, and what it leads to, or NULL. */
typedef struct Place {
    MemoryNode *dir;
    const char *name;
    MemoryNode *node;
} Place;

static int place_search(Place *place)
{
    int r = memory_lookup_at(place->dir, place->name, &place->node);

    return r == -ENOENT ? 0 : r;
}

static int place_find(MemoryFs *m, const char *path, Place *place)
{
    int r = memory_lookup_parent(m, path, &place->dir, &place->name);

    return r < 0 ? r : place_search(place);
}

/* Both ends of a rename: first the directories, then what is in them. */
static int places_find(MemoryFs *m, const char *from, const char *to,
                       Place *old, Place *new)
{
    int r = memory_lookup_parent(m, from, &old->dir, &old->name);

    r = r < 0 ? r : memory_lookup_parent(m, to, &new->dir, &new->name);
    r = r < 0 ? r : place_search(old);
    r = r < 0 ? r : place_search(new);
    return r == 0 && !old->node ? -ENOENT : r;
}

/* Make what `node` describes but for its number. */
static int make(MemoryFs *m, const char *path, MemoryNode node,
                MemoryNode **made)
{
    MemoryOp *op;
    Place place;
    int r = place_find(m, path, &place);

    if (r == 0) {
        r = place.node ? -EEXIST : may_change(place.dir);
    }
    if (r == 0 && node.kind == HOST_DIRECTORY) {
        r = memory_need(m, MEMORY_PAGE); /* an empty file needs no room */
    }
    if (r < 0) {
        return r;
    }
    node.ino = ++m->last_ino;
    if (node.kind != HOST_SYMLINK) {
        node.mode &= 07777 & ~m->umask;
    }
    op = memory_op_new(MEMORY_ENTRIES, NULL, memory_tick(m));
    memory_op_entry(op, place.dir, place.name, NULL, &node);
    op->other_dir = node.kind == HOST_DIRECTORY ? node.ino : 0;
    memory_commit(m, op);
    *made = memory_image_find(m->live, node.ino);
    return 0;
}

static int memory_mkdir(HostFs *fs, const char *path, unsigned mode)
{
    MemoryFs *m = memory_fs(fs);
    MemoryNode *made;
    int r;

    pthread_mutex_lock(&m->lock);
    r = make(m, path, (MemoryNode){ .kind = HOST_DIRECTORY, .mode = mode },
             &made);
    pthread_mutex_unlock(&m->lock);
    return r;
}

int memory_hostfs_symlink(HostFs *fs, const char *path, const char *target)
{
    MemoryFs *m = memory_fs(fs);
    g_autofree char *text = g_strdup(target);
    MemoryNode *made;
    int r;

    pthread_mutex_lock(&m->lock);
    r = make(
        m, path,
        (MemoryNode){ .kind = HOST_SYMLINK, .mode = 0777, .target = text },
        &made);
    pthread_mutex_unlock(&m->lock);
    return r;
}

static int take_away(HostFs *fs, const char *path, bool is_dir)
{
    MemoryFs *m = memory_fs(fs);
    Place place;
    int r;

    pthread_mutex_lock(&m->lock);
    r = place_find(m, path, &place);
    if (r == 0) {
        r = place.node ? may_change(place.dir) : -ENOENT;
    }
    if (r == 0 && is_dir != (place.node->kind == HOST_DIRECTORY)) {
        r = is_dir ? -ENOTDIR : -EISDIR;
    } else if (r == 0 && is_dir && g_tree_nnodes(place.node->entries) > 0) {
        r = -ENOTEMPTY;
    }
    if (r == 0) {
        MemoryOp *op = memory_op_new(MEMORY_ENTRIES, NULL, memory_tick(m));

        memory_op_entry(op, place.dir, place.name, place.node, NULL);
        op->other_dir = is_dir ? place.node->ino : 0;
        memory_commit(m, op);
        memory_drop(m, place.node);
    }
    pthread_mutex_unlock(&m->lock);
    return r;
}

static int memory_rmdir(HostFs *fs, const char *path)
{
    return take_away(fs, path, true);
}

static int memory_unlink(HostFs *fs, const char *path)
{
    return take_away(fs, path, false);
}

static bool is_directory(const MemoryNode *node)
{
    return node->kind == HOST_DIRECTORY;
}

/* What may take the place of what. */
static int check_replaced(const MemoryNode *node, const MemoryNode *there)
{
    if (is_directory(node) == is_directory(there)) {
        return 0;
    }
    return is_directory(node) ? -ENOTDIR : -EISDIR;
}

/* A directory that goes to another one changes: its ".." does. */
static int check_moved(const Place *from, const Place *to)
{
    bool moves = from->dir != to->dir && is_directory(from->node);

    return moves && !(from->node->mode & S_IWUSR) ? -EACCES : 0;
}

static int check_permission(const Place *from, const Place *to, bool exchange)
{
    int r = may_change(from->dir);

    r = r < 0 ? r : may_change(to->dir);
    if (r == 0 && to->node && !exchange) {
        r = check_replaced(from->node, to->node);
    }
    r = r < 0 ? r : check_moved(from, to);
    if (r == 0 && exchange) {
        r = check_moved(to, from);
    }
    return r;
}

/* In the order in which Linux finds things wrong. */
static int check_rename(const Place *from, const Place *to, unsigned flags)
{
    bool exchange = flags & HOST_RENAME_EXCHANGE;
    bool replaces = to->node && !exchange;
    int r;

    if (from->dir->dev != to->dir->dev) {
        return -EXDEV;
    }
    if (exchange && !to->node) {
        return -ENOENT;
    }
    if (flags & HOST_RENAME_NOREPLACE && to->node) {
        return -EEXIST;
    }
    if (memory_node_is_below(to->dir, from->node)) {
        return -EINVAL;
    }
    if (to->node && memory_node_is_below(from->dir, to->node)) {
        return exchange ? -EINVAL : -ENOTEMPTY;
    }
    if (from->node == to->node) {
        return 0;
    }
    r = check_permission(from, to, exchange);
    if (r == 0 && replaces && is_directory(to->node) &&
        g_tree_nnodes(to->node->entries) > 0) {
        r = -ENOTEMPTY;
    }
    return r;
}

static int memory_rename(HostFs *fs, const char *from, const char *to,
                         unsigned flags)
{
    MemoryFs *m = memory_fs(fs);
    bool exchange = flags & HOST_RENAME_EXCHANGE;
    Place old, new;
    int r;

    pthread_mutex_lock(&m->lock);
    r = places_find(m, from, to, &old, &new);
    r = r < 0 ? r : check_rename(&old, &new, flags);
    if (r == 0 && old.node != new.node) {
        MemoryOp *op = memory_op_new(MEMORY_ENTRIES, NULL, memory_tick(m));

        memory_op_entry(op, old.dir, old.name, old.node,
                        exchange ? new.node : NULL);
        memory_op_entry(op, new.dir, new.name, new.node, old.node);
        if (!exchange && new.node &&new.node->kind == HOST_DIRECTORY) {
            op->other_dir = new.node->ino;
        }
        memory_commit(m, op);
        if (new.node) {
            memory_drop(m, new.node);
        }
    }
    pthread_mutex_unlock(&m->lock);
    return r;
}

static HostFile *file_new(MemoryNode *node)
{
    MemoryFile *f = g_new0(MemoryFile, 1);

    node->users++;
    f->node = node;
    f->writable = true;
    return (HostFile *)f;
}

static int memory_file_create(HostFs *fs, const char *path, unsigned mode,
                              HostFile **file)
{
    MemoryFs *m = memory_fs(fs);
    MemoryNode *made;
    int r;

    pthread_mutex_lock(&m->lock);
    r = make(m, path, (MemoryNode){ .kind = HOST_FILE, .mode = mode }, &made);
    if (r == 0) {
        *file = file_new(made);
    }
    pthread_mutex_unlock(&m->lock);
    return r;
}

/* ---- Making it durable; the whole ---- */

static bool is_to_fail(MemoryFs *m)
{
    return m->fail_in > 0 && --m->fail_in == 0;
}

static int memory_file_sync(HostFs *fs, HostFile *file)
{
    MemoryFs *m = memory_fs(fs);
    uint64_t ino = ((MemoryFile *)file)->node->ino;
    int r = 0;

    pthread_mutex_lock(&m->lock);
    if (is_to_fail(m)) {
        memory_lose_data(m, ino);
        r = -EIO;
    } else {
        memory_sync_node(m, ino);
    }
    pthread_mutex_unlock(&m->lock);
    return r;
}

static int memory_dir_sync(HostFs *fs, const char *path)
{
    MemoryFs *m = memory_fs(fs);
    MemoryNode *node;
    int r;

    pthread_mutex_lock(&m->lock);
    r = memory_lookup_plain(m, path, &node);
    if (r == 0 && node->kind != HOST_DIRECTORY) {
        r = -ENOTDIR;
    }
    if (r == 0 && is_to_fail(m)) {
        r = -EIO;
    }
    if (r == 0) {
        memory_sync_names(m, node->ino);
        memory_sync_node(m, node->ino);
    }
    pthread_mutex_unlock(&m->lock);
    return r;
}

static int memory_sync_fs(HostFs *fs)
{
    MemoryFs *m = memory_fs(fs);

    int r = 0;

    pthread_mutex_lock(&m->lock);
    if (is_to_fail(m)) {
        memory_lose_data(m, 0);
        r = -EIO;
    } else {
        memory_sync_device(m);
    }
    pthread_mutex_unlock(&m->lock);
    return r;
}

static int memory_space(HostFs *fs, HostSpace *space)
{
    MemoryFs *m = memory_fs(fs);

    pthread_mutex_lock(&m->lock);
    space->total = m->capacity;
    space->free = m->capacity - MIN(m->used, m->capacity);
    pthread_mutex_unlock(&m->lock);
    return 0;
}

static int memory_lock(HostFs *fs)
{
    MemoryFs *m = memory_fs(fs);
    bool locked;

    pthread_mutex_lock(&m->lock);
    locked = m->locked;
    pthread_mutex_unlock(&m->lock);
    return locked ? -EWOULDBLOCK : 0;
}

void memory_write_ops(HostFsOps *ops)
{
    ops->mkdir = memory_mkdir;
    ops->rmdir = memory_rmdir;
    ops->unlink = memory_unlink;
    ops->rename = memory_rename;
    ops->file_create = memory_file_create;
    ops->file_sync = memory_file_sync;
    ops->dir_sync = memory_dir_sync;
    ops->sync_fs = memory_sync_fs;
    ops->space = memory_space;
    ops->lock = memory_lock;
}
