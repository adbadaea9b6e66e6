/* SPDX-License-Identifier: MIT */
/* The host file system in memory: changing the contents of files. */
#include <errno.h>

#include "tests/unit/memory-hostfs-int.h"

#define COPY_PIECE (INT64_C(1) << 20)

static int memory_file_open_rw(HostFs *fs, const char *path, HostFile **file,
                               HostStat *st)
{
    MemoryFs *m = memory_fs(fs);
    int r = fs->ops->stat(fs, path, st);

    if (r == 0 && st->kind == HOST_DIRECTORY) {
        return -EINVAL; /* whatever its permissions */
    }
    r = r < 0 ? r : fs->ops->file_open(fs, path, file, st);
    if (r == 0 && !st->writable) {
        fs->ops->file_close(fs, *file);
        return -EACCES;
    }
    if (r == 0) {
        pthread_mutex_lock(&m->lock);
        ((MemoryFile *)*file)->writable = true;
        pthread_mutex_unlock(&m->lock);
    }
    return r;
}

static void resize(MemoryFs *m, MemoryNode *node, int64_t size)
{
    MemoryOp *op = memory_op_new(MEMORY_SIZE, node, memory_tick(m));

    op->size = size;
    memory_commit(m, op);
}

/* Takes `bytes`. Growing is one thing that may be lost, the data another. */
static int write_bytes(MemoryFs *m, MemoryNode *node, int64_t offset,
                       GBytes *bytes)
{
    int64_t n = (int64_t)g_bytes_get_size(bytes);
    int r = memory_need(m, memory_data_missing(node->data, offset, n));
    MemoryOp *op;

    if (r < 0) {
        g_bytes_unref(bytes);
        return r;
    }
    if (offset + n > node->data->size) {
        resize(m, node, offset + n);
    }
    op = memory_op_new(MEMORY_DATA, node, memory_tick(m));
    op->offset = offset;
    op->bytes = bytes;
    memory_commit(m, op);
    return 0;
}

static ssize_t memory_file_pwritev(HostFs *fs, HostFile *file,
                                   const struct iovec *iov, int niov,
                                   int64_t offset)
{
    MemoryFs *m = memory_fs(fs);
    MemoryFile *f = (MemoryFile *)file;
    GByteArray *data = g_byte_array_new();
    ssize_t n;
    int r;

    for (int i = 0; i < niov; i++) {
        if (iov[i].iov_len > 0) {
            g_byte_array_append(data, iov[i].iov_base, (guint)iov[i].iov_len);
        }
    }
    n = (ssize_t)data->len;
    if (n == 0 || !f->writable) {
        g_byte_array_unref(data);
        return f->writable ? 0 : -EBADF;
    }
    pthread_mutex_lock(&m->lock);
    r = write_bytes(m, f->node, offset, g_byte_array_free_to_bytes(data));
    pthread_mutex_unlock(&m->lock);
    return r < 0 ? r : n;
}

static int memory_file_truncate(HostFs *fs, HostFile *file, int64_t size)
{
    MemoryFs *m = memory_fs(fs);
    MemoryFile *f = (MemoryFile *)file;

    if (size < 0 || !f->writable) {
        return -EINVAL;
    }
    pthread_mutex_lock(&m->lock);
    resize(m, f->node, size);
    pthread_mutex_unlock(&m->lock);
    return 0;
}

static int memory_file_allocate(HostFs *fs, HostFile *file, int64_t offset,
                                int64_t bytes)
{
    MemoryFs *m = memory_fs(fs);
    MemoryFile *f = (MemoryFile *)file;
    int r;

    if (bytes == 0 || !f->writable) {
        return f->writable ? 0 : -EBADF;
    }
    pthread_mutex_lock(&m->lock);
    r = memory_need(m, memory_data_missing(f->node->data, offset, bytes));
    if (r == 0) {
        MemoryOp *op = memory_op_new(MEMORY_ALLOCATE, f->node, memory_tick(m));

        op->offset = offset;
        op->size = bytes;
        memory_commit(m, op);
    }
    pthread_mutex_unlock(&m->lock);
    return r;
}

static int copy_piece(MemoryFs *m, const MemoryNode *in, int64_t in_offset,
                      MemoryNode *out, int64_t out_offset, int64_t bytes)
{
    uint8_t *data;

    if (in->data->size - in_offset < bytes) {
        return -ENODATA;
    }
    data = g_malloc((size_t)bytes);
    memory_data_read(in->data, in_offset, data, (size_t)bytes);
    return write_bytes(m, out, out_offset,
                       g_bytes_new_take(data, (size_t)bytes));
}

static int memory_file_copy(HostFs *fs, HostFile *in, int64_t in_offset,
                            HostFile *out, int64_t out_offset, int64_t bytes)
{
    MemoryFs *m = memory_fs(fs);
    const MemoryNode *from = ((MemoryFile *)in)->node;
    MemoryNode *to = ((MemoryFile *)out)->node;
    int r = 0;

    if (from == to || !((MemoryFile *)out)->writable) {
        return -ENOTSUP;
    }
    pthread_mutex_lock(&m->lock);
    for (int64_t at = 0; r == 0 && at < bytes; at += COPY_PIECE) {
        r = copy_piece(m, from, in_offset + at, to, out_offset + at,
                       MIN(bytes - at, COPY_PIECE));
    }
    pthread_mutex_unlock(&m->lock);
    return r;
}

void memory_data_ops(HostFsOps *ops)
{
    ops->file_open_rw = memory_file_open_rw;
    ops->file_pwritev = memory_file_pwritev;
    ops->file_truncate = memory_file_truncate;
    ops->file_allocate = memory_file_allocate;
    ops->file_copy = memory_file_copy;
}
