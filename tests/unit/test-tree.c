/* SPDX-License-Identifier: MIT */
/* Trees: paths, order of walking, looking up, great depth. */
#include <criterion/criterion.h>
#include <string.h>

#include "block/vvfat/tree.h"

static TreeNode *add(Tree *tree, const char *name, bool is_directory)
{
    TreeNode *node = tree_node_new(tree, name, is_directory);

    node->host_name = node->name;
    return node;
}

static void give(TreeNode *dir, TreeNode *a, TreeNode *b)
{
    TreeNode **children = g_new(TreeNode *, 2);

    children[0] = a;
    children[1] = b;
    tree_set_children(dir, children, b ? 2 : 1);
}

/* a/{b/{x},c} and d */
static Tree *sample(void)
{
    Tree *tree = tree_new();
    TreeNode *a = add(tree, "a", true), *b = add(tree, "b", true);
    TreeNode *x = add(tree, "x.txt", false);

    memcpy(x->short_name, "XSHOR~1 TXT", 11);
    give(tree->root, a, add(tree, "d", false));
    give(a, b, add(tree, "c", false));
    give(b, x, NULL);
    return tree;
}

static bool append_path(TreeNode *node, void *opaque)
{
    g_autofree char *path = tree_path(node);

    g_string_append_printf(opaque, "%s;", path);
    return strcmp(node->name, "c") != 0;
}

Test(tree, walks_parents_first_and_in_order_until_told_to_stop)
{
    g_autoptr(Tree) tree = sample();
    g_autoptr(GString) seen = g_string_new(NULL);

    cr_assert_not(tree_walk(tree, append_path, seen));
    cr_assert_str_eq(seen->str, ";a;a/b;a/b/x.txt;a/c;");
}

Test(tree, looks_up_as_fat_does)
{
    g_autoptr(Tree) tree = sample();
    TreeNode *x = tree_lookup(tree, "a/b/x.txt");

    cr_assert_not_null(x);
    cr_assert_str_eq(x->name, "x.txt");
    cr_assert_eq(tree_lookup(tree, "//A/B//X.TXT/"), x);
    cr_assert_eq(tree_lookup(tree, "a/b/xshor~1.txt"), x);
    cr_assert_eq(tree_lookup(tree, ""), tree->root);
    cr_assert_null(tree_lookup(tree, "a/b/y"));
    cr_assert_null(tree_lookup(tree, "d/x"));
}

Test(tree, real_path_goes_through_what_a_link_stands_for)
{
    g_autoptr(Tree) tree = sample();
    TreeNode *b = tree_lookup(tree, "a/b");
    TreeNode *x = tree_lookup(tree, "a/b/x.txt");
    g_autofree char *direct = tree_real_path(tree, x);
    g_autofree char *linked = NULL, *itself = NULL, *host = NULL;

    cr_assert_str_eq(direct, "a/b/x.txt");
    b->is_link = true;
    g_hash_table_insert(tree->targets, b, g_strdup("other/place"));
    linked = tree_real_path(tree, x);
    itself = tree_real_path(tree, b);
    host = tree_host_path(x);
    cr_assert_str_eq(linked, "other/place/x.txt");
    cr_assert_str_eq(itself, "other/place");
    cr_assert_str_eq(host, "a/b/x.txt");
}

static bool count_node(TreeNode *node, void *opaque)
{
    (void)node;
    ++*(unsigned *)opaque;
    return true;
}

Test(tree, depth_is_limited_by_memory_alone)
{
    g_autoptr(Tree) tree = tree_new();
    TreeNode *dir = tree->root;
    unsigned n = 0;
    g_autofree char *path = NULL;

    for (unsigned i = 0; i < 300000; i++) {
        TreeNode *child = add(tree, "d", true);

        give(dir, child, NULL);
        dir = child;
    }
    cr_assert(tree_walk(tree, count_node, &n));
    cr_assert_eq(n, 300001);
    path = tree_path(dir);
    cr_assert_eq(strlen(path), 2 * 300000 - 1);
}

Test(tree, a_node_is_small)
{
    /* What a million files cost; see docs/performance.md. */
    cr_assert_leq(sizeof(TreeNode), 104);
}
