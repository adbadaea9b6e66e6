/* SPDX-License-Identifier: MIT */
/*
 * The list of what is wrong with a volume.
 *
 * A hostile volume can have a problem in every entry of every directory, at
 * any depth. So the number kept is bounded, and so is the length of a path;
 * all are counted. Checks of the whole volume report each kind once.
 */
#include "block/vvfat/guest-load.h"

#include <string.h>

#define PROBLEM_MAX_PATH 16384u

static const char *const problem_kind_names[] = {
    [PROBLEM_BOOT_BACKUP] = "boot-backup",
    [PROBLEM_FSINFO] = "fsinfo",
    [PROBLEM_DIRTY] = "dirty",
    [PROBLEM_FAT_MEDIA] = "fat-media",
    [PROBLEM_FAT_MIRROR] = "fat-mirror",
    [PROBLEM_FAT_VALUE] = "fat-value",
    [PROBLEM_LOST_CLUSTERS] = "lost-clusters",
    [PROBLEM_CROSS_LINK] = "cross-link",
    [PROBLEM_CHAIN_LOOP] = "chain-loop",
    [PROBLEM_CHAIN_BAD] = "chain-bad",
    [PROBLEM_CHAIN_SHORT] = "chain-short",
    [PROBLEM_CHAIN_LONG] = "chain-long",
    [PROBLEM_DIR_DOTS] = "dir-dots",
    [PROBLEM_DIR_SIZE] = "dir-size",
    [PROBLEM_DIR_ENTRY] = "dir-entry",
    [PROBLEM_AFTER_END] = "after-end",
    [PROBLEM_LONG_NAME] = "long-name",
    [PROBLEM_SHORT_NAME] = "short-name",
    [PROBLEM_UNSAFE_NAME] = "unsafe-name",
    [PROBLEM_DUPLICATE_NAME] = "duplicate-name",
    [PROBLEM_LABEL] = "label",
};

const char *problem_kind_name(ProblemKind kind)
{
    if ((size_t)kind >= G_N_ELEMENTS(problem_kind_names)) {
        return "unknown";
    }
    return problem_kind_names[kind];
}

char *guest_view_path(const TreeNode *node)
{
    g_autoptr(GPtrArray) parts = g_ptr_array_new();
    GString *path = g_string_new(NULL);
    size_t length = 0;

    for (; node->parent && length < PROBLEM_MAX_PATH; node = node->parent) {
        g_ptr_array_add(parts, (char *)node->name);
        length += strlen(node->name) + 1;
    }
    if (node->parent) {
        g_string_append(path, ".../");
    }
    for (guint i = parts->len; i > 0; i--) {
        g_string_append(path, g_ptr_array_index(parts, i - 1));
        if (i > 1) {
            g_string_append_c(path, '/');
        }
    }
    return g_string_free(path, FALSE);
}

int problem_add(GuestView *view, ProblemKind kind, unsigned severity,
                const TreeNode *node, const char *fmt, ...)
{
    Problem *problem;
    va_list ap;

    view->n_damage += severity != PROBLEM_NOTE;
    view->n_left_out += severity == PROBLEM_LEFT_OUT;
    if (node && view->problems->len >= GUEST_VIEW_MAX_PROBLEMS) {
        view->more_problems++;
        return -1;
    }
    problem = g_new0(Problem, 1);
    problem->kind = kind;
    problem->is_damage = severity != PROBLEM_NOTE;
    problem->left_out = severity == PROBLEM_LEFT_OUT;
    problem->path = node ? guest_view_path(node) : NULL;
    va_start(ap, fmt);
    problem->text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    g_ptr_array_add(view->problems, problem);
    return (int)view->problems->len - 1;
}

void problem_append(GuestView *view, int index, const char *fmt, ...)
{
    Problem *problem = g_ptr_array_index(view->problems, index);
    g_autofree char *more = NULL;
    g_autofree char *text = problem->text;
    va_list ap;

    va_start(ap, fmt);
    more = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    problem->text = g_strconcat(text, more, NULL);
}

void problem_free(Problem *problem)
{
    if (problem) {
        g_free(problem->path);
        g_free(problem->text);
        g_free(problem);
    }
}
