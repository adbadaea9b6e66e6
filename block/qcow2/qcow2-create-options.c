/* SPDX-License-Identifier: MIT */
/* The options of a new qcow2 image. Names and rules are QEMU's. */
#include "block/qcow2/qcow2-create.h"

#include <errno.h>
#include <inttypes.h>

#include "block/qcow2/qcow2.h"

#define SECTOR_MASK INT64_C(511)

static const char *const compat_values[] = { "0.10", "v2", "1.1", "v3", NULL };
static const char *const compression_values[] = { "zlib", NULL };
static const char *const prealloc_values[] = { "off", "metadata", "falloc",
                                               "full", NULL };
static const PreallocMode prealloc_modes[] = {
    PREALLOC_MODE_OFF,
    PREALLOC_MODE_METADATA,
    PREALLOC_MODE_FALLOC,
    PREALLOC_MODE_FULL,
};

const OptionDesc qcow2_create_options[] = {
    { .name = "size", .type = OPTION_SIZE, .help = "size of the device" },
    { .name = "compat",
      .type = OPTION_ENUM,
      .def = "1.1",
      .values = compat_values,
      .help = "version of the format: 0.10 (v2) or 1.1 (v3)" },
    { .name = "backing_file",
      .type = OPTION_STRING,
      .help = "image that shows where nothing was written" },
    { .name = "backing_fmt",
      .type = OPTION_STRING,
      .help = "format of the backing file" },
    { .name = "cluster_size",
      .type = OPTION_SIZE,
      .def = "65536",
      .help = "unit of allocation: a power of two, 512 to 2M" },
    { .name = "preallocation",
      .type = OPTION_ENUM,
      .def = "off",
      .values = prealloc_values,
      .help = "allocate all clusters: the tables (metadata), the space too "
              "(falloc), or write it (full)" },
    { .name = "lazy_refcounts",
      .type = OPTION_BOOL,
      .def = "off",
      .help = "write refcounts late, and repair them after a crash" },
    { .name = "refcount_bits",
      .type = OPTION_NUMBER,
      .def = "16",
      .help = "width of a refcount: a power of two, 1 to 64" },
    { .name = "compression_type",
      .type = OPTION_ENUM,
      .def = "zlib",
      .values = compression_values,
      .help = "how compressed clusters are compressed" },
    { .name = "nocow",
      .type = OPTION_BOOL,
      .def = "off",
      .help = "no copy-on-write for this file, on btrfs" },
    { .name = NULL },
};

/* The exponent of a power of two from 1 << min to 1 << max, or -1. */
static int exact_log2(uint64_t n, int min, int max)
{
    for (int i = min; i <= max; i++) {
        if (n == UINT64_C(1) << i) {
            return i;
        }
    }
    return -1;
}

static uint64_t max_size(unsigned cluster_bits)
{
    uint64_t entries = QCOW2_MAX_L1_BYTES / sizeof(uint64_t);

    return entries << (cluster_bits + cluster_bits - 3);
}

bool qcow2_check_size(int64_t size, unsigned cluster_bits, GError **errp)
{
    unsigned bits = cluster_bits;

    if (size >= 0 && (uint64_t)size <= max_size(cluster_bits)) {
        return true;
    }
    while (bits < QCOW2_MAX_CLUSTER_BITS && (uint64_t)size > max_size(bits)) {
        bits++;
    }
    if (size < 0 || (uint64_t)size > max_size(bits)) {
        block_error_set(errp, EFBIG,
                        "The size of a qcow2 image can be %" PRIu64
                        " bytes at most",
                        max_size(QCOW2_MAX_CLUSTER_BITS));
    } else {
        block_error_set(errp, EFBIG,
                        "With clusters of %u bytes the size of a qcow2 image "
                        "can be %" PRIu64 " bytes at most; for %" PRId64
                        " bytes it needs cluster_size=%u",
                        1u << cluster_bits, max_size(cluster_bits), size,
                        1u << bits);
    }
    return false;
}

static bool read_widths(const OptionValues *values, Qcow2CreateOptions *o,
                        GError **errp)
{
    uint64_t cluster_size = option_values_size(values, "cluster_size");
    uint64_t refcount_bits = option_values_number(values, "refcount_bits");
    int cluster_bits = exact_log2(cluster_size, QCOW2_MIN_CLUSTER_BITS,
                                  QCOW2_MAX_CLUSTER_BITS);
    int order = exact_log2(refcount_bits, 0, QCOW2_MAX_REFCOUNT_ORDER);

    if (cluster_bits < 0) {
        block_error_set(errp, EINVAL,
                        "Option cluster_size is %" PRIu64
                        "; allowed are powers of two from 512 to 2M",
                        cluster_size);
        return false;
    }
    if (order < 0) {
        block_error_set(errp, EINVAL,
                        "Option refcount_bits is %" PRIu64
                        "; allowed are powers of two from 1 to 64",
                        refcount_bits);
        return false;
    }
    o->cluster_bits = (unsigned)cluster_bits;
    o->refcount_order = (unsigned)order;
    return true;
}

static bool check_version(const Qcow2CreateOptions *o, GError **errp)
{
    if (o->version < 3 && o->lazy_refcounts) {
        block_error_set(errp, EINVAL,
                        "Option lazy_refcounts=on needs compat=1.1");
        return false;
    }
    if (o->version < 3 && o->refcount_order != 4) {
        block_error_set(errp, EINVAL,
                        "Option refcount_bits=%u needs compat=1.1; with "
                        "compat=0.10 only 16 is allowed",
                        1u << o->refcount_order);
        return false;
    }
    return true;
}

static bool check_backing(const Qcow2CreateOptions *o, GError **errp)
{
    if (o->backing_file && o->backing_file[0] == '\0') {
        block_error_set(errp, EINVAL,
                        "Option backing_file is empty; leave it out for an "
                        "image without a backing file");
        return false;
    }
    if (o->backing_format && o->backing_file == NULL) {
        block_error_set(errp, EINVAL,
                        "Option backing_fmt needs the option backing_file");
        return false;
    }
    if (o->backing_format && bdrv_find_format(o->backing_format) == NULL) {
        block_error_set(errp, EINVAL,
                        "Option backing_fmt is '%s', which is no known format",
                        o->backing_format);
        return false;
    }
    if (o->backing_file && o->prealloc != PREALLOC_MODE_OFF) {
        block_error_set(errp, EINVAL,
                        "Options backing_file and preallocation exclude each "
                        "other: preallocated clusters would hide the backing "
                        "file");
        return false;
    }
    return true;
}

bool qcow2_create_options_read(const OptionValues *values,
                               Qcow2CreateOptions *o, GError **errp)
{
    uint64_t size = option_values_size(values, "size");

    *o = (Qcow2CreateOptions){
        .version = option_values_enum(values, "compat") < 2 ? 2 : 3,
        .lazy_refcounts = option_values_bool(values, "lazy_refcounts"),
        .nocow = option_values_bool(values, "nocow"),
        .prealloc =
            prealloc_modes[option_values_enum(values, "preallocation")],
        .backing_file = option_values_string(values, "backing_file"),
        .backing_format = option_values_string(values, "backing_fmt"),
    };
    if (!read_widths(values, o, errp) || !check_version(o, errp) ||
        !check_backing(o, errp)) {
        return false;
    }
    o->size = size > (uint64_t)(INT64_MAX - SECTOR_MASK)
                  ? -1
                  : (int64_t)((size + SECTOR_MASK) & ~(uint64_t)SECTOR_MASK);
    return qcow2_check_size(o->size, o->cluster_bits, errp);
}
