/* SPDX-License-Identifier: MIT */
/* Plans on a directory that somebody else changes: nothing of theirs is
 * overwritten or removed, and the guest's version is kept beside it. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "apply-fixture.h"
#include "fault-hostfs.h"
#include "hostfs-fixture.h"

/* Somebody else writes the file: another size, so another version. */
static void host_write(const TestHost *host, const char *name,
                       const char *text)
{
    temp_tree_text(host->t, name, text);
}

static void check_event(const ApplyWorld *w, const char *line)
{
    cr_assert_not_null(strstr(w->events->str, line), "%s not in\n%s", line,
                       w->events->str);
}

Test(apply_conflict, a_new_name_is_taken)
{
    g_auto(TestHost) host = test_host_new();
    g_autoptr(ApplyWorld) w = apply_world_new(host.fs);
    Inode *file = apply_world_add(w, w->root, "notes.txt", "guest");

    host_write(&host, "notes.txt", "host");
    host_write(&host, "notes (guest).txt", "older");
    apply_world_op(w, PLAN_STAGE, file, w->root, NULL);
    apply_world_op(w, PLAN_PLACE, file, w->root, NULL);
    for (int twice = 0; twice < 2; twice++) {
        apply_world_run_well(w);
        apply_world_check_tree(host.fs, "notes (guest 2).txt: guest\n"
                                        "notes (guest).txt: older\n"
                                        "notes.txt: host\n");
        apply_world_check_sides(w, host.fs);
        cr_assert_str_eq(file->alias, "notes.txt");
        cr_assert_str_eq(w->events->str,
                         "conflict notes.txt: the guest's version is "
                         "'notes (guest 2).txt'\n");
    }
}

Test(apply_conflict, its_own_file_changed_before_it_is_replaced)
{
    g_auto(TestHost) host = test_host_new();
    g_autoptr(ApplyWorld) w = apply_world_new(host.fs);
    Inode *file = apply_world_file(w, w->root, "file", "old");

    host_write(&host, "file", "by the host");
    apply_world_text(w, file, CONTENT_WHOLE, "guest");
    apply_world_op(w, PLAN_STAGE, file, w->root, NULL);
    apply_world_op(w, PLAN_PLACE, file, w->root, NULL);
    apply_world_run_well(w);
    apply_world_check_tree(host.fs,
                           "file (guest): guest\nfile: by the host\n");
    apply_world_check_sides(w, host.fs);
    check_event(w, "conflict file: the guest's version is 'file (guest)'\n");
}

typedef struct Meddler {
    const TestHost *host;
    int at; /* the call before which the host writes */
    bool is_done;
} Meddler;

static void meddle(int n, void *opaque)
{
    Meddler *meddler = opaque;

    if (n == meddler->at) {
        host_write(meddler->host, "file", "by the host");
        meddler->is_done = true;
    }
}

/* A file is replaced; the host writes it before one call, and another fails
 * (0: none). What the directory holds then. */
static char *replace_meddled(int at, int fail_at, bool *is_done)
{
    g_auto(TestHost) host = test_host_new();
    FaultFs *f = fault_fs_new(host.fs);
    g_autoptr(ApplyWorld) w = apply_world_new(&f->fs);
    Inode *file = apply_world_file(w, w->root, "file", "old");
    Meddler meddler = { .host = &host, .at = at };

    host.fs = &f->fs;
    apply_world_text(w, file, CONTENT_WHOLE, "guest");
    apply_world_op(w, PLAN_STAGE, file, w->root, NULL);
    apply_world_op(w, PLAN_PLACE, file, w->root, NULL);
    f->calls = 0;
    f->opaque = &meddler;
    f->on_call = meddle;
    f->fail_at = fail_at;
    f->error = -EIO;
    apply_world_run(w);
    f->on_call = NULL;
    f->fail_at = 0;
    *is_done = meddler.is_done;
    return apply_world_tree(host.fs);
}

/* Between any two steps: what the host wrote is there afterwards. */
Test(apply_conflict, its_own_file_changes_while_it_is_replaced)
{
    bool is_done = true;
    int at;

    for (at = 1; is_done; at++) {
        g_autofree char *tree = replace_meddled(at, 0, &is_done);

        cr_assert(!is_done || strstr(tree, "by the host\n"), "call %d:\n%s",
                  at, tree);
    }
    cr_assert_gt(at, 10);
}

/* The host's version has a name that no later run takes for one of a temporary
 * file, which it may remove. */
Test(apply_conflict, its_own_file_changes_and_then_a_call_fails)
{
    g_autoptr(GRegex)
        kept = g_regex_new("^(file|\\.vvfat-aside-[0-9a-f]{16}): by the host$",
                           G_REGEX_MULTILINE, 0, NULL);
    bool is_done = true, is_aside = false;

    for (int at = 1; is_done; at++) {
        for (int after = 1; after <= 4; after++) {
            g_autofree char *tree = replace_meddled(at, at + after, &is_done);

            cr_assert(!is_done || g_regex_match(kept, tree, 0, NULL),
                      "calls %d and %d:\n%s", at, at + after, tree);
            is_aside |= strstr(tree, ".vvfat-aside-") != NULL;
        }
    }
    cr_assert(is_aside);
}

Test(apply_conflict, one_that_was_to_be_replaced_changed)
{
    g_auto(TestHost) host = test_host_new();
    g_autoptr(ApplyWorld) w = apply_world_new(host.fs);
    Inode *old = apply_world_file(w, w->root, "file", "old");
    Inode *file = apply_world_file(w, w->root, "tmp", "guest");

    host_write(&host, "file", "by the host");
    apply_world_remove(w, old);
    apply_world_move(w, file, w->root, "file");
    apply_world_op(w, PLAN_RENAME, file, w->root, old);
    apply_world_run_well(w);
    apply_world_check_tree(host.fs,
                           "file (guest): guest\nfile: by the host\n");
    apply_world_check_sides(w, host.fs);
    cr_assert_null(old->host_name);
}

Test(apply_conflict, moved_and_rewritten_where_the_name_is_taken)
{
    g_auto(TestHost) host = test_host_new();
    g_autoptr(ApplyWorld) w = apply_world_new(host.fs);
    Inode *file = apply_world_file(w, w->root, "a", "old");

    host_write(&host, "b", "by the host");
    apply_world_move(w, file, w->root, "b");
    apply_world_text(w, file, CONTENT_WHOLE, "guest");
    apply_world_op(w, PLAN_STAGE, file, w->root, NULL);
    apply_world_op(w, PLAN_RENAME, file, w->root, NULL);
    apply_world_op(w, PLAN_PLACE, file, w->root, NULL);
    for (int twice = 0; twice < 2; twice++) {
        apply_world_run_well(w);
        apply_world_check_tree(host.fs, "b (guest): guest\nb: by the host\n");
        apply_world_check_sides(w, host.fs);
    }
}

static void check_write(bool replaced, bool removed, const char *tree)
{
    g_auto(TestHost) host = test_host_new();
    g_autoptr(ApplyWorld) w = apply_world_new(host.fs);
    Inode *file = apply_world_file(w, w->root, "file.c", "old");

    if (replaced || removed) {
        cr_assert_eq(host.fs->ops->unlink(host.fs, "file.c"), 0);
    }
    if (!removed) {
        host_write(&host, "file.c", "by the host");
    }
    apply_world_text(w, file, CONTENT_RANGES, "guest");
    apply_world_op(w, PLAN_WRITE, file, NULL, NULL);
    apply_world_op(w, PLAN_TIMES, file, NULL, NULL);
    apply_world_run_well(w);
    apply_world_check_tree(host.fs, tree);
    apply_world_check_sides(w, host.fs);
    cr_assert_str_eq(file->alias, "file.c");
    check_event(w, "conflict file.c: the guest's version is "
                   "'file (guest).c'\n");
}

Test(apply_conflict, a_file_to_be_written_changed)
{
    check_write(false, false, "file (guest).c: guest\nfile.c: by the host\n");
}

Test(apply_conflict, a_file_to_be_written_was_replaced)
{
    check_write(true, false, "file (guest).c: guest\nfile.c: by the host\n");
}

Test(apply_conflict, a_file_to_be_written_is_gone)
{
    check_write(false, true, "file (guest).c: guest\n");
}

Test(apply_conflict, a_version_that_cannot_be_read_waits)
{
    g_auto(TestHost) host = test_host_new();
    g_autoptr(ApplyWorld) w = apply_world_new(host.fs);
    Inode *file = apply_world_file(w, w->root, "file", "old");

    host_write(&host, "file", "by the host");
    apply_world_text(w, file, CONTENT_RANGES, "guest");
    apply_world_op(w, PLAN_WRITE, file, NULL, NULL);
    w->read_error = -EIO;
    cr_assert_eq(apply_world_run(w), 0);
    cr_assert(file->change->held & INODE_CONFLICT);
    cr_assert_eq(file->change->error, -EIO);
    apply_world_check_tree(host.fs, "file: by the host\n");
    w->read_error = 0;
    apply_world_release(w);
    apply_world_run_well(w);
    apply_world_check_tree(host.fs,
                           "file (guest): guest\nfile: by the host\n");
}

Test(apply_conflict, what_is_to_go_and_changed_stays)
{
    g_auto(TestHost) host = test_host_new();
    g_autoptr(ApplyWorld) w = apply_world_new(host.fs);
    Inode *dir = apply_world_dir(w, w->root, "dir");
    Inode *file = apply_world_file(w, dir, "file", "old");

    host_write(&host, "dir/file", "by the host");
    apply_world_remove(w, file);
    apply_world_remove(w, dir);
    apply_world_op(w, PLAN_UNLINK, file, NULL, NULL);
    apply_world_op(w, PLAN_RMDIR, dir, NULL, NULL);
    cr_assert_eq(apply_world_run(w), 0);
    apply_world_check_tree(host.fs, "dir/\ndir/file: by the host\n");
    cr_assert_null(file->host_name);
    cr_assert_eq(file->change->held, 0);
    cr_assert_eq(dir->change->held, INODE_NOT_EMPTY);
    cr_assert_str_eq(dir->host_name, "dir");
    check_event(w, "conflict dir/file: it was changed on the host, and is "
                   "kept\n");
    check_event(w, "conflict dir: ");
}

Test(apply_conflict, a_directory_of_the_name_is_used)
{
    g_auto(TestHost) host = test_host_new();
    g_autoptr(ApplyWorld) w = apply_world_new(host.fs);
    Inode *dir = apply_world_add(w, w->root, "dir", NULL);
    Inode *file = apply_world_add(w, dir, "file", "guest");

    host_write(&host, "dir/other", "host");
    apply_world_op(w, PLAN_STAGE, file, w->root, NULL);
    apply_world_op(w, PLAN_MKDIR, dir, w->root, NULL);
    apply_world_op(w, PLAN_PLACE, file, dir, NULL);
    apply_world_run_well(w);
    apply_world_check_tree(host.fs,
                           "dir/\ndir/file: guest\ndir/other: host\n");
    check_event(w,
                "conflict dir: a directory was there already, and is used\n");
    cr_assert_null(dir->alias);
}

Test(apply_conflict, a_file_has_the_name_of_a_directory)
{
    g_auto(TestHost) host = test_host_new();
    g_autoptr(ApplyWorld) w = apply_world_new(host.fs);
    Inode *dir = apply_world_add(w, w->root, "v1.0", NULL);
    Inode *file = apply_world_add(w, dir, "file", "guest");

    host_write(&host, "v1.0", "host");
    apply_world_op(w, PLAN_STAGE, file, w->root, NULL);
    apply_world_op(w, PLAN_MKDIR, dir, w->root, NULL);
    apply_world_op(w, PLAN_PLACE, file, dir, NULL);
    apply_world_run_well(w);
    apply_world_check_tree(host.fs, "v1.0 (guest)/\nv1.0 (guest)/file: guest\n"
                                    "v1.0: host\n");
    cr_assert_str_eq(dir->alias, "v1.0");
}

Test(apply_conflict, a_moved_file_is_gone)
{
    g_auto(TestHost) host = test_host_new();
    g_autoptr(ApplyWorld) w = apply_world_new(host.fs);
    Inode *dir = apply_world_dir(w, w->root, "dir");
    Inode *file = apply_world_file(w, w->root, "file", "guest");

    cr_assert_eq(host.fs->ops->unlink(host.fs, "file"), 0);
    apply_world_move(w, file, dir, "file");
    apply_world_op(w, PLAN_RENAME, file, dir, NULL);
    apply_world_run_well(w);
    apply_world_check_tree(host.fs, "dir/\ndir/file: guest\n");
    apply_world_check_sides(w, host.fs);
}

Test(apply_conflict, a_moved_directory_is_gone)
{
    g_auto(TestHost) host = test_host_new();
    g_autoptr(ApplyWorld) w = apply_world_new(host.fs);
    Inode *dir = apply_world_dir(w, w->root, "dir");

    cr_assert_eq(host.fs->ops->rmdir(host.fs, "dir"), 0);
    apply_world_move(w, dir, w->root, "other");
    apply_world_op(w, PLAN_RENAME, dir, w->root, NULL);
    cr_assert_eq(apply_world_run(w), 0);
    cr_assert_eq(dir->change->held, INODE_CONFLICT);
    cr_assert_not_null(dir->change->detail);
}

/* Neither the link nor what it leads to is written, replaced or removed. */
Test(apply_conflict, links_planted_on_the_way_lead_nowhere)
{
    g_auto(TestHost) host = test_host_new();
    g_autoptr(ApplyWorld) w = apply_world_new(host.fs);
    Inode *dir = apply_world_dir(w, w->root, "dir");
    Inode *in = apply_world_file(w, dir, "in", "old");
    Inode *gone = apply_world_file(w, dir, "gone", "old");
    Inode *write = apply_world_file(w, w->root, "write", "old");
    Inode *whole = apply_world_file(w, w->root, "whole", "old");
    Inode *fresh = apply_world_add(w, w->root, "new", "guest");
    g_autofree char *text = NULL;

    cr_assert_eq(
        run_command(NULL,
                    "cd '%s' && cp -a tree/dir outside && "
                    "cp -a tree/write tree/whole outside && cd tree "
                    "&& rm -r dir write whole && ln -s ../outside dir "
                    "&& ln -s ../outside/write write && "
                    "ln -s ../outside/whole whole && "
                    "ln -s ../outside/new new",
                    host.t->top),
        0);
    apply_world_text(w, in, CONTENT_RANGES, "guest");
    apply_world_text(w, write, CONTENT_RANGES, "guest");
    apply_world_text(w, whole, CONTENT_WHOLE, "guest");
    apply_world_remove(w, gone);
    apply_world_op(w, PLAN_STAGE, whole, w->root, NULL);
    apply_world_op(w, PLAN_STAGE, fresh, w->root, NULL);
    apply_world_op(w, PLAN_PLACE, whole, w->root, NULL);
    apply_world_op(w, PLAN_PLACE, fresh, w->root, NULL);
    apply_world_op(w, PLAN_WRITE, in, NULL, NULL);
    apply_world_op(w, PLAN_WRITE, write, NULL, NULL);
    apply_world_op(w, PLAN_UNLINK, gone, NULL, NULL);
    cr_assert_eq(apply_world_run(w), 0);
    apply_world_check_tree(host.fs, "dir (other)\n"
                                    "new (guest): guest\nnew (other)\n"
                                    "whole (guest): guest\nwhole (other)\n"
                                    "write (guest): guest\nwrite (other)\n");
    cr_assert(in->change->held & INODE_CONFLICT);
    cr_assert_eq(
        run_command(&text, "cd '%s/outside' && grep . *", host.t->top), 0);
    cr_assert_str_eq(text, "gone:old\nin:old\nwhole:old\nwrite:old\n");
}

Test(apply_conflict, what_is_held_is_not_replaced)
{
    g_auto(TestHost) host = test_host_new();
    g_autoptr(ApplyWorld) w = apply_world_new(host.fs);
    Inode *a = apply_world_file(w, w->root, "a", "A");
    Inode *b = apply_world_file(w, w->root, "b", "B");
    Inode *old = apply_world_file(w, w->root, "c", "C");

    apply_world_move(w, a, w->root, "c");
    apply_world_move(w, b, w->root, "a");
    apply_world_remove(w, old);
    apply_world_op(w, PLAN_RENAME, a, w->root, old);
    apply_world_op(w, PLAN_RENAME, b, w->root, NULL);
    a->change->held = INODE_IO_ERROR;
    cr_assert_eq(apply_world_run(w), 0);
    apply_world_check_tree(host.fs, "a: A\nb: B\nc: C\n");
    cr_assert_eq(b->change->held, INODE_NAME_TAKEN);
    cr_assert_eq(old->change->held, INODE_IO_ERROR);
    apply_world_release(w);
    apply_world_run_well(w);
    apply_world_check_tree(host.fs, "a: B\nc: A\n");
}

Test(apply_conflict, the_time_of_a_file_that_the_host_changed_is_kept)
{
    g_auto(TestHost) host = test_host_new();
    g_autoptr(ApplyWorld) w = apply_world_new(host.fs);
    Inode *file = apply_world_file(w, w->root, "file", "old");
    HostStat st;

    host_write(&host, "file", "by the host");
    st = test_host_stat(host.fs, "file");
    apply_world_time(w, file, 1000000000);
    apply_world_op(w, PLAN_TIMES, file, NULL, NULL);
    apply_world_run_well(w);
    cr_assert_eq(test_host_stat(host.fs, "file").mtime, st.mtime);
    cr_assert_eq(file->host.size, 3);
}

Test(apply_conflict, a_link_in_place_of_a_file_is_replaced_by_one)
{
    g_auto(TestHost) host = test_host_new();
    g_autoptr(ApplyWorld) w = apply_world_new(host.fs);
    Inode *file = apply_world_file(w, w->root, "file", "old");
    Inode *moved = apply_world_file(w, w->root, "moved", "old");
    Inode *dir = apply_world_dir(w, w->root, "dir");
    Inode *gone = apply_world_file(w, w->root, "gone", "old");
    HostStat st;

    cr_assert_eq(run_command(NULL,
                             "cd '%s' && rm file moved gone && "
                             "echo -n old >target && ln -s target file && "
                             "ln -s target moved && ln -s target gone",
                             host.t->dir),
                 0);
    st = test_host_stat(host.fs, "target");
    file->link_path = g_strdup("target");
    moved->link_path = g_strdup("target");
    gone->link_path = g_strdup("target");
    file->host = moved->host = gone->host = apply_host_id(&st);
    apply_world_text(w, file, CONTENT_RANGES, "guest");
    apply_world_move(w, moved, dir, "moved");
    apply_world_remove(w, gone);
    apply_world_op(w, PLAN_RENAME, moved, dir, NULL);
    apply_world_op(w, PLAN_WRITE, file, NULL, NULL);
    apply_world_op(w, PLAN_UNLINK, gone, NULL, NULL);
    apply_world_run_well(w);
    apply_world_check_tree(host.fs,
                           "dir/\ndir/moved: old\nfile: guest\ntarget: old\n");
    cr_assert_null(file->link_path);
    apply_world_check_sides(w, host.fs);
}
