/* SPDX-License-Identifier: MIT */
/*
 * What could not be committed, as a qcow2 image beside the directory.
 *
 * It holds everything that the overlay has, all metadata, and the data of each
 * file that is held back, so that its volume can be looked into with any tool.
 * Files that are in the directory as the guest has them read as zeroes there.
 *
 * While commits are suspended, each brings the image up to date instead, so
 * that what the guest flushes is durable: the first one makes it, the others
 * write what was written since. A crash meanwhile leaves what a disk does that
 * loses its power between two flushes. When the directory has everything after
 * all, the image goes.
 */
#include <errno.h>

#include "block/error.h"
#include "block/vvfat/writable-int.h"

#define CHUNK (256 * 1024)

typedef struct Copy {
    Writable *w;
    RescueImage *image;
    uint8_t *buffer;
    int ret;
} Copy;

/* ---- Copying ---- */

/* may_miss: bytes of a host file, which may be gone: the rest is worth
 * keeping. */
static void copy_range(Copy *c, int64_t offset, int64_t bytes, bool may_miss)
{
    while (c->ret == 0 && bytes > 0) {
        int64_t n = MIN(bytes, CHUNK);
        int ret = overlay_read_frozen(c->w->overlay, offset, n, c->buffer);

        if (ret == 0) {
            ret = rescue_image_write(c->image, offset, n, c->buffer);
        } else if (ret == -EIO && may_miss) {
            ret = 0;
        }
        c->ret = ret;
        offset += n;
        bytes -= n;
    }
}

/* What the overlay has of a range, or all of it. */
static void copy_overlay(Copy *c, int64_t offset, int64_t end, bool all)
{
    while (c->ret == 0 && offset < end) {
        bool present;
        int64_t n = overlay_run(c->w->overlay, offset, end - offset, &present);

        if (present || all) {
            copy_range(c, offset, n, !present);
        }
        offset += n;
    }
}

static void copy_chain(Copy *c, const Inode *inode)
{
    for (uint32_t i = 0; i < inode->chain.n_runs; i++) {
        ClusterRun run = chain_runs(&inode->chain)[i];
        int64_t start = c->w->data_offset +
                        (int64_t)(run.first - FAT_FIRST_CLUSTER) *
                            c->w->cluster_size;

        copy_overlay(c, start, start + (int64_t)run.count * c->w->cluster_size,
                     true);
    }
}

static void copy_directories(Copy *c, Inode *root)
{
    g_autoptr(GPtrArray) dirs = g_ptr_array_new();

    g_ptr_array_add(dirs, root);
    while (dirs->len) {
        const Inode *dir = g_ptr_array_steal_index_fast(dirs, dirs->len - 1);

        copy_chain(c, dir);
        for (uint32_t i = 0; i < dir->n_children; i++) {
            if (dir->children[i]->is_directory) {
                g_ptr_array_add(dirs, dir->children[i]);
            }
        }
    }
}

static void copy_held(Copy *c)
{
    const GPtrArray *changes = guest_state_changes(c->w->state);

    for (guint i = 0; i < changes->len; i++) {
        const Inode *inode = g_ptr_array_index(changes, i);

        if (inode_is_loss(inode)) {
            copy_chain(c, inode);
        }
    }
}

/* Everything in front of the data, what the overlay has of it, a GPT's second
 * half, and what the base has of directories and of files that wait. */
static void copy_all(Copy *c)
{
    Writable *w = c->w;

    copy_overlay(c, 0, w->data_offset, true);
    copy_overlay(c, w->data_offset, w->data_end, false);
    copy_overlay(c, w->data_end, w->disk_bytes, true);
    copy_directories(c, guest_state_root(w->state));
    copy_held(c);
}

/* What was written since the image was brought up to date last. */
static void copy_written(Copy *c)
{
    uint64_t first, count, at = 0;

    while (c->ret == 0 &&
           sparse_bitmap_next(c->w->unkept, at, &first, &count)) {
        at = first + count;
        copy_overlay(c, (int64_t)first * SECTOR_SIZE,
                     (int64_t)at * SECTOR_SIZE, true);
    }
}

/* ---- The image ---- */

/* The one before, for the caller to close or remove. */
static RescueImage *exchange_image(Writable *w, RescueImage *image)
{
    RescueImage *old = w->rescue;

    pthread_mutex_lock(&w->report_lock);
    w->rescue = image;
    pthread_mutex_unlock(&w->report_lock);
    return old;
}

/* Bring an image up to date: 0 or -errno. With the overlay frozen. */
static int fill(Writable *w, RescueImage *image, bool is_last)
{
    g_autofree uint8_t *buffer = g_malloc(CHUNK);
    Copy c = { .w = w, .image = image, .buffer = buffer };

    if (image != w->rescue) {
        copy_all(&c);
    } else {
        copy_written(&c);
        if (is_last) { /* entries wait that did not when it was made */
            copy_held(&c);
        }
    }
    if (c.ret == 0) {
        c.ret = rescue_image_flush(image);
    }
    if (c.ret == 0) {
        sparse_bitmap_free(sparse_bitmap_steal(w->unkept));
    }
    return c.ret;
}

static bool make_image(Writable *w, const char *where, GError **errp)
{
    RescueImage *image = rescue_image_new(w->absolute_dir, where,
                                          w->disk_bytes, errp);
    int ret = image ? fill(w, image, true) : 0;

    if (!image) {
        return false;
    }
    if (ret < 0) {
        block_error_set_errno(errp, -ret, "Could not fill '%s'",
                              rescue_image_path(image));
        rescue_image_remove(image);
        return false;
    }
    rescue_image_remove(exchange_image(w, image));
    return true;
}

/* Set *errp from both attempts. False. */
static bool fail_keeping(const GError *beside, const GError *elsewhere,
                         GError **errp)
{
    block_error_set(errp, -block_error_to_errno(beside),
                    "no image could be made beside the directory (%s), nor in "
                    "TMPDIR (%s)",
                    beside->message, elsewhere->message);
    return false;
}

/* In the image that there is, or in a new one. */
static bool keep(Writable *w, bool is_last, GError **errp)
{
    g_autoptr(GError) beside = NULL;
    g_autoptr(GError) elsewhere = NULL;

    if (w->rescue && !rescue_image_is_there(w->rescue)) {
        /* Somebody has removed it: its name may be the next one's. */
        rescue_image_free(exchange_image(w, NULL));
    }
    if (w->rescue && fill(w, w->rescue, is_last) == 0) {
        return true;
    }
    return make_image(w, NULL, &beside) ||
           make_image(w, g_get_tmp_dir(), &elsewhere) ||
           fail_keeping(beside, elsewhere, errp);
}

/* ---- While commits are suspended ---- */

void writable_note_written(int64_t offset, int64_t bytes, void *opaque)
{
    Writable *w = opaque;

    if (w->rescue) {
        uint64_t first = (uint64_t)offset / SECTOR_SIZE;
        uint64_t end = (uint64_t)(offset + bytes + SECTOR_SIZE - 1) /
                       SECTOR_SIZE;

        sparse_bitmap_set(w->unkept, first, end - first);
    }
}

int writable_keep_suspended(void *opaque, char **words)
{
    Writable *w = opaque;
    g_autoptr(GError) error = NULL;

    if (keep(w, false, &error)) {
        return 0;
    }
    *words = g_strdup_printf("what the guest writes cannot go into the "
                             "directory, nor be kept: %s. It is "
                             "lost when the disk is closed, unless a flush "
                             "succeeds before",
                             error->message);
    return block_error_to_errno(error);
}

void writable_drop_rescue(void *opaque)
{
    Writable *w = opaque;

    rescue_image_remove(exchange_image(w, NULL));
}

/* ---- At the end ---- */

char *writable_rescue(Writable *w, GError **errp)
{
    g_autoptr(GError) error = NULL;
    bool kept;

    overlay_freeze(w->overlay, writable_note_written, w);
    kept = keep(w, true, &error);
    overlay_thaw(w->overlay);
    if (kept) {
        return g_strdup(rescue_image_path(w->rescue));
    }
    if (w->rescue) {
        g_prefix_error(&error,
                       "'%s' has no more than what was flushed at first: ",
                       rescue_image_path(w->rescue));
    }
    g_propagate_error(errp, g_steal_pointer(&error));
    return NULL;
}
