/* SPDX-License-Identifier: MIT */
/* What the parts of the host file system in memory share. */
#ifndef TESTS_MEMORY_HOSTFS_INT_H
#define TESTS_MEMORY_HOSTFS_INT_H

#include <pthread.h>

#include "tests/unit/memory-hostfs.h"
#include "tests/unit/memory-image.h"

/* One lock guards everything; every function of the table takes it. */
typedef struct MemoryFs {
    HostFs fs;
    pthread_mutex_t lock;
    MemoryImage *live, *durable;
    GPtrArray *pending; /* MemoryOp, that durable does not have, in order */
    uint64_t last_ino;
    uint64_t capacity, used; /* bytes */
    int64_t now;             /* nanoseconds since 1970 */
    unsigned umask;
    bool ordered, have_xattrs;
    bool locked;      /* by another one */
    unsigned fail_in; /* syncs until one fails; 0: none does */
} MemoryFs;

/* An open file; HostFile to others. */
typedef struct MemoryFile {
    MemoryNode *node;
    bool writable;
} MemoryFile;

static inline MemoryFs *memory_fs(HostFs *fs)
{
    return fs->opaque;
}

/* ---- memory-hostfs.c; under the lock ---- */

/* The node of a path. Links are not followed; where the last component is one,
 * *node is the link. */
int memory_lookup(MemoryFs *m, const char *path, MemoryNode **node);
/* A name in a directory. */
int memory_lookup_at(const MemoryNode *dir, const char *name,
                     MemoryNode **node);
/* The directory that has, or is to have, the last component, and that. */
int memory_lookup_parent(MemoryFs *m, const char *path, MemoryNode **dir,
                         const char **name);
/* A file or directory, for changing its attributes. */
int memory_lookup_plain(MemoryFs *m, const char *path, MemoryNode **node);

/* A moment that was not before. */
int64_t memory_tick(MemoryFs *m);
/* Do it, and keep it as pending. Takes the op. */
void memory_commit(MemoryFs *m, MemoryOp *op);
/* -ENOSPC when there is no room for so many bytes more. */
int memory_need(const MemoryFs *m, uint64_t bytes);
/* A node lost a name or a user. */
void memory_drop(MemoryFs *m, MemoryNode *node);

/* ---- memory-crash.c; under the lock ---- */

/* Bring to the disk what is pending: of one node's contents and attributes,
 * of the names in a directory, of everything, of the root's device. */
void memory_sync_node(MemoryFs *m, uint64_t ino);
void memory_sync_names(MemoryFs *m, uint64_t dir);
void memory_sync_all(MemoryFs *m);
void memory_sync_device(MemoryFs *m);

/* Forget what is pending of one node's data; 0: of all data. */
void memory_lose_data(MemoryFs *m, uint64_t ino);

/* Apply what of the pending ops gets to the disk in a power cut. */
void memory_crash_apply(const MemoryFs *m, MemoryImage *image, uint32_t seed);

/* ---- The parts of the table ---- */

void memory_read_ops(HostFsOps *ops);
void memory_write_ops(HostFsOps *ops);
void memory_data_ops(HostFsOps *ops);
void memory_attr_ops(HostFsOps *ops);

#endif
