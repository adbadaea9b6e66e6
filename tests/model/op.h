/* SPDX-License-Identifier: MIT */
/*
 * An operation, as a line of text: what it does follows from it alone, and
 * from whether it is possible where it comes. So any subset of a list of
 * operations is a list of operations, which is what shrinking needs.
 */
#ifndef TESTS_MODEL_OP_H
#define TESTS_MODEL_OP_H

#include <glib.h>
#include <stdint.h>

typedef enum OpKind {
    /* Of the guest's file system. */
    OP_CREATE,   /* path: a file of a bytes */
    OP_WRITE,    /* path: b bytes at a, which may be behind the end */
    OP_RESIZE,   /* path: to a bytes */
    OP_DELETE,   /* path: a file */
    OP_MOVE,     /* path, file or directory, to path2; over what is there */
    OP_MKDIR,    /* path */
    OP_RMDIR,    /* path: an empty one */
    OP_DELTREE,  /* path */
    OP_ATTR,     /* path: to a */
    OP_TIMES,    /* path: to a seconds since 1980 */
    OP_EXCHANGE, /* path and path2 */
    OP_RECREATE, /* path: another file of a bytes, in the same slots */
    OP_DEFRAG,   /* path: file or directory, to other clusters */
    OP_SAME,     /* path: written again as it is */
    OP_FILL,     /* path: a new small files in a directory */
    OP_LABEL,    /* path: the label; empty: none */
    OP_DIRTY,    /* a: whether the volume is marked as in use */
    /* Of its page cache. */
    OP_WRITEOUT, /* all that is dirty; order a, style b */
    OP_WRITESOME,
    OP_FLUSH,
    OP_TRIM,   /* discard some free clusters */
    OP_REOPEN, /* power off and on */
    /* With garbage. */
    OP_DAMAGE, /* garbage of kind a, flush, and see what has become of it */
    OP_REPAIR, /* all that was damaged is written again */
    OP_PLANT, /* path: a link on the host to a directory (a) outside or file */
    OP_UNPLANT, /* path and all that begins so: off the host */
    N_OPS,
} OpKind;

typedef struct Op {
    OpKind kind;
    uint64_t seed; /* of its data and of how it does what it does */
    uint32_t a, b;
    char *path;  /* never NULL */
    char *path2; /* never NULL */
} Op;

Op *op_new(OpKind kind, uint64_t seed, uint32_t a, uint32_t b,
           const char *path, const char *path2);
void op_free(Op *op);

char *op_to_line(const Op *op);     /* ends in a newline */
Op *op_from_line(const char *line); /* NULL: it is none */
/* A line for people. */
char *op_describe(const Op *op);
/* Number of a name; N_OPS: no such operation. */
OpKind op_kind_named(const char *name);

/* A file of lines. */
GPtrArray *ops_load(const char *path);
void ops_save(const GPtrArray *ops, const char *path);

#endif
