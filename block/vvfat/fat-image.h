/* SPDX-License-Identifier: MIT */
/*
 * The FAT volume on a block device: find its partition, open it, load its
 * tree. What vvfat-img's ls, cat, extract and check begin with.
 *
 * One thread at a time. The backend must outlive the image.
 */
#ifndef VVFAT_FAT_IMAGE_H
#define VVFAT_FAT_IMAGE_H

#include <glib.h>
#include <stdbool.h>

#include "block/block.h"
#include "block/vvfat/guest-view.h"
#include "block/vvfat/partition.h"

/* The partitions of a device; partition_list_free(). NULL and *errp when it
 * cannot be read. */
PartitionList *fat_image_list(BlockBackend *blk, GError **errp);

/* Whether a partition begins with the boot sector of a FAT volume (that may
 * still be damaged further on). False on a read error, too. */
bool fat_image_holds_fat(BlockBackend *blk, const Partition *partition);

typedef struct FatImage FatImage;

#define FAT_IMAGE_ANY_PARTITION (-1)

/*
 * Open the volume on a partition: by number (as in Partition), or the first
 * that holds FAT. codepage: of the short names, 437 by default.
 *
 * Errors, by code: ENOENT, there is no such partition; EMEDIUMTYPE, there is
 * no FAT volume there (or anywhere on the device); others, the volume is
 * damaged or cannot be read.
 */
FatImage *fat_image_open(BlockBackend *blk, int partition, unsigned codepage,
                         GError **errp) G_GNUC_WARN_UNUSED_RESULT;
void fat_image_free(FatImage *image);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(FatImage, fat_image_free)

const Partition *fat_image_partition(const FatImage *image);
Volume *fat_image_volume(FatImage *image);

/*
 * The tree and what is wrong with it; the image owns both. full: as in
 * guest_view_load(). Loaded once; again only to make it full, which frees the
 * view (and nodes) of before. NULL and *errp on a read error.
 */
const GuestView *fat_image_load(FatImage *image, bool full, GError **errp);

#endif
