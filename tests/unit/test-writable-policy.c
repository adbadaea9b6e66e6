/* SPDX-License-Identifier: MIT */
/* commit=: who asks for a commit, and that nobody else does. */
#include <criterion/criterion.h>
#include <errno.h>

#include "image-fixture.h"
#include "tests/unit/machine.h"

#define BYTES 24000
#define A_WHILE 50000 /* microseconds */

TestSuite(writable_policy, .init = image_dir_init, .fini = image_dir_fini,
          .timeout = 60);

/* A commit that was asked for fails, and the host works again. */
static Machine *fail_once(const char *more)
{
    Machine *m = machine_new();

    machine_open(m, more);
    guest_text(m, "one", "one");
    m->fault->kinds = HOST_CALL_CHANGE;
    m->fault->error = -ENOSPC;
    m->fault->calls = 0;
    m->fault->fail_at = 1;
    m->fault->fail_on = true;
    guest_write_out(m, ORDER_LINUX);
    cr_assert_lt(blk_commit(m->disk->blk, false, NULL), 0);
    m->fault->fail_at = 0;
    return m;
}

static bool host_has(Machine *m, const char *path)
{
    HostStat st;

    return m->host->ops->stat(m->host, path, &st) == 0;
}

/* The attempt that a disk which commits by itself makes comes after the times
 * at which the others would have made theirs. */
Test(writable_policy, a_failed_commit_is_repeated_only_where_it_may_be)
{
    static const char *const options[] = { "commit=manual,commit-delay=1",
                                           "commit=close,commit-delay=1",
                                           "commit=flush,commit-delay=1" };
    Machine *m[G_N_ELEMENTS(options)];

    for (size_t i = 0; i < G_N_ELEMENTS(options); i++) {
        m[i] = fail_once(options[i]);
        if (i < 2) {
            guest_text(m[i], "two", "two");
            guest_write_out(m[i], ORDER_LINUX);
        }
    }
    while (!host_has(m[2], "one")) {
        g_usleep(A_WHILE);
    }
    g_usleep(A_WHILE);
    for (size_t i = 0; i < 2; i++) {
        cr_assert(!host_has(m[i], "one") && !host_has(m[i], "two"), "%s",
                  options[i]);
        cr_assert_eq(blk_commit(m[i]->disk->blk, false, NULL), 0);
        machine_check_same(m[i], "%s", options[i]);
    }
    for (size_t i = 0; i < G_N_ELEMENTS(options); i++) {
        machine_free(m[i]);
    }
}

Test(writable_policy, room_is_not_made_by_a_commit_that_nobody_asked_for)
{
    Machine *m = machine_new();
    g_autofree char *bytes = g_strnfill(BYTES, 'x');

    machine_open(m, "commit=manual,overlay-max=32k");
    guest_fill(m, "new", 20000, 'x');
    guest_write_out(m, ORDER_LINUX);
    image_check_io(blk_pwrite(m->disk->blk, 600000, BYTES, bytes, 0), -ENOSPC,
                   "overlay-max");
    cr_assert(!host_has(m, "new"));
    cr_assert_eq(blk_commit(m->disk->blk, false, NULL), 0);
    cr_assert_eq(blk_pwrite(m->disk->blk, 600000, BYTES, bytes, 0), 0);
    cr_assert(host_has(m, "new"));
    machine_free(m);
}
