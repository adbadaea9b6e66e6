/* SPDX-License-Identifier: MIT */
/*
 * Finding the partitions of a disk.
 *
 * A boot sector of FAT and an MBR both end in 55 AA. Sector 0 is an MBR when
 * its entries are sound: flags 0 or 80, and starts that lie on the disk behind
 * sector 0. It is a bare FAT volume when they are not, but its parameters
 * are. (An entry that starts at 0 stands in volumes that only pretend to have
 * a table, for systems that insist on one.)
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "block/error.h"
#include "block/vvfat/boot.h"
#include "block/vvfat/partition-int.h"

#define MBR_ENTRIES 4u
#define MBR_ACTIVE 0x80
#define MBR_TYPE_EXTENDED_LINUX 0x85
#define FIRST_LOGICAL 5u
#define MAX_LOGICAL 128u

bool partition_is_fat_type(const Partition *partition)
{
    static const GptGuid esp = GPT_TYPE_ESP;

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
        return memcmp(&partition->gpt_type, &esp, sizeof(esp)) == 0;
    }
}

void partition_add_defect(PartitionDisk *disk, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    g_ptr_array_add(disk->list->defects, g_strdup_vprintf(fmt, ap));
    va_end(ap);
}

bool partition_disk_read(const PartitionDisk *disk, uint64_t offset,
                         size_t bytes, void *buf, GError **errp)
{
    int ret = disk->read(disk->opaque, (int64_t)offset, (int64_t)bytes, buf);

    if (ret < 0) {
        block_error_set_errno(
            errp, -ret, "Cannot read the partition table at byte %" PRIu64,
            offset);
    }
    return ret >= 0;
}

void partition_add(PartitionDisk *disk, Partition partition)
{
    if (partition.start >= disk->bytes) {
        partition_add_defect(disk, "partition %u begins outside the disk",
                             partition.number);
        return;
    }
    if (partition.bytes > disk->bytes - partition.start) {
        partition_add_defect(disk,
                             "partition %u reaches beyond the end of the disk",
                             partition.number);
        partition.bytes = disk->bytes - partition.start;
    }
    g_array_append_val(disk->list->partitions, partition);
}

/* ---- MBR ---- */

static bool is_used(const MbrPartition *p)
{
    return p->type != 0 && le32_get(p->sectors) != 0;
}

static bool is_extended(const MbrPartition *p)
{
    return is_used(p) &&
           (p->type == MBR_TYPE_EXTENDED || p->type == MBR_TYPE_EXTENDED_LBA ||
            p->type == MBR_TYPE_EXTENDED_LINUX);
}

static bool has_magic(const MbrSector *mbr)
{
    return le16_get(mbr->magic) == FAT_BOOT_MAGIC;
}

/* Whether sector 0 can hold a table; *sound: and none of it is odd. */
static bool mbr_is_table(const MbrSector *mbr, uint64_t disk_sectors,
                         bool *sound)
{
    unsigned used = 0;

    *sound = true;
    if (!has_magic(mbr)) {
        return false;
    }
    for (unsigned i = 0; i < MBR_ENTRIES; i++) {
        const MbrPartition *p = &mbr->partition[i];
        uint32_t first = le32_get(p->first_lba);

        if (p->status & ~MBR_ACTIVE) {
            return false;
        }
        if (is_used(p)) {
            used++;
            *sound &= first > 0 && first < disk_sectors;
        }
    }
    return used > 0;
}

static Partition partition_from_mbr(const MbrPartition *p, unsigned number,
                                    uint64_t base)
{
    return (Partition){
        .number = number,
        .start = (base + le32_get(p->first_lba)) * SECTOR_SIZE,
        .bytes = (uint64_t)le32_get(p->sectors) * SECTOR_SIZE,
        .mbr_type = p->type,
    };
}

/*
 * One link of the chain of logical partitions at sector `at`. Adds what is
 * there and sets *next, 0 at the end. False on a read error.
 */
static bool add_logical(PartitionDisk *disk, uint64_t extended, uint64_t at,
                        unsigned *number, uint64_t *next, GError **errp)
{
    MbrSector ebr;

    *next = 0;
    if (at >= disk->bytes / SECTOR_SIZE) {
        partition_add_defect(disk, "the chain of logical partitions leaves "
                                   "the disk");
        return true;
    }
    if (!partition_disk_read(disk, at * SECTOR_SIZE, sizeof(ebr), &ebr,
                             errp)) {
        return false;
    }
    if (!has_magic(&ebr)) {
        partition_add_defect(disk,
                             "the logical partition table in sector %" PRIu64
                             " has no mark 55 AA",
                             at);
        return true;
    }
    for (unsigned i = 0; i < MBR_ENTRIES; i++) {
        const MbrPartition *p = &ebr.partition[i];

        if (is_extended(p)) {
            *next = *next ? *next : extended + le32_get(p->first_lba);
        } else if (is_used(p)) {
            partition_add(disk, partition_from_mbr(p, (*number)++, at));
        }
    }
    return true;
}

/* The logical partitions in an extended one. */
static bool walk_extended(PartitionDisk *disk, uint64_t extended,
                          unsigned *number, GError **errp)
{
    uint64_t seen[MAX_LOGICAL], at = extended;
    unsigned n_seen = 0;

    while (at) {
        for (unsigned i = 0; i < n_seen; i++) {
            if (seen[i] == at) {
                partition_add_defect(disk, "the chain of logical partitions "
                                           "is a loop");
                return true;
            }
        }
        if (n_seen == MAX_LOGICAL) {
            partition_add_defect(disk,
                                 "there are more than %u logical "
                                 "partitions; the rest is left out",
                                 MAX_LOGICAL);
            return true;
        }
        seen[n_seen++] = at;
        if (!add_logical(disk, extended, at, number, &at, errp)) {
            return false;
        }
    }
    return true;
}

static bool add_mbr(PartitionDisk *disk, const MbrSector *mbr, GError **errp)
{
    unsigned number = FIRST_LOGICAL;

    disk->list->table = PARTITION_MBR;
    for (unsigned i = 0; i < MBR_ENTRIES; i++) {
        const MbrPartition *p = &mbr->partition[i];

        if (is_used(p) && !is_extended(p) &&
            p->type != MBR_TYPE_GPT_PROTECTIVE) {
            partition_add(disk, partition_from_mbr(p, i + 1, 0));
        }
    }
    for (unsigned i = 0; i < MBR_ENTRIES; i++) {
        const MbrPartition *p = &mbr->partition[i];

        if (is_extended(p) &&
            !walk_extended(disk, le32_get(p->first_lba), &number, errp)) {
            return false;
        }
    }
    return true;
}

static bool is_protective(const MbrSector *mbr)
{
    for (unsigned i = 0; i < MBR_ENTRIES; i++) {
        if (mbr->partition[i].type == MBR_TYPE_GPT_PROTECTIVE) {
            return true;
        }
    }
    return false;
}

/* ---- All of it ---- */

static int compare_starts(const void *a, const void *b)
{
    const Partition *x = a, *y = b;

    return x->start != y->start ? (x->start < y->start ? -1 : 1)
                                : (x->number < y->number ? -1 : 1);
}

static void find_overlaps(PartitionDisk *disk)
{
    GArray *partitions = disk->list->partitions;
    unsigned n = partitions->len, owner = 0;
    g_autofree Partition *sorted = NULL;
    uint64_t end = 0;

    if (n < 2) {
        return;
    }
    sorted = g_memdup2(partitions->data, n * sizeof(*sorted));
    qsort(sorted, n, sizeof(*sorted), compare_starts);
    for (unsigned i = 0; i < n; i++) {
        if (sorted[i].start < end) {
            partition_add_defect(disk, "partitions %u and %u overlap", owner,
                                 sorted[i].number);
        }
        if (sorted[i].start + sorted[i].bytes > end) {
            end = sorted[i].start + sorted[i].bytes;
            owner = sorted[i].number;
        }
    }
}

static void add_bare_disk(PartitionDisk *disk)
{
    Partition all = { .bytes = disk->bytes };

    disk->list->table = PARTITION_NONE;
    g_array_append_val(disk->list->partitions, all);
}

/* Look at sector 0 and go on from there. False on a read error. */
static bool find_table(PartitionDisk *disk, GError **errp)
{
    MbrSector mbr;
    BootInfo boot;
    bool sound;

    if (disk->bytes < SECTOR_SIZE) {
        add_bare_disk(disk);
        return true;
    }
    if (!partition_disk_read(disk, 0, sizeof(mbr), &mbr, errp)) {
        return false;
    }
    if (!mbr_is_table(&mbr, disk->bytes / SECTOR_SIZE, &sound) ||
        (!sound &&
         boot_parse((const uint8_t *)&mbr, disk->bytes, &boot, NULL))) {
        add_bare_disk(disk);
        return true;
    }
    if (is_protective(&mbr)) {
        switch (partition_find_gpt(disk, errp)) {
        case GPT_FOUND:
            return true;
        case GPT_READ_ERROR:
            return false;
        case GPT_NONE:
            break;
        }
    }
    return add_mbr(disk, &mbr, errp);
}

PartitionList *partition_find(PartitionRead *read, void *opaque,
                              uint64_t disk_bytes, GError **errp)
{
    g_autoptr(PartitionList) list = g_new0(PartitionList, 1);
    PartitionDisk disk = {
        .read = read,
        .opaque = opaque,
        .bytes = disk_bytes,
        .list = list,
    };

    list->partitions = g_array_new(FALSE, FALSE, sizeof(Partition));
    list->defects = g_ptr_array_new_with_free_func(g_free);
    if (!find_table(&disk, errp)) {
        return NULL;
    }
    find_overlaps(&disk);
    return g_steal_pointer(&list);
}

void partition_list_free(PartitionList *list)
{
    if (list) {
        g_array_free(list->partitions, TRUE);
        g_ptr_array_free(list->defects, TRUE);
        g_free(list);
    }
}
