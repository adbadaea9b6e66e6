/* SPDX-License-Identifier: MIT */
/* Inodes for the tree that a volume was made from. */
#include <string.h>

#include "block/vvfat/guest-state-int.h"

typedef struct Adding {
    GuestState *s;
    const Tree *tree;
    GHashTable *inodes; /* TreeNode -> Inode, of directories */
} Adding;

static void set_names(Inode *inode, const Adding *a, const TreeNode *node)
{
    inode_borrow_names(inode, node->name, node->host_name);
    if (node->name != node->host_name) {
        const char *why;
        g_autofree char *plain = names_unmap(node->name, &why);

        if (g_strcmp0(plain, node->host_name) != 0) {
            inode->alias = g_strdup(node->name);
        }
    }
    if (node->is_link) {
        inode->link_path =
            g_strdup(g_hash_table_lookup(a->tree->targets, node));
    }
}

static void set_host(Inode *inode, const Adding *a, const TreeNode *node)
{
    inode->host.dev = g_array_index(a->tree->devices, uint64_t,
                                    node->host_dev);
    inode->host.ino = node->host_ino;
    inode->host.size = node->size;
    inode->host.mtime_ns = node->host_mtime;
    inode->host_entry = inode_host_entry(&inode->entry);
    inode->is_sparse = node->is_sparse;
}

static void take_clusters(GuestState *s, Inode *inode, const TreeNode *node)
{
    uint32_t index = 0;

    for (uint32_t i = 0; i < node->chain.n_runs; i++) {
        ClusterRun run = chain_runs(&node->chain)[i];

        chain_append(&inode->chain, run); /* one run: no memory needed */
        if (!inode->is_directory) {
            chain_append(&inode->host_chain, run);
        }
        interval_map_set(s->owners, run.first, run.first + run.count, inode,
                         index);
        index += run.count;
    }
}

static bool add_node(TreeNode *node, void *opaque)
{
    Adding *a = opaque;
    GuestState *s = a->s;
    Inode *inode = s->root;

    if (node->parent) {
        Inode *parent = g_hash_table_lookup(a->inodes, node->parent);
        unsigned slots = dirent_slots(node);

        inode = guest_inode_new(s, tree_is_directory(node));
        dirent_render(node, slots - 1, &inode->entry);
        inode->parent = inode->host_parent = parent;
        inode->slot = node->slot;
        inode->n_slots = (uint8_t)slots;
        set_names(inode, a, node);
        /* What a link leads to is somebody else's place. */
        inode->is_linked_to = node->is_link || parent->is_linked_to;
        inode->is_protected = inode->is_linked_to || node->is_write_denied ||
                              (node->attr & FAT_ATTR_READ_ONLY);
        parent->children[parent->n_children++] = inode;
    }
    set_host(inode, a, node);
    linked_add(s->linked, inode);
    take_clusters(s, inode, node);
    if (inode->is_directory) {
        inode->children = g_new(Inode *, node->n_children);
        guest_dir_known(s, inode);
        g_hash_table_insert(a->inodes, node, inode);
    }
    return true;
}

void guest_state_add_layout(GuestState *s, const Layout *layout)
{
    g_autoptr(GHashTable) inodes = g_hash_table_new(NULL, NULL);
    Adding adding = {
        .s = s,
        .tree = layout_tree(layout),
        .inodes = inodes,
    };

    tree_walk(adding.tree, add_node, &adding);
}
