/* SPDX-License-Identifier: MIT */
/*
 * Reading a GPT (UEFI specification 2.10, 5.3), with sectors of 512 or of
 * 4096 bytes. A table is used when its header and its entries have the right
 * checksums; the backup stands in for a primary one that has not.
 */
#include <string.h>
#include <zlib.h>

#include "block/vvfat/partition-int.h"

#define GPT_MAX_SECTOR 4096u
#define GPT_MAX_ENTRIES_BYTES (1u << 20) /* 64 times what disks have */
#define PRIMARY_LBA 1u

static const uint32_t sector_sizes[] = { 512, GPT_MAX_SECTOR };

typedef struct GptTable {
    uint32_t sector_size;
    GptHeader header;
    uint8_t *entries;
    const char *fault; /* why it cannot be used; NULL: it can */
} GptTable;

static void gpt_table_clear(GptTable *table)
{
    g_free(table->entries);
    table->entries = NULL;
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(GptTable, gpt_table_clear)

static uint64_t disk_sectors(const PartitionDisk *disk, const GptTable *table)
{
    return disk->bytes / table->sector_size;
}

static bool has_signature(const void *sector)
{
    return memcmp(sector, "EFI PART", 8) == 0;
}

/* What is wrong with the header in this sector; NULL: nothing. */
static const char *header_fault(GptTable *table, uint8_t *sector, uint64_t lba)
{
    GptHeader *h = &table->header;
    uint32_t size;

    memcpy(h, sector, sizeof(*h));
    size = le32_get(h->header_size);
    if (!has_signature(sector)) {
        return "its header has no signature";
    }
    if (size < sizeof(*h) || size > table->sector_size) {
        return "its header has an impossible size";
    }
    le32_put(&((GptHeader *)sector)->header_crc32, 0);
    if (crc32(0, sector, size) != le32_get(h->header_crc32)) {
        return "its header has a wrong checksum";
    }
    if (le64_get(h->my_lba) != lba) {
        return "its header says that it stands elsewhere";
    }
    return NULL;
}

/* What is wrong with where the entries stand; NULL: nothing, and *bytes. */
static const char *entries_fault(const PartitionDisk *disk,
                                 const GptTable *table, size_t *bytes)
{
    uint32_t count = le32_get(table->header.entry_count);
    uint32_t size = le32_get(table->header.entry_size);
    uint64_t lba = le64_get(table->header.entries_lba);
    uint64_t total = (uint64_t)count * size;

    if (size < sizeof(GptEntry) || size % 8 || count == 0 ||
        total > GPT_MAX_ENTRIES_BYTES) {
        return "it has an impossible number or size of entries";
    }
    if (lba >= disk_sectors(disk, table) ||
        total > disk->bytes - lba * table->sector_size) {
        return "its entries lie outside the disk";
    }
    *bytes = (size_t)total;
    return NULL;
}

/* Load the table with a header at lba. False only on a read error; a table
 * that cannot be used has its fault. */
static bool load_table(const PartitionDisk *disk, uint64_t lba,
                       GptTable *table, GError **errp)
{
    uint8_t sector[GPT_MAX_SECTOR];
    size_t bytes = 0;

    if (lba >= disk_sectors(disk, table)) {
        table->fault = "it lies outside the disk";
        return true;
    }
    if (!partition_disk_read(disk, lba * table->sector_size,
                             table->sector_size, sector, errp)) {
        return false;
    }
    table->fault = header_fault(table, sector, lba);
    if (!table->fault) {
        table->fault = entries_fault(disk, table, &bytes);
    }
    if (table->fault) {
        return true;
    }
    table->entries = g_malloc(bytes);
    if (!partition_disk_read(
            disk, le64_get(table->header.entries_lba) * table->sector_size,
            bytes, table->entries, errp)) {
        return false;
    }
    if (crc32(0, table->entries, (uInt)bytes) !=
        le32_get(table->header.entries_crc32)) {
        table->fault = "its entries have a wrong checksum";
    }
    return true;
}

static void add_entry(PartitionDisk *disk, const GptTable *table,
                      unsigned number, const GptEntry *entry)
{
    uint64_t first = le64_get(entry->first_lba);
    uint64_t last = le64_get(entry->last_lba);
    uint64_t sectors = disk_sectors(disk, table);
    Partition p = { .number = number, .gpt_type = entry->type_guid };

    if (last < first) {
        partition_add_defect(disk, "partition %u ends before it begins",
                             number);
        return;
    }
    if (first < le64_get(table->header.first_usable_lba) ||
        last > le64_get(table->header.last_usable_lba)) {
        partition_add_defect(disk,
                             "partition %u lies outside the area that "
                             "the GPT leaves for partitions",
                             number);
    }
    /* One sector too many is enough to be told of and cut. */
    first = MIN(first, sectors);
    last = MIN(last, sectors);
    p.start = first * table->sector_size;
    p.bytes = (last - first + 1) * table->sector_size;
    partition_add(disk, p);
}

static void add_entries(PartitionDisk *disk, const GptTable *table)
{
    static const GptGuid unused;
    uint32_t count = le32_get(table->header.entry_count);
    uint32_t size = le32_get(table->header.entry_size);

    disk->list->table = PARTITION_GPT;
    for (uint32_t i = 0; i < count; i++) {
        GptEntry entry;

        memcpy(&entry, table->entries + (size_t)i * size, sizeof(entry));
        if (memcmp(&entry.type_guid, &unused, sizeof(unused)) != 0) {
            add_entry(disk, table, i + 1, &entry);
        }
    }
}

/* The other table of a sound primary one. False on a read error. */
static bool check_backup(PartitionDisk *disk, const GptTable *primary,
                         GError **errp)
{
    uint64_t lba = le64_get(primary->header.alternate_lba);
    g_auto(GptTable) backup = { .sector_size = primary->sector_size };

    if (!load_table(disk, lba, &backup, errp)) {
        return false;
    }
    if (backup.fault) {
        partition_add_defect(disk, "the backup GPT is damaged: %s",
                             backup.fault);
    } else if (lba != disk_sectors(disk, primary) - 1) {
        partition_add_defect(disk, "the backup GPT is not at the end of the "
                                   "disk");
    } else if (le32_get(backup.header.entries_crc32) !=
               le32_get(primary->header.entries_crc32)) {
        partition_add_defect(disk, "the two GPTs differ");
    }
    return true;
}

/* The sector size by where a primary header stands; 0: there is none. */
static bool find_primary(const PartitionDisk *disk, uint32_t *sector_size,
                         GError **errp)
{
    *sector_size = 0;
    for (size_t i = 0; i < G_N_ELEMENTS(sector_sizes); i++) {
        char signature[8];

        if (disk->bytes / sector_sizes[i] <= PRIMARY_LBA) {
            continue;
        }
        if (!partition_disk_read(disk, PRIMARY_LBA * sector_sizes[i],
                                 sizeof(signature), signature, errp)) {
            return false;
        }
        if (has_signature(signature)) {
            *sector_size = sector_sizes[i];
            return true;
        }
    }
    return true;
}

/* The backup at the end of the disk, whatever the primary says. */
static GptResult use_backup(PartitionDisk *disk, uint32_t sector_size,
                            GError **errp)
{
    const char *fault = NULL;

    for (size_t i = 0; i < G_N_ELEMENTS(sector_sizes); i++) {
        g_auto(GptTable) backup = { .sector_size = sector_sizes[i] };
        uint64_t sectors = disk_sectors(disk, &backup);

        if (sectors == 0 || (sector_size && sector_size != sector_sizes[i])) {
            continue;
        }
        if (!load_table(disk, sectors - 1, &backup, errp)) {
            return GPT_READ_ERROR;
        }
        if (!backup.fault) {
            add_entries(disk, &backup);
            return GPT_FOUND;
        }
        fault = fault ? fault : backup.fault;
    }
    partition_add_defect(disk, "the backup GPT is damaged: %s",
                         fault ? fault : "it lies outside the disk");
    return GPT_NONE;
}

GptResult partition_find_gpt(PartitionDisk *disk, GError **errp)
{
    g_auto(GptTable) primary = { .fault = "its header has no signature" };

    if (!find_primary(disk, &primary.sector_size, errp)) {
        return GPT_READ_ERROR;
    }
    if (primary.sector_size &&
        !load_table(disk, PRIMARY_LBA, &primary, errp)) {
        return GPT_READ_ERROR;
    }
    if (primary.fault) {
        partition_add_defect(disk, "the primary GPT is damaged: %s",
                             primary.fault);
        return use_backup(disk, primary.sector_size, errp);
    }
    add_entries(disk, &primary);
    return check_backup(disk, &primary, errp) ? GPT_FOUND : GPT_READ_ERROR;
}
