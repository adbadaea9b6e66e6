/* SPDX-License-Identifier: MIT */
/*
 * New images: header, refcount table, refcount blocks and L1 table one behind
 * the other, the header last, so that what is not complete is no image.
 * Preallocated images begin with size 0 and are grown.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "block/new-file.h"
#include "block/qcow2/qcow2-create.h"
#include "block/qcow2/qcow2-host.h"
#include "util/bytes.h"

/* ---- Where the tables go ---- */

/* In clusters; the header is number 0, the others follow in this order. */
typedef struct Layout {
    int64_t reftable, refblocks, l1;
    int64_t total;
} Layout;

static int64_t divide_up(int64_t n, int64_t by)
{
    return n / by + (n % by != 0);
}

/* Refcounts of everything, those of the refcount blocks among them. */
static Layout plan_layout(const Qcow2CreateOptions *o, uint32_t l1_size)
{
    int64_t cluster_size = INT64_C(1) << o->cluster_bits;
    int64_t per_block = (cluster_size * 8) >> o->refcount_order;
    Layout l = { 1, 1, divide_up((int64_t)l1_size * 8, cluster_size), 0 };

    for (;;) {
        l.total = 1 + l.reftable + l.refblocks + l.l1;
        int64_t blocks = divide_up(l.total, per_block);
        int64_t table = divide_up(blocks * 8, cluster_size);
        if (blocks <= l.refblocks && table <= l.reftable) {
            return l;
        }
        l.refblocks = MAX(l.refblocks, blocks);
        l.reftable = MAX(l.reftable, table);
    }
}

/* ---- Writing them ---- */

/* False, with the words for it. */
static bool write_failed(int ret, GError **errp)
{
    g_autofree char *reason = blk_strerror(ret);

    block_error_set(errp, -ret, "Could not write the new image: %s", reason);
    return false;
}

static int write_refcounts(BlockBackend *blk, const Qcow2CreateOptions *o,
                           const Layout *l)
{
    const Qcow2State state = { .refcount_order = o->refcount_order };
    int64_t cluster_size = INT64_C(1) << o->cluster_bits;
    int64_t per_block = (cluster_size * 8) >> o->refcount_order;
    int64_t table_bytes = l->reftable * cluster_size;
    g_autofree be64 *table = g_try_malloc0((gsize)table_bytes);
    g_autofree uint8_t *block = g_try_malloc((gsize)cluster_size);
    int ret = table && block ? 0 : -ENOMEM;

    for (int64_t i = 0; i < l->refblocks && ret == 0; i++) {
        int64_t offset = (1 + l->reftable + i) * cluster_size;
        int64_t n = CLAMP(l->total - i * per_block, 0, per_block);

        be64_put(&table[i], (uint64_t)offset);
        memset(block, 0, (size_t)cluster_size);
        for (int64_t j = 0; j < n; j++) {
            qcow2_refcount_store(&state, block, j, 1);
        }
        ret = blk_pwrite(blk, offset, cluster_size, block, 0);
    }
    return ret < 0 ? ret
                   : blk_pwrite(blk, cluster_size, table_bytes, table, 0);
}

static void add_feature_name(GByteArray *names, uint8_t type, uint8_t bit,
                             const char *text)
{
    Qcow2DiskFeatureName name = { .type = type, .bit = bit };

    memcpy(name.name, text, strlen(text));
    g_byte_array_append(names, (const uint8_t *)&name, sizeof(name));
}

/* What others may call the features that they find. */
static Qcow2Extension feature_names(void)
{
    GByteArray *names = g_byte_array_new();

    add_feature_name(names, 0, 0, "dirty bit");
    add_feature_name(names, 0, 1, "corrupt bit");
    add_feature_name(names, 0, 2, "external data file");
    add_feature_name(names, 0, 3, "compression type");
    add_feature_name(names, 0, 4, "extended L2 entries");
    add_feature_name(names, 1, 0, "lazy refcounts");
    add_feature_name(names, 2, 0, "bitmaps");
    add_feature_name(names, 2, 1, "raw external data");
    return (Qcow2Extension){ QCOW2_EXT_FEATURE_NAMES,
                             g_byte_array_free_to_bytes(names) };
}

static void fill_header(Qcow2Header *h, const Qcow2CreateOptions *o,
                        int64_t size, uint32_t l1_size, const Layout *l)
{
    *h = (Qcow2Header){
        .version = o->version,
        .cluster_bits = o->cluster_bits,
        .refcount_order = o->refcount_order,
        .size = size,
        .l1_size = l1_size,
        .refcount_table_offset = INT64_C(1) << o->cluster_bits,
        .refcount_table_clusters = (uint32_t)l->reftable,
        .header_length = o->version >= 3 ? sizeof(Qcow2DiskHeader)
                                         : QCOW2_V2_HEADER_BYTES,
        .backing_file = g_strdup(o->backing_file),
        .backing_format = g_strdup(o->backing_format),
    };
    if (l1_size > 0) {
        h->l1_table_offset = (1 + l->reftable + l->refblocks)
                             << o->cluster_bits;
    }
    if (o->lazy_refcounts) {
        h->compatible = QCOW2_COMPAT_LAZY_REFCOUNTS;
    }
    h->extensions = g_array_new(FALSE, FALSE, sizeof(Qcow2Extension));
    /* In smaller clusters the name of a backing file needs the room. */
    if (o->version >= 3 && o->cluster_bits >= 11) {
        Qcow2Extension names = feature_names();
        g_array_append_val(h->extensions, names);
    }
}

/* The header cluster, for g_byte_array_unref(). */
static GByteArray *header_cluster(const Qcow2CreateOptions *o, int64_t size,
                                  uint32_t l1_size, const Layout *l,
                                  GError **errp)
{
    Qcow2Header header;

    fill_header(&header, o, size, l1_size, l);
    GByteArray *bytes = qcow2_header_serialise(&header, errp);
    for (guint i = 0; i < header.extensions->len; i++) {
        g_bytes_unref(
            g_array_index(header.extensions, Qcow2Extension, i).data);
    }
    qcow2_header_clear(&header);
    if (bytes) {
        guint used = bytes->len;
        g_byte_array_set_size(bytes, 1u << o->cluster_bits);
        memset(bytes->data + used, 0, bytes->len - used);
    }
    return bytes;
}

/* Room for the tables, and zeroes in the L1 table: a file that grows has
 * them, a device may have anything. */
static bool prepare_file(BlockBackend *blk, const Layout *l,
                         int64_t cluster_size, GError **errp)
{
    int64_t bytes = l->total * cluster_size;
    int64_t l1_bytes = l->l1 * cluster_size;
    int64_t length = blk_getlength(blk);

    if (length >= 0 && length < bytes) {
        return blk_truncate(blk, bytes, false, PREALLOC_MODE_OFF, errp) == 0;
    }
    int ret = length < 0 ? (int)length : 0;
    if (ret == 0 && l1_bytes > 0) {
        ret = blk_pwrite_zeroes(blk, bytes - l1_bytes, l1_bytes,
                                BDRV_REQ_MAY_UNMAP);
    }
    return ret == 0 || write_failed(ret, errp);
}

/* Make the empty file an image of this size. */
static bool write_image(BlockBackend *blk, const Qcow2CreateOptions *o,
                        int64_t size, GError **errp)
{
    uint32_t l1_size = (uint32_t)divide_up(
        size, INT64_C(1) << (o->cluster_bits + o->cluster_bits - 3));
    Layout l = plan_layout(o, l1_size);
    int64_t cluster_size = INT64_C(1) << o->cluster_bits;
    g_autoptr(GByteArray) header = header_cluster(o, size, l1_size, &l, errp);

    if (header == NULL || !prepare_file(blk, &l, cluster_size, errp)) {
        return false;
    }
    int ret = write_refcounts(blk, o, &l);
    if (ret == 0) {
        ret = blk_pwrite(blk, 0, header->len, header->data, 0);
    }
    if (ret == 0) {
        ret = blk_flush(blk);
    }
    return ret == 0 || write_failed(ret, errp);
}

/* ---- The file ---- */

static BlockBackend *open_new(const char *filename, const char *driver,
                              unsigned flags, GError **errp)
{
    g_autoptr(Options) options = options_new();

    if (driver) {
        options_set(options, "driver", driver);
    }
    return blk_open(filename, options, BDRV_O_RDWR | BDRV_O_RESIZE | flags,
                    errp);
}

/* The file is open as a file: write the image into it. */
static bool fill_file(const char *filename, const NewFile *file,
                      const Qcow2CreateOptions *o, GError **errp)
{
    g_autoptr(BlockBackend)
        blk = open_new(filename, NULL, BDRV_O_PROTOCOL, errp);
    bool later = o->prealloc != PREALLOC_MODE_OFF;

    if (blk == NULL) {
        return false;
    }
    bool ok = write_image(blk, o, later ? 0 : o->size, errp);
    if (!ok) {
        new_file_remove(file);
    }
    return ok;
}

static bool preallocate(const char *filename, const NewFile *file,
                        const Qcow2CreateOptions *o, GError **errp)
{
    g_autoptr(BlockBackend)
        blk = open_new(filename, "qcow2", BDRV_O_NO_BACKING, errp);

    if (blk == NULL) {
        return false;
    }
    bool ok = blk_truncate(blk, o->size, false, o->prealloc, errp) == 0;
    if (ok) {
        int ret = blk_flush(blk);
        ok = ret == 0 || write_failed(ret, errp);
    }
    if (!ok) {
        new_file_remove(file);
    }
    return ok;
}

bool qcow2_create(const char *filename, Options *options, GError **errp)
{
    Qcow2CreateOptions o;
    g_auto(NewFile) file = { 0 };
    g_autoptr(OptionValues)
        values = option_values_absorb(qcow2_create_options, options, errp);

    if (values == NULL || !qcow2_create_options_read(values, &o, errp)) {
        return false;
    }
    /* A name that does not fit must not cost the old contents. */
    Layout l = plan_layout(&o, 0);
    g_autoptr(GByteArray) header = header_cluster(&o, 0, 0, &l, errp);
    bool ok = header != NULL &&
              new_file_create(&file, filename, o.nocow, errp) &&
              fill_file(filename, &file, &o, errp);
    if (ok && o.prealloc != PREALLOC_MODE_OFF) {
        ok = preallocate(filename, &file, &o, errp);
    }
    return ok;
}
