/* SPDX-License-Identifier: MIT */
/*
 * The bitmaps that an image holds, for information. They are not used: writing
 * to the image clears the autoclear bit that says they are up to date.
 */
#include <inttypes.h>
#include <string.h>

#include "block/qcow2/qcow2-open.h"

#define MAX_GRANULARITY_BITS 31

/* The extension's data, or false: the image has no valid bitmaps. */
static bool find_bitmaps(const Qcow2State *s, Qcow2DiskBitmaps *ext)
{
    const GArray *extensions = s->header.extensions;

    if (!(s->header.autoclear & QCOW2_AUTOCLEAR_BITMAPS)) {
        return false;
    }
    for (guint i = 0; i < extensions->len; i++) {
        const Qcow2Extension *e = &g_array_index(extensions, Qcow2Extension,
                                                 i);
        gsize size;
        const void *data = g_bytes_get_data(e->data, &size);

        if (e->type == QCOW2_EXT_BITMAPS && size >= sizeof(*ext)) {
            memcpy(ext, data, sizeof(*ext));
            return true;
        }
    }
    return false;
}

static void add_bitmap(Options *facts, unsigned index,
                       const Qcow2DiskBitmap *disk, const char *name)
{
    g_autofree char *key = g_strdup_printf("bitmaps.%u", index);
    g_autoptr(Options) bitmap = options_new();
    uint32_t flags = GUINT32_FROM_BE(disk->flags);

    if (flags & QCOW2_BITMAP_IN_USE) {
        options_set(bitmap, "flags.0", "in-use");
    }
    if (flags & QCOW2_BITMAP_AUTO) {
        options_set(bitmap,
                    flags & QCOW2_BITMAP_IN_USE ? "flags.1" : "flags.0",
                    "auto");
    }
    options_set(bitmap, "name", name);
    options_set_int(bitmap, "granularity",
                    INT64_C(1) << disk->granularity_bits);
    options_merge(facts, bitmap, key);
}

/* The entry at *offset, which moves behind it; false: there is none. */
static bool read_bitmap(Qcow2State *s, int64_t *offset, int64_t end,
                        Qcow2DiskBitmap *disk, char **name)
{
    if (end - *offset < (int64_t)sizeof(*disk) ||
        bdrv_pread(s->file, *offset, sizeof(*disk), disk, 0) < 0) {
        return false;
    }
    int64_t length = GUINT16_FROM_BE(disk->name_size);
    int64_t extra = GUINT32_FROM_BE(disk->extra_data_size);
    int64_t at = *offset + (int64_t)sizeof(*disk) + extra;
    if (disk->granularity_bits > MAX_GRANULARITY_BITS || at > end ||
        length > end - at) {
        return false;
    }
    *name = g_malloc0((gsize)length + 1);
    if (length > 0 && bdrv_pread(s->file, at, length, *name, 0) < 0) {
        g_clear_pointer(name, g_free);
        return false;
    }
    *offset = (at + length + 7) & ~INT64_C(7);
    return true;
}

void qcow2_bitmaps_info(Qcow2State *s, Options *facts)
{
    int64_t length = bdrv_getlength(bdrv_child_bs(s->file));
    Qcow2DiskBitmaps ext;

    if (!find_bitmaps(s, &ext)) {
        return;
    }
    uint64_t offset = GUINT64_FROM_BE(ext.directory_offset);
    uint64_t size = GUINT64_FROM_BE(ext.directory_size);
    uint32_t n = GUINT32_FROM_BE(ext.nb_bitmaps);
    /* A hole is as good as a directory of many, which would take all memory. */
    if (n > QCOW2_MAX_BITMAPS || size > QCOW2_MAX_BITMAP_DIRECTORY_BYTES ||
        length < 0 || offset > (uint64_t)length ||
        size > (uint64_t)length - offset) {
        return;
    }
    int64_t at = (int64_t)offset;
    for (uint32_t i = 0; i < n; i++) {
        g_autofree char *name = NULL;
        Qcow2DiskBitmap disk;

        if (!read_bitmap(s, &at, (int64_t)(offset + size), &disk, &name)) {
            return;
        }
        add_bitmap(facts, i, &disk, name);
    }
}
