/* SPDX-License-Identifier: MIT */
/*
 * A set of options as JSON. The dotted keys are gathered in a tree, each
 * member where its first key stands in the set, and the tree is written. A
 * hash table finds a node's child by name, so the cost is linear in the
 * number of keys.
 *
 * What a tree cannot say is written with dots in the name, which reads back
 * as the same key: a key that is also the prefix of others ("file" and
 * "file.driver"), and what lies deeper than the reader accepts.
 */
#include "util/json.h"

#include <string.h>

#include "util/arena.h"
#include "util/option-set.h"

typedef struct Node {
    struct Node *parent;
    struct Node *first, *last; /* children */
    struct Node *next;         /* sibling */
    const OptionEntry *entry;  /* whose key ends here, or NULL */
    const char *name;
    size_t name_length;
    size_t nchildren;
} Node;

typedef struct Tree {
    Arena *arena;
    GHashTable *nodes; /* set of Node by parent and name */
    Node *root;
} Tree;

/* ---- Building the tree ---- */

static guint node_hash(gconstpointer key)
{
    const Node *node = key;
    guint hash = g_direct_hash(node->parent);

    for (size_t i = 0; i < node->name_length; i++) {
        hash = hash * 33 + (unsigned char)node->name[i];
    }
    return hash;
}

static gboolean node_equal(gconstpointer a, gconstpointer b)
{
    const Node *x = a, *y = b;

    return x->parent == y->parent && x->name_length == y->name_length &&
           memcmp(x->name, y->name, x->name_length) == 0;
}

static Node *node_child(Tree *tree, Node *parent, const char *name,
                        size_t length)
{
    Node wanted = { .parent = parent, .name = name, .name_length = length };
    Node *node = g_hash_table_lookup(tree->nodes, &wanted);

    if (node != NULL) {
        return node;
    }
    node = arena_alloc(tree->arena, sizeof(*node));
    *node = wanted;
    if (parent->last != NULL) {
        parent->last->next = node;
    } else {
        parent->first = node;
    }
    parent->last = node;
    parent->nchildren++;
    g_hash_table_add(tree->nodes, node);
    return node;
}

static void tree_insert(Tree *tree, const OptionEntry *entry)
{
    Node *node = tree->root;
    const char *name = entry->key;

    for (int depth = 1; depth < JSON_MAX_DEPTH; depth++) {
        const char *dot = strchr(name, '.');

        if (dot == NULL) {
            break;
        }
        node = node_child(tree, node, name, dot - name);
        name = dot + 1;
    }
    node_child(tree, node, name, strlen(name))->entry = entry;
}

/* ---- Writing it ---- */

static bool node_is_mixed(const Node *node)
{
    return node->entry != NULL && node->first != NULL;
}

/* The index that the name of a list element spells; false if none. */
static bool node_index(const Node *node, size_t *index)
{
    size_t n = 0;

    if (node->name_length == 0 || node->name_length > 10 ||
        (node->name[0] == '0' && node->name_length > 1)) {
        return false;
    }
    for (size_t i = 0; i < node->name_length; i++) {
        if (!g_ascii_isdigit(node->name[i])) {
            return false;
        }
        n = 10 * n + (node->name[i] - '0');
    }
    *index = n;
    return true;
}

/*
 * The children in order of index if they are 0..n-1, else NULL. Names are
 * unique, so n indices below n are all of them.
 */
static Node **node_elements(const Node *node)
{
    g_autofree Node **elements = g_new0(Node *, node->nchildren);
    size_t index;

    for (Node *child = node->first; child != NULL; child = child->next) {
        if (node_is_mixed(child) || !node_index(child, &index) ||
            index >= node->nchildren) {
            return NULL;
        }
        elements[index] = child;
    }
    return g_steal_pointer(&elements);
}

static void write_entry(JsonWriter *w, const char *name,
                        const OptionEntry *entry)
{
    switch (entry->form) {
    case OPTION_FORM_TEXT:
        json_string(w, name, entry->value);
        break;
    case OPTION_FORM_BOOL:
        json_bool(w, name, strcmp(entry->value, "on") == 0);
        break;
    case OPTION_FORM_NUMBER:
        json_number(w, name, entry->value);
        break;
    case OPTION_FORM_NULL:
        json_number(w, name, "null");
        break;
    }
}

static void write_members(JsonWriter *w, const Node *node, const char *prefix);

static void write_node(JsonWriter *w, const char *name, const Node *node)
{
    g_autofree Node **elements = NULL;

    if (node->first == NULL) {
        write_entry(w, name, node->entry);
        return;
    }
    elements = node_elements(node);
    if (elements == NULL) {
        json_begin_object(w, name);
        write_members(w, node, "");
        json_end_object(w);
        return;
    }
    json_begin_array(w, name);
    for (size_t i = 0; i < node->nchildren; i++) {
        write_node(w, NULL, elements[i]);
    }
    json_end_array(w);
}

/* The children as members, their names behind `prefix`. */
static void write_members(JsonWriter *w, const Node *node, const char *prefix)
{
    for (const Node *child = node->first; child != NULL; child = child->next) {
        g_autofree char *name = g_strdup_printf(
            "%s%.*s", prefix, (int)child->name_length, child->name);

        if (node_is_mixed(child)) {
            g_autofree char *below = g_strconcat(name, ".", NULL);

            write_entry(w, name, child->entry);
            write_members(w, child, below);
        } else {
            write_node(w, name, child);
        }
    }
}

void json_options(JsonWriter *w, const char *name, const Options *opts)
{
    g_autoptr(Arena) arena = arena_new();
    g_autoptr(GHashTable) nodes = g_hash_table_new(node_hash, node_equal);
    Node root = { 0 };
    Tree tree = { .arena = arena, .nodes = nodes, .root = &root };

    for (const OptionEntry *e = options_first(opts); e != NULL; e = e->next) {
        tree_insert(&tree, e);
    }
    json_begin_object(w, name);
    write_members(w, &root, "");
    json_end_object(w);
}

char *options_to_json(const Options *opts)
{
    JsonWriter *w = json_writer_new(false);

    json_options(w, NULL, opts);
    return json_writer_finish(w);
}
