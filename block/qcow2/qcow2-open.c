/* SPDX-License-Identifier: MIT */
/*
 * Opening, closing and reopening a qcow2 image.
 *
 * An image that was not closed cleanly (lazy refcounts) is repaired when it is
 * opened for writing, before anything else uses it. An image that is marked
 * corrupt, or whose tables lie over each other, is only read. With
 * BDRV_O_CHECK all of them open, for the check that mends them.
 */
#include "block/qcow2/qcow2-open.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "block/qcow2/qcow2-data.h"

#define PEEK_BYTES 512 /* no cluster is smaller */

/* ---- Reading what there is ---- */

static bool read_header(Qcow2State *s, GError **errp)
{
    int64_t length = bdrv_getlength(bdrv_child_bs(s->file));
    uint8_t peek[PEEK_BYTES] = { 0 };
    int64_t size = MIN(length, PEEK_BYTES);

    if (length < 0) {
        block_error_set_errno(errp, (int)-length,
                              "Could not find the size of the qcow2 image");
        return false;
    }
    int ret = size > 0 ? bdrv_pread(s->file, 0, size, peek, 0) : 0;
    if (ret < 0) {
        block_error_set_errno(errp, -ret, "Could not read the qcow2 header");
        return false;
    }
    guint32 bits;
    memcpy(&bits, peek + G_STRUCT_OFFSET(Qcow2DiskHeader, cluster_bits),
           sizeof(bits));
    bits = GUINT32_FROM_BE(bits);
    if (bits <= QCOW2_MIN_CLUSTER_BITS || bits > QCOW2_MAX_CLUSTER_BITS) {
        return qcow2_header_parse(&s->header, peek, (size_t)size, length,
                                  errp);
    }
    size = MIN(length, INT64_C(1) << bits);
    g_autofree uint8_t *cluster = g_malloc((gsize)MAX(size, 1));
    ret = size > 0 ? bdrv_pread(s->file, 0, size, cluster, 0) : 0;
    if (ret < 0) {
        block_error_set_errno(errp, -ret, "Could not read the qcow2 header");
        return false;
    }
    return qcow2_header_parse(&s->header, cluster, (size_t)size, length, errp);
}

/* The last cluster of the file need not be there as a whole. */
static bool reftable_is_there(const Qcow2State *s)
{
    const Qcow2Header *h = &s->header;
    int64_t cluster_size = INT64_C(1) << h->cluster_bits;
    int64_t bytes = h->refcount_table_clusters * cluster_size;
    int64_t length = bdrv_getlength(bdrv_child_bs(s->file));

    return bytes > 0 && h->refcount_table_offset > 0 &&
           h->refcount_table_offset + bytes < length + cluster_size;
}

/* The header may be read, but may the image be written (or used at all)? */
static bool check_usable(const Qcow2State *s, GError **errp)
{
    unsigned flags = bdrv_flags(s->bs);

    if (flags & BDRV_O_CHECK) {
        return true;
    }
    if (!reftable_is_there(s)) {
        block_error_set(errp, EINVAL,
                        "The qcow2 image has no refcount table: its header "
                        "names %u clusters at %" PRId64
                        ", which must be behind the first cluster and within "
                        "the file; repair it with 'check -r all'",
                        s->header.refcount_table_clusters,
                        s->header.refcount_table_offset);
        return false;
    }
    if ((flags & BDRV_O_RDWR) &&
        (s->header.incompatible & QCOW2_INCOMPAT_CORRUPT)) {
        block_error_set(errp, EACCES,
                        "The qcow2 image is marked corrupt, so it can only be "
                        "opened read-only; repair it with 'check -r all'");
        return false;
    }
    return true;
}

static void take_header(Qcow2State *s)
{
    const Qcow2Header *h = &s->header;

    s->cluster_bits = h->cluster_bits;
    s->cluster_size = INT64_C(1) << h->cluster_bits;
    s->l2_bits = h->cluster_bits - 3;
    s->refcount_order = h->refcount_order;
    s->refcount_max = UINT64_MAX >> (64 - (1u << h->refcount_order));
    s->has_zero_clusters = h->version >= 3;
    s->size = h->size;
    s->fresh_offset =
        qcow2_cluster_end(s, bdrv_getlength(bdrv_child_bs(s->file)));
}

static bool read_l1(Qcow2State *s, GError **errp)
{
    uint32_t entries = s->header.l1_size;
    int64_t bytes = (int64_t)entries * (int64_t)sizeof(uint64_t);

    if (entries == 0) {
        return true;
    }
    s->l1 = g_try_new0(uint64_t, entries);
    if (s->l1 == NULL) {
        block_error_set(errp, ENOMEM,
                        "No memory for an L1 table of %" PRId64 " bytes",
                        bytes);
        return false;
    }
    int ret = bdrv_pread(s->file, s->header.l1_table_offset, bytes, s->l1, 0);
    if (ret < 0) {
        block_error_set_errno(errp, -ret, "Could not read the L1 table");
        return false;
    }
    for (uint32_t i = 0; i < entries; i++) {
        s->l1[i] = GUINT64_FROM_BE(s->l1[i]);
    }
    return true;
}

/* Where metadata stands. Tables that lie over each other are bearable as long
 * as nothing is written. */
static bool note_metadata(Qcow2State *s, int64_t snapshot_bytes, GError **errp)
{
    g_autoptr(GError) error = NULL;

    s->overlaps = !qcow2_overlap_init(s, &error);
    if (!s->overlaps && snapshot_bytes > 0) {
        qcow2_overlap_add(s, s->header.snapshots_offset, snapshot_bytes);
    }
    if (!s->overlaps || !(bdrv_flags(s->bs) & BDRV_O_RDWR) ||
        (bdrv_flags(s->bs) & BDRV_O_CHECK)) {
        return true;
    }
    block_error_set(errp, EACCES,
                    "%s; it can only be opened read-only; repair it with "
                    "'check -r all'",
                    error->message);
    return false;
}

static bool read_tables(Qcow2State *s, GError **errp)
{
    int64_t snapshot_bytes;

    return read_l1(s, errp) && qcow2_reftable_read(s, errp) &&
           qcow2_snapshots_read(s, &snapshot_bytes, errp) &&
           note_metadata(s, snapshot_bytes, errp);
}

static bool make_caches(Qcow2State *s, const Qcow2OpenOptions *o,
                        GError **errp)
{
    s->l2_slice = o->l2_slice;
    s->refblock_slice = o->refblock_slice;
    s->l2_cache = table_cache_new(s->file, s->l2_slice, o->l2_pieces,
                                  qcow2_before_l2_write, s);
    s->refcount_cache = table_cache_new(s->file, s->refblock_slice,
                                        o->refcount_pieces, NULL, NULL);
    if (s->l2_cache == NULL || s->refcount_cache == NULL) {
        block_error_set(errp, ENOMEM, "No memory for the caches of tables");
        return false;
    }
    s->inflated = qcow2_inflate_cache_new(s->cluster_size);
    return true;
}

/* ---- Not closed cleanly ---- */

static bool repair_dirty(Qcow2State *s, GError **errp)
{
    BdrvCheckResult result = { 0 };
    g_autoptr(GError) error = NULL;
    int ret = qcow2_check(s->bs, &result, BDRV_FIX_LEAKS | BDRV_FIX_ERRORS,
                          &error);

    if (ret == 0 && (result.check_errors > 0 || result.corruptions > 0)) {
        ret = -EIO;
    }
    if (ret == 0) {
        pthread_mutex_lock(&s->lock);
        ret = qcow2_mark_clean(s);
        pthread_mutex_unlock(&s->lock);
    }
    if (ret < 0) {
        block_error_set(errp, -ret,
                        "The qcow2 image was not closed cleanly, and "
                        "repairing it failed: %s; try 'check -r all'",
                        error ? error->message : g_strerror(-ret));
    }
    return ret == 0;
}

/* ---- Opening and closing ---- */

static void state_init(Qcow2State *s, BlockDriverState *bs)
{
    s->bs = bs;
    pthread_mutex_init(&s->lock, NULL);
    range_lock_init(&s->busy);
    s->frees = g_array_new(FALSE, FALSE, sizeof(Qcow2Free));
}

static void state_clear(Qcow2State *s)
{
    table_cache_free(s->l2_cache);
    table_cache_free(s->refcount_cache);
    qcow2_inflate_cache_free(s->inflated);
    g_free(s->l1);
    g_free(s->reftable);
    g_free(s->misfit);
    g_array_unref(s->frees);
    g_clear_pointer(&s->metadata, g_hash_table_unref);
    g_clear_pointer(&s->snapshots, g_ptr_array_unref);
    qcow2_header_clear(&s->header);
    range_lock_clear(&s->busy);
    pthread_mutex_destroy(&s->lock);
}

static bool open_image(Qcow2State *s, const Qcow2OpenOptions *o, GError **errp)
{
    unsigned flags = bdrv_flags(s->bs);

    if (!make_caches(s, o, errp) || !read_tables(s, errp)) {
        return false;
    }
    if ((s->header.incompatible & QCOW2_INCOMPAT_DIRTY) &&
        (flags & BDRV_O_RDWR) && !(flags & BDRV_O_CHECK) &&
        !repair_dirty(s, errp)) {
        return false;
    }
    if (s->header.backing_file) {
        bdrv_set_backing_file(s->bs, s->header.backing_file,
                              s->header.backing_format);
    }
    return true;
}

bool qcow2_open(BlockDriverState *bs, Options *options, unsigned flags,
                GError **errp)
{
    Qcow2State *s = bdrv_opaque(bs);
    Qcow2OpenOptions o;
    g_autoptr(OptionValues)
        values = option_values_absorb(qcow2_runtime_options, options, errp);

    (void)flags; /* opening the file may have taken RDWR away */
    if (values == NULL) {
        return false;
    }
    s->file = bdrv_open_file_child(bs, options, errp);
    if (s->file == NULL) {
        return false;
    }
    state_init(s, bs);
    bool ok = read_header(s, errp) && check_usable(s, errp);
    if (ok) {
        take_header(s);
        ok = qcow2_open_options(s, values, &o, errp) &&
             open_image(s, &o, errp);
    }
    if (!ok) {
        state_clear(s);
    }
    return ok;
}

/* Everything on the disk, and the dirty bit gone. */
static int write_back_clean(Qcow2State *s)
{
    int ret = 0;

    pthread_mutex_lock(&s->lock);
    /* What is in memory of a corrupt image is not to be trusted. */
    if (!(s->header.incompatible & QCOW2_INCOMPAT_CORRUPT)) {
        ret = qcow2_write_back_all(s);
        /* A check says itself what it has mended. */
        if (ret == 0 && s->prepared && !(bdrv_flags(s->bs) & BDRV_O_CHECK)) {
            ret = qcow2_mark_clean(s);
        }
    }
    pthread_mutex_unlock(&s->lock);
    return ret;
}

void qcow2_close(BlockDriverState *bs)
{
    Qcow2State *s = bdrv_opaque(bs);

    if (!bdrv_is_read_only(bs)) {
        /* Nobody is left to hear of an error. The image on the disk is as
         * sound as before, and what was flushed is there. */
        (void)write_back_clean(s);
    }
    state_clear(s);
}

/* ---- Reopening ---- */

bool qcow2_reopen_prepare(BlockDriverState *bs, unsigned flags, GError **errp)
{
    Qcow2State *s = bdrv_opaque(bs);

    if (!(flags & BDRV_O_RDWR)) {
        int ret = bdrv_is_read_only(bs) ? 0 : write_back_clean(s);
        if (ret < 0) {
            block_error_set_errno(errp, -ret,
                                  "Could not write the image's tables");
        }
        return ret == 0;
    }
    if (s->overlaps || (s->header.incompatible & QCOW2_INCOMPAT_CORRUPT)) {
        block_error_set(errp, EACCES,
                        "The qcow2 image is corrupt, so it stays read-only; "
                        "repair it with 'check -r all'");
        return false;
    }
    if (s->misfit) {
        block_error_set(errp, EACCES, "%s", s->misfit);
        return false;
    }
    if (s->header.incompatible & QCOW2_INCOMPAT_DIRTY) {
        block_error_set(errp, EACCES,
                        "The qcow2 image was not closed cleanly; close it and "
                        "open it for writing, which repairs it");
        return false;
    }
    return true;
}
