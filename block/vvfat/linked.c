/* SPDX-License-Identifier: MIT */
#include "block/vvfat/linked.h"

#include <string.h>

struct Linked {
    GHashTable *links;   /* Inode -> Link */
    GHashTable *files;   /* File, its own key */
    GHashTable *file_of; /* Inode -> File */
    GHashTable *noted;   /* Inode */
};

/* An inode with a link_path. */
typedef struct Link {
    char *was;    /* the first one, where that is another; or NULL */
    bool is_over; /* not visited any more */
} Link;

/* A file of the host. */
typedef struct File {
    uint64_t dev, ino;
    GPtrArray *inodes;
} File;

static guint file_hash(gconstpointer key)
{
    const File *file = key;

    return g_int64_hash(&file->ino) ^ (guint)file->dev;
}

static gboolean file_equal(gconstpointer a, gconstpointer b)
{
    const File *one = a, *other = b;

    return one->ino == other->ino && one->dev == other->dev;
}

static void file_free(gpointer data)
{
    File *file = data;

    g_ptr_array_unref(file->inodes);
    g_free(file);
}

static void link_free(gpointer data)
{
    Link *link = data;

    g_free(link->was);
    g_free(link);
}

Linked *linked_new(void)
{
    Linked *linked = g_new0(Linked, 1);

    linked->links = g_hash_table_new_full(NULL, NULL, NULL, link_free);
    linked->files = g_hash_table_new_full(file_hash, file_equal, NULL,
                                          file_free);
    linked->file_of = g_hash_table_new(NULL, NULL);
    linked->noted = g_hash_table_new(NULL, NULL);
    return linked;
}

void linked_free(Linked *linked)
{
    if (linked) {
        g_hash_table_unref(linked->noted);
        g_hash_table_unref(linked->file_of);
        g_hash_table_unref(linked->files);
        g_hash_table_unref(linked->links);
        g_free(linked);
    }
}

static File *find_file(const Linked *linked, const InodeHostId *id)
{
    File key = { .dev = id->dev, .ino = id->ino };

    return g_hash_table_lookup(linked->files, &key);
}

static void add_file(Linked *linked, Inode *inode)
{
    File *file = find_file(linked, &inode->host);

    if (!file) {
        file = g_new0(File, 1);
        file->dev = inode->host.dev;
        file->ino = inode->host.ino;
        file->inodes = g_ptr_array_new();
        g_hash_table_add(linked->files, file);
    }
    g_ptr_array_add(file->inodes, inode);
    g_hash_table_insert(linked->file_of, inode, file);
}

void linked_add(Linked *linked, Inode *inode)
{
    if (!inode->is_linked_to || !inode_is_on_host(inode)) {
        return;
    }
    if (inode->link_path) {
        g_hash_table_insert(linked->links, inode, g_new0(Link, 1));
    }
    if (!inode->is_directory) {
        add_file(linked, inode);
    }
}

void linked_remove(Linked *linked, Inode *inode)
{
    File *file = g_hash_table_lookup(linked->file_of, inode);

    if (file) {
        g_ptr_array_remove_fast(file->inodes, inode);
        g_hash_table_remove(linked->file_of, inode);
        if (file->inodes->len == 0) {
            g_hash_table_remove(linked->files, file);
        }
    }
    g_hash_table_remove(linked->links, inode);
    g_hash_table_remove(linked->noted, inode);
}

bool linked_is_empty(const Linked *linked)
{
    return g_hash_table_size(linked->links) == 0;
}

const GPtrArray *linked_files(const Linked *linked, const InodeHostId *id)
{
    const File *file = find_file(linked, id);

    return file ? file->inodes : NULL;
}

/* ---- Paths ---- */

/* `path` is `top`, or below it: what follows; NULL: it is not. */
static const char *below(const char *path, const char *top)
{
    size_t length = strlen(top);

    return strncmp(path, top, length) == 0 &&
                   (path[length] == '/' || path[length] == '\0')
               ? path + length
               : NULL;
}

bool linked_follow(Linked *linked, const char *from, const char *to)
{
    GHashTableIter iter;
    gpointer key, value;
    bool any = false;

    if (strcmp(from, to) == 0) {
        return false;
    }
    g_hash_table_iter_init(&iter, linked->links);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        Inode *inode = key;
        Link *link = value;
        const char *rest = inode->link_path ? below(inode->link_path, from)
                                            : NULL;
        char *path;

        if (!rest) {
            continue;
        }
        any = true;
        path = g_strconcat(to, rest, NULL);
        if (link->was) {
            g_free(inode->link_path);
        } else {
            link->was = inode->link_path;
        }
        inode->link_path = path;
        linked_note(linked, inode);
    }
    return any;
}

void linked_foreach(const Linked *linked, LinkedVisitor *visit, void *opaque)
{
    GHashTableIter iter;
    gpointer key, value;

    g_hash_table_iter_init(&iter, linked->links);
    while (g_hash_table_iter_next(&iter, &key, &value)) {
        Inode *inode = key;
        Link *link = value;

        if (!link->is_over && inode->link_path) {
            link->is_over =
                visit(inode, link->was ? link->was : inode->link_path, opaque);
        }
    }
}

/* ---- To be recorded ---- */

void linked_note(Linked *linked, Inode *inode)
{
    g_hash_table_add(linked->noted, inode);
}

GPtrArray *linked_take_noted(Linked *linked)
{
    GPtrArray *list = g_ptr_array_new();
    GHashTableIter iter;
    gpointer key;

    g_hash_table_iter_init(&iter, linked->noted);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
        g_ptr_array_add(list, key);
    }
    g_hash_table_remove_all(linked->noted);
    return list;
}
