/* SPDX-License-Identifier: MIT */
/*
 * IDENTIFY DEVICE of ATA/ATAPI-6 (T13 draft 1410D, 8.15). A word is two bytes,
 * the lower one first; a value of several words begins with the lowest.
 */
#include "ata-identify.h"

#include <string.h>

static void put(uint8_t *data, unsigned word, unsigned words, uint64_t value)
{
    for (unsigned i = 0; i < 2 * words; i++) {
        data[2 * word + i] = (uint8_t)(value >> 8 * i);
    }
}

/* Two characters a word, the first in the upper half, padded with spaces. */
static void put_string(uint8_t *data, unsigned word, unsigned words,
                       const char *text)
{
    for (unsigned i = 0; i < 2 * words; i++) {
        data[2 * word + (i ^ 1)] = (uint8_t)(*text ? *text++ : ' ');
    }
}

static void put_addressing(uint8_t *data, const AtaParameters *p)
{
    const AtaAddressing *a = &p->current;
    uint64_t lba28 = (uint64_t)p->sectors;

    put(data, 1, 1, p->native.cylinders);
    put(data, 3, 1, p->native.heads);
    put(data, 6, 1, p->native.per_track);
    put(data, 54, 1, a->cylinders);
    put(data, 55, 1, a->heads);
    put(data, 56, 1, a->per_track);
    put(data, 57, 2, (uint64_t)a->cylinders * a->heads * a->per_track);
    put(data, 60, 2, lba28 < 0x0fffffff ? lba28 : 0x0fffffff);
    put(data, 100, 4, (uint64_t)p->sectors);
}

void ata_identify(const AtaParameters *p, uint8_t data[512])
{
    uint8_t sum = 0;

    memset(data, 0, 512);
    put(data, 0, 1, 0x0040); /* a disk, fixed */
    put_addressing(data, p);
    put_string(data, 10, 10, "1");
    put_string(data, 23, 4, "0.1");
    put_string(data, 27, 20, "VVFAT DIRECTORY");
    put(data, 47, 1, 0x8000 | ATA_MAX_MULTIPLE);
    put(data, 49, 1, 0x0200); /* LBA */
    put(data, 50, 1, 0x4000);
    put(data, 53, 1, 0x0003); /* words 54-58 and 64-70 are valid */
    put(data, 59, 1, p->multiple ? 0x0100 | p->multiple : 0);
    put(data, 64, 1, 0x0003); /* PIO modes 3 and 4, their cycles in ns: */
    put(data, 67, 1, 120);
    put(data, 68, 1, 120);
    put(data, 80, 1, 0x0078); /* ATA-3 to ATA/ATAPI-6 */
    put(data, 82, 1, 0x0028); /* write cache, power management */
    put(data, 83, 1, 0x7400); /* 48 bits, FLUSH CACHE, FLUSH CACHE EXT */
    put(data, 84, 1, 0x4000);
    put(data, 85, 1, p->write_cache ? 0x0028 : 0x0008); /* on now */
    put(data, 86, 1, 0x3400);
    put(data, 87, 1, 0x4000);
    data[510] = 0xa5; /* a checksum: all bytes add up to 0 */
    for (unsigned i = 0; i < 511; i++) {
        sum = (uint8_t)(sum + data[i]);
    }
    data[511] = (uint8_t)-sum;
}
