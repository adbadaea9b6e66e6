/* SPDX-License-Identifier: MIT */
/* The host file system in memory: attributes. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "block/vvfat/hostfs-dos-attrib.h"
#include "tests/unit/memory-hostfs-int.h"

#define NS INT64_C(1000000000)
#define DOS_ATTRIB "user.DOSATTRIB"

static int change_time(MemoryFs *m, const MemoryNode *node, int64_t mtime,
                       uint32_t mtime_ns)
{
    int64_t time;
    MemoryOp *op;

    if (mtime_ns >= NS || __builtin_mul_overflow(mtime, NS, &time) ||
        __builtin_add_overflow(time, (int64_t)mtime_ns, &time)) {
        return -EINVAL;
    }
    op = memory_op_new(MEMORY_TIME, node, memory_tick(m));
    op->mtime = time;
    memory_commit(m, op);
    return 0;
}

static int memory_set_times(HostFs *fs, const char *path, int64_t mtime,
                            uint32_t mtime_ns)
{
    MemoryFs *m = memory_fs(fs);
    MemoryNode *node;
    int r;

    pthread_mutex_lock(&m->lock);
    r = memory_lookup_plain(m, path, &node);
    r = r < 0 ? r : change_time(m, node, mtime, mtime_ns);
    pthread_mutex_unlock(&m->lock);
    return r;
}

static int memory_file_set_times(HostFs *fs, HostFile *file, int64_t mtime,
                                 uint32_t mtime_ns)
{
    MemoryFs *m = memory_fs(fs);
    int r;

    pthread_mutex_lock(&m->lock);
    r = change_time(m, ((MemoryFile *)file)->node, mtime, mtime_ns);
    pthread_mutex_unlock(&m->lock);
    return r;
}

static void change_mode(MemoryFs *m, const MemoryNode *node, unsigned mode)
{
    if (mode != node->mode) {
        MemoryOp *op = memory_op_new(MEMORY_MODE, node, memory_tick(m));

        op->mode = mode;
        memory_commit(m, op);
    }
}

static int memory_set_mode(HostFs *fs, const char *path, unsigned mode)
{
    MemoryFs *m = memory_fs(fs);
    MemoryNode *node;
    int r;

    pthread_mutex_lock(&m->lock);
    r = memory_lookup_plain(m, path, &node);
    if (r == 0) {
        change_mode(m, node, mode & 07777);
    }
    pthread_mutex_unlock(&m->lock);
    return r;
}

static int memory_set_read_only(HostFs *fs, const char *path, bool read_only)
{
    MemoryFs *m = memory_fs(fs);
    unsigned writers = S_IWUSR | S_IWGRP | S_IWOTH;
    MemoryNode *node;
    int r;

    pthread_mutex_lock(&m->lock);
    r = memory_lookup_plain(m, path, &node);
    if (r == 0 && read_only) {
        change_mode(m, node, node->mode & ~writers);
    } else if (r == 0 && !(node->mode & writers)) {
        change_mode(m, node, node->mode | S_IWUSR);
    }
    pthread_mutex_unlock(&m->lock);
    return r;
}

/* ---- Extended attributes ---- */

/* Takes `value`; NULL takes the attribute away. */
static void change_xattr(MemoryFs *m, const MemoryNode *node, const char *name,
                         GBytes *value)
{
    const GBytes *old = memory_node_xattr(node, name);
    MemoryOp *op;

    if (old && value && g_bytes_equal(old, value)) {
        g_bytes_unref(value);
        return;
    }
    op = memory_op_new(MEMORY_XATTR, node, memory_tick(m));
    op->name = g_strdup(name);
    op->bytes = value;
    memory_commit(m, op);
}

/* A node whose extended attributes may be read. */
static int lookup_xattrs(MemoryFs *m, const char *path, MemoryNode **node)
{
    int r = memory_lookup_plain(m, path, node);

    if (r < 0) {
        return r;
    }
    if (!m->have_xattrs) {
        return -ENOTSUP;
    }
    return (*node)->mode & S_IRUSR ? 0 : -EACCES;
}

int memory_node_dos_attrib(const MemoryNode *node, unsigned *attr)
{
    GBytes *value = memory_node_xattr(node, DOS_ATTRIB);
    gsize bytes = 0;
    const uint8_t *data = value ? g_bytes_get_data(value, &bytes) : NULL;

    return data ? dos_attrib_parse(data, bytes, attr) : -ENODATA;
}

static int memory_get_dos_attrib(HostFs *fs, const char *path, unsigned *attr)
{
    MemoryFs *m = memory_fs(fs);
    MemoryNode *node;
    int r;

    pthread_mutex_lock(&m->lock);
    r = lookup_xattrs(m, path, &node);
    if (r == 0) {
        r = memory_node_dos_attrib(node, attr);
    }
    pthread_mutex_unlock(&m->lock);
    return r;
}

static int memory_set_dos_attrib(HostFs *fs, const char *path, unsigned attr)
{
    MemoryFs *m = memory_fs(fs);
    MemoryNode *node;
    int r;

    pthread_mutex_lock(&m->lock);
    r = lookup_xattrs(m, path, &node);
    if (r == 0) {
        GBytes *old = memory_node_xattr(node, DOS_ATTRIB);
        gsize bytes = 0;
        const uint8_t *data = old ? g_bytes_get_data(old, &bytes) : NULL;
        g_autoptr(GBytes) value =
            g_byte_array_free_to_bytes(dos_attrib_change(data, bytes, attr));

        if (node->mode & S_IWUSR) {
            change_xattr(m, node, DOS_ATTRIB, g_bytes_ref(value));
        } else if (!old || !g_bytes_equal(old, value)) {
            r = -EACCES;
        }
    }
    pthread_mutex_unlock(&m->lock);
    return r;
}

static void copy_xattrs(MemoryFs *m, const MemoryNode *from,
                        const MemoryNode *to)
{
    GHashTableIter iter;
    gpointer name, value;

    if (from->xattrs) {
        g_hash_table_iter_init(&iter, from->xattrs);
        while (g_hash_table_iter_next(&iter, &name, &value)) {
            change_xattr(m, to, name, g_bytes_ref(value));
        }
    }
    if (to->xattrs) {
        g_autoptr(GList) names = g_hash_table_get_keys(to->xattrs);

        for (GList *link = names; link; link = link->next) {
            if (!memory_node_xattr(from, link->data)) {
                change_xattr(m, to, link->data, NULL);
            }
        }
    }
}

static int memory_copy_metadata(HostFs *fs, const char *from, const char *to,
                                char **left_behind)
{
    MemoryFs *m = memory_fs(fs);
    MemoryNode *in, *out;
    int r;

    *left_behind = NULL;
    pthread_mutex_lock(&m->lock);
    r = memory_lookup_plain(m, from, &in);
    r = r < 0 ? r : memory_lookup_plain(m, to, &out);
    if (r == 0 && in != out) {
        copy_xattrs(m, in, out);
        change_mode(m, out, in->mode);
    }
    pthread_mutex_unlock(&m->lock);
    return r;
}

void memory_attr_ops(HostFsOps *ops)
{
    ops->set_times = memory_set_times;
    ops->file_set_times = memory_file_set_times;
    ops->set_mode = memory_set_mode;
    ops->set_read_only = memory_set_read_only;
    ops->get_dos_attrib = memory_get_dos_attrib;
    ops->set_dos_attrib = memory_set_dos_attrib;
    ops->copy_metadata = memory_copy_metadata;
}
