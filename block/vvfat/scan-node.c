/* SPDX-License-Identifier: MIT */
/* A node of the tree, from what the host says of a file or directory. */
#include "block/vvfat/dirent.h"
#include "block/vvfat/scan-int.h"

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

static void set_times(Scan *scan, TreeNode *node, const HostStat *st)
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
        g_autofree char *path = node->parent
                                    ? scan_path(node->parent, node->host_name)
                                    : g_strdup(".");

        report_add(scan->report, REPORT_CLAMPED, path,
                   "its time is outside 1980..2107");
    }
}

void scan_node_describe(Scan *scan, TreeNode *node, const HostStat *st)
{
    node->host_ino = st->ino;
    node->host_dev = scan_device(scan->tree, st->dev);
    set_times(scan, node, st);
}

/* Hidden, system and archive, where somebody has set them. The read-only bit
 * is the host's permission. */
static void set_attributes(TreeNode *node, const ScanEntry *entry)
{
    const uint8_t kept = FAT_ATTR_HIDDEN | FAT_ATTR_SYSTEM | FAT_ATTR_ARCHIVE;

    if (entry->attr_ret == 0 && !node->is_link) {
        node->attr = (uint8_t)((node->attr & ~kept) | (entry->attr & kept));
    }
}

TreeNode *scan_node_new(Scan *scan, TreeNode *dir, const ScanEntry *entry,
                        const HostStat *st, char *target)
{
    bool is_directory = st->kind == HOST_DIRECTORY;
    TreeNode *node = tree_node_new(scan->tree, entry->name, is_directory);

    node->parent = dir;
    node->host_name = node->name;
    node->has_long_name = true;
    node->is_write_denied = !st->writable;
    scan_node_describe(scan, node, st);
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
    set_attributes(node, entry);
    return node;
}
