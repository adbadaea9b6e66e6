/* SPDX-License-Identifier: MIT */
/* Plans on a real file system: what each operation does, and leaves alone. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "apply-fixture.h"
#include "fault-hostfs.h"
#include "hostfs-fixture.h"

Test(apply, new_directories_and_files_appear)
{
    g_auto(TestHost) host = test_host_new();
    g_autoptr(ApplyWorld) w = apply_world_new(host.fs);
    Inode *dir = apply_world_add(w, w->root, "dir", NULL);
    Inode *file = apply_world_add(w, dir, "file", "hello");

    umask(027);
    apply_world_op(w, PLAN_STAGE, file, w->root, NULL);
    apply_world_op(w, PLAN_MKDIR, dir, w->root, NULL);
    apply_world_op(w, PLAN_PLACE, file, dir, NULL);
    apply_world_op(w, PLAN_ATTRIBUTES, file, NULL, NULL);
    apply_world_op(w, PLAN_TIMES, file, NULL, NULL);
    apply_world_op(w, PLAN_TIMES, dir, NULL, NULL);
    for (int twice = 0; twice < 2; twice++) {
        apply_world_run_well(w);
        apply_world_check_tree(host.fs, "dir/\ndir/file: hello\n");
        apply_world_check_sides(w, host.fs);
        cr_assert_eq(test_host_stat(host.fs, "dir/file").mode, 0640);
        cr_assert_eq(test_host_stat(host.fs, "dir").mode, 0750);
        cr_assert_eq(test_host_stat(host.fs, "dir/file").mtime, 1000000000);
        cr_assert_eq(test_host_stat(host.fs, "dir").mtime, 1000000000);
        cr_assert_str_empty(w->events->str);
        cr_assert_null(file->change->temp_name);
        cr_assert_eq(file->change->content, CONTENT_SAME);
    }
}

Test(apply, zeroes_become_holes)
{
    g_auto(TestHost) host = test_host_new();
    g_autoptr(ApplyWorld) w = apply_world_new(host.fs);
    Inode *file = apply_world_add(w, w->root, "file", "");
    g_autofree char *data = g_malloc0(3000001);
    HostStat st;
    g_autofree char *text = NULL;

    memset(data + 1500000, 'x', 100);
    apply_world_bytes(w, file, CONTENT_WHOLE, data, 3000001);
    apply_world_op(w, PLAN_STAGE, file, w->root, NULL);
    apply_world_op(w, PLAN_PLACE, file, w->root, NULL);
    apply_world_run_well(w);
    st = test_host_stat(host.fs, "file");
    cr_assert_eq(st.size, 3000001);
    cr_assert(st.is_sparse);
    cr_assert(file->is_sparse);
    text = test_host_text(host.fs, "file");
    cr_assert_eq(memcmp(text, data, 3000001), 0);
}

Test(apply, a_replaced_file_keeps_its_mode)
{
    g_auto(TestHost) host = test_host_new();
    g_autoptr(ApplyWorld) w = apply_world_new(host.fs);
    Inode *file = apply_world_file(w, w->root, "file", "old");

    cr_assert_eq(host.fs->ops->set_mode(host.fs, "file", 0604), 0);
    apply_world_text(w, file, CONTENT_WHOLE, "new one");
    apply_world_op(w, PLAN_STAGE, file, w->root, NULL);
    apply_world_op(w, PLAN_PLACE, file, w->root, NULL);
    apply_world_run_well(w);
    apply_world_check_tree(host.fs, "file: new one\n");
    apply_world_check_sides(w, host.fs);
    cr_assert_eq(test_host_stat(host.fs, "file").mode, 0604);
}

Test(apply, a_new_file_gets_the_mode_of_the_one_it_replaces)
{
    g_auto(TestHost) host = test_host_new();
    g_autoptr(ApplyWorld) w = apply_world_new(host.fs);
    Inode *old = apply_world_file(w, w->root, "file", "old");
    Inode *file = apply_world_add(w, w->root, "file", "new");

    cr_assert_eq(host.fs->ops->set_mode(host.fs, "file", 0440), 0);
    old->host_entry.attr |= FAT_ATTR_READ_ONLY;
    apply_world_remove(w, old);
    apply_world_op(w, PLAN_STAGE, file, w->root, NULL);
    apply_world_op(w, PLAN_PLACE, file, w->root, old);
    apply_world_run_well(w);
    apply_world_check_tree(host.fs, "file: new\n");
    cr_assert_null(old->host_name);
    /* The guest's file is not read-only. */
    cr_assert_eq(test_host_stat(host.fs, "file").mode, 0640);
}

Test(apply, the_same_bytes_again_touch_nothing)
{
    g_auto(TestHost) host = test_host_new();
    g_autoptr(ApplyWorld) w = apply_world_new(host.fs);
    Inode *whole = apply_world_file(w, w->root, "whole", "some text");
    Inode *ranges = apply_world_file(w, w->root, "ranges", "some text");
    HostStat before = test_host_stat(host.fs, "whole");
    HostStat st;

    apply_world_text(w, whole, CONTENT_WHOLE, "some text");
    apply_world_text(w, ranges, CONTENT_RANGES, "some text");
    apply_world_op(w, PLAN_STAGE, whole, w->root, NULL);
    apply_world_op(w, PLAN_PLACE, whole, w->root, NULL);
    apply_world_op(w, PLAN_WRITE, ranges, NULL, NULL);
    apply_world_op(w, PLAN_TIMES, whole, NULL, NULL);
    apply_world_op(w, PLAN_TIMES, ranges, NULL, NULL);
    apply_world_run_well(w);
    st = test_host_stat(host.fs, "whole");
    cr_assert_eq(st.ino, before.ino);
    cr_assert_eq(st.ctime_ns, before.ctime_ns);
    cr_assert_eq(test_host_stat(host.fs, "ranges").mtime_ns,
                 ranges->host.mtime_ns % 1000000000);
    apply_world_check_sides(w, host.fs);
    cr_assert_eq(whole->change->content, CONTENT_SAME);
}

Test(apply, files_are_written_in_place)
{
    g_auto(TestHost) host = test_host_new();
    g_autoptr(ApplyWorld) w = apply_world_new(host.fs);
    Inode *grow = apply_world_file(w, w->root, "grow", "0123456789");
    Inode *shrink = apply_world_file(w, w->root, "shrink", "0123456789");
    uint64_t ino = grow->host.ino;

    apply_world_text(w, grow, CONTENT_RANGES, "01abc56789, and more");
    apply_world_text(w, shrink, CONTENT_RANGES, "01ab");
    apply_world_op(w, PLAN_WRITE, grow, NULL, NULL);
    apply_world_op(w, PLAN_WRITE, shrink, NULL, NULL);
    apply_world_op(w, PLAN_TIMES, shrink, NULL, NULL);
    for (int twice = 0; twice < 2; twice++) {
        apply_world_run_well(w);
        apply_world_check_tree(host.fs,
                               "grow: 01abc56789, and more\nshrink: 01ab\n");
        cr_assert_eq(test_host_stat(host.fs, "grow").ino, ino);
        apply_world_check_sides(w, host.fs);
    }
}

Test(apply, names_are_swapped_by_way_of_a_third)
{
    g_auto(TestHost) host = test_host_new();
    g_autoptr(ApplyWorld) w = apply_world_new(host.fs);
    Inode *a = apply_world_file(w, w->root, "a", "A");
    Inode *b = apply_world_file(w, w->root, "b", "B");

    apply_world_move(w, a, w->root, "b");
    apply_world_move(w, b, w->root, "a");
    apply_world_op(w, PLAN_ASIDE, a, w->root, NULL);
    apply_world_op(w, PLAN_RENAME, b, w->root, NULL);
    apply_world_op(w, PLAN_RENAME, a, w->root, NULL);
    for (int twice = 0; twice < 2; twice++) {
        apply_world_run_well(w);
        apply_world_check_tree(host.fs, "a: B\nb: A\n");
        apply_world_check_sides(w, host.fs);
        cr_assert_str_empty(w->events->str);
        apply_world_op(w, PLAN_TIMES, a, NULL, NULL);
    }
}

Test(apply, moved_and_rewritten_over_one_that_goes)
{
    g_auto(TestHost) host = test_host_new();
    g_autoptr(ApplyWorld) w = apply_world_new(host.fs);
    Inode *dir = apply_world_dir(w, w->root, "dir");
    Inode *old = apply_world_file(w, dir, "file", "old");
    Inode *file = apply_world_file(w, w->root, "tmp", "before");

    apply_world_remove(w, old);
    apply_world_move(w, file, dir, "file");
    apply_world_text(w, file, CONTENT_WHOLE, "after");
    apply_world_op(w, PLAN_STAGE, file, dir, NULL);
    apply_world_op(w, PLAN_PLACE, file, dir, old);
    apply_world_run_well(w);
    apply_world_check_tree(host.fs, "dir/\ndir/file: after\n");
    apply_world_check_sides(w, host.fs);
    cr_assert_null(old->host_name);
}

Test(apply, directories_move_with_what_is_in_them)
{
    g_auto(TestHost) host = test_host_new();
    g_autoptr(ApplyWorld) w = apply_world_new(host.fs);
    Inode *a = apply_world_dir(w, w->root, "a");
    Inode *in = apply_world_file(w, a, "in", "1");
    Inode *b = apply_world_add(w, w->root, "b", NULL);

    apply_world_move(w, a, b, "c");
    apply_world_text(w, in, CONTENT_RANGES, "2");
    apply_world_op(w, PLAN_MKDIR, b, w->root, NULL);
    apply_world_op(w, PLAN_RENAME, a, b, NULL);
    apply_world_op(w, PLAN_WRITE, in, NULL, NULL);
    apply_world_run_well(w);
    apply_world_check_tree(host.fs, "b/\nb/c/\nb/c/in: 2\n");
    apply_world_check_sides(w, host.fs);
}

Test(apply, what_the_guest_removed_goes)
{
    g_auto(TestHost) host = test_host_new();
    g_autoptr(ApplyWorld) w = apply_world_new(host.fs);
    Inode *dir = apply_world_dir(w, w->root, "dir");
    Inode *file = apply_world_file(w, dir, "file", "x");
    Inode *gone = apply_world_file(w, dir, "gone", "x");

    cr_assert_eq(host.fs->ops->unlink(host.fs, "dir/gone"), 0);
    apply_world_remove(w, dir);
    apply_world_remove(w, file);
    apply_world_remove(w, gone);
    apply_world_op(w, PLAN_UNLINK, file, NULL, NULL);
    apply_world_op(w, PLAN_UNLINK, gone, NULL, NULL);
    apply_world_op(w, PLAN_RMDIR, dir, NULL, NULL);
    apply_world_run_well(w);
    apply_world_check_tree(host.fs, "");
    cr_assert_null(dir->host_name);
    cr_assert_str_empty(w->events->str);
    apply_world_run_well(w);
}

Test(apply, attributes_follow)
{
    g_auto(TestHost) host = test_host_new();
    g_autoptr(ApplyWorld) w = apply_world_new(host.fs);
    Inode *file = apply_world_file(w, w->root, "file", "x");
    Inode *plain = apply_world_file(w, w->root, "plain", "x");
    Inode *back = apply_world_file(w, w->root, "back", "x");
    unsigned attr;

    cr_assert_eq(host.fs->ops->set_read_only(host.fs, "back", true), 0);
    back->host_entry.attr |= FAT_ATTR_READ_ONLY;
    file->entry.attr = FAT_ATTR_READ_ONLY | FAT_ATTR_HIDDEN;
    apply_world_op(w, PLAN_ATTRIBUTES, file, NULL, NULL);
    apply_world_op(w, PLAN_ATTRIBUTES, plain, NULL, NULL);
    apply_world_op(w, PLAN_ATTRIBUTES, back, NULL, NULL);
    apply_world_run_well(w);
    cr_assert_eq(test_host_stat(host.fs, "file").mode, 0444);
    cr_assert_eq(test_host_stat(host.fs, "back").mode, 0644);
    cr_assert_eq(host.fs->ops->get_dos_attrib(host.fs, "plain", &attr),
                 -ENODATA);
    if (host.fs->ops->get_dos_attrib(host.fs, "file", &attr) == 0) {
        cr_assert_eq(attr, FAT_ATTR_READ_ONLY | FAT_ATTR_HIDDEN);
        /* Once it is there it follows, also to the ordinary, also without
         * permission to write. */
        file->entry.attr = FAT_ATTR_READ_ONLY | FAT_ATTR_ARCHIVE;
        apply_world_run_well(w);
        cr_assert_eq(host.fs->ops->get_dos_attrib(host.fs, "file", &attr), 0);
        cr_assert_eq(attr, FAT_ATTR_READ_ONLY | FAT_ATTR_ARCHIVE);
    }
    cr_assert_eq(file->host_entry.attr, file->entry.attr);
    apply_world_check_sides(w, host.fs);
}

Test(apply, files_without_write_permission_are_written_and_keep_their_mode)
{
    g_auto(TestHost) host = test_host_new();
    ApplyWorld *w;
    Inode *file, *other;

    umask(022);
    test_host_drop_root(&host);
    w = apply_world_new(host.fs);
    file = apply_world_file(w, w->root, "file", "old");
    other = apply_world_file(w, w->root, "other", "old");
    cr_assert_eq(host.fs->ops->set_mode(host.fs, "file", 0444), 0);
    cr_assert_eq(host.fs->ops->set_mode(host.fs, "other", 0404), 0);
    apply_world_text(w, file, CONTENT_RANGES, "new");
    apply_world_text(w, other, CONTENT_WHOLE, "new");
    other->entry.attr = file->entry.attr |= FAT_ATTR_READ_ONLY |
                                            FAT_ATTR_SYSTEM;
    apply_world_op(w, PLAN_STAGE, other, w->root, NULL);
    apply_world_op(w, PLAN_PLACE, other, w->root, NULL);
    apply_world_op(w, PLAN_WRITE, file, NULL, NULL);
    apply_world_op(w, PLAN_ATTRIBUTES, file, NULL, NULL);
    apply_world_run_well(w);
    apply_world_check_tree(host.fs, "file: new\nother: new\n");
    cr_assert_eq(test_host_stat(host.fs, "file").mode, 0444);
    cr_assert_eq(test_host_stat(host.fs, "other").mode, 0404);
    apply_world_free(w);
}

Test(apply, a_file_with_two_names_is_replaced_under_one)
{
    g_auto(TestHost) host = test_host_new();
    g_autoptr(ApplyWorld) w = apply_world_new(host.fs);
    Inode *file = apply_world_file(w, w->root, "file", "old");
    g_autofree char *path = temp_tree_path(host.t, "file");
    g_autofree char *outside = temp_tree_beside(host.t, "outside");
    g_autofree char *text = NULL;

    cr_assert_eq(link(path, outside), 0);
    apply_world_text(w, file, CONTENT_RANGES, "new");
    apply_world_op(w, PLAN_WRITE, file, NULL, NULL);
    apply_world_run_well(w);
    apply_world_check_tree(host.fs, "file: new\n");
    cr_assert(g_file_get_contents(outside, &text, NULL, NULL));
    cr_assert_str_eq(text, "old");
    cr_assert_str_empty(w->events->str);
}

Test(apply, links_of_one_file_are_renamed_over_each_other)
{
    g_auto(TestHost) host = test_host_new();
    g_autoptr(ApplyWorld) w = apply_world_new(host.fs);
    Inode *a = apply_world_file(w, w->root, "a", "x");
    Inode *b = apply_world_file(w, w->root, "b", "x");

    cr_assert_eq(run_command(NULL, "cd '%s' && ln -f a b", host.t->dir), 0);
    b->host = a->host;
    apply_world_remove(w, b);
    apply_world_move(w, a, w->root, "b");
    apply_world_op(w, PLAN_RENAME, a, w->root, b);
    apply_world_run_well(w);
    apply_world_check_tree(host.fs, "b: x\n");
    cr_assert_null(b->host_name);
}

Test(apply, many_files_are_made_durable_together)
{
    g_auto(TestHost) host = test_host_new();
    g_autoptr(ApplyWorld) w = apply_world_new(host.fs);
    Inode *files[20];

    for (unsigned i = 0; i < 20; i++) {
        g_autofree char *name = g_strdup_printf("f%02u", i);

        files[i] = apply_world_add(w, w->root, name, name);
        apply_world_op(w, PLAN_STAGE, files[i], w->root, NULL);
    }
    for (unsigned i = 0; i < 20; i++) {
        apply_world_op(w, PLAN_PLACE, files[i], w->root, NULL);
        apply_world_op(w, PLAN_TIMES, files[i], NULL, NULL);
    }
    apply_world_run_well(w);
    apply_world_check_sides(w, host.fs);
    cr_assert(test_host_exists(host.fs, "f19"));
}

Test(apply, staged_files_of_changes_that_are_held_are_removed)
{
    g_auto(TestHost) host = test_host_new();
    g_autoptr(ApplyWorld) w = apply_world_new(host.fs);
    Inode *dir = apply_world_add(w, w->root, "dir", NULL);
    Inode *file = apply_world_add(w, dir, "file", "x");
    ApplyHooks hooks = { 0 };
    g_autoptr(Apply) apply = apply_new(host.fs, &w->options, &hooks);

    apply_world_op(w, PLAN_STAGE, file, w->root, NULL);
    apply_world_op(w, PLAN_PLACE, file, dir, NULL);
    cr_assert_eq(apply_world_run(w), 0);
    cr_assert_eq(file->change->held, INODE_PARENT_HELD);
    cr_assert_not_null(file->change->temp_name);
    cr_assert(names_is_temporary(file->change->temp_name));
    apply_discard_staged(apply, w->inodes);
    cr_assert_null(file->change->temp_name);
    apply_world_check_tree(host.fs, "");
    cr_assert_not(names_is_temporary(".vvfat-aside-0123456789abcdef"));
    cr_assert_not(names_is_temporary(".vvfat-0123456789abcdef0"));
    cr_assert_not(names_is_temporary(".vvfat-0123456789abcdeF"));
}

/* Host calls that it takes to make a file. */
static int count_new_file(HostFs *host, const char *name, bool with_times)
{
    FaultFs *f = fault_fs_new(host);
    g_autoptr(ApplyWorld) w = apply_world_new(&f->fs);
    Inode *file = apply_world_add(w, w->root, name, "text");
    int before = f->calls, calls;

    apply_world_op(w, PLAN_STAGE, file, w->root, NULL);
    apply_world_op(w, PLAN_PLACE, file, w->root, NULL);
    if (with_times) {
        apply_world_op(w, PLAN_TIMES, file, NULL, NULL);
    }
    apply_world_run_well(w);
    calls = f->calls - before;
    cr_assert_eq(test_host_stat(host, name).mtime, 1000000000);
    fault_fs_take_inner(f);
    hostfs_free(&f->fs);
    return calls;
}

Test(apply, a_new_file_is_not_looked_at_for_its_time)
{
    g_auto(TestHost) host = test_host_new();
    int without = count_new_file(host.fs, "one", false);

    cr_assert_gt(without, 0);
    cr_assert_eq(count_new_file(host.fs, "two", true), without);
}
