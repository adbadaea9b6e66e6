/* SPDX-License-Identifier: MIT */
/*
 * Reopening: from read-only to read-write and back, for a node and for the
 * children that it opened and whose options do not say otherwise.
 *
 * All nodes prepare, the permissions change, all nodes commit; or everything
 * is undone. The nodes are drained meanwhile, upper ones first and before the
 * graph lock is taken, and requests of this thread pass.
 */
#include <errno.h>

#include "block/drain.h"
#include "block/filename.h"
#include "block/graph.h"
#include "block/io.h"
#include "block/permission.h"

typedef struct ReopenEntry {
    BlockDriverState *bs;
    unsigned old_flags, new_flags;
    bool prepared;
} ReopenEntry;

static unsigned flags_for(unsigned flags, bool read_only)
{
    return read_only ? flags & ~BDRV_O_RDWR : flags | BDRV_O_RDWR;
}

/* bs, then the children that go with it. */
static void collect_nodes(BlockDriverState *bs, bool read_only, GArray *queue)
{
    ReopenEntry entry = {
        .bs = bs,
        .old_flags = bs->open_flags,
        .new_flags = flags_for(bs->open_flags, read_only),
    };

    g_array_append_val(queue, entry);
    for (guint i = 0; i < bs->children->len; i++) {
        const BdrvChild *child = g_ptr_array_index(bs->children, i);

        if (child->bs->inherits_from == bs &&
            !(child->role & BDRV_CHILD_COW) &&
            node_is_read_only(child->bs) != read_only &&
            !options_has(child->bs->options, "read-only")) {
            collect_nodes(child->bs, read_only, queue);
        }
    }
}

static bool prepare_node(ReopenEntry *entry, GError **errp)
{
    BlockDriverState *bs = entry->bs;

    if ((entry->new_flags & BDRV_O_RDWR) &&
        (entry->new_flags & BDRV_O_FORCE_SHARE)) {
        block_error_set(errp, EINVAL,
                        "Node '%s' was opened with force-share=on (-U) and "
                        "stays read-only: others may be writing",
                        bs->node_name);
        return false;
    }
    if (bs->drv->reopen_prepare) {
        entry->prepared = bs->drv->reopen_prepare(bs, entry->new_flags, errp);
        return entry->prepared;
    }
    /* Without the driver's help a node can always stop being written, and
     * formats and filters can be as writable as their children. */
    if ((entry->new_flags & BDRV_O_RDWR) && !driver_has_child(bs->drv)) {
        block_error_set(errp, ENOTSUP,
                        "The driver '%s' of node '%s' cannot become writable "
                        "while it is open",
                        bs->drv->format_name, bs->node_name);
        return false;
    }
    return true;
}

static bool prepare_all(GArray *queue, GError **errp)
{
    for (guint i = 0; i < queue->len; i++) {
        if (!prepare_node(&g_array_index(queue, ReopenEntry, i), errp)) {
            return false;
        }
    }
    return true;
}

static void commit_all(GArray *queue)
{
    for (guint i = 0; i < queue->len; i++) {
        const ReopenEntry *entry = &g_array_index(queue, ReopenEntry, i);

        if (entry->prepared && entry->bs->drv->reopen_commit) {
            entry->bs->drv->reopen_commit(entry->bs);
        }
    }
}

static void abort_all(GArray *queue)
{
    for (guint i = queue->len; i-- > 0;) {
        const ReopenEntry *entry = &g_array_index(queue, ReopenEntry, i);

        entry->bs->open_flags = entry->old_flags;
        if (entry->prepared && entry->bs->drv->reopen_abort) {
            entry->bs->drv->reopen_abort(entry->bs);
        }
    }
}

/* The permissions of the backend with the nodes' new flags in place. */
static bool change_permissions(BlockBackend *blk, GArray *queue,
                               bool read_only, GError **errp)
{
    BdrvChild *root = blk->root;

    for (guint i = 0; i < queue->len; i++) {
        const ReopenEntry *entry = &g_array_index(queue, ReopenEntry, i);

        entry->bs->open_flags = entry->new_flags;
    }
    if (read_only) {
        root->new_perm = root->perm & ~(BLK_PERM_WRITE | BLK_PERM_RESIZE |
                                        BLK_PERM_WRITE_UNCHANGED);
    } else {
        root->new_perm = root->perm | BLK_PERM_WRITE;
        if (blk->allow_resize) {
            root->new_perm |= BLK_PERM_RESIZE;
        }
    }
    return permission_update(root->bs, errp);
}

static bool reopen_drained(BlockBackend *blk, GArray *queue, bool read_only,
                           GError **errp)
{
    bool done;

    graph_lock();
    done = prepare_all(queue, errp) &&
           change_permissions(blk, queue, read_only, errp);
    if (done) {
        commit_all(queue);
        blk->flags = flags_for(blk->flags, read_only);
    } else {
        abort_all(queue);
    }
    graph_unlock();
    return done;
}

bool blk_set_read_only(BlockBackend *blk, bool read_only, GError **errp)
{
    BlockDriverState *bs = blk_bs(blk);
    g_autoptr(GArray) queue = g_array_new(FALSE, FALSE, sizeof(ReopenEntry));
    int ret = 0;

    io_error_clear();
    if (node_is_read_only(bs) == read_only) {
        return true;
    }
    aio_count_wait_earlier(&blk->aio);
    collect_nodes(bs, read_only, queue);
    for (guint i = 0; i < queue->len; i++) {
        node_drain_begin(g_array_index(queue, ReopenEntry, i).bs);
    }
    drain_exempt_begin();
    if (read_only) {
        ret = bdrv_flush(bs);
    }
    bool done = ret == 0 && reopen_drained(blk, queue, read_only, errp);
    drain_exempt_end();
    for (guint i = queue->len; i-- > 0;) {
        node_drain_end(g_array_index(queue, ReopenEntry, i).bs);
    }
    if (ret < 0) {
        g_autofree char *reason = blk_strerror(ret);
        block_error_set(errp, -ret, "Could not flush before reopening: %s",
                        reason);
    }
    return done;
}
