/* SPDX-License-Identifier: MIT */
/*
 * A new refcount structure, and the header that names it.
 *
 * The structure is written where nothing is, made durable, and then named by
 * one write of the header: before it the old one counts, after it the new
 * one. The clusters of the old one have no references in the new one.
 */
#include "block/qcow2/qcow2-check.h"

#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include "util/bytes.h"

/*
 * The fields that repairs change stand together, in one sector. All else in
 * the header cluster stays as it is: an odd one may have no room for what we
 * would write.
 */
static int write_fields(const Qcow2State *s)
{
    const Qcow2Header *h = &s->header;
    const size_t first = offsetof(Qcow2DiskHeader, refcount_table_offset);
    size_t end = h->version < 3 ? QCOW2_V2_HEADER_BYTES
                                : offsetof(Qcow2DiskHeader, header_length);
    Qcow2DiskHeader disk = {
        .refcount_table_offset =
            GUINT64_TO_BE((uint64_t)h->refcount_table_offset),
        .refcount_table_clusters = GUINT32_TO_BE(h->refcount_table_clusters),
        .nb_snapshots = GUINT32_TO_BE(h->nb_snapshots),
        .snapshots_offset = GUINT64_TO_BE((uint64_t)h->snapshots_offset),
        .incompatible_features = GUINT64_TO_BE(h->incompatible),
        .compatible_features = GUINT64_TO_BE(h->compatible),
        .autoclear_features = GUINT64_TO_BE(h->autoclear),
        .refcount_order = GUINT32_TO_BE(h->refcount_order),
    };

    return bdrv_pwrite(s->file, (int64_t)first, (int64_t)(end - first),
                       (const uint8_t *)&disk + first, 0);
}

bool repair_header(Qcow2Check *c)
{
    int ret = write_fields(c->s);

    c->changed = c->written = true;
    if (ret < 0) {
        c->stuck = true;
        check_failed(c, ret, "writing the header");
        return false;
    }
    return check_flush(c);
}

/* ---- Where the new structure goes ---- */

typedef struct Plan {
    unsigned order; /* of a refcount */
    int64_t start;  /* cluster: the table, then the blocks */
    int64_t table_clusters;
    GArray *blocks; /* indexes (int64_t) of blocks, ascending */
} Plan;

/* References of the old structure do not count any more. */
static void drop_old(Qcow2Check *c)
{
    const Qcow2Header *h = &c->s->header;
    int64_t first = h->refcount_table_offset >> c->s->cluster_bits;

    for (int64_t i = first; i < first + h->refcount_table_clusters; i++) {
        if (qcow2_refs_kind(c->refs, i) == QCOW2_KIND_REFTABLE) {
            qcow2_refs_drop(c->refs, i);
            qcow2_refs_set_kind(c->refs, i, QCOW2_KIND_NONE);
        }
    }
    for (guint i = 0; i < c->refblocks->len; i++) {
        int64_t cluster =
            g_array_index(c->refblocks, CheckRefblock, i).offset >>
            c->s->cluster_bits;

        qcow2_refs_drop(c->refs, cluster);
        qcow2_refs_set_kind(c->refs, cluster, QCOW2_KIND_NONE);
    }
    g_array_set_size(c->refblocks, 0);
}

static uint64_t max_of_order(unsigned order)
{
    return order >= 6 ? INT64_MAX : (UINT64_C(1) << (1u << order)) - 1;
}

/* The width of a refcount that all references fit into. */
static int choose_order(const Qcow2Check *c, Plan *plan)
{
    uint64_t max = qcow2_refs_max(c->refs);

    plan->order = c->s->refcount_order;
    while (max > max_of_order(plan->order)) {
        if (plan->order == QCOW2_MAX_REFCOUNT_ORDER ||
            c->s->header.version < 3) {
            return -ERANGE;
        }
        plan->order++;
    }
    return 0;
}

static unsigned reach_bits(const Qcow2Check *c, const Plan *plan)
{
    return c->s->cluster_bits + 3 - plan->order;
}

/* The blocks for the references there are. */
static GArray *blocks_in_use(const Qcow2Check *c, const Plan *plan)
{
    GArray *blocks = g_array_new(FALSE, FALSE, sizeof(int64_t));
    g_autoptr(GArray) pages = qcow2_refs_pages(c->refs);
    int64_t last = -1;

    for (guint i = 0; i < pages->len; i++) {
        int64_t page = g_array_index(pages, int64_t, i);
        int64_t block = page * REFS_PAGE >> reach_bits(c, plan);

        if (block > last && qcow2_refs_page_used(c->refs, page)) {
            g_array_append_val(blocks, block);
            last = block;
        }
    }
    return blocks;
}

/*
 * Put the structure at cluster `start`: it describes itself, too, so its size
 * depends on its place. It only gets larger while this is repeated, and less
 * each time.
 */
static int place(const Qcow2Check *c, Plan *plan, const GArray *used,
                 int64_t start)
{
    int64_t table = 1, blocks = 0;

    for (;;) {
        int64_t end = start + table + blocks;
        int64_t first_own = start >> reach_bits(c, plan);
        int64_t last_own = (end - 1) >> reach_bits(c, plan);
        int64_t needed, table_needed;

        if (end > (int64_t)(QCOW2_MAX_HOST_OFFSET >> c->s->cluster_bits) ||
            (last_own + 1) * 8 > QCOW2_MAX_REFTABLE_BYTES ||
            blocks > CHECK_MAX_TABLE_BYTES >> c->s->cluster_bits) {
            return -EFBIG;
        }
        g_array_set_size(plan->blocks, 0);
        for (guint i = 0; i < used->len; i++) {
            int64_t block = g_array_index(used, int64_t, i);

            /* Nothing is used behind `start`. */
            if (block < first_own) {
                g_array_append_val(plan->blocks, block);
            }
        }
        for (int64_t block = first_own; block <= last_own; block++) {
            g_array_append_val(plan->blocks, block);
        }
        needed = plan->blocks->len;
        table_needed = ((last_own + 1) * 8 + c->s->cluster_size - 1) >>
                       c->s->cluster_bits;
        if (needed == blocks && table_needed == table) {
            plan->start = start;
            plan->table_clusters = table;
            return 0;
        }
        blocks = MAX(needed, blocks);
        table = MAX(table_needed, table);
    }
}

static int make_plan(Qcow2Check *c, Plan *plan)
{
    int64_t behind = qcow2_refs_last(c->refs) + 1; /* the old structure, too */
    g_autoptr(GArray) used = NULL;
    int ret;

    drop_old(c);
    ret = choose_order(c, plan);
    if (ret < 0) {
        return ret;
    }
    used = blocks_in_use(c, plan);
    /* Best behind the end, where nothing was: but a file may be so long, with
   * nothing in it, that no table describes it. */
    ret = place(c, plan, used, MAX(behind, c->file_clusters));
    return ret == -EFBIG ? place(c, plan, used, behind) : ret;
}

/* ---- Writing it ---- */

static bool count_new(Qcow2Check *c, const Plan *plan)
{
    int64_t end = plan->start + plan->table_clusters + plan->blocks->len;

    for (int64_t i = plan->start; i < end; i++) {
        if (!qcow2_refs_add(c->refs, i, 1)) {
            check_failed(c, -ENOMEM, "counting references");
            return false;
        }
        qcow2_refs_set_kind(c->refs, i,
                            i < plan->start + plan->table_clusters
                                ? QCOW2_KIND_REFTABLE
                                : QCOW2_KIND_REFBLOCK);
    }
    return true;
}

static bool write_table(Qcow2Check *c, const Plan *plan)
{
    int64_t bytes = plan->table_clusters << c->s->cluster_bits;
    int64_t at = plan->start + plan->table_clusters;
    g_autofree be64 *table = g_try_malloc0((size_t)bytes);

    if (table == NULL) {
        check_failed(c, -ENOMEM, "writing a refcount table");
        return false;
    }
    for (guint i = 0; i < plan->blocks->len; i++, at++) {
        be64_put(&table[g_array_index(plan->blocks, int64_t, i)],
                 (uint64_t)at << c->s->cluster_bits);
    }
    return check_write(c, plan->start << c->s->cluster_bits, bytes, table);
}

/* c->s has the new order. */
static bool write_blocks(Qcow2Check *c, const Plan *plan)
{
    int64_t at = plan->start + plan->table_clusters;
    g_autofree uint8_t *buf = g_malloc((size_t)c->s->cluster_size);
    g_autoptr(GArray) pages = qcow2_refs_pages(c->refs);
    guint next = 0;

    for (guint i = 0; i < plan->blocks->len; i++, at++) {
        int64_t block = g_array_index(plan->blocks, int64_t, i);
        int64_t first = block << reach_bits(c, plan);
        int64_t end = (block + 1) << reach_bits(c, plan);

        memset(buf, 0, (size_t)c->s->cluster_size);
        for (; next < pages->len; next++) {
            int64_t page = g_array_index(pages, int64_t, next);

            if (page * REFS_PAGE >= end) {
                break;
            }
            for (int j = 0; j < REFS_PAGE && page * REFS_PAGE >= first; j++) {
                int64_t cluster = page * REFS_PAGE + j;

                qcow2_refcount_store(c->s, buf, cluster - first,
                                     qcow2_refs_get(c->refs, cluster));
            }
        }
        if (!check_write(c, at << c->s->cluster_bits, c->s->cluster_size,
                         buf)) {
            return false;
        }
    }
    return true;
}

static void set_order(Qcow2State *s, unsigned order)
{
    s->refcount_order = s->header.refcount_order = order;
    s->refcount_max = max_of_order(order);
}

static bool write_structure(Qcow2Check *c, const Plan *plan)
{
    Qcow2State *s = c->s;
    Qcow2Header *h = &s->header;
    int64_t old_offset = h->refcount_table_offset;
    uint32_t old_clusters = h->refcount_table_clusters;
    unsigned old_order = s->refcount_order;

    if (plan->order != old_order) {
        check_say(c, "Refcounts get %u bits, for %u are not enough",
                  1u << plan->order, 1u << old_order);
    }
    set_order(s, plan->order);
    h->refcount_table_offset = plan->start << s->cluster_bits;
    h->refcount_table_clusters = (uint32_t)plan->table_clusters;
    if (count_new(c, plan) && write_table(c, plan) && write_blocks(c, plan) &&
        check_flush(c) && repair_header(c)) {
        return true;
    }
    set_order(s, old_order);
    h->refcount_table_offset = old_offset;
    h->refcount_table_clusters = old_clusters;
    return false;
}

bool repair_rebuild(Qcow2Check *c)
{
    g_autoptr(GArray) blocks = g_array_new(FALSE, FALSE, sizeof(int64_t));
    Plan plan = { .blocks = blocks };
    int ret = make_plan(c, &plan);

    if (ret < 0) {
        check_failed(c, ret, "no refcount structure can say what there is");
        c->stuck = true;
        return false;
    }
    if (!write_structure(c, &plan)) {
        c->stuck = true;
        return false;
    }
    check_say(c, "A new refcount structure was written at 0x%" PRIx64,
              plan.start << c->s->cluster_bits);
    qcow2_refs_free(c->wrong);
    c->wrong = qcow2_refs_new();
    c->rebuild = false;
    return true;
}

/* ---- In memory ---- */

static int reload_l1(Qcow2State *s)
{
    int64_t bytes = (int64_t)s->header.l1_size * 8;
    int ret;

    if (bytes == 0 || s->l1 == NULL) {
        return 0;
    }
    ret = bdrv_pread(s->file, s->header.l1_table_offset, bytes, s->l1, 0);
    for (uint32_t i = 0; i < s->header.l1_size && ret == 0; i++) {
        s->l1[i] = GUINT64_FROM_BE(s->l1[i]);
    }
    return ret;
}

int repair_reload(Qcow2Check *c, GError **errp)
{
    Qcow2State *s = c->s;
    int64_t length = bdrv_getlength(bdrv_child_bs(s->file));
    int64_t bytes;
    int ret;

    table_cache_drop(s->l2_cache, 0, INT64_MAX);
    table_cache_drop(s->refcount_cache, 0, INT64_MAX);
    s->free_hint = 0;
    s->packed_offset = 0;
    s->fresh_offset = MAX(s->fresh_offset, qcow2_cluster_end(s, length));
    s->prepared = false;
    ret = reload_l1(s);
    if (ret < 0) {
        block_error_set_errno(errp, -ret, "Could not read the L1 table");
        return ret;
    }
    if (!qcow2_reftable_read(s, errp) ||
        !qcow2_snapshots_read(s, &bytes, errp)) {
        return -EIO;
    }
    s->overlaps = !qcow2_overlap_init(s, NULL);
    if (bytes > 0) {
        qcow2_overlap_add(s, s->header.snapshots_offset, bytes);
    }
    return 0;
}
