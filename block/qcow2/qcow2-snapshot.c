/* SPDX-License-Identifier: MIT */
/*
 * The table of internal snapshots. It is read, for the L1 tables that share
 * clusters with ours and for information, and never written: it stays as it
 * is. Entries have different lengths, so they are read one after the other,
 * and the file must hold each before memory is taken for it.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "block/qcow2/qcow2.h"

#define MAX_EXTRA_BYTES 1024u /* as QEMU allows */

#define REFUSE(...) (block_error_set(errp, EINVAL, __VA_ARGS__), false)

/* What may follow an entry; older images have less of it. */
typedef struct __attribute__((packed)) DiskExtra {
    guint64 vm_state_size; /*  0: replaces the 32 bits of the entry */
    guint64 disk_size;     /*  8 */
    guint64 icount;        /* 16 */
} DiskExtra;
static_assert(sizeof(DiskExtra) == 24, "size of extra data");

static void snapshot_free(void *data)
{
    Qcow2Snapshot *sn = data;

    g_free(sn->id);
    g_free(sn->name);
    g_free(sn);
}

/* Where the next entry is, and which it is. */
typedef struct SnapshotReader {
    Qcow2State *s;
    int64_t file_length;
    int64_t offset;
    unsigned index;
} SnapshotReader;

static bool read_bytes(SnapshotReader *r, void *buf, size_t bytes,
                       GError **errp)
{
    if (r->offset > r->file_length ||
        (int64_t)bytes > r->file_length - r->offset) {
        return REFUSE("The file ends within entry %u of the snapshot table, "
                      "at %" PRId64,
                      r->index, r->offset);
    }
    int ret = bytes > 0
                  ? bdrv_pread(r->s->file, r->offset, (int64_t)bytes, buf, 0)
                  : 0;
    if (ret < 0) {
        block_error_set_errno(errp, -ret,
                              "Could not read entry %u of the snapshot table "
                              "at %" PRId64,
                              r->index, r->offset);
    }
    r->offset += (int64_t)bytes;
    return ret == 0;
}

static bool check_l1(const SnapshotReader *r, const Qcow2Snapshot *sn,
                     GError **errp)
{
    const Qcow2State *s = r->s;
    int64_t bytes = (int64_t)sn->l1_size * (int64_t)sizeof(uint64_t);

    if (bytes > QCOW2_MAX_L1_BYTES) {
        return REFUSE("The l1_size of snapshot '%s' is %u; at most %" PRId64
                      " entries are allowed",
                      sn->name, sn->l1_size,
                      QCOW2_MAX_L1_BYTES / (int64_t)sizeof(uint64_t));
    }
    int64_t end = qcow2_cluster_end(s, r->file_length);
    if (sn->l1_table_offset < 0 ||
        qcow2_in_cluster(s, sn->l1_table_offset) != 0 ||
        (bytes > 0 && (sn->l1_table_offset == 0 || bytes > end ||
                       sn->l1_table_offset > end - bytes))) {
        return REFUSE("The l1_table_offset of snapshot '%s' is %" PRIu64
                      "; it must be a multiple of the cluster size, %" PRId64
                      ", with %" PRId64
                      " bytes behind it in the file, which has %" PRId64,
                      sn->name, (uint64_t)sn->l1_table_offset, s->cluster_size,
                      bytes, r->file_length);
    }
    return true;
}

static void take_extra(Qcow2Snapshot *sn, const Qcow2State *s,
                       const uint8_t *data, uint32_t size)
{
    DiskExtra extra = { 0 };

    memcpy(&extra, data, MIN(size, sizeof(extra)));
    if (size >= G_STRUCT_OFFSET(DiskExtra, disk_size)) {
        sn->vm_state_size = GUINT64_FROM_BE(extra.vm_state_size);
    }
    sn->disk_size = size >= G_STRUCT_OFFSET(DiskExtra, icount)
                        ? GUINT64_FROM_BE(extra.disk_size)
                        : (uint64_t)s->header.size;
    sn->icount = size >= sizeof(extra) ? GUINT64_FROM_BE(extra.icount)
                                       : UINT64_MAX;
}

/* One entry; it goes to the list in any case, which then owns it. */
static bool read_snapshot(SnapshotReader *r, GError **errp)
{
    Qcow2DiskSnapshot disk;
    Qcow2Snapshot *sn = g_new0(Qcow2Snapshot, 1);

    g_ptr_array_add(r->s->snapshots, sn);
    if (!read_bytes(r, &disk, sizeof(disk), errp)) {
        return false;
    }
    uint32_t extra_size = GUINT32_FROM_BE(disk.extra_data_size);
    size_t id_size = GUINT16_FROM_BE(disk.id_size);
    size_t name_size = GUINT16_FROM_BE(disk.name_size);
    if (extra_size > MAX_EXTRA_BYTES) {
        return REFUSE("The extra_data_size of entry %u of the snapshot table "
                      "is %u; at most %u is allowed",
                      r->index, extra_size, MAX_EXTRA_BYTES);
    }
    size_t size = extra_size + id_size + name_size;
    g_autofree uint8_t *rest = g_malloc(size + 1);
    if (!read_bytes(r, rest, size, errp)) {
        return false;
    }
    sn->id = g_strndup((char *)rest + extra_size, id_size);
    sn->name = g_strndup((char *)rest + extra_size + id_size, name_size);
    sn->l1_table_offset = (int64_t)GUINT64_FROM_BE(disk.l1_table_offset);
    sn->l1_size = GUINT32_FROM_BE(disk.l1_size);
    sn->date_sec = GUINT32_FROM_BE(disk.date_sec);
    sn->date_nsec = GUINT32_FROM_BE(disk.date_nsec);
    sn->vm_clock_nsec = GUINT64_FROM_BE(disk.vm_clock_nsec);
    sn->vm_state_size = GUINT32_FROM_BE(disk.vm_state_size);
    take_extra(sn, r->s, rest, extra_size);
    r->offset = (r->offset + 7) & ~INT64_C(7);
    return check_l1(r, sn, errp);
}

bool qcow2_snapshots_read(Qcow2State *s, int64_t *bytes, GError **errp)
{
    SnapshotReader r = {
        .s = s,
        .file_length = bdrv_getlength(bdrv_child_bs(s->file)),
        .offset = s->header.snapshots_offset,
    };
    g_autoptr(GError) error = NULL;

    *bytes = 0;
    if (s->snapshots) {
        g_ptr_array_unref(s->snapshots);
    }
    s->snapshots = g_ptr_array_new_with_free_func(snapshot_free);
    for (; r.index < s->header.nb_snapshots; r.index++) {
        if (!read_snapshot(&r, &error)) {
            if (bdrv_flags(s->bs) & BDRV_O_CHECK) {
                /* The check will say what is wrong with it. */
                g_ptr_array_set_size(s->snapshots, (int)r.index);
                return true;
            }
            g_propagate_error(errp, g_steal_pointer(&error));
            return false;
        }
        *bytes = r.offset - s->header.snapshots_offset;
        if (*bytes > QCOW2_MAX_SNAPSHOT_TABLE_BYTES) {
            return REFUSE("The snapshot table is too large: at most %" PRId64
                          " bytes are allowed",
                          QCOW2_MAX_SNAPSHOT_TABLE_BYTES);
        }
    }
    return true;
}
