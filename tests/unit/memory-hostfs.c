/* SPDX-License-Identifier: MIT */
#include "tests/unit/memory-hostfs.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/unit/memory-hostfs-int.h"

#define NS INT64_C(1000000000)
#define TICK 1000 /* nanoseconds */
#define DIRECTORY_BYTES MEMORY_PAGE

/* ---- Finding ---- */

/* One step of a path from a directory. */
int memory_lookup_at(const MemoryNode *dir, const char *name,
                     MemoryNode **node)
{
    if (dir->kind != HOST_DIRECTORY) {
        return dir->kind == HOST_SYMLINK ? -ELOOP : -ENOTDIR;
    }
    if (!*name || strcmp(name, ".") == 0) {
        return -EINVAL;
    }
    if (strcmp(name, "..") == 0) {
        return -EXDEV;
    }
    if (strlen(name) > NAME_MAX) {
        return -ENAMETOOLONG;
    }
    if (!(dir->mode & S_IXUSR)) {
        return -EACCES;
    }
    *node = memory_node_entry(dir, name);
    return *node ? 0 : -ENOENT;
}

static int walk(MemoryFs *m, char **names, MemoryNode **node)
{
    int r = 0;

    *node = m->live->root;
    for (; r == 0 && *names; names++) {
        r = memory_lookup_at(*node, *names, node);
    }
    return r;
}

int memory_lookup(MemoryFs *m, const char *path, MemoryNode **node)
{
    g_auto(GStrv) names = *path ? g_strsplit(path, "/", -1)
                                : g_new0(char *, 1);

    return walk(m, names, node);
}

int memory_lookup_parent(MemoryFs *m, const char *path, MemoryNode **dir,
                         const char **name)
{
    const char *slash = strrchr(path, '/');
    g_autofree char *parent = slash ? g_strndup(path, (size_t)(slash - path))
                                    : g_strdup("");
    int r;

    *name = slash ? slash + 1 : path;
    if (*path == '/' || !**name || strcmp(*name, ".") == 0 ||
        strcmp(*name, "..") == 0) {
        return -EINVAL;
    }
    r = memory_lookup(m, parent, dir);
    if (r == 0 && (*dir)->kind != HOST_DIRECTORY) {
        r = (*dir)->kind == HOST_SYMLINK ? -ELOOP : -ENOTDIR;
    }
    return r;
}

int memory_lookup_plain(MemoryFs *m, const char *path, MemoryNode **node)
{
    int r = memory_lookup(m, path, node);

    return r < 0 || (*node)->kind != HOST_SYMLINK ? r : -ELOOP;
}

/* ---- Changing ---- */

int64_t memory_tick(MemoryFs *m)
{
    m->now += TICK;
    return m->now;
}

static uint64_t node_bytes(const MemoryImage *image, uint64_t ino)
{
    const MemoryNode *node = memory_image_find(image, ino);

    if (!node || node->kind == HOST_DIRECTORY) {
        return node ? DIRECTORY_BYTES : 0;
    }
    return node->data ? memory_data_allocated(node->data) : 0;
}

/* Bytes that what an op changes takes. */
static uint64_t op_bytes(const MemoryFs *m, const MemoryOp *op)
{
    uint64_t sum = node_bytes(m->live, op->ino);

    for (unsigned i = 0; i < op->n_entries; i++) {
        if (op->entries[i].kind == HOST_DIRECTORY) {
            sum += node_bytes(m->live, op->entries[i].now);
        }
    }
    return sum;
}

void memory_commit(MemoryFs *m, MemoryOp *op)
{
    m->used -= op_bytes(m, op);
    memory_image_apply(m->live, op);
    m->used += op_bytes(m, op);
    g_ptr_array_add(m->pending, op);
}

int memory_need(const MemoryFs *m, uint64_t bytes)
{
    bool fits = m->used <= m->capacity && bytes <= m->capacity - m->used;

    return bytes == 0 || fits ? 0 : -ENOSPC;
}

void memory_drop(MemoryFs *m, MemoryNode *node)
{
    if (node->nlink == 0 && node->users == 0) {
        m->used -= node_bytes(m->live, node->ino);
        memory_image_drop(m->live, node);
    }
}

/* ---- Making, freeing ---- */

static void memory_destroy(HostFs *fs)
{
    MemoryFs *m = memory_fs(fs);

    memory_image_free(m->live);
    memory_image_free(m->durable);
    g_ptr_array_unref(m->pending);
    pthread_mutex_destroy(&m->lock);
    g_free(m);
}

static HostFsOps memory_ops;
static pthread_once_t memory_ops_once = PTHREAD_ONCE_INIT;

static void memory_ops_init(void)
{
    memory_ops.destroy = memory_destroy;
    memory_read_ops(&memory_ops);
    memory_write_ops(&memory_ops);
    memory_data_ops(&memory_ops);
    memory_attr_ops(&memory_ops);
}

/* Takes the images. */
static MemoryFs *fs_new(MemoryImage *live, MemoryImage *durable)
{
    MemoryFs *m = g_new0(MemoryFs, 1);

    pthread_once(&memory_ops_once, memory_ops_init);
    m->fs.ops = &memory_ops;
    m->fs.opaque = m;
    pthread_mutex_init(&m->lock, NULL);
    m->live = live;
    m->durable = durable;
    m->pending = g_ptr_array_new_with_free_func(memory_op_unref);
    return m;
}

HostFs *memory_hostfs_new(void)
{
    int64_t now = 1600000000 * NS;
    MemoryImage *image = memory_image_new(0755, now);
    MemoryFs *m = fs_new(image, memory_image_copy(image));

    m->last_ino = MEMORY_ROOT_INO;
    m->capacity = UINT64_C(1) << 40;
    m->used = DIRECTORY_BYTES;
    m->now = now;
    m->umask = 022;
    m->ordered = true;
    m->have_xattrs = true;
    return &m->fs;
}

static uint64_t image_bytes(const MemoryImage *image)
{
    GHashTableIter iter;
    gpointer value;
    uint64_t sum = 0;

    g_hash_table_iter_init(&iter, image->nodes);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        sum += node_bytes(image, ((MemoryNode *)value)->ino);
    }
    return sum;
}

/* A file system with what another one has beside its images. */
static MemoryFs *fs_like(const MemoryFs *m, MemoryImage *live,
                         MemoryImage *durable)
{
    MemoryFs *other = fs_new(live, durable);

    memory_image_sweep(live);
    other->used = image_bytes(live);
    other->last_ino = m->last_ino;
    other->capacity = m->capacity;
    other->now = m->now;
    other->umask = m->umask;
    other->ordered = m->ordered;
    other->have_xattrs = m->have_xattrs;
    other->locked = m->locked;
    return other;
}

HostFs *memory_hostfs_kill(HostFs *fs)
{
    MemoryFs *m = memory_fs(fs);
    MemoryFs *other;

    pthread_mutex_lock(&m->lock);
    other = fs_like(m, memory_image_copy(m->live),
                    memory_image_copy(m->durable));
    for (unsigned i = 0; i < m->pending->len; i++) {
        g_ptr_array_add(other->pending, memory_op_ref(m->pending->pdata[i]));
    }
    pthread_mutex_unlock(&m->lock);
    return &other->fs;
}

HostFs *memory_hostfs_crash(HostFs *fs, uint32_t seed)
{
    MemoryFs *m = memory_fs(fs);
    MemoryImage *image;
    MemoryFs *other;

    pthread_mutex_lock(&m->lock);
    image = memory_image_copy(m->durable);
    memory_crash_apply(m, image, seed);
    memory_image_sweep(image);
    other = fs_like(m, image, memory_image_copy(image));
    pthread_mutex_unlock(&m->lock);
    return &other->fs;
}

/* ---- Settings ---- */

unsigned memory_hostfs_pending(HostFs *fs)
{
    MemoryFs *m = memory_fs(fs);
    unsigned n;

    pthread_mutex_lock(&m->lock);
    n = m->pending->len;
    pthread_mutex_unlock(&m->lock);
    return n;
}

void memory_hostfs_mount(HostFs *fs, const char *path)
{
    MemoryFs *m = memory_fs(fs);
    MemoryNode *node;

    pthread_mutex_lock(&m->lock);
    if (memory_lookup_plain(m, path, &node) == 0) {
        memory_sync_all(m);
        node->dev++;
        memory_image_find(m->durable, node->ino)->dev = node->dev;
    }
    pthread_mutex_unlock(&m->lock);
}

bool memory_hostfs_sync_is_to_fail(HostFs *fs)
{
    MemoryFs *m = memory_fs(fs);
    bool is_to_fail;

    pthread_mutex_lock(&m->lock);
    is_to_fail = m->fail_in > 0;
    pthread_mutex_unlock(&m->lock);
    return is_to_fail;
}

void memory_hostfs_fail_sync(HostFs *fs, unsigned n)
{
    MemoryFs *m = memory_fs(fs);

    pthread_mutex_lock(&m->lock);
    m->fail_in = n;
    pthread_mutex_unlock(&m->lock);
}

#define SETTER(name, type, field, value)                                      \
    void memory_hostfs_set_##name(HostFs *fs, type name)                      \
    {                                                                         \
        MemoryFs *m = memory_fs(fs);                                          \
                                                                              \
        pthread_mutex_lock(&m->lock);                                         \
        m->field = (value);                                                   \
        pthread_mutex_unlock(&m->lock);                                       \
    }

SETTER(ordered, bool, ordered, ordered)
SETTER(capacity, uint64_t, capacity, capacity)
SETTER(locked, bool, locked, locked)
SETTER(xattrs, bool, have_xattrs, xattrs)
SETTER(umask, unsigned, umask, umask)
SETTER(time, int64_t, now, time *NS)
