/* SPDX-License-Identifier: MIT */
/*
 * The chains of a volume's files and directories.
 *
 * Every cluster belongs to the first chain that reaches it (in the order in
 * which directories are read); a later chain that runs into it ends there.
 * That makes the walk finite on any volume: no cluster is followed twice, and
 * no directory is read twice.
 */
#include "block/vvfat/guest-load.h"

#include <errno.h>

#include "block/vvfat/fat.h"
#include "block/vvfat/volume.h"

/* Whether a chain being followed, of which `tail` is not yet in node->chain,
 * has the cluster. */
static bool chain_has(const TreeNode *node, ClusterRun tail, uint32_t cluster)
{
    const ClusterRun *runs = chain_runs(&node->chain);

    if (cluster - tail.first < tail.count) {
        return true;
    }
    for (uint32_t i = 0; i < node->chain.n_runs; i++) {
        if (cluster - runs[i].first < runs[i].count) {
            return true;
        }
    }
    return false;
}

static void report_shared(GuestLoad *load, const TreeNode *node,
                          ClusterRun tail, uint32_t cluster)
{
    CrossLink link = { .cluster = cluster };

    if (chain_has(node, tail, cluster)) {
        problem_add(load->view, PROBLEM_CHAIN_LOOP, PROBLEM_DAMAGE, node,
                    "its chain leads back to its own cluster %u", cluster);
        return;
    }
    link.problem = problem_add(
        load->view, PROBLEM_CROSS_LINK, PROBLEM_DAMAGE, node,
        "its chain runs into cluster %u, which belongs to another", cluster);
    g_array_append_val(load->shared, link);
}

static void report_bad(GuestLoad *load, const TreeNode *node, uint32_t cluster,
                       const char *what)
{
    problem_add(load->view, PROBLEM_CHAIN_BAD, PROBLEM_DAMAGE, node,
                "its chain runs into cluster %u, which %s", cluster, what);
}

/* Whether the chain may go on with this cluster; *value is its FAT entry.
 * 1: yes; 0: no, and that is recorded; or -errno. */
static int chain_accept(GuestLoad *load, const TreeNode *node, ClusterRun tail,
                        uint32_t cluster, uint32_t *value)
{
    int ret;

    if (!volume_has_cluster(load->volume, cluster)) {
        report_bad(load, node, cluster, "the volume does not have");
        return 0;
    }
    if (bitmap_test(load->used, cluster)) {
        report_shared(load, node, tail, cluster);
        return 0;
    }
    ret = volume_fat_get(load->volume, cluster, value);
    if (ret < 0) {
        return ret;
    }
    if (*value == FAT_ENTRY_FREE || *value == FAT_ENTRY_BAD) {
        report_bad(load, node, cluster,
                   *value == FAT_ENTRY_FREE ? "is free" : "is marked bad");
        return 0;
    }
    return 1;
}

/* Follow the chain to its end or to where it is damaged: 1, it is whole; 0,
 * it is not, and that is recorded; or -errno. */
static int chain_walk(GuestLoad *load, TreeNode *node, uint32_t cluster)
{
    ClusterRun tail = { 0 };
    uint32_t value;
    int ret;

    for (;;) {
        ret = chain_accept(load, node, tail, cluster, &value);
        if (ret <= 0) {
            break;
        }
        bitmap_set(load->used, cluster);
        if (tail.count && tail.first + tail.count == cluster) {
            tail.count++;
        } else {
            if (tail.count && !chain_append(&node->chain, tail)) {
                return -ENOMEM;
            }
            tail = (ClusterRun){ .first = cluster, .count = 1 };
        }
        if (value == FAT_ENTRY_EOC) {
            break;
        }
        cluster = value;
    }
    if (tail.count && !chain_append(&node->chain, tail)) {
        return -ENOMEM;
    }
    return ret;
}

/* Compare the length of a whole chain with the size of its file. */
static void check_length(GuestLoad *load, const TreeNode *node)
{
    uint32_t cluster_size = volume_cluster_size(load->volume);
    uint64_t bytes = chain_length(&node->chain) * cluster_size;

    if (bytes < node->size) {
        problem_add(load->view, PROBLEM_CHAIN_SHORT, PROBLEM_DAMAGE, node,
                    "its size is %u bytes, but its clusters hold only "
                    "%" G_GUINT64_FORMAT,
                    node->size, bytes);
    } else if (bytes - node->size >= cluster_size) {
        problem_add(load->view, PROBLEM_CHAIN_LONG, PROBLEM_DAMAGE, node,
                    "its size is %u bytes, but its clusters hold "
                    "%" G_GUINT64_FORMAT,
                    node->size, bytes);
    }
}

int guest_chain_follow(GuestLoad *load, TreeNode *node, uint32_t first)
{
    int ret = 1;

    if (first != 0) {
        ret = chain_walk(load, node, first);
    } else if (tree_is_directory(node)) {
        problem_add(load->view, PROBLEM_CHAIN_BAD, PROBLEM_DAMAGE, node,
                    "a directory that has no cluster");
    }
    if (ret > 0 && !tree_is_directory(node)) {
        check_length(load, node);
    }
    return MIN(ret, 0);
}

/* ---- Cross-links ---- */

static int compare_links(const void *a, const void *b)
{
    uint32_t first = ((const CrossLink *)a)->cluster;
    uint32_t second = ((const CrossLink *)b)->cluster;

    return (first > second) - (first < second);
}

/* Index of the first link whose cluster is not below `cluster`. */
static guint links_find(const GArray *links, uint32_t cluster)
{
    guint low = 0, high = links->len;

    while (low < high) {
        guint middle = low + (high - low) / 2;

        if (g_array_index(links, CrossLink, middle).cluster < cluster) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static bool name_owner(TreeNode *node, void *opaque)
{
    GuestLoad *load = opaque;
    const ClusterRun *runs = chain_runs(&node->chain);

    for (uint32_t i = 0; i < node->chain.n_runs; i++) {
        for (guint j = links_find(load->shared, runs[i].first);
             j < load->shared->len; j++) {
            CrossLink *link = &g_array_index(load->shared, CrossLink, j);
            g_autofree char *path = NULL;

            if (link->cluster - runs[i].first >= runs[i].count) {
                break;
            }
            if (link->problem >= 0) {
                path = guest_view_path(node);
                problem_append(load->view, link->problem, ": '/%s'", path);
            }
        }
    }
    return true;
}

void guest_chain_name_owners(GuestLoad *load)
{
    if (load->shared->len) {
        g_array_sort(load->shared, compare_links);
        tree_walk(load->view->tree, name_owner, load);
    }
}
