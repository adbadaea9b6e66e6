/* SPDX-License-Identifier: MIT */
/*
 * A host directory to a tree.
 *
 * One directory is open at a time: it is listed, its entries are examined in
 * the order of their names, and its subdirectories are put on a stack. So
 * neither depth nor width takes file descriptors or the C stack.
 */
#include "block/vvfat/scan.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "block/error.h"
#include "block/vvfat/dirent.h"
#include "block/vvfat/scan-int.h"
#include "util/size.h"

/* In one directory; most could be skipped, so this is beyond what FAT holds. */
#define MAX_NAMES (1u << 24)

static const char DENIED[] = "may not be read: permission denied";

char *scan_path(const TreeNode *dir, const char *name)
{
    g_autofree char *parent = tree_host_path(dir);

    return *parent ? g_strconcat(parent, "/", name, NULL) : g_strdup(name);
}

uint32_t scan_device(Tree *tree, uint64_t dev)
{
    GArray *devices = tree->devices;
    uint32_t i = devices->len;

    while (i > 0) {
        if (g_array_index(devices, uint64_t, --i) == dev) {
            return i;
        }
    }
    g_array_append_val(devices, dev);
    return devices->len - 1;
}

/* ---- What cannot be taken ---- */

static void skip(Scan *scan, const TreeNode *dir, const char *name,
                 const char *why)
{
    g_autofree char *path = scan_path(dir, name);

    report_add(scan->report, REPORT_SKIPPED, path, "%s", why);
}

/* A file that FAT or we cannot hold: skipped, or the error. */
static bool refuse(Scan *scan, const TreeNode *dir, const char *name, int err,
                   const char *why, GError **errp)
{
    g_autofree char *path = scan_path(dir, name);
    g_autofree char *text = report_escape(path);

    if (scan->options->unsupported == UNSUPPORTED_SKIP) {
        report_add(scan->report, REPORT_SKIPPED, path, "%s", why);
        return true;
    }
    block_error_set(errp, err,
                    "'%s' %s; leave such files out with "
                    "unsupported=skip",
                    text, why);
    return false;
}

static void fail(const TreeNode *dir, const char *name, int r, GError **errp)
{
    g_autofree char *path = name ? scan_path(dir, name) : tree_host_path(dir);
    g_autofree char *text = report_escape(path);

    block_error_set_errno(errp, -r, "Could not read '%s'", *text ? text : ".");
}

/* ---- One entry ---- */

static void set_times(Scan *scan, const TreeNode *dir, TreeNode *node,
                      const HostStat *st)
{
    int64_t seconds = MIN(st->mtime, scan->options->clamp_time);
    bool clamped = false;

    /* Whole seconds: copies of a tree often keep no more. Access and change
     * times are no part of a tree's contents, so all three show this one. */
    node->mtime = dirent_time_from_unix(seconds, 0, scan->options->utc,
                                        &node->ctime_10ms, &clamped);
    node->ctime = node->mtime;
    node->adate = node->mtime.date;
    if (__builtin_mul_overflow(st->mtime, INT64_C(1000000000),
                               &node->host_mtime) ||
        __builtin_add_overflow(node->host_mtime, (int64_t)st->mtime_ns,
                               &node->host_mtime)) {
        node->host_mtime = st->mtime < 0 ? INT64_MIN : INT64_MAX;
    }
    if (clamped) {
        g_autofree char *path = dir ? scan_path(dir, node->host_name)
                                    : g_strdup(".");

        report_add(scan->report, REPORT_CLAMPED, path,
                   "its time is outside 1980..2107");
    }
}

static void set_identity(Scan *scan, TreeNode *node, const HostStat *st)
{
    node->host_ino = st->ino;
    node->host_dev = scan_device(scan->tree, st->dev);
}

static TreeNode *make_node(Scan *scan, TreeNode *dir, const char *name,
                           const HostStat *st, char *target)
{
    bool is_directory = st->kind == HOST_DIRECTORY;
    TreeNode *node = tree_node_new(scan->tree, name, is_directory);

    node->parent = dir;
    node->host_name = node->name;
    node->has_long_name = true;
    node->is_write_denied = !st->writable;
    set_identity(scan, node, st);
    set_times(scan, dir, node, st);
    if (!is_directory) {
        node->size = (uint32_t)st->size;
        node->attr = FAT_ATTR_ARCHIVE;
        node->attr |= st->read_only ? FAT_ATTR_READ_ONLY : 0;
        node->is_sparse = st->is_sparse;
    }
    if (target) {
        node->is_link = true;
        g_hash_table_insert(scan->tree->targets, node, target);
    }
    return node;
}

/* Hidden, system and archive, where somebody has set them. The read-only bit
 * is the host's permission. */
static void set_attributes(Scan *scan, TreeNode *node, HostDir *hd)
{
    const uint8_t kept = FAT_ATTR_HIDDEN | FAT_ATTR_SYSTEM | FAT_ATTR_ARCHIVE;
    unsigned attr;
    int r;

    if (scan->no_attributes || node->is_link) {
        return;
    }
    r = scan->fs->ops->dos_attrib_at(scan->fs, hd, node->host_name, &attr);
    if (r == 0) {
        node->attr = (uint8_t)((node->attr & ~kept) | (attr & kept));
    }
    scan->no_attributes = r == -ENOTSUP;
}

/* The reason why an entry that exists cannot be taken, or NULL. */
static const char *unsupported_reason(const char *name, const HostStat *st,
                                      int *err)
{
    if (!st->readable) {
        *err = EACCES;
        return DENIED;
    }
    if (st->kind == HOST_FILE && st->size > (int64_t)FAT_MAX_FILE_SIZE) {
        *err = EFBIG;
        return "is larger than 4 GiB - 1 byte, the most that FAT can hold";
    }
    if (strlen(name) > FAT_LONG_MAX_UNITS) {
        uint16_t units[FAT_LONG_MAX_UNITS];

        *err = ENAMETOOLONG;
        return names_from_host(name, units) < 0
                   ? "has a name of more than 255 characters"
                   : NULL;
    }
    return NULL;
}

/* Examine one entry; *node stays NULL when it is not taken. */
static bool scan_entry(Scan *scan, TreeNode *dir, HostDir *hd,
                       const char *name, TreeNode **node, GError **errp)
{
    g_autofree char *target = NULL;
    const char *why;
    HostStat st;
    int err = 0;
    int r = scan->fs->ops->stat_at(scan->fs, hd, name, &st);

    *node = NULL;
    if (r == -ENOENT) {
        skip(scan, dir, name, "vanished while the directory was read");
        return true;
    }
    if (r == -EACCES || r == -EPERM) {
        return refuse(scan, dir, name, -r, DENIED, errp);
    }
    if (r < 0) {
        fail(dir, name, r, errp);
        return false;
    }
    if (st.kind == HOST_SYMLINK) {
        LinkResult link = scan_link(scan, dir, name, &st, &target, errp);

        if (link != LINK_TAKEN) {
            return link == LINK_SKIPPED;
        }
    }
    if (st.kind != HOST_FILE && st.kind != HOST_DIRECTORY) {
        skip(scan, dir, name, "neither a file nor a directory");
        return true;
    }
    why = unsupported_reason(name, &st, &err);
    if (why) {
        return refuse(scan, dir, name, err, why, errp);
    }
    *node = make_node(scan, dir, name, &st, g_steal_pointer(&target));
    set_attributes(scan, *node, hd);
    return true;
}

/* ---- One directory ---- */

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* All names, sorted by their bytes. */
static int list_names(Scan *scan, HostDir *hd, GPtrArray *names)
{
    const char *name;
    int r;

    g_string_chunk_clear(scan->names);
    while ((r = scan->fs->ops->dir_next(scan->fs, hd, &name)) > 0) {
        if (names->len == MAX_NAMES) {
            return -EOVERFLOW;
        }
        g_ptr_array_add(names, g_string_chunk_insert(scan->names, name));
    }
    g_ptr_array_sort(names, compare_names);
    return r;
}

/* Whether a directory is, or is below, one that a link stands for. */
static bool is_linked(const TreeNode *dir)
{
    while (dir && !dir->is_link) {
        dir = dir->parent;
    }
    return dir != NULL;
}

static bool check_linked(const Scan *scan, GError **errp)
{
    uint32_t most = scan->options->max_linked;

    most = most ? most : SCAN_MAX_LINKED;
    if (scan->n_linked > most) {
        block_error_set(errp, EFBIG,
                        "Symbolic links to directories lead to more than %u "
                        "files and directories; leave links out with "
                        "symlinks=skip",
                        most);
        return false;
    }
    return true;
}

static bool scan_names_of(Scan *scan, TreeNode *dir, HostDir *hd,
                          GPtrArray *names, GPtrArray *nodes, GError **errp)
{
    bool linked = is_linked(dir);

    for (unsigned i = 0; i < names->len; i++) {
        const char *name = names->pdata[i];
        TreeNode *node;

        if (names_is_temporary(name)) {
            skip(scan, dir, name, "left behind by a commit that was "
                                  "interrupted");
            continue;
        }
        if (name[0] == '.' && !scan->options->hidden) {
            skip(scan, dir, name, "hidden, and hidden=off");
            continue;
        }
        if (!scan_entry(scan, dir, hd, name, &node, errp)) {
            return false;
        }
        if (!node) {
            continue;
        }
        g_ptr_array_add(nodes, node);
        if (nodes->len > FAT_MAX_DIR_ENTRIES) {
            g_autofree char *path = tree_host_path(dir);
            g_autofree char *text = report_escape(path);

            block_error_set(errp, EFBIG,
                            "Directory '%s' has more entries "
                            "than FAT can hold in one (%u); divide it",
                            *text ? text : ".", FAT_MAX_DIR_ENTRIES);
            return false;
        }
        scan->n_linked += linked;
        if (!check_linked(scan, errp)) {
            return false;
        }
    }
    return true;
}

/* Hand the nodes over to dir, and put its directories on the stack so that
 * the first is listed first. */
static void adopt(Scan *scan, TreeNode *dir, GPtrArray *nodes)
{
    uint32_t n = nodes->len;
    TreeNode **children = g_memdup2(nodes->pdata, n * sizeof(*children));

    tree_set_children(dir, children, n);
    for (uint32_t i = n; i > 0; i--) {
        if (tree_is_directory(children[i - 1])) {
            g_ptr_array_add(scan->pending, children[i - 1]);
            scan->tree->n_directories++;
        } else {
            scan->tree->n_files++;
        }
    }
}

/* A directory that was there a moment ago cannot be opened. */
static bool lose(Scan *scan, TreeNode *dir, int r, GError **errp)
{
    bool changed = r == -ENOENT || r == -ENOTDIR || r == -ELOOP || r == -EXDEV;
    bool denied = r == -EACCES || r == -EPERM;

    if (dir == scan->tree->root || !(changed || denied)) {
        fail(dir, NULL, r, errp);
        return false;
    }
    if (changed) {
        skip(scan, dir->parent, dir->host_name,
             "changed while the directory was read");
    } else if (!refuse(scan, dir->parent, dir->host_name, -r, DENIED, errp)) {
        return false;
    }
    g_hash_table_add(scan->lost, dir);
    return true;
}

static bool scan_dir(Scan *scan, TreeNode *dir, GError **errp)
{
    g_autofree char *path = tree_real_path(scan->tree, dir);
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    g_autoptr(GPtrArray) nodes = g_ptr_array_new();
    HostDir *hd;
    bool ok;
    int r = scan->fs->ops->dir_open(scan->fs, path, &hd);

    if (r < 0) {
        return lose(scan, dir, r, errp);
    }
    r = list_names(scan, hd, names);
    if (r < 0) {
        fail(dir, NULL, r, errp);
    }
    ok = r >= 0 && scan_names_of(scan, dir, hd, names, nodes, errp);
    scan->fs->ops->dir_close(scan->fs, hd);
    if (!ok ||
        !scan_names(scan, dir, (TreeNode **)nodes->pdata, nodes->len, errp)) {
        return false;
    }
    adopt(scan, dir, nodes);
    return true;
}

/* ---- The whole ---- */

/* Take the directories that could not be listed out of their parents. */
static void drop_lost(Scan *scan)
{
    g_autoptr(GHashTable) done = g_hash_table_new(NULL, NULL);
    GHashTableIter iter;
    gpointer key;

    g_hash_table_iter_init(&iter, scan->lost);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
        TreeNode *parent = ((TreeNode *)key)->parent;
        uint32_t kept = 0;

        if (!g_hash_table_add(done, parent)) {
            continue;
        }
        for (uint32_t i = 0; i < parent->n_children; i++) {
            if (g_hash_table_contains(scan->lost, parent->children[i])) {
                scan->tree->n_directories--;
            } else {
                parent->children[kept++] = parent->children[i];
            }
        }
        parent->n_children = kept;
    }
}

static bool scan_root(Scan *scan, GError **errp)
{
    TreeNode *root = scan->tree->root;
    HostStat st;
    int r = scan->fs->ops->stat(scan->fs, "", &st);

    if (r < 0) {
        fail(root, NULL, r, errp);
        return false;
    }
    set_identity(scan, root, &st);
    set_times(scan, NULL, root, &st);
    scan->tree->label_time = root->mtime;
    g_ptr_array_add(scan->pending, root);
    return true;
}

Tree *scan_directory(HostFs *fs, const ScanOptions *options, Report *report,
                     GError **errp)
{
    g_autoptr(Tree) tree = tree_new();
    g_autoptr(GPtrArray) pending = g_ptr_array_new();
    g_autoptr(GHashTable) lost = g_hash_table_new(NULL, NULL);
    GStringChunk *names = g_string_chunk_new(16 * 1024);
    Scan scan = {
        .fs = fs,
        .options = options,
        .report = report,
        .tree = tree,
        .pending = pending,
        .lost = lost,
        .names = names,
    };
    bool ok = scan_root(&scan, errp);

    while (ok && pending->len) {
        TreeNode *dir = g_ptr_array_steal_index_fast(pending,
                                                     pending->len - 1);

        ok = scan_dir(&scan, dir, errp);
    }
    g_string_chunk_free(names);
    if (!ok) {
        return NULL;
    }
    drop_lost(&scan);
    return g_steal_pointer(&tree);
}
