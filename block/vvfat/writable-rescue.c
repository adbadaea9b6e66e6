/* SPDX-License-Identifier: MIT */
/*
 * What could not be committed, as a qcow2 image beside the directory.
 *
 * It holds everything that the overlay has, all metadata, and the data of each
 * file that is held back, so that its volume can be looked into with any tool.
 * Files that are in the directory as the guest has them read as zeroes there.
 */
#include <errno.h>
#include <string.h>

#include "block/error.h"
#include "block/vvfat/writable-int.h"

#define CHUNK (1 << 20)
#define MAX_SAME_TIME 1000 /* images of one second */

typedef struct Rescue {
    Writable *w;
    BlockBackend *image;
    uint8_t *buffer;
    int ret;
} Rescue;

/* ---- Copying ---- */

static void copy_range(Rescue *r, int64_t offset, int64_t bytes)
{
    while (r->ret == 0 && bytes > 0) {
        int64_t n = MIN(bytes, CHUNK);

        r->ret = overlay_read_frozen(r->w->overlay, offset, n, r->buffer);
        if (r->ret == 0) {
            r->ret = blk_pwrite(r->image, offset, n, r->buffer, 0);
        }
        offset += n;
        bytes -= n;
    }
}

/* Everything in front of the data, and what the overlay has of the rest. */
static void copy_overlay(Rescue *r)
{
    int64_t end = r->w->disk_bytes, at = r->w->data_offset;

    copy_range(r, 0, at);
    while (r->ret == 0 && at < end) {
        bool present;
        int64_t n = overlay_run(r->w->overlay, at, end - at, &present);

        if (present) {
            copy_range(r, at, n);
        }
        at += n;
    }
    if (r->w->data_end < end) { /* a GPT's second half */
        copy_range(r, r->w->data_end, end - r->w->data_end);
    }
}

static void copy_chain(Rescue *r, const Inode *inode)
{
    for (uint32_t i = 0; i < inode->chain.n_runs; i++) {
        ClusterRun run = chain_runs(&inode->chain)[i];

        copy_range(r,
                   r->w->data_offset +
                       (int64_t)(run.first - FAT_FIRST_CLUSTER) *
                           r->w->cluster_size,
                   (int64_t)run.count * r->w->cluster_size);
        /* A file that the host has no more: the rest is worth keeping. */
        if (r->ret == -EIO) {
            r->ret = 0;
        }
    }
}

static void copy_directories(Rescue *r, Inode *root)
{
    g_autoptr(GPtrArray) dirs = g_ptr_array_new();

    g_ptr_array_add(dirs, root);
    while (dirs->len) {
        const Inode *dir = g_ptr_array_steal_index_fast(dirs, dirs->len - 1);

        copy_chain(r, dir);
        for (uint32_t i = 0; i < dir->n_children; i++) {
            if (dir->children[i]->is_directory) {
                g_ptr_array_add(dirs, dir->children[i]);
            }
        }
    }
}

static void copy_held(Rescue *r)
{
    const GPtrArray *changes = guest_state_changes(r->w->state);

    for (guint i = 0; i < changes->len; i++) {
        const Inode *inode = g_ptr_array_index(changes, i);

        if (inode_is_loss(inode)) {
            copy_chain(r, inode);
        }
    }
}

/* ---- The image ---- */

/* An empty file of a new name: what an earlier one keeps is not to be lost. */
static char *claim_name(const char *dir, const char *where, GError **errp)
{
    g_autoptr(GDateTime) now = g_date_time_new_now_utc();
    g_autofree char *time = g_date_time_format(now, "%Y%m%dT%H%M%SZ");
    g_autofree char *base = g_path_get_basename(dir);
    g_autofree char *parent = g_path_get_dirname(dir);
    g_autofree char *start =
        g_strdup_printf("%s/%s.vvfat-rescue-%s", where ? where : parent,
                        strcmp(base, "/") ? base : "root", time);
    int ret = -EEXIST;

    for (unsigned i = 1; ret == -EEXIST && i <= MAX_SAME_TIME; i++) {
        g_autofree char *path = i == 1
                                    ? g_strdup_printf("%s.qcow2", start)
                                    : g_strdup_printf("%s-%u.qcow2", start, i);

        ret = scratch_claim(path);
        if (ret == 0) {
            return g_steal_pointer(&path);
        }
    }
    block_error_set_errno(errp, -ret, "Could not create '%s.qcow2'", start);
    return NULL;
}

static bool fill_image(Writable *w, const char *path, GError **errp)
{
    g_autofree uint8_t *buffer = g_malloc(CHUNK);
    g_autoptr(Options) options = options_new();
    g_autoptr(BlockBackend) image = NULL;
    Rescue r = { .w = w, .buffer = buffer };

    options_set(options, "driver", "qcow2");
    options_set(options, "file.driver", "file");
    options_set(options, "file.filename", path);
    image = blk_open(NULL, options, BDRV_O_RDWR, errp);
    if (!image) {
        return false;
    }
    r.image = image;
    copy_overlay(&r);
    copy_directories(&r, guest_state_root(w->state));
    copy_held(&r);
    if (r.ret == 0) {
        r.ret = blk_flush(image);
    }
    if (r.ret < 0) {
        block_error_set_errno(errp, -r.ret, "Could not fill '%s'", path);
    }
    return r.ret == 0;
}

static bool make_image(Writable *w, const char *path, GError **errp)
{
    g_autoptr(Options) create = options_new();

    options_set_int(create, "size", w->disk_bytes);
    if (!bdrv_create("qcow2", path, create, errp) ||
        !fill_image(w, path, errp)) {
        scratch_remove(path);
        return false;
    }
    return true;
}

char *writable_rescue(Writable *w, GError **errp)
{
    const char *const places[] = { NULL, g_get_tmp_dir() };

    for (size_t i = 0; i < G_N_ELEMENTS(places); i++) {
        g_autofree char *path = NULL;

        g_clear_error(errp);
        path = claim_name(w->absolute_dir, places[i], errp);
        if (path && make_image(w, path, errp)) {
            return g_steal_pointer(&path);
        }
    }
    return NULL;
}
