/* SPDX-License-Identifier: MIT */
/* The host file system in memory: reading. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/unit/memory-hostfs-int.h"

#define NS INT64_C(1000000000)
#define MAX_LINKS 40

/* ---- Asking ---- */

static void split_time(int64_t time, int64_t *seconds, uint32_t *ns)
{
    int64_t rest = time % NS;

    *seconds = time / NS - (rest < 0);
    *ns = (uint32_t)(rest < 0 ? rest + NS : rest);
}

static gboolean count_directory(gpointer name, gpointer node, gpointer count)
{
    (void)name;
    *(uint64_t *)count += ((MemoryNode *)node)->kind == HOST_DIRECTORY;
    return FALSE;
}

static void node_stat(const MemoryNode *node, HostStat *st)
{
    bool is_dir = node->kind == HOST_DIRECTORY;
    unsigned search = is_dir ? S_IXUSR : 0;
    unsigned read = S_IRUSR | search, write = S_IWUSR | search;

    *st = (HostStat){
        .kind = node->kind,
        .readable = (node->mode & read) == read,
        .writable = (node->mode & write) == write,
        .read_only = !(node->mode & (S_IWUSR | S_IWGRP | S_IWOTH)),
        .mode = node->mode,
        .dev = node->dev,
        .ino = node->ino,
        .nlink = node->nlink,
    };
    split_time(node->mtime, &st->mtime, &st->mtime_ns);
    split_time(node->ctime, &st->ctime, &st->ctime_ns);
    if (is_dir) {
        st->nlink++;
        st->size = MEMORY_PAGE;
        g_tree_foreach(node->entries, count_directory, &st->nlink);
    } else if (node->data) {
        st->size = node->data->size;
        st->is_sparse = memory_data_allocated(node->data) < (uint64_t)st->size;
    } else {
        st->size = (int64_t)strlen(node->target);
        st->writable = false; /* of files and directories alone */
    }
}

static int memory_stat(HostFs *fs, const char *path, HostStat *st)
{
    MemoryFs *m = memory_fs(fs);
    MemoryNode *node;
    int r;

    pthread_mutex_lock(&m->lock);
    r = memory_lookup(m, path, &node);
    if (r == 0) {
        node_stat(node, st);
    }
    pthread_mutex_unlock(&m->lock);
    return r;
}

/* ---- Links ---- */

/* A walk through links: the directories on the way, with their names. */
typedef struct Walk {
    GPtrArray *dirs;  /* MemoryNode, the root first */
    GPtrArray *names; /* of all but the root */
    GQueue todo;      /* names, for g_free() */
    unsigned links;
} Walk;

static void walk_push(Walk *w, const char *path)
{
    g_auto(GStrv) names = g_strsplit(path, "/", -1);

    for (unsigned n = g_strv_length(names); n-- > 0;) {
        g_queue_push_head(&w->todo, g_strdup(names[n]));
    }
}

static int walk_up(Walk *w)
{
    if (w->names->len == 0) {
        return -EXDEV;
    }
    g_ptr_array_set_size(w->names, (int)w->names->len - 1);
    g_ptr_array_set_size(w->dirs, (int)w->dirs->len - 1);
    return 0;
}

static int walk_step(Walk *w, const char *name)
{
    MemoryNode *dir = w->dirs->pdata[w->dirs->len - 1];
    MemoryNode *node;

    if (dir->kind != HOST_DIRECTORY) {
        return -ENOTDIR;
    }
    if (!*name || strcmp(name, ".") == 0) {
        return 0;
    }
    if (strcmp(name, "..") == 0) {
        return walk_up(w);
    }
    node = memory_node_entry(dir, name);
    if (!node) {
        return -ENOENT;
    }
    if (node->kind == HOST_SYMLINK) {
        if (*node->target == '/') {
            return -EXDEV;
        }
        walk_push(w, node->target);
        return ++w->links > MAX_LINKS ? -ELOOP : 0;
    }
    g_ptr_array_add(w->dirs, node);
    g_ptr_array_add(w->names, g_strdup(name));
    return 0;
}

static int memory_resolve(HostFs *fs, const char *path, char **real)
{
    MemoryFs *m = memory_fs(fs);
    Walk w = {
        .dirs = g_ptr_array_new(),
        .names = g_ptr_array_new_with_free_func(g_free),
        .todo = G_QUEUE_INIT,
    };
    char *name;
    int r = 0;

    walk_push(&w, path);
    pthread_mutex_lock(&m->lock);
    g_ptr_array_add(w.dirs, m->live->root);
    while (r == 0 && (name = g_queue_pop_head(&w.todo))) {
        r = walk_step(&w, name);
        g_free(name);
    }
    pthread_mutex_unlock(&m->lock);
    if (r == 0) {
        g_ptr_array_add(w.names, NULL);
        *real = g_strjoinv("/", (char **)w.names->pdata);
    }
    g_queue_clear_full(&w.todo, g_free);
    g_ptr_array_unref(w.names);
    g_ptr_array_unref(w.dirs);
    return r;
}

/* ---- Directories ---- */

typedef struct MemoryDir {
    MemoryNode *node;
    GPtrArray *names; /* as they were when it was opened */
    unsigned next;
} MemoryDir;

static gboolean add_name(gpointer name, gpointer node, gpointer names)
{
    (void)node;
    g_ptr_array_add(names, g_strdup(name));
    return FALSE;
}

static int memory_dir_open(HostFs *fs, const char *path, HostDir **dir)
{
    MemoryFs *m = memory_fs(fs);
    MemoryNode *node;
    int r;

    pthread_mutex_lock(&m->lock);
    r = memory_lookup_plain(m, path, &node);
    if (r == 0 && node->kind != HOST_DIRECTORY) {
        r = -ENOTDIR;
    } else if (r == 0 && !(node->mode & S_IRUSR)) {
        r = -EACCES;
    }
    if (r == 0) {
        MemoryDir *d = g_new0(MemoryDir, 1);

        node->users++;
        d->node = node;
        d->names = g_ptr_array_new_with_free_func(g_free);
        g_tree_foreach(node->entries, add_name, d->names);
        *dir = (HostDir *)d;
    }
    pthread_mutex_unlock(&m->lock);
    return r;
}

static int memory_dir_next(HostFs *fs, HostDir *dir, const char **name)
{
    MemoryDir *d = (MemoryDir *)dir;

    (void)fs;
    if (d->next == d->names->len) {
        return 0;
    }
    *name = d->names->pdata[d->next++];
    return 1;
}

static void memory_dir_close(HostFs *fs, HostDir *dir)
{
    MemoryFs *m = memory_fs(fs);
    MemoryDir *d = (MemoryDir *)dir;

    pthread_mutex_lock(&m->lock);
    d->node->users--;
    memory_drop(m, d->node);
    pthread_mutex_unlock(&m->lock);
    g_ptr_array_unref(d->names);
    g_free(d);
}

static int memory_stat_at(HostFs *fs, HostDir *dir, const char *name,
                          HostStat *st)
{
    MemoryFs *m = memory_fs(fs);
    const MemoryNode *parent = ((MemoryDir *)dir)->node;
    const MemoryNode *node;
    int r = 0;

    pthread_mutex_lock(&m->lock);
    node = memory_node_entry(parent, name);
    if (!(parent->mode & S_IXUSR)) {
        r = -EACCES;
    } else if (!node) {
        r = -ENOENT;
    } else {
        node_stat(node, st);
    }
    pthread_mutex_unlock(&m->lock);
    return r;
}

static int memory_dos_attrib_at(HostFs *fs, HostDir *dir, const char *name,
                                unsigned *attr)
{
    MemoryFs *m = memory_fs(fs);
    const MemoryNode *node;
    int r = -ENOTSUP;

    pthread_mutex_lock(&m->lock);
    if (m->have_xattrs) {
        node = memory_node_entry(((MemoryDir *)dir)->node, name);
        r = node ? memory_node_dos_attrib(node, attr) : -ENOENT;
    }
    pthread_mutex_unlock(&m->lock);
    return r;
}

/* ---- Files ---- */

static int memory_file_open(HostFs *fs, const char *path, HostFile **file,
                            HostStat *st)
{
    MemoryFs *m = memory_fs(fs);
    MemoryNode *node;
    int r;

    pthread_mutex_lock(&m->lock);
    r = memory_lookup_plain(m, path, &node);
    /* Opened first, and found to be no file then. */
    if (r == 0 && !(node->mode & S_IRUSR)) {
        r = -EACCES;
    } else if (r == 0 && node->kind != HOST_FILE) {
        r = -EINVAL;
    }
    if (r == 0) {
        MemoryFile *f = g_new0(MemoryFile, 1);

        node->users++;
        f->node = node;
        *file = (HostFile *)f;
        node_stat(node, st);
    }
    pthread_mutex_unlock(&m->lock);
    return r;
}

static void memory_file_close(HostFs *fs, HostFile *file)
{
    MemoryFs *m = memory_fs(fs);
    MemoryFile *f = (MemoryFile *)file;

    pthread_mutex_lock(&m->lock);
    f->node->users--;
    memory_drop(m, f->node);
    pthread_mutex_unlock(&m->lock);
    g_free(f);
}

static int memory_file_stat(HostFs *fs, HostFile *file, HostStat *st)
{
    MemoryFs *m = memory_fs(fs);

    pthread_mutex_lock(&m->lock);
    node_stat(((MemoryFile *)file)->node, st);
    pthread_mutex_unlock(&m->lock);
    return 0;
}

static ssize_t memory_file_preadv(HostFs *fs, HostFile *file,
                                  const struct iovec *iov, int niov,
                                  int64_t offset)
{
    MemoryFs *m = memory_fs(fs);
    const MemoryNode *node = ((MemoryFile *)file)->node;
    ssize_t done = 0;

    pthread_mutex_lock(&m->lock);
    for (int i = 0; i < niov; i++) {
        int64_t room = MAX(node->data->size - (offset + done), 0);
        size_t n = (size_t)MIN((int64_t)iov[i].iov_len, room);

        memory_data_read(node->data, offset + done, iov[i].iov_base, n);
        done += (ssize_t)n;
    }
    pthread_mutex_unlock(&m->lock);
    return done;
}

static int64_t memory_file_seek(HostFs *fs, HostFile *file, int64_t offset,
                                bool data)
{
    MemoryFs *m = memory_fs(fs);
    int64_t at;

    pthread_mutex_lock(&m->lock);
    at = memory_data_seek(((MemoryFile *)file)->node->data, offset, data);
    pthread_mutex_unlock(&m->lock);
    return at;
}

static int memory_file_fd(HostFs *fs, HostFile *file)
{
    (void)fs;
    (void)file;
    return -ENOTSUP;
}

void memory_read_ops(HostFsOps *ops)
{
    ops->dir_open = memory_dir_open;
    ops->dir_next = memory_dir_next;
    ops->dir_close = memory_dir_close;
    ops->stat_at = memory_stat_at;
    ops->dos_attrib_at = memory_dos_attrib_at;
    ops->stat = memory_stat;
    ops->resolve = memory_resolve;
    ops->file_open = memory_file_open;
    ops->file_close = memory_file_close;
    ops->file_stat = memory_file_stat;
    ops->file_preadv = memory_file_preadv;
    ops->file_seek = memory_file_seek;
    ops->file_fd = memory_file_fd;
}
