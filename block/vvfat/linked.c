/* SPDX-License-Identifier: MIT */
#include "block/vvfat/linked.h"

#include <string.h>

struct Linked {
    GHashTable *links;    /* Inode -> Link */
    GHashTable *shown;    /* Shown, its own key */
    GHashTable *shown_by; /* Inode -> Shown */
    GHashTable *noted;    /* Inode */
};

/* An inode with a link_path. */
typedef struct Link {
    char *was;    /* the first one, where that is another; or NULL */
    bool is_over; /* not visited any more */
} Link;

/* A file or directory of the host. */
typedef struct Shown {
    uint64_t dev, ino;
    GPtrArray *inodes;
} Shown;

static guint shown_hash(gconstpointer key)
{
    const Shown *shown = key;

    return g_int64_hash(&shown->ino) ^ (guint)shown->dev;
}

static gboolean shown_equal(gconstpointer a, gconstpointer b)
{
    const Shown *one = a, *other = b;

    return one->ino == other->ino && one->dev == other->dev;
}

static void shown_free(gpointer data)
{
    Shown *shown = data;

    g_ptr_array_unref(shown->inodes);
    g_free(shown);
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
    linked->shown = g_hash_table_new_full(shown_hash, shown_equal, NULL,
                                          shown_free);
    linked->shown_by = g_hash_table_new(NULL, NULL);
    linked->noted = g_hash_table_new(NULL, NULL);
    return linked;
}

void linked_free(Linked *linked)
{
    if (linked) {
        g_hash_table_unref(linked->noted);
        g_hash_table_unref(linked->shown_by);
        g_hash_table_unref(linked->shown);
        g_hash_table_unref(linked->links);
        g_free(linked);
    }
}

static Shown *find_shown(const Linked *linked, const InodeHostId *id)
{
    Shown key = { .dev = id->dev, .ino = id->ino };

    return g_hash_table_lookup(linked->shown, &key);
}

static void add_shown(Linked *linked, Inode *inode)
{
    Shown *shown = find_shown(linked, &inode->host);

    if (!shown) {
        shown = g_new0(Shown, 1);
        shown->dev = inode->host.dev;
        shown->ino = inode->host.ino;
        shown->inodes = g_ptr_array_new();
        g_hash_table_add(linked->shown, shown);
    }
    g_ptr_array_add(shown->inodes, inode);
    g_hash_table_insert(linked->shown_by, inode, shown);
}

void linked_add(Linked *linked, Inode *inode)
{
    if (!inode->is_linked_to || !inode_is_on_host(inode)) {
        return;
    }
    if (inode->link_path) {
        g_hash_table_insert(linked->links, inode, g_new0(Link, 1));
    }
    add_shown(linked, inode);
}

void linked_remove(Linked *linked, Inode *inode)
{
    Shown *shown = g_hash_table_lookup(linked->shown_by, inode);

    if (shown) {
        g_ptr_array_remove_fast(shown->inodes, inode);
        g_hash_table_remove(linked->shown_by, inode);
        if (shown->inodes->len == 0) {
            g_hash_table_remove(linked->shown, shown);
        }
    }
    g_hash_table_remove(linked->links, inode);
    g_hash_table_remove(linked->noted, inode);
}

bool linked_is_empty(const Linked *linked)
{
    return g_hash_table_size(linked->links) == 0;
}

const GPtrArray *linked_showing(const Linked *linked, const InodeHostId *id)
{
    const Shown *shown = find_shown(linked, id);

    return shown ? shown->inodes : NULL;
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

/* What stands below a link, and shows what is elsewhere now. */
static bool follow_shown(Linked *linked, const InodeHostId *id,
                         const char *from, const char *to)
{
    const GPtrArray *inodes = linked_showing(linked, id);
    bool any = false;

    for (guint i = 0; inodes && i < inodes->len; i++) {
        Inode *inode = g_ptr_array_index(inodes, i);
        g_autofree char *path = inode_host_path(inode);

        if (!inode->link_path && g_strcmp0(path, from) == 0) {
            Link *link = g_new0(Link, 1);

            link->is_over = true; /* the link is another one */
            g_hash_table_insert(linked->links, inode, link);
            inode->link_path = g_strdup(to);
            linked_note(linked, inode);
            any = true;
        }
    }
    return any;
}

bool linked_follow(Linked *linked, const InodeHostId *id, const char *from,
                   const char *to)
{
    GHashTableIter iter;
    gpointer key, value;
    bool any;

    if (strcmp(from, to) == 0) {
        return false;
    }
    any = follow_shown(linked, id, from, to);
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
