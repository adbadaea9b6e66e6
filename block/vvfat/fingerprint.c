/* SPDX-License-Identifier: MIT */
#include "block/vvfat/fingerprint.h"

#include <string.h>

/* Everything is digested as 64-bit numbers, little-endian, and names with
 * their NUL, so that no two sequences run into the same bytes. */
static void add_number(GChecksum *sum, uint64_t n)
{
    guint64 le = GUINT64_TO_LE(n);

    g_checksum_update(sum, (const guchar *)&le, sizeof(le));
}

static void add_geometry(GChecksum *sum, const Geometry *g)
{
    const uint64_t numbers[] = {
        g->fat_type,        g->partition,      g->disk_sectors,
        g->volume_start,    g->volume_sectors, g->reserved_sectors,
        g->sectors_per_fat, g->root_start,     g->root_sectors,
        g->data_start,      g->root_entries,   g->sectors_per_cluster,
        g->cluster_count,
    };

    for (size_t i = 0; i < G_N_ELEMENTS(numbers); i++) {
        add_number(sum, numbers[i]);
    }
}

/* Parents come before their children, so these numbers say whose child each
 * node is. */
static bool add_node(TreeNode *node, void *opaque)
{
    GChecksum *sum = opaque;

    g_checksum_update(sum, (const guchar *)node->name,
                      (gssize)strlen(node->name) + 1);
    add_number(sum, tree_is_directory(node));
    add_number(sum, node->n_children);
    add_number(sum, node->size);
    add_number(sum, chain_first(&node->chain));
    return true;
}

Fingerprint fingerprint_of_layout(const Layout *layout)
{
    g_autoptr(GChecksum) sum = g_checksum_new(G_CHECKSUM_SHA256);
    const Geometry *g = layout_geometry(layout);
    const Tree *tree = layout_tree(layout);
    Fingerprint fingerprint = {
        .disk_bytes = (uint64_t)layout_disk_bytes(layout),
        .n_files = tree->n_files,
        .n_directories = tree->n_directories,
        .cluster_bytes = geometry_cluster_size(g),
    };
    gsize bytes = sizeof(fingerprint.digest);

    add_geometry(sum, g);
    tree_walk(tree, add_node, sum);
    g_checksum_get_digest(sum, fingerprint.digest, &bytes);
    return fingerprint;
}
