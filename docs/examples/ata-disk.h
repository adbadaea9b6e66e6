/* SPDX-License-Identifier: MIT */
/*
 * An ATA disk for an emulator: device 0 of a channel, by PIO.
 *
 * Everything is called on one thread, the one that dispatches the disk's
 * AioContext; set_irq and error are called there, too.
 */
#ifndef ATA_DISK_H
#define ATA_DISK_H

#include <block/aio.h>

G_BEGIN_DECLS

/* Registers; where the machine has them is its own affair. */
enum {
    ATA_ERROR = 1, /* written: features */
    ATA_COUNT = 2,
    ATA_LBA_LOW = 3,  /* CHS: sector */
    ATA_LBA_MID = 4,  /* CHS: cylinder */
    ATA_LBA_HIGH = 5, /* CHS: cylinder */
    ATA_DEVICE = 6,
    ATA_STATUS = 7,  /* written: command */
    ATA_CONTROL = 8, /* read: alternate status */
};

enum { ATA_BSY = 0x80, ATA_DRDY = 0x40, ATA_DRQ = 0x08, ATA_ERR = 0x01 };
enum { ATA_UNC = 0x40, ATA_IDNF = 0x10, ATA_ABRT = 0x04 };

typedef struct AtaHost {
    void (*set_irq)(void *opaque, bool level);
    /* A request of the disk failed: for the user's eyes. */
    void (*error)(void *opaque, const char *text);
    void *opaque;
} AtaHost;

typedef struct AtaDisk AtaDisk;

/* A disk that shows blk, which the caller keeps, and closes after the disk.
 * NULL and *errp when its size or geometry cannot be told. */
AtaDisk *ata_disk_new(BlockBackend *blk, AioContext *ctx, const AtaHost *host,
                      GError **errp);
/* Waits for a request under way. */
void ata_disk_free(AtaDisk *disk);

uint8_t ata_disk_read(AtaDisk *disk, unsigned reg);
void ata_disk_write(AtaDisk *disk, unsigned reg, uint8_t value);
uint16_t ata_disk_read_data(AtaDisk *disk);
void ata_disk_write_data(AtaDisk *disk, uint16_t value);

G_END_DECLS

#endif
