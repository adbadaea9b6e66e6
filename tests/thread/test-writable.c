/* SPDX-License-Identifier: MIT */
/*
 * Threads of a guest on one writable directory. Each writes, zeroes and reads
 * the clusters of a file of its own, its sectors of a file that all share, and
 * free clusters, which it discards, too; another one makes, moves and removes
 * files, and the target of a symbolic link; and one asks for commits and
 * facts, and reads what the link shows. All of them flush. Everybody finds what
 * they left; the last commit comes while they write; in the end the directory
 * holds all that was written; and the thread sanitizer sees no race.
 */
#include <dirent.h>
#include <errno.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "block/block.h"
#include "tests/model/fatvol.h"

#define THREADS 5u
#define ROUNDS 1500
#define OWN 50000    /* bytes of a thread's file */
#define CLUSTER 2048 /* the unit of the overlay, too */
#define SHARED (THREADS * 40 * SECTOR)
#define SPARE 16 /* free clusters of each thread */
#define GUEST_FILES 90
#define TARGETS 150 /* more than stay open */
#define TARGET 1000 /* bytes */
#define ENOUGH 50   /* writes of each, before the last commit */

typedef struct Writer {
    BlockBackend *blk;
    GRand *rand;
    int64_t own, shared, spare; /* bytes of the disk */
    uint8_t data[OWN];
    uint8_t parts[SHARED / THREADS / SECTOR];
    unsigned self;
    gint n_written;    /* beside the last commit */
    const char *wrong; /* the step that failed; NULL: none */
} Writer;

static bool read_is(BlockBackend *blk, int64_t offset, int64_t bytes,
                    const uint8_t *data)
{
    g_autofree uint8_t *buf = g_malloc((gsize)bytes);

    return blk_pread(blk, offset, bytes, buf, 0) == 0 &&
           memcmp(buf, data, (size_t)bytes) == 0;
}

/* ---- Steps of a writer ---- */

static void write_own(Writer *w)
{
    int64_t at = g_rand_int_range(w->rand, 0, OWN);
    int64_t n = g_rand_int_range(w->rand, 1, 6000);
    int ret;

    n = MIN(n, OWN - at);
    if (g_rand_int_range(w->rand, 0, 4) == 0) {
        memset(w->data + at, 0, (size_t)n);
        ret = blk_pwrite_zeroes(w->blk, w->own + at, n, BDRV_REQ_MAY_UNMAP);
    } else {
        memset(w->data + at, g_rand_int_range(w->rand, 1, 256), (size_t)n);
        ret = blk_pwrite(w->blk, w->own + at, n, w->data + at, 0);
    }
    if (ret < 0) {
        w->wrong = "writing a file failed";
    }
}

static void read_own(Writer *w)
{
    int64_t at = g_rand_int_range(w->rand, 0, OWN);
    int64_t n = g_rand_int_range(w->rand, 1, 20000);

    n = MIN(n, OWN - at);
    if (!read_is(w->blk, w->own + at, n, w->data + at)) {
        w->wrong = "a file does not hold what was written";
    }
}

static int64_t part_offset(const Writer *w, unsigned n)
{
    return w->shared + (int64_t)(n * THREADS + w->self) * SECTOR;
}

static void step_shared(Writer *w)
{
    unsigned n = (unsigned)g_rand_int_range(w->rand, 0,
                                            G_N_ELEMENTS(w->parts));
    uint8_t sector[SECTOR];

    w->parts[n] = (uint8_t)g_rand_int_range(w->rand, 1, 256);
    memset(sector, w->parts[n], SECTOR);
    if (blk_pwrite(w->blk, part_offset(w, n), SECTOR, sector, 0) < 0 ||
        !read_is(w->blk, part_offset(w, n), SECTOR, sector)) {
        w->wrong = "a sector of a shared file is not what was written";
    }
}

static void step_spare(Writer *w)
{
    int64_t at = w->spare + g_rand_int_range(w->rand, 0, SPARE) * CLUSTER;
    uint8_t data[CLUSTER];

    memset(data, g_rand_int_range(w->rand, 1, 256), sizeof(data));
    if (blk_pwrite(w->blk, at, CLUSTER, data, 0) < 0 ||
        !read_is(w->blk, at, CLUSTER, data)) {
        w->wrong = "a free cluster does not hold what was written";
    } else if (blk_pdiscard(w->blk, at, CLUSTER) < 0) {
        w->wrong = "discarding failed";
    }
}

static gpointer writer_run(gpointer opaque)
{
    Writer *w = opaque;

    for (int i = 0; i < ROUNDS && !w->wrong; i++) {
        switch (g_rand_int_range(w->rand, 0, 12)) {
        case 0:
            if (blk_flush(w->blk) < 0) {
                w->wrong = "flushing failed";
            }
            break;
        case 1:
        case 2:
            step_spare(w);
            break;
        case 3:
        case 4:
            step_shared(w);
            break;
        case 5:
        case 6:
        case 7:
            read_own(w);
            break;
        default:
            write_own(w);
            break;
        }
    }
    return NULL;
}

/* Write until that is refused, as it is when the last commit begins. */
static gpointer writer_run_on(gpointer opaque)
{
    Writer *w = opaque;
    uint8_t sector[SECTOR];
    int ret = 0;

    for (unsigned i = 0; ret == 0; i++) {
        memset(sector, (int)(i % 255 + 1), SECTOR);
        ret = blk_pwrite(w->blk, w->own, SECTOR, sector, 0);
        if (ret == 0) {
            memcpy(w->data, sector, SECTOR);
        }
        if (i % 100 == 99 && blk_flush(w->blk) < 0) {
            w->wrong = "a flush beside the last commit failed";
        }
        g_atomic_int_inc(&w->n_written);
    }
    g_atomic_int_set(&w->n_written, ENOUGH);
    if (ret != -ESHUTDOWN) {
        w->wrong = "writing failed before the last commit";
    }
    return NULL;
}

/* ---- The one that makes files ---- */

typedef struct Guest {
    Disk *disk;
    FatVol *vol;
    const char *wrong;
} Guest;

static void make_file(Guest *g, int i)
{
    g_autofree char *name = g_strdup_printf("a file of the guest, number %d",
                                            i);
    FatEntry entry;
    uint8_t data[3000];

    memset(data, 'a' + i % 26, sizeof(data));
    if (!fatvol_add(g->vol, 0, name, false, SLOT_ANY, &entry)) {
        g->wrong = "there is no room for a file";
        return;
    }
    entry.raw[E_ATTR] = ATTR_ARCHIVE;
    entry_set_time(g->vol, &entry, 1600000000 + i * 2);
    if (!fatvol_write(g->vol, &entry, 0, data, sizeof(data))) {
        g->wrong = "there is no room for the contents of a file";
    }
    fatvol_entry_clear(&entry);
}

static void change_file(Guest *g, int i)
{
    g_autofree char *name = g_strdup_printf("a file of the guest, number %d",
                                            i);
    g_autofree char *other = g_strdup_printf("renamed %d", i);
    FatEntry entry;

    if (i < 0 || !fatvol_walk(g->vol, name, &entry)) {
        return;
    }
    if (i % 3 == 0) {
        fatvol_delete_tree(g->vol, &entry);
    } else if (!fatvol_move(g->vol, &entry, 0, other, false, true)) {
        g->wrong = "there is no room for a name";
    }
    fatvol_entry_clear(&entry);
}

/* The directory that a link leads to, and a file in it. */
static void change_target(Guest *g, int i)
{
    const char *names[] = { "target", "moved target" };
    g_autofree char *file = g_strdup_printf("%s/%03d", names[i % 2],
                                            i % TARGETS);
    FatEntry entry;

    if (!fatvol_walk(g->vol, file, &entry) ||
        !fatvol_write(g->vol, &entry, 0, (const uint8_t *)"new", 3)) {
        g->wrong = "the target of a link is not there";
        return;
    }
    fatvol_entry_clear(&entry);
    if (!fatvol_walk(g->vol, names[i % 2], &entry) ||
        !fatvol_move(g->vol, &entry, 0, names[(i + 1) % 2], false, true)) {
        g->wrong = "the target of a link cannot be renamed";
    }
    fatvol_entry_clear(&entry);
}

static gpointer guest_run(gpointer opaque)
{
    Guest *g = opaque;

    for (int i = 0; i < GUEST_FILES && !g->wrong; i++) {
        g_autofree char *why = NULL;

        make_file(g, i);
        change_file(g, i - 5);
        change_target(g, i);
        why = disk_write(g->disk, (unsigned)i % N_ORDERS, 0, (uint64_t)i,
                         UINT32_MAX);
        if (why || (i % 3 == 0 && blk_flush(g->disk->blk) < 0)) {
            g->wrong = "writing or flushing failed";
        }
    }
    return NULL;
}

/* ---- The one that watches ---- */

typedef struct Watcher {
    BlockBackend *blk;
    int64_t shown[TARGETS]; /* what the link shows; bytes of the disk */
    gint stop;
    const char *wrong;
} Watcher;

/* It stays as it was. */
static void read_shown(Watcher *w)
{
    uint8_t data[TARGET] = { 0 };

    for (int i = 0; i < TARGETS; i++) {
        if (!read_is(w->blk, w->shown[i], TARGET, data)) {
            w->wrong = "what a link shows is not what it was";
        }
    }
}

static gpointer watcher_run(gpointer opaque)
{
    Watcher *w = opaque;

    while (!g_atomic_int_get(&w->stop) && !w->wrong) {
        g_autoptr(BdrvInfo) info = blk_get_info(w->blk, NULL);
        g_auto(BdrvBlockStatus) status = { 0 };

        if (blk_commit(w->blk, false, NULL) < 0 || !info ||
            blk_block_status(w->blk, 0, blk_getlength(w->blk), 0, &status) <
                0) {
            w->wrong = "a commit, facts or status failed";
        }
        read_shown(w);
        g_usleep(2000);
    }
    return NULL;
}

/* ---- All of it ---- */

typedef struct Place {
    char *top, *dir, *tmp;
} Place;

static void make_place(Place *p)
{
    p->top = g_dir_make_tmp("vvfat-writable-XXXXXX", NULL);
    g_assert(p->top);
    p->dir = g_build_filename(p->top, "dir", NULL);
    p->tmp = g_build_filename(p->top, "tmp", NULL);
    g_assert(g_mkdir(p->dir, 0755) == 0 && g_mkdir(p->tmp, 0755) == 0);
    g_setenv("TMPDIR", p->tmp, TRUE);
}

static char *file_in(const Place *p, const char *name)
{
    return g_build_filename(p->dir, name, NULL);
}

static void make_file_on_host(const Place *p, const char *name, gsize bytes)
{
    g_autofree char *path = file_in(p, name);
    g_autofree char *zeroes = g_malloc0(bytes);

    g_assert(g_file_set_contents(path, zeroes, (gssize)bytes, NULL));
}

/* How many names there are, "." and ".." left out. */
static unsigned count_names(const char *path, const char *prefix)
{
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    const char *name;
    unsigned n = 0;

    while (dir && (name = g_dir_read_name(dir))) {
        n += g_str_has_prefix(name, prefix);
    }
    return n;
}

static int64_t find_file(FatVol *vol, const char *name)
{
    FatEntry entry;
    int64_t at;

    g_assert(fatvol_walk(vol, name, &entry));
    at = fatvol_cluster_at(vol, entry_cluster(vol, &entry));
    fatvol_entry_clear(&entry);
    return at;
}

static BlockBackend *open_disk(const Place *p)
{
    g_autoptr(Options) options = options_new();
    g_autoptr(GError) error = NULL;
    BlockBackend *blk;

    options_set(options, "driver", "vvfat");
    options_set(options, "dir", p->dir);
    options_set(options, "rw", "on");
    options_set(options, "fat-type", "16");
    options_set(options, "size", "16M");
    options_set_int(options, "cluster-size", CLUSTER);
    options_set(options, "timezone", "utc");
    options_set(options, "commit-delay", "5");
    blk = blk_open(NULL, options, BDRV_O_RDWR | BDRV_O_UNMAP, &error);
    if (!blk) {
        fprintf(stderr, "%s\n", error->message);
    }
    return blk;
}

static const char *check_host(const Place *p, Writer *const *writers)
{
    g_autofree char *shared = file_in(p, "shared");
    g_autofree char *data = NULL;
    gsize n;

    g_assert(g_file_get_contents(shared, &data, &n, NULL) && n == SHARED);
    for (unsigned i = 0; i < THREADS; i++) {
        const Writer *w = writers[i];
        g_autofree char *name = g_strdup_printf("own%u", i);
        g_autofree char *path = file_in(p, name);
        g_autofree char *own = NULL;

        g_assert(g_file_get_contents(path, &own, &n, NULL));
        if (n != OWN || memcmp(own, w->data, OWN) != 0) {
            return "a file on the host is not what was written";
        }
        for (unsigned k = 0; k < G_N_ELEMENTS(w->parts); k++) {
            const char *at = data + part_offset(w, k) - w->shared;

            if ((uint8_t)at[0] != w->parts[k] ||
                memcmp(at, at + 1, SECTOR - 1) != 0) {
                return "the shared file is not what was written";
            }
        }
    }
    return NULL;
}

static Writer *writer_new(BlockBackend *blk, FatVol *vol, unsigned self)
{
    Writer *w = g_new0(Writer, 1);
    g_autofree char *name = g_strdup_printf("own%u", self);

    w->blk = blk;
    w->self = self;
    w->rand = g_rand_new_with_seed(self + 1);
    w->own = find_file(vol, name);
    w->shared = find_file(vol, "shared");
    w->spare = fatvol_cluster_at(vol,
                                 vol->n_clusters - (self + 1) * SPARE - 8);
    return w;
}

/* The last commit, when everybody is writing. */
static const char *finish(BlockBackend *blk, Writer *const *writers)
{
    GThread *threads[THREADS];
    const char *wrong = NULL;

    for (unsigned i = 0; i < THREADS; i++) {
        threads[i] = g_thread_new("writer", writer_run_on, writers[i]);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        while (g_atomic_int_get(&writers[i]->n_written) < ENOUGH) {
            g_usleep(100);
        }
    }
    if (blk_commit(blk, true, NULL) < 0) {
        wrong = "the last commit failed";
    }
    for (unsigned i = 0; i < THREADS; i++) {
        g_thread_join(threads[i]);
        wrong = wrong ? wrong : writers[i]->wrong;
    }
    return wrong;
}

static const char *run(const Place *p, Disk *disk, FatVol *vol)
{
    BlockBackend *blk = disk->blk;
    Writer *writers[THREADS];
    GThread *threads[THREADS], *guest_thread, *watch_thread;
    Guest guest = { .disk = disk, .vol = vol };
    Watcher watcher = { .blk = blk };
    const char *wrong = NULL;

    for (unsigned i = 0; i < THREADS; i++) {
        writers[i] = writer_new(blk, vol, i);
    }
    for (int i = 0; i < TARGETS; i++) {
        g_autofree char *name = g_strdup_printf("link/%03d", i);

        watcher.shown[i] = find_file(vol, name);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        threads[i] = g_thread_new("writer", writer_run, writers[i]);
    }
    guest_thread = g_thread_new("guest", guest_run, &guest);
    watch_thread = g_thread_new("watcher", watcher_run, &watcher);
    for (unsigned i = 0; i < THREADS; i++) {
        g_thread_join(threads[i]);
        wrong = wrong ? wrong : writers[i]->wrong;
    }
    g_thread_join(guest_thread);
    g_atomic_int_set(&watcher.stop, 1);
    g_thread_join(watch_thread);
    wrong = wrong ? wrong : guest.wrong ? guest.wrong : watcher.wrong;
    if (!wrong && blk_flush(blk) < 0) {
        wrong = "the last flush failed";
    }
    wrong = wrong ? wrong : finish(blk, writers);
    wrong = wrong ? wrong : check_host(p, writers);
    for (unsigned i = 0; i < THREADS; i++) {
        g_rand_free(writers[i]->rand);
        g_free(writers[i]);
    }
    return wrong;
}

static void make_targets(const Place *p)
{
    g_autofree char *dir = file_in(p, "target");
    g_autofree char *link = file_in(p, "link");

    g_assert(g_mkdir(dir, 0755) == 0 && symlink("target", link) == 0);
    for (int i = 0; i < TARGETS; i++) {
        g_autofree char *name = g_strdup_printf("target/%03d", i);

        make_file_on_host(p, name, TARGET);
    }
}

static void remove_place(const Place *p)
{
    g_autofree char *target = file_in(p, "target");
    g_autofree char *moved = file_in(p, "moved target");
    const char *const dirs[] = { target, moved, p->dir, p->tmp, p->top };

    for (size_t i = 0; i < G_N_ELEMENTS(dirs); i++) {
        g_autoptr(GDir) dir = g_dir_open(dirs[i], 0, NULL);
        const char *name;

        while (dir && (name = g_dir_read_name(dir))) {
            g_autofree char *path = g_build_filename(dirs[i], name, NULL);

            g_unlink(path);
        }
        g_rmdir(dirs[i]);
    }
}

int main(int argc, char **argv)
{
    Place p;
    const char *wrong = NULL;
    char *why = NULL;
    unsigned n_open;
    BlockBackend *blk;
    Disk *disk;
    FatVol *vol;

    (void)argc;
    if (!g_getenv("G_SLICE")) {
        /* GLib's own allocator hands memory from one thread to another
         * without the sanitizer seeing it. */
        g_setenv("G_SLICE", "always-malloc", TRUE);
        execv("/proc/self/exe", argv);
    }
    make_place(&p);
    for (unsigned i = 0; i < THREADS; i++) {
        g_autofree char *name = g_strdup_printf("own%u", i);

        make_file_on_host(&p, name, OWN);
    }
    make_targets(&p);
    make_file_on_host(&p, "shared", SHARED);
    n_open = count_names("/proc/self/fd", "");
    blk = open_disk(&p);
    if (!blk) {
        return 1;
    }
    disk = disk_new(blk, &why);
    vol = fatvol_open(disk, &why);
    vol->policy = ALLOC_FIRST_FIT;
    wrong = run(&p, disk, vol);
    fatvol_free(vol);
    disk_free(disk);
    if (!wrong && count_names("/proc/self/fd", "") != n_open) {
        wrong = "descriptors are left open";
    }
    if (!wrong && (count_names(p.tmp, "") || count_names(p.dir, ".vvfat"))) {
        wrong = "temporary files are left";
    }
    if (!wrong && count_names(p.top, "") != 2) {
        wrong = "something was kept that need not be";
    }
    if (wrong) {
        fprintf(stderr, "%s\n", wrong);
    }
    remove_place(&p);
    g_free(p.top);
    g_free(p.dir);
    g_free(p.tmp);
    return wrong != NULL;
}
