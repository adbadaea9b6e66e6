/* SPDX-License-Identifier: MIT */
/*
 * A directory with symbolic links, which the guest sees as files and
 * directories of their own. Whatever it does to their targets, it reads what
 * it had: where the links are, too.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "image-fixture.h"
#include "tests/unit/host-tree.h"
#include "tests/unit/machine.h"
#include "tests/unit/memory-hostfs.h"

TestSuite(writable_links, .init = image_dir_init, .fini = image_dir_fini);

#define KEPT "overlay=%D/overlay.qcow2"

static void make_file(HostFs *fs, const char *path, size_t bytes, char fill)
{
    g_autofree char *data = g_malloc(bytes);

    memset(data, fill, bytes);
    cr_assert_eq(host_tree_file(fs, path, data, bytes), 0);
}

static void make_host(HostFs *fs)
{
    static const char *const links[][2] = {
        { "file-link", "above/dir/small" },
        { "inner", "link/sub" }, /* into a link */
        { "link", "above/dir" }, /* to a directory */
        { "link-of-link", "link" },
        { "second", "above/dir" },
        { "above/dir/sub/nested", "../../other" }, /* below a target */
        { "a-file", "whole" },
        { "to-goes", "goes" },
    };

    cr_assert_eq(host_tree_text(fs, "above/dir/small", "a small file"), 0);
    make_file(fs, "above/dir/sub/large", 5000, 'L');
    make_file(fs, "above/dir/sub/odd", 1111, 'o');
    cr_assert_eq(host_tree_text(fs, "above/other/x", "file x"), 0);
    cr_assert_eq(host_tree_text(fs, "goes/below/file", "and all"), 0);
    cr_assert_eq(host_tree_text(fs, "plain", "no link leads here"), 0);
    make_file(fs, "whole", 1500, 'w');
    for (size_t i = 0; i < G_N_ELEMENTS(links); i++) {
        cr_assert_eq(memory_hostfs_symlink(fs, links[i][0], links[i][1]), 0);
    }
    cr_assert_eq(fs->ops->sync_fs(fs), 0);
}

static Machine *start(const char *more)
{
    Machine *m = machine_new();

    make_host(m->host);
    machine_open(m, more);
    return m;
}

/* ---- What the guest does ---- */

static void rename_target(Machine *m)
{
    guest_move(m, "above/dir", "above/renamed");
}

static void rename_in_case(Machine *m)
{
    guest_move(m, "above/dir", "above/DIR");
}

static void rename_above(Machine *m)
{
    guest_move(m, "above", "elsewhere");
}

static void move_below_and_above(Machine *m)
{
    guest_move(m, "above/dir/sub", "sub moved");
    guest_mkdir(m, "new");
    guest_move(m, "above/dir", "new/dir");
    guest_move(m, "above/other", "new/dir/other");
}

static void exchange(Machine *m)
{
    guest_exchange(m, "above/dir", "above/other");
    guest_exchange(m, "whole", "plain");
}

static void remove_files(Machine *m)
{
    guest_delete(m, "above/dir/sub/large");
    guest_delete(m, "above/dir/small");
    guest_delete(m, "above/other/x");
    guest_delete(m, "whole");
}

static void remove_directory(Machine *m)
{
    guest_delete(m, "goes");
    remove_files(m);
}

static void write_in_place(Machine *m)
{
    guest_put(m, "above/dir/sub/large", 1000, "edited in the middle");
    guest_put(m, "above/dir/small", 2, "SMALL");
    guest_put(m, "whole", 1500, "longer by this");
    guest_put(m, "above/dir/sub/odd", 1111, "and this");
}

static void make_shorter(Machine *m)
{
    guest_resize(m, "above/dir/sub/large", 700);
    guest_resize(m, "above/dir/sub/odd", 512);
    guest_resize(m, "whole", 0);
}

static void write_anew(Machine *m)
{
    guest_text(m, "above/dir/small", "something else");
    guest_text(m, "above/dir/sub/large", "no longer large");
    guest_fill(m, "whole", 3000, 'W');
}

static void replace(Machine *m)
{
    guest_replace(m, "plain", "above/dir/small");
    guest_replace(m, "above/other/x", "whole");
}

static void use_again(Machine *m)
{
    m->vol->policy = ALLOC_REUSE;
    guest_delete(m, "above/dir/sub/large");
    guest_fill(m, "fresh", 4000, 'f');
    guest_move(m, "above/dir", "dir");
}

static void do_much(Machine *m)
{
    guest_move(m, "above/dir", "dir");
    guest_put(m, "dir/sub/large", 3000, "edited");
    guest_move(m, "dir/sub", "sub");
    guest_resize(m, "sub/odd", 100);
    guest_delete(m, "dir/small");
    guest_text(m, "dir/small", "another");
}

typedef void Step(Machine *m);

static const struct {
    const char *name;
    Step *step;
} steps[] = {
    { "rename a target", rename_target },
    { "rename it in case", rename_in_case },
    { "rename what is above", rename_above },
    { "move what is below, and above", move_below_and_above },
    { "exchange", exchange },
    { "remove files", remove_files },
    { "remove a directory", remove_directory },
    { "write in place", write_in_place },
    { "make shorter", make_shorter },
    { "write anew", write_anew },
    { "replace", replace },
    { "use clusters again", use_again },
    { "much at once", do_much },
};

/* ---- Judging ---- */

static void check_fact(Machine *m, const char *key, const char *value,
                       const char *when)
{
    g_autofree char *is = machine_fact(m, key);
    g_autofree char *all = machine_facts(m, "pending.");

    cr_assert_str_eq(is, value, "%s: %s is %s\n%s", when, key, is, all);
}

/* The disk reads as the guest has it; nothing waits; and the directory is,
 * but for the links, what the guest has. */
static void check(Machine *m, const char *when)
{
    g_autofree char *why = disk_verify(m->disk, true, 0);

    cr_assert_null(why, "%s: %s", when, why);
    check_fact(m, "commit.pending", "0", when);
}

static void sync_well(Machine *m, unsigned order, const char *when)
{
    g_autofree char *why = NULL;
    int ret = guest_sync(m, order);

    if (ret < 0) {
        why = blk_strerror(ret);
    }
    cr_assert_eq(ret, 0, "%s: %s", when, why);
    check(m, when);
}

static void close_well(Machine *m, const char *when)
{
    g_autofree char *why = machine_close(m);

    cr_assert_null(why, "%s: %s", when, why);
}

Test(writable_links, guest_reads_what_it_had)
{
    for (size_t i = 0; i < G_N_ELEMENTS(steps); i++) {
        g_autoptr(Machine) m = start(NULL);

        steps[i].step(m);
        sync_well(m, (unsigned)i % N_ORDERS, steps[i].name);
        /* The next one finds what became of the links. */
        guest_text(m, "plain", "written");
        sync_well(m, ORDER_LINUX, steps[i].name);
        close_well(m, steps[i].name);
    }
}

Test(writable_links, one_change_after_the_other)
{
    g_autoptr(Machine) m = start(NULL);
    g_autofree char *host = NULL;

    rename_target(m);
    sync_well(m, ORDER_LINUX, "renamed");
    guest_put(m, "above/renamed/sub/large", 4000, "first");
    sync_well(m, ORDER_LINUX, "written");
    guest_move(m, "above", "other place");
    sync_well(m, ORDER_LINUX, "renamed above");
    guest_resize(m, "other place/renamed/sub/large", 2000);
    sync_well(m, ORDER_LINUX, "shorter");
    guest_put(m, "other place/renamed/sub/large", 2000, "longer again");
    sync_well(m, ORDER_LINUX, "longer");
    guest_delete(m, "other place/renamed/sub/large");
    guest_delete(m, "goes");
    sync_well(m, ORDER_LINUX, "removed");
    host = machine_host_dump(m->host);
    cr_assert_null(strstr(host, "large"), "%s", host);
    cr_assert_null(strstr(host, "goes/"), "%s", host);
    close_well(m, "closed");
}

/* With an overlay that is kept: the same after it was opened again. */
Test(writable_links, kept)
{
    for (size_t i = 0; i < G_N_ELEMENTS(steps); i++) {
        g_autoptr(Machine) m = start(KEPT);
        g_autofree char *before = NULL;
        g_autofree char *after = NULL;
        g_autofree char *overlay = image_path("overlay.qcow2");

        steps[i].step(m);
        sync_well(m, ORDER_LINUX, steps[i].name);
        before = machine_guest_dump(m);
        close_well(m, steps[i].name);

        machine_open(m, KEPT);
        sync_well(m, ORDER_LINUX, steps[i].name);
        after = machine_guest_dump(m);
        cr_assert_str_eq(before, after, "%s", steps[i].name);
        guest_text(m, "plain", "written");
        sync_well(m, ORDER_LINUX, steps[i].name);
        close_well(m, steps[i].name);
        cr_assert_eq(remove(overlay), 0);
    }
}

/* ---- A host that fails ---- */

static int count_calls(void)
{
    g_autoptr(Machine) m = start(NULL);

    m->fault->calls = 0;
    do_much(m);
    sync_well(m, ORDER_LINUX, "no fault");
    return m->fault->calls;
}

Test(writable_links, each_call_to_the_host_fails)
{
    int n = count_calls();

    for (int k = 1; k <= n; k++) {
        g_autoptr(Machine) m = start(NULL);
        g_autofree char *when = g_strdup_printf("call %d", k);
        int ret;

        m->fault->calls = 0;
        m->fault->error = -EIO;
        m->fault->fail_at = k;
        m->fault->fail_on = k % 2;
        do_much(m);
        ret = guest_sync(m, ORDER_LINUX);
        m->fault->fail_at = 0;
        cr_assert(ret == 0 || ret == -EIO);
        sync_well(m, ORDER_LINUX, when);
        close_well(m, when);
    }
}

/* What cannot be kept keeps its file from being changed. */
Test(writable_links, old_contents_that_cannot_be_saved)
{
    g_autoptr(Machine) m = start(NULL);
    g_autofree char *reason = NULL;
    g_autofree char *host = NULL;

    guest_delete(m, "whole");
    guest_write_out(m, ORDER_LINUX);
    m->fault->error = -EIO;
    m->fault->kinds = HOST_CALL_READ;
    m->fault->fail_at = m->fault->calls + 2; /* behind the look at it */
    m->fault->fail_on = true;
    cr_assert_eq(blk_flush(m->disk->blk), -EIO);
    reason = machine_fact(m, "pending.0.reason");
    cr_assert(strstr(reason, "'a-file', which a symbolic link leads to"), "%s",
              reason);
    m->fault->fail_at = 0;
    host = machine_host_dump(m->host);
    cr_assert(strstr(host, "whole"), "%s", host);
    cr_assert_eq(blk_flush(m->disk->blk), 0);
    check(m, "saved");
}

/* A file that the host has changed is the host's: nothing is saved of it, and
 * nothing waits for that. */
Test(writable_links, host_changed_the_target)
{
    g_autoptr(Machine) m = start(NULL);
    g_autofree char *host = NULL;

    cr_assert_eq(host_tree_text(m->host, "whole", "the host's"), 0);
    guest_delete(m, "whole");
    cr_assert_eq(guest_sync(m, ORDER_LINUX), 0);
    check_fact(m, "commit.pending", "0", "deleted");
    host = machine_host_dump(m->host);
    cr_assert(strstr(host, "whole 10 'the host's'"), "%s", host);
}

/* ---- What is told ---- */

Test(writable_links, dangling_links_are_told_once)
{
    g_autoptr(Machine) m = start(NULL);
    g_autofree char *first = NULL;
    g_autofree char *second = NULL;

    guest_move(m, "above/dir", "above/renamed");
    guest_delete(m, "whole");
    guest_delete(m, "goes");
    sync_well(m, ORDER_LINUX, "renamed and removed");
    first = machine_facts(m, "report.");
    cr_assert(strstr(first, "kind: dangling"), "%s", first);
    cr_assert(strstr(first, "path: link\n"), "%s", first);
    cr_assert(strstr(first, "path: second\n"), "%s", first);
    cr_assert(strstr(first, "has renamed its target to 'above/renamed'"), "%s",
              first);
    cr_assert(strstr(first, "path: a-file\n"), "%s", first);
    cr_assert(strstr(first, "path: to-goes\n"), "%s", first);
    cr_assert(strstr(first, "has removed its target"), "%s", first);
    guest_move(m, "above/renamed", "above/again");
    sync_well(m, ORDER_LINUX, "again");
    second = machine_facts(m, "report.");
    cr_assert_str_eq(first, second);
}

/* A link whose target was put aside on the way, and is back, leads there. */
Test(writable_links, exchanged_targets_leave_no_dangling_link)
{
    g_autoptr(Machine) m = start(NULL);
    g_autofree char *facts = NULL;

    guest_exchange(m, "above/dir", "above/other");
    sync_well(m, ORDER_LINUX, "exchanged");
    facts = machine_facts(m, "report.");
    cr_assert_null(strstr(facts, "path: link\n"), "%s", facts);
}

Test(writable_links, dangling_links_are_told_when_opened_again)
{
    g_autoptr(Machine) m = start(KEPT);
    g_autofree char *facts = NULL;

    rename_target(m);
    sync_well(m, ORDER_LINUX, "renamed");
    close_well(m, "renamed");
    machine_open(m, KEPT);
    facts = machine_facts(m, "report.");
    cr_assert(strstr(facts, "kind: dangling"), "%s", facts);
    cr_assert(strstr(facts, "path: second\n"), "%s", facts);
    cr_assert_null(strstr(facts, "path: a-file\n"), "%s", facts);
    close_well(m, "opened again");
}

/* What the guest writes where it may not, with protect=report, is told and not
 * dropped, also when the overlay has the rest of the file. */
Test(writable_links, written_below_a_link_after_its_target_went)
{
    g_autoptr(Machine) m = start("protect=report");
    g_autofree char *reason = NULL;
    g_autofree char *words = NULL;

    guest_delete(m, "whole");
    sync_well(m, ORDER_LINUX, "deleted");
    guest_put(m, "a-file", 100, "the guest's");
    cr_assert_eq(guest_sync(m, ORDER_LINUX), 0);
    reason = machine_fact(m, "pending.0.reason");
    cr_assert_str_eq(reason, "the host does not allow to write it");
    words = machine_close(m);
    cr_assert(words && strstr(words, "kept in '"), "%s", words);
}
