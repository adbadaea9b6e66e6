/* SPDX-License-Identifier: MIT */
/* Nothing outside the root is changed: links in every component, links that
 * come and go, paths longer than PATH_MAX, and missing permission. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "forbid-syscall.h"
#include "hostfs-fixture.h"

static int close_created(HostFs *fs, const char *path)
{
    HostFile *file;
    int r = fs->ops->file_create(fs, path, 0666, &file);

    if (r == 0) {
        fs->ops->file_close(fs, file);
    }
    return r;
}

static int close_opened(HostFs *fs, const char *path)
{
    HostFile *file;
    HostStat st;
    int r = fs->ops->file_open_rw(fs, path, &file, &st);

    if (r == 0) {
        r = hostfs_write_full(fs, file, 0, "changed", 7);
        fs->ops->file_close(fs, file);
    }
    return r;
}

/* Every call that changes what is at `path`, an existing file. */
static unsigned change_file(HostFs *fs, const char *path)
{
    unsigned done = 0;
    char *left;

    done += close_opened(fs, path) == 0;
    done += fs->ops->set_times(fs, path, 1, 0) == 0;
    done += fs->ops->set_mode(fs, path, 0600) == 0;
    done += fs->ops->set_read_only(fs, path, true) == 0;
    done += fs->ops->set_read_only(fs, path, false) == 0;
    done += fs->ops->set_dos_attrib(fs, path, 2) == 0;
    done += fs->ops->copy_metadata(fs, "other", path, &left) == 0;
    g_free(left);
    return done;
}

/* Every call that makes or takes names in a directory that has a `file`. */
static unsigned change_names(HostFs *fs, const char *dir)
{
    g_autofree char *file = g_strconcat(dir, "/file", NULL);
    g_autofree char *new = g_strconcat(dir, "/new", NULL);
    unsigned done = 0;

    done += fs->ops->mkdir(fs, new, 0777) == 0;
    done += fs->ops->rmdir(fs, new) == 0;
    done += close_created(fs, new) == 0;
    done += fs->ops->unlink(fs, new) == 0;
    done += fs->ops->rename(fs, file, new, 0) == 0;
    done += fs->ops->rename(fs, new, file, HOST_RENAME_NOREPLACE) == 0;
    done += fs->ops->dir_sync(fs, dir) == 0;
    done += fs->ops->rename(fs, file, "taken", 0) == 0;
    done += fs->ops->rename(fs, "taken", file, 0) == 0;
    return done;
}

#define CHANGES_FILE 7
#define CHANGES_NAMES 9

/* What must not change: outside/file, with its directory. */
static char *outside_state(const TempTree *t)
{
    g_autofree char *dir = temp_tree_beside(t, "outside");
    char *out;

    cr_assert_eq(run_command(&out,
                             "cd '%s' && stat -c '%%n %%f %%Y %%Z %%h' . * && "
                             "cat file",
                             dir),
                 0);
    return out;
}

static void make_outside(const TempTree *t)
{
    g_autofree char *dir = temp_tree_beside(t, "outside");

    cr_assert_eq(
        run_command(NULL, "mkdir '%s' && echo secret >'%s/file'", dir, dir),
        0);
}

static void check_links_are_refused(const TestHost *host)
{
    g_autofree char *before = NULL, *after = NULL, *left = NULL;
    HostFs *fs = host->fs;

    make_outside(host->t);
    temp_tree_text(host->t, "other", "other");
    temp_tree_text(host->t, "d/file", "inside");
    temp_tree_link(host->t, "out", "../outside");
    temp_tree_link(host->t, "d/out", "../../outside");
    temp_tree_link(host->t, "d/up", "..");
    temp_tree_link(host->t, "d/file-link", "../../outside/file");
    temp_tree_link(host->t, "d/inside-link", "file");
    before = outside_state(host->t);

    cr_assert_eq(change_file(fs, "out/file"), 0);
    cr_assert_eq(change_file(fs, "d/out/file"), 0);
    cr_assert_eq(change_file(fs, "d/up/out/file"), 0);
    cr_assert_eq(change_file(fs, "d/up/other"), 0);
    cr_assert_eq(change_file(fs, "d/file-link"), 0);
    cr_assert_eq(change_file(fs, "d/inside-link"), 0);
    cr_assert_eq(change_file(fs, "../outside/file"), 0);
    cr_assert_eq(change_names(fs, "out"), 0);
    cr_assert_eq(change_names(fs, "d/out"), 0);
    cr_assert_eq(change_names(fs, "d/up/d"), 0);
    cr_assert_eq(change_names(fs, "../outside"), 0);
    cr_assert_lt(fs->ops->copy_metadata(fs, "d/file-link", "other", &left), 0);
    cr_assert_lt(fs->ops->rmdir(fs, "out"), 0);

    /* The link itself, and not where it leads. */
    cr_assert_eq(fs->ops->rename(fs, "d/file-link", "moved", 0), 0);
    cr_assert_eq(test_host_stat(fs, "moved").kind, HOST_SYMLINK);
    cr_assert_eq(fs->ops->rename(fs, "moved", "again", HOST_RENAME_NOREPLACE),
                 0);
    cr_assert_eq(test_host_stat(fs, "again").kind, HOST_SYMLINK);
    cr_assert_eq(fs->ops->unlink(fs, "again"), 0);
    cr_assert_eq(fs->ops->rename(fs, "other", "d/inside-link", 0), 0);
    cr_assert_eq(test_host_stat(fs, "d/inside-link").kind, HOST_FILE);

    after = outside_state(host->t);
    cr_assert_str_eq(before, after);
}

Test(hostfs_beneath, links_are_refused)
{
    g_auto(TestHost) host = test_host_new();

    check_links_are_refused(&host);
}

Test(hostfs_beneath, links_are_refused_without_openat2_and_renameat2)
{
    g_auto(TestHost) host = { .t = temp_tree_new() };

    forbid_syscall(SYS_openat2, ENOSYS);
    forbid_syscall(SYS_renameat2, ENOSYS);
    host.fs = hostfs_posix_new(host.t->dir, NULL);
    check_links_are_refused(&host);
}

/* ---- Links that come and go ---- */

typedef struct Swapper {
    int root;
    atomic_bool stop;
    unsigned swaps;
} Swapper;

/* d and d/e/file are now what they were, now links that lead outside. */
static void *swap(void *opaque)
{
    Swapper *s = opaque;

    while (!s->stop) {
        syscall(SYS_renameat2, s->root, "d", s->root, "d-link",
                RENAME_EXCHANGE);
        syscall(SYS_renameat2, s->root, "d", s->root, "d-link",
                RENAME_EXCHANGE);
        syscall(SYS_renameat2, s->root, "d/e/file", s->root, "file-link",
                RENAME_EXCHANGE);
        syscall(SYS_renameat2, s->root, "d/e/file", s->root, "file-link",
                RENAME_EXCHANGE);
        s->swaps++;
    }
    return NULL;
}

static void check_swapped_links(const TestHost *host)
{
    g_autofree char *before = NULL, *after = NULL;
    Swapper s = { 0 };
    unsigned done = 0;
    pthread_t thread;

    make_outside(host->t);
    cr_assert_eq(run_command(NULL,
                             "mkdir '%s/outside/e' && cp -p "
                             "'%s/outside/file' '%s/outside/e/'",
                             host->t->top, host->t->top, host->t->top),
                 0);
    temp_tree_text(host->t, "other", "other");
    temp_tree_text(host->t, "d/e/file", "inside");
    temp_tree_link(host->t, "d-link", "../outside");
    temp_tree_link(host->t, "file-link", "../outside/file");
    before = outside_state(host->t);
    s.root = open(host->t->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    cr_assert_eq(pthread_create(&thread, NULL, swap, &s), 0);
    for (int i = 0; i < 2000 || (s.swaps < 100 && i < 100000); i++) {
        done += change_file(host->fs, "d/e/file");
        done += change_names(host->fs, "d/e");
    }
    s.stop = true;
    pthread_join(thread, NULL);
    close(s.root);
    cr_assert_gt(done, 0);
    after = outside_state(host->t);
    cr_assert_str_eq(before, after);
}

Test(hostfs_beneath, links_that_come_and_go_lead_nowhere)
{
    g_auto(TestHost) host = test_host_new();

    check_swapped_links(&host);
}

Test(hostfs_beneath, links_that_come_and_go_lead_nowhere_without_openat2)
{
    g_auto(TestHost) host = { .t = temp_tree_new() };

    forbid_syscall(SYS_openat2, ENOSYS);
    host.fs = hostfs_posix_new(host.t->dir, NULL);
    check_swapped_links(&host);
}

/* ---- Long paths ---- */

Test(hostfs_beneath, paths_longer_than_path_max_are_changed)
{
    g_auto(TestHost) host = test_host_new();
    g_autoptr(GString) path = g_string_new("some directory");
    HostFs *fs = host.fs;
    g_autofree char *file = NULL;

    test_host_create(fs, "other", "other");
    for (unsigned i = 0; i < 500; i++) {
        cr_assert_eq(fs->ops->mkdir(fs, path->str, 0777), 0);
        g_string_append(path, "/some directory");
    }
    cr_assert_eq(fs->ops->mkdir(fs, path->str, 0777), 0);
    cr_assert_gt(path->len, 4096);
    file = g_strconcat(path->str, "/file", NULL);
    test_host_create(fs, file, "deep");
    cr_assert_geq(change_file(fs, file), CHANGES_FILE - 1); /* attributes */
    cr_assert_eq(change_names(fs, path->str), CHANGES_NAMES);
}

/* ---- Permission ---- */

Test(hostfs_beneath, missing_permission_is_told)
{
    g_auto(TestHost) host = test_host_new();
    HostFs *fs = host.fs;
    HostStat st;

    cr_assert_eq(fs->ops->mkdir(fs, "d", 0777), 0);
    test_host_create(fs, "d/file", "x");
    test_host_drop_root(&host);
    cr_assert(test_host_stat(fs, "d").writable);
    cr_assert(test_host_stat(fs, "d/file").writable);
    cr_assert_eq(fs->ops->set_mode(fs, "d", 0555), 0);
    cr_assert_not(test_host_stat(fs, "d").writable);
    cr_assert_eq(fs->ops->mkdir(fs, "d/new", 0777), -EACCES);
    cr_assert_eq(close_created(fs, "d/new"), -EACCES);
    cr_assert_eq(fs->ops->unlink(fs, "d/file"), -EACCES);
    cr_assert_eq(fs->ops->rename(fs, "d/file", "file", 0), -EACCES);

    cr_assert_eq(fs->ops->set_mode(fs, "d/file", 0444), 0);
    st = test_host_stat(fs, "d/file");
    cr_assert_not(st.writable);
    cr_assert(st.read_only);
    cr_assert_eq(close_opened(fs, "d/file"), -EACCES);
    cr_assert_eq(fs->ops->set_times(fs, "d/file", 5, 0), 0);
    cr_assert_eq(test_host_stat(fs, "d/file").mtime, 5);
}

Test(hostfs_beneath, what_we_own_but_may_not_read_can_be_changed)
{
    g_auto(TestHost) host = test_host_new();
    HostFs *fs = host.fs;

    cr_assert_eq(fs->ops->mkdir(fs, "d", 0777), 0);
    test_host_create(fs, "d/file", "x");
    temp_tree_link(host.t, "d/link", "file");
    test_host_drop_root(&host);
    cr_assert_eq(fs->ops->set_mode(fs, "d/file", 0200), 0);
    cr_assert_eq(fs->ops->set_mode(fs, "d", 0300), 0);
    cr_assert_not(test_host_stat(fs, "d/file").readable);
    cr_assert_eq(fs->ops->set_times(fs, "d/file", 5, 6), 0);
    cr_assert_eq(test_host_stat(fs, "d/file").mtime, 5);
    cr_assert_eq(test_host_stat(fs, "d/file").mtime_ns, 6);
    cr_assert_eq(fs->ops->set_read_only(fs, "d/file", true), 0);
    cr_assert_eq(test_host_stat(fs, "d/file").mode, 0);
    cr_assert_eq(fs->ops->set_read_only(fs, "d/file", false), 0);
    cr_assert_eq(test_host_stat(fs, "d/file").mode, 0200);
    cr_assert_eq(fs->ops->set_times(fs, "d/link", 5, 6), -ELOOP);
    cr_assert_eq(fs->ops->dir_sync(fs, "d"), 0);
    cr_assert_eq(fs->ops->set_mode(fs, "d", 0700), 0);
}

/* ---- Batches ---- */

Test(hostfs_beneath, a_batch_forgets_what_it_moved_itself)
{
    g_auto(TestHost) host = test_host_new();
    HostFs *fs = host.fs;

    temp_tree_text(host.t, "a/b/file", "old");
    hostfs_batch(fs, true);
    cr_assert(test_host_exists(fs, "a/b/file"));
    cr_assert_eq(fs->ops->rename(fs, "a", "c", 0), 0);
    cr_assert(!test_host_exists(fs, "a/b/file"));
    cr_assert(test_host_exists(fs, "c/b/file"));
    cr_assert_eq(fs->ops->mkdir(fs, "a", 0777), 0);
    cr_assert_eq(fs->ops->mkdir(fs, "a/b", 0777), 0);
    test_host_create(fs, "a/b/new", "new");
    cr_assert(!test_host_exists(fs, "c/b/new"));
    cr_assert_eq(fs->ops->rename(fs, "a", "c", HOST_RENAME_EXCHANGE), 0);
    cr_assert(test_host_exists(fs, "a/b/file"));
    cr_assert(test_host_exists(fs, "c/b/new"));

    cr_assert_eq(fs->ops->unlink(fs, "c/b/new"), 0);
    cr_assert_eq(fs->ops->rmdir(fs, "c/b"), 0);
    test_host_create(fs, "c/b", "a file now");
    cr_assert_eq(close_created(fs, "c/b/x"), -ENOTDIR);
    hostfs_batch(fs, false);
}

Test(hostfs_beneath, a_batch_notices_what_others_moved)
{
    g_auto(TestHost) host = test_host_new();
    g_autofree char *outside = temp_tree_beside(host.t, "outside");
    g_autofree char *dir = temp_tree_path(host.t, "d");
    HostFs *fs = host.fs;

    temp_tree_text(host.t, "d/file", "text");
    hostfs_batch(fs, true);
    cr_assert(test_host_exists(fs, "d/file"));
    cr_assert_eq(rename(dir, outside), 0);
    g_usleep(100000);
    cr_assert_eq(close_created(fs, "d/new"), -ENOENT);
    hostfs_batch(fs, false);
    cr_assert_eq(rename(outside, dir), 0);
    cr_assert(!test_host_exists(fs, "d/new"));
}

Test(hostfs_beneath, a_batch_takes_more_directories_than_it_keeps)
{
    g_auto(TestHost) host = test_host_new();
    HostFs *fs = host.fs;

    hostfs_batch(fs, true);
    for (int i = 0; i < 200; i++) {
        g_autofree char *dir = g_strdup_printf("d%d", i % 50);
        g_autofree char *from = g_strdup_printf("d%d/%d", (i * 7) % 50, i);
        g_autofree char *to = g_strdup_printf("d%d/%d", (i * 3) % 50, i);

        if (i < 50) {
            cr_assert_eq(fs->ops->mkdir(fs, dir, 0777), 0);
        } else {
            test_host_create(fs, from, "x");
            cr_assert_eq(fs->ops->rename(fs, from, to, 0), 0);
            cr_assert(test_host_exists(fs, to));
        }
    }
    hostfs_batch(fs, false);
}
