/* SPDX-License-Identifier: MIT */
/*
 * A guest's day on a host that fails: every kind of operation, with each call
 * to the host failing once, or from then on. A flush that says it worked has
 * brought the guest's files to the host; one that does not loses nothing, and
 * as soon as the host works again the next one brings everything.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "image-fixture.h"
#include "tests/unit/fault-malloc.h"
#include "tests/unit/host-tree.h"
#include "tests/unit/machine-day.h"

TestSuite(writable_faults, .init = image_dir_init, .fini = image_dir_fini);

static Machine *morning(void)
{
    Machine *m = machine_new();

    day_make_host(m->host);
    machine_open(m, NULL);
    m->fault->calls = 0;
    return m;
}

static int count_calls(void)
{
    g_autoptr(Machine) m = morning();

    for (unsigned i = 0; i < DAY_STEPS; i++) {
        day_step(m, i);
        cr_assert_eq(guest_sync(m, ORDER_LINUX), 0);
        machine_check_same(m, "step %u", i);
    }
    return m->fault->calls;
}

static void run_day(Machine *m, int k, int *n_failed)
{
    for (unsigned i = 0; i < DAY_STEPS; i++) {
        g_autofree char *pending = NULL;
        g_autofree char *difference = NULL;

        day_step(m, i);
        *n_failed += guest_sync(m, ORDER_LINUX) < 0;
        pending = machine_fact(m, "commit.pending");
        difference = machine_difference(m);
        cr_assert(*n_failed || !difference,
                  "call %d, step %u: no error, %s pending, and\n%s", k, i,
                  pending, difference);
    }
}

static void check_fault(int k, int error, bool for_ever)
{
    g_autoptr(Machine) m = morning();
    g_autofree char *words = NULL;
    int n_failed = 0, ret;

    m->fault->error = error;
    m->fault->fail_at = k;
    m->fault->fail_on = for_ever;
    run_day(m, k, &n_failed);
    m->fault->fail_at = 0;
    ret = blk_flush(m->disk->blk);
    if (ret < 0) {
        words = blk_strerror(ret);
    }
    cr_assert_eq(ret, 0, "call %d (%s, %s): %s", k, g_strerror(-error),
                 for_ever ? "for ever" : "once", words);
    machine_check_same(m, "call %d (%s, %s)", k, g_strerror(-error),
                       for_ever ? "for ever" : "once");
    g_free(words);
    words = machine_close(m);
    cr_assert_null(words, "call %d: %s", k, words);
    cr_assert_eq(m->fault->n_open, 0);
}

static void check_all(int error)
{
    int n = count_calls();

    cr_assert_gt(n, 100);
    for (int k = 1; k <= n; k++) {
        check_fault(k, error, false);
        check_fault(k, error, true);
    }
}

/* What is in a directory that the host has moved away meanwhile, and the guest
 * has removed, cannot be looked at. */
Test(writable_faults, directory_moved_away_on_the_host)
{
    for (int k = 1; k < 40; k++) {
        g_autoptr(Machine) m = morning();
        g_autofree char *host = NULL;

        cr_assert_eq(m->host->ops->rename(m->host, "gone", "elsewhere", 0), 0);
        guest_delete(m, "gone");
        m->fault->error = -EIO;
        m->fault->fail_at = k;
        guest_write_out(m, ORDER_LINUX);
        cr_assert_leq(blk_flush(m->disk->blk), 0);
        m->fault->fail_at = 0;
        cr_assert_eq(blk_flush(m->disk->blk), 0);
        host = machine_host_dump(m->host);
        cr_assert(strstr(host, "elsewhere/below/more 9"), "%s", host);
        cr_assert_null(strstr(host, "gone"), "%s", host);
    }
}

/* The image that a message names. */
static char *image_in(const char *words)
{
    const char *start = strstr(words, "kept in '");
    const char *end = start ? strchr(start + 9, '\'') : NULL;

    cr_assert(end, "%s", words);
    return g_strndup(start + 9, (size_t)(end - start - 9));
}

/* Nothing can be written any more, and the guest goes: an image has all. */
Test(writable_faults, what_never_reached_the_host_is_in_an_image)
{
    g_autoptr(Machine) m = morning();
    g_autofree char *guest = NULL;
    g_autofree char *kept = NULL;
    g_autofree char *words = NULL;
    g_autofree char *image = NULL;

    m->fault->error = -EROFS;
    m->fault->kinds = HOST_CALL_CHANGE | HOST_CALL_OPEN;
    m->fault->fail_at = 1;
    m->fault->fail_on = true;
    for (unsigned i = 0; i < DAY_STEPS; i++) {
        day_step(m, i);
        cr_assert_lt(guest_sync(m, (unsigned)ORDER_LINUX), 0);
    }
    guest = machine_guest_dump(m);
    words = machine_close(m);
    cr_assert_not_null(words);
    image = image_in(words);
    machine_open_image(m, image);
    kept = machine_guest_dump(m);
    cr_assert_str_eq(kept, guest);
}

/* ---- Memory ---- */

/* A file whose chain has several runs, part of which is on the host alone. */
static void append(Machine *m)
{
    guest_put(m, "large", 600, "in place");
    guest_fill(m, "between", 700, 'b');
    guest_resize(m, "large", 6000);
    guest_put(m, "large", 5500, "behind the old end");
}

/* A step of the day, after those before it. */
static void do_step(Machine *m, unsigned step)
{
    for (unsigned i = 0; i < step; i++) {
        day_step(m, i);
        cr_assert_eq(guest_sync(m, ORDER_LINUX), 0);
    }
    day_step(m, step);
}

/* What has no memory waits, and the guest reads what it wrote. False: there
 * was no k-th allocation. */
static bool check_no_memory(unsigned step, unsigned k)
{
    g_autoptr(Machine) m = morning();
    g_autofree char *why = NULL;
    bool happened;

    if (step < DAY_STEPS) {
        do_step(m, step);
    } else {
        append(m);
    }
    guest_write_out(m, ORDER_LINUX);
    fault_malloc_arm(k);
    (void)!blk_flush(m->disk->blk);
    happened = fault_malloc_count() >= k;
    fault_malloc_arm(0);
    why = disk_verify(m->disk, true, 0);
    cr_assert_null(why, "step %u, allocation %u: %s", step, k, why);
    guest_time(m, "plain", 1300000000);
    cr_assert_eq(guest_sync(m, ORDER_LINUX), 0);
    machine_check_same(m, "step %u, allocation %u", step, k);
    why = machine_close(m);
    cr_assert_null(why, "step %u, allocation %u: %s", step, k, why);
    return happened;
}

Test(writable_faults, no_memory)
{
    unsigned n = 0;

    for (unsigned step = 0; step <= DAY_STEPS; step++) {
        for (unsigned k = 1; check_no_memory(step, k); k++) {
            n++;
        }
    }
    cr_assert_gt(n, 10);
}

Test(writable_faults, io_error)
{
    check_all(-EIO);
}

Test(writable_faults, no_room)
{
    check_all(-ENOSPC);
}

Test(writable_faults, no_permission)
{
    check_all(-EACCES);
}

Test(writable_faults, too_many_open_files)
{
    check_all(-EMFILE);
}

Test(writable_faults, stale_handle)
{
    check_all(-ESTALE);
}
