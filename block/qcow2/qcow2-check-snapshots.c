/* SPDX-License-Identifier: MIT */
/*
 * The snapshot table. Where it breaks off, the entries that follow cannot be
 * found any more: they are given up. A snapshot whose L1 table cannot be one
 * keeps its name and gets an empty table. Entries of version 2 in an image of
 * version 3 are completed, in a table elsewhere.
 */
#include "block/qcow2/qcow2-check.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "util/bytes.h"

#define MAX_EXTRA_DATA 1024

/* Why the L1 table of a snapshot cannot be there; NULL: it can. */
static const char *l1_defect(const Qcow2Check *c, int64_t table_bytes,
                             uint64_t offset, int64_t bytes)
{
    const Qcow2State *s = c->s;
    const Qcow2Header *h = &s->header;
    const struct {
        int64_t offset, bytes;
    } taken[] = {
        { 0, s->cluster_size },
        { h->l1_table_offset, qcow2_cluster_end(s, (int64_t)h->l1_size * 8) },
        { h->snapshots_offset, table_bytes },
    };

    if (bytes > QCOW2_MAX_L1_BYTES) {
        return "is too large";
    }
    if (offset & (s->cluster_size - 1)) {
        return "is not at the beginning of a cluster";
    }
    if (bytes == 0) {
        return offset > INT64_MAX ? "is nowhere" : NULL;
    }
    if (offset > INT64_MAX || !check_in_file(c, (int64_t)offset, bytes)) {
        return "reaches past the end of the file";
    }
    for (size_t i = 0; i < G_N_ELEMENTS(taken); i++) {
        if ((int64_t)offset < taken[i].offset + taken[i].bytes &&
            taken[i].offset < (int64_t)offset + bytes) {
            return "overlaps other metadata";
        }
    }
    return NULL;
}

static void add_snapshot(Qcow2Check *c, uint32_t number, int64_t position,
                         int64_t table_bytes, const Qcow2DiskSnapshot *entry)
{
    uint64_t offset = GUINT64_FROM_BE(entry->l1_table_offset);
    uint32_t l1_size = GUINT32_FROM_BE(entry->l1_size);
    bool mend = c->fix & BDRV_FIX_ERRORS;
    const char *defect = l1_defect(c, table_bytes, offset,
                                   (int64_t)l1_size * 8);
    static const uint8_t none[12]; /* l1_table_offset, l1_size */

    if (defect == NULL) {
        CheckSnapshot snapshot = { (int64_t)offset, l1_size };

        if (l1_size > 0) {
            g_array_append_val(c->snapshots, snapshot);
        }
        return;
    }
    check_corruption(c, mend,
                     "the L1 table of snapshot %u (%u entries at 0x%" PRIx64
                     ") %s; %s",
                     number + 1, l1_size, offset, defect,
                     mend ? "what it held is lost" : "it cannot be read");
    if (mend) {
        check_write(c, position, sizeof(none), none);
    }
}

/* Read entry `number` at *position, and move on. NULL, or what is wrong. */
static const char *read_entry(Qcow2Check *c, int64_t start, int64_t *position,
                              Qcow2DiskSnapshot *entry)
{
    uint32_t extra;

    *position = (*position + 7) & ~INT64_C(7);
    if (*position > c->file_length - (int64_t)sizeof(*entry)) {
        return "lies past the end of the file";
    }
    if (!check_read(c, *position, sizeof(*entry), entry, NULL)) {
        return "cannot be read";
    }
    extra = GUINT32_FROM_BE(entry->extra_data_size);
    if (extra > MAX_EXTRA_DATA) {
        return "has too much extra data";
    }
    *position += (int64_t)sizeof(*entry) + extra +
                 GUINT16_FROM_BE(entry->id_size) +
                 GUINT16_FROM_BE(entry->name_size);
    if (*position > c->file_length) {
        return "reaches past the end of the file";
    }
    if (*position - start > QCOW2_MAX_SNAPSHOT_TABLE_BYTES) {
        return "makes the table too large";
    }
    return NULL;
}

/* Give up all entries from `number` on. */
static void clip_table(Qcow2Check *c, uint32_t number, const char *defect)
{
    Qcow2Header *h = &c->s->header;
    bool mend = c->fix & BDRV_FIX_ERRORS;

    check_corruption(
        c, mend,
        "entry %u of the snapshot table at 0x%" PRIx64
        " %s; %s %u snapshot(s)",
        number + 1, h->snapshots_offset, defect,
        mend ? "given up:" : "not to be found:", h->nb_snapshots - number);
    if (mend) {
        h->nb_snapshots = number;
        h->snapshots_offset = number > 0 ? h->snapshots_offset : 0;
        c->header_changed = true;
    }
}

/* The positions of the entries, as far as they can be read. */
static GArray *find_entries(Qcow2Check *c, int64_t *end)
{
    GArray *positions = g_array_new(FALSE, FALSE, sizeof(int64_t));
    const Qcow2Header *h = &c->s->header;
    uint32_t n = h->nb_snapshots;

    *end = h->snapshots_offset;
    for (uint32_t i = 0; i < n; i++) {
        Qcow2DiskSnapshot entry;
        int64_t next = *end;
        int64_t start = (*end + 7) & ~INT64_C(7);
        int64_t errors = c->result->check_errors;
        const char *defect = read_entry(c, h->snapshots_offset, &next, &entry);

        if (defect != NULL) {
            if (errors == c->result->check_errors) {
                clip_table(c, i, defect);
            }
            break;
        }
        *end = next;
        g_array_append_val(positions, start);
    }
    return positions;
}

/* ---- Entries that say too little ---- */

/* What version 3 wants of the extra data: the size of the machine state in 64
 * bits, and of the disk. */
typedef struct __attribute__((packed)) Extra {
    guint64 vm_state_size;
    guint64 disk_size;
} Extra;

/* Append the entry at a position, completed. */
static bool copy_entry(Qcow2Check *c, int64_t position, GByteArray *table)
{
    static const uint8_t padding[7];
    Qcow2DiskSnapshot entry;
    Extra extra;

    if (!check_read(c, position, sizeof(entry), &entry, NULL)) {
        return false;
    }
    uint64_t vm_state_size = GUINT32_FROM_BE(entry.vm_state_size);
    extra.vm_state_size = GUINT64_TO_BE(vm_state_size);
    extra.disk_size = GUINT64_TO_BE((uint64_t)c->s->header.size);
    uint32_t old = GUINT32_FROM_BE(entry.extra_data_size);
    uint32_t rest = old + GUINT16_FROM_BE(entry.id_size) +
                    GUINT16_FROM_BE(entry.name_size);
    g_autofree uint8_t *data = g_malloc(MAX(rest, 1));
    if (!check_read(c, position + (int64_t)sizeof(entry), rest, data, NULL)) {
        return false;
    }
    /* Half a field is none. */
    uint32_t kept = old < sizeof(extra) ? old & ~7u : old;
    memcpy(&extra, data, MIN(kept, sizeof(extra)));
    entry.extra_data_size = GUINT32_TO_BE(MAX(kept, (uint32_t)sizeof(extra)));
    g_byte_array_append(table, (const uint8_t *)&entry, sizeof(entry));
    g_byte_array_append(table, (const uint8_t *)&extra, sizeof(extra));
    if (kept > sizeof(extra)) {
        g_byte_array_append(table, data + sizeof(extra),
                            kept - (guint)sizeof(extra));
    }
    g_byte_array_append(table, data + old, rest - old);
    g_byte_array_append(table, padding, -table->len & 7);
    return true;
}

/*
 * Write a table of complete entries behind the end of the file. The header is
 * to name it when its refcounts are there; until then both tables count.
 */
static void complete_table(Qcow2Check *c, const GArray *positions)
{
    g_autoptr(GByteArray) table = g_byte_array_new();
    int64_t place = c->file_clusters << c->s->cluster_bits;

    for (guint i = 0; i < positions->len; i++) {
        if (!copy_entry(c, g_array_index(positions, int64_t, i), table)) {
            return;
        }
    }
    if (place + (int64_t)table->len > (int64_t)QCOW2_MAX_HOST_OFFSET ||
        (int64_t)table->len > QCOW2_MAX_SNAPSHOT_TABLE_BYTES) {
        check_failed(c, -EFBIG, "completing the snapshot table");
        c->stuck = true;
        return;
    }
    if (!check_write(c, place, table->len, table->data)) {
        return;
    }
    c->file_length = place + (int64_t)table->len;
    c->file_clusters = qcow2_cluster_end(c->s, c->file_length) >>
                       c->s->cluster_bits;
    check_claim(c, place, table->len, QCOW2_KIND_SNAPSHOT_TABLE);
    c->new_snapshots_offset = place;
}

static void check_complete(Qcow2Check *c, const GArray *positions)
{
    bool mend = c->fix & BDRV_FIX_ERRORS;
    bool incomplete = false;

    for (guint i = 0; i < positions->len && c->s->header.version >= 3; i++) {
        int64_t position = g_array_index(positions, int64_t, i);
        Qcow2DiskSnapshot entry;

        if (check_read(c, position, sizeof(entry), &entry, NULL) &&
            GUINT32_FROM_BE(entry.extra_data_size) < sizeof(Extra)) {
            check_corruption(c, mend,
                             "entry %u of the snapshot table is incomplete: "
                             "it does not say how large the disk was",
                             i + 1);
            incomplete = true;
        }
    }
    if (incomplete && mend) {
        complete_table(c, positions);
    }
}

void check_snapshot_table(Qcow2Check *c)
{
    const Qcow2Header *h = &c->s->header;
    g_autoptr(GArray) positions = NULL;
    int64_t start = h->snapshots_offset;
    Qcow2Kind other;
    int64_t end;

    if (h->nb_snapshots == 0) {
        return;
    }
    if (qcow2_in_cluster(c->s, start) != 0) {
        clip_table(c, 0, "is not at the beginning of a cluster");
        return;
    }
    positions = find_entries(c, &end);
    if (positions->len == 0) {
        return;
    }
    other = check_claim(c, start, end - start, QCOW2_KIND_SNAPSHOT_TABLE);
    if (other != QCOW2_KIND_NONE) {
        g_autofree char *text = g_strdup_printf("overlaps %s",
                                                qcow2_kind_name(other));

        clip_table(c, 0, text);
        return;
    }
    check_complete(c, positions);
    for (guint i = 0; i < positions->len; i++) {
        int64_t position = g_array_index(positions, int64_t, i);
        Qcow2DiskSnapshot entry;

        if (check_read(c, position, sizeof(entry), &entry, NULL)) {
            add_snapshot(c, i, position, end - start, &entry);
        }
    }
}
