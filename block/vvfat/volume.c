/* SPDX-License-Identifier: MIT */
/*
 * An open FAT volume: reading its FAT and its files.
 *
 * The FAT is read in small pages through a cache of at most 32 MiB, which
 * takes memory only as it fills; then pages are replaced by the clock
 * algorithm. Chains mostly run upwards, so that one page serves a thousand
 * lookups; and a volume whose chains jump about at random costs a small read
 * for each jump, at worst. A FAT12, 6 KiB at most, is in one page: no entry
 * straddles two.
 */
#include "block/vvfat/volume.h"

#include <errno.h>
#include <string.h>

#include "block/error.h"
#include "block/vvfat/fat.h"

#define PAGE_SIZE 8192u
#define CACHE_PAGES 4096u

typedef struct FatPage {
    uint32_t number; /* of the page in the FAT */
    uint32_t bytes;  /* valid; 0: empty slot */
    bool recent;     /* used since the clock's hand passed */
} FatPage;

struct Volume {
    VolumeRead *read;
    VolumeZeroes *zeroes; /* or NULL */
    void *opaque;
    uint64_t bytes;
    BootInfo info;
    const Codepage *cp;
    Codepage *own_cp; /* when the caller gave none */

    uint8_t *memory; /* n_slots pages */
    FatPage *slots;
    uint16_t *slot_of; /* by page number: slot + 1; 0: not cached */
    uint32_t n_pages, n_slots;
    uint32_t hand;

    int64_t failed_offset; /* of the last read that failed */
};

/* ---- Opening ---- */

static bool volume_init_cache(Volume *volume)
{
    /* What the clusters need, 1 GiB at most: the FAT of a hostile boot sector
     * can be as large as its volume. */
    uint64_t bytes = fat_bytes(volume->info.fat_type,
                               volume->info.cluster_count);
    uint64_t n_pages = (bytes + PAGE_SIZE - 1) / PAGE_SIZE;

    volume->n_pages = (uint32_t)n_pages;
    volume->n_slots = MIN(n_pages, CACHE_PAGES);
    volume->memory = g_try_malloc((size_t)volume->n_slots * PAGE_SIZE);
    volume->slots = g_try_new0(FatPage, volume->n_slots);
    volume->slot_of = g_try_new0(uint16_t, n_pages);
    return volume->memory && volume->slots && volume->slot_of;
}

Volume *volume_open(VolumeRead *read, void *opaque, uint64_t volume_bytes,
                    const Codepage *cp, GError **errp)
{
    g_autoptr(Volume) volume = g_new0(Volume, 1);
    uint8_t sector[SECTOR_SIZE];
    int ret;

    volume->read = read;
    volume->opaque = opaque;
    volume->bytes = MIN(volume_bytes, (uint64_t)INT64_MAX);
    volume->cp = cp;
    if (volume->bytes < SECTOR_SIZE) {
        block_error_set(errp, EINVAL,
                        "No FAT volume: %" G_GUINT64_FORMAT
                        " bytes are too few to hold a boot sector",
                        volume_bytes);
        return NULL;
    }
    ret = volume_read(volume, 0, SECTOR_SIZE, sector);
    if (ret < 0) {
        volume_read_error(volume, ret, errp);
        return NULL;
    }
    if (!boot_parse(sector, volume->bytes, &volume->info, errp)) {
        return NULL;
    }
    if (!cp) {
        volume->own_cp = codepage_new(437, errp);
        volume->cp = volume->own_cp;
        if (!volume->cp) {
            return NULL;
        }
    }
    if (!volume_init_cache(volume)) {
        block_error_set_errno(errp, ENOMEM, "Cannot cache the FAT");
        return NULL;
    }
    return g_steal_pointer(&volume);
}

void volume_free(Volume *volume)
{
    if (volume) {
        codepage_free(volume->own_cp);
        g_free(volume->memory);
        g_free(volume->slots);
        g_free(volume->slot_of);
        g_free(volume);
    }
}

void volume_set_zeroes(Volume *volume, VolumeZeroes *zeroes)
{
    volume->zeroes = zeroes;
}

const BootInfo *volume_boot_info(const Volume *volume)
{
    return &volume->info;
}

const Codepage *volume_codepage(const Volume *volume)
{
    return volume->cp;
}

/* ---- Places ---- */

uint32_t volume_cluster_size(const Volume *volume)
{
    return volume->info.sectors_per_cluster * volume->info.bytes_per_sector;
}

int64_t volume_cluster_offset(const Volume *volume, uint32_t cluster)
{
    const BootInfo *info = &volume->info;

    return (int64_t)info->data_start * info->bytes_per_sector +
           (int64_t)(cluster - FAT_FIRST_CLUSTER) *
               volume_cluster_size(volume);
}

bool volume_has_cluster(const Volume *volume, uint32_t cluster)
{
    return cluster >= FAT_FIRST_CLUSTER &&
           cluster - FAT_FIRST_CLUSTER < volume->info.cluster_count;
}

static int64_t volume_fat_size(const Volume *volume)
{
    return (int64_t)volume->info.sectors_per_fat *
           volume->info.bytes_per_sector;
}

int64_t volume_fat_offset(const Volume *volume, uint32_t fat)
{
    return (int64_t)volume->info.reserved_sectors *
               volume->info.bytes_per_sector +
           (int64_t)fat * volume_fat_size(volume);
}

/* ---- Reading ---- */

int volume_read(Volume *volume, int64_t offset, int64_t bytes, void *buf)
{
    int ret = -EIO;

    if (offset >= 0 && bytes >= 0 && (uint64_t)offset <= volume->bytes &&
        (uint64_t)bytes <= volume->bytes - (uint64_t)offset) {
        ret = volume->read(volume->opaque, offset, bytes, buf);
    }
    if (ret < 0) {
        volume->failed_offset = offset;
    }
    return ret;
}

void volume_read_error(const Volume *volume, int ret, GError **errp)
{
    block_error_set_errno(
        errp, -ret,
        "Cannot read the FAT volume at byte %" G_GINT64_FORMAT " of it",
        volume->failed_offset);
}

/* A slot for a new page: an empty one, or the first not used lately. */
static uint32_t cache_evict(Volume *volume)
{
    for (;;) {
        uint32_t slot = volume->hand;
        FatPage *page = &volume->slots[slot];

        volume->hand = (slot + 1) % volume->n_slots;
        if (page->recent) {
            page->recent = false;
            continue;
        }
        if (page->bytes) {
            volume->slot_of[page->number] = 0;
            page->bytes = 0;
        }
        return slot;
    }
}

static int cache_load(Volume *volume, uint32_t number, uint32_t *slot)
{
    int64_t start = (int64_t)number * PAGE_SIZE;
    int64_t bytes = MIN(volume_fat_size(volume) - start, PAGE_SIZE);
    int64_t fat = volume_fat_offset(volume, volume->info.active_fat);
    int ret;

    *slot = cache_evict(volume);
    ret = volume_read(volume, fat + start, bytes,
                      volume->memory + (size_t)*slot * PAGE_SIZE);
    if (ret < 0) {
        return ret;
    }
    volume->slots[*slot] = (FatPage){ .number = number, .bytes = bytes };
    volume->slot_of[number] = *slot + 1;
    return 0;
}

int volume_fat_get(Volume *volume, uint32_t cluster, uint32_t *value)
{
    uint32_t number = (uint64_t)cluster * volume->info.fat_type / 8 /
                      PAGE_SIZE;
    uint32_t slot;
    int ret;

    if (number >= volume->n_pages) {
        return -EIO;
    }
    if (volume->slot_of[number]) {
        slot = volume->slot_of[number] - 1;
    } else {
        ret = cache_load(volume, number, &slot);
        if (ret < 0) {
            return ret;
        }
    }
    volume->slots[slot].recent = true;
    if (!fat_entry_get(volume->info.fat_type,
                       volume->memory + (size_t)slot * PAGE_SIZE,
                       volume->slots[slot].bytes, (uint64_t)number * PAGE_SIZE,
                       cluster, value)) {
        return -EIO;
    }
    return 0;
}

/* ---- Files ---- */

static bool is_in_file(const TreeNode *node, int64_t offset, int64_t bytes)
{
    return offset >= 0 && bytes >= 0 && offset <= node->size &&
           bytes <= node->size - offset;
}

/* Where in the volume an offset of a file is, and how many of the bytes lie
 * there side by side; 0: the chain does not reach it. */
static int64_t locate(const Volume *volume, const TreeNode *node,
                      int64_t offset, int64_t bytes, int64_t *at)
{
    uint32_t cluster_size = volume_cluster_size(volume);
    uint32_t in_cluster = offset % cluster_size;
    ClusterRun run;

    if (!chain_locate(&node->chain, offset / cluster_size, &run)) {
        return 0;
    }
    *at = volume_cluster_offset(volume, run.first) + in_cluster;
    return MIN(bytes, (int64_t)run.count * cluster_size - in_cluster);
}

int volume_read_file(Volume *volume, const TreeNode *node, int64_t offset,
                     int64_t bytes, void *buf)
{
    uint8_t *out = buf;

    if (!is_in_file(node, offset, bytes)) {
        return -EINVAL;
    }
    while (bytes > 0) {
        int64_t at;
        int64_t n = locate(volume, node, offset, bytes, &at);
        int ret = n > 0 ? volume_read(volume, at, n, out) : -EIO;

        if (ret < 0) {
            return ret;
        }
        out += n;
        offset += n;
        bytes -= n;
    }
    return 0;
}

int64_t volume_file_zeroes(const Volume *volume, const TreeNode *node,
                           int64_t offset, int64_t bytes)
{
    int64_t at, n = 0;

    if (volume->zeroes && bytes > 0 && is_in_file(node, offset, bytes)) {
        n = locate(volume, node, offset, bytes, &at);
    }
    return n > 0 ? MIN(volume->zeroes(volume->opaque, at, n), n) : 0;
}

int64_t volume_file_readable(const Volume *volume, const TreeNode *node)
{
    uint64_t bytes = chain_length(&node->chain) * volume_cluster_size(volume);

    return MIN(bytes, node->size);
}
