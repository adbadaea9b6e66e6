/* SPDX-License-Identifier: MIT */
/*
 * An overlay that is kept: a qcow2 image whose virtual disk is
 *
 *   superblocks | redo log | two areas of the journal | the disk, in units
 *
 * When it is made, all metadata of the volume is written into it, so from then
 * on no layout is needed: what is not allocated is the bytes of a host file,
 * as the journal has it, or zeroes. Making one and opening one that was made
 * are the same from that point on.
 */
#include <errno.h>
#include <string.h>

#include "block/error.h"
#include "block/vvfat/reconcile.h"
#include "block/vvfat/writable-int.h"

/* ---- Opening one ---- */

bool kept_refuse(const Writable *w, const char *why, GError **errp)
{
    block_error_set(errp, EINVAL,
                    "'%s' is no overlay of this directory: %s. Give another "
                    "overlay, or move this one away",
                    w->config->overlay, why);
    return false;
}

bool kept_fail(const Writable *w, const char *doing, int ret, GError **errp)
{
    block_error_set(errp, -ret, "Could not %s the overlay '%s': %s%s", doing,
                    w->config->overlay, g_strerror(-ret),
                    writable_is_full(ret) ? "; make room there, or name a "
                                            "file somewhere else"
                                          : "");
    return false;
}

/* The same directory, though the system may number its device anew. */
static bool check_directory(const Writable *w, const KeptIdentity *now,
                            const KeptIdentity *kept, GError **errp)
{
    g_autofree char *why = NULL;

    if (now->ino == kept->ino &&
        (now->dev == kept->dev || strcmp(now->dir, kept->dir) == 0)) {
        return true;
    }
    why = g_strdup_printf("it was made for '%s'", kept->dir);
    return kept_refuse(w, why, errp);
}

static bool check_shape(const Writable *w, const KeptIdentity *now,
                        const KeptIdentity *kept, GError **errp)
{
    if (strcmp(now->shape, kept->shape) == 0 && now->utc == kept->utc) {
        return true;
    }
    block_error_set(errp, EINVAL,
                    "The volume in '%s' was made with %s%s%s, and is opened "
                    "with %s%s%s: give the same options, or another overlay",
                    w->config->overlay, *kept->shape ? "'" : "",
                    *kept->shape ? kept->shape : "no options",
                    *kept->shape ? "'" : "", *now->shape ? "'" : "",
                    *now->shape ? now->shape : "none", *now->shape ? "'" : "");
    return false;
}

static bool check_identity(Writable *w, const KeptIdentity *kept,
                           KeptIdentity *now, GError **errp)
{
    if (!kept_directory_id(w, now, errp) ||
        !check_directory(w, now, kept, errp) ||
        !check_shape(w, now, kept, errp)) {
        return false;
    }
    writable_set_geometry(w, &kept->geometry);
    w->kept->has_fingerprint = kept->has_fingerprint;
    w->kept->fingerprint = kept->fingerprint;
    if (kept->unit != writable_unit(w) ||
        bdrv_getlength(bdrv_child_bs(w->kept->child)) < kept_image_bytes(w)) {
        return kept_refuse(w, "its size is not that of its volume", errp);
    }
    return true;
}

static bool check_boot(const Writable *w, GError **errp)
{
    const BootInfo *boot = guest_state_boot(w->state);
    const Geometry *g = &w->geometry;

    return (boot->bytes_per_sector == SECTOR_SIZE &&
            boot->cluster_count == g->cluster_count &&
            boot->data_start == g->data_start &&
            boot->sectors_per_cluster == g->sectors_per_cluster) ||
           kept_refuse(w, "its boot sector is another volume's", errp);
}

static void move_device(InodeHostId *id, uint64_t from, uint64_t to)
{
    id->dev = id->dev == from ? to : id->dev;
}

static void move_devices(const JournalTree *tree, JournalPlan *plan,
                         uint64_t from, uint64_t to)
{
    g_autoptr(GPtrArray) inodes = journal_tree_list(tree);

    for (guint i = 0; i < inodes->len; i++) {
        move_device(&((Inode *)g_ptr_array_index(inodes, i))->host, from, to);
    }
    for (guint i = 0; plan && i < plan->staged->len; i++) {
        move_device(&g_array_index(plan->staged, JournalStaged, i).id, from,
                    to);
    }
}

static gint compare_mapped(gconstpointer a, gconstpointer b)
{
    const Inode *one = *(Inode *const *)a, *other = *(Inode *const *)b;

    return (one->mapped_at > other->mapped_at) -
           (one->mapped_at < other->mapped_at);
}

/* Clusters to host files, in the order in which they were taken. */
static void map_all(Writable *w, const GPtrArray *inodes)
{
    g_autoptr(GPtrArray) order = g_ptr_array_new();

    for (guint i = 0; i < inodes->len; i++) {
        Inode *inode = g_ptr_array_index(inodes, i);

        if (inode->host_chain.n_runs) {
            g_ptr_array_add(order, inode);
        }
    }
    g_ptr_array_sort(order, compare_mapped);
    for (guint i = 0; i < order->len; i++) {
        data_map_add(w->map, g_ptr_array_index(order, i));
    }
}

static void count_facts(Writable *w, const GPtrArray *inodes)
{
    uint64_t used = 0;

    for (guint i = 0; i < inodes->len; i++) {
        const Inode *inode = g_ptr_array_index(inodes, i);

        used += chain_length(&inode->chain);
        w->facts.n_directories += inode->is_directory;
        w->facts.n_files += !inode->is_directory;
    }
    w->facts.free_clusters = w->geometry.cluster_count -
                             (uint32_t)MIN(used, w->geometry.cluster_count);
}

/* What the journal has, as it is on the host now. */
static GPtrArray *load_inodes(Writable *w, const KeptIdentity *kept,
                              const KeptIdentity *now, GError **errp)
{
    g_autoptr(JournalTree) tree = journal_tree_new();
    g_autoptr(JournalPlan) plan = NULL;
    int ret = 0;

    if (!journal_load(w->kept->journal,
                      w->geometry.cluster_count + FAT_FIRST_CLUSTER, tree,
                      &plan, errp)) {
        g_prefix_error(errp, "'%s': ", w->config->overlay);
        return NULL;
    }
    if (!journal_tree_link(tree)) {
        kept_refuse(w, "what it says of the directory's files cannot be",
                    errp);
        return NULL;
    }
    move_devices(tree, plan, kept->dev, now->dev);
    if (plan) {
        ret = reconcile_plan(w->fs, tree, plan, w->report);
    }
    if (ret < 0) {
        block_error_set_errno(errp, -ret,
                              "Could not find out how far the last commit "
                              "into '%s' got",
                              w->config->dir);
        return NULL;
    }
    return journal_tree_take(tree);
}

/* What a process that was killed wrote last. */
static int repeat(int64_t offset, int64_t bytes, const IOVector *iov,
                  void *opaque)
{
    Writable *w = opaque;

    if (offset > w->disk_bytes || bytes > w->disk_bytes - offset) {
        return -EIO;
    }
    return iov ? overlay_pwritev(w->overlay, offset, iov)
               : overlay_pwrite_zeroes(w->overlay, offset, bytes);
}

static int load_overlay(Writable *w)
{
    int ret = overlay_find_present(w->overlay);

    if (ret == 0) {
        ret = redo_repeat(w->kept->redo, repeat, w);
    }
    overlay_set_redo(w->overlay, w->kept->redo);
    return ret;
}

static bool load_state(Writable *w, const KeptIdentity *kept,
                       const KeptIdentity *now, GError **errp)
{
    g_autoptr(GPtrArray) inodes = NULL;
    int ret;

    if (!writable_make_state(w, kept->boot, NULL, errp) ||
        !check_boot(w, errp)) {
        return false;
    }
    inodes = load_inodes(w, kept, now, errp);
    if (!inodes) {
        return false;
    }
    guest_state_restore(w->state, inodes);
    w->map = data_map_new(w->fs, w->cluster_size);
    map_all(w, inodes);
    count_facts(w, inodes);
    ret = journal_checkpoint(w->kept->journal, inodes);
    if (ret == 0) {
        ret = load_overlay(w);
    }
    return ret == 0 || kept_fail(w, "open", ret, errp);
}

/* Report what changed meanwhile. */
static void survey(Writable *w)
{
    g_autoptr(GPtrArray) inodes = guest_state_inodes(w->state);

    reconcile_survey(w->fs, inodes, w->report);
}

static bool load_image(Writable *w, const GByteArray *bytes, GError **errp)
{
    KeptIdentity kept = { 0 }, now = { 0 };
    bool ok = false;

    if (!kept_identity_decode(bytes, &kept)) {
        kept_refuse(w, "its description is damaged", errp);
    } else if (check_identity(w, &kept, &now, errp)) {
        writable_make_overlay(w, w->kept->child, KEPT_DISK, true);
        ok = load_state(w, &kept, &now, errp);
    }
    kept_identity_clear(&kept);
    kept_identity_clear(&now);
    return ok;
}

static bool is_inside(const char *file, const char *dir)
{
    g_autofree char *inner = g_canonicalize_filename(file, NULL);
    g_autofree char *outer = g_canonicalize_filename(dir, NULL);
    size_t length = strlen(outer);

    return strncmp(inner, outer, length) == 0 &&
           (inner[length] == '/' || strcmp(outer, "/") == 0);
}

/* With the directory locked. */
static bool start(Writable *w, BlockDriverState *bs, Options *options,
                  GError **errp)
{
    const CommitConfig hooks = {
        .begin = kept_begin,
        .staged = kept_staged,
        .done = kept_done,
        .lost = kept_lost,
    };
    g_autoptr(Layout) layout = NULL;
    g_autoptr(GByteArray) identity = NULL;
    bool is_new;

    if (!kept_get_image(w, bs, options, &layout, errp) ||
        !kept_prepare(w, &layout, &identity, errp)) {
        return false;
    }
    is_new = layout != NULL;
    g_clear_pointer(&layout, layout_free); /* all of it is in the image */
    if (!load_image(w, identity, errp)) {
        return false;
    }
    if (!is_new) {
        survey(w);
    }
    if (!writable_start(w, &hooks, errp)) {
        return false;
    }
    if (w->config->commit == COMMIT_MANUAL) {
        committer_look(w->committer);
    } else if (!is_new) {
        committer_wake(w->committer);
    }
    return true;
}

Writable *writable_new_kept(BlockDriverState *bs, Options *options,
                            const VvfatConfig *config, HostFs *fs,
                            Report *report, GError **errp)
{
    g_autoptr(Writable) w = writable_alloc(bs, config, fs, report);

    if (is_inside(config->overlay, config->dir)) {
        block_error_set(errp, EINVAL,
                        "The overlay '%s' may not stand in the directory "
                        "that it belongs to",
                        config->overlay);
        return NULL;
    }
    if (!writable_lock_directory(w, errp)) {
        return NULL;
    }
    if (!start(w, bs, options, errp)) {
        if (w->kept) { /* it is open, so nobody else's */
            new_file_remove(&w->made);
        }
        return NULL;
    }
    return g_steal_pointer(&w);
}
