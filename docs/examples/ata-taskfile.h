/* SPDX-License-Identifier: MIT */
/*
 * The task file of a disk: the registers that hold addresses and counts. Each
 * but the device register has room for two bytes; a write pushes the one
 * before back, for commands of 48 bits, and HOB shows it.
 */
#ifndef ATA_TASKFILE_H
#define ATA_TASKFILE_H

#include <stdbool.h>
#include <stdint.h>

#define ATA_DEVICE_LBA 0x40
#define ATA_DEVICE_1 0x10

typedef struct AtaTaskfile {
    uint8_t now[8], before[8]; /* by register: ATA_COUNT, ... */
} AtaTaskfile;

typedef struct AtaAddressing {
    uint32_t cylinders, heads, per_track;
} AtaAddressing;

/* All 0, but for the signature of an ATA disk. */
void ata_taskfile_reset(AtaTaskfile *t);
void ata_taskfile_write(AtaTaskfile *t, unsigned reg, uint8_t value);

/* Sectors to move. ext: by a command of 48 bits. */
unsigned ata_taskfile_count(const AtaTaskfile *t, bool ext);

/* The sector that is addressed, by LBA or as a says; -1: there is none of this
 * cylinder, head and number. */
int64_t ata_taskfile_address(const AtaTaskfile *t, const AtaAddressing *a,
                             bool ext);

/* Address another sector, in the same manner. */
void ata_taskfile_set_address(AtaTaskfile *t, const AtaAddressing *a, bool ext,
                              int64_t lba);

#endif
