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
#include "memory-hostfs.h"

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

#define N_STAGE 3u /* operations of the first step */

/* Swaps, moves, replacements, and all the rest. */
static void make_contents(ApplyWorld *w)
{
    Inode *a = apply_world_file(w, w->root, "a", "file A");
    Inode *b = apply_world_file(w, w->root, "b", "file B");
    Inode *dir = apply_world_dir(w, w->root, "dir");
    Inode *in = apply_world_file(w, dir, "in", "inside");
    Inode *whole = apply_world_file(w, dir, "whole", "old whole");
    Inode *gone = apply_world_dir(w, w->root, "gone");
    Inode *file = apply_world_file(w, gone, "file", "was here");
    Inode *longer = apply_world_file(w, w->root, "longer", "0123456789");
    Inode *plain = apply_world_file(w, w->root, "plain", "as it is");
    Inode *shorter = apply_world_file(w, w->root, "shorter", "0123456789");
    Inode *tmp = apply_world_file(w, w->root, "tmp", "saved");
    Inode *under = apply_world_file(w, w->root, "under", "edited");
    Inode *victim = apply_world_file(w, w->root, "victim", "before");
    Inode *fresh = apply_world_add(w, w->root, "fresh", NULL);
    Inode *new = apply_world_add(w, fresh, "new", "a new file");

    apply_world_move(w, a, w->root, "b");
    apply_world_move(w, b, w->root, "a");
    apply_world_move(w, dir, fresh, "dir");
    apply_world_text(w, in, CONTENT_RANGES, "INSIDE");
    apply_world_text(w, whole, CONTENT_WHOLE, "new whole text");
    apply_world_remove(w, gone);
    apply_world_remove(w, file);
    apply_world_text(w, longer, CONTENT_RANGES, "0123456789 and more");
    apply_world_text(w, shorter, CONTENT_RANGES, "01xx");
    apply_world_move(w, tmp, w->root, "victim");
    apply_world_move(w, under, w->root, "over");
    apply_world_text(w, under, CONTENT_WHOLE, "edited again");
    apply_world_remove(w, victim);
    plain->entry.attr = FAT_ATTR_READ_ONLY | FAT_ATTR_HIDDEN;
    apply_world_time(w, plain, 1200000000);

    apply_world_op(w, PLAN_STAGE, new, w->root, NULL);
    apply_world_op(w, PLAN_STAGE, whole, dir, NULL);
    apply_world_op(w, PLAN_STAGE, under, w->root, NULL);
    apply_world_op(w, PLAN_MKDIR, fresh, w->root, NULL);
    apply_world_op(w, PLAN_PLACE, new, fresh, NULL);
    apply_world_op(w, PLAN_RENAME, dir, fresh, NULL);
    apply_world_op(w, PLAN_PLACE, whole, dir, NULL);
    apply_world_op(w, PLAN_ASIDE, a, w->root, NULL);
    apply_world_op(w, PLAN_RENAME, b, w->root, NULL);
    apply_world_op(w, PLAN_RENAME, a, w->root, NULL);
    apply_world_op(w, PLAN_RENAME, tmp, w->root, victim);
    apply_world_op(w, PLAN_PLACE, under, w->root, NULL);
    apply_world_op(w, PLAN_WRITE, in, NULL, NULL);
    apply_world_op(w, PLAN_WRITE, longer, NULL, NULL);
    apply_world_op(w, PLAN_WRITE, shorter, NULL, NULL);
    apply_world_op(w, PLAN_UNLINK, file, NULL, NULL);
    apply_world_op(w, PLAN_RMDIR, gone, NULL, NULL);
    apply_world_op(w, PLAN_ATTRIBUTES, plain, NULL, NULL);
    apply_world_op(w, PLAN_TIMES, plain, NULL, NULL);
    apply_world_op(w, PLAN_TIMES, new, NULL, NULL);
    apply_world_op(w, PLAN_TIMES, longer, NULL, NULL);
    apply_world_op(w, PLAN_TIMES, dir, NULL, NULL);
    apply_world_op(w, PLAN_TIMES, fresh, NULL, NULL);
}

typedef struct Setup {
    FaultFs *fault;
    ApplyWorld *w;
} Setup;

static Setup setup_new(void)
{
    Setup s = { .fault = fault_fs_new(memory_hostfs_new()) };

    s.w = apply_world_new(&s.fault->fs);
    make_contents(s.w);
    apply_world_check_tree(&s.fault->fs, before);
    cr_assert_eq(s.fault->fs.ops->sync_fs(&s.fault->fs), 0);
    apply_world_save(s.w);
    s.fault->calls = 0;
    return s;
}

/* The first step alone, and what is known after it is saved. */
static void run_stage(Setup *s)
{
    guint n_ops = s->w->plan.ops->len;

    s->w->plan.ops->len = N_STAGE;
    cr_assert_eq(apply_world_run(s->w), 0);
    s->w->plan.ops->len = n_ops;
    apply_world_save(s->w);
    s->fault->calls = 0;
}

static void setup_clear(Setup *s)
{
    apply_world_free(s->w);
    hostfs_free(&s->fault->fs);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Setup, setup_clear)

static void check_after(Setup *s)
{
    HostStat st = test_host_stat(&s->fault->fs, "plain");

    apply_world_check_tree(&s->fault->fs, after);
    apply_world_check_sides(s->w, &s->fault->fs);
    cr_assert(st.read_only);
    cr_assert_eq(st.mtime, 1200000000);
    cr_assert_eq(s->fault->n_open, 0);
}

/* Calls of a run without faults. */
static int count_calls(void)
{
    g_auto(Setup) s = setup_new();

    int n;

    apply_world_run_well(s.w);
    n = s.fault->calls;
    check_after(&s);
    cr_assert_str_empty(s.w->events->str);
    return n;
}

/* Each file of the tree before is there, in its old or new version, under some
 * name, unless it is to go. */
static void check_nothing_lost(HostFs *fs, int k, bool torn)
{
    static const char *const texts[][2] = {
        { "inside", "INSIDE" },
        { "0123456789", "01xx" },
        { "file A", NULL },
        { "file B", NULL },
        { "old whole", "new whole text" },
        { "as it is", NULL },
        { "saved", NULL },
        { "edited", "edited again" },
    };
    g_autofree char *tree = apply_world_tree(fs);

    for (unsigned i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autofree char *old = g_strconcat(": ", texts[i][0], NULL);
        g_autofree char *new = g_strconcat(": ", texts[i][1], NULL);

        if (torn && i < 2) {
            continue; /* written in place */
        }
        cr_assert(strstr(tree, old) || (texts[i][1] && strstr(tree, new)),
                  "call %d: '%s' is lost:\n%s", k, texts[i][0], tree);
    }
}

static void check_errors(const ApplyWorld *w, int error)
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

static bool is_any_held(const ApplyWorld *w)
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
    r = apply_world_run(s.w);
    cr_assert_eq(s.fault->n_open, 0);
    s.fault->fail_at = 0;
    check_nothing_lost(&s.fault->fs, k, false);
    check_errors(s.w, error);
    cr_assert(!for_ever || r < 0 || is_any_held(s.w), "call %d", k);
    apply_world_release(s.w);
    apply_world_run_well(s.w);
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

        run_stage(&s);
        s.fault->error = -EIO;
        s.fault->fail_at = k;
        s.fault->fail_on = true;
        cr_assert(apply_world_run(s.w) <= 0);
        s.fault->fail_at = 0;
        check_nothing_lost(&s.fault->fs, k, false);
        apply_world_restore(s.w);
        apply_world_run_well(s.w);
        check_after(&s);
        cr_assert_null(strstr(s.w->events->str, "(guest)"), "call %d: %s", k,
                       s.w->events->str);
    }
}

/* Files that are staged are whole: the old ones or the new. */
static void check_whole(HostFs *fs, int k)
{
    g_autofree char *tree = apply_world_tree(fs);
    g_auto(GStrv) lines = g_strsplit(tree, "\n", -1);

    for (char **line = lines; *line; line++) {
        const char *text = strstr(*line, ": ");

        if (text && (strstr(*line, "whole: ") || strstr(*line, "over: ") ||
                     strstr(*line, "new: "))) {
            cr_assert(strcmp(text, ": old whole") == 0 ||
                          strcmp(text, ": new whole text") == 0 ||
                          strcmp(text, ": edited") == 0 ||
                          strcmp(text, ": edited again") == 0 ||
                          strcmp(text, ": a new file") == 0,
                      "call %d: %s", k, *line);
        }
    }
}

/* The power fails at a call of the second step, and what was not durable is
 * there or not, in any order. */
static void check_power_cut(int k, uint32_t seed)
{
    g_auto(Setup) s = setup_new();
    g_autoptr(HostFs) disk = NULL;

    run_stage(&s);
    s.fault->fail_at = k;
    s.fault->crash = true;
    cr_assert(apply_world_run(s.w) <= 0);
    disk = memory_hostfs_crash(s.fault->inner, seed);
    check_nothing_lost(disk, k, true);
    check_whole(disk, k);
    apply_world_restore(s.w);
    s.w->fs = disk;
    apply_world_run_well(s.w);
    apply_world_check_tree(disk, after);
    apply_world_check_sides(s.w, disk);
}

Test(apply_fault, power_cut_at_each_call)
{
    int n = count_calls();

    for (int k = 1; k <= n; k++) {
        for (uint32_t seed = 0; seed < MEMORY_CRASH_RANDOM + 8; seed++) {
            check_power_cut(k, seed);
        }
    }
}

Test(apply_fault, what_was_run_is_durable)
{
    for (uint32_t seed = 0; seed < MEMORY_CRASH_RANDOM + 8; seed++) {
        g_auto(Setup) s = setup_new();
        g_autoptr(HostFs) disk = NULL;

        apply_world_run_well(s.w);
        disk = memory_hostfs_crash(s.fault->inner, seed);
        apply_world_check_tree(disk, after);
        apply_world_check_sides(s.w, disk);
    }
}

/* On a real file system: cut off between any two operations. */
Test(apply_fault, cut_off_after_each_operation_and_run_again)
{
    guint n_ops = N_STAGE;

    for (guint k = N_STAGE; k <= n_ops; k++) {
        g_auto(TestHost) host = test_host_new();
        g_autoptr(ApplyWorld) w = apply_world_new(host.fs);

        make_contents(w);
        n_ops = w->plan.ops->len;
        w->plan.ops->len = N_STAGE;
        cr_assert_eq(apply_world_run(w), 0);
        apply_world_save(w);
        w->plan.ops->len = k;
        cr_assert_eq(apply_world_run(w), 0);
        apply_world_restore(w);
        w->plan.ops->len = n_ops;
        apply_world_run_well(w);
        apply_world_check_tree(host.fs, after);
        apply_world_check_sides(w, host.fs);
        cr_assert_null(strstr(w->events->str, "(guest)"), "%u: %s", k,
                       w->events->str);
        apply_world_run_well(w);
        apply_world_check_tree(host.fs, after);
    }
}
