/* SPDX-License-Identifier: MIT */
/*
 * Backends: opening and closing, and what a program asks about the device.
 */
#include "block/backend.h"

#include <errno.h>

#include "block/drain.h"
#include "block/event-handlers.h"
#include "block/filename.h"
#include "block/graph.h"
#include "block/info.h"
#include "block/io.h"
#include "block/open.h"

#define PERM_OF_WRITERS                                                       \
    (BLK_PERM_WRITE | BLK_PERM_WRITE_UNCHANGED | BLK_PERM_RESIZE)

/* ---- Opening and closing ---- */

void backend_perms_of_flags(unsigned flags, unsigned *perm, unsigned *shared)
{
    *perm = BLK_PERM_CONSISTENT_READ;
    *shared = BLK_PERM_CONSISTENT_READ | BLK_PERM_WRITE_UNCHANGED;
    if (flags & BDRV_O_RDWR) {
        *perm |= BLK_PERM_WRITE;
    }
    if (flags & BDRV_O_RESIZE) {
        *perm |= BLK_PERM_RESIZE;
    }
    if (flags & BDRV_O_FORCE_SHARE) {
        *shared = BLK_PERM_ALL;
    }
}

BdrvChild *backend_attach(BlockBackend *blk, BlockDriverState *bs,
                          unsigned perm, unsigned shared, GError **errp)
{
    if ((bs->open_flags & BDRV_O_AUTO_RDONLY) && node_is_read_only(bs)) {
        perm &= ~PERM_OF_WRITERS;
    }
    if (bs->open_flags & BDRV_O_FORCE_SHARE) {
        shared = BLK_PERM_ALL;
    }
    return child_attach(NULL, blk, bs, "root", &child_of_bds, 0, perm, shared,
                        errp);
}

static BlockBackend *backend_new(const char *name, const Options *options)
{
    BlockBackend *blk = g_new0(BlockBackend, 1);

    gate_init(&blk->gate);
    aio_count_init(&blk->aio);
    pthread_rwlock_init(&blk->root_lock, NULL);
    blk->handlers = event_handlers_new();
    blk->name = g_strdup(name);
    blk->options = options ? options_copy(options) : NULL;
    return blk;
}

static void backend_free(BlockBackend *blk)
{
    event_handlers_free(blk->handlers);
    pthread_rwlock_destroy(&blk->root_lock);
    aio_count_clear(&blk->aio);
    gate_clear(&blk->gate);
    options_free(blk->options);
    g_free(blk->name);
    g_free(blk);
}

static BlockBackend *open_backend(const char *name, const Options *options,
                                  unsigned flags, unsigned perm,
                                  unsigned shared, GError **errp)
{
    BlockDriverState *bs = open_node(
        name, options ? options_copy(options) : options_new(), flags, errp);
    BlockBackend *blk;

    if (bs == NULL) {
        return NULL;
    }
    blk = backend_new(name, options);
    blk->flags = flags;
    blk->allow_resize = (flags & BDRV_O_RESIZE) != 0;
    blk->root = backend_attach(blk, bs, perm, shared, errp);
    if (blk->root == NULL) {
        backend_free(blk);
        return NULL;
    }
    return blk;
}

BlockBackend *blk_open_with_perm(const char *name, const Options *options,
                                 unsigned flags, unsigned perm,
                                 unsigned shared, GError **errp)
{
    BlockBackend *blk = open_backend(name, options, flags, perm, shared, errp);

    if (blk) {
        blk->has_own_perm = true;
        blk->own_perm = perm;
        blk->own_shared = shared;
    }
    return blk;
}

BlockBackend *blk_open(const char *name, const Options *options,
                       unsigned flags, GError **errp)
{
    unsigned perm, shared;

    backend_perms_of_flags(flags, &perm, &shared);
    return open_backend(name, options, flags, perm, shared, errp);
}

void blk_close(BlockBackend *blk)
{
    if (blk == NULL) {
        return;
    }
    event_handlers_closing(blk->handlers);
    while (blk->drained > 0) {
        blk_drained_end(blk);
    }
    aio_count_wait_all(&blk->aio);
    gate_drain_begin(&blk->gate); /* who is just leaving */
    drain_exempt_begin();
    (void)!bdrv_flush(blk->root->bs);
    drain_exempt_end();
    child_detach(blk->root);
    backend_free(blk);
}

/* ---- Getting at the root ---- */

BlockDriverState *backend_enter(BlockBackend *blk)
{
    io_error_clear();
    gate_enter(&blk->gate);
    return blk->root->bs;
}

void backend_leave(BlockBackend *blk)
{
    gate_leave(&blk->gate);
}

BlockDriverState *backend_look(BlockBackend *blk)
{
    pthread_rwlock_rdlock(&blk->root_lock);
    return blk->root->bs;
}

void backend_look_end(BlockBackend *blk)
{
    pthread_rwlock_unlock(&blk->root_lock);
}

BlockDriverState *backend_ask(BlockBackend *blk)
{
    if (!event_is_inside(blk)) {
        return backend_enter(blk);
    }
    drain_exempt_begin();
    return backend_look(blk);
}

void backend_ask_end(BlockBackend *blk)
{
    if (!event_is_inside(blk)) {
        backend_leave(blk);
    } else {
        backend_look_end(blk);
        drain_exempt_end();
    }
}

/* ---- Asking ---- */

BlockDriverState *blk_bs(BlockBackend *blk)
{
    return blk->root->bs;
}

int64_t blk_getlength(BlockBackend *blk)
{
    int64_t length = node_length(backend_look(blk));

    backend_look_end(blk);
    return length;
}

bool blk_is_read_only(BlockBackend *blk)
{
    bool read_only = node_is_read_only(backend_look(blk));

    backend_look_end(blk);
    return read_only;
}

char *blk_get_filename(BlockBackend *blk)
{
    char *name = filename_of_node(backend_look(blk));

    backend_look_end(blk);
    return name;
}

const char *blk_get_format_name(BlockBackend *blk)
{
    const char *name = backend_look(blk)->drv->format_name;

    backend_look_end(blk);
    return name;
}

BdrvLimits blk_get_limits(BlockBackend *blk)
{
    BdrvLimits limits = backend_look(blk)->limits;

    backend_look_end(blk);
    return limits;
}

/* ---- Draining ---- */

/* Requests that are in a queue still are under way, too. */
void blk_drained_begin(BlockBackend *blk)
{
    aio_count_wait_earlier(&blk->aio);
    /* Requests then wait before they have looked at the root, so that they do
     * not keep it from being replaced. */
    gate_drain_begin(&blk->gate);
    blk->drained++;
    node_drain_begin(blk_bs(blk));
}

void blk_drained_end(BlockBackend *blk)
{
    node_drain_end(blk_bs(blk));
    blk->drained--;
    gate_drain_end(&blk->gate);
}

void blk_drain(BlockBackend *blk)
{
    blk_drained_begin(blk);
    blk_drained_end(blk);
}
