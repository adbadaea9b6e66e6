/* SPDX-License-Identifier: MIT */
/*
 * Files that go to another file system, mounted below the root: copied, and
 * removed where they were. A power cut at any call leaves the one or the other
 * at the least, and a failure is made good by the next run.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "apply-fixture.h"
#include "fault-hostfs.h"
#include "memory-hostfs.h"

static const char after[] = "mnt/\n"
                            "mnt/edited: new edition\n"
                            "mnt/link: shown\n"
                            "mnt/new/\n"
                            "mnt/new/moved: moved\n"
                            "target: shown\n";

typedef struct Setup {
    FaultFs *fault;
    ApplyWorld *w;
} Setup;

static void setup_clear(Setup *s)
{
    apply_world_free(s->w);
    hostfs_free(&s->fault->fs);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Setup, setup_clear)

static void make_link(ApplyWorld *w, HostFs *host, Inode *mnt)
{
    Inode *target = apply_world_file(w, w->root, "target", "shown");
    Inode *link = apply_world_file(w, w->root, "link", "shown");

    cr_assert_eq(host->ops->unlink(host, "link"), 0);
    cr_assert_eq(memory_hostfs_symlink(host, "link", "target"), 0);
    link->link_path = g_strdup("target");
    link->host = target->host;
    apply_world_move(w, link, mnt, "link");
    apply_world_op(w, PLAN_RENAME, link, mnt, NULL);
}

static Setup setup_new(void)
{
    HostFs *host = memory_hostfs_new();
    Setup s = { .fault = fault_fs_new(host) };
    ApplyWorld *w = s.w = apply_world_new(&s.fault->fs);
    Inode *old = apply_world_dir(w, w->root, "old");
    Inode *moved = apply_world_file(w, old, "moved", "moved");
    Inode *edited = apply_world_file(w, w->root, "edit", "edition");
    Inode *mnt, *new;

    cr_assert_eq(host->ops->mkdir(host, "mnt", 0777), 0);
    memory_hostfs_mount(host, "mnt");
    mnt = apply_world_mounted(w, w->root, "mnt");
    new = apply_world_add(w, mnt, "new", NULL);
    apply_world_move(w, moved, new, "moved");
    apply_world_move(w, edited, mnt, "edited");
    apply_world_text(w, edited, CONTENT_WHOLE, "new edition");
    apply_world_remove(w, old);
    apply_world_op(w, PLAN_STAGE, edited, mnt, NULL);
    apply_world_op(w, PLAN_MKDIR, new, mnt, NULL);
    apply_world_op(w, PLAN_RENAME, moved, new, NULL);
    apply_world_op(w, PLAN_PLACE, edited, mnt, NULL);
    make_link(w, host, mnt);
    apply_world_op(w, PLAN_RMDIR, old, NULL, NULL);
    cr_assert_eq(host->ops->sync_fs(host), 0);
    s.fault->kinds = HOST_CALL_CHANGE;
    s.fault->calls = 0;
    return s;
}

static int count_calls(void)
{
    g_auto(Setup) s = setup_new();
    int n;

    apply_world_run_well(s.w);
    n = s.fault->calls;
    apply_world_check_tree(&s.fault->fs, after);
    return n;
}

static void check_nothing_lost(HostFs *disk, int k, uint32_t seed)
{
    g_autofree char *tree = apply_world_tree(disk);

    cr_assert(strstr(tree, "moved: moved\n"), "call %d, seed %u: %s", k, seed,
              tree);
    cr_assert(strstr(tree, "edit: edition\n") ||
                  strstr(tree, "edited: edition\n") ||
                  strstr(tree, "edited: new edition\n"),
              "call %d, seed %u: %s", k, seed, tree);
    cr_assert(strstr(tree, "link (other)\n") || strstr(tree, "link: shown\n"),
              "call %d, seed %u: %s", k, seed, tree);
}

static void check_power_cut(int k, bool ordered)
{
    g_auto(Setup) s = setup_new();

    s.fault->fail_at = k;
    s.fault->crash = true;
    memory_hostfs_set_ordered(s.fault->inner, ordered);
    cr_assert_leq(apply_world_run(s.w), 0);
    for (uint32_t seed = 0; seed < MEMORY_CRASH_RANDOM + 20; seed++) {
        g_autoptr(HostFs) disk = memory_hostfs_crash(s.fault->inner, seed);

        check_nothing_lost(disk, k, seed);
    }
}

Test(apply_mount, power_cut_at_each_call)
{
    int n = count_calls();

    for (int k = 1; k <= n + 1; k++) {
        check_power_cut(k, true);
        check_power_cut(k, false);
    }
}

/* What was copied does not stay where it was. */
Test(apply_mount, failing_calls)
{
    int n = count_calls();

    for (int k = 1; k <= n; k++) {
        g_auto(Setup) s = setup_new();

        s.fault->error = -EIO;
        s.fault->fail_at = k;
        cr_assert_leq(apply_world_run(s.w), 0);
        check_nothing_lost(&s.fault->fs, k, 0);
        s.fault->fail_at = 0;
        for (int i = 0; i < 2; i++) {
            apply_world_release(s.w);
            cr_assert_eq(apply_world_run(s.w), 0, "call %d", k);
        }
        apply_world_check_tree(&s.fault->fs, after);
    }
}
