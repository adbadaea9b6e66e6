/* SPDX-License-Identifier: MIT */
/*
 * Checking. Every table and cluster is a part of the file that belongs to it
 * alone. The parts are collected, neighbours joined, and sorted; those that
 * overlap are wrong, and so are entries that name what cannot be. Room that
 * nothing names is no error: the format cannot give it back.
 *
 * A table that overlaps the one before it is not followed, so that an image
 * made to take for ever does not.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>

#include "block/qcow/qcow.h"

typedef struct Part {
    int64_t start, end; /* in the file */
    int64_t guest;      /* the first guest offset that it is for */
} Part;

typedef struct Parts {
    Part *part;
    size_t n, room;
} Parts;

typedef struct Check {
    QcowState *s;
    BdrvCheckResult *result;
    Parts tables;
    Parts data;
    int64_t next; /* where a cluster would be that is not fragmented */
} Check;

static int parts_add(Parts *parts, int64_t start, int64_t bytes, int64_t guest)
{
    if (parts->n == parts->room) {
        size_t room = MAX(parts->room * 2, 1024);
        Part *part = g_try_renew(Part, parts->part, room);

        if (part == NULL) {
            return -ENOMEM;
        }
        parts->part = part;
        parts->room = room;
    }
    parts->part[parts->n++] = (Part){ start, start + bytes, guest };
    return 0;
}

/* The same, or the last part becomes longer. */
static int parts_join(Parts *parts, int64_t start, int64_t bytes,
                      int64_t guest)
{
    if (parts->n > 0 && parts->part[parts->n - 1].end == start) {
        parts->part[parts->n - 1].end += bytes;
        return 0;
    }
    return parts_add(parts, start, bytes, guest);
}

static int compare_parts(const void *a, const void *b)
{
    const Part *left = a;
    const Part *right = b;

    if (left->start != right->start) {
        return left->start > right->start ? 1 : -1;
    }
    return (left->guest > right->guest) - (left->guest < right->guest);
}

static void parts_sort(Parts *parts)
{
    if (parts->n > 0) {
        qsort(parts->part, parts->n, sizeof(Part), compare_parts);
    }
}

static void G_GNUC_PRINTF(2, 3)
    report(const Check *check, const char *fmt, ...)
{
    const BdrvCheckResult *result = check->result;
    va_list ap;

    if (result->message != NULL) {
        va_start(ap, fmt);
        g_autofree char *text = g_strdup_vprintf(fmt, ap);
        va_end(ap);
        result->message(text, result->opaque);
    }
}

/* ---- The tables ---- */

static int collect_tables(Check *check)
{
    const QcowState *s = check->s;
    int ret = 0;

    for (uint32_t i = 0; ret == 0 && i < s->header.l1_size; i++) {
        int64_t guest = ((int64_t)i * s->cluster_size) << s->header.l2_bits;
        uint64_t entry = s->l1[i];

        if (entry != 0 && !qcow_table_is_sound(s, entry)) {
            check->result->corruptions++;
            report(check, "L1 entry %" PRIu32 " names no L2 table: %#" PRIx64,
                   i, entry);
        } else if (entry != 0) {
            ret = parts_add(&check->tables, (int64_t)entry, s->l2_bytes,
                            guest);
        }
    }
    parts_sort(&check->tables);
    return ret;
}

/* ---- The clusters ---- */

static int count_cluster(Check *check, uint64_t entry, int64_t guest)
{
    BdrvCheckResult *result = check->result;
    QcowMapping mapping;

    if (!qcow_entry_decode(check->s, entry, &mapping)) {
        result->corruptions++;
        report(check,
               "The L2 entry for guest offset %" PRId64
               " names no cluster: %#" PRIx64,
               guest, entry);
        return 0;
    }
    if (mapping.type == QCOW_UNALLOCATED) {
        return 0;
    }
    result->allocated_clusters++;
    if (mapping.type == QCOW_COMPRESSED) {
        result->compressed_clusters++;
        result->fragmented_clusters++;
        return parts_join(&check->data, mapping.host_offset,
                          mapping.host_bytes, guest);
    }
    if (check->next != 0 && check->next != mapping.host_offset) {
        result->fragmented_clusters++;
    }
    check->next = mapping.host_offset + mapping.bytes;
    return parts_join(&check->data, mapping.host_offset, mapping.bytes, guest);
}

static int follow_table(Check *check, const Part *table)
{
    QcowState *s = check->s;
    int64_t guest = table->guest;
    int ret = 0;

    for (int64_t at = table->start; ret == 0 && at < table->end;
         at += s->piece_bytes) {
        size_t n = (size_t)s->piece_bytes / 8;
        void *data;

        int err = table_cache_get(s->l2_cache, at, &data);
        if (err < 0) {
            check->result->check_errors++;
            report(check,
                   "The L2 table at offset %" PRId64 " cannot be read: %s", at,
                   g_strerror(-err));
            guest += (int64_t)n * s->cluster_size;
            continue;
        }
        const be64 *piece = data;
        for (size_t i = 0; ret == 0 && i < n; i++) {
            ret = count_cluster(check, be64_get(piece[i]), guest);
            guest += s->cluster_size;
        }
        table_cache_put(s->l2_cache, data);
    }
    return ret;
}

/* Tables that overlap are reported with all other parts. */
static int follow_tables(Check *check)
{
    int64_t end = 0;
    int ret = 0;

    for (size_t i = 0; ret == 0 && i < check->tables.n; i++) {
        const Part *table = &check->tables.part[i];

        if (table->start >= end) {
            ret = follow_table(check, table);
        }
        end = MAX(end, table->end);
    }
    return ret;
}

/* ---- All parts together ---- */

static int find_overlaps(Check *check)
{
    int64_t end = 0;
    int64_t guest = 0; /* of the part that ends there */
    int ret = 0;

    for (size_t i = 0; ret == 0 && i < check->tables.n; i++) {
        const Part *table = &check->tables.part[i];

        ret = parts_add(&check->data, table->start, table->end - table->start,
                        table->guest);
    }
    parts_sort(&check->data);
    for (size_t i = 0; ret == 0 && i < check->data.n; i++) {
        const Part *part = &check->data.part[i];

        if (part->start < end) {
            check->result->corruptions++;
            report(check,
                   "Offset %" PRId64 " of the file is used twice: for guest "
                   "offset %" PRId64 ", and for %" PRId64,
                   part->start, guest, part->guest);
        }
        if (part->end > end) {
            end = part->end;
            guest = part->guest;
        }
    }
    check->result->image_end_offset = MAX(end,
                                          qcow_header_end(&check->s->header));
    return ret;
}

int qcow_check(BlockDriverState *bs, BdrvCheckResult *result, unsigned fix,
               GError **errp)
{
    QcowState *s = bdrv_opaque(bs);
    Check check = { .s = s, .result = result };

    if (fix != 0) {
        block_error_set(errp, ENOTSUP,
                        "Images of the format 'qcow' cannot be repaired: copy "
                        "what can be read with convert");
        return -ENOTSUP;
    }
    result->total_clusters = (s->header.size - 1) / s->cluster_size + 1;
    pthread_mutex_lock(&s->lock);
    int ret = collect_tables(&check);
    if (ret == 0) {
        ret = follow_tables(&check);
    }
    pthread_mutex_unlock(&s->lock);
    if (ret == 0) {
        ret = find_overlaps(&check);
    }
    g_free(check.tables.part);
    g_free(check.data.part);
    if (ret < 0) {
        block_error_set_errno(errp, -ret, "Could not check the image");
    }
    return ret;
}
