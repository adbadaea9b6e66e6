/* SPDX-License-Identifier: MIT */
/* The options of a new qcow2 image, for creating and for measuring. */
#ifndef BLOCK_QCOW2_CREATE_H
#define BLOCK_QCOW2_CREATE_H

#include "block/driver.h"

typedef struct Qcow2CreateOptions {
    int64_t size; /* a multiple of 512 */
    unsigned version;
    unsigned cluster_bits;
    unsigned refcount_order;
    bool lazy_refcounts;
    bool nocow;
    PreallocMode prealloc;
    const char *backing_file;   /* NULL: none; of the option values */
    const char *backing_format; /* NULL: none named */
} Qcow2CreateOptions;

/* Check the values and how they go together. */
bool qcow2_create_options_read(const OptionValues *values,
                               Qcow2CreateOptions *o, GError **errp)
    G_GNUC_WARN_UNUSED_RESULT;

/* Whether an L1 table can describe so many bytes; *errp names the cluster
 * size that could. */
bool qcow2_check_size(int64_t size, unsigned cluster_bits, GError **errp)
    G_GNUC_WARN_UNUSED_RESULT;

#endif
