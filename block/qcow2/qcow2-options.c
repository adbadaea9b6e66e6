/* SPDX-License-Identifier: MIT */
/* The options of an open qcow2 image. Names and defaults are QEMU's. */
#include <errno.h>
#include <inttypes.h>

#include "block/qcow2/qcow2-open.h"

#define DEFAULT_L2_CACHE (INT64_C(32) << 20)
#define DEFAULT_REFCOUNT_CACHE (INT64_C(256) << 10)
#define DEFAULT_SLICE INT64_C(4096)
#define MIN_PIECES 4

const OptionDesc qcow2_runtime_options[] = {
    { .name = "lazy-refcounts",
      .type = OPTION_BOOL,
      .help = "write refcounts late, and repair them after a crash (default: "
              "as the image says)" },
    { .name = "cache-size",
      .type = OPTION_SIZE,
      .help = "most memory for both caches of tables" },
    { .name = "l2-cache-size",
      .type = OPTION_SIZE,
      .help = "most memory for L2 tables (default 32M)" },
    { .name = "l2-cache-entry-size",
      .type = OPTION_SIZE,
      .help = "bytes of an L2 table that are read at a time (default 4k)" },
    { .name = "refcount-cache-size",
      .type = OPTION_SIZE,
      .help = "most memory for refcount blocks (default 256k)" },
    { .name = "pass-discard-request",
      .type = OPTION_BOOL,
      .help = "clusters that become free leave holes in the file (default: "
              "as the option discard says)" },
    { .name = NULL },
};

/* The bytes of the two caches. */
static bool cache_sizes(const OptionValues *values, int64_t *l2,
                        int64_t *refcounts, GError **errp)
{
    bool has_both = option_values_given(values, "cache-size");
    bool has_l2 = option_values_given(values, "l2-cache-size");
    bool has_refcounts = option_values_given(values, "refcount-cache-size");
    int64_t both = (int64_t)option_values_size(values, "cache-size");

    *l2 = has_l2 ? (int64_t)option_values_size(values, "l2-cache-size")
                 : DEFAULT_L2_CACHE;
    *refcounts = has_refcounts ? (int64_t)option_values_size(
                                     values, "refcount-cache-size")
                               : DEFAULT_REFCOUNT_CACHE;
    if (!has_both) {
        return true;
    }
    if (has_l2 && has_refcounts) {
        block_error_set(errp, EINVAL,
                        "Of the options cache-size, l2-cache-size and "
                        "refcount-cache-size at most two can be given");
        return false;
    }
    if ((has_l2 && *l2 > both) || (has_refcounts && *refcounts > both)) {
        block_error_set(
            errp, EINVAL, "Option %s must not exceed cache-size, %" PRId64,
            has_l2 ? "l2-cache-size" : "refcount-cache-size", both);
        return false;
    }
    if (has_l2) {
        *refcounts = both - *l2;
    } else {
        *refcounts = MIN(*refcounts, both / 2);
        *l2 = both - *refcounts;
    }
    return true;
}

/* A cache may be small, but a few pieces are needed to work at all. */
static unsigned count_pieces(int64_t bytes, int64_t slice)
{
    return (unsigned)CLAMP(bytes / slice, MIN_PIECES, INT32_MAX);
}

static bool slice_size(const Qcow2State *s, const OptionValues *values,
                       int64_t *slice, GError **errp)
{
    const char *name = "l2-cache-entry-size";
    uint64_t given = option_values_size(values, name);

    *slice = MIN(s->cluster_size, DEFAULT_SLICE);
    if (!option_values_given(values, name)) {
        return true;
    }
    if (given < 512 || given > (uint64_t)s->cluster_size ||
        (given & (given - 1)) != 0) {
        block_error_set(errp, EINVAL,
                        "Option %s is %" PRIu64
                        "; allowed are powers of two from 512 up to the "
                        "cluster size, %" PRId64,
                        name, given, s->cluster_size);
        return false;
    }
    *slice = (int64_t)given;
    return true;
}

bool qcow2_open_options(Qcow2State *s, const OptionValues *values,
                        Qcow2OpenOptions *o, GError **errp)
{
    int64_t l2, refcounts;

    if (!cache_sizes(values, &l2, &refcounts, errp) ||
        !slice_size(s, values, &o->l2_slice, errp)) {
        return false;
    }
    o->refblock_slice = MIN(s->cluster_size, DEFAULT_SLICE);
    o->l2_pieces = count_pieces(l2, o->l2_slice);
    o->refcount_pieces = count_pieces(refcounts, o->refblock_slice);

    s->lazy_refcounts = option_values_given(values, "lazy-refcounts")
                            ? option_values_bool(values, "lazy-refcounts")
                            : (s->header.compatible &
                               QCOW2_COMPAT_LAZY_REFCOUNTS) != 0;
    if (s->lazy_refcounts && s->header.version < 3) {
        block_error_set(errp, EINVAL,
                        "Option lazy-refcounts needs an image of "
                        "compatibility level 1.1, and this one has 0.10");
        return false;
    }
    if (bdrv_flags(s->bs) & BDRV_O_CHECK) {
        s->lazy_refcounts = false; /* what is mended is mended */
    }
    s->discards_host = option_values_given(values, "pass-discard-request")
                           ? option_values_bool(values, "pass-discard-request")
                           : (bdrv_flags(s->bs) & BDRV_O_UNMAP) != 0;
    return true;
}
