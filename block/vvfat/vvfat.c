/* SPDX-License-Identifier: MIT */
/*
 * The BlockDriver of vvfat: options -> scan -> layout -> read.
 *
 * Read-only, everything is made by open() and immutable from then on; the
 * reader's cache of open files has its own lock. Writable, requests go to the
 * overlay (writable.c), which locks. So no callback here locks anything.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "block/driver.h"
#include "block/vvfat/fingerprint.h"
#include "block/vvfat/hostfs.h"
#include "block/vvfat/layout.h"
#include "block/vvfat/open-files.h"
#include "block/vvfat/read.h"
#include "block/vvfat/report.h"
#include "block/vvfat/scan.h"
#include "block/vvfat/vvfat-options.h"
#include "block/vvfat/writable.h"

typedef struct Vvfat {
    VvfatConfig *config;
    Options *given; /* our options, as the user gave them */
    HostFs *fs;
    Report *report;
    Layout *layout;
    DiskReader *reader; /* read-only; else NULL */
    Writable *writable; /* with rw; else NULL */
} Vvfat;

/* ---- Opening ---- */

static void vvfat_clear(Vvfat *s)
{
    g_clear_pointer(&s->writable, writable_free);
    g_clear_pointer(&s->reader, disk_reader_free);
    g_clear_pointer(&s->layout, layout_free);
    g_clear_pointer(&s->report, report_free);
    g_clear_pointer(&s->fs, hostfs_free);
    g_clear_pointer(&s->given, options_free);
    g_clear_pointer(&s->config, vvfat_config_free);
}

/* The options of ours that are in the set. */
static Options *copy_given(const Options *options)
{
    Options *given = options_new();

    for (const OptionDesc *o = vvfat_option_table; o->name; o++) {
        const char *value = options_get(options, o->name);

        if (value) {
            options_set(given, o->name, value);
        }
    }
    return given;
}

/* Whether it is to be written to. What an overlay shows of a directory that
 * may be written is the directory as it is. */
static bool is_writable(BlockDriverState *bs, const VvfatConfig *config,
                        unsigned flags)
{
    return config->rw && !(bdrv_is_read_only(bs) && (flags & BDRV_O_BACKING) &&
                           !config->overlay);
}

/* What is said to those who want to resize it. */
static const char size_is_given[] =
    "The size of a directory's disk is what its options say: size=, or free= "
    "for the room that it leaves";

static bool check_writing(BlockDriverState *bs, const VvfatConfig *config,
                          unsigned flags, GError **errp)
{
    if (!is_writable(bs, config, flags)) {
        return bdrv_apply_auto_read_only(
            bs,
            flags & BDRV_O_RESIZE ? size_is_given
                                  : "vvfat shows the directory read-only; "
                                    "with rw=on, what is written goes into it",
            errp);
    }
    if (bdrv_is_read_only(bs)) {
        block_error_set(errp, EINVAL,
                        "Unable to set VVFAT to 'rw' when drive is read-only; "
                        "leave out rw to read the directory");
        return false;
    }
    return true;
}

/* As the original says it. */
static void add_blocker(BlockDriverState *bs)
{
    g_autofree char *reason = g_strdup_printf(
        "The vvfat (rw) format used by node '%s' does not support live "
        "migration",
        bdrv_node_name(bs));

    bdrv_add_state_save_blocker(bs, reason);
}

static bool make_kept(Vvfat *s, BlockDriverState *bs, Options *options,
                      GError **errp)
{
    s->writable = writable_new_kept(bs, options, s->config, s->fs, s->report,
                                    errp);
    if (!s->writable) {
        return false;
    }
    add_blocker(bs);
    return true;
}

static HostFs *open_directory(const char *dir, GError **errp)
{
    GError *error = NULL;
    HostFs *fs = hostfs_open(dir, &error);

    if (!fs) {
        if (g_error_matches(error, BLOCK_ERROR, ENOENT)) {
            vvfat_explain_missing(dir, error);
        }
        g_propagate_error(errp, error);
    }
    return fs;
}

static bool vvfat_make(Vvfat *s, BlockDriverState *bs, Options *options,
                       unsigned flags, GError **errp)
{
    const VvfatConfig *config = s->config;
    Tree *tree;

    s->fs = open_directory(config->dir, errp);
    if (!s->fs) {
        return false;
    }
    s->report = report_new();
    if (config->overlay) {
        return make_kept(s, bs, options, errp);
    }
    tree = scan_directory(s->fs, &config->scan, s->report, errp);
    if (!tree) {
        return false;
    }
    s->layout = layout_new(tree, &config->layout, errp);
    if (!s->layout) {
        return false;
    }
    if (!is_writable(bs, config, flags)) {
        s->reader = disk_reader_new(s->layout, s->fs);
        return true;
    }
    s->writable = writable_new(bs, options, config, s->fs, s->layout,
                               s->report, errp);
    if (!s->writable) {
        return false;
    }
    add_blocker(bs);
    return true;
}

static bool vvfat_open(BlockDriverState *bs, Options *options, unsigned flags,
                       GError **errp)
{
    Vvfat *s = bdrv_opaque(bs);

    s->given = copy_given(options);
    s->config = vvfat_config_new(options, errp);
    if (!s->config || !check_writing(bs, s->config, flags, errp) ||
        !vvfat_make(s, bs, options, flags, errp)) {
        vvfat_clear(s);
        return false;
    }
    return true;
}

static void vvfat_close(BlockDriverState *bs)
{
    vvfat_clear(bdrv_opaque(bs));
}

static bool vvfat_reopen_prepare(BlockDriverState *bs, unsigned flags,
                                 GError **errp)
{
    const Vvfat *s = bdrv_opaque(bs);

    if (s->writable && !(flags & BDRV_O_RDWR)) {
        block_error_set(errp, ENOTSUP,
                        "A disk opened with rw=on stays writable; close it, "
                        "and open it without rw");
        return false;
    }
    if (!s->writable && (flags & BDRV_O_RDWR)) {
        block_error_set(errp, EACCES, "vvfat shows the directory read-only");
        return false;
    }
    return true;
}

/* ---- I/O ---- */

static void vvfat_refresh_limits(BlockDriverState *bs, BdrvLimits *limits)
{
    (void)bs;
    limits->request_alignment = SECTOR_SIZE;
    limits->min_copy_range = DISK_READER_MIN_COPY;
}

static const Geometry *geometry_of(const Vvfat *s)
{
    return s->writable ? writable_geometry(s->writable)
                       : layout_geometry(s->layout);
}

static int64_t vvfat_getlength(BlockDriverState *bs)
{
    Vvfat *s = bdrv_opaque(bs);

    return (int64_t)(geometry_of(s)->disk_sectors * SECTOR_SIZE);
}

/* Large disks have more cylinders than a BIOS or ATA can name. */
static int vvfat_get_geometry(BlockDriverState *bs, BlkGeometry *geometry)
{
    const Geometry *g = geometry_of(bdrv_opaque(bs));

    *geometry = (BlkGeometry){
        .cylinders = MIN(g->cylinders, 16383),
        .heads = g->heads,
        .sectors = g->sectors_per_track,
        .is_floppy = g->floppy,
    };
    return 0;
}

/* What the files take on the host is not ours to count. */
static int64_t vvfat_get_allocated_size(BlockDriverState *bs)
{
    (void)bs;
    return -ENOTSUP;
}

static int vvfat_preadv(BlockDriverState *bs, int64_t offset, int64_t bytes,
                        const IOVector *iov, unsigned flags)
{
    Vvfat *s = bdrv_opaque(bs);

    (void)bytes;
    (void)flags;
    return s->writable ? open_files_guest_error(
                             writable_preadv(s->writable, offset, iov))
                       : disk_reader_preadv(s->reader, offset, iov);
}

static int vvfat_pwritev(BlockDriverState *bs, int64_t offset, int64_t bytes,
                         const IOVector *iov, unsigned flags)
{
    Vvfat *s = bdrv_opaque(bs);

    (void)bytes;
    (void)flags;
    return open_files_guest_error(writable_pwritev(s->writable, offset, iov));
}

static int vvfat_pwrite_zeroes(BlockDriverState *bs, int64_t offset,
                               int64_t bytes, unsigned flags)
{
    Vvfat *s = bdrv_opaque(bs);

    (void)flags;
    return open_files_guest_error(
        writable_pwrite_zeroes(s->writable, offset, bytes));
}

static int vvfat_pdiscard(BlockDriverState *bs, int64_t offset, int64_t bytes)
{
    Vvfat *s = bdrv_opaque(bs);

    return writable_pdiscard(s->writable, offset, bytes);
}

static int vvfat_flush(BlockDriverState *bs)
{
    Vvfat *s = bdrv_opaque(bs);

    return s->writable ? writable_flush(s->writable) : 0;
}

static int vvfat_truncate(BlockDriverState *bs, int64_t size, bool exact,
                          PreallocMode prealloc, GError **errp)
{
    (void)bs;
    (void)size;
    (void)exact;
    (void)prealloc;
    block_error_set(errp, ENOTSUP, "%s", size_is_given);
    return -ENOTSUP;
}

static int vvfat_commit(BlockDriverState *bs, BdrvCommitMode mode,
                        GError **errp)
{
    Vvfat *s = bdrv_opaque(bs);

    return s->writable ? writable_commit(s->writable, mode, errp) : 0;
}

static void vvfat_inactivate(BlockDriverState *bs)
{
    Vvfat *s = bdrv_opaque(bs);

    if (s->writable) {
        writable_inactivate(s->writable);
    }
}

static bool vvfat_activate(BlockDriverState *bs, GError **errp)
{
    Vvfat *s = bdrv_opaque(bs);

    return !s->writable || writable_activate(s->writable, errp);
}

static int vvfat_block_status(BlockDriverState *bs, unsigned want,
                              int64_t offset, int64_t bytes,
                              BdrvBlockStatus *status)
{
    Vvfat *s = bdrv_opaque(bs);
    DiskExtent extent;
    int r;

    if (s->writable) {
        bool is_zero;

        status->bytes = writable_extent(s->writable, offset, bytes,
                                        want & BDRV_WANT_PRECISE, &is_zero);
        status->flags = is_zero ? BDRV_BLOCK_ZERO : BDRV_BLOCK_DATA;
        status->flags |= BDRV_BLOCK_ALLOCATED;
        return 0;
    }
    r = disk_reader_extent(s->reader, offset, bytes, want & BDRV_WANT_PRECISE,
                           &extent);
    if (r < 0) {
        return r;
    }
    status->bytes = extent.bytes;
    status->flags = extent.is_zero ? BDRV_BLOCK_ZERO : BDRV_BLOCK_DATA;
    status->flags |= BDRV_BLOCK_ALLOCATED;
    if (extent.node && !extent.is_zero) {
        status->flags |= BDRV_BLOCK_OFFSET_VALID;
        status->map = extent.file_offset;
        if (want & BDRV_WANT_HOST_FILE) {
            g_autofree char *path = tree_real_path(layout_tree(s->layout),
                                                   extent.node);

            status->host_file = g_build_filename(s->config->dir, path, NULL);
        }
    }
    return 0;
}

static int vvfat_copy_range_from(BlockDriverState *bs, int64_t offset,
                                 BlockDriverState *dst, int64_t dst_offset,
                                 int64_t bytes, unsigned flags)
{
    Vvfat *s = bdrv_opaque(bs);

    if (s->writable) {
        return -ENOTSUP;
    }
    return disk_reader_copy(s->reader, offset, dst, dst_offset, bytes, flags);
}

static bool vvfat_get_fingerprint(BlockDriverState *bs,
                                  BdrvFingerprint *fingerprint)
{
    const Vvfat *s = bdrv_opaque(bs);
    Fingerprint f;

    if (!s->writable) {
        f = fingerprint_of_layout(s->layout);
    } else if (!writable_fingerprint(s->writable, &f)) {
        return false;
    }
    *fingerprint = (BdrvFingerprint){
        .disk_bytes = f.disk_bytes,
        .n_files = f.n_files,
        .n_directories = f.n_directories,
        .cluster_bytes = f.cluster_bytes,
    };
    G_STATIC_ASSERT(sizeof(fingerprint->digest) == sizeof(f.digest));
    memcpy(fingerprint->digest, f.digest, sizeof(f.digest));
    return true;
}

/* ---- Information ---- */

static WritableFacts volume_facts(const Vvfat *s)
{
    const Tree *tree;

    if (s->writable) {
        return *writable_facts(s->writable);
    }
    tree = layout_tree(s->layout);
    return (WritableFacts){
        .volume_id = layout_volume_id(s->layout),
        .free_clusters = layout_free_clusters(s->layout),
        .n_files = tree->n_files,
        .n_directories = tree->n_directories,
    };
}

static bool vvfat_info(BlockDriverState *bs, BdrvInfo *info, GError **errp)
{
    static const char *const partitions[] = {
        [PARTITION_NONE] = "none",
        [PARTITION_MBR] = "mbr",
        [PARTITION_GPT] = "gpt",
    };
    Vvfat *s = bdrv_opaque(bs);
    const Geometry *g = geometry_of(s);
    const WritableFacts f = volume_facts(s);
    Options *facts = info->specific;
    g_autofree char *dir = report_escape(s->config->dir);
    g_autofree char *id = NULL;

    (void)errp;
    if (!facts) {
        facts = info->specific = options_new();
    }
    info->cluster_size = geometry_cluster_size(g);
    id = g_strdup_printf("%08" PRIx32, f.volume_id);
    options_set(facts, "directory", dir);
    options_set_int(facts, "fat-type", g->fat_type);
    options_set(facts, "volume-id", id);
    if (s->config->label) {
        options_set(facts, "label", s->config->label);
    }
    options_set(facts, "partition", partitions[g->partition]);
    options_set_int(facts, "volume-offset",
                    (int64_t)(g->volume_start * SECTOR_SIZE));
    options_set_int(facts, "cluster-size", geometry_cluster_size(g));
    options_set_int(facts, "clusters", g->cluster_count);
    options_set_int(facts, "free-clusters", f.free_clusters);
    options_set_int(facts, "files", (int64_t)f.n_files);
    options_set_int(facts, "directories", (int64_t)f.n_directories);
    if (s->writable) {
        writable_info(s->writable, facts);
    } else {
        report_to_options(s->report, facts);
    }
    return true;
}

static char *vvfat_get_filename(BlockDriverState *bs)
{
    Vvfat *s = bdrv_opaque(bs);

    return s->given ? vvfat_make_filename(s->given) : NULL;
}

const BlockDriver bdrv_vvfat = {
    .format_name = "vvfat",
    .protocol_name = "fat",
    .instance_size = sizeof(Vvfat),
    .generated = true,
    .options = vvfat_option_table,
    .strong_runtime_opts = vvfat_strong_options,
    .parse_filename = vvfat_parse_filename,
    .open = vvfat_open,
    .close = vvfat_close,
    .reopen_prepare = vvfat_reopen_prepare,
    .refresh_limits = vvfat_refresh_limits,
    .getlength = vvfat_getlength,
    .get_geometry = vvfat_get_geometry,
    .get_allocated_size = vvfat_get_allocated_size,
    .preadv = vvfat_preadv,
    .pwritev = vvfat_pwritev,
    .pwrite_zeroes = vvfat_pwrite_zeroes,
    .pdiscard = vvfat_pdiscard,
    .flush = vvfat_flush,
    .truncate = vvfat_truncate,
    .commit = vvfat_commit,
    .inactivate = vvfat_inactivate,
    .activate = vvfat_activate,
    .block_status = vvfat_block_status,
    .copy_range_from = vvfat_copy_range_from,
    .info = vvfat_info,
    .get_filename = vvfat_get_filename,
    .get_fingerprint = vvfat_get_fingerprint,
};
