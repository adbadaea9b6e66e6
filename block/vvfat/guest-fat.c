/* SPDX-License-Identifier: MIT */
/*
 * The FAT as the guest last left it, page by page.
 *
 * A page is kept from the first time it is needed; what it was before that is
 * computed (config.initial). A touched page is read again and compared, entry
 * by entry, so that only clusters whose entries changed are looked at. With
 * two FATs the second is compared, too: while they differ about a cluster its
 * owner waits.
 */
#include <errno.h>
#include <string.h>

#include "block/vvfat/fat.h"
#include "block/vvfat/guest-state-int.h"

static int64_t fat_start(const GuestState *s, unsigned fat)
{
    const BootInfo *boot = &s->config.boot;

    return ((int64_t)boot->reserved_sectors +
            (int64_t)fat * boot->sectors_per_fat) *
           boot->bytes_per_sector;
}

static int64_t fat_size(const GuestState *s)
{
    return (int64_t)s->config.boot.sectors_per_fat *
           s->config.boot.bytes_per_sector;
}

static int64_t page_bytes(const GuestState *s, uint32_t number)
{
    return MIN(FAT_PAGE_SIZE, fat_size(s) - (int64_t)number * FAT_PAGE_SIZE);
}

static uint32_t page_of(const GuestState *s, uint32_t cluster)
{
    return (uint32_t)((uint64_t)cluster * s->config.boot.fat_type / 8 /
                      FAT_PAGE_SIZE);
}

static int read_page(const GuestState *s, GuestStateRead *read, unsigned fat,
                     uint32_t number, uint8_t *page)
{
    int64_t bytes = page_bytes(s, number);

    memset(page, 0, FAT_PAGE_SIZE);
    if (!read || bytes <= 0) {
        return 0;
    }
    return read(s->config.opaque,
                fat_start(s, fat) + (int64_t)number * FAT_PAGE_SIZE, bytes,
                page);
}

/* The page as known: kept, or else as it was when the volume was opened. */
static int known_page(GuestState *s, uint32_t number, uint8_t **page)
{
    g_autofree uint8_t *made = NULL;
    int ret;

    *page = g_hash_table_lookup(s->pages, GUINT_TO_POINTER(number));
    if (*page) {
        return 0;
    }
    made = g_malloc(FAT_PAGE_SIZE);
    ret = read_page(s, s->config.initial, s->config.boot.active_fat, number,
                    made);
    if (ret < 0) {
        return ret;
    }
    *page = g_steal_pointer(&made);
    g_hash_table_insert(s->pages, GUINT_TO_POINTER(number), *page);
    return 0;
}

static uint32_t entry_in(const GuestState *s, uint32_t number,
                         const uint8_t *page, uint32_t cluster)
{
    uint32_t value = FAT_ENTRY_BAD;

    if (!fat_entry_get(s->config.boot.fat_type, page, FAT_PAGE_SIZE,
                       (uint64_t)number * FAT_PAGE_SIZE, cluster, &value)) {
        return FAT_ENTRY_BAD;
    }
    return value;
}

int guest_fat_get(GuestState *s, uint32_t cluster, uint32_t *value)
{
    uint32_t number = page_of(s, cluster);
    uint8_t *page;
    int ret = known_page(s, number, &page);

    if (ret == 0) {
        *value = entry_in(s, number, page, cluster);
    }
    return ret;
}

/* ---- Updates ---- */

void guest_fat_touch(GuestState *s, int64_t offset, int64_t bytes)
{
    for (unsigned fat = 0; fat < s->config.boot.fat_count; fat++) {
        int64_t start = fat_start(s, fat);
        int64_t first = MAX(offset, start) - start;
        int64_t end = MIN(offset + bytes, start + fat_size(s)) - start;

        for (int64_t n = first / FAT_PAGE_SIZE; n * FAT_PAGE_SIZE < end; n++) {
            g_hash_table_add(s->touched_pages, GUINT_TO_POINTER(n));
        }
    }
}

static void cluster_changed(GuestState *s, uint32_t cluster)
{
    uint64_t index;
    Inode *owner = guest_state_owner(s, cluster, &index);

    if (owner) {
        guest_mark_stale(s, owner, (uint32_t)index);
    }
}

/* Whether the second FAT counts, and can say otherwise. */
static bool is_mirrored(const GuestState *s)
{
    return !s->closing && s->config.boot.fat_count > 1 &&
           s->config.boot.mirrored;
}

static void compare_entry(GuestState *s, uint32_t number, uint32_t cluster,
                          const uint8_t *old, const uint8_t *page,
                          const uint8_t *mirror)
{
    uint32_t value = entry_in(s, number, page, cluster);
    bool differs = mirror && value != entry_in(s, number, mirror, cluster);

    if (differs != sparse_bitmap_get(s->differ, cluster)) {
        if (differs) {
            sparse_bitmap_set(s->differ, cluster, 1);
        } else {
            sparse_bitmap_clear(s->differ, cluster, 1);
        }
        cluster_changed(s, cluster);
    } else if (value != entry_in(s, number, old, cluster)) {
        cluster_changed(s, cluster);
    }
}

/* Bytes compared at once: whole entries of each type. */
#define PIECE 192u

/* Compare the entries of a page, but for pieces that are what they were. */
static void compare_page(GuestState *s, uint32_t number, const uint8_t *old,
                         const uint8_t *page, const uint8_t *mirror)
{
    const BootInfo *boot = &s->config.boot;
    bool any_differ = sparse_bitmap_count(s->differ) > 0;

    for (uint32_t at = 0; at < FAT_PAGE_SIZE; at += PIECE) {
        uint32_t first, end;

        if (!any_differ && memcmp(old + at, page + at, PIECE) == 0 &&
            (!mirror || memcmp(mirror + at, page + at, PIECE) == 0)) {
            continue;
        }
        fat_entries_in(boot->fat_type, (uint64_t)number * FAT_PAGE_SIZE + at,
                       PIECE, &first, &end);
        first = MAX(first, FAT_FIRST_CLUSTER);
        end = MIN(end, boot->cluster_count + FAT_FIRST_CLUSTER);
        for (uint32_t cluster = first; cluster < end; cluster++) {
            compare_entry(s, number, cluster, old, page, mirror);
        }
    }
}

static int update_page(GuestState *s, uint32_t number)
{
    const BootInfo *boot = &s->config.boot;
    g_autofree uint8_t *page = g_malloc(FAT_PAGE_SIZE);
    g_autofree uint8_t *mirror = NULL;
    uint8_t *old;
    int ret = known_page(s, number, &old);

    if (ret == 0) {
        ret = read_page(s, s->config.read, boot->active_fat, number, page);
    }
    if (ret == 0 && is_mirrored(s)) {
        mirror = g_malloc(FAT_PAGE_SIZE);
        ret = read_page(s, s->config.read, 1, number, mirror);
    }
    if (ret < 0) {
        return ret;
    }
    compare_page(s, number, old, page, mirror);
    memcpy(old, page, FAT_PAGE_SIZE);
    return 0;
}

int guest_fat_update(GuestState *s)
{
    GHashTableIter iter;
    gpointer key;

    if (s->closing) {
        sparse_bitmap_free(sparse_bitmap_steal(s->differ));
    }
    g_hash_table_iter_init(&iter, s->touched_pages);
    while (g_hash_table_iter_next(&iter, &key, NULL)) {
        int ret = update_page(s, GPOINTER_TO_UINT(key));

        if (ret < 0) {
            return ret;
        }
        g_hash_table_iter_remove(&iter);
    }
    return 0;
}
