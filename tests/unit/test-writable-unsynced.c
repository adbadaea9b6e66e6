/* SPDX-License-Identifier: MIT */
/*
 * A sync of the host fails, once, and what it was to write is lost, as Linux
 * loses it: shown as long as the system runs, and gone with the power. A flush
 * that says it worked after that has brought everything to the disk all the
 * same.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "image-fixture.h"
#include "tests/unit/host-tree.h"
#include "tests/unit/machine-day.h"
#include "tests/unit/memory-hostfs.h"

TestSuite(writable_unsynced, .init = image_dir_init, .fini = image_dir_fini);

static Machine *morning(void)
{
    Machine *m = machine_new();

    day_make_host(m->host);
    machine_open(m, NULL);
    return m;
}

/* The power fails, and nothing that is pending gets to the disk. */
static void check_disk(Machine *m, const char *when, int k)
{
    g_autoptr(HostFs) disk = memory_hostfs_crash(m->host, MEMORY_CRASH_NONE);
    g_autofree char *guest = machine_guest_dump(m);
    g_autofree char *host = machine_host_dump(disk);
    g_autofree char *difference = host_tree_diff(guest, host);

    cr_assert_null(difference, "sync %d, %s: guest (-) and disk (+):\n%s", k,
                   when, difference);
}

/* A flush, which fails once if the sync in question comes, and then works. */
static bool flush(Machine *m, const char *when, int k)
{
    bool was_to_fail = memory_hostfs_sync_is_to_fail(m->host);
    int ret = guest_sync(m, ORDER_LINUX);
    bool failed = was_to_fail && !memory_hostfs_sync_is_to_fail(m->host);

    cr_assert_eq(ret, failed ? -EIO : 0, "sync %d, %s: %d", k, when, ret);
    if (failed) {
        g_autofree char *words = blk_strerror(ret);

        cr_assert(strstr(words, "sync"), "sync %d, %s: %s", k, when, words);
    }
    return failed;
}

/* ---- All day ---- */

/* again: the first sync of the second flush fails as well. False: there are
 * not so many syncs. */
static bool check_day(int k, bool again)
{
    g_autoptr(Machine) m = morning();
    bool failed = false;

    memory_hostfs_fail_sync(m->host, (unsigned)k);
    for (unsigned i = 0; i < DAY_STEPS; i++) {
        g_autofree char *when = g_strdup_printf("step %u", i);

        day_step(m, i);
        if (flush(m, when, k)) {
            failed = true;
            memory_hostfs_fail_sync(m->host, again ? 1 : 0);
            if (again) {
                cr_assert(flush(m, when, k));
            }
            cr_assert_not(flush(m, when, k));
        }
        check_disk(m, when, k);
    }
    machine_check_same(m, "sync %d", k);
    return failed;
}

Test(writable_unsynced, all_day)
{
    int k = 1;

    while (check_day(k, false)) {
        check_day(k, true);
        k++;
    }
    cr_assert_gt(k, 20);
}

/* The guest goes on before it flushes again. */
static bool check_going_on(int k)
{
    g_autoptr(Machine) m = morning();
    bool failed = false;

    memory_hostfs_fail_sync(m->host, (unsigned)k);
    for (unsigned i = 0; i < DAY_STEPS; i++) {
        g_autofree char *when = g_strdup_printf("step %u", i);

        day_step(m, i);
        if (flush(m, when, k)) {
            failed = true;
        } else {
            check_disk(m, when, k);
        }
    }
    cr_assert_eq(guest_sync(m, ORDER_LINUX), 0);
    check_disk(m, "in the evening", k);
    return failed;
}

Test(writable_unsynced, the_guest_goes_on)
{
    int k = 1;

    while (check_going_on(k)) {
        k++;
    }
    cr_assert_gt(k, 20);
}

/* ---- A few files, each synced by itself ---- */

static void write_in_place(Machine *m)
{
    guest_put(m, "large", 1000, "edited in the middle");
}

static void write_again(Machine *m)
{
    guest_put(m, "large", 1, "edited at the beginning");
}

static void write_back(Machine *m)
{
    guest_fill(m, "large", 3000, 'L');
}

static void grow(Machine *m)
{
    guest_resize(m, "large", 5000);
    guest_put(m, "large", 4000, "more");
}

static void shrink(Machine *m)
{
    guest_resize(m, "large", 1100);
}

static void rewrite(Machine *m)
{
    guest_fill(m, "large", 2000, 'W');
}

static void defragment(Machine *m)
{
    guest_defragment(m, "large");
}

static void move(Machine *m)
{
    guest_move(m, "large", "moved");
    guest_move(m, "moved", "large");
    guest_move(m, "a", "dir/a");
}

static void make(Machine *m)
{
    guest_mkdir(m, "made");
    guest_text(m, "made/new", "a new file");
}

static void replace(Machine *m)
{
    guest_replace(m, "b", "victim");
}

static void drop(Machine *m)
{
    guest_delete(m, "tmp");
}

static void set_attributes(Machine *m)
{
    guest_attr(m, "large", ATTR_HIDDEN);
}

static void nothing(Machine *m)
{
    (void)m;
}

typedef void Change(Machine *m);

static bool check_pair(Change *first, Change *second, const char *what, int k)
{
    g_autoptr(Machine) m = morning();

    memory_hostfs_fail_sync(m->host, (unsigned)k);
    first(m);
    if (!flush(m, what, k)) {
        return false;
    }
    second(m);
    cr_assert_eq(guest_sync(m, ORDER_LINUX), 0, "%s, sync %d", what, k);
    check_disk(m, what, k);
    machine_check_same(m, "%s, sync %d", what, k);
    return true;
}

Test(writable_unsynced, one_change_and_another)
{
    static Change *const firsts[] = {
        write_in_place, grow, shrink,  rewrite, defragment,
        move,           make, replace, drop,    set_attributes,
    };
    static Change *const seconds[] = {
        nothing, write_in_place, write_again, write_back,     grow,
        shrink,  rewrite,        defragment,  set_attributes,
    };

    for (size_t i = 0; i < G_N_ELEMENTS(firsts); i++) {
        for (size_t j = 0; j < G_N_ELEMENTS(seconds); j++) {
            g_autofree char *what = g_strdup_printf("%zu, %zu", i, j);
            int k = 1;

            while (check_pair(firsts[i], seconds[j], what, k)) {
                k++;
            }
            cr_assert(k > 1 || firsts[i] == defragment, "%s", what);
        }
    }
}
