/* SPDX-License-Identifier: MIT */
/*
 * A plan with every kind of operation, cut off or failed at each host call.
 * Whatever fails, no file is lost; what could not be done is held and says
 * why; and another run, with the inodes as they are or as they were before the
 * first one, ends where a run without faults does.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "apply-fixture.h"
#include "fault-hostfs.h"
#include "hostfs-fixture.h"

static const char before[] = "a: file A\n"
                             "b: file B\n"
                             "dir/\n"
                             "dir/in: inside\n"
                             "dir/whole: old whole\n"
                             "gone/\n"
                             "gone/file: was here\n"
                             "longer: 0123456789\n"
                             "plain: as it is\n"
                             "shorter: 0123456789\n"
                             "tmp: saved\n"
                             "under: edited\n"
                             "victim: before\n";

static const char after[] = "a: file B\n"
                            "b: file A\n"
                            "fresh/\n"
                            "fresh/dir/\n"
                            "fresh/dir/in: INSIDE\n"
                            "fresh/dir/whole: new whole text\n"
                            "fresh/new: a new file\n"
                            "longer: 0123456789 and more\n"
                            "over: edited again\n"
                            "plain: as it is\n"
                            "shorter: 01xx\n"
                            "victim: saved\n";

/* Swaps, moves, replacements, and all the rest. */
static void make_contents(World *w)
{
    Inode *a = world_file(w, w->root, "a", "file A");
    Inode *b = world_file(w, w->root, "b", "file B");
    Inode *dir = world_dir(w, w->root, "dir");
    Inode *in = world_file(w, dir, "in", "inside");
    Inode *whole = world_file(w, dir, "whole", "old whole");
    Inode *gone = world_dir(w, w->root, "gone");
    Inode *file = world_file(w, gone, "file", "was here");
    Inode *longer = world_file(w, w->root, "longer", "0123456789");
    Inode *plain = world_file(w, w->root, "plain", "as it is");
    Inode *shorter = world_file(w, w->root, "shorter", "0123456789");
    Inode *tmp = world_file(w, w->root, "tmp", "saved");
    Inode *under = world_file(w, w->root, "under", "edited");
    Inode *victim = world_file(w, w->root, "victim", "before");
    Inode *fresh = world_add(w, w->root, "fresh", NULL);
    Inode *new = world_add(w, fresh, "new", "a new file");

    world_move(w, a, w->root, "b");
    world_move(w, b, w->root, "a");
    world_move(w, dir, fresh, "dir");
    world_text(w, in, CONTENT_RANGES, "INSIDE");
    world_text(w, whole, CONTENT_WHOLE, "new whole text");
    world_remove(w, gone);
    world_remove(w, file);
    world_text(w, longer, CONTENT_RANGES, "0123456789 and more");
    world_text(w, shorter, CONTENT_RANGES, "01xx");
    world_move(w, tmp, w->root, "victim");
    world_move(w, under, w->root, "over");
    world_text(w, under, CONTENT_WHOLE, "edited again");
    world_remove(w, victim);
    plain->entry.attr = FAT_ATTR_READ_ONLY | FAT_ATTR_HIDDEN;
    world_time(w, plain, 1200000000);

    world_op(w, PLAN_STAGE, new, w->root, NULL);
    world_op(w, PLAN_STAGE, whole, dir, NULL);
    world_op(w, PLAN_STAGE, under, w->root, NULL);
    world_op(w, PLAN_MKDIR, fresh, w->root, NULL);
    world_op(w, PLAN_PLACE, new, fresh, NULL);
    world_op(w, PLAN_RENAME, dir, fresh, NULL);
    world_op(w, PLAN_PLACE, whole, dir, NULL);
    world_op(w, PLAN_ASIDE, a, w->root, NULL);
    world_op(w, PLAN_RENAME, b, w->root, NULL);
    world_op(w, PLAN_RENAME, a, w->root, NULL);
    world_op(w, PLAN_RENAME, tmp, w->root, victim);
    world_op(w, PLAN_PLACE, under, w->root, NULL);
    world_op(w, PLAN_WRITE, in, NULL, NULL);
    world_op(w, PLAN_WRITE, longer, NULL, NULL);
    world_op(w, PLAN_WRITE, shorter, NULL, NULL);
    world_op(w, PLAN_UNLINK, file, NULL, NULL);
    world_op(w, PLAN_RMDIR, gone, NULL, NULL);
    world_op(w, PLAN_ATTRIBUTES, plain, NULL, NULL);
    world_op(w, PLAN_TIMES, plain, NULL, NULL);
    world_op(w, PLAN_TIMES, new, NULL, NULL);
    world_op(w, PLAN_TIMES, longer, NULL, NULL);
    world_op(w, PLAN_TIMES, dir, NULL, NULL);
    world_op(w, PLAN_TIMES, fresh, NULL, NULL);
}

typedef struct Setup {
    TestHost host;
    FaultFs *fault;
    World *w;
} Setup;

static Setup setup_new(void)
{
    Setup s = { .host = test_host_new() };

    s.fault = fault_fs_new(g_steal_pointer(&s.host.fs));
    s.w = world_new(&s.fault->fs);
    make_contents(s.w);
    world_check_tree(&s.fault->fs, before);
    world_save(s.w);
    s.fault->calls = 0;
    return s;
}

static void setup_clear(Setup *s)
{
    world_free(s->w);
    hostfs_free(&s->fault->fs);
    test_host_clear(&s->host);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Setup, setup_clear)

static void check_after(Setup *s)
{
    HostStat st = test_host_stat(&s->fault->fs, "plain");

    world_check_tree(&s->fault->fs, after);
    world_check_sides(s->w, &s->fault->fs);
    cr_assert(st.read_only);
    cr_assert_eq(st.mtime, 1200000000);
    cr_assert_eq(s->fault->n_open, 0);
}

/* Calls of a run without faults. */
static int count_calls(void)
{
    g_auto(Setup) s = setup_new();

    int n;

    world_run_well(s.w);
    n = s.fault->calls;
    check_after(&s);
    cr_assert_str_empty(s.w->events->str);
    return n;
}

/* Each file of the tree before is there, in its old or new version, under some
 * name, unless it is to go. */
static void check_nothing_lost(HostFs *fs, int k)
{
    static const char *const texts[][2] = {
        { "file A", NULL },       { "file B", NULL },
        { "inside", "INSIDE" },   { "old whole", "new whole text" },
        { "0123456789", "01xx" }, { "as it is", NULL },
        { "saved", NULL },        { "edited", "edited again" },
    };
    g_autofree char *tree = world_tree(fs);

    for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autofree char *old = g_strconcat(": ", texts[i][0], NULL);
        g_autofree char *new = g_strconcat(": ", texts[i][1], NULL);

        cr_assert(strstr(tree, old) || (texts[i][1] && strstr(tree, new)),
                  "call %d: '%s' is lost:\n%s", k, texts[i][0], tree);
    }
}

static void check_errors(const World *w, int error)
{
    for (guint i = 0; i < w->inodes->len; i++) {
        const Inode *inode = w->inodes->pdata[i];
        const InodeChange *change = inode->change;

        if (change && change->held & INODE_IO_ERROR) {
            cr_assert_eq(change->error, error, "%s", inode->name);
            cr_assert_not_null(change->detail);
        }
    }
}

static bool is_any_held(const World *w)
{
    bool any = false;

    for (guint i = 0; i < w->inodes->len; i++) {
        const Inode *inode = w->inodes->pdata[i];

        any = any || (inode->change && inode->change->held);
    }
    return any;
}

static void check_fault(int k, int error, bool for_ever)
{
    g_auto(Setup) s = setup_new();
    int r;

    s.fault->error = error;
    s.fault->fail_at = k;
    s.fault->fail_on = for_ever;
    r = world_run(s.w);
    cr_assert_eq(s.fault->n_open, 0);
    s.fault->fail_at = 0;
    check_nothing_lost(&s.fault->fs, k);
    check_errors(s.w, error);
    cr_assert(!for_ever || r < 0 || is_any_held(s.w), "call %d", k);
    world_release(s.w);
    world_run_well(s.w);
    check_after(&s);
}

static void check_all_faults(int error)
{
    int n = count_calls();

    cr_assert_gt(n, 60);
    for (int k = 1; k <= n; k++) {
        check_fault(k, error, false);
        check_fault(k, error, true);
    }
}

Test(apply_fault, failing_calls)
{
    check_all_faults(-EIO);
}

Test(apply_fault, no_room)
{
    check_all_faults(-ENOSPC);
}

Test(apply_fault, no_permission)
{
    check_all_faults(-EACCES);
}

Test(apply_fault, too_many_open_files)
{
    check_all_faults(-EMFILE);
}

/* The process dies at a call of the second step; what is known then is what
 * was known after the first. */
Test(apply_fault, killed_at_each_call_and_run_again)
{
    int n = count_calls();

    for (int k = 1; k <= n; k++) {
        g_auto(Setup) s = setup_new();
        guint n_ops = s.w->plan.ops->len;

        /* The first step alone: nothing but STAGE in the plan. */
        s.w->plan.ops->len = 3;
        cr_assert_eq(world_run(s.w), 0);
        s.w->plan.ops->len = n_ops;
        world_save(s.w);
        s.fault->calls = 0;
        s.fault->error = -EIO;
        s.fault->fail_at = k;
        s.fault->fail_on = true;
        cr_assert(world_run(s.w) <= 0);
        s.fault->fail_at = 0;
        check_nothing_lost(&s.fault->fs, k);
        world_restore(s.w);
        world_run_well(s.w);
        check_after(&s);
        cr_assert_null(strstr(s.w->events->str, "(guest)"), "call %d: %s", k,
                       s.w->events->str);
    }
}

/* On a real file system: cut off between any two operations. */
Test(apply_fault, cut_off_after_each_operation_and_run_again)
{
    guint n_ops = 3;

    for (guint k = 3; k <= n_ops; k++) {
        g_auto(TestHost) host = test_host_new();
        g_autoptr(World) w = world_new(host.fs);

        make_contents(w);
        n_ops = w->plan.ops->len;
        w->plan.ops->len = 3;
        cr_assert_eq(world_run(w), 0);
        world_save(w);
        w->plan.ops->len = k;
        cr_assert_eq(world_run(w), 0);
        world_restore(w);
        w->plan.ops->len = n_ops;
        world_run_well(w);
        world_check_tree(host.fs, after);
        world_check_sides(w, host.fs);
        cr_assert_null(strstr(w->events->str, "(guest)"), "%u: %s", k,
                       w->events->str);
        world_run_well(w);
        world_check_tree(host.fs, after);
    }
}
