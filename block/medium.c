/* SPDX-License-Identifier: MIT */
/*
 * Another medium in the same device: another node below the same backend.
 *
 * Requests wait at the backend's gate, where they have not looked at the root
 * yet. What the guest wrote is committed, the new node is opened beside the
 * old one, becomes the root, and the old one is closed. Whatever fails before
 * that leaves everything as it was.
 *
 * Two nodes for one thing get in each other's way. A driver that locks by
 * itself stands back while the new node is opened (inactivate), and comes back
 * when that fails. Where it is the same image that is locked, or a node name,
 * the old node has to be closed first; if the new one then cannot be opened,
 * the old one is opened again.
 */
#include <errno.h>

#include "block/backend.h"
#include "block/drain.h"
#include "block/event-handlers.h"
#include "block/filename.h"
#include "block/graph.h"
#include "block/io.h"
#include "block/open.h"

/* What blk_open() is given. */
typedef struct Medium {
    const char *name;
    const Options *options;
    unsigned flags;
} Medium;

/* ---- The new one ---- */

static BdrvChild *medium_open(BlockBackend *blk, const Medium *medium,
                              GError **errp)
{
    unsigned perm, shared;
    BlockDriverState *bs = open_node(
        medium->name,
        medium->options ? options_copy(medium->options) : options_new(),
        medium->flags, errp);

    if (bs == NULL) {
        return NULL;
    }
    if (blk->has_own_perm) {
        perm = blk->own_perm;
        shared = blk->own_shared;
    } else {
        backend_perms_of_flags(medium->flags, &perm, &shared);
    }
    return backend_attach(blk, bs, perm, shared, errp);
}

/* Writable, so that it grants whatever is asked for. */
static BdrvChild *medium_none(BlockBackend *blk)
{
    BlockDriverState *bs = node_new(&bdrv_no_medium, NULL, BDRV_O_RDWR, NULL);

    bs->options = options_new();
    filename_refresh(bs);
    node_publish(bs);
    return child_attach(NULL, blk, bs, "root", &child_of_bds, 0, 0,
                        BLK_PERM_ALL, NULL);
}

/* ---- The root ---- */

/* Put another edge in the place of the root. Drained sections go with it. */
static BdrvChild *root_replace(BlockBackend *blk, BdrvChild *root)
{
    BdrvChild *old = blk->root;

    for (int i = 0; i < blk->drained; i++) {
        node_drain_begin(root->bs);
    }
    pthread_rwlock_wrlock(&blk->root_lock);
    blk->root = root;
    pthread_rwlock_unlock(&blk->root_lock);
    for (int i = 0; i < blk->drained; i++) {
        node_drain_end(old->bs);
    }
    return old;
}

/* Nobody else has the node: it is closed when its one parent gives it up. */
static bool node_is_alone(const BlockDriverState *bs)
{
    graph_lock();
    bool alone = bs->refcnt == 1;
    graph_unlock();
    return alone;
}

static bool root_commit(const BlockBackend *blk, GError **errp)
{
    BlockDriverState *bs = blk->root->bs;

    drain_exempt_begin();
    int ret = bdrv_flush(bs);
    if (ret < 0) {
        g_autofree char *reason = blk_strerror(ret);
        block_error_set(errp, -ret, "Could not flush the old medium: %s",
                        reason);
    } else {
        ret = backend_commit(bs, BDRV_COMMIT_WHOLE, errp);
    }
    drain_exempt_end();
    return ret == 0;
}

/* The node that locks something by itself, for this backend alone, and that
 * can stand back; or NULL. */
static BlockDriverState *root_locker(const BlockBackend *blk)
{
    BlockDriverState *bs = blk->root->bs;

    while (bs && node_is_alone(bs)) {
        if (bs->drv->inactivate) {
            return bs;
        }
        bs = node_primary(bs);
    }
    return NULL;
}

/* ---- Changing it ---- */

/* Whether it is the medium that was opened, though perhaps with other flags. */
static bool is_same_medium(const BlockBackend *blk, const Medium *medium)
{
    g_autofree char *was = blk->options ? options_to_json(blk->options) : NULL;
    g_autofree char *is = medium->options ? options_to_json(medium->options)
                                          : NULL;

    return g_strcmp0(blk->name, medium->name) == 0 && g_strcmp0(was, is) == 0;
}

/* Whether closing the old one will help: it has the name of a node of the new
 * one, or is the same image, which it locks. */
static bool is_in_the_way(const BlockBackend *blk, const Medium *medium,
                          const GError *error)
{
    bool is_locked = g_error_matches(error, BLOCK_ERROR, EBUSY) ||
                     g_error_matches(error, BLOCK_ERROR, EAGAIN);

    return node_is_alone(blk->root->bs) &&
           (g_error_matches(error, BLOCK_ERROR, EEXIST) ||
            (is_locked && is_same_medium(blk, medium)));
}

/* Remember how to open it again. */
static void medium_note(BlockBackend *blk, const Medium *medium)
{
    char *name = g_strdup(medium->name);
    Options *options = medium->options ? options_copy(medium->options) : NULL;

    g_free(blk->name);
    options_free(blk->options);
    blk->name = name;
    blk->options = options;
    blk->flags = medium->flags;
    blk->allow_resize = (medium->flags & BDRV_O_RESIZE) != 0;
}

/* With the old one open. Sets *changed, too, when there is none left. */
static bool change_beside(BlockBackend *blk, const Medium *medium,
                          bool *changed, GError **errp)
{
    g_autoptr(GError) error = NULL;
    BdrvChild *root = medium_open(blk, medium, &error);
    BlockDriverState *locker = NULL;

    if (!root && g_error_matches(error, BLOCK_ERROR, EBUSY)) {
        locker = root_locker(blk);
    }
    if (locker) {
        g_clear_error(&error);
        locker->drv->inactivate(locker);
        root = medium_open(blk, medium, &error);
    }
    if (root) {
        child_detach(root_replace(blk, root));
        *changed = true;
        return true;
    }
    if (locker && !locker->drv->activate(locker, NULL)) {
        g_prefix_error(&error, "There is no medium any more, since the old "
                               "one was taken by another process: ");
        child_detach(root_replace(blk, medium_none(blk)));
        *changed = true;
    }
    g_propagate_error(errp, g_steal_pointer(&error));
    return false;
}

/* With the old one closed first. */
static bool change_after(BlockBackend *blk, const Medium *medium,
                         bool *changed, GError **errp)
{
    const Medium old = { blk->name, blk->options, blk->flags };
    g_autoptr(GError) error = NULL;
    g_autoptr(GError) again = NULL;
    BdrvChild *root;

    *changed = true;
    child_detach(root_replace(blk, medium_none(blk)));
    root = medium_open(blk, medium, &error);
    if (root) {
        child_detach(root_replace(blk, root));
        return true;
    }
    root = medium_open(blk, &old, &again);
    if (root) {
        child_detach(root_replace(blk, root));
    } else {
        g_prefix_error(&error,
                       "There is no medium any more (the old one "
                       "could not be opened again: %s): ",
                       again->message);
    }
    g_propagate_error(errp, g_steal_pointer(&error));
    return false;
}

static bool change(BlockBackend *blk, const Medium *medium, bool *changed,
                   GError **errp)
{
    g_autoptr(GError) error = NULL;

    if (!root_commit(blk, errp)) {
        return false;
    }
    if (change_beside(blk, medium, changed, &error)) {
        return true;
    }
    if (*changed || !is_in_the_way(blk, medium, error)) {
        g_propagate_error(errp, g_steal_pointer(&error));
        return false;
    }
    return change_after(blk, medium, changed, errp);
}

static void tell(BlockBackend *blk)
{
    BlockDriverState *bs = blk->root->bs;
    g_autofree char *name = filename_of_node(bs);
    const BlkEvent event = {
        .kind = BLK_EVENT_MEDIUM_CHANGED,
        .node = bs->node_name,
        .path = name,
        .error = bs->drv == &bdrv_no_medium ? -ENOMEDIUM : 0,
    };

    event_deliver(blk->handlers, &event);
}

bool blk_change_medium(BlockBackend *blk, const char *name,
                       const Options *options, unsigned flags, GError **errp)
{
    bool is_same = name == NULL && options == NULL;
    const Medium medium = { is_same ? blk->name : name,
                            is_same ? blk->options : options, flags };
    bool changed = false;

    io_error_clear();
    /* What was written to the old medium goes there, begun or not. */
    aio_count_wait_earlier(&blk->aio);
    gate_drain_begin(&blk->gate);
    bool done = change(blk, &medium, &changed, errp);
    if (done) {
        medium_note(blk, &medium);
    }
    if (changed) {
        tell(blk);
    }
    gate_drain_end(&blk->gate);
    return done;
}
