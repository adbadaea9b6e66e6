/* SPDX-License-Identifier: MIT */
#include "scan-fixture.h"

#include <criterion/criterion.h>

#include "block/error.h"

void scanned_clear(Scanned *s)
{
    tree_free(s->tree);
    report_free(s->report);
    hostfs_free(s->fs);
}

Scanned scan_with(const TempTree *t, const ScanOptions *options)
{
    g_autoptr(GError) error = NULL;
    Scanned s = { .fs = hostfs_posix_new(t->dir, NULL),
                  .report = report_new() };

    s.tree = scan_directory(s.fs, options, s.report, &error);
    cr_assert_not_null(s.tree, "%s", error ? error->message : "?");
    return s;
}

Scanned scan(const TempTree *t)
{
    ScanOptions options = scan_options_default();

    return scan_with(t, &options);
}

char *scan_refused(HostFs *fs, const ScanOptions *options, int code)
{
    g_autoptr(Report) report = report_new();
    g_autoptr(GError) error = NULL;
    g_autoptr(Tree) tree = scan_directory(fs, options, report, &error);

    cr_assert_null(tree);
    cr_assert_not_null(error);
    cr_assert_eq(error->domain, BLOCK_ERROR);
    cr_assert_eq(error->code, code, "%s", error->message);
    return g_strdup(error->message);
}

static bool append_line(TreeNode *node, void *opaque)
{
    g_autofree char *path = tree_path(node);

    g_string_append_printf(opaque, "%s%s;", path,
                           tree_is_directory(node) ? "/" : "");
    return true;
}

char *listing(const Tree *tree)
{
    GString *out = g_string_new(NULL);

    tree_walk(tree, append_line, out);
    return g_string_free(out, FALSE);
}
