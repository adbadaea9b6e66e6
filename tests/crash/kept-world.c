/* SPDX-License-Identifier: MIT */
#include "tests/crash/kept-world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECTOR 512
#define IN_PLACE 700u /* times in a file; behind it comes what links show */

const char *const world_steps[N_STEPS] = {
    "mmd -i $V ::/new ::/new/inner && mcopy -m -i $V big.txt ::/new/big.txt "
    "&& mcopy -m -i $V other.txt ::/mounted/",
    "mmove -i $V ::/a.txt ::/new/ && mren -i $V ::/sub/b.txt ::/sub/bb.txt",
    "IN PLACE",
    "mren -i $V ::/one.txt ::/tmp.txt && mren -i $V ::/two.txt ::/one.txt && "
    "mren -i $V ::/tmp.txt ::/two.txt",
    "mcopy -m -o -i $V other.txt ::/new/big.txt && "
    "mattrib -i $V +r +h ::/keep.txt",
    "mmove -i $V ::/sub ::/new/inner/ && mcopy -m -i $V other.txt ::/sub",
    "mdeltree -i $V ::/new/inner/sub/deep && mdel -i $V ::/two.txt && "
    "mcopy -m -i $V many ::/",
    "mattrib -i $V -r -h ::/keep.txt && mdel -i $V ::/keep.txt && "
    "mren -i $V ::/new/big.txt ::/new/keep.txt && "
    "mmove -i $V ::/new/keep.txt ::/",
    "mdeltree -i $V ::/many ::/new",
};

World world;
unsigned world_failures;
char world_context[200];

void world_fail(const char *fmt, ...)
{
    va_list args;

    printf("%s: ", world_context);
    va_start(args, fmt);
    vprintf(fmt, args);
    va_end(args);
    printf("\n");
    if (++world_failures > 20) {
        exit(1);
    }
}

void world_must(bool ok, const char *what)
{
    if (!ok) {
        printf("%s: %s failed\n", world_context, what);
        exit(1);
    }
}

/* ---- The host ---- */

static HostFs *next_host;

HostFs *world_give_host(const char *dir, GError **errp)
{
    (void)dir;
    (void)errp;
    return g_steal_pointer(&next_host);
}

static void put_file(HostFs *fs, const char *path, const char *text,
                     unsigned times)
{
    g_autoptr(GString) all = g_string_new(NULL);
    HostFile *file;

    for (unsigned i = 0; i < times; i++) {
        g_string_append_printf(all, "%s %u\n", text, i);
    }
    world_must(fs->ops->file_create(fs, path, 0666, &file) == 0, path);
    world_must(hostfs_write_full(fs, file, 0, all->str, all->len) == 0, path);
    fs->ops->file_close(fs, file);
    world_must(fs->ops->set_times(fs, path, 1000000000, 0) == 0, path);
}

static HostFs *make_host(void)
{
    HostFs *fs = memory_hostfs_new();

    world_must(fs->ops->mkdir(fs, "sub", 0777) == 0, "mkdir");
    world_must(fs->ops->mkdir(fs, "sub/deep", 0777) == 0, "mkdir");
    put_file(fs, "a.txt", "the file a", 900);
    put_file(fs, "keep.txt", "kept", 10);
    put_file(fs, "one.txt", "one", 300);
    put_file(fs, "two.txt", "two", 500);
    put_file(fs, "sub/b.txt", "the file b IN PLACE", IN_PLACE);
    put_file(fs, "sub/deep/c.txt", "the file c", 70);
    world_must(memory_hostfs_symlink(fs, "to-a", "a.txt") == 0, "to-a");
    world_must(memory_hostfs_symlink(fs, "to-sub", "sub") == 0, "to-sub");
    world_must(fs->ops->mkdir(fs, "mounted", 0777) == 0, "mkdir");
    world_must(fs->ops->sync_fs(fs) == 0, "sync");
    memory_hostfs_mount(fs, "mounted");
    return fs;
}

static void add_tree(HostFs *fs, const char *dir, GPtrArray *lines);

static void add_entry(HostFs *fs, const char *path, const HostStat *st,
                      GPtrArray *lines)
{
    unsigned attr = 0x20u;
    HostFile *file;
    HostStat same;
    IOVector iov;

    if (st->kind == HOST_SYMLINK) {
        g_ptr_array_add(lines, g_strdup_printf("%s ->\n", path));
        return;
    }
    if (st->kind == HOST_DIRECTORY) {
        g_ptr_array_add(lines, g_strdup_printf("%s/\n", path));
        add_tree(fs, path, lines);
        return;
    }
    g_autofree char *text = g_malloc0((gsize)st->size + 1);
    world_must(fs->ops->file_open(fs, path, &file, &same) == 0, path);
    iov_init_buf(&iov, text, (size_t)st->size);
    world_must(hostfs_read_full(fs, file, 0, &iov, 0, (size_t)st->size) == 0,
               path);
    fs->ops->file_close(fs, file);
    if (fs->ops->get_dos_attrib(fs, path, &attr) < 0) {
        attr = 0x20u;
    }
    g_autofree char *sum = g_compute_checksum_for_data(
        G_CHECKSUM_MD5, (const guchar *)text, (gsize)st->size);
    g_ptr_array_add(lines,
                    g_strdup_printf("%s: %s, %" G_GINT64_FORMAT
                                    " bytes at %" G_GINT64_FORMAT
                                    ", attributes %x%s\n",
                                    path, sum, st->size, st->mtime, attr,
                                    st->read_only ? ", read-only" : ""));
}

static void add_tree(HostFs *fs, const char *dir, GPtrArray *lines)
{
    HostDir *open;
    const char *name;

    world_must(fs->ops->dir_open(fs, dir, &open) == 0, dir);
    while (fs->ops->dir_next(fs, open, &name) > 0) {
        g_autofree char *path = *dir ? g_strconcat(dir, "/", name, NULL)
                                     : g_strdup(name);
        HostStat st;

        world_must(fs->ops->stat(fs, path, &st) == 0, path);
        add_entry(fs, path, &st, lines);
    }
    fs->ops->dir_close(fs, open);
}

static gint compare_lines(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

char *world_tree(HostFs *fs)
{
    g_autoptr(GPtrArray) lines = g_ptr_array_new_with_free_func(g_free);
    GString *tree = g_string_new(NULL);

    add_tree(fs, "", lines);
    g_ptr_array_sort(lines, compare_lines);
    for (guint i = 0; i < lines->len; i++) {
        g_string_append(tree, g_ptr_array_index(lines, i));
    }
    return g_string_free(tree, FALSE);
}

/* ---- The disk ---- */

/* disk NULL: the file BASE_IMAGE. fs: owned by the disk. */
BlockBackend *world_try_open(HostFs *fs, const RecordDisk *disk, GError **errp)
{
    g_autoptr(Options) options = options_new();
    BlockBackend *blk;

    options_set(options, "driver", "vvfat");
    options_set(options, "dir", "d");
    options_set(options, "rw", "on");
    options_set(options, "fat-type", "12");
    options_set(options, "size", "1M");
    options_set(options, "partition", "none");
    options_set(options, "timezone", "utc");
    options_set(options, "commit-delay", "3600000");
    options_set(options, "overlay", BASE_IMAGE);
    if (disk) {
        options_set(options, "write-target.file.driver", "record");
        options_set_int(options, "write-target.file.disk",
                        (int64_t)GPOINTER_TO_SIZE(disk));
    }
    next_host = fs;
    blk = blk_open(NULL, options, BDRV_O_RDWR, errp);
    g_clear_pointer(&next_host, hostfs_free);
    return blk;
}

BlockBackend *world_open(HostFs *fs, const RecordDisk *disk)
{
    g_autoptr(GError) error = NULL;
    BlockBackend *blk = world_try_open(fs, disk, &error);

    if (!blk) {
        world_fail("the overlay cannot be opened: %s", error->message);
    }
    return blk;
}

/* disk: gets a mark when all is written, and before it is flushed; or NULL. */
int world_write_step(BlockBackend *blk, size_t step, RecordDisk *disk)
{
    const uint8_t *old = world.volumes[step], *new = world.volumes[step + 1];
    size_t at = 0;
    int ret = 0;

    while (ret == 0 && at < world.bytes) {
        size_t n = 0;

        while (at + n < world.bytes &&
               memcmp(old + at + n, new + at + n, SECTOR) != 0) {
            n += SECTOR;
        }
        if (n) {
            ret = blk_pwrite(blk, (int64_t)at, (int64_t)n, new + at, 0);
        }
        at += n + SECTOR;
    }
    if (disk) {
        record_note(disk, MARK_WRITTEN + (int64_t)step);
    }
    return ret < 0 ? ret : blk_flush(blk);
}

/* ---- The volumes ---- */

static void save(const char *path, const uint8_t *data, size_t bytes)
{
    world_must(
        g_file_set_contents(path, (const char *)data, (gssize)bytes, NULL),
        path);
}

static void load(const char *path, uint8_t **data)
{
    gsize bytes;

    world_must(g_file_get_contents(path, (char **)data, &bytes, NULL) &&
                   bytes == world.bytes,
               path);
}

/* The guest overwrites half of a file where it is: the other half is the
 * host's own, so the host's file is written in place as well. */
static void change_in_place(const char *path)
{
    uint8_t *data;
    uint8_t *at;
    unsigned n = 0;

    load(path, &data);
    at = data;
    while (
        n < IN_PLACE / 2 &&
        (at = memmem(at, (size_t)(data + world.bytes - at), "IN PLACE", 8))) {
        if (n++ % 3 == 0) {
            memcpy(at, "in place", 8);
        }
        at += 8;
    }
    world_must(n > 0, "finding a file");
    save(path, data, world.bytes);
    g_free(data);
}

void world_make_volumes(void)
{
    world_must(
        system(
            "seq 9000 >big.txt; seq 5000 7000 >other.txt; mkdir -p many; "
            "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do "
            "seq $i 300 >many/file$i.txt; done; "
            "touch -d '2005-05-05 05:05:06 UTC' big.txt other.txt many/*") ==
            0,
        "making files");
    setenv("MTOOLS_SKIP_CHECK", "1", 1);
    setenv("TZ", "UTC", 1);
    save("volume", world.volumes[0], world.bytes);
    for (size_t i = 0; i < N_STEPS; i++) {
        if (strcmp(world_steps[i], "IN PLACE") == 0) {
            change_in_place("volume");
        } else {
            g_autofree char *command = g_strdup_printf(
                "V=volume; %s </dev/null >mtools.log 2>&1", world_steps[i]);

            world_must(system(command) == 0, world_steps[i]);
        }
        load("volume", &world.volumes[i + 1]);
    }
}

void world_make(void)
{
    HostFs *fs = make_host();
    BlockBackend *blk;

    world.host = memory_hostfs_kill(fs);
    blk = world_open(fs, NULL);
    world_must(blk != NULL, "making the overlay");
    world.bytes = (size_t)blk_getlength(blk);
    world.volumes[0] = g_malloc(world.bytes);
    world_must(blk_pread(blk, 0, (int64_t)world.bytes, world.volumes[0], 0) ==
                   0,
               "reading");
    blk_close(blk);
    world.overlay = record_disk_load(BASE_IMAGE);
}

/* ---- Checks ---- */

static uint32_t le16_at(const uint8_t *data, size_t at)
{
    return data[at] | (uint32_t)data[at + 1] << 8;
}

/* Whether the guest may rely on a sector: free clusters hold anything. */
static bool is_in_use(const uint8_t *volume, size_t sector)
{
    uint32_t reserved = le16_at(volume, 14), fat_sectors = le16_at(volume, 22);
    uint32_t root = reserved + volume[16] * fat_sectors;
    uint32_t data = root + le16_at(volume, 17) * 32 / SECTOR;
    uint32_t cluster, entry;

    if (sector < data) {
        return true;
    }
    cluster = (uint32_t)(sector - data) / volume[13] + 2;
    entry = le16_at(volume, reserved * SECTOR + cluster + cluster / 2);
    return (cluster & 1 ? entry >> 4 : entry & 0xfff) != 0;
}

/* Whether each sector is that of one of the two volumes. One that was free in
 * the old one, and whose new bytes were lost, holds anything. */
static void check_sectors(const char *when, const uint8_t *data,
                          const uint8_t *old, const uint8_t *new)
{
    for (size_t at = 0; at < world.bytes; at += SECTOR) {
        if (is_in_use(new, at / SECTOR) && is_in_use(old, at / SECTOR) &&
            memcmp(data + at, new + at, SECTOR) != 0 &&
            memcmp(data + at, old + at, SECTOR) != 0) {
            world_fail("%s, sector %zu is neither what was written nor what "
                       "was there",
                       when, at / SECTOR);
            return;
        }
    }
}

void world_check_disk(const char *when, BlockBackend *blk, const uint8_t *old,
                      const uint8_t *new)
{
    g_autofree uint8_t *data = g_malloc(world.bytes);

    world_must(blk_pread(blk, 0, (int64_t)world.bytes, data, 0) == 0,
               "reading");
    check_sectors(when, data, old, new);
}

static void print_fact(const char *key, const char *value, void *opaque)
{
    (void)opaque;
    if (g_str_has_prefix(key, "commit.") || g_str_has_prefix(key, "pending") ||
        g_str_has_prefix(key, "report") || g_str_has_prefix(key, "overlay")) {
        printf("    %s: %s\n", key, value);
    }
}

/* What the node has to say of a failure. */
static void explain(BlockBackend *blk)
{
    g_autoptr(BdrvInfo) info = blk_get_info(blk, NULL);

    if (info && info->specific) {
        options_foreach(info->specific, print_fact, NULL);
    }
}

void world_check_tree(BlockBackend *blk, const char *when, HostFs *fs,
                      const char *expected)
{
    g_autofree char *tree = world_tree(fs);

    if (strcmp(tree, expected) != 0) {
        world_fail("%s, the host has\n%sand should have\n%s", when, tree,
                   expected);
        explain(blk);
    }
}
