/* SPDX-License-Identifier: MIT */
/*
 * A larger L1 table. Where the clusters of the old one have room, it grows in
 * place; otherwise the new table is written elsewhere. Both are complete and
 * durable before one write of the header changes to the new one: its size and
 * place stand side by side there, behind the size of the device.
 */
#include <errno.h>

#include "block/qcow2/qcow2-resize.h"
#include "util/bytes.h"

/* A part of Qcow2DiskHeader, written as one. */
typedef struct __attribute__((packed)) SizeFields {
    be64 size;
    be32 crypt_method; /* 0: others are not opened */
    be32 l1_size;
    be64 l1_table_offset;
} SizeFields;
static_assert(G_STRUCT_OFFSET(Qcow2DiskHeader, l1_table_offset) -
                      G_STRUCT_OFFSET(Qcow2DiskHeader, size) ==
                  G_STRUCT_OFFSET(SizeFields, l1_table_offset),
              "the fields are those of the header");

static int64_t table_bytes(const Qcow2State *s, uint32_t entries)
{
    return qcow2_cluster_end(s, (int64_t)entries * (int64_t)sizeof(be64));
}

/* Write entries from `first` to the end of the last cluster. */
static int write_table(Qcow2State *s, int64_t offset, uint32_t first,
                       uint32_t entries)
{
    int64_t skip = (int64_t)first * (int64_t)sizeof(be64);
    int64_t bytes = table_bytes(s, entries) - skip;
    g_autofree be64 *table = g_try_malloc0((gsize)bytes);

    if (table == NULL) {
        return -ENOMEM;
    }
    for (uint32_t i = first; i < s->header.l1_size; i++) {
        be64_put(&table[i - first], s->l1[i]);
    }
    return bdrv_pwrite(s->file, offset + skip, bytes, table, 0);
}

static int write_fields(Qcow2State *s, uint32_t entries, int64_t offset)
{
    SizeFields fields = { 0 };

    be64_put(&fields.size, (uint64_t)s->header.size);
    be32_put(&fields.l1_size, entries);
    be64_put(&fields.l1_table_offset, (uint64_t)offset);
    int ret = bdrv_pwrite(s->file, G_STRUCT_OFFSET(Qcow2DiskHeader, size),
                          sizeof(fields), &fields, 0);
    return ret < 0 ? ret : bdrv_flush(bdrv_child_bs(s->file));
}

int qcow2_size_settle(Qcow2State *s)
{
    if (s->size_is_unsettled) {
        int ret = write_fields(s, s->header.l1_size,
                               s->header.l1_table_offset);

        if (ret < 0) {
            return ret;
        }
        s->size_is_unsettled = false;
    }
    return 0;
}

/*
 * Let the header name the new table. When that fails, what it names is not
 * known: the old one is named again. When that fails, too, both tables serve
 * as long as neither changes, so that is done before anything else is written.
 */
static int switch_table(Qcow2State *s, uint32_t entries, int64_t offset,
                        bool *known)
{
    int ret = write_fields(s, entries, offset);

    s->size_is_unsettled = ret < 0;
    *known = ret == 0 || qcow2_size_settle(s) == 0;
    return ret;
}

/* Where the new table goes: the old place, or a new one. */
static int64_t find_place(Qcow2State *s, uint32_t entries)
{
    int64_t bytes = table_bytes(s, entries);

    if (s->header.l1_size > 0 && bytes == table_bytes(s, s->header.l1_size)) {
        return s->header.l1_table_offset;
    }
    return qcow2_alloc_clusters(s, bytes);
}

/* Write the table, durably, and name it in the header. */
static int install_table(Qcow2State *s, uint32_t entries, int64_t offset,
                         bool in_place, bool *known)
{
    int ret = write_table(s, offset, in_place ? s->header.l1_size : 0,
                          entries);

    *known = true;
    if (ret == 0) {
        /* Its refcounts, too. */
        ret = qcow2_write_back_all(s);
    }
    return ret < 0 ? ret : switch_table(s, entries, offset, known);
}

int qcow2_l1_grow(Qcow2State *s, uint32_t entries)
{
    int64_t old_offset = s->header.l1_table_offset;
    int64_t old_bytes = table_bytes(s, s->header.l1_size);
    bool known;

    /* The new table must not be ahead of what it refers to. */
    int ret = qcow2_write_back_all(s);
    if (ret < 0) {
        return ret;
    }
    g_autofree uint64_t *l1 = g_try_new0(uint64_t, entries);
    if (l1 == NULL) {
        return -ENOMEM;
    }
    int64_t offset = find_place(s, entries);
    if (offset < 0) {
        return (int)offset;
    }
    bool in_place = s->header.l1_size > 0 && offset == old_offset;
    ret = install_table(s, entries, offset, in_place, &known);
    if (ret < 0) {
        if (!in_place && known) {
            qcow2_free_now(s, offset, table_bytes(s, entries));
        }
        return ret;
    }
    for (uint32_t i = 0; i < s->header.l1_size; i++) {
        l1[i] = s->l1[i];
    }
    g_free(s->l1);
    s->l1 = g_steal_pointer(&l1);
    s->header.l1_size = entries;
    s->header.l1_table_offset = offset;
    qcow2_overlap_add(s, offset, table_bytes(s, entries));
    if (!in_place && old_bytes > 0) {
        qcow2_free_now(s, old_offset, old_bytes);
    }
    return 0;
}
