/* SPDX-License-Identifier: MIT */
/*
 * Any disk: its partition table, and the boot sector of each partition.
 *
 * The input makes a small disk with a table of a chosen kind and then patches
 * it; checksums can be put right afterwards, so that the fuzzer gets behind
 * them.
 *
 * Input: byte 0, what is there to begin with (bits 0-1: nothing, MBR, GPT,
 * bare FAT; bit 2: checksums are put right; bit 3: the last sector is cut
 * off); then patches: byte 0, length - 1 (bits 0-4) and place (bit 5: from
 * the end of the disk); bytes 1-2, offset; then the bytes.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "block/vvfat/boot.h"
#include "block/vvfat/fat.h"
#include "block/vvfat/partition.h"

#define DISK_SECTORS 1024u
#define DISK_BYTES (DISK_SECTORS * SECTOR_SIZE)
#define MAX_READ (8u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

static uint8_t disk_data[DISK_BYTES];

typedef struct Disk {
    uint64_t bytes, bytes_read;
} Disk;

static void expect(bool good)
{
    if (!good) {
        abort();
    }
}

static int disk_read(void *opaque, int64_t offset, int64_t bytes, void *buf)
{
    Disk *disk = opaque;

    expect(offset >= 0 && bytes > 0 && (uint64_t)offset <= disk->bytes &&
           (uint64_t)bytes <= disk->bytes - (uint64_t)offset);
    memcpy(buf, disk_data + offset, (size_t)bytes);
    disk->bytes_read += (uint64_t)bytes;
    return 0;
}

/* ---- The disk ---- */

static Geometry geometry_for(PartitionTable table)
{
    Geometry g = {
        .fat_type = 12,
        .partition = table,
        .disk_sectors = DISK_SECTORS,
        .cylinders = 1,
        .heads = 16,
        .sectors_per_track = 63,
        .volume_start = table == PARTITION_NONE ? 0 : 64,
        .reserved_sectors = 1,
        .sectors_per_fat = 3,
        .root_start = 7,
        .root_sectors = 7,
        .data_start = 14,
        .root_entries = 112,
        .sectors_per_cluster = 1,
        .cluster_count = 800,
        .media = FAT_MEDIA_DISK,
    };

    g.volume_sectors = g.data_start + g.cluster_count;
    return g;
}

static uint8_t *sector_at(uint64_t lba)
{
    return disk_data + lba * SECTOR_SIZE;
}

static void make_disk(unsigned kind)
{
    static const PartitionTable tables[] = {
        PARTITION_NONE,
        PARTITION_MBR,
        PARTITION_GPT,
        PARTITION_NONE,
    };
    static const uint8_t seed[16] = "fuzz";
    Geometry g = geometry_for(tables[kind]);
    BootParams params = { .volume_id = 1 };

    memset(disk_data, 0, sizeof(disk_data));
    if (kind == 0) {
        return;
    }
    if (g.partition != PARTITION_NONE) {
        partition_render_mbr(&g, NULL, 0, sector_at(0));
    }
    boot_render(&g, &params, 0, sector_at(g.volume_start));
    for (uint64_t i = 1; g.partition == PARTITION_GPT && i < 34; i++) {
        partition_render_gpt(&g, seed, i, sector_at(i));
        partition_render_gpt(&g, seed, DISK_SECTORS - i,
                             sector_at(DISK_SECTORS - i));
    }
}

static void patch_disk(const uint8_t *input, size_t size)
{
    while (size > 3) {
        size_t length = (input[0] & 0x1fu) + 1;
        size_t offset = (size_t)(input[1] | input[2] << 8);
        bool at_end = input[0] & 0x20;

        length = MIN(length, size - 3);
        offset = at_end ? DISK_BYTES - 1 - offset : offset;
        memcpy(disk_data + offset, input + 3,
               MIN(length, DISK_BYTES - offset));
        input += 3 + length;
        size -= 3 + length;
    }
}

static void repair_header(uint64_t lba)
{
    GptHeader *h = (GptHeader *)sector_at(lba);
    uint64_t first = le64_get(h->entries_lba);
    uint64_t n = (uint64_t)le32_get(h->entry_count) * le32_get(h->entry_size);
    uint32_t size = le32_get(h->header_size);

    if (first < DISK_SECTORS && n <= DISK_BYTES - first * SECTOR_SIZE) {
        le32_put(&h->entries_crc32,
                 (uint32_t)crc32(0, sector_at(first), (uInt)n));
    }
    if (size <= SECTOR_SIZE) {
        le32_put(&h->header_crc32, 0);
        le32_put(&h->header_crc32, (uint32_t)crc32(0, (const Bytef *)h, size));
    }
}

/* ---- What was found ---- */

static void check_volume(const Partition *p)
{
    g_autoptr(GError) error = NULL;
    uint8_t sector[SECTOR_SIZE];
    BootInfo info;
    uint64_t unit;

    if (p->bytes < SECTOR_SIZE) {
        return;
    }
    memcpy(sector, disk_data + p->start, sizeof(sector));
    if (!boot_parse(sector, p->bytes, &info, &error)) {
        expect(error && g_utf8_validate(error->message, -1, NULL));
        return;
    }
    unit = info.bytes_per_sector;
    expect(info.reserved_sectors +
               (uint64_t)info.fat_count * info.sectors_per_fat ==
           info.root_start);
    expect(info.root_start + info.root_sectors == info.data_start);
    expect((info.data_start +
            (uint64_t)info.cluster_count * info.sectors_per_cluster) *
               unit <=
           p->bytes);
    expect(fat_bytes(info.fat_type, info.cluster_count) <=
           info.sectors_per_fat * unit);
    expect(info.active_fat < info.fat_count);
    expect(info.cluster_count > 0);
    expect(info.fat_type == 32
               ? info.root_cluster >= 2 &&
                     info.root_cluster < info.cluster_count + 2
               : info.root_sectors > 0 &&
                     info.fat_type == fat_type_of(info.cluster_count));
}

static void check_disk(Disk *disk)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(PartitionList) list = NULL;

    list = partition_find(disk_read, disk, disk->bytes, &error);
    expect(list && !error);
    expect(disk->bytes_read < MAX_READ);
    for (unsigned i = 0; i < list->partitions->len; i++) {
        const Partition *p = &g_array_index(list->partitions, Partition, i);

        expect(p->start < disk->bytes && p->bytes > 0 &&
               p->bytes <= disk->bytes - p->start);
        expect((p->number == 0) == (list->table == PARTITION_NONE));
        check_volume(p);
    }
    for (unsigned i = 0; i < list->defects->len; i++) {
        expect(*(const char *)list->defects->pdata[i] != '\0');
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    Disk disk = { .bytes = DISK_BYTES };

    if (size == 0) {
        return 0;
    }
    make_disk(input[0] & 3);
    patch_disk(input + 1, size - 1);
    if (input[0] & 4) {
        repair_header(1);
        repair_header(DISK_SECTORS - 1);
    }
    if (input[0] & 8) {
        disk.bytes -= SECTOR_SIZE;
    }
    check_disk(&disk);
    return 0;
}
