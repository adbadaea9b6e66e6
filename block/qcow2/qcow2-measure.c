/* SPDX-License-Identifier: MIT */
/*
 * How large an image would get: as large as one that is written in one go,
 * without gaps. The figures are those of qemu-img measure.
 */
#include <errno.h>

#include "block/qcow2/qcow2-create.h"
#include "block/qcow2/qcow2.h"

static int64_t divide_up(int64_t n, int64_t by)
{
    return n / by + (n % by != 0);
}

static int64_t round_up(int64_t n, int64_t to)
{
    return divide_up(n, to) * to;
}

/* Clusters for the refcounts of n clusters and for their own. */
static int64_t refcount_clusters(const Qcow2CreateOptions *o, int64_t n)
{
    int64_t cluster_size = INT64_C(1) << o->cluster_bits;
    int64_t per_block = (cluster_size * 8) >> o->refcount_order;
    int64_t blocks = 0, table = 0, before;

    do {
        before = blocks + table;
        blocks = divide_up(n + before, per_block);
        table = divide_up(blocks * 8, cluster_size);
    } while (blocks + table != before);
    return before;
}

/* Bytes of everything but the data, when all of it is written. */
static int64_t metadata_bytes(const Qcow2CreateOptions *o, int64_t data_bytes)
{
    int64_t cluster_size = INT64_C(1) << o->cluster_bits;
    int64_t data = data_bytes >> o->cluster_bits;
    int64_t l2 = divide_up(data * 8, cluster_size);
    int64_t l1 = divide_up(l2 * 8, cluster_size);
    int64_t tables = 1 + l1 + l2;

    return (tables + refcount_clusters(o, tables + data)) * cluster_size;
}

/* Bytes of clusters that hold data of the source; -errno. */
static int64_t source_bytes(BlockDriverState *source, int64_t length,
                            int64_t cluster_size)
{
    const unsigned data = BDRV_BLOCK_DATA | BDRV_BLOCK_ALLOCATED;
    int64_t sum = 0, offset = 0;

    while (offset < length) {
        g_auto(BdrvBlockStatus) status = { 0 };
        int ret = bdrv_block_status(source, offset, length - offset,
                                    BDRV_WANT_PRECISE, &status);

        if (ret < 0) {
            return ret;
        }
        int64_t end = offset + status.bytes;
        if (!(status.flags & BDRV_BLOCK_ZERO) &&
            (status.flags & data) == data) {
            end = round_up(end, cluster_size);
            sum += end - offset + offset % cluster_size;
        }
        offset = end;
    }
    return sum;
}

/* The bytes of the device, and of what has to be written of it. */
static bool find_sizes(const Qcow2CreateOptions *o, BlockDriverState *source,
                       int64_t *size, int64_t *data, GError **errp)
{
    *size = o->size;
    *data = 0;
    if (source == NULL) {
        return true;
    }
    *size = bdrv_getlength(source);
    if (*size < 0) {
        block_error_set_errno(errp, (int)-*size,
                              "Could not find the size of the source");
        return false;
    }
    if (!qcow2_check_size(*size, o->cluster_bits, errp)) {
        return false;
    }
    if (o->backing_file) {
        *data = *size; /* how much the two share is not known */
        return true;
    }
    *data = source_bytes(source, *size, INT64_C(1) << o->cluster_bits);
    if (*data < 0) {
        g_autofree char *reason = blk_strerror((int)*data);
        block_error_set(errp, (int)-*data,
                        "Could not find out what the source holds: %s",
                        reason);
        return false;
    }
    return true;
}

bool qcow2_measure(Options *options, BlockDriverState *source,
                   BdrvMeasure *measure, GError **errp)
{
    Qcow2CreateOptions o;
    int64_t size, data;
    g_autoptr(OptionValues)
        values = option_values_absorb(qcow2_create_options, options, errp);

    if (values == NULL || !qcow2_create_options_read(values, &o, errp) ||
        !find_sizes(&o, source, &size, &data, errp)) {
        return false;
    }
    int64_t cluster_size = INT64_C(1) << o.cluster_bits;
    int64_t all = round_up(size, cluster_size);
    int64_t metadata = metadata_bytes(&o, all);
    bool reserves = o.prealloc == PREALLOC_MODE_FALLOC ||
                    o.prealloc == PREALLOC_MODE_FULL;

    data = reserves ? all : round_up(data, cluster_size);
    measure->required = (uint64_t)(metadata + data);
    measure->fully_allocated = (uint64_t)(metadata + all);
    return true;
}
