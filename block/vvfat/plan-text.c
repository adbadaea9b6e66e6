/* SPDX-License-Identifier: MIT */
/* A plan for people to read. */
#include "block/vvfat/plan-int.h"

static const char *const kind_names[] = {
    [PLAN_STAGE] = "stage",           [PLAN_MKDIR] = "mkdir",
    [PLAN_ASIDE] = "aside",           [PLAN_RENAME] = "rename",
    [PLAN_PLACE] = "place",           [PLAN_WRITE] = "write",
    [PLAN_UNLINK] = "unlink",         [PLAN_RMDIR] = "rmdir",
    [PLAN_ATTRIBUTES] = "attributes", [PLAN_TIMES] = "times",
};

/* The path of an inode when the plan was run, "." for the root. */
static char *final_path(const Inode *inode)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    GString *path = g_string_new(NULL);

    for (const Inode *i = inode; plan_final_dir(i); i = plan_final_dir(i)) {
        g_ptr_array_add(names, (char *)plan_final_name(i));
    }
    for (guint n = names->len; n > 0; n--) {
        g_string_append(path, g_ptr_array_index(names, n - 1));
        g_string_append(path, n > 1 ? "/" : "");
    }
    g_string_append(path, names->len == 0 ? "." : "");
    return g_string_free(path, FALSE);
}

/* Takes the path. */
static void append_path(GString *text, const char *before, char *path)
{
    char high[129];

    /* Bytes of UTF-8 as they are, and no line has an end within. */
    for (unsigned i = 0; i < sizeof(high) - 1; i++) {
        high[i] = (char)(128 + i);
    }
    high[sizeof(high) - 1] = '\0';
    g_autofree char *escaped = g_strescape(path, high);
    g_string_append(text, before);
    g_string_append(text, escaped);
    g_free(path);
}

static void append_op(GString *text, const PlanOp *op)
{
    g_string_append(text, kind_names[op->kind]);
    switch (op->kind) {
    case PLAN_RENAME:
        append_path(text, " ", inode_host_path(op->inode));
        append_path(text, " -> ", final_path(op->inode));
        break;
    case PLAN_ASIDE:
    case PLAN_UNLINK:
    case PLAN_RMDIR:
        append_path(text, " ", inode_host_path(op->inode));
        break;
    default:
        append_path(text, " ", final_path(op->inode));
    }
    if (op->kind == PLAN_STAGE) {
        append_path(text, " in ", final_path(op->dir));
    }
    if (op->victim) {
        append_path(text, " over ", inode_host_path(op->victim));
    }
    g_string_append_c(text, '\n');
}

char *plan_to_text(const Plan *plan)
{
    GString *text = g_string_new(NULL);

    for (guint i = 0; i < plan->ops->len; i++) {
        append_op(text, &g_array_index(plan->ops, PlanOp, i));
    }
    return g_string_free(text, FALSE);
}
