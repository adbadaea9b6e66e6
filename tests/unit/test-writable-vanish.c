/* SPDX-License-Identifier: MIT */
/*
 * The host deletes a file just before any of the calls with which a commit is
 * about to change it. That is no failure of the host, and none of the flush:
 * what the guest has written is there. Where the guest has written a part of it
 * alone, the other part is nowhere: that file waits, and no other does.
 */
#include <criterion/criterion.h>
#include <errno.h>
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

/* ---- What the guest did not write is gone ---- */

#define LONG 90000u
#define WRITTEN 8192u /* of it */

#define MANY 200u /* more than the driver keeps open */

/* And others, which the guest reads after it when it looks at the disk: the
 * driver has closed it by then. */
static void make_long(Machine *m)
{
    g_autofree char *data = g_malloc0(LONG);

    memset(data, 'h', LONG);
    cr_assert_eq(host_tree_file(m->host, "long", data, LONG), 0);
    for (unsigned i = 0; i < MANY; i++) {
        g_autofree char *name = g_strdup_printf("many/%u", i);

        cr_assert_eq(host_tree_text(m->host, name, name), 0);
    }
}

static void write_part(Machine *m)
{
    char part[WRITTEN + 1] = { 0 };

    memset(part, 'g', WRITTEN);
    guest_put(m, "long", 16384, part);
}

static void check_long_waits(Machine *m, const char *when)
{
    g_autofree char *pending = machine_fact(m, "commit.pending");
    g_autofree char *path = machine_fact(m, "pending.0.path");
    g_autofree char *reason = machine_fact(m, "pending.0.reason");
    g_autofree char *told = machine_facts(m, "report");
    g_autofree char *all = machine_facts(m, "pending");

    cr_assert_str_eq(pending, "1", "%s: %s\n%s", when, pending, all);
    cr_assert_str_eq(path, "long", "%s", when);
    cr_assert(g_str_has_prefix(reason, "it was changed on the host"), "%s: %s",
              when, reason);
    cr_assert_not_null(strstr(reason, "gone from the host"), "%s: %s", when,
                       reason);
    cr_assert_not_null(strstr(told, "conflict"), "%s: [%s] %s", when, told,
                       reason);
}

/* To the guest these are sectors that cannot be read, as on any disk. */
static void check_unreadable(Machine *m)
{
    unsigned n = 0;

    for (uint32_t i = 0; i < m->vol->n_clusters; i++) {
        uint8_t data[512];
        int ret = blk_pread(m->disk->blk, m->vol->data + i * INT64_C(512),
                            sizeof(data), data, 0);

        cr_assert(ret == 0 || ret == -EIO, "cluster %u: %d", i + 2, ret);
        n += ret < 0;
    }
    cr_assert_eq(n, (LONG + 511) / 512 - WRITTEN / 512);
}

/* What the host does to the file; with the disk open. */
typedef void (*Loss)(HostFs *host);

static void check_loss(Loss lose, const char *left)
{
    g_autoptr(Machine) m = machine_new();
    g_autofree char *words = NULL;
    g_autofree char *there = NULL;
    char *data;
    size_t bytes;

    make_long(m);
    machine_open(m, "commit=flush");
    write_part(m);
    lose(m->host);
    guest_text(m, "new", "of the guest");
    for (unsigned i = 0; i < 3; i++) {
        cr_assert_eq(guest_sync(m, ORDER_LINUX), 0, "flush %u", i);
        check_long_waits(m, "after a flush");
    }
    data = host_tree_read(m->host, "new", &bytes);
    cr_assert_not_null(data);
    cr_assert_str_eq(data, "of the guest");
    g_free(data);
    there = host_tree_read(m->host, "long", &bytes);
    cr_assert(left ? there && strcmp(there, left) == 0 : !there, "%s", there);

    check_unreadable(m);
    words = machine_close(m);
    cr_assert(words && strstr(words, "kept in '"), "%s", words);
}

static void remove_long(HostFs *host)
{
    cr_assert_eq(host->ops->unlink(host, "long"), 0);
}

Test(writable_vanish, the_rest_of_a_removed_file)
{
    check_loss(remove_long, NULL);
}

static void replace_long(HostFs *host)
{
    cr_assert_eq(host_tree_text(host, "editor", "by the host"), 0);
    cr_assert_eq(host->ops->rename(host, "editor", "long", 0), 0);
}

Test(writable_vanish, the_rest_of_a_replaced_file)
{
    check_loss(replace_long, "by the host");
}

/* As soon as the guest has written all of it, it is there again. */
Test(writable_vanish, a_removed_file_that_is_written_anew)
{
    g_autoptr(Machine) m = machine_new();

    make_long(m);
    machine_open(m, "commit=flush");
    write_part(m);
    remove_long(m->host);
    cr_assert_eq(guest_sync(m, ORDER_LINUX), 0);
    check_long_waits(m, "after a flush");
    guest_fill(m, "long", LONG, 'a');
    cr_assert_eq(guest_sync(m, ORDER_LINUX), 0);
    machine_check_same(m, "written anew");
}
