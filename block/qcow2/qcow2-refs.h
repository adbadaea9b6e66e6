/* SPDX-License-Identifier: MIT */
/*
 * How often each cluster of an image is referred to, and what it is used for.
 *
 * A sparse array in pages of REFS_PAGE clusters: memory goes with the
 * references found, whatever the length of the file. Not locked.
 */
#ifndef BLOCK_QCOW2_REFS_H
#define BLOCK_QCOW2_REFS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

/* No more than a refcount block has entries at least. */
#define REFS_PAGE 64

typedef enum Qcow2Kind {
    QCOW2_KIND_NONE, /* not referred to, or guest data */
    QCOW2_KIND_HEADER,
    QCOW2_KIND_L1,
    QCOW2_KIND_REFTABLE,
    QCOW2_KIND_SNAPSHOT_TABLE,
    QCOW2_KIND_SNAPSHOT_L1,
    QCOW2_KIND_BITMAPS,
    QCOW2_KIND_L2,
    QCOW2_KIND_REFBLOCK,
} Qcow2Kind;

typedef struct Qcow2Refs Qcow2Refs;

Qcow2Refs *qcow2_refs_new(void);
void qcow2_refs_free(Qcow2Refs *refs);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Qcow2Refs, qcow2_refs_free)

uint64_t qcow2_refs_get(const Qcow2Refs *refs, int64_t cluster);
Qcow2Kind qcow2_refs_kind(const Qcow2Refs *refs, int64_t cluster);

/* Add n (saturating). False when there is no memory. */
bool qcow2_refs_add(Qcow2Refs *refs, int64_t cluster, uint64_t n)
    G_GNUC_WARN_UNUSED_RESULT;

/* Say what a cluster is; it has references. */
void qcow2_refs_set_kind(Qcow2Refs *refs, int64_t cluster, Qcow2Kind kind);

/* One reference less: there must be one. */
void qcow2_refs_drop(Qcow2Refs *refs, int64_t cluster);

/* What is in words: "the refcount table". Static. */
const char *qcow2_kind_name(Qcow2Kind kind);

/* Numbers (int64_t, cluster / REFS_PAGE) of the pages there are, ascending.
 * g_array_unref(). */
GArray *qcow2_refs_pages(const Qcow2Refs *refs);

/* Whether any cluster of the page has a reference. */
bool qcow2_refs_page_used(const Qcow2Refs *refs, int64_t page);

/* The last cluster with references; -1 if there is none. */
int64_t qcow2_refs_last(const Qcow2Refs *refs);

/* The largest number of references of one cluster. */
uint64_t qcow2_refs_max(const Qcow2Refs *refs);

#endif
