/* SPDX-License-Identifier: MIT */
#include "tests/unit/plan-fixture.h"

#include <criterion/criterion.h>
#include <string.h>

#define HOST_TIME 0x6000
#define GUEST_TIME 0x6001

PlanWorld *world_new(void)
{
    PlanWorld *world = g_new0(PlanWorld, 1);

    world->root = inode_new(true);
    inode_borrow_names(world->root, "", "");
    world->inodes = g_ptr_array_new_with_free_func((GDestroyNotify)inode_free);
    world->changes = g_ptr_array_new();
    world->held = g_array_new(FALSE, FALSE, sizeof(unsigned));
    return world;
}

void world_free(PlanWorld *world)
{
    if (world) {
        g_ptr_array_unref(world->changes);
        g_ptr_array_unref(world->inodes);
        g_array_unref(world->held);
        inode_free(world->root);
        g_free(world);
    }
}

Inode *world_add(PlanWorld *world, bool is_directory, Inode *host_parent,
                 const char *host_name)
{
    Inode *inode = inode_new(is_directory);

    inode->id = world->inodes->len + 2;
    inode->parent = inode->host_parent = host_parent;
    inode_set_host_name(inode, host_name);
    inode->entry.attr = is_directory ? FAT_ATTR_DIRECTORY : FAT_ATTR_ARCHIVE;
    le16_put(&inode->entry.mtime, HOST_TIME);
    inode->host_entry = inode_host_entry(&inode->entry);
    g_ptr_array_add(world->inodes, inode);
    return inode;
}

void world_change(PlanWorld *world, Inode *inode, Inode *parent,
                  const char *target_name)
{
    inode->change = g_new0(InodeChange, 1);
    inode->change->target_name = g_strdup(target_name);
    inode->parent = parent;
    if (!inode_is_on_host(inode)) {
        inode->change->content = CONTENT_WHOLE;
    }
    g_ptr_array_add(world->changes, inode);
}

/* ---- As text ---- */

/* Cuts "a/b/" into the directory's "a", or "" and "b". */
static char *split_path(const char *path, char **name)
{
    g_autofree char *copy = g_strdup(path);
    char *slash;

    if (g_str_has_suffix(copy, "/")) {
        copy[strlen(copy) - 1] = '\0';
    }
    slash = strrchr(copy, '/');
    *name = g_strdup(slash ? slash + 1 : copy);
    return slash ? g_strndup(copy, (gsize)(slash - copy)) : g_strdup("");
}

/* The directory of a path, by the first (HOST) or second field of lines. */
static Inode *find_dir(const PlanWorld *world, GPtrArray *lines, int field,
                       const char *path)
{
    g_autofree char *with_slash = g_strconcat(path, "/", NULL);

    if (*path == '\0') {
        return world->root;
    }
    for (guint i = 0; i < lines->len; i++) {
        char **words = lines->pdata[i];

        if (g_str_equal(words[field], with_slash)) {
            return world->inodes->pdata[i];
        }
    }
    cr_assert_fail("no directory '%s' in the test's lines", path);
    return NULL;
}

static void parse_host(PlanWorld *world, GPtrArray *lines, char **words)
{
    g_autofree char *name = NULL;
    bool is_directory = g_str_has_suffix(words[0], "/") ||
                        g_str_has_suffix(words[1], "/");

    if (g_str_equal(words[0], "-")) {
        world_add(world, is_directory, NULL, NULL);
    } else {
        g_autofree char *dir = split_path(words[0], &name);
        world_add(world, is_directory, find_dir(world, lines, 0, dir), name);
    }
}

static void parse_word(Inode *inode, const char *word)
{
    if (g_str_equal(word, "whole")) {
        inode->change->content = CONTENT_WHOLE;
    } else if (g_str_equal(word, "ranges")) {
        inode->change->content = CONTENT_RANGES;
    } else if (g_str_equal(word, "hidden")) {
        inode->entry.attr |= FAT_ATTR_HIDDEN;
    } else if (g_str_equal(word, "writable")) {
        inode->host_entry.attr |= FAT_ATTR_READ_ONLY;
    } else if (g_str_equal(word, "touched")) {
        le16_put(&inode->entry.mtime, GUEST_TIME);
    } else if (g_str_equal(word, "held")) {
        inode->change->held = INODE_CHAIN_BAD;
    } else {
        cr_assert_fail("'%s'?", word);
    }
}

static void parse_guest(PlanWorld *world, GPtrArray *lines, guint i)
{
    Inode *inode = world->inodes->pdata[i];
    char **words = lines->pdata[i];

    if (g_str_equal(words[1], "-")) {
        world_change(world, inode, NULL, NULL);
    } else {
        g_autofree char *name = NULL;
        g_autofree char *path = split_path(words[1], &name);
        Inode *dir = find_dir(world, lines, 1, path);

        if (!words[2] && dir == inode->host_parent &&
            g_str_equal(name, inode->host_name)) {
            return;
        }
        world_change(world, inode, dir, name);
    }
    for (int word = 2; words[word]; word++) {
        parse_word(inode, words[word]);
    }
}

PlanWorld *world_parse(const char *text)
{
    PlanWorld *world = world_new();
    g_autoptr(GPtrArray)
        lines = g_ptr_array_new_with_free_func((GDestroyNotify)g_strfreev);
    g_auto(GStrv) all = g_strsplit(text, "\n", -1);

    for (char **line = all; *line && **line; line++) {
        g_ptr_array_add(lines, g_strsplit(*line, " ", -1));
        parse_host(world, lines, lines->pdata[lines->len - 1]);
    }
    for (guint i = 0; i < lines->len; i++) {
        parse_guest(world, lines, i);
    }
    return world;
}

static void append_guest_path(GString *text, const Inode *inode)
{
    if (inode->parent && inode->parent->parent) {
        append_guest_path(text, inode->parent);
        g_string_append_c(text, '/');
    }
    g_string_append(text, inode->change ? inode->change->target_name
                                        : inode->host_name);
}

static void append_words(GString *text, const Inode *inode)
{
    static const char *const contents[] = { "", " ranges", " whole" };

    if (!inode->change) {
        return;
    }
    if (inode_is_on_host(inode)) {
        g_string_append(text, contents[inode->change->content]);
    }
    if (inode->entry.attr & FAT_ATTR_HIDDEN) {
        g_string_append(text, " hidden");
    }
    if (inode->host_entry.attr & FAT_ATTR_READ_ONLY) {
        g_string_append(text, " writable");
    }
    if (le16_get(inode->entry.mtime) == GUEST_TIME) {
        g_string_append(text, " touched");
    }
    if (inode->change->held) {
        g_string_append(text, " held");
    }
}

char *world_to_text(const PlanWorld *world)
{
    GString *text = g_string_new(NULL);

    for (guint i = 0; i < world->inodes->len; i++) {
        const Inode *inode = world->inodes->pdata[i];
        g_autofree char *host = inode_host_path(inode);
        const char *end = inode->is_directory ? "/" : "";

        g_string_append_printf(text, "%s%s ", host ? host : "-",
                               host ? end : "");
        if (inode->change && !inode->change->target_name) {
            g_string_append(text, "-");
        } else {
            append_guest_path(text, inode);
            g_string_append(text, end);
        }
        append_words(text, inode);
        g_string_append_c(text, '\n');
    }
    return g_string_free(text, FALSE);
}

Plan *world_plan(PlanWorld *world)
{
    g_array_set_size(world->held, 0);
    for (guint i = 0; i < world->changes->len; i++) {
        const Inode *inode = world->changes->pdata[i];

        g_array_append_val(world->held, inode->change->held);
    }
    return plan_new(world->changes);
}
