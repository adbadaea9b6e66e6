/* SPDX-License-Identifier: MIT */
/* Registers and addresses by ATA/ATAPI-6 (T13 draft 1410D, 6.2 and 7). */
#include "ata-taskfile.h"

#include <string.h>

#include "ata-disk.h"

void ata_taskfile_reset(AtaTaskfile *t)
{
    memset(t, 0, sizeof(*t));
    t->now[ATA_COUNT] = t->now[ATA_LBA_LOW] = 1;
}

void ata_taskfile_write(AtaTaskfile *t, unsigned reg, uint8_t value)
{
    if (reg != ATA_DEVICE) {
        t->before[reg & 7] = t->now[reg & 7];
    }
    t->now[reg & 7] = value;
}

unsigned ata_taskfile_count(const AtaTaskfile *t, bool ext)
{
    unsigned count = t->now[ATA_COUNT];

    if (ext) {
        count |= (unsigned)t->before[ATA_COUNT] << 8;
    }
    return count ? count : ext ? 65536 : 256;
}

int64_t ata_taskfile_address(const AtaTaskfile *t, const AtaAddressing *a,
                             bool ext)
{
    const uint8_t *now = t->now, *before = t->before;
    int64_t lba = now[ATA_LBA_LOW] | now[ATA_LBA_MID] << 8 |
                  now[ATA_LBA_HIGH] << 16;
    uint32_t head = now[ATA_DEVICE] & 0x0f, cylinder = (uint32_t)lba >> 8;

    if (ext) {
        return lba | (int64_t)before[ATA_LBA_LOW] << 24 |
               (int64_t)before[ATA_LBA_MID] << 32 |
               (int64_t)before[ATA_LBA_HIGH] << 40;
    } else if (now[ATA_DEVICE] & ATA_DEVICE_LBA) {
        return lba | (int64_t)head << 24;
    } else if (cylinder >= a->cylinders || head >= a->heads ||
               now[ATA_LBA_LOW] == 0 || now[ATA_LBA_LOW] > a->per_track) {
        return -1;
    }
    return ((int64_t)cylinder * a->heads + head) * a->per_track +
           now[ATA_LBA_LOW] - 1;
}

void ata_taskfile_set_address(AtaTaskfile *t, const AtaAddressing *a, bool ext,
                              int64_t lba)
{
    if (!ext && !(t->now[ATA_DEVICE] & ATA_DEVICE_LBA)) {
        int64_t track = lba / a->per_track;

        lba = (lba % a->per_track + 1) | track / a->heads << 8 |
              track % a->heads << 24;
    }
    for (unsigned i = 0; i < 3; i++) {
        t->now[ATA_LBA_LOW + i] = (uint8_t)(lba >> 8 * i);
        if (ext) {
            t->before[ATA_LBA_LOW + i] = (uint8_t)(lba >> (24 + 8 * i));
        }
    }
    if (!ext) {
        t->now[ATA_DEVICE] &= 0xf0;
        t->now[ATA_DEVICE] |= lba >> 24 & 0x0f;
    }
}
