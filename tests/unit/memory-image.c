/* SPDX-License-Identifier: MIT */
#include "tests/unit/memory-image.h"

#include <string.h>

/* ---- Nodes ---- */

static gint compare_names(gconstpointer a, gconstpointer b, gpointer unused)
{
    (void)unused;
    return strcmp(a, b);
}

static GHashTable *xattrs_new(void)
{
    return g_hash_table_new_full(g_str_hash, g_str_equal, g_free,
                                 (GDestroyNotify)g_bytes_unref);
}

static void node_free(gpointer opaque)
{
    MemoryNode *node = opaque;

    g_clear_pointer(&node->xattrs, g_hash_table_unref);
    g_clear_pointer(&node->entries, g_tree_unref);
    memory_data_unref(node->data);
    g_free(node->target);
    g_free(node);
}

/* The node of a number, made if it is not there. */
static MemoryNode *node_get(MemoryImage *image, uint64_t ino, HostKind kind)
{
    MemoryNode *node = memory_image_find(image, ino);

    if (node) {
        return node;
    }
    node = g_new0(MemoryNode, 1);
    node->ino = ino;
    node->kind = kind;
    if (kind == HOST_DIRECTORY) {
        node->entries = g_tree_new_full(compare_names, NULL, g_free, NULL);
    } else if (kind == HOST_FILE) {
        node->data = memory_data_new();
    }
    g_hash_table_insert(image->nodes, GSIZE_TO_POINTER(ino), node);
    return node;
}

MemoryNode *memory_image_find(const MemoryImage *image, uint64_t ino)
{
    return g_hash_table_lookup(image->nodes, GSIZE_TO_POINTER(ino));
}

MemoryNode *memory_node_entry(const MemoryNode *dir, const char *name)
{
    return g_tree_lookup(dir->entries, name);
}

bool memory_node_is_below(const MemoryNode *node, const MemoryNode *dir)
{
    while (node && node != dir) {
        node = node->parent;
    }
    return node != NULL;
}

GBytes *memory_node_xattr(const MemoryNode *node, const char *name)
{
    return node->xattrs ? g_hash_table_lookup(node->xattrs, name) : NULL;
}

/* ---- Images ---- */

static MemoryImage *image_empty(void)
{
    MemoryImage *image = g_new0(MemoryImage, 1);

    image->nodes = g_hash_table_new_full(NULL, NULL, NULL, node_free);
    return image;
}

MemoryImage *memory_image_new(unsigned mode, int64_t when)
{
    MemoryImage *image = image_empty();

    image->root = node_get(image, MEMORY_ROOT_INO, HOST_DIRECTORY);
    image->root->born = true;
    image->root->dev = 1;
    image->root->mode = mode;
    image->root->mtime = when;
    image->root->ctime = when;
    image->root->nlink = 1;
    return image;
}

void memory_image_free(MemoryImage *image)
{
    if (image) {
        g_hash_table_unref(image->nodes);
        g_free(image);
    }
}

/* One of our own: GLib counts references where the thread sanitizer does not
 * see it, and images may belong to different threads. */
static GBytes *copy_bytes(GBytes *bytes)
{
    gsize n;
    const void *data = g_bytes_get_data(bytes, &n);

    return g_bytes_new(data, n);
}

static void copy_xattrs(const MemoryNode *from, MemoryNode *to)
{
    GHashTableIter iter;
    gpointer name, value;

    if (!from->xattrs) {
        return;
    }
    to->xattrs = xattrs_new();
    g_hash_table_iter_init(&iter, from->xattrs);
    while (g_hash_table_iter_next(&iter, &name, &value)) {
        g_hash_table_insert(to->xattrs, g_strdup(name), copy_bytes(value));
    }
}

static MemoryNode *copy_node(MemoryImage *image, const MemoryNode *from)
{
    MemoryNode *to = node_get(image, from->ino, from->kind);

    to->dev = from->dev;
    to->born = from->born;
    to->mode_set = from->mode_set;
    to->mode = from->mode;
    to->nlink = from->nlink;
    to->mtime = from->mtime;
    to->ctime = from->ctime;
    to->target = g_strdup(from->target);
    if (from->data) {
        memory_data_unref(to->data);
        to->data = memory_data_ref(from->data);
    }
    copy_xattrs(from, to);
    return to;
}

typedef struct CopyEntries {
    MemoryImage *image;
    MemoryNode *to;
} CopyEntries;

static gboolean copy_entry(gpointer name, gpointer value, gpointer opaque)
{
    CopyEntries *c = opaque;
    MemoryNode *node = memory_image_find(c->image, ((MemoryNode *)value)->ino);

    g_tree_insert(c->to->entries, g_strdup(name), node);
    if (node->kind == HOST_DIRECTORY) {
        node->parent = c->to;
    }
    return FALSE;
}

MemoryImage *memory_image_copy(const MemoryImage *image)
{
    MemoryImage *copy = image_empty();
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, image->nodes);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        copy_node(copy, value);
    }
    g_hash_table_iter_init(&iter, image->nodes);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        const MemoryNode *from = value;
        CopyEntries c = { copy, memory_image_find(copy, from->ino) };

        if (from->entries) {
            g_tree_foreach(from->entries, copy_entry, &c);
        }
    }
    copy->root = memory_image_find(copy, image->root->ino);
    return copy;
}

static gboolean mark_entry(gpointer name, gpointer node, gpointer queue)
{
    (void)name;
    g_queue_push_tail(queue, node);
    return FALSE;
}

static gboolean is_unmarked(gpointer key, gpointer node, gpointer marked)
{
    (void)key;
    return !g_hash_table_contains(marked, node) &&
           ((MemoryNode *)node)->users == 0;
}

void memory_image_sweep(MemoryImage *image)
{
    g_autoptr(GHashTable) marked = g_hash_table_new(NULL, NULL);
    GQueue queue = G_QUEUE_INIT;
    MemoryNode *node;

    g_queue_push_tail(&queue, image->root);
    while ((node = g_queue_pop_head(&queue))) {
        if (g_hash_table_add(marked, node) && node->entries) {
            g_tree_foreach(node->entries, mark_entry, &queue);
        }
    }
    g_hash_table_foreach_remove(image->nodes, is_unmarked, marked);
}

void memory_image_drop(MemoryImage *image, MemoryNode *node)
{
    if (node->nlink == 0 && node->users == 0) {
        g_hash_table_remove(image->nodes, GSIZE_TO_POINTER(node->ino));
    }
}

/* ---- Changing names ---- */

static void entry_clear(MemoryNode *dir, const char *name)
{
    MemoryNode *node = memory_node_entry(dir, name);

    if (node) {
        node->nlink--;
        node->parent = NULL;
        g_tree_remove(dir->entries, name);
    }
}

typedef struct FindName {
    const MemoryNode *node;
    const char *name;
} FindName;

static gboolean find_name(gpointer name, gpointer node, gpointer opaque)
{
    FindName *find = opaque;

    find->name = node == find->node ? name : NULL;
    return find->name != NULL;
}

/* A directory has one name, even if the op that took the old one away was
 * lost. */
static void directory_unlink(MemoryNode *node)
{
    FindName find = { node, NULL };

    if (node->parent) {
        g_tree_foreach(node->parent->entries, find_name, &find);
        if (find.name) {
            g_autofree char *name = g_strdup(find.name);

            entry_clear(node->parent, name);
        }
    }
}

static void entry_set(MemoryNode *dir, const char *name, MemoryNode *node)
{
    if (node->kind == HOST_DIRECTORY) {
        directory_unlink(node);
        node->parent = dir;
    }
    node->nlink++;
    g_tree_insert(dir->entries, g_strdup(name), node);
}

/* Whether a directory would come to be below itself, as when the op that
 * moved the other one out of it was lost. */
static bool makes_cycle(const MemoryImage *image, const MemoryOp *op)
{
    for (unsigned i = 0; i < op->n_entries; i++) {
        const MemoryNode *node = memory_image_find(image, op->entries[i].now);
        const MemoryNode *dir = memory_image_find(image, op->entries[i].dir);

        if (node && dir && node->kind == HOST_DIRECTORY &&
            memory_node_is_below(dir, node)) {
            return true;
        }
    }
    return false;
}

/* The node that an entry leads to is there from now on. What was synced of it
 * before its name stays. */
static void give_birth(MemoryImage *image, const MemoryEntry *e, int64_t when)
{
    MemoryNode *node = node_get(image, e->now, e->kind);

    if (!node->born) {
        node->born = true;
        node->dev = e->dev;
        node->mode = node->mode_set ? node->mode : e->mode;
        node->target = g_strdup(e->target);
        node->ctime = when;
        node->mtime = node->mtime ? node->mtime : when;
    }
}

static void apply_entries(MemoryImage *image, const MemoryOp *op)
{
    for (unsigned i = 0; i < op->n_entries; i++) {
        if (op->entries[i].now) {
            give_birth(image, &op->entries[i], op->when);
        }
    }
    if (makes_cycle(image, op)) {
        return;
    }
    for (unsigned i = 0; i < op->n_entries; i++) {
        const MemoryEntry *e = &op->entries[i];
        MemoryNode *dir = node_get(image, e->dir, HOST_DIRECTORY);
        const MemoryNode *there = memory_node_entry(dir, e->name);

        if (there && (e->now || there->ino == e->was)) {
            entry_clear(dir, e->name);
        }
    }
    for (unsigned i = 0; i < op->n_entries; i++) {
        const MemoryEntry *e = &op->entries[i];
        MemoryNode *node = memory_image_find(image, e->now);

        if (node) {
            entry_set(memory_image_find(image, e->dir), e->name, node);
        }
    }
}

static void touch(MemoryImage *image, uint64_t ino, int64_t when, bool mtime)
{
    MemoryNode *node = memory_image_find(image, ino);

    if (node) {
        node->ctime = when;
        node->mtime = mtime ? when : node->mtime;
    }
}

/* ---- Changing files ---- */

void memory_image_apply_data(MemoryImage *image, const MemoryOp *op,
                             size_t from, size_t to)
{
    MemoryNode *node = node_get(image, op->ino, HOST_FILE);
    const uint8_t *data = g_bytes_get_data(op->bytes, NULL);
    int64_t room = node->data->size - op->offset;

    to = room < (int64_t)to ? (size_t)MAX(room, 0) : to;
    if (from < to) {
        memory_data_write(&node->data, op->offset + (int64_t)from, data + from,
                          to - from);
    }
}

static void apply_xattr(MemoryNode *node, const MemoryOp *op)
{
    if (!node->xattrs) {
        node->xattrs = xattrs_new();
    }
    if (op->bytes) {
        g_hash_table_insert(node->xattrs, g_strdup(op->name),
                            copy_bytes(op->bytes));
    } else {
        g_hash_table_remove(node->xattrs, op->name);
    }
}

void memory_image_apply_bare(MemoryImage *image, const MemoryOp *op)
{
    MemoryNode *node;

    if (op->kind == MEMORY_ENTRIES) {
        apply_entries(image, op);
        return;
    }
    node = node_get(image, op->ino, op->node_kind);
    switch (op->kind) {
    case MEMORY_ENTRIES:
        break;
    case MEMORY_DATA:
        memory_image_apply_data(image, op, 0, g_bytes_get_size(op->bytes));
        break;
    case MEMORY_SIZE:
        memory_data_truncate(&node->data, op->size);
        break;
    case MEMORY_ALLOCATE:
        memory_data_allocate(&node->data, op->offset, op->size);
        break;
    case MEMORY_MODE:
        node->mode = op->mode;
        node->mode_set = true;
        break;
    case MEMORY_TIME:
        node->mtime = op->mtime;
        break;
    case MEMORY_XATTR:
        apply_xattr(node, op);
        break;
    }
}

void memory_image_apply(MemoryImage *image, const MemoryOp *op)
{
    bool contents = op->kind == MEMORY_DATA || op->kind == MEMORY_SIZE;

    memory_image_apply_bare(image, op);
    if (op->kind != MEMORY_ENTRIES) {
        touch(image, op->ino, op->when, contents);
        return;
    }
    for (unsigned i = 0; i < op->n_entries; i++) {
        touch(image, op->entries[i].dir, op->when, true);
        touch(image, op->entries[i].was, op->when, false);
        touch(image, op->entries[i].now, op->when, false);
    }
}
