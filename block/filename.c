/* SPDX-License-Identifier: MIT */
/*
 * The name of an image. A plain name is best: the driver's own, or, for a
 * format with no options of consequence, that of its file. Where none says it
 * all, the name is "json:" and the options that tell this image from others
 * (strong_runtime_opts), with those of the children inside: its file, and
 * others that were asked for ("backing": null: none was). What the driver
 * finds or makes itself (a backing file, a temporary overlay) it finds or makes
 * again.
 */
#include "block/filename.h"

#include "block/graph.h"
#include "block/open-backing.h"
#include "util/option-set.h"

/* Copy the driver's strong options that were given. Whether there are any. */
static bool copy_strong_options(const BlockDriverState *bs, Options *to)
{
    const char *const *name = bs->drv->strong_runtime_opts;
    g_autoptr(Options) given = options_copy(bs->options);
    bool any = false;

    for (; name && *name; name++) {
        const char *value = options_get(given, *name);

        if (value) {
            options_set(to, *name, value);
            any = true;
        }
        /* A list or an object is the keys that begin with the name. */
        g_autoptr(Options) nested = options_take_prefix(given, *name);
        if (options_size(nested) > 0) {
            options_merge(to, nested, *name);
            any = true;
        }
    }
    return any;
}

/* Another backing file than the recorded one that is not open: as it was asked
 * for. */
static void add_unopened_backing(const BlockDriverState *bs, Options *to)
{
    if (bs->backing) {
        return;
    }
    g_autoptr(Options) given = options_copy(bs->options);
    g_autofree char *reference = options_take(given, "backing");
    g_autoptr(Options) nested = options_take_prefix(given, "backing");

    options_merge(to, nested, "backing");
    if (reference && *reference) {
        options_set(to, "backing", reference);
    } else if (options_size(nested) == 0) {
        options_set_form(to, "backing", "", OPTION_FORM_NULL);
    }
}

static char *plain_name(BlockDriverState *bs, bool has_strong_options)
{
    const BlockDriverState *file = node_primary(bs);

    if (bs->drv->get_filename) {
        return bs->drv->get_filename(bs);
    }
    if (bs->drv->is_format && !has_strong_options && file) {
        return g_strdup(file->plain_filename);
    }
    return NULL;
}

void filename_refresh(BlockDriverState *bs)
{
    Options *full = options_new();

    options_set(full, "driver", bs->drv->format_name);
    bool strong = copy_strong_options(bs, full);
    for (guint i = 0; i < bs->children->len; i++) {
        const BdrvChild *child = g_ptr_array_index(bs->children, i);

        if ((child->role & BDRV_CHILD_PRIMARY) ||
            options_has_prefix(bs->options, child->name)) {
            options_merge(full, child->bs->full_options, child->name);
        }
    }
    if (backing_is_overridden(bs)) {
        strong = true;
        add_unopened_backing(bs, full);
    }
    g_free(bs->plain_filename);
    bs->plain_filename = plain_name(bs, strong);
    if (bs->plain_filename && !driver_has_child(bs->drv) &&
        bs->drv->strong_runtime_opts == NULL) {
        options_set(full, "filename", bs->plain_filename);
    }
    options_free(bs->full_options);
    bs->full_options = full;
}

char *bdrv_get_filename(BlockDriverState *bs)
{
    return filename_of_node(bs);
}

char *filename_of_node(const BlockDriverState *bs)
{
    if (bs->plain_filename) {
        return g_strdup(bs->plain_filename);
    }
    g_autofree char *json = options_to_json(bs->full_options);
    return g_strconcat("json:", json, NULL);
}
