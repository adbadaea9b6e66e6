/* SPDX-License-Identifier: MIT */
/*
 * The file allocation table: entries of 12, 16 and 32 bits. Pure, and checked
 * against the bounds of the buffers it is given.
 */
#ifndef VVFAT_FAT_H
#define VVFAT_FAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "block/vvfat/cluster.h"

/* FAT type for a number of data clusters: 12, 16 or 32. */
unsigned fat_type_of(uint64_t cluster_count);

/* Bytes that a table for so many data clusters takes. */
uint64_t fat_bytes(unsigned fat_type, uint64_t cluster_count);

/* Values of entries, normalised: the same for all types. */
#define FAT_ENTRY_FREE 0u
#define FAT_ENTRY_BAD 0x0ffffff7u
#define FAT_ENTRY_EOC 0x0fffffffu /* any end-of-chain mark reads as this */

/*
 * Entry of a cluster from a piece of a table. buf holds `bytes` bytes that
 * begin at byte `buf_offset` of the table. Reserved values (0x?ff0..0x?ff6,
 * and 1) come back as they are, below FAT_ENTRY_BAD; the top four bits of
 * FAT32 are masked. Entries 0 and 1 hold no chain: they come back as they
 * stand, to be compared with fat_entry_0(). False when the entry does not lie
 * inside the piece as a whole.
 */
bool fat_entry_get(unsigned fat_type, const uint8_t *buf, size_t bytes,
                   uint64_t buf_offset, uint32_t cluster, uint32_t *value);

/*
 * Put the part of an entry that lies inside the piece (a FAT12 entry can
 * straddle its end). Keeps the neighbour's nibble and FAT32's top four bits.
 */
void fat_entry_put(unsigned fat_type, uint8_t *buf, size_t bytes,
                   uint64_t buf_offset, uint32_t cluster, uint32_t value);

/* Whether a byte is one of those that say what the medium is. */
bool fat_media_is_valid(uint8_t media);

/* FAT[0] and FAT[1] of a clean volume, as wide as the type. */
uint32_t fat_entry_0(unsigned fat_type, uint8_t media);
uint32_t fat_entry_1(unsigned fat_type);

/* Whether FAT[1] says: unmounted cleanly, no I/O errors (true on FAT12). */
bool fat_entry_1_clean(unsigned fat_type, uint32_t value);
bool fat_entry_1_no_errors(unsigned fat_type, uint32_t value);

/*
 * First and one-past-last cluster whose entries touch bytes
 * [offset, offset + bytes) of the table.
 */
void fat_entries_in(unsigned fat_type, uint64_t offset, uint64_t bytes,
                    uint32_t *first, uint32_t *end);

#endif
