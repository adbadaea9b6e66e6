/* SPDX-License-Identifier: MIT */
/*
 * The image of an overlay that is kept: opening it, and putting the volume of
 * a directory into one that has none yet. What an attempt that did not come to
 * its end left there is dropped.
 */
#include "block/error.h"
#include "block/vvfat/scan.h"
#include "block/vvfat/writable-int.h"
#include "util/size.h"

#define CHUNK (INT64_C(1) << 20)

/* ---- The image ---- */

static BdrvChild *open_image(Writable *w, BlockDriverState *bs,
                             Options *options, GError **errp)
{
    options_set(options, "write-target.driver", "qcow2");
    /* Something else may stand below the format. */
    if (!options_has_prefix(options, "write-target.file")) {
        options_set(options, "write-target.file.driver", "file");
        options_set(options, "write-target.file.filename", w->config->overlay);
    }
    options_set(options, "write-target.read-only", "off");
    options_set(options, "write-target.auto-read-only", "off");
    options_set(options, "write-target.discard", "unmap");
    return bdrv_open_child(bs, options, "write-target", &child_of_bds,
                           BDRV_CHILD_DATA | BDRV_CHILD_METADATA, false, errp);
}

int64_t kept_image_bytes(const Writable *w)
{
    return KEPT_DISK + overlay_child_bytes(w->disk_bytes, w->data_offset,
                                           writable_unit(w));
}

static bool create_as(Writable *w, const char *path, GError **errp)
{
    g_autoptr(Options) create = options_new();
    g_autoptr(GError) error = NULL;

    options_set_int(create, "size", kept_image_bytes(w));
    options_set_int(create, "cluster_size", writable_unit(w));
    if (!bdrv_create("qcow2", path, create, &error)) {
        int ret = block_error_to_errno(error);

        if (writable_is_full(ret)) {
            return kept_fail(w, "make", ret, errp);
        }
        g_propagate_prefixed_error(
            errp, g_steal_pointer(&error),
            "Could not make the overlay '%s': ", w->config->overlay);
        return false;
    }
    return true;
}

/* Whoever is killed meanwhile leaves no piece of an image, which would be taken
 * for something else. Where that cannot be had, it is made in place. */
static bool create_image(Writable *w, GError **errp)
{
    const char *path = w->config->overlay;
    g_autofree char *as = NULL;
    int fd = scratch_unpublished(path, &as);
    int ret;

    if (fd < 0) {
        return create_as(w, path, errp);
    }
    if (!create_as(w, as, errp)) {
        scratch_abandon(fd);
        return false;
    }
    ret = scratch_publish(fd, path);
    return ret == 0 || kept_fail(w, "make", ret, errp);
}

/* Give back whatever an attempt that did not come to its end has written. */
static int empty_image(Writable *w)
{
    int64_t end = kept_image_bytes(w);
    int ret = 0;

    for (int64_t at = KEPT_AREAS; ret == 0 && at < end;
         at += KEPT_AREA_BYTES) {
        ret = bdrv_pdiscard(w->kept->child, at,
                            MIN(KEPT_AREA_BYTES, end - at));
    }
    return ret;
}

/* Whether nothing was ever written to it. */
static bool image_is_empty(const Kept *kept)
{
    BlockDriverState *bs = bdrv_child_bs(kept->child);
    int64_t length = bdrv_getlength(bs), at = 0;

    while (at < length) {
        g_auto(BdrvBlockStatus) status = { 0 };

        if (bdrv_block_status(bs, at, length - at, 0, &status) < 0 ||
            (status.flags & BDRV_BLOCK_ALLOCATED)) {
            return false;
        }
        at += status.bytes;
    }
    return true;
}

/* ---- The volume ---- */

bool kept_directory_id(Writable *w, KeptIdentity *id, GError **errp)
{
    HostStat st;
    int ret = w->fs->ops->stat(w->fs, "", &st);

    if (ret < 0) {
        block_error_set_errno(errp, -ret, "Could not look at '%s'",
                              w->config->dir);
        return false;
    }
    id->dev = st.dev;
    id->ino = st.ino;
    id->dir = g_canonicalize_filename(w->config->dir, NULL);
    id->shape = g_strdup(w->config->shape);
    id->utc = w->config->scan.utc;
    return true;
}

/* Everything that is computed, into the overlay. */
static int write_metadata(Writable *w)
{
    g_autofree uint8_t *buffer = g_malloc((gsize)CHUNK);
    int64_t at = 0;
    int ret = 0;

    while (ret == 0 && at < w->disk_bytes) {
        Region region;
        int64_t n;
        IOVector iov;

        layout_region(w->layout, at, &region);
        n = MIN(region.end - at, CHUNK);
        if (region.kind == REGION_METADATA) {
            layout_read_metadata(w->layout, at, n, buffer);
            iov_init_buf(&iov, buffer, (size_t)n);
            ret = overlay_pwritev(w->overlay, at, &iov);
            at += n;
        } else {
            at = region.end;
        }
    }
    return ret;
}

static int write_all(Writable *w, const KeptIdentity *id)
{
    g_autoptr(GByteArray) bytes = kept_identity_encode(id);
    g_autoptr(GPtrArray) inodes = NULL;
    int ret = journal_begin(w->kept->journal, bytes);

    if (ret == 0) {
        ret = empty_image(w);
    }
    if (ret == 0) {
        ret = redo_format(w->kept->redo);
    }
    if (ret == 0) {
        ret = write_metadata(w);
    }
    if (ret == 0) {
        inodes = guest_state_inodes(w->state);
        for (guint i = 0; i < inodes->len; i++) {
            data_map_add(w->map, g_ptr_array_index(inodes, i));
        }
        ret = journal_checkpoint(w->kept->journal, inodes);
    }
    return ret;
}

/* The volume of the directory as it is now, into the overlay. */
static bool fill_image(Writable *w, GError **errp)
{
    KeptIdentity id = {
        .geometry = w->geometry,
        .unit = writable_unit(w),
        .has_fingerprint = true,
        .fingerprint = fingerprint_of_layout(w->layout),
    };
    int ret = -EINVAL;

    layout_read_metadata(w->layout, w->volume_offset, SECTOR_SIZE, id.boot);
    layout_read_metadata(w->layout, 0, SECTOR_SIZE, id.mbr);
    writable_make_overlay(w, w->kept->child, KEPT_DISK, true);
    w->map = data_map_new(w->fs, w->cluster_size);
    if (kept_directory_id(w, &id, errp) &&
        writable_make_state(w, id.boot, writable_read_initial, errp)) {
        guest_state_add_layout(w->state, w->layout);
        ret = write_all(w, &id);
        if (ret < 0) {
            kept_fail(w, "make", ret, errp);
        }
    }
    kept_identity_clear(&id);
    g_clear_pointer(&w->map, data_map_free);
    g_clear_pointer(&w->state, guest_state_free);
    g_clear_pointer(&w->overlay, overlay_free);
    return ret == 0;
}

static Layout *make_layout(Writable *w, GError **errp)
{
    Tree *tree = scan_directory(w->fs, &w->config->scan, w->report, errp);

    return tree ? layout_new(tree, &w->config->layout, errp) : NULL;
}

/* ---- Both ---- */

static bool sync_name(const Writable *w, GError **errp)
{
    int ret = scratch_sync_name(w->config->overlay);

    return ret == 0 || kept_fail(w, "make", ret, errp);
}

/* The image, opened; *layout is set when it was not there. */
bool kept_get_image(Writable *w, BlockDriverState *bs, Options *options,
                    Layout **layout, GError **errp)
{
    g_autoptr(GError) error = NULL;
    BdrvChild *child = open_image(w, bs, options, &error);

    /* What is not found may be something that FILE needs. */
    if (!child && block_error_to_errno(error) == -ENOENT &&
        !scratch_exists(w->config->overlay)) {
        *layout = make_layout(w, errp);
        if (!*layout) {
            return false;
        }
        writable_set_geometry(w, layout_geometry(*layout));
        if (!create_image(w, errp)) {
            return false;
        }
        new_file_note(&w->made, w->config->overlay);
        child = open_image(w, bs, options, errp);
    } else if (!child) {
        g_propagate_error(errp, g_steal_pointer(&error));
    }
    if (!child) {
        return false;
    }
    w->kept = kept_new(child);
    return !*layout || sync_name(w, errp);
}

/* An image that no opening of a directory has ever written to: *errp says what
 * it is. False. */
static bool refuse_foreign(const Writable *w, bool is_empty, GError **errp)
{
    int64_t bytes = bdrv_getlength(bdrv_child_bs(w->kept->child));
    g_autofree char *size = size_format((uint64_t)MAX(bytes, 0));
    g_autofree char *why = NULL;

    if (is_empty) {
        block_error_set(errp, EINVAL,
                        "'%s' is no overlay of a directory: it is an empty "
                        "qcow2 image of %s, and overlays are made where there "
                        "is no file yet. Remove it, or name another file",
                        w->config->overlay, size);
        return false;
    }
    why = g_strdup_printf("it is a qcow2 image of %s that holds something "
                          "else",
                          size);
    return kept_refuse(w, why, errp);
}

/* An image that has no volume yet gets one. */
bool kept_prepare(Writable *w, Layout **layout, GByteArray **identity,
                  GError **errp)
{
    JournalState state;
    int ret = journal_probe(w->kept->journal, &state, identity);

    if (ret < 0) {
        block_error_set_errno(errp, -ret, "Could not read the overlay '%s'",
                              w->config->overlay);
        return false;
    }
    if (state == JOURNAL_READY) {
        return true;
    }
    if (state == JOURNAL_DAMAGED ||
        (state == JOURNAL_NONE && !image_is_empty(w->kept))) {
        return refuse_foreign(w, false, errp);
    }
    if (!*layout) {
        *layout = make_layout(w, errp);
        if (!*layout) {
            return false;
        }
        writable_set_geometry(w, layout_geometry(*layout));
        if (bdrv_getlength(bdrv_child_bs(w->kept->child)) !=
            kept_image_bytes(w)) {
            return state == JOURNAL_NONE
                       ? refuse_foreign(w, true, errp)
                       : kept_refuse(w,
                                     "it was left unfinished, and the "
                                     "directory needs another size now",
                                     errp);
        }
    }
    w->layout = *layout;
    if (!fill_image(w, errp)) {
        return false;
    }
    w->layout = NULL;
    ret = journal_probe(w->kept->journal, &state, identity);
    if (ret < 0 || state != JOURNAL_READY) {
        block_error_set_errno(errp, ret < 0 ? -ret : EIO,
                              "Could not read the overlay '%s'",
                              w->config->overlay);
        return false;
    }
    return true;
}
