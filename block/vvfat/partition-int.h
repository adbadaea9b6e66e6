/* SPDX-License-Identifier: MIT */
/* Between the readers of the MBR and of the GPT. */
#ifndef VVFAT_PARTITION_INT_H
#define VVFAT_PARTITION_INT_H

#include "block/vvfat/partition.h"

/* A disk that is being looked at, and what was found on it. */
typedef struct PartitionDisk {
    PartitionRead *read;
    void *opaque;
    uint64_t bytes;
    PartitionList *list;
} PartitionDisk;

/* Read a range that lies on the disk. False sets *errp. */
bool partition_disk_read(const PartitionDisk *disk, uint64_t offset,
                         size_t bytes, void *buf, GError **errp);

void partition_add_defect(PartitionDisk *disk, const char *fmt, ...)
    G_GNUC_PRINTF(2, 3);

/* Add a partition, cut to the disk; none that begins outside. */
void partition_add(PartitionDisk *disk, Partition partition);

typedef enum GptResult {
    GPT_FOUND,
    GPT_NONE, /* neither table can be used; the defects say why */
    GPT_READ_ERROR,
} GptResult;

GptResult partition_find_gpt(PartitionDisk *disk, GError **errp);

#endif
