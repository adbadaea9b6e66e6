/* SPDX-License-Identifier: MIT */
/*
 * Opening a node: which driver it is to be, then that driver's open().
 *
 * With a "driver" option that is it. Otherwise the name says the protocol; if
 * what stands there may hold any format, the protocol is opened first, as the
 * future PRIMARY child, and probed. Not probed are protocols whose contents
 * are made up by their driver ("fat:DIR", "null-co://"), and whatever is
 * opened with BDRV_O_PROTOCOL, as the files of formats are.
 *
 * The graph lock is not held: nobody else can see a node before it is
 * published, when it is complete.
 */
#include "block/open.h"

#include <errno.h>
#include <string.h>

#include "block/drivers.h"
#include "block/filename.h"
#include "block/fingerprint.h"
#include "block/graph.h"
#include "block/io.h"
#include "block/limits.h"
#include "block/open-backing.h"
#include "block/open-name.h"
#include "block/open-options.h"
#include "block/permission.h"
#include "block/probe.h"

/* How many open_node() are under way on this thread, in each other: options
 * such as "file.file.file..." must not use up the stack. */
static _Thread_local int depth;
#define DEPTH_MAX 100

/* ---- Children ---- */

/*
 * The node that will be the child `key`: by "key" = name of a node, or by
 * "key.*" and the name. NULL without *errp: nothing describes it. *opened: a
 * new node, not one that was there.
 */
static BlockDriverState *child_node_open(const char *key, const char *name,
                                         Options *options, unsigned flags,
                                         const BdrvChildClass *klass,
                                         unsigned role, bool parent_is_format,
                                         bool *opened, GError **errp)
{
    g_autofree char *reference = options_take(options, key);
    g_autoptr(Options) nested = options_take_prefix(options, key);
    unsigned child_flags = flags;

    *opened = false;
    if (reference) {
        if (name || options_size(nested) > 0) {
            block_error_set(errp, EINVAL,
                            "'%s=%s' names a node, so neither a file name nor "
                            "'%s.*' can be given",
                            key, reference, key);
            return NULL;
        }
        BlockDriverState *bs = node_find(reference);
        if (bs == NULL) {
            block_error_set(errp, ENOENT,
                            "There is no node '%s' for '%s'; a file is given "
                            "as '%s.filename'",
                            reference, key, key);
        }
        return bs;
    }
    if (name == NULL && options_size(nested) == 0) {
        return NULL;
    }
    klass->inherit_options(role, parent_is_format, flags, &child_flags,
                           nested);
    *opened = true;
    return open_node(name, g_steal_pointer(&nested), child_flags, errp);
}

/* A node cannot be written when what it consists of cannot. */
static bool degrade_with_child(BlockDriverState *bs,
                               const BlockDriverState *child_bs, unsigned role,
                               GError **errp)
{
    if (!(role & (BDRV_CHILD_PRIMARY | BDRV_CHILD_FILTERED)) ||
        !node_is_read_only(child_bs) || node_is_read_only(bs)) {
        return true;
    }
    g_autofree char *name = filename_of_node(child_bs);
    g_autofree char *reason =
        g_strdup_printf("'%s' is read-only; open it with read-only=on", name);
    return bdrv_apply_auto_read_only(bs, reason, errp);
}

/* Takes over the reference to child_bs. opened: it is a new node. */
static BdrvChild *attach_child(BlockDriverState *bs,
                               BlockDriverState *child_bs, bool opened,
                               const char *key, const BdrvChildClass *klass,
                               unsigned role, GError **errp)
{
    unsigned perm, shared;

    if (!degrade_with_child(bs, child_bs, role, errp)) {
        node_unref(child_bs);
        return NULL;
    }
    graph_lock();
    permission_of_child(bs, NULL, child_bs, role, bs->perm, bs->shared, &perm,
                        &shared);
    if (opened) {
        child_bs->inherits_from = bs;
    }
    graph_unlock();
    return child_attach(bs, NULL, child_bs, key, klass, role, perm, shared,
                        errp);
}

BdrvChild *open_named_child(BlockDriverState *bs, const char *name,
                            Options *options, const char *key,
                            const BdrvChildClass *klass, unsigned role,
                            GError **errp)
{
    bool opened = false;
    BlockDriverState *child_bs =
        child_node_open(key, name, options, bs->open_flags, klass, role,
                        bs->drv->is_format, &opened, errp);

    return child_bs
               ? attach_child(bs, child_bs, opened, key, klass, role, errp)
               : NULL;
}

BdrvChild *bdrv_open_child(BlockDriverState *bs, Options *options,
                           const char *key, const BdrvChildClass *klass,
                           unsigned role, bool allow_none, GError **errp)
{
    g_autofree char *name = NULL;
    g_autoptr(GError) error = NULL;
    BdrvChild *child;

    if ((role & BDRV_CHILD_PRIMARY) && bs->child_node) {
        return attach_child(bs, g_steal_pointer(&bs->child_node),
                            bs->child_opened, key, klass, role, errp);
    }
    if (role & BDRV_CHILD_PRIMARY) {
        name = g_steal_pointer(&bs->child_filename);
    }
    child = open_named_child(bs, name, options, key, klass, role, &error);
    if (error) {
        g_propagate_error(errp, g_steal_pointer(&error));
    } else if (child == NULL && !allow_none) {
        block_error_set(errp, EINVAL,
                        "The driver '%s' needs a file name or the option "
                        "'%s'",
                        bs->drv->format_name, key);
    }
    return child;
}

BdrvChild *bdrv_open_file_child(BlockDriverState *bs, Options *options,
                                GError **errp)
{
    unsigned role = bs->drv->is_filter
                        ? BDRV_CHILD_FILTERED | BDRV_CHILD_PRIMARY
                        : BDRV_CHILD_IMAGE;

    return bdrv_open_child(bs, options, "file", &child_of_bds, role, false,
                           errp);
}

bool bdrv_apply_auto_read_only(BlockDriverState *bs, const char *reason,
                               GError **errp)
{
    if (node_is_read_only(bs)) {
        return true;
    }
    if (!(bs->open_flags & BDRV_O_AUTO_RDONLY)) {
        block_error_set(errp, EACCES, "%s",
                        reason ? reason : "The image is read-only");
        return false;
    }
    bs->open_flags &= ~BDRV_O_RDWR;
    return true;
}

/* ---- Which driver ---- */

/* What is known of a node before there is one. */
typedef struct OpenRequest {
    const char *name; /* NULL: the options say it */
    Options *options; /* what is left for the driver */
    Options *all;     /* everything that was given */
    OpenOptions generic;
    BlockDriverState *child; /* opened for probing, or NULL */
    bool child_opened;       /* it is a new node */
} OpenRequest;

static void open_request_clear(OpenRequest *req)
{
    options_free(req->options);
    options_free(req->all);
    open_options_clear(&req->generic);
    node_unref(req->child);
}

static const BlockDriver *probe_format(OpenRequest *req, GError **errp)
{
    g_autofree char *filename = NULL;
    g_autofree char *path = NULL;
    g_autoptr(GError) error = NULL;

    /* A file name among the options is that of the protocol. */
    path = options_take(req->options, "filename");
    if (path) {
        options_set(req->options, "file.filename", path);
    }
    req->child = child_node_open(
        "file", req->name, req->options, req->generic.flags, &child_of_bds,
        BDRV_CHILD_IMAGE, true, &req->child_opened, &error);
    if (req->child == NULL) {
        if (error == NULL) {
            block_error_set(&error, EINVAL,
                            "No image was named: give a file name, or the "
                            "option 'driver' or 'file'");
        }
        g_propagate_error(errp, g_steal_pointer(&error));
        return NULL;
    }
    filename = filename_of_node(req->child);
    return probe_node(req->child, filename, errp);
}

static const BlockDriver *choose_driver(OpenRequest *req, bool *probed,
                                        GError **errp)
{
    const BlockDriver *protocol = NULL;

    if (req->generic.drv) {
        return req->generic.drv;
    }
    if (req->name) {
        protocol = open_name_driver(req->name, errp);
        if (protocol == NULL) {
            return NULL;
        }
    } else if (options_has(req->options, "filename")) {
        protocol = &bdrv_file;
    }
    if (protocol &&
        (protocol->generated || (req->generic.flags & BDRV_O_PROTOCOL))) {
        return protocol;
    }
    *probed = true;
    return probe_format(req, errp);
}

/* ---- Opening ---- */

/* The driver is open: what the core has to know of it. */
static bool complete_node(BlockDriverState *bs, const Options *left,
                          GError **errp)
{
    if (bs->child_node || bs->child_filename) {
        block_error_set(errp, EINVAL, "The driver '%s' takes no file",
                        bs->drv->format_name);
        return false;
    }
    if (!open_options_reject_unknown(bs->drv, left, errp)) {
        return false;
    }
    int ret = node_refresh_length(bs);
    if (ret < 0) {
        g_autofree char *name = filename_of_node(bs);
        block_error_set_errno(errp, -ret, "Could not get the size of '%s'",
                              name);
        return false;
    }
    return limits_refresh(bs, errp);
}

/* A format's driver says what is wrong in its image: here is which image. */
static bool open_image(BlockDriverState *bs, Options *options, GError **errp)
{
    GError *error = NULL;

    if (bs->drv->open(bs, options, bs->open_flags, &error)) {
        return true;
    }
    if (bs->drv->is_format && bs->primary) {
        g_autofree char *name = filename_of_node(bs->primary->bs);

        if (!strstr(error->message, name)) {
            g_prefix_error(&error, "'%s': ", name);
        }
    }
    g_propagate_error(errp, error);
    return false;
}

static BlockDriverState *open_driver(OpenRequest *req, const BlockDriver *drv,
                                     bool probed, GError **errp)
{
    BlockDriverState *bs = node_new(drv, req->generic.node_name,
                                    req->generic.flags, errp);

    if (bs == NULL) {
        return NULL;
    }
    bs->options = g_steal_pointer(&req->all);
    bs->detect_zeroes = req->generic.detect_zeroes;
    bs->probed = probed;
    bs->child_node = g_steal_pointer(&req->child);
    bs->child_opened = req->child_opened;
    if (req->name && bs->child_node == NULL) {
        if (!driver_has_child(drv) || open_name_is_of(req->name, drv)) {
            if (!open_name_to_options(req->name, drv, &req->options, errp)) {
                goto fail;
            }
            options_merge(bs->options, req->options, NULL);
        } else {
            bs->child_filename = g_strdup(req->name);
        }
    }
    if (!open_image(bs, req->options, errp)) {
        goto fail;
    }
    filename_refresh(bs); /* the backing file is found by it */
    if (!open_backing(bs, req->options, errp) ||
        !complete_node(bs, req->options, errp) || !backing_check(bs, errp)) {
        if (drv->close) {
            drv->close(bs);
        }
        goto fail;
    }
    filename_refresh(bs);
    node_publish(bs);
    return bs;

fail:
    node_unref(bs);
    return NULL;
}

BlockDriverState *open_node(const char *name, Options *options, unsigned flags,
                            GError **errp)
{
    OpenRequest req = { .name = name, .options = options };
    const BlockDriver *drv = NULL;
    BlockDriverState *bs = NULL;
    bool probed = false;

    if (++depth > DEPTH_MAX) {
        block_error_set(errp, ELOOP,
                        "The image consists of more than %d nodes on top of "
                        "each other",
                        DEPTH_MAX);
    } else if (open_name_json(&req.name, &req.options, errp)) {
        req.all = options_copy(req.options);
        if (open_options_take(&req.generic, req.options, flags, errp)) {
            drv = choose_driver(&req, &probed, errp);
        }
    }
    if (drv) {
        bs = open_driver(&req, drv, probed, errp);
    }
    open_request_clear(&req);
    depth--;
    return bs;
}
