/* SPDX-License-Identifier: MIT */
/*
 * Inside guest-view: raw access to an open volume. Users of volumes want
 * guest-view.h.
 */
#ifndef VVFAT_VOLUME_H
#define VVFAT_VOLUME_H

#include <stdint.h>

#include "block/vvfat/guest-view.h"

/* Read bytes from the volume's start; -EIO outside it. */
int volume_read(Volume *volume, int64_t offset, int64_t bytes, void *buf)
    G_GNUC_WARN_UNUSED_RESULT;

/* Set *errp for `ret` of a failed read, naming the place of the last one. */
void volume_read_error(const Volume *volume, int ret, GError **errp);

/* Whether the volume has a data cluster of this number. */
bool volume_has_cluster(const Volume *volume, uint32_t cluster);

/* Entry of a cluster (0..cluster_count + 1) in the active FAT. */
int volume_fat_get(Volume *volume, uint32_t cluster, uint32_t *value)
    G_GNUC_WARN_UNUSED_RESULT;

/* Byte offset of FAT number `fat` (0..fat_count - 1). */
int64_t volume_fat_offset(const Volume *volume, uint32_t fat);

/* The code page of short names. */
const Codepage *volume_codepage(const Volume *volume);

#endif
