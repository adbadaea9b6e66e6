/* SPDX-License-Identifier: MIT */
/* Partition tables: written, judged by sfdisk and sgdisk, and read. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "block/error.h"
#include "block/vvfat/partition.h"
#include "tests/unit/fat-volume.h"

#define MIB (1024ull * 1024)

static const uint8_t seed[16] = "sixteen bytes...";

static uint64_t few_clusters(uint32_t cluster_size, bool with_root,
                             const void *opaque)
{
    (void)cluster_size;
    (void)opaque;
    return with_root ? 1 : 0;
}

static Geometry choose(unsigned fat_type, PartitionTable table, bool esp,
                       uint64_t size)
{
    GeometryRequest request = {
        .fat_type = fat_type,
        .size = size,
        .partition_given = true,
        .partition = table,
        .esp = esp,
        .clusters_needed = few_clusters,
        .root_entries = 1,
    };
    g_autoptr(GError) error = NULL;
    Geometry g;

    cr_assert(geometry_choose(&g, &request, &error), "%s",
              error ? error->message : "");
    return g;
}

/* ---- A disk in a file ---- */

typedef struct Disk {
    char *dir;
    int fd;
    uint64_t bytes;
    uint64_t bytes_read;
    int64_t fail_at; /* reads of this offset give EIO; -1: none */
} Disk;

static Disk disk_new(uint64_t bytes)
{
    Disk disk = { .dir = workdir_new(), .bytes = bytes, .fail_at = -1 };
    g_autofree char *path = g_build_filename(disk.dir, "disk", NULL);

    disk.fd = open(path, O_RDWR | O_CREAT, 0600);
    cr_assert_geq(disk.fd, 0);
    cr_assert_eq(ftruncate(disk.fd, (off_t)bytes), 0);
    return disk;
}

static void disk_free(Disk *disk)
{
    close(disk->fd);
    workdir_free(disk->dir);
}

static int disk_read(void *opaque, int64_t offset, int64_t bytes, void *buf)
{
    Disk *disk = opaque;

    cr_assert(offset >= 0 && bytes > 0 &&
                  (uint64_t)offset + (uint64_t)bytes <= disk->bytes,
              "a read outside the disk");
    if (offset == disk->fail_at) {
        return -EIO;
    }
    disk->bytes_read += (uint64_t)bytes;
    return pread(disk->fd, buf, (size_t)bytes, offset) == bytes ? 0 : -EIO;
}

static void disk_write(Disk *disk, uint64_t offset, const void *buf, size_t n)
{
    cr_assert_eq(pwrite(disk->fd, buf, n, (off_t)offset), (ssize_t)n);
}

static PartitionList *disk_find(Disk *disk)
{
    g_autoptr(GError) error = NULL;
    PartitionList *list = partition_find(disk_read, disk, disk->bytes, &error);

    cr_assert_not_null(list, "%s", error ? error->message : "");
    return list;
}

static const Partition *nth(const PartitionList *list, unsigned i)
{
    cr_assert_lt(i, list->partitions->len);
    return &g_array_index(list->partitions, Partition, i);
}

static bool has_defect(const PartitionList *list, const char *text)
{
    for (unsigned i = 0; i < list->defects->len; i++) {
        if (strstr(list->defects->pdata[i], text)) {
            return true;
        }
    }
    return false;
}

/* The tables of a geometry, on a disk. */
static Disk disk_render(const Geometry *g)
{
    Disk disk = disk_new(g->disk_sectors * SECTOR_SIZE);
    uint8_t s[SECTOR_SIZE];

    partition_render_mbr(g, NULL, 0, s);
    disk_write(&disk, 0, s, sizeof(s));
    if (g->partition == PARTITION_GPT) {
        for (uint64_t i = 1; i <= GPT_PRIMARY_SECTORS; i++) {
            uint64_t back = g->disk_sectors - i;

            partition_render_gpt(g, seed, i, s);
            disk_write(&disk, i * SECTOR_SIZE, s, sizeof(s));
            partition_render_gpt(g, seed, back, s);
            disk_write(&disk, back * SECTOR_SIZE, s, sizeof(s));
        }
    }
    return disk;
}

/* ---- Written ---- */

Test(partition, mbr_of_the_original_disk)
{
    Geometry g = choose(16, PARTITION_MBR, false, 0);
    uint64_t last = g.volume_start + g.volume_sectors - 1;
    uint8_t s[SECTOR_SIZE];

    partition_render_mbr(&g, NULL, 0, s);
    cr_assert_arr_eq(s + 440, "\xfa\xfd\x1a\xbe\0\0", 6);
    cr_assert_arr_eq(s + 446, "\x80\x01\x01\x00\x06\x0f", 6);
    cr_assert_eq(s[452] & 0x3f, last % 63 + 1);
    cr_assert_eq(s[453] | (s[452] & 0xc0) << 2, last / (16 * 63));
    cr_assert_arr_eq(s + 454, "\x3f\0\0\0", 4);
    cr_assert_arr_eq(s + 510, "\x55\xaa", 2);
    for (unsigned i = 462; i < 510; i++) {
        cr_assert_eq(s[i], 0);
    }
}

Test(partition, types_of_the_mbr)
{
    static const struct {
        unsigned fat_type;
        bool esp;
        uint64_t size;
        uint8_t type;
    } cases[] = {
        { 12, false, 0, 0x01 },          { 16, false, 0, 0x06 },
        { 32, false, 0, 0x0b },          { 32, false, 16384 * MIB, 0x0c },
        { 16, false, 1024 * MIB, 0x0e }, { 32, true, 1024 * MIB, 0xef },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        Geometry g = choose(cases[i].fat_type, PARTITION_MBR, cases[i].esp,
                            cases[i].size);
        uint8_t s[SECTOR_SIZE];

        /* A geometry of few heads puts the end outside CHS early. */
        if (cases[i].type == 0x0e) {
            g.heads = 16;
            g.sectors_per_track = 63;
        }
        partition_render_mbr(&g, NULL, 0, s);
        cr_assert_eq(s[450], cases[i].type, "%zu: %02x", i, s[450]);
        if (cases[i].type == 0x0e || cases[i].type == 0x0c) {
            cr_assert_arr_eq(s + 451, "\xff\xff\xff", 3);
        }
    }
}

Test(partition, code_of_the_mbr)
{
    Geometry g = choose(16, PARTITION_MBR, false, 0);
    uint8_t code[440], s[SECTOR_SIZE];

    memset(code, 0xcc, sizeof(code));
    partition_render_mbr(&g, code, sizeof(code), s);
    cr_assert_arr_eq(s, code, sizeof(code));
    cr_assert_eq(s[440], 0xfa);
    partition_render_mbr(&g, code, 10, s);
    cr_assert_eq(s[9], 0xcc);
    cr_assert_eq(s[10], 0);
}

Test(partition, sfdisk_and_sgdisk_find_nothing_wrong)
{
    static const struct {
        unsigned fat_type;
        PartitionTable table;
        bool esp;
        uint64_t size;
    } cases[] = {
        { 12, PARTITION_MBR, false, 0 },
        { 16, PARTITION_MBR, false, 0 },
        { 32, PARTITION_MBR, false, 0 },
        { 32, PARTITION_MBR, true, 100000 * MIB },
        { 12, PARTITION_GPT, false, 8 * MIB },
        { 16, PARTITION_GPT, false, 0 },
        { 32, PARTITION_GPT, true, 100 * MIB },
        { 32, PARTITION_GPT, false, 2048 * 1024 * MIB },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        Geometry g = choose(cases[i].fat_type, cases[i].table, cases[i].esp,
                            cases[i].size);
        uint64_t end = g.volume_start + g.volume_sectors;
        Disk disk;
        g_autofree char *verify = NULL;
        g_autofree char *dump = NULL;
        g_autofree char *want = NULL;

        if (cases[i].table == PARTITION_GPT) {
            /* A volume that leaves room for a round end. */
            g.volume_sectors -= 2 * 2048;
            end -= 2 * 2048;
            while (end % 8 || (g.volume_start % 2048 == 0 && end % 2048)) {
                end++;
            }
        }
        disk = disk_render(&g);
        want = g_strdup_printf("start=%*" PRIu64 ", size=%*" PRIu64, 12,
                               g.volume_start, 12, end - g.volume_start);
        verify = workdir_output(disk.dir, "sfdisk --verify disk 2>&1");
        cr_assert_not_null(strstr(verify, "No errors detected"), "%zu: %s", i,
                           verify);
        dump = workdir_output(disk.dir, "sfdisk --dump disk");
        cr_assert_not_null(strstr(dump, want), "%zu: %s", i, dump);
        if (cases[i].table == PARTITION_GPT) {
            g_autofree char *sgdisk = workdir_output(disk.dir,
                                                     "sgdisk -v disk 2>&1");

            cr_assert_not_null(strstr(sgdisk, "No problems found"), "%zu: %s",
                               i, sgdisk);
            cr_assert_null(strstr(sgdisk, "aution"), "%zu: %s", i, sgdisk);
            cr_assert_null(strstr(sgdisk, "arning"), "%zu: %s", i, sgdisk);
        }
        disk_free(&disk);
    }
}

/* UEFI specification 2.10, table 5.3: no signature, one entry, not active. */
Test(partition, protective_mbr_says_nothing_else)
{
    Geometry g = choose(32, PARTITION_GPT, false, 64 * MIB);
    uint8_t s[SECTOR_SIZE];

    partition_render_mbr(&g, NULL, 0, s);
    cr_assert_arr_eq(s + 440, "\0\0\0\0\0\0", 6);
    cr_assert_arr_eq(s + 446, "\0\0\x02\0\xee\xff\xff\xff\x01\0\0\0", 12);
    cr_assert_eq(le32_get(((MbrSector *)s)->partition[0].sectors),
                 g.disk_sectors - 1);
    for (unsigned i = 462; i < 510; i++) {
        cr_assert_eq(s[i], 0);
    }
}

Test(partition, gpt_guids_depend_on_the_seed_alone)
{
    static const uint8_t other[16] = "another seed....";
    Geometry g = choose(32, PARTITION_GPT, true, 100 * MIB);
    uint8_t a[SECTOR_SIZE], b[SECTOR_SIZE], c[SECTOR_SIZE];

    partition_render_gpt(&g, seed, 1, a);
    partition_render_gpt(&g, seed, 1, b);
    partition_render_gpt(&g, other, 1, c);
    cr_assert_arr_eq(a, b, SECTOR_SIZE);
    cr_assert_neq(memcmp(a + 56, c + 56, 16), 0);
    cr_assert_eq(a[56 + 7] >> 4, 8, "version 8");
    cr_assert_eq(a[56 + 8] >> 6, 2, "variant");
    partition_render_gpt(&g, seed, 2, b);
    cr_assert_neq(memcmp(a + 56, b + 16, 16), 0, "disk and partition");
}

/* ---- Read back ---- */

Test(partition, what_is_written_is_found)
{
    static const PartitionTable tables[] = { PARTITION_MBR, PARTITION_GPT };

    for (size_t i = 0; i < 2; i++) {
        Geometry g = choose(32, tables[i], true, 100 * MIB);
        Disk disk = disk_render(&g);
        g_autoptr(PartitionList) list = disk_find(&disk);

        cr_assert_eq(list->table, tables[i]);
        cr_assert_eq(list->partitions->len, 1);
        cr_assert_eq(list->defects->len, 0);
        cr_assert_eq(nth(list, 0)->number, 1);
        cr_assert_eq(nth(list, 0)->start, g.volume_start * SECTOR_SIZE);
        /* The GPT's ends on a round boundary, behind the volume. */
        cr_assert_geq(nth(list, 0)->bytes, g.volume_sectors * SECTOR_SIZE);
        cr_assert_leq(nth(list, 0)->bytes,
                      (g.volume_sectors + (i ? 2048 : 0)) * SECTOR_SIZE);
        cr_assert_eq(nth(list, 0)->mbr_type, i == 0 ? 0xef : 0);
        disk_free(&disk);
    }
}

static Disk disk_by_sfdisk(uint64_t bytes, const char *script)
{
    Disk disk = disk_new(bytes);

    workdir_run(disk.dir, "printf '%s' | sfdisk -q disk >/dev/null 2>&1",
                script);
    return disk;
}

Test(partition, logical_partitions_are_found)
{
    Disk disk = disk_by_sfdisk(
        64 * MIB, "label: dos\\nstart=2048,size=2048,type=c\\n"
                  "start=8192,type=f\\nstart=10240,size=2048,type=6\\n"
                  "start=14336,size=4096,type=b\\nstart=20480,type=e\\n");
    g_autoptr(PartitionList) list = disk_find(&disk);
    static const uint64_t starts[] = { 2048, 10240, 14336, 20480 };
    static const unsigned numbers[] = { 1, 5, 6, 7 };

    cr_assert_eq(list->table, PARTITION_MBR);
    cr_assert_eq(list->defects->len, 0);
    cr_assert_eq(list->partitions->len, 4);
    for (unsigned i = 0; i < 4; i++) {
        cr_assert_eq(nth(list, i)->number, numbers[i]);
        cr_assert_eq(nth(list, i)->start, starts[i] * SECTOR_SIZE);
    }
    cr_assert_eq(nth(list, 3)->mbr_type, 0x0e);
    disk_free(&disk);
}

Test(partition, gpt_of_other_tools_is_found)
{
    Disk disk = disk_by_sfdisk(64 * MIB, "label: gpt\\ntable-length: 200\\n"
                                         "1: start=4096,size=2048,type=uefi\\n"
                                         "150: start=8192,size=4096\\n");
    g_autoptr(PartitionList) list = disk_find(&disk);

    cr_assert_eq(list->table, PARTITION_GPT);
    cr_assert_eq(list->defects->len, 0);
    cr_assert_eq(list->partitions->len, 2);
    cr_assert_eq(nth(list, 0)->start, 4096 * SECTOR_SIZE);
    cr_assert_eq(nth(list, 0)->gpt_type.byte[0], 0x28);
    cr_assert_eq(nth(list, 1)->number, 150);
    cr_assert_eq(nth(list, 1)->bytes, 4096 * SECTOR_SIZE);
    disk_free(&disk);
}

Test(partition, hybrid_mbr_is_a_gpt)
{
    Disk disk = disk_by_sfdisk(64 * MIB, "label: gpt\\nstart=4096\\n");
    g_autoptr(PartitionList) list = NULL;

    workdir_run(disk.dir, "sgdisk -h 1 disk >/dev/null");
    list = disk_find(&disk);
    cr_assert_eq(list->table, PARTITION_GPT);
    cr_assert_eq(list->partitions->len, 1);
    disk_free(&disk);
}

/* Header and entries put at sectors of 4096 bytes. */
Test(partition, gpt_with_sectors_of_4096_bytes)
{
    Geometry g = choose(32, PARTITION_GPT, true, 100 * MIB);
    uint64_t sectors = 40960;
    Disk disk = disk_new(sectors * 4096);
    uint8_t s[SECTOR_SIZE];

    g.disk_sectors = sectors;
    g.volume_start = 256;
    g.volume_sectors = 1024;
    partition_render_mbr(&g, NULL, 0, s);
    disk_write(&disk, 0, s, sizeof(s));
    for (unsigned i = 0; i < 2; i++) {
        uint64_t lba = i ? sectors - 1 : 1;
        uint8_t big[4096] = { 0 };
        GptHeader *h = (GptHeader *)big;

        partition_render_gpt(&g, seed, lba, big);
        le32_put(&h->header_crc32, 0);
        le32_put(&h->header_crc32, (uint32_t)crc32(0, big, sizeof(*h)));
        disk_write(&disk, lba * 4096, big, sizeof(big));
        partition_render_gpt(&g, seed, i ? lba - 32 : 2, s);
        disk_write(&disk, (i ? lba - 32 : 2) * 4096, s, sizeof(s));
    }
    g_autoptr(PartitionList) list = disk_find(&disk);
    cr_assert_eq(list->table, PARTITION_GPT);
    cr_assert_eq(list->defects->len, 0);
    cr_assert_eq(nth(list, 0)->start, 256 * 4096);
    cr_assert_eq(nth(list, 0)->bytes, 1024 * 4096);
    disk_free(&disk);
}

/* ---- Bare disks ---- */

static void check_bare(Disk *disk)
{
    g_autoptr(PartitionList) list = disk_find(disk);

    cr_assert_eq(list->table, PARTITION_NONE);
    cr_assert_eq(list->partitions->len, 1);
    cr_assert_eq(nth(list, 0)->number, 0);
    cr_assert_eq(nth(list, 0)->start, 0);
    cr_assert_eq(nth(list, 0)->bytes, disk->bytes);
    cr_assert_eq(list->defects->len, 0);
}

Test(partition, fat_without_a_table_is_the_bare_disk)
{
    static const char *const options[] = { "", "--mbr=n", "--mbr=y" };

    for (size_t i = 0; i < G_N_ELEMENTS(options); i++) {
        Disk disk = disk_new(20 * MIB);

        workdir_run(disk.dir, "mkfs.fat %s disk >/dev/null", options[i]);
        check_bare(&disk);
        disk_free(&disk);
    }
}

Test(partition, blank_and_tiny_disks_are_bare)
{
    static const uint64_t sizes[] = { 0, 1, 511, 512, 1000, MIB };

    for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
        Disk disk = disk_new(sizes[i]);

        check_bare(&disk);
        disk_free(&disk);
    }
}

/* ---- Damage ---- */

static void spoil(Disk *disk, uint64_t offset)
{
    uint8_t byte;

    cr_assert_eq(pread(disk->fd, &byte, 1, (off_t)offset), 1);
    byte ^= 0x10;
    disk_write(disk, offset, &byte, 1);
}

Test(partition, backup_stands_in_for_a_damaged_gpt)
{
    static const struct {
        unsigned offset;
        const char *defect;
    } cases[] = {
        { 512, "primary GPT is damaged: its header has no signature" },
        { 512 + 60, "primary GPT is damaged: its header has a wrong" },
        { 512 + 12, "primary GPT is damaged: its header has" },
        { 1024 + 40, "primary GPT is damaged: its entries have a wrong" },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        Geometry g = choose(32, PARTITION_GPT, true, 100 * MIB);
        Disk disk = disk_render(&g);

        spoil(&disk, cases[i].offset);
        g_autoptr(PartitionList) list = disk_find(&disk);
        cr_assert_eq(list->table, PARTITION_GPT);
        cr_assert_eq(nth(list, 0)->start, g.volume_start * SECTOR_SIZE);
        cr_assert_eq(list->defects->len, 1);
        cr_assert(has_defect(list, cases[i].defect), "%s",
                  (char *)list->defects->pdata[0]);
        disk_free(&disk);
    }
}

Test(partition, damaged_backup_is_told)
{
    Geometry g = choose(32, PARTITION_GPT, true, 100 * MIB);
    Disk disk = disk_render(&g);

    spoil(&disk, disk.bytes - 512);
    g_autoptr(PartitionList) list = disk_find(&disk);
    cr_assert_eq(list->partitions->len, 1);
    cr_assert(has_defect(list, "backup GPT is damaged"));
    disk_free(&disk);
}

Test(partition, disk_that_grew_or_shrank_is_told)
{
    Geometry g = choose(32, PARTITION_GPT, true, 100 * MIB);
    Disk disk = disk_render(&g);

    cr_assert_eq(ftruncate(disk.fd, (off_t)(disk.bytes + MIB)), 0);
    disk.bytes += MIB;
    g_autoptr(PartitionList) grown = disk_find(&disk);
    cr_assert(has_defect(grown, "not at the end"));
    cr_assert_eq(grown->partitions->len, 1);
    disk.bytes -= 30 * MIB;
    g_autoptr(PartitionList) cut = disk_find(&disk);
    cr_assert(has_defect(cut, "outside the disk"));
    cr_assert(has_defect(cut, "reaches beyond the end"));
    cr_assert_eq(nth(cut, 0)->start + nth(cut, 0)->bytes, disk.bytes);
    disk_free(&disk);
}

Test(partition, two_damaged_gpts_leave_nothing)
{
    Geometry g = choose(32, PARTITION_GPT, true, 100 * MIB);
    Disk disk = disk_render(&g);

    spoil(&disk, 512);
    spoil(&disk, disk.bytes - 512);
    g_autoptr(PartitionList) list = disk_find(&disk);
    cr_assert_eq(list->partitions->len, 0);
    cr_assert(has_defect(list, "primary"));
    cr_assert(has_defect(list, "backup"));
    disk_free(&disk);
}

static void put_entry(Disk *disk, uint64_t table, unsigned index, uint8_t type,
                      uint32_t first, uint32_t sectors)
{
    MbrPartition p = { .type = type };

    le32_put(&p.first_lba, first);
    le32_put(&p.sectors, sectors);
    disk_write(disk, table * SECTOR_SIZE + 446 + 16 * index, &p, sizeof(p));
    disk_write(disk, table * SECTOR_SIZE + 510, "\x55\xaa", 2);
}

Test(partition, overlaps_and_ends_outside_are_told)
{
    Disk disk = disk_new(MIB); /* 2048 sectors */

    put_entry(&disk, 0, 0, 0x06, 64, 1000);
    put_entry(&disk, 0, 1, 0x06, 1000, 10000);
    put_entry(&disk, 0, 2, 0x06, 1000000, 1);
    g_autoptr(PartitionList) list = disk_find(&disk);
    cr_assert_eq(list->table, PARTITION_MBR);
    cr_assert_eq(list->partitions->len, 2);
    cr_assert_eq(list->defects->len, 3);
    cr_assert(has_defect(list, "partitions 1 and 2 overlap"));
    cr_assert(has_defect(list, "partition 2 reaches beyond"));
    cr_assert(has_defect(list, "partition 3 begins outside"));
    cr_assert_eq(nth(list, 1)->bytes, 1048 * SECTOR_SIZE);
    disk_free(&disk);
}

Test(partition, chain_of_logical_partitions_that_loops)
{
    Disk disk = disk_new(MIB);

    put_entry(&disk, 0, 0, 0x0f, 100, 1900);
    put_entry(&disk, 100, 0, 0x06, 10, 20);
    put_entry(&disk, 100, 1, 0x05, 100, 50);
    put_entry(&disk, 200, 0, 0x06, 10, 20);
    put_entry(&disk, 200, 1, 0x05, 0, 50);
    g_autoptr(PartitionList) list = disk_find(&disk);
    cr_assert_eq(list->partitions->len, 2);
    cr_assert_eq(nth(list, 0)->start, 110 * SECTOR_SIZE);
    cr_assert_eq(nth(list, 1)->start, 210 * SECTOR_SIZE);
    cr_assert(has_defect(list, "loop"));
    disk_free(&disk);
}

Test(partition, chain_of_logical_partitions_that_breaks)
{
    Disk disk = disk_new(MIB);

    put_entry(&disk, 0, 0, 0x05, 100, 1900);
    put_entry(&disk, 0, 1, 0x0f, 1000, 900);
    put_entry(&disk, 100, 1, 0x05, 100000, 50);
    g_autoptr(PartitionList) list = disk_find(&disk);
    cr_assert_eq(list->partitions->len, 0);
    cr_assert(has_defect(list, "leaves the disk"));
    cr_assert(has_defect(list, "sector 1000 has no mark"));
    disk_free(&disk);
}

Test(partition, endless_chain_of_logical_partitions_is_cut)
{
    Disk disk = disk_new(MIB);

    put_entry(&disk, 0, 0, 0x05, 100, 1900);
    for (uint32_t i = 0; i < 500; i++) {
        put_entry(&disk, 100 + i, 0, 0x06, 1000, 1);
        put_entry(&disk, 100 + i, 1, 0x05, i + 1, 1);
    }
    g_autoptr(PartitionList) list = disk_find(&disk);
    cr_assert_eq(list->partitions->len, 128);
    cr_assert(has_defect(list, "more than 128"));
    disk_free(&disk);
}

/* Numbers that would overflow or read far too much, with right checksums. */
Test(partition, hostile_gpt_headers_are_refused)
{
    static const struct {
        unsigned field;
        uint64_t value;
        unsigned bytes;
        const char *defect;
    } cases[] = {
        { offsetof(GptHeader, entry_count), 0xffffffff, 4, "impossible" },
        { offsetof(GptHeader, entry_count), 0, 4, "impossible" },
        { offsetof(GptHeader, entry_size), 0xfffffff8, 4, "impossible" },
        { offsetof(GptHeader, entry_size), 64, 4, "impossible" },
        { offsetof(GptHeader, entry_size), 129, 4, "impossible" },
        { offsetof(GptHeader, entries_lba), UINT64_MAX, 8, "outside" },
        { offsetof(GptHeader, entries_lba), UINT64_MAX / 512, 8, "outside" },
        { offsetof(GptHeader, my_lba), 7, 8, "stands elsewhere" },
        { offsetof(GptHeader, entries_lba), 3, 8, "wrong checksum" },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        Geometry g = choose(32, PARTITION_GPT, true, 100 * MIB);
        Disk disk = disk_render(&g);
        uint8_t s[SECTOR_SIZE];
        GptHeader *h = (GptHeader *)s;
        le64 value;

        partition_render_gpt(&g, seed, 1, s);
        le64_put(&value, cases[i].value);
        memcpy(s + cases[i].field, &value, cases[i].bytes);
        le32_put(&h->header_crc32, 0);
        le32_put(&h->header_crc32, (uint32_t)crc32(0, s, sizeof(*h)));
        disk_write(&disk, 512, s, sizeof(s));
        g_autoptr(PartitionList) list = disk_find(&disk);
        cr_assert(has_defect(list, cases[i].defect), "%zu", i);
        cr_assert_eq(list->partitions->len, 1, "the backup is used");
        cr_assert_lt(disk.bytes_read, 2 * MIB);
        disk_free(&disk);
    }
}

Test(partition, read_errors_are_errors)
{
    Geometry g = choose(32, PARTITION_GPT, true, 100 * MIB);
    Disk disk = disk_render(&g);
    const int64_t offsets[] = { 0, 512, 1024, (int64_t)disk.bytes - 512,
                                (int64_t)disk.bytes - 33 * 512 };

    for (size_t i = 0; i < G_N_ELEMENTS(offsets); i++) {
        g_autoptr(GError) error = NULL;

        disk.fail_at = offsets[i];
        cr_assert_null(partition_find(disk_read, &disk, disk.bytes, &error));
        cr_assert_eq(block_error_to_errno(error), -EIO);
    }
    disk_free(&disk);
}
