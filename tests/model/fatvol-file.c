/* SPDX-License-Identifier: MIT */
/* What files hold, and their times. */
#include <string.h>
#include <time.h>

#include "tests/model/fatvol.h"

static uint32_t entry_size(const FatEntry *entry)
{
    return get32(entry->raw + E_SIZE);
}

static void set_size(FatVol *vol, FatEntry *entry, uint32_t size)
{
    put32(entry->raw + E_SIZE, size);
    entry_touch(vol, entry);
}

/* Put bytes (or zeroes, without data) into a chain that is long enough. */
static void put_bytes(FatVol *vol, uint32_t first, uint32_t offset,
                      const uint8_t *data, uint32_t bytes)
{
    uint32_t c = first;

    for (uint32_t skip = offset / vol->cluster_size; skip && c; skip--) {
        c = fatvol_next(vol, c);
    }
    while (bytes > 0) {
        uint32_t in_cluster = offset % vol->cluster_size;
        uint32_t n = MIN(bytes, vol->cluster_size - in_cluster);
        int64_t at = fatvol_cluster_at(vol, c) + in_cluster;

        if (data) {
            memcpy(vol->disk->mem + at, data, n);
            data += n;
        } else {
            memset(vol->disk->mem + at, 0, n);
        }
        disk_touch(vol->disk, at, n, CLASS_DATA);
        offset += n;
        bytes -= n;
        c = fatvol_next(vol, c);
    }
}

/* A chain for so many bytes. False: no room, and nothing was changed. */
static bool lengthen(FatVol *vol, FatEntry *entry, uint32_t bytes)
{
    unsigned wanted = fatvol_clusters(vol, bytes);
    uint32_t last = 0;
    unsigned n = 0;

    for (uint32_t c = entry_cluster(vol, entry); c; c = fatvol_next(vol, c)) {
        last = c;
        n++;
    }
    if (wanted > n && wanted - n > vol->n_free) {
        return false;
    }
    for (; n < wanted; n++) {
        uint32_t c = fatvol_alloc(vol, last);

        if (!last) {
            entry_set_cluster(vol, entry, c);
        }
        last = c;
    }
    return true;
}

bool fatvol_write(FatVol *vol, FatEntry *entry, uint32_t offset,
                  const uint8_t *data, uint32_t bytes)
{
    uint32_t size = entry_size(entry);
    uint32_t first;

    if (bytes == 0) {
        return true;
    }
    if (!lengthen(vol, entry, MAX(size, offset + bytes))) {
        return false;
    }
    first = entry_cluster(vol, entry);
    if (offset > size) {
        put_bytes(vol, first, size, NULL, offset - size);
    }
    put_bytes(vol, first, offset, data, bytes);
    if (offset + bytes > size) {
        set_size(vol, entry, offset + bytes);
    }
    return true;
}

static void shorten(FatVol *vol, FatEntry *entry, uint32_t size)
{
    uint32_t c = entry_cluster(vol, entry);

    if (size == 0) {
        entry_set_cluster(vol, entry, 0);
        fatvol_free_chain(vol, c);
        return;
    }
    for (unsigned keep = fatvol_clusters(vol, size); keep > 1; keep--) {
        c = fatvol_next(vol, c);
    }
    if (fatvol_next(vol, c)) {
        uint32_t rest = fatvol_next(vol, c);

        fatvol_link(vol, c, 0);
        fatvol_free_chain(vol, rest);
    }
}

bool fatvol_resize(FatVol *vol, FatEntry *entry, uint32_t size)
{
    uint32_t old = entry_size(entry);

    if (size < old) {
        shorten(vol, entry, size);
    } else if (!lengthen(vol, entry, size)) {
        return false;
    } else if (size > old) {
        put_bytes(vol, entry_cluster(vol, entry), old, NULL, size - old);
    }
    set_size(vol, entry, size);
    return true;
}

bool fatvol_read(FatVol *vol, const FatEntry *entry, uint8_t *data)
{
    uint32_t left = entry_size(entry);
    uint32_t c = entry_cluster(vol, entry);

    for (; left > 0 && c; c = fatvol_next(vol, c)) {
        uint32_t n = MIN(left, vol->cluster_size);

        memcpy(data, vol->disk->mem + fatvol_cluster_at(vol, c), n);
        data += n;
        left -= n;
    }
    return left == 0 && c == 0;
}

void fatvol_touch(FatVol *vol, const FatEntry *entry)
{
    uint32_t left = entry_size(entry);

    entry_touch(vol, entry);
    if (entry_is_dir(entry)) {
        fatvol_touch_chain(vol, entry_cluster(vol, entry), CLASS_DIR);
        return;
    }
    /* What is behind the end of a file need not be anything. */
    for (uint32_t c = entry_cluster(vol, entry); c && left > 0;
         c = fatvol_next(vol, c)) {
        uint32_t n = MIN(left, vol->cluster_size);

        disk_touch(vol->disk, fatvol_cluster_at(vol, c), n, CLASS_DATA);
        left -= n;
    }
}

void fatvol_touch_chain(FatVol *vol, uint32_t first, SectorClass class)
{
    for (uint32_t c = first; c; c = fatvol_next(vol, c)) {
        disk_touch(vol->disk, fatvol_cluster_at(vol, c), vol->cluster_size,
                   class);
    }
}

void entry_set_time(FatVol *vol, FatEntry *entry, int64_t seconds)
{
    time_t t = (time_t)seconds;
    struct tm tm;
    unsigned date, in_day;

    gmtime_r(&t, &tm);
    date = (unsigned)(tm.tm_year - 80) << 9 | (unsigned)(tm.tm_mon + 1) << 5 |
           (unsigned)tm.tm_mday;
    in_day = (unsigned)tm.tm_hour << 11 | (unsigned)tm.tm_min << 5 |
             (unsigned)tm.tm_sec / 2;
    if (get16(entry->raw + E_CREATED_DATE) == 0) {
        put16(entry->raw + E_CREATED_DATE, date);
        put16(entry->raw + E_CREATED_TIME, in_day);
    }
    put16(entry->raw + E_ACCESSED, date);
    put16(entry->raw + E_DATE, date);
    put16(entry->raw + E_TIME, in_day);
    entry_touch(vol, entry);
}

int64_t entry_time(const FatEntry *entry)
{
    unsigned date = get16(entry->raw + E_DATE);
    unsigned in_day = get16(entry->raw + E_TIME);
    struct tm tm = {
        .tm_year = (int)(date >> 9) + 80,
        .tm_mon = (int)(date >> 5 & 15) - 1,
        .tm_mday = (int)(date & 31),
        .tm_hour = (int)(in_day >> 11),
        .tm_min = (int)(in_day >> 5 & 63),
        .tm_sec = (int)(in_day & 31) * 2,
    };

    return timegm(&tm);
}
