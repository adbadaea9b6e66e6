/* SPDX-License-Identifier: MIT */
/*
 * Nodes and edges.
 *
 * An edge holds one reference to the node below. A node is found by its name
 * while it is open and has references. When the last one goes, under the graph
 * lock, nobody can find the node any more, so it is closed outside the lock:
 * closing a driver may take long.
 */
#include "block/graph.h"

#include <errno.h>
#include <string.h>

#include "block/debug-event.h"
#include "block/drain.h"
#include "block/event-handlers.h"
#include "block/io.h"
#include "block/permission.h"

static pthread_mutex_t the_graph_lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static GHashTable *nodes_by_name; /* graph lock; keys belong to the nodes */
static unsigned next_node_number; /* graph lock */

void graph_lock(void)
{
    pthread_mutex_lock(&the_graph_lock);
}

void graph_unlock(void)
{
    pthread_mutex_unlock(&the_graph_lock);
}

/* ---- Names ---- */

#define NODE_NAME_MAX 63

static bool name_is_well_formed(const char *name)
{
    if (!g_ascii_isalpha(name[0]) || strlen(name) > NODE_NAME_MAX) {
        return false;
    }
    for (const char *p = name; *p; p++) {
        if (!g_ascii_isalnum(*p) && strchr("-._", *p) == NULL) {
            return false;
        }
    }
    return true;
}

/* Under the graph lock. */
static bool node_take_name(BlockDriverState *bs, const char *name,
                           GError **errp)
{
    if (nodes_by_name == NULL) {
        nodes_by_name = g_hash_table_new(g_str_hash, g_str_equal);
    }
    if (name == NULL) {
        /* '#' cannot begin a name that a user gives. */
        bs->node_name = g_strdup_printf("#block%03u", next_node_number++);
    } else if (!name_is_well_formed(name)) {
        block_error_set(errp, EINVAL,
                        "Invalid node-name '%s': it must begin with a letter "
                        "and consist of at most %d letters, digits, '-', '.' "
                        "and '_'",
                        name, NODE_NAME_MAX);
        return false;
    } else if (g_hash_table_contains(nodes_by_name, name)) {
        block_error_set(errp, EEXIST,
                        "There is a node with node-name '%s' "
                        "already",
                        name);
        return false;
    } else {
        bs->node_name = g_strdup(name);
    }
    g_hash_table_insert(nodes_by_name, bs->node_name, bs);
    return true;
}

/* ---- Nodes ---- */

static void node_free(BlockDriverState *bs)
{
    gate_clear(&bs->gate);
    event_forget_listeners(bs);
    pthread_mutex_destroy(&bs->flush_lock);
    pthread_cond_destroy(&bs->request_cond);
    pthread_mutex_destroy(&bs->request_lock);
    pthread_mutex_destroy(&bs->blocker_lock);
    g_ptr_array_free(bs->children, TRUE);
    g_ptr_array_free(bs->parents, TRUE);
    g_ptr_array_free(bs->blockers, TRUE);
    options_free(bs->options);
    options_free(bs->full_options);
    g_free(bs->plain_filename);
    g_free(bs->child_filename);
    g_free(bs->backing_file);
    g_free(bs->backing_format);
    g_free(bs->node_name);
    g_free(bs->opaque);
    g_free(bs);
}

BlockDriverState *node_new(const BlockDriver *drv, const char *node_name,
                           unsigned flags, GError **errp)
{
    BlockDriverState *bs = g_new0(BlockDriverState, 1);

    bs->drv = drv;
    bs->opaque = g_malloc0(drv->instance_size);
    bs->open_flags = flags;
    bs->refcnt = 1;
    bs->shared = bs->new_shared = BLK_PERM_ALL;
    bs->limits.request_alignment = 1;
    bs->children = g_ptr_array_new();
    bs->parents = g_ptr_array_new();
    bs->blockers = g_ptr_array_new();
    gate_init(&bs->gate);
    /* What a process before this one wrote may wait for its flush: a guest
     * whose server was started again asks the new one for it. */
    bs->write_generation = 1;
    pthread_mutex_init(&bs->flush_lock, NULL);
    pthread_mutex_init(&bs->request_lock, NULL);
    pthread_cond_init(&bs->request_cond, NULL);
    pthread_mutex_init(&bs->blocker_lock, NULL);

    graph_lock();
    bool named = node_take_name(bs, node_name, errp);
    graph_unlock();
    if (!named) {
        node_free(bs);
        return NULL;
    }
    return bs;
}

void node_publish(BlockDriverState *bs)
{
    graph_lock();
    bs->is_open = true;
    graph_unlock();
    debug_listener_added(bs);
}

BlockDriverState *node_find(const char *node_name)
{
    BlockDriverState *bs = NULL;

    graph_lock();
    if (nodes_by_name) {
        bs = g_hash_table_lookup(nodes_by_name, node_name);
    }
    if (bs && bs->is_open) {
        bs->refcnt++;
    } else {
        bs = NULL;
    }
    graph_unlock();
    return bs;
}

/* The last reference is gone: nobody finds the node any more. */
static void node_close(BlockDriverState *bs)
{
    drain_exempt_begin();
    node_drain_begin(bs); /* pins of debug events */
    if (bs->is_open) {
        /* Nobody is left to be told of a failure; see blk_close(). */
        (void)!node_flush(bs);
        debug_listener_removed(bs);
        if (bs->drv->close) {
            bs->drv->close(bs);
        }
    }
    while (bs->children->len > 0) {
        child_detach(g_ptr_array_index(bs->children, bs->children->len - 1));
    }
    node_unref(bs->child_node);
    node_drain_end(bs);
    drain_exempt_end();
    node_free(bs);
}

void node_unref(BlockDriverState *bs)
{
    if (bs == NULL) {
        return;
    }
    graph_lock();
    bool last = --bs->refcnt == 0;
    if (last) {
        g_hash_table_remove(nodes_by_name, bs->node_name);
    }
    graph_unlock();
    if (last) {
        node_close(bs);
    }
}

/* ---- Edges ---- */

/* Under the graph lock. */
static void child_link(BdrvChild *child)
{
    g_ptr_array_add(child->bs->parents, child);
    if (child->parent_bs) {
        g_ptr_array_add(child->parent_bs->children, child);
        if (child->role & BDRV_CHILD_PRIMARY) {
            child->parent_bs->primary = child;
        }
        if (child->role & BDRV_CHILD_COW) {
            child->parent_bs->backing = child;
        }
    }
}

/* Under the graph lock. */
static void child_unlink(BdrvChild *child)
{
    if (child->bs->parents->len == 1) {
        event_keep_listeners(child->bs);
    }
    g_ptr_array_remove(child->bs->parents, child);
    if (child->parent_bs) {
        g_ptr_array_remove(child->parent_bs->children, child);
        if (child->parent_bs->primary == child) {
            child->parent_bs->primary = NULL;
        }
        if (child->parent_bs->backing == child) {
            child->parent_bs->backing = NULL;
        }
        if (child->bs->inherits_from == child->parent_bs) {
            child->bs->inherits_from = NULL;
        }
    }
}

static void child_free(BdrvChild *child)
{
    g_free(child->name);
    g_free(child);
}

BdrvChild *child_attach(BlockDriverState *parent_bs, BlockBackend *parent_blk,
                        BlockDriverState *bs, const char *name,
                        const BdrvChildClass *klass, unsigned role,
                        unsigned perm, unsigned shared, GError **errp)
{
    BdrvChild *child = g_new0(BdrvChild, 1);

    child->name = g_strdup(name);
    child->bs = bs;
    child->klass = klass;
    child->role = role;
    child->shared = BLK_PERM_ALL;
    child->new_perm = perm;
    child->new_shared = shared;
    child->parent_bs = parent_bs;
    child->parent_blk = parent_blk;

    graph_lock();
    child_link(child);
    bool allowed = permission_update(bs, errp);
    if (!allowed) {
        child_unlink(child);
    }
    graph_unlock();
    if (!allowed) {
        child_free(child);
        node_unref(bs);
        return NULL;
    }
    return child;
}

void child_detach(BdrvChild *child)
{
    BlockDriverState *bs = child->bs;

    graph_lock();
    child_unlink(child);
    if (bs->refcnt > 1) {
        /* Giving up permissions cannot be in anybody's way. */
        (void)!permission_update(bs, NULL);
    }
    graph_unlock();
    child_free(child);
    node_unref(bs);
}

BlockDriverState *node_primary(const BlockDriverState *bs)
{
    return bs->primary ? bs->primary->bs : NULL;
}

BlockDriverState *node_backing(const BlockDriverState *bs)
{
    return bs->backing ? bs->backing->bs : NULL;
}

/* ---- For drivers ---- */

void *bdrv_opaque(BlockDriverState *bs)
{
    return bs->opaque;
}

const BlockDriver *bdrv_driver(BlockDriverState *bs)
{
    return bs->drv;
}

unsigned bdrv_flags(BlockDriverState *bs)
{
    return bs->open_flags;
}

bool bdrv_is_read_only(BlockDriverState *bs)
{
    return node_is_read_only(bs);
}

const char *bdrv_node_name(BlockDriverState *bs)
{
    return bs->node_name;
}

BdrvChild *bdrv_child(BlockDriverState *bs, const char *name)
{
    for (guint i = 0; i < bs->children->len; i++) {
        BdrvChild *child = g_ptr_array_index(bs->children, i);

        if (strcmp(child->name, name) == 0) {
            return child;
        }
    }
    return NULL;
}

BdrvChild *bdrv_backing(BlockDriverState *bs)
{
    return bs->backing;
}

BlockDriverState *bdrv_child_bs(const BdrvChild *child)
{
    return child->bs;
}

void bdrv_unref_child(BlockDriverState *bs, BdrvChild *child)
{
    (void)bs;
    if (child) {
        child_detach(child);
    }
}

bool bdrv_child_refresh_perms(BlockDriverState *bs, BdrvChild *child,
                              GError **errp)
{
    graph_lock();
    permission_of_child(bs, child, child->bs, child->role, bs->perm,
                        bs->shared, &child->new_perm, &child->new_shared);
    bool allowed = permission_update(child->bs, errp);
    graph_unlock();
    return allowed;
}
