/* SPDX-License-Identifier: MIT */
/*
 * Entries of the file allocation table (Microsoft FAT specification 4).
 *
 * FAT12 packs two entries into three bytes: an entry at an even number takes
 * a byte and the low half of the next, one at an odd number the high half of
 * a byte and the next. Counted in half bytes, entry n takes 3n, 3n+1, 3n+2.
 */
#include "block/vvfat/fat.h"

#include "block/vvfat/fat-format.h"

#define FAT12_MASK 0xfffu
#define FAT16_MASK 0xffffu
#define FAT32_MASK 0x0fffffffu

/* Bits of FAT[1]. */
#define FAT16_CLEAN 0x8000u
#define FAT16_NO_ERRORS 0x4000u
#define FAT32_CLEAN 0x08000000u
#define FAT32_NO_ERRORS 0x04000000u

unsigned fat_type_of(uint64_t cluster_count)
{
    if (cluster_count <= FAT12_MAX_CLUSTERS) {
        return 12;
    }
    return cluster_count <= FAT16_MAX_CLUSTERS ? 16 : 32;
}

uint64_t fat_bytes(unsigned fat_type, uint64_t cluster_count)
{
    uint64_t entries = cluster_count + FAT_FIRST_CLUSTER;

    return fat_type == 12 ? (entries * 3 + 1) / 2 : entries * (fat_type / 8);
}

static uint32_t type_mask(unsigned fat_type)
{
    switch (fat_type) {
    case 12:
        return FAT12_MASK;
    case 16:
        return FAT16_MASK;
    default:
        return FAT32_MASK;
    }
}

/* Offset of an entry's first byte in the table. */
static uint64_t entry_offset(unsigned fat_type, uint32_t cluster)
{
    if (fat_type == 12) {
        return (uint64_t)cluster * 3 / 2;
    }
    return (uint64_t)cluster * (fat_type / 8);
}

static unsigned entry_size(unsigned fat_type)
{
    return fat_type == 32 ? 4 : 2;
}

/* Bad and end-of-chain marks of the narrower types to those of FAT32. */
static uint32_t normalise(uint32_t value, uint32_t mask)
{
    if (value < (FAT_ENTRY_BAD & mask)) {
        return value;
    }
    return value == (FAT_ENTRY_BAD & mask) ? FAT_ENTRY_BAD : FAT_ENTRY_EOC;
}

bool fat_entry_get(unsigned fat_type, const uint8_t *buf, size_t bytes,
                   uint64_t buf_offset, uint32_t cluster, uint32_t *value)
{
    uint32_t mask = type_mask(fat_type);
    uint64_t offset = entry_offset(fat_type, cluster);
    unsigned size = entry_size(fat_type);
    uint32_t raw = 0;

    if (offset < buf_offset || bytes < size ||
        offset - buf_offset > bytes - size) {
        return false;
    }
    buf += offset - buf_offset;
    for (unsigned i = 0; i < size; i++) {
        raw |= (uint32_t)buf[i] << (8 * i);
    }
    if (fat_type == 12 && cluster & 1) {
        raw >>= 4;
    }
    raw &= mask;
    *value = cluster < FAT_FIRST_CLUSTER ? raw : normalise(raw, mask);
    return true;
}

void fat_entry_put(unsigned fat_type, uint8_t *buf, size_t bytes,
                   uint64_t buf_offset, uint32_t cluster, uint32_t value)
{
    unsigned shift = fat_type == 12 && cluster & 1 ? 4 : 0;
    uint32_t mask = type_mask(fat_type) << shift;
    uint64_t offset = entry_offset(fat_type, cluster);
    unsigned size = entry_size(fat_type);

    value = value << shift & mask;
    for (unsigned i = 0; i < size; i++, offset++) {
        uint8_t keep = (uint8_t)(~mask >> (8 * i));
        uint8_t *byte;

        if (offset < buf_offset || offset - buf_offset >= bytes) {
            continue;
        }
        byte = buf + (offset - buf_offset);
        *byte = (uint8_t)((*byte & keep) | value >> (8 * i));
    }
}

bool fat_media_is_valid(uint8_t media)
{
    return media == FAT_MEDIA_FLOPPY || media >= FAT_MEDIA_DISK;
}

uint32_t fat_entry_0(unsigned fat_type, uint8_t media)
{
    return (type_mask(fat_type) & ~0xffu) | media;
}

uint32_t fat_entry_1(unsigned fat_type)
{
    return type_mask(fat_type);
}

bool fat_entry_1_clean(unsigned fat_type, uint32_t value)
{
    return fat_type == 12 ||
           value & (fat_type == 16 ? FAT16_CLEAN : FAT32_CLEAN);
}

bool fat_entry_1_no_errors(unsigned fat_type, uint32_t value)
{
    return fat_type == 12 ||
           value & (fat_type == 16 ? FAT16_NO_ERRORS : FAT32_NO_ERRORS);
}

void fat_entries_in(unsigned fat_type, uint64_t offset, uint64_t bytes,
                    uint32_t *first, uint32_t *end)
{
    /* The FAT of the largest volume is 1 GiB: nothing here can overflow for
     * an offset in a table. */
    unsigned nibbles = fat_type / 4;

    *first = (uint32_t)(2 * offset / nibbles);
    *end = bytes ? (uint32_t)((2 * (offset + bytes) - 1) / nibbles + 1)
                 : *first;
}
