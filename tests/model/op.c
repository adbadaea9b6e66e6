/* SPDX-License-Identifier: MIT */
#include "tests/model/op.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tests/model/disk.h"

#define N_FIELDS 6

static const char *const kind_names[N_OPS] = {
    [OP_CREATE] = "create",       [OP_WRITE] = "write",
    [OP_RESIZE] = "resize",       [OP_DELETE] = "delete",
    [OP_MOVE] = "move",           [OP_MKDIR] = "mkdir",
    [OP_RMDIR] = "rmdir",         [OP_DELTREE] = "deltree",
    [OP_ATTR] = "attr",           [OP_TIMES] = "times",
    [OP_EXCHANGE] = "exchange",   [OP_RECREATE] = "recreate",
    [OP_DEFRAG] = "defrag",       [OP_SAME] = "same",
    [OP_FILL] = "fill",           [OP_LABEL] = "label",
    [OP_DIRTY] = "dirty",         [OP_WRITEOUT] = "writeout",
    [OP_WRITESOME] = "writesome", [OP_FLUSH] = "flush",
    [OP_TRIM] = "trim",           [OP_REOPEN] = "reopen",
    [OP_DAMAGE] = "damage",       [OP_REPAIR] = "repair",
    [OP_PLANT] = "plant",         [OP_UNPLANT] = "unplant",
};

Op *op_new(OpKind kind, uint64_t seed, uint32_t a, uint32_t b,
           const char *path, const char *path2)
{
    Op *op = g_new0(Op, 1);

    *op = (Op){ .kind = kind, .seed = seed, .a = a, .b = b };
    op->path = g_strdup(path ? path : "");
    op->path2 = g_strdup(path2 ? path2 : "");
    return op;
}

void op_free(Op *op)
{
    g_free(op->path);
    g_free(op->path2);
    g_free(op);
}

OpKind op_kind_named(const char *name)
{
    OpKind kind = 0;

    while (kind < N_OPS && strcmp(kind_names[kind], name) != 0) {
        kind++;
    }
    return kind;
}

char *op_to_line(const Op *op)
{
    return g_strdup_printf(
        "%s\t%" PRIu64 "\t%" PRIu32 "\t%" PRIu32 "\t%s\t%s\n",
        kind_names[op->kind], op->seed, op->a, op->b, op->path, op->path2);
}

Op *op_from_line(const char *line)
{
    g_auto(GStrv) fields = g_strsplit(line, "\t", -1);
    OpKind kind;

    if (g_strv_length(fields) != N_FIELDS) {
        return NULL;
    }
    kind = op_kind_named(fields[0]);
    return kind == N_OPS ? NULL
                         : op_new(kind, strtoull(fields[1], NULL, 10),
                                  (uint32_t)strtoul(fields[2], NULL, 10),
                                  (uint32_t)strtoul(fields[3], NULL, 10),
                                  fields[4], fields[5]);
}

char *op_describe(const Op *op)
{
    g_autofree char *order = NULL;

    if (op->kind == OP_WRITEOUT || op->kind == OP_WRITESOME) {
        order = disk_order_name(op->a, op->b);
        return g_strdup_printf("%s (%s)", kind_names[op->kind], order);
    }
    return g_strdup_printf("%s %s%s%s %" PRIu32 " %" PRIu32,
                           kind_names[op->kind], op->path,
                           *op->path2 ? " -> " : "", op->path2, op->a, op->b);
}

GPtrArray *ops_load(const char *path)
{
    GPtrArray *ops = g_ptr_array_new_with_free_func((GDestroyNotify)op_free);
    g_autofree char *text = NULL;
    g_auto(GStrv) lines = NULL;

    if (!g_file_get_contents(path, &text, NULL, NULL)) {
        return ops;
    }
    lines = g_strsplit(text, "\n", -1);
    for (int i = 0; lines[i]; i++) {
        Op *op = op_from_line(lines[i]);

        if (op) {
            g_ptr_array_add(ops, op);
        }
    }
    return ops;
}

void ops_save(const GPtrArray *ops, const char *path)
{
    GString *text = g_string_new(NULL);

    for (guint i = 0; i < ops->len; i++) {
        g_autofree char *line = op_to_line(g_ptr_array_index(ops, i));

        g_string_append(text, line);
    }
    g_file_set_contents(path, text->str, (gssize)text->len, NULL);
    g_string_free(text, TRUE);
}
