/* SPDX-License-Identifier: MIT */
/*
 * The bitmaps extension: its directory, the tables and data it names. We keep
 * no bitmaps ourselves, but while the image says that they are valid they are
 * no leaks. When they cannot be right they are given up as a whole, by
 * clearing the bit that says so.
 */
#include "block/qcow2/qcow2-check.h"

#include <errno.h>
#include <string.h>

#include "util/bytes.h"

#define MAX_TABLE_ENTRIES UINT32_C(0x8000000)
#define ENTRY_OFFSET UINT64_C(0x00fffffffffffe00)
#define ENTRY_RESERVED UINT64_C(0xff000000000001fe)
#define PIECE 65536

/* Count a region that nothing else may use. */
static bool take(Qcow2Check *c, uint64_t offset, int64_t bytes, bool is_table)
{
    const Qcow2State *s = c->s;

    if (offset == 0 || offset > INT64_MAX || bytes <= 0 ||
        qcow2_in_cluster(s, (int64_t)offset) != 0 ||
        !check_in_file(c, (int64_t)offset, bytes)) {
        return false;
    }
    for (int64_t i = 0; i < bytes; i += s->cluster_size) {
        int64_t cluster = ((int64_t)offset + i) >> s->cluster_bits;

        if (qcow2_refs_get(c->refs, cluster) != 0) {
            return false;
        }
    }
    if (is_table) {
        return check_claim(c, (int64_t)offset, bytes, QCOW2_KIND_BITMAPS) ==
               QCOW2_KIND_NONE;
    }
    check_count(c, (int64_t)offset, bytes, 1);
    return true;
}

static bool walk_piece(Qcow2Check *c, const be64 *entries, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        uint64_t entry = be64_get(entries[i]);
        uint64_t offset = entry & ENTRY_OFFSET;

        if ((entry & ENTRY_RESERVED) || (offset != 0 && (entry & 1)) ||
            (offset != 0 && !take(c, offset, c->s->cluster_size, false))) {
            return false;
        }
    }
    return true;
}

static bool walk_table(Qcow2Check *c, uint64_t offset, uint32_t size)
{
    g_autofree be64 *piece = g_malloc(PIECE);
    int64_t bytes = (int64_t)size * 8;
    bool zero;

    c->table_bytes += bytes;
    if (size > MAX_TABLE_ENTRIES || c->table_bytes > CHECK_MAX_TABLE_BYTES ||
        !take(c, offset, bytes, true)) {
        return false;
    }
    for (int64_t at = 0; at < bytes; at += PIECE) {
        int64_t n = MIN(bytes - at, PIECE);

        /* What cannot be read has been counted as that. */
        if (check_read(c, (int64_t)offset + at, n, piece, &zero) && !zero &&
            !walk_piece(c, piece, n / 8)) {
            return false;
        }
    }
    return true;
}

static bool walk_directory(Qcow2Check *c, const uint8_t *directory,
                           uint64_t size, uint32_t n)
{
    uint64_t at = 0;

    for (uint32_t i = 0; i < n; i++) {
        Qcow2DiskBitmap entry;

        if (size - at < sizeof(entry)) {
            return false;
        }
        memcpy(&entry, directory + at, sizeof(entry));
        uint64_t bytes = sizeof(entry) + GUINT16_FROM_BE(entry.name_size) +
                         (uint64_t)GUINT32_FROM_BE(entry.extra_data_size);
        bytes = (bytes + 7) & ~UINT64_C(7);
        uint32_t table_size = GUINT32_FROM_BE(entry.table_size);
        if (bytes > size - at ||
            (table_size > 0 &&
             !walk_table(c, GUINT64_FROM_BE(entry.table_offset),
                         table_size))) {
            return false;
        }
        at += bytes;
    }
    return at == size;
}

static bool walk_extension(Qcow2Check *c, const Qcow2DiskBitmaps *ext)
{
    uint64_t offset = GUINT64_FROM_BE(ext->directory_offset);
    uint64_t size = GUINT64_FROM_BE(ext->directory_size);
    uint32_t n = GUINT32_FROM_BE(ext->nb_bitmaps);
    g_autofree uint8_t *directory = NULL;

    if (n == 0 || n > QCOW2_MAX_BITMAPS || ext->reserved != 0 ||
        size > QCOW2_MAX_BITMAP_DIRECTORY_BYTES ||
        !take(c, offset, (int64_t)size, true)) {
        return false;
    }
    directory = g_try_malloc(size);
    if (directory == NULL) {
        check_failed(c, -ENOMEM, "reading the directory of bitmaps");
        return true;
    }
    return !check_read(c, (int64_t)offset, (int64_t)size, directory, NULL) ||
           walk_directory(c, directory, size, n);
}

void check_bitmaps(Qcow2Check *c)
{
    Qcow2Header *h = &c->s->header;
    bool mend = c->fix & BDRV_FIX_ERRORS;

    if (h->version < 3 || !(h->autoclear & QCOW2_AUTOCLEAR_BITMAPS)) {
        return;
    }
    for (guint i = 0; i < h->extensions->len; i++) {
        const Qcow2Extension *e = &g_array_index(h->extensions, Qcow2Extension,
                                                 i);
        gsize size;
        const void *data = g_bytes_get_data(e->data, &size);
        Qcow2DiskBitmaps ext;

        if (e->type != QCOW2_EXT_BITMAPS) {
            continue;
        }
        if (size == sizeof(ext)) {
            memcpy(&ext, data, sizeof(ext));
            if (walk_extension(c, &ext)) {
                continue;
            }
        }
        check_corruption(c, mend,
                         "the directory of bitmaps or what it names cannot "
                         "be right; %s",
                         mend ? "the bitmaps are given up"
                              : "the bitmaps are lost");
        if (mend) {
            h->autoclear &= ~QCOW2_AUTOCLEAR_BITMAPS;
            c->header_changed = true;
        }
        return;
    }
}
