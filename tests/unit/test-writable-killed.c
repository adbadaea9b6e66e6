/* SPDX-License-Identifier: MIT */
/*
 * A guest's day that ends at each call to the host: the process dies, or the
 * power fails. No overlay survives. What the last successful flush brought is
 * there; of the one that was under way each file is the old or the new one,
 * except that one written in place may be in between, where it was written.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "image-fixture.h"
#include "tests/unit/host-tree.h"
#include "tests/unit/machine-day.h"
#include "tests/unit/memory-hostfs.h"

TestSuite(writable_killed, .init = image_dir_init, .fini = image_dir_fini);

/* ---- What a file system holds ---- */

/* Path to GBytes; directories are left out. */
static void list(HostFs *fs, const char *path, GHashTable *files)
{
    HostDir *dir;
    const char *name;

    cr_assert_eq(fs->ops->dir_open(fs, path, &dir), 0, "%s", path);
    while (fs->ops->dir_next(fs, dir, &name) > 0) {
        g_autofree char *child = g_strconcat(path, *path ? "/" : "", name,
                                             NULL);
        HostStat st;

        cr_assert_eq(fs->ops->stat(fs, child, &st), 0);
        if (st.kind == HOST_DIRECTORY) {
            list(fs, child, files);
        } else {
            size_t bytes;
            char *data = host_tree_read(fs, child, &bytes);

            cr_assert_not_null(data, "%s", child);
            g_hash_table_insert(files, g_steal_pointer(&child),
                                g_bytes_new_take(data, bytes));
        }
    }
    fs->ops->dir_close(fs, dir);
}

static GHashTable *files_of(HostFs *fs)
{
    GHashTable *files = g_hash_table_new_full(g_str_hash, g_str_equal, g_free,
                                              (GDestroyNotify)g_bytes_unref);

    list(fs, "", files);
    return files;
}

static bool holds(GHashTable *files, GBytes *data)
{
    GHashTableIter iter;
    gpointer value;

    g_hash_table_iter_init(&iter, files);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        if (g_bytes_equal(value, data)) {
            return true;
        }
    }
    return false;
}

static int byte_at(const uint8_t *data, size_t bytes, size_t at)
{
    return at < bytes ? data[at] : -1;
}

/* Whether a file is between two versions: where they differ it has bytes of
 * either, or zeroes that were there before the bytes. */
static bool is_between(GBytes *file, GBytes *old, GBytes *new)
{
    size_t n, n_old, n_new;
    const uint8_t *data = g_bytes_get_data(file, &n);
    const uint8_t *a = g_bytes_get_data(old, &n_old);
    const uint8_t *b = g_bytes_get_data(new, &n_new);

    if (n != n_old && n != n_new) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        int one = byte_at(a, n_old, i), other = byte_at(b, n_new, i);

        if (data[i] != one && data[i] != other &&
            !(data[i] == 0 && one != other)) {
            return false;
        }
    }
    return true;
}

/* ---- Judging ---- */

typedef struct Death {
    GHashTable *old, *new, *dead; /* the last flush, the next one, the disk */
    const char *how;
} Death;

/* Of any file, as it may have another name on the way. */
static bool is_torn(const Death *d, GBytes *file)
{
    GHashTableIter iter;
    gpointer path, old;

    g_hash_table_iter_init(&iter, d->old);
    while (g_hash_table_iter_next(&iter, &path, &old)) {
        GBytes *new = g_hash_table_lookup(d->new, path);

        if (new &&is_between(file, old, new)) {
            return true;
        }
    }
    return false;
}

static bool is_temporary(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;

    return g_str_has_prefix(name, ".vvfat-") &&
           !g_str_has_prefix(name, ".vvfat-aside-");
}

static void check_death(const Death *d)
{
    GHashTableIter iter;
    gpointer path, data;

    g_hash_table_iter_init(&iter, d->dead);
    while (g_hash_table_iter_next(&iter, &path, &data)) {
        cr_assert(is_temporary(path) || holds(d->old, data) ||
                      holds(d->new, data) || is_torn(d, data),
                  "%s: '%s' was never so", d->how, (char *)path);
    }
    g_hash_table_iter_init(&iter, d->old);
    while (g_hash_table_iter_next(&iter, &path, &data)) {
        GBytes *there = g_hash_table_lookup(d->dead, path);
        GBytes *new = g_hash_table_lookup(d->new, path);

        cr_assert(!holds(d->new, data) || holds(d->dead, data),
                  "%s: what '%s' held is lost", d->how, (char *)path);
        cr_assert(!new || !g_bytes_equal(new, data) ||
                      (there && g_bytes_equal(there, data)),
                  "%s: '%s' was not to be touched", d->how, (char *)path);
    }
}

/* ---- Dying ---- */

typedef struct Life {
    Machine *m;
    HostFs *old, *new; /* what the guest had at the last flush that worked, and
                          has now */
} Life;

static void life_clear(Life *life)
{
    life->m->fault->fail_at = 0;
    life->m->fault->crashed = 0;
    machine_free(life->m);
    hostfs_free(life->old);
    hostfs_free(life->new);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Life, life_clear)

/* Until the host dies at call k. */
static void live(Life *life, int k)
{
    Machine *m = life->m = machine_new();
    int ret = 0;

    day_make_host(m->host);
    machine_open(m, "commit=flush");
    m->fault->calls = 0;
    m->fault->fail_at = k;
    m->fault->crash = true;
    life->new = machine_guest_tree(m);
    for (unsigned i = 0; i < DAY_STEPS && ret == 0; i++) {
        day_step(m, i);
        hostfs_free(life->old);
        life->old = life->new;
        life->new = machine_guest_tree(m);
        ret = guest_sync(m, ORDER_LINUX);
    }
    if (ret == 0) {
        hostfs_free(life->old);
        life->old = machine_guest_tree(m);
    }
}

static void check_disk(const Life *life, HostFs *disk, const char *fmt, int k,
                       unsigned seed)
{
    g_autofree char *how = g_strdup_printf("call %d: %s %u", k, fmt, seed);
    g_autoptr(GHashTable) old = files_of(life->old);
    g_autoptr(GHashTable) new = files_of(life->new);
    g_autoptr(GHashTable) dead = files_of(disk);
    Death death = { old, new, dead, how };

    check_death(&death);
}

static int count_calls(void)
{
    g_auto(Life) life = { 0 };

    live(&life, 0);
    return life.m->fault->calls;
}

Test(writable_killed, at_each_call_of_the_host)
{
    int n = count_calls();

    for (int k = 1; k <= n; k++) {
        g_auto(Life) life = { 0 };
        g_autoptr(HostFs) disk = NULL;

        live(&life, k);
        disk = memory_hostfs_kill(life.m->host);
        check_disk(&life, disk, "killed", k, 0);
    }
}

Test(writable_killed, power_cut_at_each_call_of_the_host)
{
    int n = count_calls();

    for (int k = 1; k <= n + 1; k++) {
        g_auto(Life) life = { 0 };

        live(&life, k);
        for (uint32_t seed = 0; seed < MEMORY_CRASH_RANDOM + 6; seed++) {
            g_autoptr(HostFs) disk = memory_hostfs_crash(life.m->host, seed);

            check_disk(&life, disk, "power cut", k, seed);
        }
    }
}

/* With names that get to the disk in any order. */
Test(writable_killed, power_cut_of_a_careless_file_system)
{
    int n = count_calls();

    for (int k = 1; k <= n + 1; k++) {
        g_auto(Life) life = { 0 };

        live(&life, k);
        memory_hostfs_set_ordered(life.m->host, false);
        for (uint32_t seed = 0; seed < MEMORY_CRASH_RANDOM + 6; seed++) {
            g_autoptr(HostFs) disk = memory_hostfs_crash(life.m->host, seed);

            if (life.m->fault->crashed) {
                continue; /* renames without their order lose files */
            }
            check_disk(&life, disk, "power cut", k, seed);
        }
    }
}
