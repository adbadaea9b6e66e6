/* SPDX-License-Identifier: MIT */
/*
 * A file system in memory as it is at one moment: nodes by inode number, and a
 * root. Names lead to nodes; a node without a name stays until it is swept.
 *
 * Whatever changes an image is a MemoryOp, which can be kept and applied to
 * another image of the same file system: to the one on the disk, when it is
 * synced, or after a power cut, when it happened to get there. So an op refers
 * to nodes by number, and what it finds there may not be what it was made for.
 */
#ifndef TESTS_MEMORY_IMAGE_H
#define TESTS_MEMORY_IMAGE_H

#include "block/vvfat/hostfs.h"
#include "tests/unit/memory-data.h"

#define MEMORY_ROOT_INO 2

typedef struct MemoryNode MemoryNode;
struct MemoryNode {
    uint64_t ino;
    uint64_t dev; /* that of its directory, unless it is mounted there */
    HostKind kind;
    bool born;     /* an op that gives it a name is in this image */
    bool mode_set; /* after it was made */
    unsigned mode;
    unsigned nlink;       /* names; of a directory, 0 or 1 */
    unsigned users;       /* open files and directories, of the live image */
    int64_t mtime, ctime; /* nanoseconds since 1970 */
    GHashTable *xattrs;   /* name -> GBytes; NULL: none */
    MemoryData *data;     /* of a file */
    char *target;         /* of a link */
    GTree *entries;       /* of a directory: name -> MemoryNode, sorted */
    MemoryNode *parent;   /* of a directory that has a name */
};

typedef struct MemoryImage {
    GHashTable *nodes; /* inode number -> MemoryNode */
    MemoryNode *root;
} MemoryImage;

typedef enum MemoryOpKind {
    MEMORY_ENTRIES, /* names come, go or change, all at once */
    MEMORY_DATA,
    MEMORY_SIZE,
    MEMORY_ALLOCATE,
    MEMORY_MODE,
    MEMORY_TIME,
    MEMORY_XATTR,
} MemoryOpKind;

/* What a name leads to from now on. */
typedef struct MemoryEntry {
    uint64_t dir, dev; /* dev: the directory's */
    char *name;
    uint64_t was, now; /* 0: nothing */
    HostKind kind;     /* of `now`, should it not be there yet, */
    unsigned mode;     /* since the op that made it may be lost */
    char *target;
} MemoryEntry;

typedef struct MemoryOp {
    MemoryOpKind kind;
    int64_t when; /* the new times of what changed */

    /* MEMORY_ENTRIES */
    MemoryEntry entries[2];
    unsigned n_entries;
    uint64_t other_dir; /* one that is made, removed or replaced; 0 */

    /* The others: what they change. */
    uint64_t ino;
    HostKind node_kind;
    unsigned mode;  /* MEMORY_MODE */
    int64_t offset; /* MEMORY_DATA, MEMORY_ALLOCATE */
    int64_t size;   /* MEMORY_SIZE: of the file; MEMORY_ALLOCATE: bytes */
    int64_t mtime;  /* MEMORY_TIME */
    char *name;     /* MEMORY_XATTR */
    GBytes *bytes;  /* MEMORY_DATA, MEMORY_XATTR (NULL: it goes) */
} MemoryOp;

/* Each is counted; all owners together free it. */
MemoryOp *memory_op_new(MemoryOpKind kind, const MemoryNode *node,
                        int64_t when);
/* `now` may be a mere description of what is made: number, kind, mode and
 * target. */
void memory_op_entry(MemoryOp *op, const MemoryNode *dir, const char *name,
                     const MemoryNode *was, const MemoryNode *now);
MemoryOp *memory_op_ref(MemoryOp *op);
void memory_op_unref(gpointer op);

MemoryImage *memory_image_new(unsigned mode, int64_t when);
MemoryImage *memory_image_copy(const MemoryImage *image);
void memory_image_free(MemoryImage *image);

MemoryNode *memory_image_find(const MemoryImage *image, uint64_t ino);
MemoryNode *memory_node_entry(const MemoryNode *dir, const char *name);
bool memory_node_is_below(const MemoryNode *node, const MemoryNode *dir);
/* As HostFsOps.get_dos_attrib(). */
int memory_node_dos_attrib(const MemoryNode *node, unsigned *attr);

GBytes *memory_node_xattr(const MemoryNode *node, const char *name);

/* All of an op. */
void memory_image_apply(MemoryImage *image, const MemoryOp *op);
/* Of a MEMORY_DATA, bytes from `from` to `to` of it, as far as the file goes.
 * Times stay. */
void memory_image_apply_data(MemoryImage *image, const MemoryOp *op,
                             size_t from, size_t to);
/* The op, but for the times that come with it. */
void memory_image_apply_bare(MemoryImage *image, const MemoryOp *op);

/* Drop nodes that no name from the root leads to. */
void memory_image_sweep(MemoryImage *image);
/* Drop a node that has neither a name nor a user. */
void memory_image_drop(MemoryImage *image, MemoryNode *node);

#endif
