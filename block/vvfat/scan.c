/* SPDX-License-Identifier: MIT */
/*
 * A host directory to a tree.
 *
 * One directory after the other: its entries are taken in the order of their
 * names, and its subdirectories are put on a stack, from whose top a few are
 * listed ahead (scan-list.c). So neither depth nor width takes file
 * descriptors or the C stack.
 */
#include "block/vvfat/scan.h"

#include <errno.h>

#include "block/error.h"
#include "block/vvfat/scan-int.h"
#include "util/size.h"

static const char DENIED[] = "may not be read: permission denied";

char *scan_path(const TreeNode *dir, const char *name)
{
    g_autofree char *parent = tree_host_path(dir);

    return *parent ? g_strconcat(parent, "/", name, NULL) : g_strdup(name);
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

/* Take one entry; *node stays NULL when it is left out. */
static bool scan_entry(Scan *scan, TreeNode *dir, const ScanEntry *entry,
                       TreeNode **node, GError **errp)
{
    g_autofree char *target = NULL;
    const char *name = entry->name;
    const char *why;
    HostStat st = entry->st;
    int err = 0, r = entry->ret;

    *node = NULL;
    if (entry->left_out) {
        skip(scan, dir, name, entry->left_out);
        return true;
    }
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
    *node = scan_node_new(scan, dir, entry, &st, g_steal_pointer(&target));
    return true;
}

/* ---- One directory ---- */

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

static bool check_entries(const TreeNode *dir, const GPtrArray *nodes,
                          GError **errp)
{
    g_autofree char *path = NULL;
    g_autofree char *text = NULL;

    if (nodes->len <= FAT_MAX_DIR_ENTRIES) {
        return true;
    }
    path = tree_host_path(dir);
    text = report_escape(path);
    block_error_set(errp, EFBIG,
                    "Directory '%s' has more entries than FAT can hold in one "
                    "(%u); divide it",
                    *text ? text : ".", FAT_MAX_DIR_ENTRIES);
    return false;
}

static bool scan_entries(Scan *scan, TreeNode *dir, ScanList *list, unsigned n,
                         GPtrArray *nodes, GError **errp)
{
    bool linked = is_linked(dir);

    for (unsigned i = 0; i < n; i++) {
        TreeNode *node;

        if (!scan_entry(scan, dir, scan_list_entry(scan->lister, list, i),
                        &node, errp)) {
            return false;
        }
        if (!node) {
            continue;
        }
        g_ptr_array_add(nodes, node);
        scan->n_linked += linked;
        if (!check_entries(dir, nodes, errp) || !check_linked(scan, errp)) {
            return false;
        }
    }
    return true;
}

static void push(Scan *scan, TreeNode *dir)
{
    ScanPending pending = { .dir = dir };

    g_array_append_val(scan->pending, pending);
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
            push(scan, children[i - 1]);
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

static bool scan_dir(Scan *scan, TreeNode *dir, ScanList *list, GError **errp)
{
    g_autoptr(GPtrArray) nodes = g_ptr_array_new();
    bool opened;
    int64_t n = scan_list_count(scan->lister, list, &opened);

    if (n < 0 && opened) {
        fail(dir, NULL, (int)n, errp);
        return false;
    }
    if (n < 0) {
        scan_list_end(scan->lister, list);
        return lose(scan, dir, (int)n, errp);
    }
    if (!scan_entries(scan, dir, list, (unsigned)n, nodes, errp)) {
        return false;
    }
    scan_list_end(scan->lister, list);
    if (!scan_names(scan, dir, (TreeNode **)nodes->pdata, nodes->len, errp)) {
        return false;
    }
    adopt(scan, dir, nodes);
    return true;
}

static void begin(Scan *scan, ScanPending *pending)
{
    if (!pending->list) {
        pending->list = scan_list_begin(
            scan->lister, tree_real_path(scan->tree, pending->dir));
    }
}

/* The next ones, and the very next last: it is looked into first. */
static void begin_ahead(Scan *scan)
{
    unsigned room = scan_lister_room(scan->lister);
    guint first = scan->pending->len - MIN(scan->pending->len, room);

    for (guint i = first; i < scan->pending->len; i++) {
        begin(scan, &g_array_index(scan->pending, ScanPending, i));
    }
}

static bool scan_pending(Scan *scan, GError **errp)
{
    bool ok = true;

    while (ok && scan->pending->len) {
        guint last = scan->pending->len - 1;
        ScanPending next;

        begin_ahead(scan);
        next = g_array_index(scan->pending, ScanPending, last);
        g_array_set_size(scan->pending, last);
        begin(scan, &next);
        ok = scan_dir(scan, next.dir, next.list, errp);
    }
    return ok;
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
    scan_node_describe(scan, root, &st);
    scan->tree->label_time = root->mtime;
    push(scan, root);
    return true;
}

Tree *scan_directory(HostFs *fs, const ScanOptions *options, Report *report,
                     GError **errp)
{
    g_autoptr(Tree) tree = tree_new();
    g_autoptr(GArray) pending = g_array_new(FALSE, FALSE, sizeof(ScanPending));
    g_autoptr(GHashTable) lost = g_hash_table_new(NULL, NULL);
    g_autoptr(ScanLister) lister = scan_lister_new(fs, options->hidden);
    Scan scan = {
        .fs = fs,
        .options = options,
        .report = report,
        .tree = tree,
        .lister = lister,
        .pending = pending,
        .lost = lost,
    };

    if (!scan_root(&scan, errp) || !scan_pending(&scan, errp)) {
        return NULL;
    }
    drop_lost(&scan);
    return g_steal_pointer(&tree);
}
