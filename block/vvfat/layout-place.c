/* SPDX-License-Identifier: MIT */
/*
 * Places: slots in directories, clusters on the disk.
 *
 * Clusters are given in the order of a walk through the tree, each directory
 * before what is in it, so that reading the disk from start to end reads the
 * host's files in the order of their paths.
 */
#include <errno.h>
#include <string.h>

#include "block/error.h"
#include "block/vvfat/dirent.h"
#include "block/vvfat/layout-int.h"
#include "block/vvfat/report.h"

/* ---- Slots ---- */

unsigned layout_own_slots(const Layout *layout, const TreeNode *dir)
{
    return dir->parent ? 2 : layout->tree->has_label;
}

uint32_t layout_dir_slots(const Layout *layout, const TreeNode *dir)
{
    const TreeNode *last;

    if (!dir->n_children) {
        return layout_own_slots(layout, dir);
    }
    last = dir->children[dir->n_children - 1];
    return last->slot + dirent_slots(last);
}

uint64_t layout_dir_bytes(const Layout *layout, const TreeNode *dir)
{
    uint64_t bytes = (uint64_t)layout_dir_slots(layout, dir) * FAT_DIRENT_SIZE;

    return (bytes + SECTOR_SIZE - 1) / SECTOR_SIZE * SECTOR_SIZE;
}

typedef struct SlotWalk {
    Layout *layout;
    GError **errp;
} SlotWalk;

static bool place_children(TreeNode *dir, void *opaque)
{
    SlotWalk *walk = opaque;
    uint64_t slot = layout_own_slots(walk->layout, dir);

    for (uint32_t i = 0; i < dir->n_children; i++) {
        dir->children[i]->slot = (uint16_t)slot;
        slot += dirent_slots(dir->children[i]);
        if (slot > FAT_MAX_DIR_ENTRIES) {
            g_autofree char *path = tree_host_path(dir);
            g_autofree char *text = report_escape(path);

            block_error_set(walk->errp, EFBIG,
                            "Directory '%s' is too large for FAT: its %u "
                            "names take more than %u entries; divide it, or "
                            "shorten the names",
                            *text ? text : ".", dir->n_children,
                            FAT_MAX_DIR_ENTRIES);
            return false;
        }
    }
    return true;
}

bool layout_place_entries(Layout *layout, GError **errp)
{
    SlotWalk walk = { .layout = layout, .errp = errp };

    return tree_walk(layout->tree, place_children, &walk);
}

/* ---- Clusters ---- */

static uint64_t clusters_for(uint64_t bytes, uint32_t cluster_size)
{
    return bytes / cluster_size + (bytes % cluster_size != 0);
}

/* Clusters of a node. A directory has at least one, an empty file none. */
static uint64_t node_clusters(const Layout *layout, const TreeNode *node,
                              uint32_t cluster_size)
{
    uint64_t n;

    if (!tree_is_directory(node)) {
        return clusters_for(node->size, cluster_size);
    }
    n = clusters_for((uint64_t)layout_dir_slots(layout, node) *
                         FAT_DIRENT_SIZE,
                     cluster_size);
    return MAX(n, 1);
}

typedef struct ClusterCount {
    const Layout *layout;
    uint32_t cluster_size;
    uint64_t clusters;
} ClusterCount;

static bool count_clusters(TreeNode *node, void *opaque)
{
    ClusterCount *count = opaque;

    count->clusters += node_clusters(count->layout, node, count->cluster_size);
    return true;
}

uint64_t layout_clusters_needed(uint32_t cluster_size, bool with_root,
                                const void *opaque)
{
    const Layout *layout = opaque;
    ClusterCount count = { .layout = layout, .cluster_size = cluster_size };

    tree_walk(layout->tree, count_clusters, &count);
    if (!with_root) {
        count.clusters -= node_clusters(layout, layout->tree->root,
                                        cluster_size);
    }
    return count.clusters;
}

static bool place_node(TreeNode *node, void *opaque)
{
    Layout *layout = opaque;
    ClusterRun run = { .first = layout->next_free };

    if (!node->parent && layout->geometry.fat_type != 32) {
        return true; /* the root stands in front of the clusters */
    }
    run.count = (uint32_t)node_clusters(
        layout, node, geometry_cluster_size(&layout->geometry));
    if (run.count) {
        chain_append(&node->chain, run);
        layout->next_free += run.count;
        layout->starts[layout->n_placed] = run.first;
        layout->placed[layout->n_placed++] = node;
    }
    return true;
}

void layout_place_clusters(Layout *layout)
{
    const Tree *tree = layout->tree;
    size_t n = tree->n_files + tree->n_directories;

    layout->placed = g_new(TreeNode *, n);
    layout->starts = g_new(uint32_t, n + 1);
    layout->next_free = FAT_FIRST_CLUSTER;
    tree_walk(tree, place_node, layout);
    n = layout->n_placed;
    layout->placed = g_renew(TreeNode *, layout->placed, MAX(n, 1));
    layout->starts = g_renew(uint32_t, layout->starts, n + 1);
    layout->starts[n] = layout->next_free;
}

uint32_t layout_find(const Layout *layout, uint32_t cluster)
{
    uint32_t low = 0, high = layout->n_placed;

    /* The last node that begins at or before the cluster. */
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;

        if (layout->starts[middle] <= cluster) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}
