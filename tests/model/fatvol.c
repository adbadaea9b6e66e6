/* SPDX-License-Identifier: MIT */
/* The volume, its FAT and its clusters. */
#include "tests/model/fatvol.h"

#include <string.h>

#define PARTITION_START (446 + 8)

static bool is_boot_sector(const uint8_t *boot)
{
    return (boot[0] == 0xeb || boot[0] == 0xe9) &&
           get16(boot + 11) == SECTOR && boot[13] != 0 && boot[510] == 0x55 &&
           boot[511] == 0xaa;
}

/*
 * Tell the disk which clusters were freed by what it has written: from then on
 * nobody needs what they hold.
 */
static void fat_written(void *opaque, uint32_t sector, const uint8_t *old)
{
    FatVol *vol = opaque;
    int64_t offset = (int64_t)sector * SECTOR;
    int copy = offset >= vol->fat[1];
    int64_t in_fat = offset - vol->fat[copy];
    uint8_t *fat = vol->disk->shadow + vol->fat[copy];
    bool was_used[SECTOR * 8 / 12 + 2];
    uint8_t new[SECTOR];
    uint32_t first, last;

    if (offset < vol->fat[0] || in_fat >= vol->fat_bytes) {
        return;
    }
    /* FAT12 has entries that reach into the sectors around this one. */
    first = MAX((uint32_t)(in_fat * 8 / vol->type), 2);
    last = MIN((uint32_t)(((in_fat + SECTOR) * 8 - 1) / vol->type),
               vol->n_clusters + 1);
    memcpy(new, fat + in_fat, SECTOR);
    memcpy(fat + in_fat, old, SECTOR);
    for (uint32_t c = first; c <= last; c++) {
        was_used[c - first] = fatvol_entry(vol, fat, c) != 0;
    }
    memcpy(fat + in_fat, new, SECTOR);
    for (uint32_t c = first; c <= last; c++) {
        if (was_used[c - first] && fatvol_entry(vol, fat, c) == 0) {
            disk_loosen(vol->disk, fatvol_cluster_at(vol, c),
                        vol->cluster_size);
        }
    }
}

static bool parse(FatVol *vol, const uint8_t *boot)
{
    uint32_t reserved = get16(boot + 14);
    uint32_t sectors = get16(boot + 19) ? get16(boot + 19) : get32(boot + 32);
    uint32_t fat_sectors = get16(boot + 22) ? get16(boot + 22)
                                            : get32(boot + 36);
    uint32_t root_sectors, data;

    vol->n_root = get16(boot + 17);
    root_sectors = (vol->n_root * ENTRY_SIZE + SECTOR - 1) / SECTOR;
    data = reserved + 2 * fat_sectors + root_sectors;
    if (boot[16] != 2 || data >= sectors ||
        vol->start + (int64_t)sectors * SECTOR > vol->disk->size) {
        return false;
    }
    vol->cluster_size = boot[13] * (uint32_t)SECTOR;
    vol->fat_bytes = fat_sectors * SECTOR;
    vol->fat[0] = vol->start + (int64_t)reserved * SECTOR;
    vol->fat[1] = vol->fat[0] + vol->fat_bytes;
    vol->root = vol->fat[1] + vol->fat_bytes;
    vol->data = vol->start + (int64_t)data * SECTOR;
    vol->n_clusters = (sectors - data) / boot[13];
    vol->type = vol->n_clusters < 4085    ? 12
                : vol->n_clusters < 65525 ? 16
                                          : 32;
    if (vol->type == 32) {
        vol->root_first = get32(boot + 44);
        vol->fsinfo = get16(boot + 48);
    }
    return true;
}

FatVol *fatvol_open(Disk *disk, char **why)
{
    FatVol *vol = g_new0(FatVol, 1);

    vol->disk = disk;
    if (!is_boot_sector(disk->mem)) {
        vol->start = (int64_t)get32(disk->mem + PARTITION_START) * SECTOR;
    }
    if (vol->start + SECTOR > disk->size ||
        !is_boot_sector(disk->mem + vol->start) ||
        !parse(vol, disk->mem + vol->start)) {
        *why = g_strdup("the device holds no FAT volume");
        g_free(vol);
        return NULL;
    }
    vol->freed = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    for (uint32_t c = 2; c < vol->n_clusters + 2; c++) {
        vol->n_free += fatvol_entry(vol, disk->mem + vol->fat[0], c) == 0;
    }
    vol->next = 2;
    disk->fat1 = (uint32_t)(vol->fat[0] / SECTOR);
    disk->fat2 = (uint32_t)(vol->fat[1] / SECTOR);
    disk->written = fat_written;
    disk->opaque = vol;
    return vol;
}

void fatvol_free(FatVol *vol)
{
    if (vol) {
        g_array_free(vol->freed, TRUE);
        g_free(vol);
    }
}

/* ---- The FAT ---- */

uint32_t fatvol_entry(const FatVol *vol, const uint8_t *fat, uint32_t cluster)
{
    if (vol->type == 32) {
        return get32(fat + cluster * 4) & 0x0fffffff;
    }
    if (vol->type == 16) {
        return get16(fat + cluster * 2);
    }
    return get16(fat + cluster * 3 / 2) >> (cluster % 2 ? 4 : 0) & 0xfff;
}

void fatvol_put(FatVol *vol, uint32_t cluster, uint32_t value)
{
    uint32_t at = vol->type == 12 ? cluster * 3 / 2
                                  : cluster * (uint32_t)vol->type / 8;

    for (int copy = 0; copy < 2; copy++) {
        uint8_t *p = vol->disk->mem + vol->fat[copy] + at;

        if (vol->type == 32) {
            put32(p, (get32(p) & 0xf0000000) | (value & 0x0fffffff));
        } else if (vol->type == 16) {
            put16(p, value);
        } else if (cluster % 2) {
            put16(p, (get16(p) & 0xf) | (value & 0xfff) << 4);
        } else {
            put16(p, (get16(p) & 0xf000) | (value & 0xfff));
        }
        disk_touch(vol->disk, vol->fat[copy] + at, vol->type == 32 ? 4 : 2,
                   copy ? CLASS_FAT2 : CLASS_FAT1);
    }
}

uint32_t fatvol_next(const FatVol *vol, uint32_t cluster)
{
    uint32_t next = fatvol_entry(vol, vol->disk->mem + vol->fat[0], cluster);

    return next >= 2 && next < vol->n_clusters + 2 ? next : 0;
}

void fatvol_link(FatVol *vol, uint32_t cluster, uint32_t next)
{
    fatvol_put(vol, cluster, next ? next : 0x0fffffff);
}

int64_t fatvol_cluster_at(const FatVol *vol, uint32_t cluster)
{
    return vol->data + (int64_t)(cluster - 2) * vol->cluster_size;
}

unsigned fatvol_clusters(const FatVol *vol, int64_t bytes)
{
    return (unsigned)((bytes + vol->cluster_size - 1) / vol->cluster_size);
}

static bool is_free(const FatVol *vol, uint32_t cluster)
{
    return fatvol_entry(vol, vol->disk->mem + vol->fat[0], cluster) == 0;
}

static uint32_t start_of_search(FatVol *vol)
{
    switch (vol->policy) {
    case ALLOC_FIRST_FIT:
        return 2;
    case ALLOC_RANDOM:
        return 2 + prng_below(&vol->prng, vol->n_clusters);
    case ALLOC_REUSE:
        while (vol->freed->len > 0) {
            uint32_t last = vol->freed->len - 1;
            uint32_t c = g_array_index(vol->freed, uint32_t, last);

            g_array_set_size(vol->freed, last);
            if (is_free(vol, c)) {
                return c;
            }
        }
        return vol->next;
    default:
        return vol->next;
    }
}

uint32_t fatvol_alloc(FatVol *vol, uint32_t after)
{
    uint32_t c;

    if (vol->n_free == 0) {
        return 0;
    }
    for (c = start_of_search(vol); !is_free(vol, c);) {
        c = c == vol->n_clusters + 1 ? 2 : c + 1;
    }
    vol->next = c == vol->n_clusters + 1 ? 2 : c + 1;
    vol->n_free--;
    fatvol_link(vol, c, 0);
    if (after) {
        fatvol_link(vol, after, c);
    }
    return c;
}

void fatvol_free_chain(FatVol *vol, uint32_t first)
{
    for (uint32_t c = first, next; c; c = next) {
        next = fatvol_next(vol, c);
        fatvol_put(vol, c, 0);
        g_array_append_val(vol->freed, c);
        vol->n_free++;
        if (vol->forgets) {
            disk_forget(vol->disk, fatvol_cluster_at(vol, c),
                        vol->cluster_size);
        }
    }
}

unsigned fatvol_chain_length(const FatVol *vol, uint32_t first)
{
    unsigned n = 0;

    for (uint32_t c = first; c; c = fatvol_next(vol, c)) {
        n++;
    }
    return n;
}

/* ---- What is beside the tree ---- */

void fatvol_sync_fsinfo(FatVol *vol)
{
    int64_t at = vol->start + (int64_t)vol->fsinfo * SECTOR;
    uint8_t *fsinfo = vol->disk->mem + at;

    if (vol->fsinfo == 0 || get32(fsinfo + 488) == vol->n_free) {
        return;
    }
    put32(fsinfo + 488, vol->n_free);
    put32(fsinfo + 492, vol->next);
    disk_touch(vol->disk, at, SECTOR, CLASS_BOOT);
}

void fatvol_set_dirty(FatVol *vol, bool dirty)
{
    uint32_t bit = vol->type == 32 ? 1u << 27 : 1u << 15;
    int64_t at = vol->start + (vol->type == 32 ? 65 : 37);
    uint32_t value = fatvol_entry(vol, vol->disk->mem + vol->fat[0], 1);

    if (vol->type != 12) {
        fatvol_put(vol, 1, dirty ? value & ~bit : value | bit);
    }
    vol->disk->mem[at] = (uint8_t)((vol->disk->mem[at] & ~1) | dirty);
    disk_touch(vol->disk, at, 1, CLASS_BOOT);
}

/* The label's entry in the root, or else a free one; NULL: neither. */
static uint8_t *label_slot(FatVol *vol)
{
    uint8_t *unused = NULL, *label = NULL;
    FatDir slots;

    fatvol_dir_load(vol, 0, &slots);
    for (unsigned i = 0; i < slots.n_slots && !label; i++) {
        uint8_t *raw = fatvol_slot(vol, &slots, i);

        if (raw[0] == 0 || raw[0] == 0xe5) {
            unused = unused ? unused : raw;
        } else if ((raw[E_ATTR] & ATTR_LONG) == ATTR_LABEL) {
            label = raw;
        }
    }
    fatvol_dir_clear(&slots);
    return label ? label : unused;
}

void fatvol_set_label(FatVol *vol, const char *label)
{
    int64_t boot = vol->start + (vol->type == 32 ? 71 : 43);
    uint8_t *raw = label_slot(vol);
    bool was_unused = raw && (raw[0] == 0 || raw[0] == 0xe5);
    uint8_t text[SHORT_SIZE];

    if (!raw) {
        return;
    }
    memset(text, ' ', sizeof(text));
    memcpy(text, label ? label : "NO NAME", label ? strlen(label) : 7);
    memcpy(vol->disk->mem + boot, text, sizeof(text));
    disk_touch(vol->disk, boot, sizeof(text), CLASS_BOOT);
    if (label) {
        memset(raw, 0, ENTRY_SIZE);
        memcpy(raw, text, sizeof(text));
        raw[E_ATTR] = ATTR_LABEL;
    } else if (!was_unused) {
        raw[0] = 0xe5;
    }
    disk_touch(vol->disk, raw - vol->disk->mem, ENTRY_SIZE, CLASS_DIR);
}
