/* SPDX-License-Identifier: MIT */
/*
 * Symbolic links: what stays within the directory is shown in the link's
 * place, everything else is left out and reported.
 *
 * A link is resolved to the real path of what it stands for, and that path is
 * what is opened from then on, without following links: a link that is
 * changed later leads nowhere else.
 */
#include <errno.h>

#include "block/error.h"
#include "block/vvfat/scan-int.h"

/* Whether the directory is dir or one above it: listing it would not end. */
static bool is_ancestor(Scan *scan, const TreeNode *dir, const HostStat *st)
{
    uint32_t dev = scan_device(scan->tree, st->dev);

    for (; dir; dir = dir->parent) {
        if (dir->host_ino == st->ino && dir->host_dev == dev) {
            return true;
        }
    }
    return false;
}

static const char *broken_reason(int r)
{
    switch (r) {
    case -EXDEV:
        return "symbolic link that leads out of the directory";
    case -ENOENT:
    case -ENOTDIR:
        return "symbolic link that leads nowhere";
    case -ELOOP:
        return "symbolic link that leads in a circle";
    case -ENAMETOOLONG:
        return "symbolic link with too long a path";
    case -EACCES:
    case -EPERM:
        return "symbolic link to what may not be read";
    default:
        return NULL;
    }
}

LinkResult scan_link(Scan *scan, const TreeNode *dir, const char *name,
                     HostStat *st, char **target, GError **errp)
{
    g_autofree char *path = scan_path(dir, name);
    g_autofree char *text = report_escape(path);
    g_autofree char *parent = tree_real_path(scan->tree, dir);
    g_autofree char *link = *parent ? g_strconcat(parent, "/", name, NULL)
                                    : g_strdup(name);
    g_autofree char *real = NULL;
    const char *why = NULL;
    int r;

    if (scan->options->symlinks == SYMLINKS_SKIP) {
        report_add(scan->report, REPORT_SKIPPED, path,
                   "symbolic link, and symlinks=skip");
        return LINK_SKIPPED;
    }
    if (scan->options->symlinks == SYMLINKS_ERROR) {
        block_error_set(errp, ELOOP,
                        "'%s' is a symbolic link; follow those "
                        "that stay inside with symlinks=inside, or leave "
                        "them out with symlinks=skip",
                        text);
        return LINK_FAILED;
    }

    r = scan->fs->ops->resolve(scan->fs, link, &real);
    if (r == 0) {
        r = scan->fs->ops->stat(scan->fs, real, st);
    }
    if (r < 0) {
        why = broken_reason(r);
    } else if (st->kind == HOST_DIRECTORY && is_ancestor(scan, dir, st)) {
        why = "symbolic link to a directory that it is in";
    }
    if (why) {
        report_add(scan->report, REPORT_SKIPPED, path, "%s", why);
        return LINK_SKIPPED;
    }
    if (r < 0) {
        block_error_set_errno(errp, -r, "Could not follow '%s'", text);
        return LINK_FAILED;
    }
    *target = g_steal_pointer(&real);
    return LINK_TAKEN;
}
