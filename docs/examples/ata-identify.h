/* SPDX-License-Identifier: MIT */
/*
 * What a disk says about itself: the data of IDENTIFY DEVICE.
 */
#ifndef ATA_IDENTIFY_H
#define ATA_IDENTIFY_H

#include <stdbool.h>
#include <stdint.h>

#include "ata-taskfile.h"

#define ATA_MAX_MULTIPLE 16

typedef struct AtaParameters {
    int64_t sectors;
    AtaAddressing native, current; /* current: INITIALIZE DEVICE PARAMETERS */
    unsigned multiple; /* sectors a block of READ MULTIPLE; 0: not set */
    bool write_cache;
} AtaParameters;

void ata_identify(const AtaParameters *p, uint8_t data[512]);

#endif
