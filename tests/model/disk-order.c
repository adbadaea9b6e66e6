/* SPDX-License-Identifier: MIT */
/* In which order a guest's dirty sectors reach the device. */
#include "tests/model/disk.h"

#include <inttypes.h>
#include <string.h>

#define N_PERMUTED 4 /* data, FAT 1, FAT 2, directories */

static const unsigned chunk_sectors[] = { 1, 3, 8, 128 };

typedef struct Pending {
    uint64_t key;
    uint32_t sector;
} Pending;

/* Where each class comes in permutation number n (Lehmer code). */
static void permutation_ranks(unsigned n, unsigned rank[N_CLASSES])
{
    unsigned left[N_PERMUTED] = { CLASS_DATA, CLASS_FAT1, CLASS_FAT2,
                                  CLASS_DIR };

    for (unsigned i = 0; i < N_PERMUTED; i++) {
        unsigned pick = n % (N_PERMUTED - i);

        n /= N_PERMUTED - i;
        rank[left[pick]] = i;
        memmove(left + pick, left + pick + 1,
                (N_PERMUTED - 1 - pick) * sizeof(*left));
    }
    rank[CLASS_BOOT] = N_PERMUTED;
}

static unsigned class_rank(unsigned order, unsigned class)
{
    static const unsigned windows[N_CLASSES] = { 0, 0, 2, 2, 1, 3 };
    static const unsigned mtools[N_CLASSES] = { 0, 0, 1, 2, 3, 4 };
    unsigned rank[N_CLASSES];

    switch (order) {
    case ORDER_ASCENDING:
    case ORDER_DESCENDING:
    case ORDER_RANDOM:
        return 0;
    case ORDER_LINUX:
        return class != CLASS_DATA;
    case ORDER_WINDOWS:
        return windows[class];
    case ORDER_MTOOLS:
        return mtools[class];
    default:
        permutation_ranks(order, rank);
        return rank[class];
    }
}

static uint64_t key_within(const Disk *disk, unsigned order, unsigned style,
                           Prng *prng, uint32_t sector, guint touched)
{
    if (order == ORDER_WINDOWS && disk->dirty[sector] == CLASS_FAT1) {
        return (uint64_t)(sector - disk->fat1) * 2;
    }
    if (order == ORDER_WINDOWS && disk->dirty[sector] == CLASS_FAT2) {
        return (uint64_t)(sector - disk->fat2) * 2 + 1;
    }
    if (order == ORDER_DESCENDING) {
        style = WITHIN_DESCENDING;
    } else if (order == ORDER_RANDOM) {
        style = WITHIN_RANDOM;
    } else if (order >= ORDER_PERMUTATIONS) {
        style = WITHIN_ASCENDING;
    }
    switch (style & 3) {
    case WITHIN_DESCENDING:
        return UINT32_MAX - sector;
    case WITHIN_RANDOM:
        return prng_next(prng) >> 32;
    case WITHIN_AS_TOUCHED:
        return touched;
    default:
        return sector;
    }
}

static int compare_pending(const void *a, const void *b)
{
    const Pending *x = a, *y = b;

    if (x->key != y->key) {
        return x->key < y->key ? -1 : 1;
    }
    return x->sector < y->sector ? -1 : x->sector > y->sector;
}

static GArray *pending_sorted(Disk *disk, unsigned order, unsigned style,
                              uint64_t seed)
{
    GArray *all = g_array_new(FALSE, FALSE, sizeof(Pending));
    GHashTable *seen = g_hash_table_new(NULL, NULL);
    Prng prng = { seed };

    for (guint i = 0; i < disk->touched->len; i++) {
        uint32_t sector = g_array_index(disk->touched, uint32_t, i);
        Pending one = { .sector = sector };

        if (disk->dirty[sector] == CLASS_CLEAN ||
            !g_hash_table_add(seen, GUINT_TO_POINTER(sector))) {
            continue;
        }
        one.key = (uint64_t)class_rank(order, disk->dirty[sector]) << 40 |
                  key_within(disk, order, style, &prng, sector, i);
        g_array_append_val(all, one);
    }
    g_hash_table_destroy(seen);
    g_array_sort(all, compare_pending);
    return all;
}

static char *write_run(Disk *disk, uint32_t first, unsigned n)
{
    int64_t offset = (int64_t)first * SECTOR;
    int64_t bytes = (int64_t)n * SECTOR;
    int ret = blk_pwrite(disk->blk, offset, bytes, disk->mem + offset, 0);

    if (ret < 0) {
        g_autofree char *text = blk_strerror(ret);

        return g_strdup_printf("writing %u sectors at sector %" PRIu32
                               " (class %u) failed: %s",
                               n, first, disk->dirty[first], text);
    }
    disk->n_writes++;
    for (uint32_t s = first; s < first + n; s++) {
        uint8_t old[SECTOR];
        uint8_t *shadow = disk->shadow + (int64_t)s * SECTOR;

        memcpy(old, shadow, SECTOR);
        memcpy(shadow, disk->mem + (int64_t)s * SECTOR, SECTOR);
        disk->dirty[s] = CLASS_CLEAN;
        disk->loose[s] = 0;
        if (disk->written) {
            disk->written(disk->opaque, s, old);
        }
    }
    return NULL;
}

/* The rest stays in the order in which it became dirty. */
static void forget_written(Disk *disk)
{
    guint kept = 0;

    for (guint i = 0; i < disk->touched->len; i++) {
        uint32_t sector = g_array_index(disk->touched, uint32_t, i);

        if (disk->dirty[sector] != CLASS_CLEAN) {
            g_array_index(disk->touched, uint32_t, kept++) = sector;
        }
    }
    g_array_set_size(disk->touched, kept);
}

char *disk_write(Disk *disk, unsigned order, unsigned style, uint64_t seed,
                 unsigned most)
{
    GArray *all = pending_sorted(disk, order, style, seed);
    unsigned chunk = chunk_sectors[style >> 2 & 3];
    unsigned end = MIN(most, all->len);
    char *why = NULL;

    for (unsigned i = 0; i < end && !why;) {
        uint32_t first = g_array_index(all, Pending, i).sector;
        unsigned n = 1;

        while (n < chunk && i + n < end &&
               g_array_index(all, Pending, i + n).sector == first + n) {
            n++;
        }
        why = write_run(disk, first, n);
        i += n;
    }
    forget_written(disk);
    g_array_free(all, TRUE);
    return why;
}

char *disk_order_name(unsigned order, unsigned style)
{
    static const char *const names[] = { "ascending", "descending", "random",
                                         "linux",     "windows",    "mtools" };
    static const char *const within[] = { "ascending", "descending", "random",
                                          "as touched" };
    static const char letters[] = " D12E";
    char classes[N_PERMUTED + 1] = "";
    unsigned rank[N_CLASSES];

    if (order >= ORDER_PERMUTATIONS) {
        return g_strdup_printf("%s, %u sectors",
                               names[order - ORDER_PERMUTATIONS],
                               chunk_sectors[style >> 2 & 3]);
    }
    permutation_ranks(order, rank);
    for (unsigned c = CLASS_DATA; c <= CLASS_DIR; c++) {
        classes[rank[c]] = letters[c];
    }
    return g_strdup_printf("%s, %s, %u sectors", classes, within[style & 3],
                           chunk_sectors[style >> 2 & 3]);
}
