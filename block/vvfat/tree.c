/* SPDX-License-Identifier: MIT */
/*
 * Trees of files and directories. Nothing here recurses: trees come from
 * outside and may be as deep as their maker liked.
 */
#include "block/vvfat/tree.h"

#include <string.h>

#include "block/vvfat/names.h"

Tree *tree_new(void)
{
    Tree *tree = g_new0(Tree, 1);

    tree->arena = arena_new();
    tree->devices = g_array_new(FALSE, FALSE, sizeof(uint64_t));
    tree->targets = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    tree->root = tree_node_new(tree, "", true);
    tree->root->host_name = tree->root->name;
    tree->n_directories = 1;
    memset(tree->label, ' ', sizeof(tree->label));
    return tree;
}

void tree_free(Tree *tree)
{
    g_autoptr(GPtrArray) dirs = NULL;

    if (!tree) {
        return;
    }
    dirs = g_ptr_array_new();
    g_ptr_array_add(dirs, tree->root);
    while (dirs->len) {
        TreeNode *dir = g_ptr_array_steal_index_fast(dirs, dirs->len - 1);

        chain_clear(&dir->chain);
        for (uint32_t i = 0; i < dir->n_children; i++) {
            TreeNode *child = dir->children[i];

            if (tree_is_directory(child)) {
                g_ptr_array_add(dirs, child);
            } else {
                chain_clear(&child->chain);
            }
        }
        g_free(dir->children);
    }
    g_hash_table_unref(tree->targets);
    g_array_unref(tree->devices);
    arena_free(tree->arena);
    g_free(tree);
}

TreeNode *tree_node_new(Tree *tree, const char *name, bool is_directory)
{
    TreeNode *node = arena_alloc(tree->arena, sizeof(*node));

    /* Whole, though it is zeroed: a page of which something is read before it
     * is written to costs two faults. */
    *node = (TreeNode){
        .name = arena_strdup(tree->arena, name),
        .attr = is_directory ? FAT_ATTR_DIRECTORY : 0,
    };
    return node;
}

void tree_set_children(TreeNode *dir, TreeNode **children, uint32_t n)
{
    g_free(dir->children);
    dir->children = children;
    dir->n_children = n;
    for (uint32_t i = 0; i < n; i++) {
        children[i]->parent = dir;
    }
}

/* ---- Paths ---- */

typedef const char *NodeText(const TreeNode *node);

static const char *node_name(const TreeNode *node)
{
    return node->name;
}

static const char *node_host_name(const TreeNode *node)
{
    return node->host_name ? node->host_name : node->name;
}

/* Texts of the nodes from below `top` (not included) down to `node`, behind
 * `start`, with slashes between. */
static char *path_join(const char *start, const TreeNode *top,
                       const TreeNode *node, NodeText *text)
{
    size_t bytes = strlen(start) + 1;
    char *path, *at;

    for (const TreeNode *n = node; n != top; n = n->parent) {
        bytes += strlen(text(n)) + 1;
    }
    path = g_malloc(bytes);
    at = path + bytes - 1;
    *at = '\0';
    for (const TreeNode *n = node; n != top; n = n->parent) {
        size_t len = strlen(text(n));

        at -= len;
        memcpy(at, text(n), len);
        *--at = '/';
    }
    memcpy(path, start, strlen(start));
    if (path[0] == '/' && !*start) {
        memmove(path, path + 1, bytes - 1);
    }
    return path;
}

static const TreeNode *tree_top(const TreeNode *node)
{
    while (node->parent) {
        node = node->parent;
    }
    return node;
}

char *tree_path(const TreeNode *node)
{
    return path_join("", tree_top(node), node, node_name);
}

char *tree_host_path(const TreeNode *node)
{
    return path_join("", tree_top(node), node, node_host_name);
}

char *tree_real_path(const Tree *tree, const TreeNode *node)
{
    const TreeNode *top = node;

    while (top->parent && !top->is_link) {
        top = top->parent;
    }
    return path_join(top->is_link ? g_hash_table_lookup(tree->targets, top)
                                  : "",
                     top, node, node_host_name);
}

/* ---- Looking up ---- */

/* The short name as text, when it is plain ASCII: other bytes mean something
 * in a code page alone, and such a file has a long name too. */
static bool short_name_text(const TreeNode *node, char text[13])
{
    const uint8_t *name = node->short_name;
    size_t n = 0;

    for (size_t i = 0; i < FAT_SHORT_NAME_SIZE; i++) {
        if (name[i] >= 0x80 || name[i] < ' ') {
            return false;
        }
        if (name[i] == ' ') {
            continue;
        }
        if (i >= 8 && !memchr(text, '.', n)) {
            text[n++] = '.';
        }
        text[n++] = (char)name[i];
    }
    text[n] = '\0';
    return n > 0;
}

static bool name_matches(const TreeNode *node, const char *name)
{
    char text[13];

    return names_fold_equal(node->name, name) ||
           (short_name_text(node, text) && names_fold_equal(text, name));
}

static TreeNode *lookup_child(const TreeNode *dir, const char *name)
{
    for (uint32_t i = 0; i < dir->n_children; i++) {
        if (strcmp(dir->children[i]->name, name) == 0) {
            return dir->children[i];
        }
    }
    for (uint32_t i = 0; i < dir->n_children; i++) {
        if (name_matches(dir->children[i], name)) {
            return dir->children[i];
        }
    }
    return NULL;
}

TreeNode *tree_lookup(const Tree *tree, const char *path)
{
    TreeNode *node = tree->root;

    for (;;) {
        g_autofree char *name = NULL;
        size_t n;

        path += strspn(path, "/");
        if (!*path) {
            return node;
        }
        n = strcspn(path, "/");
        name = g_strndup(path, n);
        node = lookup_child(node, name);
        if (!node) {
            return NULL;
        }
        path += n;
    }
}

/* ---- Walking ---- */

bool tree_walk(const Tree *tree, TreeVisitor *visit, void *opaque)
{
    g_autoptr(GArray) next = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    TreeNode *dir = tree->root;
    uint32_t i = 0;

    if (!visit(dir, opaque)) {
        return false;
    }
    for (;;) {
        if (i < dir->n_children) {
            TreeNode *child = dir->children[i++];

            if (!visit(child, opaque)) {
                return false;
            }
            if (child->n_children) {
                g_array_append_val(next, i);
                dir = child;
                i = 0;
            }
        } else if (next->len) {
            i = g_array_index(next, uint32_t, next->len - 1);
            g_array_set_size(next, next->len - 1);
            dir = dir->parent;
        } else {
            return true;
        }
    }
}
