/* SPDX-License-Identifier: MIT */
/*
 * The refcount table and its blocks, and the comparison of refcounts with
 * references, in groups of REFS_PAGE clusters: a group without refcounts and
 * without references costs nothing.
 *
 * Refcounts are mended where they stand, unless the structure itself is
 * damaged or lacks a block: then a new one is to be written.
 */
#include "block/qcow2/qcow2-check.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "util/bytes.h"

#define PIECE 65536

/* ---- The table ---- */

static void add_block(Qcow2Check *c, int64_t index, uint64_t entry)
{
    bool mend = c->fix & BDRV_FIX_ERRORS;
    CheckRefblock block = { index, (int64_t)(entry & QCOW2_REFTABLE_OFFSET) };
    const char *defect = NULL;
    Qcow2Kind other;

    if (entry & QCOW2_REFTABLE_RESERVED) {
        defect = "has reserved bits set";
    } else if (entry & (uint64_t)(c->s->cluster_size - 1)) {
        defect = "is not at the beginning of a cluster";
    } else if (entry >= QCOW2_MAX_HOST_OFFSET ||
               !check_in_file(c, block.offset, c->s->cluster_size)) {
        defect = "lies past the end of the file";
    }
    if (defect != NULL) {
        check_corruption(c, mend,
                         "refcount block %" PRId64 " (0x%" PRIx64 ") %s",
                         index, entry, defect);
        c->rebuild = true;
        return;
    }
    other = check_claim(c, block.offset, c->s->cluster_size,
                        QCOW2_KIND_REFBLOCK);
    if (other != QCOW2_KIND_NONE) {
        check_corruption(
            c, mend, "refcount block %" PRId64 " at 0x%" PRIx64 " overlaps %s",
            index, block.offset, qcow2_kind_name(other));
        c->rebuild = true;
        return;
    }
    g_array_append_val(c->refblocks, block);
}

static void read_table(Qcow2Check *c, int64_t offset, int64_t bytes)
{
    g_autofree be64 *piece = g_malloc(PIECE);
    bool zero;

    for (int64_t at = 0; at < bytes && !c->no_memory; at += PIECE) {
        int64_t n = MIN(bytes - at, PIECE);

        if (!check_read(c, offset + at, n, piece, &zero) || zero) {
            continue;
        }
        for (int64_t i = 0; i < n / 8; i++) {
            if (be64_get(piece[i]) != 0) {
                add_block(c, at / 8 + i, be64_get(piece[i]));
            }
        }
    }
}

void check_reftable(Qcow2Check *c)
{
    const Qcow2Header *h = &c->s->header;
    int64_t bytes = (int64_t)h->refcount_table_clusters << c->s->cluster_bits;
    bool mend = c->fix & BDRV_FIX_ERRORS;
    Qcow2Kind other;

    if (bytes == 0 || !check_in_file(c, h->refcount_table_offset, bytes)) {
        check_corruption(c, mend,
                         "the refcount table at 0x%" PRIx64
                         " reaches past the end of the file",
                         h->refcount_table_offset);
        c->rebuild = true;
        return;
    }
    other = check_claim(c, h->refcount_table_offset, bytes,
                        QCOW2_KIND_REFTABLE);
    if (other != QCOW2_KIND_NONE) {
        check_corruption(c, mend,
                         "the refcount table at 0x%" PRIx64 " overlaps %s",
                         h->refcount_table_offset, qcow2_kind_name(other));
        c->rebuild = true;
        return;
    }
    read_table(c, h->refcount_table_offset, bytes);
}

/* ---- Comparing ---- */

typedef struct Compare {
    Qcow2Check *c;
    bool in_place;  /* refcounts may be changed where they stand */
    uint8_t *block; /* being compared; NULL: there is none, refcounts are 0 */
    int64_t first;  /* its first cluster */
    bool changed;   /* block was */
    GArray *pages;  /* of the references */
    guint next_page;
} Compare;

/* Note a refcount that is wrong and stays so, for the COPIED flags. */
static void note_wrong(Qcow2Check *c, int64_t cluster, uint64_t refcount,
                       uint64_t references)
{
    uint64_t noted = refcount == UINT64_MAX ? refcount : refcount + 1;

    if (references > 0 && !qcow2_refs_add(c->wrong, cluster, noted) &&
        !c->no_memory) {
        c->no_memory = true;
        check_failed(c, -ENOMEM, "comparing refcounts");
    }
}

static void found_wrong(Compare *cmp, int64_t cluster, uint64_t refcount,
                        uint64_t references)
{
    Qcow2Check *c = cmp->c;
    BdrvCheckResult *r = c->result;
    bool leak = refcount > references;
    bool wanted = c->fix & (leak ? BDRV_FIX_LEAKS : BDRV_FIX_ERRORS);
    bool here = wanted && cmp->in_place && cmp->block != NULL &&
                references <= c->s->refcount_max;

    if (here) {
        qcow2_refcount_store(c->s, cmp->block, cluster - cmp->first,
                             references);
        cmp->changed = true;
    } else {
        note_wrong(c, cluster, refcount, references);
        c->rebuild = c->rebuild || !leak;
        wanted = wanted && (c->fix & BDRV_FIX_ERRORS);
    }
    if (leak) {
        *(wanted ? &r->leaks_fixed : &r->leaks) += 1;
    } else {
        *(wanted ? &r->corruptions_fixed : &r->corruptions) += 1;
    }
    check_say(c,
              "%s cluster %" PRId64 " refcount=%" PRIu64 " reference=%" PRIu64,
              wanted ? "Repairing"
              : leak ? "Leaked"
                     : "ERROR",
              cluster, refcount, references);
}

/* Nothing is lost by a refcount behind the end of the file, until the file
 * grows. So it is no finding, and yet not left. */
static void clear_behind_end(Compare *cmp, int64_t cluster, uint64_t refcount)
{
    if (refcount > 0 && cmp->in_place && (cmp->c->fix & BDRV_FIX_LEAKS)) {
        qcow2_refcount_store(cmp->c->s, cmp->block, cluster - cmp->first, 0);
        cmp->changed = true;
    }
}

static void compare_page(Compare *cmp, int64_t page)
{
    Qcow2Check *c = cmp->c;

    for (int64_t i = 0; i < REFS_PAGE && !c->no_memory; i++) {
        int64_t cluster = page * REFS_PAGE + i;
        uint64_t references = qcow2_refs_get(c->refs, cluster);
        uint64_t refcount = 0;

        if (cmp->block != NULL) {
            refcount = qcow2_refcount_load(c->s, cmp->block,
                                           cluster - cmp->first);
        }
        if (cluster >= c->file_clusters && references == 0) {
            clear_behind_end(cmp, cluster, refcount);
            continue;
        }
        if (refcount > 0 || references > 0) {
            c->last_used = MAX(c->last_used, cluster);
        }
        if (refcount != references) {
            found_wrong(cmp, cluster, refcount, references);
        }
    }
}

static bool pages_before(const Compare *cmp, int64_t end)
{
    return cmp->next_page < cmp->pages->len &&
           g_array_index(cmp->pages, int64_t, cmp->next_page) < end;
}

static void skip_pages(Compare *cmp, int64_t end)
{
    while (pages_before(cmp, end)) {
        cmp->next_page++;
    }
}

/* Clusters with references before page `end`, which have no refcounts. */
static void compare_without_block(Compare *cmp, int64_t end)
{
    cmp->block = NULL;
    while (pages_before(cmp, end)) {
        compare_page(cmp, g_array_index(cmp->pages, int64_t, cmp->next_page));
        cmp->next_page++;
    }
}

/* Clusters that a block describes, page by page. */
static void compare_block(Compare *cmp, uint8_t *block, int64_t first,
                          int64_t n)
{
    size_t group = ((size_t)REFS_PAGE << cmp->c->s->refcount_order) / 8;
    const uint8_t *at = block;

    cmp->block = block;
    cmp->first = first;
    for (int64_t page = first / REFS_PAGE; page < (first + n) / REFS_PAGE;
         page++, at += group) {
        bool counted = cmp->next_page < cmp->pages->len &&
                       g_array_index(cmp->pages, int64_t, cmp->next_page) ==
                           page;

        cmp->next_page += counted;
        if (counted || at[0] != 0 || memcmp(at, at + 1, group - 1) != 0) {
            compare_page(cmp, page);
        }
    }
}

static void compare_refblock(Compare *cmp, const CheckRefblock *rb,
                             uint8_t *block)
{
    Qcow2Check *c = cmp->c;
    int64_t n = INT64_C(1) << qcow2_refblock_bits(c->s);
    int64_t first = rb->index * n;
    bool zero;

    compare_without_block(cmp, first / REFS_PAGE);
    if (!check_read(c, rb->offset, c->s->cluster_size, block, &zero)) {
        /* What is not known is neither right nor wrong. */
        skip_pages(cmp, (first + n) / REFS_PAGE);
        return;
    }
    if (zero) {
        memset(block, 0, (size_t)c->s->cluster_size);
        if (!pages_before(cmp, (first + n) / REFS_PAGE)) {
            return;
        }
    }
    cmp->changed = false;
    compare_block(cmp, block, first, n);
    if (cmp->changed) {
        check_write(c, rb->offset, c->s->cluster_size, block);
    }
}

void check_refcounts(Qcow2Check *c)
{
    g_autofree uint8_t *block = g_malloc((size_t)c->s->cluster_size);
    g_autoptr(GArray) pages = qcow2_refs_pages(c->refs);
    Compare cmp = { .c = c, .in_place = !c->rebuild, .pages = pages };

    for (guint i = 0; i < c->refblocks->len && !c->no_memory; i++) {
        compare_refblock(&cmp, &g_array_index(c->refblocks, CheckRefblock, i),
                         block);
    }
    compare_without_block(&cmp, INT64_MAX);
}
