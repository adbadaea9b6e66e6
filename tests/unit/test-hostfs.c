/* SPDX-License-Identifier: MIT */
/* The host's file system: nothing outside the root, with openat2() and on
 * kernels that do not have it; loading of small files. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "forbid-syscall.h"
#include "vvfat-fixture.h"

static int try_file(HostFs *fs, const char *path)
{
    HostFile *file;
    HostStat st;
    int r = fs->ops->file_open(fs, path, &file, &st);

    if (r == 0) {
        cr_assert_eq(st.kind, HOST_FILE);
        fs->ops->file_close(fs, file);
    }
    return r;
}

static int try_dir(HostFs *fs, const char *path)
{
    HostDir *dir;
    int r = fs->ops->dir_open(fs, path, &dir);

    if (r == 0) {
        fs->ops->dir_close(fs, dir);
    }
    return r;
}

static void check_root_is_never_left(const TempTree *t)
{
    g_autofree char *beside = temp_tree_beside(t, "secret");
    g_autofree char *fifo = temp_tree_path(t, "fifo");
    g_autoptr(HostFs) fs = hostfs_posix_new(t->dir, NULL);
    HostStat st;

    cr_assert(g_file_set_contents(beside, "x", 1, NULL));
    temp_tree_text(t, "sub/real", "1");
    temp_tree_link(t, "link", "../secret");
    temp_tree_link(t, "up", "..");
    temp_tree_link(t, "inside", "sub/real");
    temp_tree_link(t, "dir", "sub");
    cr_assert_eq(mkfifo(fifo, 0644), 0);

    cr_assert_lt(try_file(fs, "../secret"), 0);
    cr_assert_lt(try_file(fs, "sub/../../secret"), 0);
    cr_assert_lt(try_file(fs, "link"), 0);
    cr_assert_lt(try_file(fs, "up/secret"), 0);
    cr_assert_lt(try_file(fs, "inside"), 0);
    cr_assert_lt(try_file(fs, "dir/real"), 0);
    cr_assert_lt(try_dir(fs, ".."), 0);
    cr_assert_lt(try_dir(fs, "up"), 0);
    cr_assert_lt(try_dir(fs, "dir"), 0);
    cr_assert_lt(fs->ops->stat(fs, "up/secret", &st), 0);

    cr_assert_eq(try_file(fs, "fifo"), -EINVAL);
    cr_assert_eq(try_file(fs, "missing"), -ENOENT);
    cr_assert_eq(try_file(fs, "sub/real"), 0);
    cr_assert_eq(try_dir(fs, ""), 0);
    cr_assert_eq(try_dir(fs, "sub"), 0);
    cr_assert_eq(fs->ops->stat(fs, "", &st), 0);
    cr_assert_eq(st.kind, HOST_DIRECTORY);
    cr_assert_eq(fs->ops->stat(fs, "link", &st), 0);
    cr_assert_eq(st.kind, HOST_SYMLINK);
}

Test(hostfs, the_root_is_never_left)
{
    g_autoptr(TempTree) t = temp_tree_new();

    check_root_is_never_left(t);
}

Test(hostfs, the_root_is_never_left_without_openat2)
{
    g_autoptr(TempTree) t = temp_tree_new();

    forbid_syscall(SYS_openat2, ENOSYS);
    check_root_is_never_left(t);
}

Test(hostfs, paths_longer_than_path_max_are_opened)
{
    g_autoptr(TempTree) t = temp_tree_new();
    g_autoptr(HostFs) fs = hostfs_posix_new(t->dir, NULL);
    g_autoptr(GString) path = g_string_new(NULL);

    cr_assert_eq(run_command(NULL,
                             "cd '%s' && for i in $(seq 500); do "
                             "mkdir 'some directory' && "
                             "cd -P 'some directory' || exit 1; "
                             "done; printf x >file",
                             t->dir),
                 0);
    for (unsigned i = 0; i < 500; i++) {
        g_string_append(path, "some directory/");
    }
    g_string_append(path, "file");
    cr_assert_gt(path->len, 4096);
    cr_assert_eq(try_file(fs, path->str), 0);
    g_string_append(path, "s");
    cr_assert_eq(try_file(fs, path->str), -ENOENT);
}

Test(hostfs, small_files_are_loaded_up_to_a_limit)
{
    g_autoptr(TempTree) t = temp_tree_new();
    g_autofree char *path = temp_tree_path(t, "code");
    g_autofree uint8_t *data = NULL;
    g_autoptr(GError) error = NULL;
    size_t bytes;

    temp_tree_pattern(t, "code", 512, 1);
    cr_assert(hostfs_load(path, 512, &data, &bytes, NULL));
    cr_assert_eq(bytes, 512);
    cr_assert_eq(data[511], pattern_byte(1, 511));
    cr_assert_not(hostfs_load(path, 511, &data, &bytes, &error));
    cr_assert_eq(error->code, EFBIG);
}
