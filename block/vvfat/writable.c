/* SPDX-License-Identifier: MIT */
/*
 * Who may touch what: requests of the guest see the overlay and, with its gate
 * held, the data map and the layout, which never changes. Guest state and
 * inodes belong to the committer's thread. See overlay.h for the locks.
 */
#include "block/vvfat/writable.h"

#include <errno.h>
#include <string.h>

#include "block/error.h"
#include "block/vvfat/writable-int.h"
#include "util/rwlock.h"

#define UNIT_MAX 4096u
/* ---- Events ---- */

static void on_event(ApplyEventKind kind, const char *path, const char *detail,
                     void *opaque)
{
    Writable *w = opaque;

    if (kind == APPLY_FAILED ||
        (kind == APPLY_CONFLICT &&
         !committer_conflict(w->committer, path, detail))) {
        return;
    }
    pthread_mutex_lock(&w->report_lock);
    report_add(w->report,
               kind == APPLY_CONFLICT   ? REPORT_CONFLICT
               : kind == APPLY_DANGLING ? REPORT_DANGLING
                                        : REPORT_NOT_KEPT,
               path, "%s", detail);
    pthread_mutex_unlock(&w->report_lock);
}

void writable_tell(const BlkEvent *event, void *opaque)
{
    const Writable *w = opaque;

    bdrv_emit_event(w->bs, event);
}

/* ---- Making one ---- */

static int read_frozen(void *opaque, int64_t offset, int64_t bytes, void *buf)
{
    Writable *w = opaque;

    return overlay_read_frozen(w->overlay, w->volume_offset + offset, bytes,
                               buf);
}

static bool cluster_is_dirty(void *opaque, uint32_t cluster)
{
    Writable *w = opaque;

    return overlay_is_dirty(w->overlay,
                            w->data_offset +
                                (int64_t)(cluster - FAT_FIRST_CLUSTER) *
                                    w->cluster_size,
                            w->cluster_size);
}

/* Whether the guest has it in use, and the overlay has not all of it. */
static bool cluster_is_needed(uint32_t cluster, void *opaque)
{
    const Writable *w = opaque;
    int64_t offset = w->data_offset +
                     (int64_t)(cluster - FAT_FIRST_CLUSTER) * w->cluster_size;
    bool present;

    return guest_state_allocated(w->state, cluster) != 0 &&
           (overlay_run(w->overlay, offset, w->cluster_size, &present) <
                w->cluster_size ||
            !present);
}

static void retire_inode(void *opaque, Inode *inode)
{
    Writable *w = opaque;

    if (w->commit) {
        commit_retire(w->commit, inode);
    }
    if (inode->host_chain.n_runs) {
        overlay_lock(w->overlay);
        data_map_retire(w->map, inode, cluster_is_needed, w);
        overlay_unlock(w->overlay);
    }
}

/* Options of the child, as the original has them. The image is made here. */
static char *make_target(Writable *w, Options *options, uint32_t unit,
                         GError **errp)
{
    g_autoptr(Options) create = options_new();
    g_autofree char *path = scratch_named("vvfat-overlay-XXXXXX", errp);

    if (!path) {
        return NULL;
    }
    options_set_int(create, "size",
                    overlay_child_bytes(w->disk_bytes, w->data_offset, unit));
    if (!bdrv_create("qcow", path, create, errp)) {
        g_prefix_error(errp,
                       "Could not make the overlay for what the guest writes "
                       "in '%s' (TMPDIR names another directory, and "
                       "overlay=FILE a file): ",
                       g_get_tmp_dir());
        scratch_remove(path);
        return NULL;
    }
    options_set(options, "write-target.driver", "qcow");
    options_set(options, "write-target.file.driver", "file");
    options_set(options, "write-target.file.filename", path);
    options_set(options, "write-target.read-only", "off");
    options_set(options, "write-target.auto-read-only", "off");
    options_set(options, "write-target.cache.no-flush", "on");
    options_set(options, "write-target.discard", "unmap");
    return g_steal_pointer(&path);
}

static BdrvChild *open_target(Writable *w, BlockDriverState *bs,
                              Options *options, uint32_t unit, GError **errp)
{
    g_autofree char *path = make_target(w, options, unit, errp);
    BdrvChild *child = NULL;

    if (path) {
        child = bdrv_open_child(bs, options, "write-target", &child_of_bds,
                                BDRV_CHILD_DATA | BDRV_CHILD_METADATA, false,
                                errp);
        scratch_remove(path); /* it stays as long as it is open */
    }
    return child;
}

void writable_set_geometry(Writable *w, const Geometry *g)
{
    w->geometry = *g;
    w->cluster_size = geometry_cluster_size(g);
    w->disk_bytes = (int64_t)(g->disk_sectors * SECTOR_SIZE);
    w->volume_offset = (int64_t)(g->volume_start * SECTOR_SIZE);
    w->volume_bytes = (int64_t)(g->volume_sectors * SECTOR_SIZE);
    w->data_offset = geometry_cluster_offset(g, FAT_FIRST_CLUSTER);
    w->data_end =
        geometry_cluster_offset(g, g->cluster_count + FAT_FIRST_CLUSTER);
}

uint32_t writable_unit(const Writable *w)
{
    return MIN(w->cluster_size, UNIT_MAX);
}

void writable_make_overlay(Writable *w, BdrvChild *child, int64_t base,
                           bool is_kept)
{
    OverlayConfig config = {
        .child = child,
        .base = base,
        .is_kept = is_kept,
        .disk_bytes = w->disk_bytes,
        .data_offset = w->data_offset,
        .unit = writable_unit(w),
        .place = w->overlay_place,
        .read_base = writable_read_base,
        .check_write = writable_check_write,
        .kept_run = writable_kept_run,
        .opaque = w,
    };

    w->overlay = overlay_new(&config);
}

static bool make_overlay(Writable *w, BlockDriverState *bs, Options *options,
                         GError **errp)
{
    BdrvChild *child = open_target(w, bs, options, writable_unit(w), errp);

    if (child) {
        writable_make_overlay(w, child, 0, false);
    }
    return child != NULL;
}

bool writable_make_state(Writable *w, const uint8_t boot[SECTOR_SIZE],
                         GuestStateRead *initial, GError **errp)
{
    GuestStateConfig config = {
        .volume_bytes = (uint64_t)w->volume_bytes,
        .codepage = w->config->codepage,
        .read = read_frozen,
        .initial = initial,
        .is_dirty = cluster_is_dirty,
        .retire = retire_inode,
        .opaque = w,
    };

    if (!boot_parse(boot, (uint64_t)w->volume_bytes, &config.boot, errp)) {
        return false;
    }
    w->state = guest_state_new(&config);
    w->facts.volume_id = config.boot.volume_id;
    return true;
}

static bool make_state(Writable *w, GError **errp)
{
    const Tree *tree = layout_tree(w->layout);
    uint8_t boot[SECTOR_SIZE];

    layout_read_metadata(w->layout, w->volume_offset, SECTOR_SIZE, boot);
    if (!writable_make_state(w, boot, writable_read_initial, errp)) {
        return false;
    }
    guest_state_add_layout(w->state, w->layout);
    w->facts.free_clusters = layout_free_clusters(w->layout);
    w->facts.n_files = tree->n_files;
    w->facts.n_directories = tree->n_directories;
    return true;
}

static void map_files(DataMap *map, Inode *root)
{
    g_autoptr(GPtrArray) dirs = g_ptr_array_new();

    g_ptr_array_add(dirs, root);
    while (dirs->len) {
        const Inode *dir = g_ptr_array_steal_index_fast(dirs, dirs->len - 1);

        for (uint32_t i = 0; i < dir->n_children; i++) {
            if (dir->children[i]->is_directory) {
                g_ptr_array_add(dirs, dir->children[i]);
            } else {
                data_map_add(map, dir->children[i]);
            }
        }
    }
}

bool writable_start(Writable *w, const CommitConfig *hooks, GError **errp)
{
    CommitConfig config = {
        .may_hold_protected = w->config->protect == PROTECT_REPORT,
        .overlay = w->overlay,
        .state = w->state,
        .map = w->map,
        .fs = w->fs,
        .volume_offset = w->volume_offset,
        .volume_bytes = w->volume_bytes,
        .apply = { .file_mode = w->config->file_mode,
                   .dir_mode = w->config->dir_mode,
                   .utc = w->config->scan.utc },
        .check_partition = writable_check_partition,
        .event = on_event,
        .begin = hooks->begin,
        .staged = hooks->staged,
        .done = hooks->done,
        .lost = hooks->lost,
        .updated = writable_refresh_protection,
        .opaque = w,
    };

    if (!w->kept) {
        config.touched = writable_note_written;
        config.suspended = writable_keep_suspended;
        config.complete = writable_drop_rescue;
    }
    if (w->config->protect == PROTECT_ALLOW) {
        protect_allow_owner(guest_state_root(w->state));
    }
    w->protect = protect_new(guest_state_root(w->state), &w->geometry);
    w->commit = commit_new(&config);
    w->committer = committer_new(w->commit, w->state, w->config->commit,
                                 w->config->commit_delay, writable_tell, w,
                                 errp);
    return w->committer != NULL;
}

bool writable_lock_directory(Writable *w, GError **errp)
{
    g_autofree char *dir = report_escape(w->config->dir);
    HostStat st;
    int ret = w->fs->ops->stat(w->fs, "", &st);

    if (ret == 0 && !st.writable) {
        block_error_set(errp, EACCES,
                        "The host does not allow to make files in '%s'; "
                        "without rw it can be read",
                        dir);
        return false;
    }
    ret = w->fs->ops->lock(w->fs);
    if (ret == -EWOULDBLOCK) {
        block_error_set(errp, EBUSY,
                        "'%s' is open for writing already, by another disk; "
                        "only one can write into a directory at a time",
                        dir);
        return false;
    }
    if (ret < 0 && ret != -ENOTSUP) {
        block_error_set_errno(errp, -ret, "Could not lock '%s' for writing",
                              dir);
        return false;
    }
    return true;
}

Writable *writable_alloc(BlockDriverState *bs, const VvfatConfig *config,
                         HostFs *fs, Report *report)
{
    Writable *w = g_new0(Writable, 1);

    w->bs = bs;
    w->config = config;
    w->absolute_dir = g_canonicalize_filename(config->dir, NULL);
    w->overlay_place = writable_overlay_place(config);
    w->fs = fs;
    w->report = report;
    w->unkept = sparse_bitmap_new();
    pthread_mutex_init(&w->report_lock, NULL);
    rwlock_init(&w->finishing);
    return w;
}

Writable *writable_new(BlockDriverState *bs, Options *options,
                       const VvfatConfig *config, HostFs *fs,
                       const Layout *layout, Report *report, GError **errp)
{
    g_autoptr(Writable) w = writable_alloc(bs, config, fs, report);
    const CommitConfig no_hooks = { 0 };

    w->layout = layout;
    writable_set_geometry(w, layout_geometry(layout));
    if (!writable_lock_directory(w, errp) ||
        !make_overlay(w, bs, options, errp) || !make_state(w, errp)) {
        return NULL;
    }
    w->map = data_map_new(fs, w->cluster_size);
    map_files(w->map, guest_state_root(w->state));
    return writable_start(w, &no_hooks, errp) ? g_steal_pointer(&w) : NULL;
}

const WritableFacts *writable_facts(const Writable *w)
{
    return &w->facts;
}

const Geometry *writable_geometry(const Writable *w)
{
    return &w->geometry;
}

bool writable_fingerprint(const Writable *w, Fingerprint *fingerprint)
{
    if (w->layout) {
        *fingerprint = fingerprint_of_layout(w->layout);
    } else if (w->kept && w->kept->has_fingerprint) {
        *fingerprint = w->kept->fingerprint;
    } else {
        return false;
    }
    return true;
}

void writable_free(Writable *w)
{
    if (!w) {
        return;
    }
    if (writable_commit(w, BDRV_COMMIT_FINISH, NULL) < 0) {
        /* Told to those who ask: blk_commit() before closing; and to those
         * who listen. */
    }
    committer_free(w->committer);
    protect_free(w->protect);
    data_map_free(w->map);
    guest_state_free(w->state);
    overlay_free(w->overlay);
    kept_free(w->kept);
    new_file_clear(&w->made);
    rescue_image_free(w->rescue);
    sparse_bitmap_free(w->unkept);
    pthread_mutex_destroy(&w->report_lock);
    pthread_rwlock_destroy(&w->finishing);
    g_free(w->lost);
    g_free(w->absolute_dir);
    g_free(w->overlay_place);
    g_free(w);
}

/* ---- Requests ---- */

int writable_preadv(Writable *w, int64_t offset, const IOVector *iov)
{
    return overlay_preadv(w->overlay, offset, iov);
}

int writable_pwritev(Writable *w, int64_t offset, const IOVector *iov)
{
    int ret = writable_make_room(w, (int64_t)iov->size);

    if (ret == 0) {
        ret = overlay_pwritev(w->overlay, offset, iov);
        writable_explain_full(w, ret);
    }
    return ret < 0 ? ret : committer_wrote(w->committer);
}

int writable_pwrite_zeroes(Writable *w, int64_t offset, int64_t bytes)
{
    int ret = writable_make_room(w, bytes);

    if (ret == 0) {
        ret = overlay_pwrite_zeroes(w->overlay, offset, bytes);
        writable_explain_full(w, ret);
    }
    return ret < 0 ? ret : committer_wrote(w->committer);
}

int writable_pdiscard(Writable *w, int64_t offset, int64_t bytes)
{
    overlay_pdiscard(w->overlay, offset, bytes);
    return 0;
}

static int flush_kept(Writable *w)
{
    int ret = overlay_flush(w->overlay);

    if (ret < 0) {
        writable_explain_full(w, ret);
        return ret;
    }
    /* What was written is durable, whatever the host does: the node's
     * information tells. */
    (void)!committer_flush(w->committer);
    return 0;
}

/* What is durable is in the directory, or in an image beside it, and never in
 * the overlay, which may have no room for its own tables. */
static int flush_temporary(Writable *w)
{
    int ret = committer_flush(w->committer);

    if (w->is_finished) {
        ret = writable_finished(w);
    }
    if (ret == 0) {
        (void)!overlay_flush(w->overlay); /* gives back what was discarded */
    }
    return ret < 0 ? ret : 1;
}

int writable_flush(Writable *w)
{
    return w->kept ? flush_kept(w) : flush_temporary(w);
}
