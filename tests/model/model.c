/* SPDX-License-Identifier: MIT */
#include "tests/model/model.h"

#include <string.h>

Node *model_new(Node *parent, const char *name, bool is_dir)
{
    Node *node = g_new0(Node, 1);

    node->parent = parent;
    node->name = g_strdup(name);
    node->is_dir = is_dir;
    if (is_dir) {
        node->children = g_ptr_array_new();
    } else {
        node->data = g_byte_array_new();
    }
    if (parent) {
        g_ptr_array_add(parent->children, node);
    }
    return node;
}

void model_free(Node *node)
{
    if (!node) {
        return;
    }
    while (node->is_dir && node->children->len > 0) {
        model_free(g_ptr_array_index(node->children, 0));
    }
    if (node->parent) {
        g_ptr_array_remove(node->parent->children, node);
    }
    if (node->is_dir) {
        g_ptr_array_free(node->children, TRUE);
    } else {
        g_byte_array_free(node->data, TRUE);
    }
    g_free(node->name);
    g_free(node);
}

void model_move(Node *node, Node *parent, const char *name)
{
    char *copy = g_strdup(name);

    g_ptr_array_remove(node->parent->children, node);
    g_ptr_array_add(parent->children, node);
    node->parent = parent;
    g_free(node->name);
    node->name = copy;
}

void model_exchange(Node *a, Node *b)
{
    Node *parent = a->parent;
    g_autofree char *name = g_strdup(a->name);

    model_move(a, b->parent, b->name);
    model_move(b, parent, name);
}

bool model_is_below(const Node *node, const Node *ancestor)
{
    while (node && node != ancestor) {
        node = node->parent;
    }
    return node != NULL;
}

Node *model_child(const Node *dir, const char *name)
{
    for (guint i = 0; dir->is_dir && i < dir->children->len; i++) {
        Node *child = g_ptr_array_index(dir->children, i);

        if (strcmp(child->name, name) == 0) {
            return child;
        }
    }
    return NULL;
}

Node *model_walk(Node *root, const char *path)
{
    g_auto(GStrv) parts = g_strsplit(path, "/", -1);
    Node *node = root;

    for (int i = 0; parts[i] && node; i++) {
        node = model_child(node, parts[i]);
    }
    return node;
}

char *model_path(const Node *node)
{
    g_autofree char *above = NULL;

    if (!node->parent || !node->parent->parent) {
        return g_strdup(node->parent ? node->name : "");
    }
    above = model_path(node->parent);
    return g_strconcat(above, "/", node->name, NULL);
}

void model_write(Node *node, uint32_t offset, const uint8_t *data,
                 uint32_t bytes)
{
    if (bytes > 0) {
        if (node->data->len < offset + bytes) {
            model_resize(node, offset + bytes);
        }
        memcpy(node->data->data + offset, data, bytes);
    }
    node->is_seen = false;
}

void model_resize(Node *node, uint32_t size)
{
    guint old = node->data->len;

    g_byte_array_set_size(node->data, size);
    if (size > old) {
        memset(node->data->data + old, 0, size - old);
    }
    node->is_seen = false;
}

void model_list(const Node *dir, GPtrArray *nodes)
{
    for (guint i = 0; i < dir->children->len; i++) {
        Node *child = g_ptr_array_index(dir->children, i);

        g_ptr_array_add(nodes, child);
        if (child->is_dir) {
            model_list(child, nodes);
        }
    }
}
