/* SPDX-License-Identifier: MIT */
#include "tests/unit/memory-image.h"

typedef struct CountedOp {
    MemoryOp op;
    gint refs;
} CountedOp;

MemoryOp *memory_op_new(MemoryOpKind kind, const MemoryNode *node,
                        int64_t when)
{
    CountedOp *counted = g_new0(CountedOp, 1);

    counted->refs = 1;
    counted->op.kind = kind;
    counted->op.when = when;
    if (node) {
        counted->op.ino = node->ino;
        counted->op.node_kind = node->kind;
    }
    return &counted->op;
}

void memory_op_entry(MemoryOp *op, const MemoryNode *dir, const char *name,
                     const MemoryNode *was, const MemoryNode *now)
{
    MemoryEntry *e = &op->entries[op->n_entries++];

    e->dir = dir->ino;
    e->dev = dir->dev;
    e->name = g_strdup(name);
    e->was = was ? was->ino : 0;
    if (now) {
        e->now = now->ino;
        e->kind = now->kind;
        e->mode = now->mode;
        e->target = g_strdup(now->target);
    }
}

MemoryOp *memory_op_ref(MemoryOp *op)
{
    g_atomic_int_inc(&((CountedOp *)op)->refs);
    return op;
}

void memory_op_unref(gpointer opaque)
{
    CountedOp *counted = opaque;

    if (!g_atomic_int_dec_and_test(&counted->refs)) {
        return;
    }
    for (unsigned i = 0; i < counted->op.n_entries; i++) {
        g_free(counted->op.entries[i].name);
        g_free(counted->op.entries[i].target);
    }
    g_free(counted->op.name);
    g_clear_pointer(&counted->op.bytes, g_bytes_unref);
    g_free(counted);
}
