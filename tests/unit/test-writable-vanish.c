/* SPDX-License-Identifier: MIT */
/*
 * The host deletes a file just before any of the calls with which a commit is
 * about to change it. That is no failure of the host, and none of the flush:
 * what the guest has written is there.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "image-fixture.h"
#include "tests/unit/host-tree.h"
#include "tests/unit/machine.h"

TestSuite(writable_vanish, .init = image_dir_init, .fini = image_dir_fini);

typedef struct Vanish {
    HostFs *host;
    int at; /* before this call */
} Vanish;

static void on_call(int n, void *opaque)
{
    const Vanish *v = opaque;

    if (n == v->at) {
        /* It may be gone already, or not be there yet. */
        (void)!v->host->ops->unlink(v->host, "file");
    }
}

typedef void (*Change)(Machine *m);

/* False: a commit has fewer calls. */
static bool check_call(Change change, int at)
{
    g_autoptr(Machine) m = machine_new();
    Vanish v = { m->host, at };

    cr_assert_eq(host_tree_text(m->host, "file", "what it held"), 0);
    cr_assert_eq(host_tree_text(m->host, "other", "another one"), 0);
    machine_open(m, "commit=flush");
    change(m);
    guest_write_out(m, ORDER_LINUX);
    m->fault->calls = 0;
    m->fault->opaque = &v;
    m->fault->on_call = on_call;
    cr_assert_eq(blk_flush(m->disk->blk), 0, "call %d", at);
    m->fault->on_call = NULL;
    return m->fault->calls >= at;
}

static void check(Change change)
{
    int at = 1;

    while (check_call(change, at)) {
        at++;
    }
    cr_assert_gt(at, 3);
}

static void write_anew(Machine *m)
{
    guest_delete(m, "file");
    guest_text(m, "file", "written by the guest");
}

Test(writable_vanish, written_anew)
{
    check(write_anew);
}

static void write_in_place(Machine *m)
{
    guest_text(m, "file", "what it HELD");
}

Test(writable_vanish, written_in_place)
{
    check(write_in_place);
}

static void set_attributes(Machine *m)
{
    guest_attr(m, "file", ATTR_READ_ONLY | ATTR_HIDDEN);
    guest_time(m, "file", 1500000000);
}

Test(writable_vanish, attributes)
{
    check(set_attributes);
}

static void delete_file(Machine *m)
{
    guest_delete(m, "file");
}

Test(writable_vanish, deleted)
{
    check(delete_file);
}

static void replace_by_other(Machine *m)
{
    guest_replace(m, "other", "file");
}

Test(writable_vanish, replaced)
{
    check(replace_by_other);
}
