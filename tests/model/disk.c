/* SPDX-License-Identifier: MIT */
#include "tests/model/disk.h"

#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>

#define CHUNK (INT64_C(1) << 20)
#define RANDOM_RANGES 6
#define RANDOM_SECTORS 64

static const uint8_t zeroes[4096];

/* Pages that nothing but zeroes is put into take no memory. */
static uint8_t *sparse_new(int64_t bytes)
{
    void *p = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    g_assert(p != MAP_FAILED);
    return p;
}

static void sparse_copy(uint8_t *to, const uint8_t *from, int64_t bytes)
{
    for (int64_t i = 0; i < bytes; i += (int64_t)sizeof(zeroes)) {
        size_t n = (size_t)MIN((int64_t)sizeof(zeroes), bytes - i);

        if (memcmp(from + i, zeroes, n) != 0) {
            memcpy(to + i, from + i, n);
        }
    }
}

static char *load(Disk *disk)
{
    g_autofree uint8_t *buffer = g_malloc((gsize)CHUNK);

    for (int64_t at = 0; at < disk->size; at += CHUNK) {
        int64_t n = MIN(CHUNK, disk->size - at);
        int ret = blk_pread(disk->blk, at, n, buffer, 0);

        if (ret < 0) {
            return g_strdup_printf("cannot read the device at %" PRId64 ": %s",
                                   at, g_strerror(-ret));
        }
        sparse_copy(disk->mem + at, buffer, n);
        sparse_copy(disk->shadow + at, buffer, n);
    }
    return NULL;
}

Disk *disk_new(BlockBackend *blk, char **why)
{
    Disk *disk = g_new0(Disk, 1);
    int64_t size = blk_getlength(blk);

    disk->blk = blk;
    disk->size = size / SECTOR * SECTOR;
    disk->mem = sparse_new(disk->size);
    disk->shadow = sparse_new(disk->size);
    disk->dirty = sparse_new(disk->size / SECTOR);
    disk->loose = sparse_new(disk->size / SECTOR);
    disk->touched = g_array_new(FALSE, FALSE, sizeof(uint32_t));
    *why = load(disk);
    if (*why) {
        disk_free(disk);
        return NULL;
    }
    return disk;
}

void disk_free(Disk *disk)
{
    if (!disk) {
        return;
    }
    munmap(disk->mem, (size_t)disk->size);
    munmap(disk->shadow, (size_t)disk->size);
    munmap(disk->dirty, (size_t)(disk->size / SECTOR));
    munmap(disk->loose, (size_t)(disk->size / SECTOR));
    g_array_free(disk->touched, TRUE);
    blk_close(disk->blk);
    g_free(disk);
}

void disk_touch(Disk *disk, int64_t offset, int64_t bytes, SectorClass class)
{
    g_assert(offset >= 0 && offset + bytes <= disk->size);
    if (bytes == 0) {
        return;
    }
    for (int64_t s = offset / SECTOR; s <= (offset + bytes - 1) / SECTOR;
         s++) {
        uint32_t sector = (uint32_t)s;

        if (disk->dirty[s] == CLASS_CLEAN) {
            g_array_append_val(disk->touched, sector);
        }
        disk->dirty[s] = (uint8_t) class;
    }
}

void disk_forget(Disk *disk, int64_t offset, int64_t bytes)
{
    memset(disk->dirty + offset / SECTOR, CLASS_CLEAN,
           (size_t)(bytes / SECTOR));
}

void disk_loosen(Disk *disk, int64_t offset, int64_t bytes)
{
    if (!disk->keeps_free) {
        memset(disk->loose + offset / SECTOR, 1, (size_t)(bytes / SECTOR));
    }
}

unsigned disk_n_dirty(const Disk *disk)
{
    unsigned n = 0;

    for (guint i = 0; i < disk->touched->len; i++) {
        n += disk->dirty[g_array_index(disk->touched, uint32_t, i)] !=
             CLASS_CLEAN;
    }
    return n;
}

int disk_damage(Disk *disk, uint32_t sector, const uint8_t *data,
                SectorClass class)
{
    int64_t offset = (int64_t)sector * SECTOR;
    uint8_t old[SECTOR];
    int ret = blk_pwrite(disk->blk, offset, SECTOR, data, 0);

    disk_touch(disk, offset, SECTOR, class);
    if (ret < 0) {
        /* Refused, or half done: there is no telling what it holds. */
        disk->loose[sector] = 1;
        return ret;
    }
    memcpy(old, disk->shadow + offset, SECTOR);
    memcpy(disk->shadow + offset, data, SECTOR);
    disk->loose[sector] = 0;
    if (disk->written) {
        disk->written(disk->opaque, sector, old);
    }
    return 0;
}

/* ---- Comparing ---- */

static char *differs(Disk *disk, int64_t at, int64_t bytes,
                     const uint8_t *read)
{
    if (memcmp(read, disk->shadow + at, (size_t)bytes) == 0) {
        return NULL;
    }
    for (int64_t i = 0; i < bytes; i += SECTOR) {
        int64_t s = (at + i) / SECTOR;
        int64_t n = 0;

        if (disk->loose[s] ||
            memcmp(read + i, disk->shadow + at + i, SECTOR) == 0) {
            continue;
        }
        while (read[i + n] == disk->shadow[at + i + n]) {
            n++;
        }
        return g_strdup_printf("sector %" PRId64 " (byte %" PRId64
                               ") reads 0x%02x instead of 0x%02x%s",
                               s, n, read[i + n], disk->shadow[at + i + n],
                               disk->dirty[s] ? " (newer in memory)" : "");
    }
    return NULL;
}

static char *verify_range(Disk *disk, int64_t at, int64_t bytes)
{
    g_autofree uint8_t *read = g_malloc((gsize)bytes);
    int ret = blk_pread(disk->blk, at, bytes, read, 0);

    if (ret < 0) {
        g_autofree char *text = blk_strerror(ret);

        return g_strdup_printf("reading %" PRId64 " bytes at %" PRId64
                               " failed: %s",
                               bytes, at, text);
    }
    return differs(disk, at, bytes, read);
}

char *disk_verify(Disk *disk, bool all, uint64_t seed)
{
    Prng prng = { seed };
    uint32_t n_sectors = (uint32_t)(disk->size / SECTOR);

    for (int64_t at = 0; all && at < disk->size; at += CHUNK) {
        char *why = verify_range(disk, at, MIN(CHUNK, disk->size - at));

        if (why) {
            return why;
        }
    }
    for (int i = 0; !all && i < RANDOM_RANGES; i++) {
        /* The front is where the metadata is, and most of the data. */
        uint32_t n = 1 + prng_below(&prng, RANDOM_SECTORS);
        uint32_t end = i % 2 ? n_sectors : MAX(n, n_sectors / 16);
        uint32_t first = prng_below(&prng, end - n + 1);
        char *why = verify_range(disk, (int64_t)first * SECTOR,
                                 (int64_t)n * SECTOR);

        if (why) {
            return why;
        }
    }
    return NULL;
}
