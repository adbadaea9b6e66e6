/* SPDX-License-Identifier: MIT */
#include "block/vvfat/fat-image.h"

#include <errno.h>

#include "block/error.h"
#include "block/vvfat/boot.h"

struct FatImage {
    BlockBackend *blk;
    Partition partition;
    Codepage *codepage;
    Volume *volume;
    GuestView *view;
    bool view_is_full;
};

/* ---- Partitions ---- */

static int read_disk(void *opaque, int64_t offset, int64_t bytes, void *buf)
{
    return blk_pread(opaque, offset, bytes, buf, 0);
}

PartitionList *fat_image_list(BlockBackend *blk, GError **errp)
{
    int64_t length = blk_getlength(blk);

    if (length < 0) {
        block_error_set_errno(errp, -length, "Cannot tell the disk's size");
        return NULL;
    }
    return partition_find(read_disk, blk, length, errp);
}

bool fat_image_holds_fat(BlockBackend *blk, const Partition *partition)
{
    uint8_t sector[SECTOR_SIZE];
    BootInfo info;

    return partition->bytes >= SECTOR_SIZE &&
           blk_pread(blk, partition->start, SECTOR_SIZE, sector, 0) == 0 &&
           boot_parse(sector, partition->bytes, &info, NULL);
}

/* Whether the partition table says that a partition is FAT's. */
static bool has_fat_type(const Partition *partition)
{
    switch (partition->mbr_type) {
    case MBR_TYPE_FAT12:
    case MBR_TYPE_FAT16_SMALL:
    case MBR_TYPE_FAT16:
    case MBR_TYPE_FAT16_LBA:
    case MBR_TYPE_FAT32:
    case MBR_TYPE_FAT32_LBA:
    case MBR_TYPE_ESP:
        return true;
    default:
        return false;
    }
}

static const Partition *find_number(const PartitionList *list, unsigned number)
{
    for (guint i = 0; i < list->partitions->len; i++) {
        const Partition *p = &g_array_index(list->partitions, Partition, i);

        if (p->number == number) {
            return p;
        }
    }
    return NULL;
}

/* The first partition with a FAT volume; if none has, the first that should
 * have one, for its volume's defect is what the user must hear of. */
static const Partition *find_fat(BlockBackend *blk, const PartitionList *list)
{
    const Partition *claimed = NULL;

    for (guint i = 0; i < list->partitions->len; i++) {
        const Partition *p = &g_array_index(list->partitions, Partition, i);

        if (fat_image_holds_fat(blk, p)) {
            return p;
        }
        if (!claimed && has_fat_type(p)) {
            claimed = p;
        }
    }
    return claimed;
}

static const Partition *choose_partition(BlockBackend *blk,
                                         const PartitionList *list,
                                         int number, GError **errp)
{
    const Partition *found;

    if (number != FAT_IMAGE_ANY_PARTITION) {
        found = find_number(list, number);
        if (!found) {
            block_error_set(errp, ENOENT,
                            "There is no partition %d; the disk has %u",
                            number, list->partitions->len);
        }
        return found;
    }
    found = find_fat(blk, list);
    if (!found) {
        block_error_set(errp, EMEDIUMTYPE,
                        list->table == PARTITION_NONE ?
                            "There is no FAT volume" :
                            "No partition holds a FAT volume");
    }
    return found;
}

/* ---- Volumes ---- */

static int read_partition(void *opaque, int64_t offset, int64_t bytes,
                          void *buf)
{
    const FatImage *image = opaque;

    return blk_pread(image->blk, image->partition.start + offset, bytes, buf,
                     0);
}

/* Name the partition in a message about its volume. */
static void prefix_partition(const FatImage *image, GError **errp)
{
    if (image->partition.number) {
        g_prefix_error(errp, "Partition %u: ", image->partition.number);
    }
}

FatImage *fat_image_open(BlockBackend *blk, int partition, unsigned codepage,
                         GError **errp)
{
    g_autoptr(FatImage) image = g_new0(FatImage, 1);
    g_autoptr(PartitionList) list = fat_image_list(blk, errp);
    const Partition *chosen;

    if (!list) {
        return NULL;
    }
    chosen = choose_partition(blk, list, partition, errp);
    if (!chosen) {
        return NULL;
    }
    image->blk = blk;
    image->partition = *chosen;
    image->codepage = codepage_new(codepage, errp);
    if (!image->codepage) {
        return NULL;
    }
    image->volume = volume_open(read_partition, image, chosen->bytes,
                                image->codepage, errp);
    if (!image->volume) {
        prefix_partition(image, errp);
        return NULL;
    }
    return g_steal_pointer(&image);
}

void fat_image_free(FatImage *image)
{
    if (image) {
        guest_view_free(image->view);
        volume_free(image->volume);
        codepage_free(image->codepage);
        g_free(image);
    }
}

const Partition *fat_image_partition(const FatImage *image)
{
    return &image->partition;
}

Volume *fat_image_volume(FatImage *image)
{
    return image->volume;
}

const GuestView *fat_image_load(FatImage *image, bool full, GError **errp)
{
    if (!image->view || (full && !image->view_is_full)) {
        GuestView *view = guest_view_load(image->volume, full, errp);

        if (!view) {
            prefix_partition(image, errp);
            return NULL;
        }
        guest_view_free(image->view);
        image->view = view;
        image->view_is_full = full;
    }
    return image->view;
}
