/* SPDX-License-Identifier: MIT */
/*
 * A host that removes and moves files and whole directories, between the
 * commits and in the middle of them, while the guest changes the same tree.
 * What the guest reads is what it has, or an error where the host took that
 * away; and as soon as the guest deletes what it has, all is well again.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "image-fixture.h"
#include "tests/unit/host-tree.h"
#include "tests/unit/machine.h"

TestSuite(writable_host, .init = image_dir_init, .fini = image_dir_fini);

#define CASES 300u
#define KEPT_CASES 8u /* they wait for the disk */
#define ROUNDS 8u
#define MOST_CHANGES 6u
/* Of the host's; more than the driver keeps open, so that it has to look for
 * others where they were. */
#define LEFT_ALONE "zz"
#define N_LEFT_ALONE 140

typedef struct Case {
    Prng prng, host_prng;
    Machine *m;
    char *kept; /* options of a volume that is kept, or NULL */
    unsigned n_made;
    int host_at; /* the call of a commit before which the host acts */
    unsigned n_lost;
} Case;

/* ---- Paths ---- */

static void list_host(HostFs *fs, const char *dir, GPtrArray *paths)
{
    HostDir *handle;
    const char *name;

    cr_assert_eq(fs->ops->dir_open(fs, dir, &handle), 0);
    while (fs->ops->dir_next(fs, handle, &name) > 0) {
        g_autofree char *path = g_strconcat(dir, *dir ? "/" : "", name, NULL);
        HostStat st;

        if (*name == '.' || strcmp(path, LEFT_ALONE) == 0) {
            continue;
        }
        cr_assert_eq(fs->ops->stat(fs, path, &st), 0);
        if (st.kind == HOST_DIRECTORY) {
            list_host(fs, path, paths);
        }
        g_ptr_array_add(paths, g_steal_pointer(&path));
    }
    fs->ops->dir_close(fs, handle);
}

typedef enum Want { FILES = 1, DIRECTORIES = 2, ANY = 3 } Want;

static void list_guest(Machine *m, uint32_t dir, const char *above, Want want,
                       GPtrArray *paths)
{
    unsigned slot = 0;
    FatEntry entry;

    while (fatvol_read_dir(m->vol, dir, &slot, &entry)) {
        g_autofree char *path = g_strconcat(above, *above ? "/" : "",
                                            entry.name, NULL);
        bool is_dir = entry_is_dir(&entry);

        if (is_dir && strcmp(path, LEFT_ALONE) != 0) {
            list_guest(m, entry_cluster(m->vol, &entry), path, want, paths);
        }
        if (want & (is_dir ? DIRECTORIES : FILES) &&
            strcmp(path, LEFT_ALONE) != 0) {
            g_ptr_array_add(paths, g_steal_pointer(&path));
        }
        fatvol_entry_clear(&entry);
    }
}

static char *pick(Prng *prng, GPtrArray *paths)
{
    return paths->len ? g_strdup(paths->pdata[prng_below(prng, paths->len)])
                      : NULL;
}

static char *pick_guest(Case *c, Want want)
{
    g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func(g_free);

    list_guest(c->m, 0, "", want, paths);
    return pick(&c->prng, paths);
}

static char *pick_host(Case *c)
{
    g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func(g_free);

    list_host(c->m->host, "", paths);
    return pick(&c->host_prng, paths);
}

/* A new name, in any directory of the guest's. */
static char *new_path(Case *c)
{
    g_autofree char *dir = pick_guest(c, DIRECTORIES);

    if (!dir || prng_one_in(&c->prng, 4)) {
        return g_strdup_printf("n%u", c->n_made++);
    }
    return g_strdup_printf("%s/n%u", dir, c->n_made++);
}

static bool is_below(const char *path, const char *dir)
{
    size_t n = strlen(dir);

    return strncmp(path, dir, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

/* ---- Changes ---- */

static void guest_change(Case *c)
{
    Machine *m = c->m;
    unsigned kind = prng_below(&c->prng, 9);
    g_autofree char *old = pick_guest(c, kind < 4   ? ANY
                                         : kind < 7 ? FILES
                                                    : DIRECTORIES);
    g_autofree char *new = new_path(c);
    uint32_t bytes = 1 + prng_below(&c->prng, 2500);

    if (!old || kind == 8) {
        if (prng_one_in(&c->prng, 2)) {
            guest_mkdir(m, new);
        } else {
            guest_fill(m, new, bytes, (uint8_t)prng_next(&c->prng));
        }
    } else if (kind == 0) {
        guest_delete(m, old);
    } else if (kind == 4) {
        guest_put(m, old, 0, "written in place");
    } else if (kind == 5) {
        guest_resize(m, old, bytes);
    } else if (kind == 6) {
        guest_defragment(m, old);
    } else if (!is_below(new, old)) {
        guest_move(m, old, new);
    }
}

static void host_change(Case *c)
{
    HostFs *fs = c->m->host;
    g_autofree char *path = pick_host(c);
    g_autofree char *dir = pick_host(c);
    g_autofree char *to = NULL;

    if (!path) {
        return;
    }
    if (prng_one_in(&c->host_prng, 3)) {
        to = prng_one_in(&c->host_prng, 2)
                 ? g_strdup_printf("h%u", c->n_made++)
                 : g_strdup_printf("%s/h%u", dir, c->n_made++);
        (void)!fs->ops->rename(fs, path, to, HOST_RENAME_NOREPLACE);
    } else {
        cr_assert_eq(host_tree_remove(fs, path), 0);
    }
}

static void on_call(int n, void *opaque)
{
    Case *c = opaque;

    if (n == c->host_at) {
        host_change(c);
    }
}

/* ---- Judging ---- */

static void check_reads(Case *c, const char *when)
{
    const Disk *disk = c->m->disk;
    uint8_t sector[SECTOR];

    for (int64_t at = 0; at < disk->size; at += SECTOR) {
        int ret = blk_pread(disk->blk, at, SECTOR, sector, 0);

        cr_assert(ret == 0 || (ret == -EIO && at >= c->m->vol->data),
                  "%s: byte %" G_GINT64_FORMAT ": %d", when, at, ret);
        c->n_lost += ret != 0;
        cr_assert(ret != 0 || disk->loose[at / SECTOR] ||
                      memcmp(sector, disk->shadow + at, SECTOR) == 0,
                  "%s: byte %" G_GINT64_FORMAT " reads otherwise than it was "
                  "written",
                  when, at);
    }
}

static void write_out(Case *c)
{
    unsigned most = prng_one_in(&c->prng, 3) ? prng_below(&c->prng, 12)
                                             : UINT32_MAX;
    g_autofree char *why =
        disk_write(c->m->disk, prng_below(&c->prng, N_ORDERS),
                   prng_below(&c->prng, N_STYLES), prng_next(&c->prng), most);

    cr_assert_null(why, "%s", why);
}

/* What either does by itself, and a commit with the host in the middle. */
static void run_round(Case *c, const char *when)
{
    Machine *m = c->m;

    for (unsigned n = 1 + prng_below(&c->prng, MOST_CHANGES); n > 0; n--) {
        guest_change(c);
    }
    write_out(c);
    if (prng_one_in(&c->host_prng, 2)) {
        host_change(c);
    }
    c->host_at = prng_one_in(&c->host_prng, 2)
                     ? 1 + (int)prng_below(&c->host_prng, 60)
                     : 0;
    m->fault->calls = 0;
    m->fault->opaque = c;
    m->fault->on_call = on_call;
    (void)!blk_flush(m->disk->blk);
    m->fault->on_call = NULL;
    check_reads(c, when);
}

/* Nothing waits but directories where the host has put something. */
static void check_pending(const char *pending, const char *when)
{
    g_auto(GStrv) lines = g_strsplit(pending, "\n", -1);

    for (char **line = lines; *line; line++) {
        cr_assert(!strstr(*line, ".reason: ") ||
                      strstr(*line, "it holds files that the guest does not "
                                    "see"),
                  "%s: %s", when, pending);
    }
}

/* The guest keeps nothing, and goes on. */
static void recover(Case *c, unsigned seed)
{
    Machine *m = c->m;
    g_autofree char *when = g_strdup_printf("seed %u, afterwards", seed);
    g_autofree char *path = NULL;
    g_autofree char *words = NULL;
    g_autofree char *pending = NULL;

    while ((path = pick_guest(c, ANY))) {
        guest_delete(m, path);
        g_clear_pointer(&path, g_free);
    }
    guest_text(m, "last", "what comes after");
    cr_assert_eq(guest_sync(m, ORDER_LINUX), 0, "%s", when);
    pending = machine_facts(m, "pending.");
    check_pending(pending, when);
    check_reads(c, when);
    words = host_tree_read(m->host, "last", &(size_t){ 0 });
    cr_assert_str_eq(words, "what comes after", "%s", when);
    g_free(words);
    words = machine_close(m);
    cr_assert_null(words, "%s: %s", when, words);
}

static void make_host(HostFs *fs)
{
    static const char *const paths[] = {
        "a/one",  "a/b/two", "a/b/c/three", "a/b/c/four",
        "d/five", "d/e/six", "f/g/h/seven", "eight",
    };
    char data[1700];

    for (size_t i = 0; i < G_N_ELEMENTS(paths); i++) {
        memset(data, (int)('A' + i), sizeof(data));
        cr_assert_eq(host_tree_file(fs, paths[i], data, 200 * (i + 1)), 0);
    }
    for (int i = 0; i < N_LEFT_ALONE; i++) {
        g_autofree char *path = g_strdup_printf(LEFT_ALONE "/%d", i);

        cr_assert_eq(host_tree_text(fs, path, path), 0);
    }
}

/* With the guest running: it has its memory still. */
static void reopen(Case *c)
{
    Machine *m = c->m;

    blk_close(m->disk->blk);
    m->disk->blk = machine_open_device(m, c->kept);
}

static unsigned run_case(uint64_t seed, bool is_kept)
{
    g_autoptr(Machine) m = machine_new();
    g_autofree char *kept = g_strdup_printf("overlay=%%D/%u.qcow2",
                                            (unsigned)seed);
    Case c = { .prng = { seed },
               .host_prng = { ~seed },
               .m = m,
               .kept = is_kept ? kept : NULL };

    make_host(m->host);
    machine_open(m, c.kept);
    for (unsigned i = 0; i < ROUNDS; i++) {
        g_autofree char *when = g_strdup_printf("seed %u, round %u",
                                                (unsigned)seed, i);

        run_round(&c, when);
        if (is_kept && prng_one_in(&c.host_prng, 3)) {
            reopen(&c);
            check_reads(&c, when);
        }
    }
    recover(&c, (unsigned)seed);
    return c.n_lost;
}

static void run_cases(bool is_kept, unsigned n)
{
    unsigned n_lost = 0;

    for (unsigned seed = 1; seed <= n; seed++) {
        n_lost += run_case(seed, is_kept);
    }
    cr_assert_gt(n_lost, 0);
}

Test(writable_host, takes_away_what_the_guest_has)
{
    run_cases(false, CASES);
}

Test(writable_host, takes_away_what_a_kept_overlay_has)
{
    run_cases(true, KEPT_CASES);
}
