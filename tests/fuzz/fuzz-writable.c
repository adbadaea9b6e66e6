/* SPDX-License-Identifier: MIT */
/*
 * A guest without any sense on a writable directory, which is in memory: it
 * writes FAT entries, directory entries, boot sector and partition table,
 * flushes, discards and puts things back, while the host changes files and
 * fails. Whatever it does, requests end; in front of the clusters, and in
 * clusters that were not freed since, it reads what it wrote; and when all is
 * put back and the host works, a flush succeeds.
 *
 * Input: byte 0, the volume (bits 0-1: FAT12, with or without partition,
 * FAT16, FAT32) and options (bits 2-4); then operations of a byte (kind) and a
 * few more, as each takes them. Missing bytes are zeroes.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "block/block.h"
#include "tests/unit/fault-hostfs.h"
#include "tests/unit/host-tree.h"
#include "tests/unit/memory-hostfs.h"

#define SECTOR 512
#define MAX_OPS 96
#define NEAR 64u /* clusters that entries mostly name */

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size);

typedef struct Fuzz {
    const uint8_t *input;
    size_t left;
    FaultFs *fault;
    HostFs *host;
    BlockBackend *blk;
    char *dir; /* for temporary files */

    int64_t size, start, data; /* bytes: the disk, its volume, cluster 2 */
    int64_t fat[2], root;      /* root: the first cluster with FAT32 */
    uint32_t fat_bytes, cluster_size, n_clusters;
    unsigned type;

    GHashTable *sectors;  /* number -> what was written */
    GHashTable *original; /* number -> what was there first */
    bool host_changed;    /* files may read otherwise */
    bool loose;           /* the FAT was overwritten: any cluster may be */
} Fuzz;

#define expect(good) expect_at(good, __LINE__)

static void expect_at(bool good, int line)
{
    if (!good) {
        fprintf(stderr, "line %d: it is not so\n", line);
        abort();
    }
}

/* ---- Input ---- */

static uint8_t byte(Fuzz *f)
{
    if (f->left == 0) {
        return 0;
    }
    f->left--;
    return *f->input++;
}

static uint32_t word(Fuzz *f)
{
    uint32_t low = byte(f);

    return low | (uint32_t)byte(f) << 8;
}

static void bytes(Fuzz *f, uint8_t *to, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        to[i] = byte(f);
    }
}

/* Mostly one of the first clusters; now and then any number. */
static uint32_t cluster(Fuzz *f)
{
    uint32_t n = byte(f);

    return n < 2 * NEAR ? n % NEAR + 2 : word(f) * (n & 1 ? 1 : 0x1001);
}

/* ---- The host ---- */

static HostFsOps lent_ops;
static HostFs lent;

static void lent_destroy(HostFs *fs)
{
    (void)fs;
}

static HostFs *lend(const char *dir, GError **errp)
{
    (void)dir;
    (void)errp;
    return &lent;
}

static void make_host(Fuzz *f, unsigned flags)
{
    char text[1800];

    f->host = memory_hostfs_new();
    memset(text, 'x', sizeof(text));
    expect(host_tree_file(f->host, "large.bin", text, sizeof(text)) == 0);
    expect(host_tree_text(f->host, "a", "file a") == 0);
    expect(host_tree_text(f->host, "dir/a long name.text", "deeper") == 0);
    expect(host_tree_text(f->host, "dir/sub/b", "file b") == 0);
    expect(host_tree_text(f->host, "kept", "not writable") == 0);
    expect(host_tree_dir(f->host, "empty") == 0);
    expect(memory_hostfs_symlink(f->host, "link", "dir") == 0);
    if (flags & 4) {
        expect(f->host->ops->set_mode(f->host, "kept", 0444) == 0);
    }
    f->fault = fault_fs_new(f->host);
    f->fault->error = -EIO;
    lent_ops = *f->fault->fs.ops;
    lent_ops.destroy = lent_destroy;
    lent = (HostFs){ .ops = &lent_ops, .opaque = f->fault->fs.opaque };
}

/* ---- The disk ---- */

static uint32_t get16(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8;
}

static uint32_t get32(const uint8_t *p)
{
    return get16(p) | get16(p + 2) << 16;
}

static void find_places(Fuzz *f)
{
    uint8_t s[SECTOR];
    uint32_t root_bytes;

    expect(blk_pread(f->blk, 0, SECTOR, s, 0) == 0);
    if (s[0] != 0xeb) {
        f->start = (int64_t)get32(s + 454) * SECTOR;
        expect(blk_pread(f->blk, f->start, SECTOR, s, 0) == 0);
    }
    f->cluster_size = s[13] * SECTOR;
    f->fat_bytes = (get16(s + 22) ? get16(s + 22) : get32(s + 36)) * SECTOR;
    f->fat[0] = f->start + (int64_t)get16(s + 14) * SECTOR;
    f->fat[1] = f->fat[0] + (s[16] > 1 ? f->fat_bytes : 0);
    f->root = f->fat[1] + f->fat_bytes;
    root_bytes = get16(s + 17) * 32;
    f->data = f->root + root_bytes;
    f->n_clusters = (uint32_t)((f->size - f->data) / f->cluster_size);
}

static void open_disk(Fuzz *f, unsigned flags)
{
    static const char *const volumes[][2] = {
        { "12", "1M" },
        { "12", "1M" },
        { "16", "3M" },
        { "32", "36M" },
    };
    const char *const *volume = volumes[flags & 3];
    g_autoptr(Options) options = options_new();
    g_autoptr(GError) error = NULL;
    g_autofree char *dir = g_build_filename(f->dir, "host", NULL);

    f->type = (unsigned)atoi(volume[0]);
    options_set(options, "driver", "vvfat");
    options_set(options, "dir", dir);
    options_set(options, "rw", "on");
    options_set(options, "fat-type", volume[0]);
    options_set(options, "size", volume[1]);
    options_set(options, "cluster-size", "512");
    options_set(options, "timezone", "utc");
    options_set(options, "commit-delay", "600000");
    options_set(options, "partition", flags & 1 ? "mbr" : "none");
    options_set(options, "protect", flags & 8 ? "report" : "error");
    options_set(options, "overlay-max", flags & 16 ? "256k" : "0");
    hostfs_set_opener(lend);
    f->blk = blk_open(NULL, options, BDRV_O_RDWR | BDRV_O_UNMAP, &error);
    hostfs_set_opener(NULL);
    expect(f->blk != NULL);
    f->size = blk_getlength(f->blk);
    find_places(f);
}

/* ---- Writing ---- */

static uint8_t *sector_of(GHashTable *sectors, int64_t offset)
{
    return g_hash_table_lookup(sectors,
                               GSIZE_TO_POINTER((gsize)(offset / SECTOR)));
}

static void keep(GHashTable *sectors, int64_t offset, const uint8_t *data)
{
    g_hash_table_replace(sectors, GSIZE_TO_POINTER((gsize)(offset / SECTOR)),
                         g_memdup2(data, SECTOR));
}

/* What the guest takes a sector for. */
static bool load(Fuzz *f, int64_t offset, uint8_t *data)
{
    const uint8_t *known = sector_of(f->sectors, offset);

    if (known) {
        memcpy(data, known, SECTOR);
        return true;
    }
    return blk_pread(f->blk, offset, SECTOR, data, 0) == 0;
}

static void store(Fuzz *f, int64_t offset, const uint8_t *data)
{
    uint8_t old[SECTOR];

    if (!sector_of(f->original, offset)) {
        if (blk_pread(f->blk, offset, SECTOR, old, 0) < 0) {
            return;
        }
        keep(f->original, offset, old);
    }
    if (blk_pwrite(f->blk, offset, SECTOR, data, 0) == 0) {
        keep(f->sectors, offset, data);
    } else {
        g_hash_table_remove(f->sectors,
                            GSIZE_TO_POINTER((gsize)(offset / SECTOR)));
    }
}

static void patch(Fuzz *f, int64_t offset, const uint8_t *data, size_t n)
{
    while (n > 0 && offset >= 0 && offset < f->size) {
        size_t in_sector = (size_t)(offset % SECTOR);
        size_t part = MIN(n, SECTOR - in_sector);
        uint8_t sector[SECTOR];

        if (!load(f, offset - (int64_t)in_sector, sector)) {
            return;
        }
        memcpy(sector + in_sector, data, part);
        store(f, offset - (int64_t)in_sector, sector);
        offset += (int64_t)part;
        data += part;
        n -= part;
    }
}

static int64_t cluster_at(const Fuzz *f, uint32_t c)
{
    return f->data + (int64_t)(c % (f->n_clusters + 2) - 2) * f->cluster_size;
}

/* The cluster's sectors need not be kept any more. */
static void loosen(Fuzz *f, uint32_t c)
{
    int64_t at = cluster_at(f, c);

    if (c < 2 || c >= f->n_clusters + 2) {
        return;
    }
    for (uint32_t i = 0; i < f->cluster_size; i += SECTOR) {
        g_hash_table_remove(f->sectors,
                            GSIZE_TO_POINTER((gsize)((at + i) / SECTOR)));
    }
}

/* ---- What it writes ---- */

static void put_fat(Fuzz *f)
{
    uint8_t which = byte(f);
    uint32_t c = cluster(f) % (f->n_clusters + 2);
    uint32_t value = which & 4 ? 0 : which & 8 ? 0x0fffffff : cluster(f);

    value = which & 16 ? 0x0ffffff7 : value;
    if (value == 0) {
        loosen(f, c);
    }
    for (int copy = 0; copy < 2; copy++) {
        uint32_t bits = f->type * c;
        int64_t at = f->fat[copy] + bits / 8;
        uint8_t old[SECTOR * 2], entry[4];
        int64_t sector = at - at % SECTOR;

        if (which & (1 << copy) || !load(f, sector, old) ||
            !load(f, sector + SECTOR, old + SECTOR)) {
            continue;
        }
        memcpy(entry, old + at % SECTOR, 4);
        if (f->type == 12) {
            uint32_t both = get16(entry);

            both = bits % 8 ? (both & 0xf) | value << 4
                            : (both & 0xf000) | (value & 0xfff);
            value &= 0x0fffffff;
            entry[0] = (uint8_t)both;
            entry[1] = (uint8_t)(both >> 8);
        } else {
            for (unsigned i = 0; i < f->type / 8; i++) {
                entry[i] = (uint8_t)(value >> (8 * i));
            }
        }
        patch(f, at, entry, f->type == 32 ? 4 : 2);
    }
}

/* A slot of the root, or of whatever a cluster is taken for. */
static int64_t slot_at(Fuzz *f)
{
    uint8_t where = byte(f);
    int64_t dir = where < 128 ? f->root
                              : cluster_at(f, (where & 127) % NEAR + 2);

    return dir + (int64_t)(byte(f) % 32) * 32;
}

static void put_entry(Fuzz *f)
{
    int64_t at = slot_at(f);
    uint8_t entry[32] = { 0 };
    uint32_t c;

    bytes(f, entry, 12);
    c = cluster(f);
    entry[20] = (uint8_t)(c >> 16);
    entry[21] = (uint8_t)(c >> 24);
    entry[26] = (uint8_t)c;
    entry[27] = (uint8_t)(c >> 8);
    entry[28] = byte(f);
    entry[29] = byte(f) & 15;
    entry[24] = byte(f);
    patch(f, at, entry, sizeof(entry));
}

static void patch_entry(Fuzz *f)
{
    static const uint8_t fields[] = { 0, 1, 11, 13, 20, 22, 26, 28 };
    int64_t at = slot_at(f) + fields[byte(f) % sizeof(fields)];
    uint8_t data[4];
    size_t n = byte(f) % sizeof(data) + 1;

    bytes(f, data, n);
    patch(f, at, data, n);
}

static void copy_entries(Fuzz *f)
{
    int64_t from = slot_at(f), to = slot_at(f);
    size_t n = (byte(f) % 4 + 1u) * 32;
    uint8_t data[128], sector[SECTOR];
    uint8_t mark = 0xe5;

    n = MIN(n, SECTOR - (size_t)(from % SECTOR));
    if (!load(f, from - from % SECTOR, sector)) {
        return;
    }
    memcpy(data, sector + from % SECTOR, n);
    patch(f, to, data, n);
    if (byte(f) & 1) {
        for (size_t i = 0; i < n; i += 32) {
            patch(f, from + (int64_t)i, &mark, 1);
        }
    }
}

static void put_cluster(Fuzz *f)
{
    int64_t at = cluster_at(f, cluster(f) % f->n_clusters + 2);
    uint8_t sector[SECTOR];

    memset(sector, byte(f), sizeof(sector));
    bytes(f, sector, byte(f) % 16);
    if (at < f->size) {
        store(f, at, sector);
    }
}

static void patch_front(Fuzz *f)
{
    uint8_t where = byte(f);
    int64_t at = (where & 1 ? f->start : 0) + word(f) % 512;
    uint8_t data[8];
    size_t n = byte(f) % sizeof(data) + 1;

    bytes(f, data, n);
    patch(f, at, data, n);
}

static void zero_range(Fuzz *f)
{
    int64_t first = (int64_t)word(f) % (f->size / SECTOR);
    int64_t n = MIN((int64_t)byte(f) + 1, f->size / SECTOR - first);
    static const uint8_t zeroes[SECTOR];

    f->loose |= first * SECTOR < f->root;
    for (int64_t i = 0; i < n; i++) {
        store(f, (first + i) * SECTOR, zeroes);
    }
}

static void discard(Fuzz *f)
{
    uint32_t first = cluster(f) % f->n_clusters + 2;
    uint32_t n = MIN(byte(f) % 8 + 1u, f->n_clusters + 2 - first);

    for (uint32_t i = 0; i < n; i++) {
        loosen(f, first + i);
    }
    expect(blk_pdiscard(f->blk, cluster_at(f, first),
                        (int64_t)n * f->cluster_size) == 0);
}

/* As it was at first: all of it, or the FATs, or what is in front of them. */
static void restore(Fuzz *f, int64_t from, int64_t to)
{
    GHashTableIter iter;
    gpointer key, data;

    g_hash_table_iter_init(&iter, f->original);
    while (g_hash_table_iter_next(&iter, &key, &data)) {
        int64_t at = (int64_t)GPOINTER_TO_SIZE(key) * SECTOR;

        if (at >= from && at < to) {
            store(f, at, data);
        }
    }
}

static void change_host(Fuzz *f)
{
    static const char *const names[] = { "a", "dir/sub/b", "large.bin",
                                         "dir/a long name.text", "new" };
    const char *name = names[byte(f) % G_N_ELEMENTS(names)];
    HostFs *host = f->host;
    int ret;

    f->host_changed = true;
    switch (byte(f) % 4) {
    case 0:
        ret = host_tree_text(host, name, "changed on the host");
        break;
    case 1:
        ret = host->ops->unlink(host, name);
        break;
    case 2:
        ret = host->ops->rename(host, name, "moved by the host", 0);
        break;
    default:
        host->ops->unlink(host, name);
        ret = memory_hostfs_symlink(host, name, "dir");
        break;
    }
    (void)ret; /* it may not be there */
}

static void check(Fuzz *f)
{
    GHashTableIter iter;
    gpointer key, data;

    g_hash_table_iter_init(&iter, f->sectors);
    while (g_hash_table_iter_next(&iter, &key, &data)) {
        int64_t at = (int64_t)GPOINTER_TO_SIZE(key) * SECTOR;
        uint8_t sector[SECTOR];
        int ret = blk_pread(f->blk, at, SECTOR, sector, 0);

        if (at < f->data) {
            expect(ret == 0 && memcmp(sector, data, SECTOR) == 0);
        } else if (ret == 0 && !f->host_changed && !f->loose) {
            expect(memcmp(sector, data, SECTOR) == 0);
        }
    }
}

static void flush(Fuzz *f)
{
    uint8_t how = byte(f);
    int ret;

    f->fault->fail_at = how & 1 ? f->fault->calls + 1 + (how >> 2) : 0;
    f->fault->fail_on = how & 2;
    f->host_changed |= how & 1;
    ret = blk_flush(f->blk);
    (void)ret; /* it may say that it could not */
    f->fault->fail_at = 0;
    check(f);
}

static void run_op(Fuzz *f)
{
    switch (byte(f) % 14) {
    case 0:
    case 1:
        put_fat(f);
        break;
    case 2:
        put_entry(f);
        break;
    case 3:
        patch_entry(f);
        break;
    case 4:
        copy_entries(f);
        break;
    case 5:
        put_cluster(f);
        break;
    case 6:
        patch_front(f);
        break;
    case 7:
        zero_range(f);
        break;
    case 8:
        discard(f);
        break;
    case 9:
        restore(f, 0, f->fat[0]);
        break;
    case 10:
        f->loose = true;
        restore(f, 0, f->size);
        break;
    case 11:
        change_host(f);
        break;
    default:
        flush(f);
        break;
    }
}

/* ---- One run ---- */

static void remove_files(const char *path)
{
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *file = g_build_filename(path, name, NULL);

        expect(strstr(name, "rescue") != NULL); /* nothing else is left */
        unlink(file);
    }
}

static char *make_dir(void)
{
    static char *dir;

    if (!dir) {
        dir = g_strdup("/dev/shm/fuzz-writable-XXXXXX");
        if (!g_mkdtemp(dir)) {
            g_free(dir);
            dir = g_dir_make_tmp("fuzz-writable-XXXXXX", NULL);
        }
        expect(dir != NULL);
        g_setenv("TMPDIR", dir, TRUE);
    }
    return dir;
}

static void expect_flush(Fuzz *f)
{
    int ret = blk_flush(f->blk);

    if (ret < 0) {
        g_autofree char *why = blk_strerror(ret);

        fprintf(stderr, "the flush after all was put back: %s\n", why);
        abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *input, size_t size)
{
    Fuzz f = { .input = input, .left = size, .dir = make_dir() };
    unsigned flags = byte(&f);

    f.sectors = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    f.original = g_hash_table_new_full(NULL, NULL, NULL, g_free);
    make_host(&f, flags);
    open_disk(&f, flags);
    for (int i = 0; i < MAX_OPS && f.left > 0; i++) {
        run_op(&f);
    }
    flush(&f);
    restore(&f, 0, f.size);
    if (!(flags & 16) && !f.host_changed) {
        expect_flush(&f);
    }
    blk_close(f.blk);
    expect(f.fault->n_open == 0);
    hostfs_free(&f.fault->fs);
    g_hash_table_destroy(f.sectors);
    g_hash_table_destroy(f.original);
    remove_files(f.dir);
    return 0;
}
