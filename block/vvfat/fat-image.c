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

/* Whether a FAT volume begins there: 1, 0 or -errno. */
static int probe_partition(BlockBackend *blk, const Partition *partition)
{
    uint8_t sector[SECTOR_SIZE];
    BootInfo info;
    int ret;

    if (partition->bytes < SECTOR_SIZE) {
        return 0;
    }
    ret = blk_pread(blk, (int64_t)partition->start, SECTOR_SIZE, sector, 0);
    if (ret < 0) {
        return ret;
    }
    return boot_parse(sector, partition->bytes, &info, NULL);
}

bool fat_image_holds_fat(BlockBackend *blk, const Partition *partition)
{
    return probe_partition(blk, partition) > 0;
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

/* The first partition with a FAT volume. If none has, the first that should
 * have one or cannot be read: what is wrong there is what the user must hear.
 * A disk without a table should have one. */
static const Partition *find_fat(BlockBackend *blk, const PartitionList *list)
{
    const Partition *claimed = NULL;

    for (guint i = 0; i < list->partitions->len; i++) {
        const Partition *p = &g_array_index(list->partitions, Partition, i);
        int ret = probe_partition(blk, p);

        if (ret > 0) {
            return p;
        }
        if (!claimed && (ret < 0 || partition_is_fat_type(p) || !p->number)) {
            claimed = p;
        }
    }
    return claimed;
}

static void set_no_partition(const PartitionList *list, int number,
                             GError **errp)
{
    if (find_number(list, 0)) {
        block_error_set(errp, ENOENT,
                        "There is no partition %d; the disk has no partition "
                        "table, and its volume is partition 0",
                        number);
    } else {
        block_error_set(errp, ENOENT,
                        "There is no partition %d; the disk has %u", number,
                        list->partitions->len);
    }
}

static const Partition *choose_partition(BlockBackend *blk,
                                         const PartitionList *list, int number,
                                         GError **errp)
{
    const Partition *found;

    if (number != FAT_IMAGE_ANY_PARTITION) {
        found = find_number(list, (unsigned)number);
        if (!found) {
            set_no_partition(list, number, errp);
        }
        return found;
    }
    found = find_fat(blk, list);
    if (!found) {
        block_error_set(errp, EMEDIUMTYPE,
                        "No partition of the disk holds a FAT volume");
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

/* An error is left to reading. */
static int64_t zeroes_in_partition(void *opaque, int64_t offset, int64_t bytes)
{
    const FatImage *image = opaque;
    g_auto(BdrvBlockStatus) status = { 0 };
    int ret = blk_block_status(image->blk, image->partition.start + offset,
                               bytes, BDRV_WANT_PRECISE, &status);

    return ret == 0 && status.flags & BDRV_BLOCK_ZERO ? status.bytes : 0;
}

static bool open_volume(FatImage *image, GError **errp)
{
    GError *error = NULL;

    image->volume = volume_open(read_partition, image, image->partition.bytes,
                                image->codepage, &error);
    if (image->volume) {
        volume_set_zeroes(image->volume, zeroes_in_partition);
        return true;
    }
    if (error->code == EINVAL && !partition_is_fat_type(&image->partition)) {
        error->code = EMEDIUMTYPE; /* nothing says that it ought to be FAT */
    }
    g_propagate_error(errp, error);
    return false;
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
    if (!open_volume(image, errp)) {
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
