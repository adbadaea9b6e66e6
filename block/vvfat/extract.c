/* SPDX-License-Identifier: MIT */
/*
 * Extraction: the walk.
 *
 * The tree may be deeper than the host's PATH_MAX and than the number of
 * files that may be open. So only the directory being filled is open. The way
 * back up is "..", which is taken only if it leads to the very directory that
 * we came from; so a directory moved meanwhile cannot lead us astray.
 */
#include "block/vvfat/extract.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "block/error.h"
#include "block/vvfat/extract-int.h"

/* A directory on the way to the one being filled, and that one itself. */
typedef struct Level {
    const TreeNode *node;
    uint32_t next; /* child to be extracted next */
    FileId id;     /* of the host's directory */
} Level;

/* ---- Reports ---- */

void extract_say(const Extract *x, const char *path, const char *text)
{
    if (x->options->problem) {
        x->options->problem(path && !*path ? "/" : path, text,
                            x->options->opaque);
    }
}

void extract_report(const Extract *x, const TreeNode *node, const char *fmt,
                    ...)
{
    g_autofree char *path = guest_view_path(node);
    g_autofree char *text = NULL;
    va_list ap;

    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    x->result->problems++;
    extract_say(x, path, text);
}

/* Whether an error of the host will meet every other file, too. */
static bool is_fatal(int err)
{
    return err == ENOSPC || err == EDQUOT || err == EIO || err == EROFS ||
           err == ENOMEM || err == EMFILE || err == ENFILE || err == ESTALE;
}

bool extract_host_failed(Extract *x, const TreeNode *node, const char *what,
                         int ret)
{
    if (is_fatal(-ret)) {
        g_autofree char *path = guest_view_path(node);

        block_error_set_errno(x->errp, -ret, "Cannot %s '%s' in '%s'", what,
                              path, x->target);
        return false;
    }
    extract_report(x, node, "cannot %s it: %s", what,
                   ret == -ELOOP ? "a symbolic link stands there, and links "
                                   "are not followed"
                                 : g_strerror(-ret));
    return true;
}

static bool is_below(const char *path, const char *dir)
{
    size_t n = strlen(dir);

    return !n || (strncmp(path, dir, n) == 0 && (!path[n] || path[n] == '/'));
}

/* The damage that loading found in what is to be extracted. */
static void report_damage(const Extract *x, const GuestView *view,
                          const TreeNode *node)
{
    g_autofree char *dir = guest_view_path(node);

    for (guint i = 0; i < view->problems->len; i++) {
        const Problem *p = g_ptr_array_index(view->problems, i);

        if (p->is_damage && p->path && is_below(p->path, dir)) {
            x->result->damages++;
            extract_say(x, p->path, p->text);
        }
    }
    if (view->more_problems) {
        g_autofree char *text = g_strdup_printf(
            "has %" G_GUINT64_FORMAT " further problems, which are not named",
            view->more_problems);

        x->result->damages += view->more_problems;
        extract_say(x, NULL, text);
    }
}

/* ---- Directories ---- */

/* Make `dir` (moved; a descriptor or -errno) the one being filled. */
static int push_level(Extract *x, const TreeNode *node, int dir)
{
    Level level = { .node = node };
    int ret;

    if (dir < 0) {
        return dir;
    }
    ret = extract_identify(dir, &level.id);
    if (ret < 0) {
        close(dir);
        return ret;
    }
    if (x->dir >= 0) {
        close(x->dir);
    }
    x->dir = dir;
    g_array_append_val(x->levels, level);
    x->result->directories++;
    return 0;
}

int extract_remember(Extract *x, int fd)
{
    FileId id = { 0 };
    int ret;

    if (fd < 0) {
        return fd;
    }
    ret = extract_identify(fd, &id);
    if (ret < 0) {
        close(fd);
        return ret;
    }
    g_hash_table_add(x->made, g_memdup2(&id, sizeof(id)));
    return fd;
}

/* Open a directory that is there already; -EEXIST if it is another of the
 * volume's, which has the same name. */
static int reuse_directory(Extract *x, const TreeNode *node)
{
    int dir = extract_make_dir(x->dir, node->host_name, true);
    FileId id = { 0 };
    int ret;

    if (dir < 0) {
        return dir;
    }
    ret = extract_identify(dir, &id);
    if (ret == 0 && g_hash_table_contains(x->made, &id)) {
        ret = -EEXIST;
    }
    if (ret < 0) {
        close(dir);
        return ret;
    }
    return dir;
}

static bool enter_directory(Extract *x, const TreeNode *node)
{
    int dir = extract_make_dir(x->dir, node->host_name, false);
    int ret;

    if (x->options->overwrite) {
        if (dir == -EEXIST) {
            dir = reuse_directory(x, node);
        }
        dir = extract_remember(x, dir);
    }
    ret = push_level(x, node, dir);
    return ret == 0 || extract_host_failed(x, node, "create", ret);
}

/* The directory being filled is complete. */
static bool leave_directory(Extract *x)
{
    guint depth = x->levels->len - 1;
    const TreeNode *node = g_array_index(x->levels, Level, depth).node;
    int parent;
    int ret = 0;

    if (node->parent) { /* the root has no times */
        extract_store_attributes(x, x->dir, node);
        ret = extract_store_times(x, x->dir, node);
    }
    if (ret < 0 && !extract_host_failed(x, node, "set the times of", ret)) {
        return false;
    }
    g_array_set_size(x->levels, depth);
    if (depth == 0) {
        return true;
    }
    parent = extract_open_parent(
        x->dir, &g_array_index(x->levels, Level, depth - 1).id);
    if (parent < 0) {
        block_error_set_errno(x->errp, -parent,
                              "Cannot go back up in '%s', where directories "
                              "were moved meanwhile",
                              x->target);
        return false;
    }
    close(x->dir);
    x->dir = parent;
    return true;
}

static bool extract_node(Extract *x, const TreeNode *node)
{
    if (!node->host_name) {
        extract_report(
            x, node, "%s",
            tree_is_directory(node)
                ? "skipped with all it holds: its name cannot be that of a "
                  "host directory"
                : "skipped: its name cannot be that of a host file");
        return true;
    }
    return tree_is_directory(node) ? enter_directory(x, node)
                                   : extract_file(x, node);
}

static bool extract_levels(Extract *x)
{
    while (x->levels->len) {
        Level *level = &g_array_index(x->levels, Level, x->levels->len - 1);
        bool ok;

        if (level->next < level->node->n_children) {
            ok = extract_node(x, level->node->children[level->next++]);
        } else {
            ok = leave_directory(x);
        }
        if (!ok) {
            return false;
        }
    }
    return true;
}

/* ---- All ---- */

/* Bytes of all files at and below a node. */
static uint64_t total_bytes(const TreeNode *node)
{
    g_autoptr(GPtrArray) pending = g_ptr_array_new();
    uint64_t total = 0;

    g_ptr_array_add(pending, (TreeNode *)node);
    while (pending->len) {
        node = g_ptr_array_steal_index_fast(pending, pending->len - 1);
        total += node->size;
        for (uint32_t i = 0; i < node->n_children; i++) {
            g_ptr_array_add(pending, node->children[i]);
        }
    }
    return total;
}

static bool open_target(Extract *x)
{
    int empty;

    x->dir = extract_open_target(x->target);
    if (x->dir < 0) {
        block_error_set_errno(x->errp, -x->dir,
                              "Cannot use '%s' as the directory to extract "
                              "into",
                              x->target);
        return false;
    }
    empty = x->options->overwrite ? 1 : extract_is_empty(x->dir);
    if (empty < 0) {
        block_error_set_errno(x->errp, -empty, "Cannot read '%s'", x->target);
    } else if (!empty) {
        block_error_set(x->errp, ENOTEMPTY,
                        "'%s' is not empty; extract into a new directory, or "
                        "allow overwriting (--overwrite)",
                        x->target);
    }
    return empty > 0;
}

static bool extract_all(Extract *x, const TreeNode *node)
{
    int dir = x->dir;
    int ret;

    if (!tree_is_directory(node)) {
        return extract_node(x, node);
    }
    x->dir = -1;
    ret = push_level(x, node, dir);
    if (ret < 0) {
        block_error_set_errno(x->errp, -ret, "Cannot use '%s'", x->target);
        return false;
    }
    x->result->directories--; /* the target itself does not count */
    return extract_levels(x);
}

bool extract_tree(Volume *volume, const GuestView *view, const TreeNode *node,
                  const char *dir, const ExtractOptions *options,
                  ExtractResult *result, GError **errp)
{
    g_autoptr(GArray) levels = g_array_new(FALSE, FALSE, sizeof(Level));
    g_autoptr(GHashTable) made =
        g_hash_table_new_full(file_id_hash, file_id_equal, g_free, NULL);
    g_autofree uint8_t *buffer = g_malloc(EXTRACT_BUFFER);
    Extract x = {
        .volume = volume,
        .options = options,
        .result = result,
        .errp = errp,
        .target = dir,
        .levels = levels,
        .dir = -1,
        .made = made,
        .buffer = buffer,
        .total = total_bytes(node),
    };
    bool ok;

    *result = (ExtractResult){ 0 };
    ok = open_target(&x);
    if (ok) {
        report_damage(&x, view, node);
        ok = extract_all(&x, node);
    }
    if (x.dir >= 0) {
        close(x.dir);
    }
    return ok;
}
