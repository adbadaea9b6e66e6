/* SPDX-License-Identifier: MIT */
/*
 * A writable directory with an overlay that is kept, ended at each call that
 * changes the host, and between any two of them.
 *
 * mtools make the volume of each step from the one before it; a guest writes
 * the sectors that differ, and flushes. Killed, everything that was written is
 * there when the overlay is opened again; after a power cut, everything that
 * was flushed. When the guest has written the step (again), the host has
 * exactly the files that it has without a crash: each old or new, nothing
 * beside them.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block/block.h"
#include "tests/crash/record-disk.h"
#include "tests/unit/fault-hostfs.h"
#include "tests/unit/memory-hostfs.h"

#define SECTOR 512
#define BASE_IMAGE "base.qcow2"
#define SKIPPED 77
#define MARK_WRITTEN 1000000 /* marks below are calls of the host */

static const char *const steps[] = {
    "mmd -i $V ::/new ::/new/inner && mcopy -m -i $V big.txt ::/new/big.txt",
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

#define N_STEPS G_N_ELEMENTS(steps)

typedef struct World {
    HostFs *host; /* as it was before the first step */
    RecordDisk *overlay;
    uint8_t *volumes[N_STEPS + 1];
    char *trees[N_STEPS + 1]; /* the host's, after each step */
    size_t bytes;
} World;

static World world;
static unsigned n_failed, n_cuts;
static char context[200]; /* of what is being tried, for messages */

static G_GNUC_PRINTF(1, 2) void fail(const char *fmt, ...)
{
    va_list args;

    printf("%s: ", context);
    va_start(args, fmt);
    vprintf(fmt, args);
    va_end(args);
    printf("\n");
    if (++n_failed > 20) {
        exit(1);
    }
}

static void must(bool ok, const char *what)
{
    if (!ok) {
        printf("%s: %s failed\n", context, what);
        exit(1);
    }
}

/* ---- The host ---- */

static HostFs *next_host;

static HostFs *give_host(const char *dir, GError **errp)
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
    must(fs->ops->file_create(fs, path, 0666, &file) == 0, path);
    must(hostfs_write_full(fs, file, 0, all->str, all->len) == 0, path);
    fs->ops->file_close(fs, file);
    must(fs->ops->set_times(fs, path, 1000000000, 0) == 0, path);
}

static HostFs *make_host(void)
{
    HostFs *fs = memory_hostfs_new();

    must(fs->ops->mkdir(fs, "sub", 0777) == 0, "mkdir");
    must(fs->ops->mkdir(fs, "sub/deep", 0777) == 0, "mkdir");
    put_file(fs, "a.txt", "the file a", 900);
    put_file(fs, "keep.txt", "kept", 10);
    put_file(fs, "one.txt", "one", 300);
    put_file(fs, "two.txt", "two", 500);
    put_file(fs, "sub/b.txt", "the file b IN PLACE", 700);
    put_file(fs, "sub/deep/c.txt", "the file c", 70);
    must(fs->ops->sync_fs(fs) == 0, "sync");
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

    if (st->kind == HOST_DIRECTORY) {
        g_ptr_array_add(lines, g_strdup_printf("%s/\n", path));
        add_tree(fs, path, lines);
        return;
    }
    g_autofree char *text = g_malloc0((gsize)st->size + 1);
    must(fs->ops->file_open(fs, path, &file, &same) == 0, path);
    iov_init_buf(&iov, text, (size_t)st->size);
    must(hostfs_read_full(fs, file, 0, &iov, 0, (size_t)st->size) == 0, path);
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

    must(fs->ops->dir_open(fs, dir, &open) == 0, dir);
    while (fs->ops->dir_next(fs, open, &name) > 0) {
        g_autofree char *path = *dir ? g_strconcat(dir, "/", name, NULL)
                                     : g_strdup(name);
        HostStat st;

        must(fs->ops->stat(fs, path, &st) == 0, path);
        add_entry(fs, path, &st, lines);
    }
    fs->ops->dir_close(fs, open);
}

static gint compare_lines(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static char *tree_of(HostFs *fs)
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
static BlockBackend *try_open(HostFs *fs, const RecordDisk *disk,
                              GError **errp)
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

static BlockBackend *open_disk(HostFs *fs, const RecordDisk *disk)
{
    g_autoptr(GError) error = NULL;
    BlockBackend *blk = try_open(fs, disk, &error);

    if (!blk) {
        fail("the overlay cannot be opened: %s", error->message);
    }
    return blk;
}

/* disk: gets a mark when all is written, and before it is flushed; or NULL. */
static int write_step(BlockBackend *blk, size_t step, RecordDisk *disk)
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
    must(g_file_set_contents(path, (const char *)data, (gssize)bytes, NULL),
         path);
}

static void load(const char *path, uint8_t **data)
{
    gsize bytes;

    must(g_file_get_contents(path, (char **)data, &bytes, NULL) &&
             bytes == world.bytes,
         path);
}

/* The guest overwrites a file where it is. */
static void change_in_place(const char *path)
{
    uint8_t *data;
    uint8_t *at;
    unsigned n = 0;

    load(path, &data);
    at = data;
    while (
        (at = memmem(at, (size_t)(data + world.bytes - at), "IN PLACE", 8))) {
        if (n++ % 3 == 0) {
            memcpy(at, "in place", 8);
        }
        at += 8;
    }
    must(n > 0, "finding a file");
    save(path, data, world.bytes);
    g_free(data);
}

static void make_volumes(void)
{
    must(system(
             "seq 9000 >big.txt; seq 5000 7000 >other.txt; mkdir many; "
             "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do "
             "seq $i 300 >many/file$i.txt; done; "
             "touch -d '2005-05-05 05:05:06 UTC' big.txt other.txt many/*") ==
             0,
         "making files");
    setenv("MTOOLS_SKIP_CHECK", "1", 1);
    setenv("TZ", "UTC", 1);
    save("volume", world.volumes[0], world.bytes);
    for (size_t i = 0; i < N_STEPS; i++) {
        if (strcmp(steps[i], "IN PLACE") == 0) {
            change_in_place("volume");
        } else {
            g_autofree char *command = g_strdup_printf(
                "V=volume; %s </dev/null >mtools.log 2>&1", steps[i]);

            must(system(command) == 0, steps[i]);
        }
        load("volume", &world.volumes[i + 1]);
    }
}

static void make_world(void)
{
    HostFs *fs = make_host();
    BlockBackend *blk;

    world.host = memory_hostfs_kill(fs);
    blk = open_disk(fs, NULL);
    must(blk != NULL, "making the overlay");
    world.bytes = (size_t)blk_getlength(blk);
    world.volumes[0] = g_malloc(world.bytes);
    must(blk_pread(blk, 0, (int64_t)world.bytes, world.volumes[0], 0) == 0,
         "reading");
    blk_close(blk);
    world.overlay = record_disk_load(BASE_IMAGE);
}

/* ---- Runs ---- */

static RecordDisk *copy_overlay(void)
{
    RecordDisk *disk = record_disk_new(world.overlay->data,
                                       world.overlay->length);

    disk->recording = true;
    return disk;
}

static void note_call(int n, void *opaque)
{
    record_note(opaque, n);
}

static void check_sectors(const char *when, const uint8_t *data,
                          const uint8_t *old, const uint8_t *new);

static void check_disk(const char *when, BlockBackend *blk, const uint8_t *old,
                       const uint8_t *new)
{
    g_autofree uint8_t *data = g_malloc(world.bytes);

    must(blk_pread(blk, 0, (int64_t)world.bytes, data, 0) == 0, "reading");
    check_sectors(when, data, old, new);
}

/* Without a crash: what the host has after each step, and how many calls
 * change it. */
static int run_whole(void)
{
    g_autoptr(RecordDisk) disk = copy_overlay();
    FaultFs *f = fault_fs_new(memory_hostfs_kill(world.host));
    BlockBackend *blk;
    int calls;

    g_strlcpy(context, "without a crash", sizeof(context));
    f->kinds = HOST_CALL_CHANGE;
    blk = open_disk(&f->fs, disk);
    must(blk != NULL, "opening");
    world.trees[0] = tree_of(f->inner);
    for (size_t i = 0; i < N_STEPS; i++) {
        must(write_step(blk, i, NULL) == 0, steps[i]);
        world.trees[i + 1] = tree_of(f->inner);
        check_disk(steps[i], blk, world.volumes[i + 1], world.volumes[i + 1]);
    }
    calls = f->calls;
    blk_close(blk);
    return calls;
}

typedef struct Cut {
    size_t step;      /* that was under way */
    HostFs *host;     /* when it ended; owned */
    RecordDisk *disk; /* with all events */
    guint call;       /* index of the event that notes the fatal call */
} Cut;

/* Where the k-th call was made. */
static bool find_call(Cut *cut, int k)
{
    for (guint i = 0; i < cut->disk->events->len; i++) {
        const RecordEvent *e = &g_array_index(cut->disk->events, RecordEvent,
                                              i);

        if (e->kind == RECORD_NOTE && e->offset == k) {
            cut->call = i;
            return true;
        }
    }
    return false;
}

/* Run until the k-th call. False: it does not come to that. */
static bool run_until(int k, Cut *cut)
{
    FaultFs *f = fault_fs_new(memory_hostfs_kill(world.host));
    BlockBackend *blk;

    cut->disk = copy_overlay();
    f->kinds = HOST_CALL_CHANGE;
    f->fail_at = k;
    f->crash = true;
    f->on_call = note_call;
    f->opaque = cut->disk;
    blk = open_disk(&f->fs, cut->disk);
    must(blk != NULL, "opening");
    for (cut->step = 0; cut->step < N_STEPS; cut->step++) {
        /* What is written is kept, so the guest does not notice. */
        must(write_step(blk, cut->step, cut->disk) == 0,
             "writing with the host failed");
        if (f->crashed) {
            break;
        }
    }
    if (f->crashed) {
        cut->host = fault_fs_take_inner(f);
        f->inner = memory_hostfs_new();
    }
    blk_close(blk);
    return cut->host && find_call(cut, k);
}

/* The overlay's disk after `n` events; seed: 0: all of them; else what was not
 * flushed only in part. */
static RecordDisk *disk_from(const RecordDisk *from, const Cut *cut, guint n,
                             uint32_t seed)
{
    RecordDisk *disk = record_disk_new(from->data, from->length);
    g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
    guint flushed = n;

    while (seed && flushed > 0 &&
           g_array_index(cut->disk->events, RecordEvent, flushed - 1).kind !=
               RECORD_FLUSH) {
        flushed--;
    }
    for (guint i = 0; i < n; i++) {
        const RecordEvent *e = &g_array_index(cut->disk->events, RecordEvent,
                                              i);

        if (e->kind != RECORD_NOTE &&
            (i < flushed || (seed > 1 && g_rand_boolean(rand)))) {
            record_apply(disk, e);
        }
    }
    return disk;
}

static RecordDisk *disk_after(const Cut *cut, guint n, uint32_t seed)
{
    return disk_from(world.overlay, cut, n, seed);
}

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

/* Whether each sector is that of one of the two volumes. */
static void check_sectors(const char *when, const uint8_t *data,
                          const uint8_t *old, const uint8_t *new)
{
    for (size_t at = 0; at < world.bytes; at += SECTOR) {
        if (is_in_use(new, at / SECTOR) &&
            memcmp(data + at, new + at, SECTOR) != 0 &&
            memcmp(data + at, old + at, SECTOR) != 0) {
            fail("%s, sector %zu is neither what was written nor what "
                 "was there",
                 when, at / SECTOR);
            return;
        }
    }
}

static void explain(BlockBackend *blk);

static void check_tree(BlockBackend *blk, const char *when, HostFs *fs,
                       const char *expected)
{
    g_autofree char *tree = tree_of(fs);

    if (strcmp(tree, expected) != 0) {
        fail("%s, the host has\n%sand should have\n%s", when, tree, expected);
        explain(blk);
    }
}

/* host, disk: as the crash left them; both are used up. is_whole: everything
 * of the step was written. */
static void check_restart(const Cut *cut, HostFs *host, RecordDisk *disk,
                          bool is_whole)
{
    const uint8_t *new = world.volumes[cut->step + 1];
    const uint8_t *old = is_whole ? new : world.volumes[cut->step];
    BlockBackend *blk = open_disk(host, disk);

    n_cuts++;
    if (!blk) {
        record_disk_free(disk);
        return;
    }
    check_disk("opened again", blk, old, new);
    if (is_whole ? blk_commit(blk, false, NULL)
                 : write_step(blk, cut->step, NULL)) {
        fail("the guest cannot write");
    }
    check_tree(blk, "flushed", host, world.trees[cut->step + 1]);
    for (size_t i = cut->step + 1; i < N_STEPS; i++) {
        if (write_step(blk, i, NULL)) {
            fail("the guest cannot write");
        }
    }
    check_tree(blk, "at the end", host, world.trees[N_STEPS]);
    check_disk("at the end", blk, world.volumes[N_STEPS],
               world.volumes[N_STEPS]);
    blk_close(blk);
    record_disk_free(disk);
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

/* The event of the call before, or the first of all. */
static guint call_before(const Cut *cut)
{
    guint i = cut->call;

    while (i > 0 &&
           g_array_index(cut->disk->events, RecordEvent, i - 1).kind !=
               RECORD_NOTE) {
        i--;
    }
    return i;
}

/* Whether all of the step was written before event n. */
static bool was_written(const Cut *cut, guint n)
{
    for (guint i = 0; i < n; i++) {
        const RecordEvent *e = &g_array_index(cut->disk->events, RecordEvent,
                                              i);

        if (e->kind == RECORD_NOTE &&
            e->offset == MARK_WRITTEN + (int64_t)cut->step) {
            return true;
        }
    }
    return false;
}

/* Opened again after a kill, and killed again at the j-th call. */
static void check_twice(const Cut *cut, int j)
{
    Cut second = { .step = cut->step, .disk = disk_after(cut, cut->call, 0) };
    FaultFs *f = fault_fs_new(memory_hostfs_kill(cut->host));
    g_autoptr(RecordDisk) before = disk_after(cut, cut->call, 0);
    BlockBackend *blk;

    second.disk->recording = true;
    f->kinds = HOST_CALL_CHANGE;
    f->fail_at = j;
    f->crash = true;
    f->on_call = note_call;
    f->opaque = second.disk;
    blk = try_open(&f->fs, second.disk, NULL);
    if (blk) {
        (void)!blk_commit(blk, false, NULL);
        if (f->crashed) {
            second.host = fault_fs_take_inner(f);
            f->inner = memory_hostfs_new();
        }
        blk_close(blk);
    }
    if (second.host && find_call(&second, j)) {
        check_restart(cut, memory_hostfs_kill(second.host),
                      disk_from(before, &second, second.call, 0), true);
        check_restart(cut, memory_hostfs_crash(second.host, 1),
                      disk_from(before, &second, second.call, 2), true);
    }
    hostfs_free(second.host);
    record_disk_free(second.disk);
}

/* Between the call before and this one. */
static void check_early(const Cut *cut, int k, guint n)
{
    guint before = call_before(cut);
    guint early = before + (guint)(k * 7919 + (int)n * 104729) %
                               (cut->call - before + 1);
    bool is_whole = was_written(cut, early);

    g_snprintf(context, sizeof(context),
               "killed at event %u before call %d, step %zu", early, k,
               cut->step);
    check_restart(cut, memory_hostfs_kill(cut->host),
                  disk_after(cut, early, 0), is_whole);
    g_snprintf(context, sizeof(context),
               "power cut at event %u before call %d, step %zu", early, k,
               cut->step);
    check_restart(cut, memory_hostfs_crash(cut->host, MEMORY_CRASH_NONE),
                  disk_after(cut, early, 2 + (uint32_t)k), false);
}

static void check_cut(int k)
{
    Cut cut = { 0 };

    g_snprintf(context, sizeof(context), "call %d", k);
    if (run_until(k, &cut)) {
        bool is_whole = was_written(&cut, cut.call);

        g_snprintf(context, sizeof(context), "killed at call %d, step %zu", k,
                   cut.step);
        check_restart(&cut, memory_hostfs_kill(cut.host),
                      disk_after(&cut, cut.call, 0), is_whole);
        for (uint32_t seed = 1; seed < 4; seed++) {
            g_snprintf(context, sizeof(context),
                       "power cut at call %d, step %zu, seed %u", k, cut.step,
                       seed);
            check_restart(&cut, memory_hostfs_crash(cut.host, seed),
                          disk_after(&cut, cut.call, seed), is_whole);
        }
        for (guint n = 0; n < 3; n++) {
            check_early(&cut, k, n);
        }
        for (int j = 1; is_whole && j < 12; j += 1 + k % 4) {
            g_snprintf(context, sizeof(context),
                       "killed at call %d, step %zu, and again at call %d", k,
                       cut.step, j);
            check_twice(&cut, j);
        }
    }
    hostfs_free(cut.host);
    record_disk_free(cut.disk);
}

int main(void)
{
    const char *stride = getenv("STRIDE");
    int calls, by = stride ? atoi(stride) : 1;

    if (system("command -v mmove mdeltree mattrib >/dev/null") != 0) {
        printf("mtools is not installed\n");
        return SKIPPED;
    }
    record_init();
    hostfs_set_opener(give_host);
    make_world();
    make_volumes();
    calls = run_whole();
    printf("%d calls change the host\n", calls);
    for (int k = 1; k <= calls; k += by) {
        check_cut(k);
    }
    printf("%u crashes, %u failures\n", n_cuts, n_failed);
    return n_failed ? 1 : 0;
}
