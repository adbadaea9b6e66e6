/* SPDX-License-Identifier: MIT */
/*
 * An overlay that is kept is opened again after its process was killed in the
 * middle of a commit, at each call to the host. The commit's temporary files
 * go; files of others stay, whatever their names are, and whatever name an
 * interrupted commit has given them.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "block/vvfat/names.h"
#include "image-fixture.h"
#include "tests/unit/host-tree.h"
#include "tests/unit/machine.h"
#include "tests/unit/memory-hostfs.h"

TestSuite(writable_foreign, .init = image_dir_init, .fini = image_dir_fini);

#define FOREIGN ".vvfat-0123456789abcdef"
#define KEPT "commit=manual,overlay=%D/"
#define OVERLAY "overlay.qcow2"
#define AGAIN "again.qcow2"

/* ---- Dying ---- */

typedef struct Death {
    Machine *m;
    int at;      /* the call before which it dies, or 0 */
    int host_at; /* the call before which the host acts, or 0 */
    void (*host_acts)(HostFs *host);
    HostFs *left; /* what is there afterwards */
} Death;

static void copy_overlay(void)
{
    g_autofree char *from = image_path(OVERLAY);
    g_autofree char *to = image_path(AGAIN);
    g_autofree char *data = NULL;
    gsize bytes;

    cr_assert(g_file_get_contents(from, &data, &bytes, NULL));
    cr_assert(g_file_set_contents(to, data, (gssize)bytes, NULL));
}

static void on_call(int n, void *opaque)
{
    Death *d = opaque;

    if (n == d->host_at) {
        d->host_acts(d->m->host);
    }
    if (n == d->at) {
        copy_overlay();
        d->left = memory_hostfs_kill(d->m->host);
    }
}

static void make_host(HostFs *host)
{
    cr_assert_eq(host_tree_text(host, "file", "old"), 0);
    cr_assert_eq(host_tree_text(host, "placed", "old"), 0);
    cr_assert_eq(host_tree_text(host, "dir/" FOREIGN, "foreign"), 0);
    cr_assert_eq(host_tree_text(host, FOREIGN, "foreign"), 0);
}

/* A new file, one that is replaced by new contents, and one by another. */
static void change(Machine *m)
{
    guest_text(m, "dir/new", "new");
    guest_delete(m, "file");
    guest_text(m, "file", "written anew");
    guest_text(m, "tmp", "placed by the guest");
    guest_replace(m, "tmp", "placed");
    guest_mkdir(m, "made");
    guest_text(m, "made/in", "inside");
}

/* Calls of the commit. */
static int die(Death *d)
{
    g_autofree char *image = image_path(OVERLAY);
    g_autoptr(Machine) m = machine_new();

    d->m = m;
    make_host(m->host);
    machine_open(m, KEPT OVERLAY);
    change(m);
    cr_assert_eq(guest_sync(m, ORDER_LINUX), 0);
    m->fault->calls = 0;
    m->fault->opaque = d;
    m->fault->on_call = on_call;
    (void)!blk_commit(m->disk->blk, false, NULL);
    m->fault->on_call = NULL;
    g_free(machine_close(m));
    cr_assert_eq(remove(image), 0);
    return m->fault->calls;
}

static HostFs *left_now;

static HostFs *give_left(const char *dir, GError **errp)
{
    (void)dir;
    (void)errp;
    return left_now;
}

/* On what is left, which the disk owns from now on. Some of it cannot be read
 * where the host was at it, so nobody reads all of it. */
static BlockBackend *open_again(const Death *d)
{
    BlockBackend *blk;

    left_now = d->left;
    hostfs_set_opener(give_left);
    blk =
        image_open(BDRV_O_RDWR,
                   "driver=vvfat,dir=%D/host,rw=on,fat-type=12,size=1M,"
                   "cluster-size=512,partition=none,timezone=utc," KEPT AGAIN);
    hostfs_set_opener(NULL);
    cr_assert_eq(blk_commit(blk, false, NULL), 0);
    return blk;
}

/* ---- What is there ---- */

typedef struct Found {
    unsigned n_temporary; /* but those named FOREIGN */
    bool has_text;
    const char *text; /* that is looked for */
} Found;

static void look(HostFs *fs, const char *path, Found *found)
{
    HostDir *dir;
    const char *name;

    cr_assert_eq(fs->ops->dir_open(fs, path, &dir), 0, "%s", path);
    while (fs->ops->dir_next(fs, dir, &name) > 0) {
        g_autofree char *child = g_strconcat(path, *path ? "/" : "", name,
                                             NULL);
        g_autofree char *data = NULL;
        HostStat st;
        size_t bytes;

        cr_assert_eq(fs->ops->stat(fs, child, &st), 0);
        if (st.kind == HOST_DIRECTORY) {
            look(fs, child, found);
            continue;
        }
        found->n_temporary += names_is_temporary(name) &&
                              strcmp(name, FOREIGN) != 0;
        data = host_tree_read(fs, child, &bytes);
        found->has_text |= found->text && strcmp(data, found->text) == 0;
    }
    fs->ops->dir_close(fs, dir);
}

static void check_text(HostFs *fs, const char *path, const char *want, int at)
{
    size_t bytes;
    g_autofree char *text = host_tree_read(fs, path, &bytes);

    cr_assert(text && strcmp(text, want) == 0, "call %d: '%s' is '%s'", at,
              path, text);
}

static void check_foreign(HostFs *host, BlockBackend *blk, int at)
{
    g_autofree char *report = machine_facts_of(blk, "report.");

    check_text(host, FOREIGN, "foreign", at);
    check_text(host, "dir/" FOREIGN, "foreign", at);
    cr_assert(strstr(report, "path: " FOREIGN), "call %d: %s", at, report);
    cr_assert(strstr(report, "path: dir/" FOREIGN), "call %d: %s", at, report);
}

/* ---- The tests ---- */

Test(writable_foreign, opened_again)
{
    for (int i = 0; i < 2; i++) {
        g_autoptr(Machine) m = machine_new();

        make_host(m->host);
        if (i == 1) {
            cr_assert_eq(host_tree_text(m->host, ".vvfat-fedcba9876543210",
                                        "made meanwhile"),
                         0);
        }
        machine_open(m, KEPT OVERLAY);
        if (i == 1) {
            check_text(m->host, ".vvfat-fedcba9876543210", "made meanwhile",
                       0);
        }
        check_foreign(m->host, m->disk->blk, 0);
    }
}

Test(writable_foreign, killed_at_each_call)
{
    Death none = { 0 };
    int n = die(&none);

    cr_assert_gt(n, 20);
    for (int k = 1; k <= n; k++) {
        Death d = { .at = k };
        Found found = { 0 };
        BlockBackend *blk;

        die(&d);
        cr_assert_not_null(d.left, "call %d", k);
        blk = open_again(&d);
        check_foreign(d.left, blk, k);
        check_text(d.left, "file", "written anew", k);
        check_text(d.left, "placed", "placed by the guest", k);
        check_text(d.left, "dir/new", "new", k);
        check_text(d.left, "made/in", "inside", k);
        look(d.left, "", &found);
        cr_assert_eq(found.n_temporary, 0, "call %d: %u are left", k,
                     found.n_temporary);
        blk_close(blk);
    }
}

#define EDITED "by the host just now"

/* As editors do. */
static void replace_file(HostFs *host)
{
    cr_assert_eq(host_tree_text(host, "edited", EDITED), 0);
    cr_assert_eq(host->ops->rename(host, "edited", "file", 0), 0);
}

static void write_file(HostFs *host)
{
    if (host_tree_text(host, "file", EDITED) < 0) {
        replace_file(host);
    }
}

/* The host gives a file new contents just before a call of the commit, and the
 * process dies before the next one. Nobody has seen these contents: they are
 * not to be lost. */
static void check_edited(void (*edit)(HostFs *host))
{
    Death none = { 0 };
    int n = die(&none);

    for (int k = 1; k < n; k++) {
        Death d = { .host_at = k, .host_acts = edit, .at = k + 1 };
        Found found = { .text = EDITED };
        BlockBackend *blk;

        die(&d);
        cr_assert_not_null(d.left, "call %d", k);
        blk = open_again(&d);
        look(d.left, "", &found);
        cr_assert(found.has_text, "edited at call %d", k);
        cr_assert_eq(found.n_temporary, 0, "edited at call %d", k);
        blk_close(blk);
    }
}

Test(writable_foreign, replaced_by_the_host_at_the_last_moment)
{
    check_edited(replace_file);
}

Test(writable_foreign, written_by_the_host_at_the_last_moment)
{
    check_edited(write_file);
}
