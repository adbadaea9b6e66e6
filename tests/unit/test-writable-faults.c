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
