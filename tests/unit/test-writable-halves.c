/* SPDX-License-Identifier: MIT */
/*
 * A guest's day in halves: each step is written in each order, and flushed in
 * the middle of it, after every number of sectors. What the step does not
 * concern is as it was on the host, and when the rest is written the host has
 * all.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "image-fixture.h"
#include "tests/unit/host-tree.h"
#include "tests/unit/machine-day.h"

TestSuite(writable_halves, .init = image_dir_init, .fini = image_dir_fini);

/* Lines of `before` that are in `after`, too, have to be in `now`. */
static void check_untouched(const char *before, const char *after,
                            const char *now, const char *when)
{
    g_auto(GStrv) lines = g_strsplit(before, "\n", -1);
    g_auto(GStrv) wanted = g_strsplit(after, "\n", -1);
    g_auto(GStrv) have = g_strsplit(now, "\n", -1);

    for (char **line = lines; *line; line++) {
        cr_assert(!g_strv_contains((const char *const *)wanted, *line) ||
                      g_strv_contains((const char *const *)have, *line),
                  "%s: '%s' is not on the host, but\n%s", when, *line, now);
    }
}

static void start(Machine *m, unsigned step)
{
    day_make_host(m->host);
    machine_open(m, NULL);
    for (unsigned i = 0; i < step; i++) {
        day_step(m, i);
        cr_assert_eq(guest_sync(m, ORDER_LINUX), 0);
    }
}

/* False when there were no more than n sectors to write. */
static bool check_half(unsigned step, unsigned order, unsigned style,
                       unsigned n)
{
    g_autoptr(Machine) m = machine_new();
    g_autofree char *name = disk_order_name(order, style);
    g_autofree char *when = g_strdup_printf("step %u, %s, %u sectors", step,
                                            name, n);
    g_autofree char *before = NULL;
    g_autofree char *after = NULL;
    g_autofree char *now = NULL;
    g_autofree char *why = NULL;
    bool more;

    start(m, step);
    before = machine_host_dump(m->host);
    day_step(m, step);
    after = machine_guest_dump(m);
    why = disk_write(m->disk, order, style, 1, n);
    cr_assert_null(why, "%s", why);
    cr_assert_eq(blk_flush(m->disk->blk), 0);
    why = disk_verify(m->disk, true, 0);
    cr_assert_null(why, "%s: %s", when, why);
    now = machine_host_dump(m->host);
    check_untouched(before, after, now, when);
    more = disk_n_dirty(m->disk) > 0;
    cr_assert_eq(guest_sync(m, ORDER_LINUX), 0);
    machine_check_same(m, "%s", when);
    g_free(why);
    why = machine_close(m);
    cr_assert_null(why, "%s: %s", when, why);
    return more;
}

static void check_step(unsigned step)
{
    for (unsigned order = 0; order < N_ORDERS; order++) {
        for (unsigned n = 1; check_half(step, order, 0, n); n++) {
        }
    }
    for (unsigned style = 1; style < N_STYLES; style++) {
        for (unsigned n = 1; check_half(step, ORDER_LINUX, style, n); n++) {
        }
    }
}

Test(writable_halves, contents)
{
    check_step(0);
}

Test(writable_halves, names)
{
    check_step(1);
}

Test(writable_halves, clusters_used_again)
{
    check_step(2);
}

Test(writable_halves, clusters_moved)
{
    check_step(3);
}

Test(writable_halves, directories_that_grow)
{
    check_step(4);
}

Test(writable_halves, all_moved_back)
{
    check_step(5);
}

/* The second cluster of a file is another one, with other bytes; its entry is
 * as it was. */
Test(writable_halves, chain_that_changes_below_an_entry_that_stays)
{
    for (unsigned order = 0; order < N_ORDERS; order++) {
        g_autoptr(Machine) m = machine_new();
        uint32_t first, second, other;
        FatEntry entry;

        start(m, 0);
        cr_assert(fatvol_walk(m->vol, "large", &entry));
        first = entry_cluster(m->vol, &entry);
        fatvol_entry_clear(&entry);
        second = fatvol_next(m->vol, first);
        other = fatvol_alloc(m->vol, first);
        cr_assert(other && other != second);
        fatvol_link(m->vol, other, fatvol_next(m->vol, second));
        fatvol_link(m->vol, second, 0);
        fatvol_free_chain(m->vol, second);
        memset(m->disk->mem + fatvol_cluster_at(m->vol, other), 'N',
               m->vol->cluster_size);
        disk_touch(m->disk, fatvol_cluster_at(m->vol, other),
                   m->vol->cluster_size, CLASS_DATA);
        cr_assert_eq(guest_sync(m, order), 0);
        machine_check_same(m, "order %u", order);
    }
}

/* Empty files have no clusters that would say that they are still there. */
Test(writable_halves, empty_files_of_a_directory_whose_chain_breaks_off)
{
    g_autoptr(Machine) m = machine_new();
    g_autofree char *before = NULL;
    g_autofree char *now = NULL;
    uint32_t first, second;
    FatEntry entry;

    for (int i = 0; i < 40; i++) {
        g_autofree char *path = g_strdup_printf("many/empty number %d", i);

        cr_assert_eq(host_tree_text(m->host, path, ""), 0);
    }
    machine_open(m, NULL);
    before = machine_host_dump(m->host);
    cr_assert(fatvol_walk(m->vol, "many", &entry));
    first = entry_cluster(m->vol, &entry);
    fatvol_entry_clear(&entry);
    second = fatvol_next(m->vol, first);
    cr_assert(second);
    fatvol_put(m->vol, first, m->vol->n_clusters + 2);
    cr_assert_eq(guest_sync(m, ORDER_LINUX), 0);
    now = machine_host_dump(m->host);
    cr_assert_str_eq(now, before);

    fatvol_link(m->vol, first, second);
    guest_delete(m, "many/empty number 39");
    guest_text(m, "many/empty number 38", "no more");
    cr_assert_eq(guest_sync(m, ORDER_LINUX), 0);
    machine_check_same(m, "whole again");
}
