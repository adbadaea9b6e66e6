/* SPDX-License-Identifier: MIT */
/*
 * ata-guest DIR: a guest of the disk in ata-disk.c, by its registers alone. It
 * identifies the disk, looks for HELLO.TXT on the FAT16 volume and prints it,
 * tries the errors, and writes FROMATA.TXT, which is a file of DIR when the
 * disk has been flushed.
 */
#include "ata-disk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define expect(condition)                                                     \
    do {                                                                      \
        if (!(condition)) {                                                   \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);   \
            exit(1);                                                          \
        }                                                                     \
    } while (0)

typedef struct Machine {
    BlockBackend *blk;
    AioContext *ctx;
    AtaDisk *disk;
    bool irq;        /* the line */
    unsigned raised; /* how often it was */
    unsigned failures;
} Machine;

static void set_irq(void *opaque, bool level)
{
    Machine *m = opaque;

    m->raised += level && !m->irq;
    m->irq = level;
}

static void report(void *opaque, const char *text)
{
    Machine *m = opaque;

    printf("disk: %s\n", text);
    m->failures++;
}

/* ---- The driver of the guest ---- */

/* What a processor that halts does: the world goes on until an interrupt. */
static uint8_t wait_irq(Machine *m)
{
    while (!m->irq) {
        expect(aio_context_poll(m->ctx, -1) > 0);
    }
    uint8_t status = ata_disk_read(m->disk, ATA_STATUS);
    expect(!m->irq && !(status & ATA_BSY));
    return status;
}

static void put_lba(Machine *m, unsigned command, int64_t lba, unsigned count)
{
    bool ext = command == 0x24 || command == 0x34 || command == 0x29 ||
               command == 0x39 || command == 0x42;

    for (int i = ext ? 1 : 0; i >= 0; i--) { /* the upper half first */
        ata_disk_write(m->disk, ATA_COUNT, (uint8_t)(count >> 8 * i));
        for (int reg = 0; reg < 3; reg++) {
            ata_disk_write(m->disk, ATA_LBA_LOW + (unsigned)reg,
                           (uint8_t)(lba >> (24 * i + 8 * reg)));
        }
    }
    ata_disk_write(m->disk, ATA_DEVICE,
                   (uint8_t)(ext ? 0x40 : 0x40 | (lba >> 24 & 0x0f)));
    ata_disk_write(m->disk, ATA_STATUS, (uint8_t)command);
}

/* Read count sectors in blocks of `block`. The error register; 0: none. */
static uint8_t receive(Machine *m, uint8_t *buf, unsigned count,
                       unsigned block)
{
    for (unsigned left = count; left > 0; left -= MIN(left, block)) {
        uint8_t status = wait_irq(m);

        if (status & ATA_ERR) {
            return ata_disk_read(m->disk, ATA_ERROR);
        }
        expect(status & ATA_DRQ);
        for (unsigned i = 0; i < MIN(left, block) * 256; i++) {
            uint16_t value = ata_disk_read_data(m->disk);

            *buf++ = (uint8_t)value;
            *buf++ = (uint8_t)(value >> 8);
        }
    }
    expect(ata_disk_read(m->disk, ATA_STATUS) == ATA_DRDY);
    return 0;
}

static uint8_t transmit(Machine *m, const uint8_t *buf, unsigned count,
                        unsigned block)
{
    uint8_t status = ata_disk_read(m->disk, ATA_STATUS);

    for (unsigned left = count; left > 0; left -= MIN(left, block)) {
        if (status & ATA_ERR) {
            return ata_disk_read(m->disk, ATA_ERROR);
        }
        expect(status & ATA_DRQ);
        for (unsigned i = 0; i < MIN(left, block) * 256; i++, buf += 2) {
            ata_disk_write_data(m->disk, (uint16_t)(buf[0] | buf[1] << 8));
        }
        status = wait_irq(m);
    }
    expect(!(status & ATA_DRQ));
    return status & ATA_ERR ? ata_disk_read(m->disk, ATA_ERROR) : 0;
}

/* A command without data. The error register; 0: none. */
static uint8_t simple(Machine *m, unsigned command, unsigned feature,
                      unsigned count)
{
    ata_disk_write(m->disk, ATA_ERROR, (uint8_t)feature);
    ata_disk_write(m->disk, ATA_COUNT, (uint8_t)count);
    ata_disk_write(m->disk, ATA_STATUS, (uint8_t)command);
    return wait_irq(m) & ATA_ERR ? ata_disk_read(m->disk, ATA_ERROR) : 0;
}

static void read_sectors(Machine *m, int64_t lba, unsigned count, void *buf)
{
    put_lba(m, 0xc4, lba, count); /* READ MULTIPLE, 16 at a time */
    expect(receive(m, buf, count, 16) == 0);
}

static void write_sectors(Machine *m, int64_t lba, unsigned count,
                          const void *buf)
{
    put_lba(m, 0xc5, lba, count); /* WRITE MULTIPLE */
    expect(transmit(m, buf, count, 16) == 0);
}

/* ---- Its tests ---- */

static unsigned word(const uint8_t *data, unsigned index)
{
    return data[2 * index] | data[2 * index + 1] << 8;
}

static int64_t test_identify(Machine *m)
{
    uint8_t data[512] = { 0 }, sum = 0;

    ata_disk_write(m->disk, ATA_STATUS, 0xec);
    expect(receive(m, data, 1, 1) == 0);
    for (unsigned i = 0; i < 512; i++) {
        sum = (uint8_t)(sum + data[i]);
    }
    expect(sum == 0);
    int64_t sectors = word(data, 60) | (int64_t)word(data, 61) << 16;
    expect(sectors == (word(data, 100) | (int64_t)word(data, 101) << 16));
    printf("%lld sectors, %u cylinders, %u heads, %u sectors a track\n",
           (long long)sectors, word(data, 1), word(data, 3), word(data, 6));
    expect(word(data, 1) * word(data, 3) * word(data, 6) <= sectors);
    expect(word(data, 85) & 0x20); /* the write cache is on */
    expect(simple(m, 0xef, 0x82, 0) == 0);
    ata_disk_write(m->disk, ATA_STATUS, 0xec);
    expect(receive(m, data, 1, 1) == 0);
    expect(!(word(data, 85) & 0x20));
    expect(simple(m, 0xef, 0x02, 0) == 0);
    return sectors;
}

/* One sector by each kind of address, many sectors by each kind of command. */
static void test_reads(Machine *m)
{
    g_autofree uint8_t *one = g_malloc0(300 * 512);
    g_autofree uint8_t *other = g_malloc0(300 * 512);
    unsigned raised;

    put_lba(m, 0x24, 0, 300); /* more than the disk takes at a time */
    raised = m->raised;
    expect(receive(m, one, 300, 1) == 0);
    expect(m->raised - raised == 300);
    expect(one[510] == 0x55 && one[511] == 0xaa);

    ata_disk_write(m->disk, ATA_COUNT, 1); /* cylinder 0, head 1, sector 1 */
    ata_disk_write(m->disk, ATA_LBA_LOW, 1);
    ata_disk_write(m->disk, ATA_LBA_MID, 0);
    ata_disk_write(m->disk, ATA_LBA_HIGH, 0);
    ata_disk_write(m->disk, ATA_DEVICE, 1);
    ata_disk_write(m->disk, ATA_STATUS, 0x20);
    expect(receive(m, other, 1, 1) == 0);
    expect(memcmp(one + 63 * 512, other, 512) == 0);

    expect(simple(m, 0xc4, 0, 1) == ATA_ABRT); /* no multiple mode yet */
    expect(simple(m, 0xc6, 0, 3) == ATA_ABRT);
    expect(simple(m, 0xc6, 0, 16) == 0);
    raised = m->raised;
    read_sectors(m, 0, 250, other);
    expect(m->raised - raised == 16); /* 15 blocks of 16, one of 10 */
    expect(memcmp(one, other, 250 * 512) == 0);
    put_lba(m, 0x42, 0, 300); /* READ VERIFY EXT */
    expect(!(wait_irq(m) & ATA_ERR));
}

static void test_errors(Machine *m, int64_t sectors)
{
    uint8_t buf[2 * 512] = { 0 };

    expect(simple(m, 0xff, 0, 0) == ATA_ABRT); /* no such command */
    put_lba(m, 0x20, sectors, 1);
    expect(receive(m, buf, 1, 1) == ATA_IDNF);
    put_lba(m, 0x24, sectors - 1, 2); /* the first is there */
    expect((wait_irq(m) & (ATA_ERR | ATA_DRQ)) == ATA_DRQ);
    for (unsigned i = 0; i < 256; i++) {
        ata_disk_read_data(m->disk);
    }
    expect(wait_irq(m) & ATA_ERR);
    expect(ata_disk_read(m->disk, ATA_ERROR) == ATA_IDNF);
    expect(ata_disk_read(m->disk, ATA_LBA_LOW) == (sectors & 0xff));
    ata_disk_write(m->disk, ATA_CONTROL, 0x80); /* the upper half */
    expect(ata_disk_read(m->disk, ATA_LBA_LOW) == (sectors >> 24 & 0xff));
    ata_disk_write(m->disk, ATA_CONTROL, 0);

    /* A reset while a request is under way. */
    put_lba(m, 0x20, 0, 2);
    expect(ata_disk_read(m->disk, ATA_CONTROL) == ATA_BSY);
    ata_disk_write(m->disk, ATA_CONTROL, 0x04);
    ata_disk_write(m->disk, ATA_CONTROL, 0x00);
    while (ata_disk_read(m->disk, ATA_CONTROL) & ATA_BSY) {
        expect(aio_context_poll(m->ctx, -1) > 0);
    }
    expect(ata_disk_read(m->disk, ATA_COUNT) == 1);
    expect(ata_disk_read(m->disk, ATA_LBA_LOW) == 1);
    expect(ata_disk_read(m->disk, ATA_LBA_MID) == 0);
    expect(simple(m, 0xc6, 0, 16) == 0);

    ata_disk_write(m->disk, ATA_DEVICE, 0x10); /* there is no device 1 */
    ata_disk_write(m->disk, ATA_STATUS, 0xec);
    expect(ata_disk_read(m->disk, ATA_STATUS) == 0);
    ata_disk_write(m->disk, ATA_DEVICE, 0);
}

/* A disk with bad sectors: the guest is told which, and the user what. */
static void test_failures(Machine *m)
{
    uint8_t buf[20 * 512] = { 0 };

    put_lba(m, 0x42, 90, 20); /* READ VERIFY EXT */
    expect(wait_irq(m) & ATA_ERR);
    expect(ata_disk_read(m->disk, ATA_ERROR) == ATA_UNC);
    expect(ata_disk_read(m->disk, ATA_LBA_LOW) == 100);
    put_lba(m, 0x20, 99, 20);
    expect((wait_irq(m) & (ATA_ERR | ATA_DRQ)) == ATA_DRQ);
    for (unsigned i = 0; i < 256; i++) {
        ata_disk_read_data(m->disk); /* 99 is good */
    }
    expect(wait_irq(m) & ATA_ERR);
    expect(ata_disk_read(m->disk, ATA_ERROR) == ATA_UNC);
    put_lba(m, 0x30, 200, 2);
    expect(transmit(m, buf, 2, 1) == ATA_ABRT);
    put_lba(m, 0x30, 300, 20);
    expect(transmit(m, buf, 20, 1) == 0);
    expect(simple(m, 0xea, 0, 0) == ATA_ABRT); /* FLUSH CACHE EXT */
}

/* ---- The volume ---- */

typedef struct Volume {
    int64_t fat, root, data; /* sectors of the disk */
    unsigned fat_sectors, root_sectors, cluster_sectors;
} Volume;

static Volume find_volume(Machine *m)
{
    uint8_t sector[512] = { 0 };
    Volume v;

    read_sectors(m, 0, 1, sector);
    int64_t start = word(sector + 454, 0) | (int64_t)word(sector + 456, 0)
                                                << 16;
    read_sectors(m, start, 1, sector);
    expect(memcmp(sector + 54, "FAT16   ", 8) == 0 && sector[16] == 2);
    v.cluster_sectors = sector[13];
    v.fat = start + word(sector + 14, 0);
    v.fat_sectors = word(sector + 22, 0);
    v.root = v.fat + 2 * v.fat_sectors;
    v.root_sectors = (sector[17] | sector[18] << 8) / 16;
    v.data = v.root + v.root_sectors;
    return v;
}

/* The entry of that name in the root, or the first that is free (""). */
static int64_t find_entry(Machine *m, const Volume *v, const char *name,
                          uint8_t *sector, uint8_t **entry)
{
    for (int64_t at = v->root; at < v->data; at++) {
        read_sectors(m, at, 1, sector);
        for (*entry = sector; *entry < sector + 512; *entry += 32) {
            if (memcmp(*entry, name, *name ? 11 : 1) == 0 &&
                (*entry)[11] != 0x0f) {
                return at;
            }
        }
    }
    expect(!"found");
    return -1;
}

static void print_file(Machine *m, const Volume *v, const char *name)
{
    uint8_t sector[512] = { 0 }, *entry;

    find_entry(m, v, name, sector, &entry);
    unsigned cluster = word(entry + 26, 0), size = word(entry + 28, 0);
    expect(size <= 512);
    read_sectors(m, v->data + (cluster - 2) * v->cluster_sectors, 1, sector);
    fwrite(sector, 1, size, stdout);
}

/* A file of one cluster: its data, the end of its chain, its entry. */
static void write_file(Machine *m, const Volume *v, const char *name,
                       const char *text)
{
    uint8_t sector[512] = { 0 }, *entry;
    unsigned cluster = 2;
    int64_t at;

    read_sectors(m, v->fat, 1, sector);
    while (word(sector, cluster) != 0) {
        cluster++;
        expect(cluster < 256);
    }
    sector[2 * cluster] = sector[2 * cluster + 1] = 0xff;
    write_sectors(m, v->fat, 1, sector);
    write_sectors(m, v->fat + v->fat_sectors, 1, sector);

    memset(sector, 0, 512);
    memcpy(sector, text, strlen(text));
    write_sectors(m, v->data + (cluster - 2) * v->cluster_sectors, 1, sector);

    at = find_entry(m, v, "", sector, &entry);
    memset(entry, 0, 32);
    memcpy(entry, name, 11);
    entry[11] = 0x20;
    entry[24] = 0x21; /* 1980-01-01 */
    entry[26] = (uint8_t)cluster;
    entry[28] = (uint8_t)strlen(text);
    write_sectors(m, at, 1, sector);
    expect(simple(m, 0xe7, 0, 0) == 0); /* FLUSH CACHE */
}

static void begin(Machine *m, const char *name)
{
    g_autoptr(GError) err = NULL;
    AtaHost host = { set_irq, report, m };

    *m = (Machine){ .blk = blk_open(name, NULL, BDRV_O_RDWR, &err) };
    m->ctx = m->blk ? aio_context_new(0, &err) : NULL;
    m->disk = m->ctx ? ata_disk_new(m->blk, m->ctx, &host, &err) : NULL;
    if (m->disk == NULL) {
        fprintf(stderr, "%s\n", err->message);
        exit(1);
    }
}

static void end(Machine *m)
{
    ata_disk_free(m->disk);
    expect(blk_commit(m->blk, true, NULL) == 0);
    blk_close(m->blk);
    aio_context_unref(m->ctx);
}

int main(int argc, char **argv)
{
    static const char text[] = "Written through the task file.\n";
    Machine m = { .blk = NULL };

    expect(argc == 2);
    g_autofree char *name = g_strdup_printf("fat:rw:16:%s", argv[1]);
    g_autofree char *path = g_build_filename(argv[1], "FROMATA.TXT", NULL);
    g_autofree char *contents = NULL;

    begin(&m, name);
    int64_t sectors = test_identify(&m);
    test_reads(&m);
    test_errors(&m, sectors);
    Volume volume = find_volume(&m);
    print_file(&m, &volume, "HELLO   TXT");
    write_file(&m, &volume, "FROMATA TXT", text);
    expect(m.failures == 0);
    expect(g_file_get_contents(path, &contents, NULL, NULL));
    expect(strcmp(contents, text) == 0);
    puts("FROMATA.TXT is in the directory");
    end(&m);

    begin(&m, "json:{\"driver\": \"blkdebug\","
              "\"inject-error\": [{\"sector\": 100, \"iotype\": \"read\"},"
              "{\"sector\": 201, \"iotype\": \"write\"},"
              "{\"iotype\": \"flush\", \"once\": true}],"
              "\"image\": {\"driver\": \"null\"}}");
    test_failures(&m);
    end(&m);
    puts("the guest knows of each error");
    return 0;
}
