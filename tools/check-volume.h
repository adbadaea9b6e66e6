/* SPDX-License-Identifier: MIT */
/* The check of one FAT volume: run, and told. */
#ifndef TOOLS_CHECK_VOLUME_H
#define TOOLS_CHECK_VOLUME_H

#include <stdbool.h>
#include <stdint.h>

#include "block/vvfat/fat-image.h"
#include "util/json.h"

typedef struct VolumeCheck {
    unsigned partition;    /* 0: the bare disk */
    FatImage *fat;         /* NULL: could not be opened */
    const GuestView *view; /* NULL: likewise */
    char *error;           /* why, then */
    int64_t damages;       /* lost clusters not among them */
    int64_t leaks;         /* lost clusters */
    bool completed;
} VolumeCheck;

/* Never NULL. The backend must outlive the result. */
VolumeCheck *volume_check_run(BlockBackend *blk, unsigned partition,
                              unsigned codepage);
void volume_check_free(void *check);

/* All findings and a summary, on standard output. */
void volume_check_print(const VolumeCheck *check);

/* The same, as an object in an array. */
void volume_check_write(const VolumeCheck *check, JsonWriter *w);

#endif
