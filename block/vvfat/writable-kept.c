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
#include "block/vvfat/kept-identity.h"
#include "block/vvfat/reconcile.h"
#include "block/vvfat/scan.h"
#include "block/vvfat/writable-int.h"

#define AREA_BYTES (INT64_C(1) << 30)
#define REDO (INT64_C(1) << 20)
#define AREAS (INT64_C(16) << 20)
#define DISK (AREAS + 2 * AREA_BYTES)
#define CHUNK (INT64_C(1) << 20)
#define ROOT_NUMBER 1u

/* ---- The store of the journal ---- */

static int store_read(void *opaque, int64_t offset, int64_t bytes, void *buf)
{
    return bdrv_pread(((Kept *)opaque)->child, offset, bytes, buf, 0);
}

static int store_write(void *opaque, int64_t offset, int64_t bytes,
                       const void *buf)
{
    return bdrv_pwrite(((Kept *)opaque)->child, offset, bytes, buf, 0);
}

static int store_flush(void *opaque)
{
    return bdrv_flush(bdrv_child_bs(((Kept *)opaque)->child));
}

static void store_discard(void *opaque, int64_t offset, int64_t bytes)
{
    /* Space alone. */
    (void)!bdrv_pdiscard(((Kept *)opaque)->child, offset, bytes);
}

static Kept *kept_new(BdrvChild *child)
{
    Kept *kept = g_new0(Kept, 1);
    JournalStore store = {
        .read = store_read,
        .write = store_write,
        .flush = store_flush,
        .discard = store_discard,
        .opaque = kept,
        .supers = { 0, JOURNAL_SUPER_BYTES },
        .areas = { AREAS, AREAS + AREA_BYTES },
        .area_bytes = AREA_BYTES,
    };

    kept->child = child;
    kept->journal = journal_new(&store);
    kept->redo = redo_new(child, REDO);
    kept->planned = g_hash_table_new(NULL, NULL);
    return kept;
}

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

static int64_t image_bytes(const Writable *w)
{
    return DISK + overlay_child_bytes(w->disk_bytes, w->data_offset,
                                      writable_unit(w));
}

static bool create_image(Writable *w, GError **errp)
{
    g_autoptr(Options) create = options_new();

    options_set_int(create, "size", image_bytes(w));
    options_set_int(create, "cluster_size", writable_unit(w));
    if (!bdrv_create("qcow2", w->config->overlay, create, errp)) {
        g_prefix_error(
            errp, "Could not make the overlay '%s': ", w->config->overlay);
        return false;
    }
    return true;
}

/* Give back whatever an attempt that did not come to its end has written. */
static int empty_image(Writable *w)
{
    int64_t end = image_bytes(w);
    int ret = 0;

    for (int64_t at = AREAS; ret == 0 && at < end; at += AREA_BYTES) {
        ret = bdrv_pdiscard(w->kept->child, at, MIN(AREA_BYTES, end - at));
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

/* ---- Making one ---- */

static bool directory_id(Writable *w, KeptIdentity *id, GError **errp)
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
    KeptIdentity id = { .geometry = w->geometry, .unit = writable_unit(w) };
    int ret = -EINVAL;

    layout_read_metadata(w->layout, w->volume_offset, SECTOR_SIZE, id.boot);
    layout_read_metadata(w->layout, 0, SECTOR_SIZE, id.mbr);
    writable_make_overlay(w, w->kept->child, DISK, true);
    w->map = data_map_new(w->fs, w->cluster_size);
    if (directory_id(w, &id, errp) &&
        writable_make_state(w, id.boot, writable_read_initial, errp)) {
        guest_state_add_layout(w->state, w->layout);
        ret = write_all(w, &id);
        if (ret < 0) {
            block_error_set_errno(errp, -ret,
                                  "Could not fill the overlay '%s'",
                                  w->config->overlay);
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

/* ---- Opening one ---- */

static bool fail_identity(const Writable *w, const char *why, GError **errp)
{
    block_error_set(errp, EINVAL,
                    "'%s' is no overlay of this directory: %s. Give another "
                    "overlay, or move this one away",
                    w->config->overlay, why);
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
    return fail_identity(w, why, errp);
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
    if (!directory_id(w, now, errp) || !check_directory(w, now, kept, errp) ||
        !check_shape(w, now, kept, errp)) {
        return false;
    }
    writable_set_geometry(w, &kept->geometry);
    if (kept->unit != writable_unit(w) ||
        bdrv_getlength(bdrv_child_bs(w->kept->child)) < image_bytes(w)) {
        return fail_identity(w, "its size is not that of its volume", errp);
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
           fail_identity(w, "its boot sector is another volume's", errp);
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
        fail_identity(w, "what it says of the directory's files cannot be",
                      errp);
        return NULL;
    }
    move_devices(tree, plan, kept->dev, now->dev);
    if (plan) {
        ret = reconcile_plan(w->fs, tree, plan);
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
    if (ret < 0) {
        block_error_set_errno(errp, -ret, "Could not open the overlay '%s'",
                              w->config->overlay);
    }
    return ret == 0;
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
        fail_identity(w, "its description is damaged", errp);
    } else if (check_identity(w, &kept, &now, errp)) {
        writable_make_overlay(w, w->kept->child, DISK, true);
        ok = load_state(w, &kept, &now, errp);
    }
    kept_identity_clear(&kept);
    kept_identity_clear(&now);
    return ok;
}

/* ---- Both ---- */

/* The image, opened; *layout is set when it was not there. */
static bool get_image(Writable *w, BlockDriverState *bs, Options *options,
                      Layout **layout, GError **errp)
{
    g_autoptr(GError) error = NULL;
    BdrvChild *child = open_image(w, bs, options, &error);

    if (!child && block_error_to_errno(error) == -ENOENT) {
        *layout = make_layout(w, errp);
        if (!*layout) {
            return false;
        }
        writable_set_geometry(w, layout_geometry(*layout));
        if (!create_image(w, errp)) {
            return false;
        }
        child = open_image(w, bs, options, errp);
    } else if (!child) {
        g_propagate_error(errp, g_steal_pointer(&error));
    }
    if (child) {
        w->kept = kept_new(child);
    }
    return child != NULL;
}

/* An image that has no volume yet gets one. */
static bool prepare(Writable *w, Layout **layout, GByteArray **identity,
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
        return fail_identity(w, "it holds something else", errp);
    }
    if (!*layout) {
        *layout = make_layout(w, errp);
        if (!*layout) {
            return false;
        }
        writable_set_geometry(w, layout_geometry(*layout));
        if (bdrv_getlength(bdrv_child_bs(w->kept->child)) != image_bytes(w)) {
            return fail_identity(w,
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

static bool is_inside(const char *file, const char *dir)
{
    g_autofree char *inner = g_canonicalize_filename(file, NULL);
    g_autofree char *outer = g_canonicalize_filename(dir, NULL);
    size_t length = strlen(outer);

    return strncmp(inner, outer, length) == 0 &&
           (inner[length] == '/' || strcmp(outer, "/") == 0);
}

Writable *writable_new_kept(BlockDriverState *bs, Options *options,
                            const VvfatConfig *config, HostFs *fs,
                            Report *report, GError **errp)
{
    g_autoptr(Writable) w = writable_alloc(config, fs, report);
    g_autoptr(Layout) layout = NULL;
    g_autoptr(GByteArray) identity = NULL;
    const CommitConfig hooks = {
        .begin = kept_begin,
        .staged = kept_staged,
        .done = kept_done,
    };
    bool is_new;

    if (is_inside(config->overlay, config->dir)) {
        block_error_set(errp, EINVAL,
                        "The overlay '%s' may not stand in the directory "
                        "that it belongs to",
                        config->overlay);
        return NULL;
    }
    if (!writable_lock_directory(w, errp) ||
        !get_image(w, bs, options, &layout, errp) ||
        !prepare(w, &layout, &identity, errp)) {
        return NULL;
    }
    is_new = layout != NULL;
    if (!load_image(w, identity, errp)) {
        return NULL;
    }
    if (!is_new) {
        survey(w);
    }
    if (!writable_start(w, &hooks, errp)) {
        return NULL;
    }
    if (config->commit == COMMIT_MANUAL) {
        committer_look(w->committer);
    } else if (!is_new) {
        committer_wake(w->committer);
    }
    return g_steal_pointer(&w);
}
