/* SPDX-License-Identifier: MIT */
/*
 * A volume's tree: directories one after the other, entry by entry.
 *
 * A queue of directories takes the place of recursion, and a chain ends where
 * it meets a cluster that has an owner (guest-chain.c). So each cluster is
 * read once at most, whatever the volume holds. A node is in the tree as soon
 * as its entry makes sense; what is wrong with its chain shortens the chain.
 */
#include "block/vvfat/guest-view.h"

#include <errno.h>
#include <string.h>

#include "block/error.h"
#include "block/vvfat/fat.h"
#include "block/vvfat/guest-load.h"
#include "block/vvfat/volume.h"

/* A directory being read. */
typedef struct DirLoad {
    GuestLoad *load;
    TreeNode *dir;
    GPtrArray *nodes; /* TreeNode: the children so far */
    DirentReader reader;
    uint32_t slots;     /* fed */
    uint32_t after_end; /* entries in use behind the end mark */
    bool ended;
    bool has_dot[2]; /* "." and ".." seen where they belong */
} DirLoad;

/* ---- Entries ---- */

static uint32_t entry_cluster(const GuestLoad *load, const FatDirent *entry)
{
    uint32_t cluster = le16_get(entry->cluster_low);

    /* On FAT12/16 other systems keep other things in the upper half. */
    if (volume_boot_info(load->volume)->fat_type == 32) {
        cluster |= (uint32_t)le16_get(entry->cluster_high) << 16;
    }
    return cluster;
}

static void entry_to_node(const DirentItem *item, TreeNode *node)
{
    const FatDirent *entry = &item->entry;

    node->attr = entry->attr;
    node->size = le32_get(entry->size);
    node->slot = item->first_slot;
    node->mtime.date = le16_get(entry->mdate);
    node->mtime.time = le16_get(entry->mtime);
    node->ctime.date = le16_get(entry->cdate);
    node->ctime.time = le16_get(entry->ctime);
    node->ctime_10ms = entry->ctime_10ms;
    node->adate = le16_get(entry->adate);
    node->case_flags = entry->case_flags;
    memcpy(node->short_name, entry->name, sizeof(node->short_name));
}

static int load_node(DirLoad *d, const DirentItem *item)
{
    GuestLoad *load = d->load;
    Tree *tree = load->view->tree;
    bool is_dir = item->entry.attr & FAT_ATTR_DIRECTORY;
    TreeNode *node = tree_node_new(tree, "", is_dir);

    entry_to_node(item, node);
    guest_names_set(load, node, d->dir, item);
    if (is_dir && node->size) {
        problem_add(load->view, PROBLEM_DIR_SIZE, PROBLEM_DAMAGE, node,
                    "a directory, but its entry has a size of %u bytes",
                    node->size);
        node->size = 0;
    }
    g_ptr_array_add(d->nodes, node);
    if (is_dir) {
        tree->n_directories++;
        g_ptr_array_add(load->pending, node);
    } else {
        tree->n_files++;
    }
    return guest_chain_follow(load, node, entry_cluster(load, &item->entry));
}

/* "." or "..": whether it is where it belongs and leads where it should. */
static void check_dot(DirLoad *d, const DirentItem *item, unsigned dots)
{
    GuestView *view = d->load->view;
    const BootInfo *info = volume_boot_info(d->load->volume);
    const TreeNode *meant = dots == 1 ? d->dir : d->dir->parent;
    uint32_t cluster = entry_cluster(d->load, &item->entry);
    const char *name = dots == 1 ? "." : "..";
    uint32_t expected;

    if (!meant || item->first_slot != dots - 1) {
        problem_add(view, PROBLEM_DIR_DOTS, PROBLEM_LEFT_OUT, d->dir,
                    "has '%s' where it does not belong, in entry %u", name,
                    item->first_slot);
        return;
    }
    d->has_dot[dots - 1] = true;
    expected = meant->parent ? chain_first(&meant->chain) : 0;
    if (!(item->entry.attr & FAT_ATTR_DIRECTORY)) {
        problem_add(view, PROBLEM_DIR_DOTS, PROBLEM_DAMAGE, d->dir,
                    "its entry '%s' is no directory", name);
    } else if (cluster != expected) {
        /* The root's own number instead of 0 is against the specification,
         * and understood by everybody. */
        bool root = !meant->parent && cluster == info->root_cluster;

        problem_add(view, PROBLEM_DIR_DOTS,
                    root ? PROBLEM_NOTE : PROBLEM_DAMAGE, d->dir,
                    "its entry '%s' leads to cluster %u instead of %u", name,
                    cluster, expected);
    }
}

/* A label in the root directory. */
static void check_label(DirLoad *d, const DirentItem *item)
{
    GuestView *view = d->load->view;

    if (view->tree->has_label) {
        problem_add(view, PROBLEM_LABEL, PROBLEM_NOTE, d->dir,
                    "entry %u is a second volume label", item->first_slot);
    }
    if (!names_short_is_valid(item->entry.name)) {
        problem_add(view, PROBLEM_LABEL, PROBLEM_DAMAGE, d->dir,
                    "the volume label in entry %u has characters that FAT "
                    "does not allow",
                    item->first_slot);
    }
    if (le32_get(item->entry.size) || entry_cluster(d->load, &item->entry)) {
        problem_add(view, PROBLEM_LABEL, PROBLEM_DAMAGE, d->dir,
                    "the volume label in entry %u has a size or a cluster, "
                    "which only files have",
                    item->first_slot);
    }
}

static void load_label(DirLoad *d, const DirentItem *item)
{
    Tree *tree = d->load->view->tree;

    if (item->entry.attr & FAT_ATTR_DIRECTORY) {
        problem_add(d->load->view, PROBLEM_DIR_ENTRY, PROBLEM_LEFT_OUT, d->dir,
                    "entry %u is a directory and a volume label at once",
                    item->first_slot);
        return;
    }
    if (d->dir->parent) {
        problem_add(d->load->view, PROBLEM_DIR_ENTRY, PROBLEM_LEFT_OUT, d->dir,
                    "entry %u is a volume label outside the root directory",
                    item->first_slot);
        return;
    }
    check_label(d, item);
    if (!tree->has_label) {
        tree->has_label = true;
        memcpy(tree->label, item->entry.name, sizeof(tree->label));
        tree->label_time.date = le16_get(item->entry.mdate);
        tree->label_time.time = le16_get(item->entry.mtime);
    }
}

static int load_item(DirLoad *d, const DirentItem *item)
{
    if (item->kind == DIRENT_FILE) {
        return load_node(d, item);
    }
    guest_names_report_stray(d->load, d->dir, item->defects);
    switch (item->kind) {
    case DIRENT_DOT:
        check_dot(d, item, 1);
        break;
    case DIRENT_DOTDOT:
        check_dot(d, item, 2);
        break;
    case DIRENT_LABEL:
        load_label(d, item);
        break;
    default:
        d->ended = true;
    }
    return 0;
}

/* ---- Directories ---- */

static int feed_entries(DirLoad *d, const uint8_t *bytes, size_t n)
{
    DirentItem item;

    for (; n >= FAT_DIRENT_SIZE && d->slots < FAT_MAX_DIR_ENTRIES;
         n -= FAT_DIRENT_SIZE, bytes += FAT_DIRENT_SIZE) {
        const FatDirent *entry = (const FatDirent *)bytes;
        int ret;

        d->slots++;
        if (d->ended) {
            d->after_end += entry->name[0] != FAT_DIRENT_END &&
                            entry->name[0] != FAT_DIRENT_FREE;
        } else if (dirent_reader_feed(&d->reader, entry, &item)) {
            ret = load_item(d, &item);
            if (ret < 0) {
                return ret;
            }
        }
    }
    return 0;
}

/* Whether there is no need to read on: only a full check looks behind the
 * end mark. */
static bool dir_is_done(const DirLoad *d)
{
    return (d->ended && !d->load->full) || d->slots >= FAT_MAX_DIR_ENTRIES;
}

static int read_extent(DirLoad *d, int64_t offset, int64_t bytes)
{
    while (bytes > 0 && !dir_is_done(d)) {
        int64_t n = MIN(bytes, GUEST_LOAD_BUFFER);
        int ret = volume_read(d->load->volume, offset, n, d->load->buffer);

        if (ret == 0) {
            ret = feed_entries(d, d->load->buffer, n);
        }
        if (ret < 0) {
            return ret;
        }
        offset += n;
        bytes -= n;
    }
    return 0;
}

static int read_chain(DirLoad *d)
{
    Volume *volume = d->load->volume;
    uint32_t cluster_size = volume_cluster_size(volume);
    const ClusterRun *runs = chain_runs(&d->dir->chain);

    for (uint32_t i = 0; i < d->dir->chain.n_runs && !dir_is_done(d); i++) {
        int ret = read_extent(d, volume_cluster_offset(volume, runs[i].first),
                              (int64_t)runs[i].count * cluster_size);

        if (ret < 0) {
            return ret;
        }
    }
    return 0;
}

static void check_directory(DirLoad *d)
{
    GuestView *view = d->load->view;
    uint64_t bytes = chain_length(&d->dir->chain) *
                     volume_cluster_size(d->load->volume);

    if (!d->ended) {
        guest_names_report_stray(d->load, d->dir,
                                 dirent_reader_finish(&d->reader));
    }
    if (d->dir->parent && d->dir->chain.n_runs &&
        !(d->has_dot[0] && d->has_dot[1])) {
        problem_add(view, PROBLEM_DIR_DOTS, PROBLEM_DAMAGE, d->dir,
                    "does not begin with '.' and '..'");
    }
    if (bytes > FAT_MAX_DIR_ENTRIES * FAT_DIRENT_SIZE) {
        problem_add(view, PROBLEM_DIR_SIZE, PROBLEM_DAMAGE, d->dir,
                    "a directory of %" G_GUINT64_FORMAT
                    " bytes; more than %u are not read",
                    bytes, FAT_MAX_DIR_ENTRIES * FAT_DIRENT_SIZE);
    }
    if (d->after_end) {
        problem_add(view, PROBLEM_AFTER_END, PROBLEM_NOTE, d->dir,
                    "has %u entries behind its end mark", d->after_end);
    }
}

static int load_directory(GuestLoad *load, TreeNode *dir)
{
    const BootInfo *info = volume_boot_info(load->volume);
    DirLoad d = { .load = load, .dir = dir };
    guint n;
    int ret;

    d.nodes = g_ptr_array_new();
    dirent_reader_init(&d.reader);
    if (!dir->parent && info->fat_type != 32) {
        ret = read_extent(&d,
                          (int64_t)info->root_start * info->bytes_per_sector,
                          (int64_t)info->root_entries * FAT_DIRENT_SIZE);
    } else {
        ret = read_chain(&d);
    }
    /* Also after a failure: the nodes are the tree's to free. */
    n = d.nodes->len;
    tree_set_children(dir, (TreeNode **)g_ptr_array_free(d.nodes, n == 0), n);
    if (ret < 0) {
        return ret;
    }
    check_directory(&d);
    guest_names_check(load, dir);
    return 0;
}

/* ---- Volumes ---- */

static int load_tree(GuestLoad *load)
{
    const BootInfo *info = volume_boot_info(load->volume);
    TreeNode *root = load->view->tree->root;
    int ret = 0;

    if (info->fat_type == 32) {
        ret = guest_chain_follow(load, root, info->root_cluster);
    }
    g_ptr_array_add(load->pending, root);
    for (guint i = 0; ret == 0 && i < load->pending->len; i++) {
        ret = load_directory(load, g_ptr_array_index(load->pending, i));
    }
    return ret;
}

static void check_dirty(GuestLoad *load, uint32_t fat_1)
{
    const BootInfo *info = volume_boot_info(load->volume);

    if (info->dirty || !fat_entry_1_clean(info->fat_type, fat_1)) {
        problem_add(load->view, PROBLEM_DIRTY, PROBLEM_NOTE, NULL,
                    "the volume was not unmounted cleanly");
    }
    if (!fat_entry_1_no_errors(info->fat_type, fat_1)) {
        problem_add(load->view, PROBLEM_DIRTY, PROBLEM_NOTE, NULL,
                    "the system that had it mounted saw I/O errors");
    }
}

static int load_all(GuestLoad *load)
{
    uint32_t fat_1;
    int ret = volume_fat_get(load->volume, 1, &fat_1);

    if (ret < 0) {
        return ret;
    }
    check_dirty(load, fat_1);
    ret = load_tree(load);
    if (ret < 0) {
        return ret;
    }
    guest_chain_name_owners(load);
    load->view->used_clusters = bitmap_count(load->used);
    return load->full ? guest_check_volume(load) : 0;
}

static GuestView *view_new(void)
{
    GuestView *view = g_new0(GuestView, 1);

    view->tree = tree_new();
    view->problems =
        g_ptr_array_new_with_free_func((GDestroyNotify)problem_free);
    return view;
}

GuestView *guest_view_load(Volume *volume, bool full, GError **errp)
{
    const BootInfo *info = volume_boot_info(volume);
    g_autoptr(GuestView) view = view_new();
    g_autoptr(Bitmap) used = NULL;
    g_autoptr(GPtrArray) pending = g_ptr_array_new();
    g_autoptr(GArray) shared = g_array_new(FALSE, FALSE, sizeof(CrossLink));
    g_autofree uint8_t *buffer = g_malloc(GUEST_LOAD_BUFFER);
    GuestLoad load = {
        .volume = volume,
        .view = view,
        .full = full,
        .pending = pending,
        .shared = shared,
        .buffer = buffer,
    };
    int ret = -ENOMEM;

    used = bitmap_try_new((uint64_t)info->cluster_count + FAT_FIRST_CLUSTER);
    load.used = used;
    if (used) {
        ret = load_all(&load);
    }
    if (ret == -ENOMEM) {
        block_error_set_errno(errp, ENOMEM, "Cannot load the FAT volume");
        return NULL;
    }
    if (ret < 0) {
        volume_read_error(volume, ret, errp);
        return NULL;
    }
    return g_steal_pointer(&view);
}

void guest_view_free(GuestView *view)
{
    if (view) {
        tree_free(view->tree);
        g_ptr_array_unref(view->problems);
        g_free(view);
    }
}
