/* SPDX-License-Identifier: MIT */
/* What changes names and contents on the host's file system. */
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fault-syscall.h"
#include "forbid-syscall.h"
#include "hostfs-fixture.h"

static void assert_text(HostFs *fs, const char *path, const char *text)
{
    g_autofree char *found = test_host_text(fs, path);

    cr_assert_str_eq(found ? found : "(none)", text, "%s", path);
}

/* ---- Names ---- */

Test(hostfs_write, names_are_made_and_removed)
{
    g_auto(TestHost) host = test_host_new();
    HostFs *fs = host.fs;

    umask(027);
    cr_assert_eq(fs->ops->mkdir(fs, "dir", 0777), 0);
    cr_assert_eq(test_host_stat(fs, "dir").mode, 0750);
    cr_assert_eq(fs->ops->mkdir(fs, "dir", 0777), -EEXIST);
    cr_assert_eq(fs->ops->mkdir(fs, "no/dir", 0777), -ENOENT);
    test_host_create(fs, "dir/file", "x");
    cr_assert_eq(test_host_stat(fs, "dir/file").mode, 0640);
    cr_assert_eq(fs->ops->rmdir(fs, "dir"), -ENOTEMPTY);
    cr_assert_eq(fs->ops->unlink(fs, "dir"), -EISDIR);
    cr_assert_eq(fs->ops->rmdir(fs, "dir/file"), -ENOTDIR);
    cr_assert_eq(fs->ops->unlink(fs, "dir/file"), 0);
    cr_assert_eq(fs->ops->unlink(fs, "dir/file"), -ENOENT);
    cr_assert_eq(fs->ops->rmdir(fs, "dir"), 0);
    cr_assert_not(test_host_exists(fs, "dir"));
}

Test(hostfs_write, what_is_no_name_is_refused)
{
    g_auto(TestHost) host = test_host_new();
    HostFs *fs = host.fs;
    static const char *const none[] = { "", ".", "..", "d/", "d/.", "d/.." };
    HostFile *file;

    cr_assert_eq(fs->ops->mkdir(fs, "d", 0777), 0);
    for (size_t i = 0; i < G_N_ELEMENTS(none); i++) {
        cr_assert_eq(fs->ops->mkdir(fs, none[i], 0777), -EINVAL);
        cr_assert_eq(fs->ops->rmdir(fs, none[i]), -EINVAL);
        cr_assert_eq(fs->ops->unlink(fs, none[i]), -EINVAL);
        cr_assert_eq(fs->ops->rename(fs, none[i], "e", 0), -EINVAL);
        cr_assert_eq(fs->ops->rename(fs, "d", none[i], 0), -EINVAL);
        cr_assert_eq(fs->ops->file_create(fs, none[i], 0666, &file), -EINVAL);
    }
    cr_assert_lt(fs->ops->mkdir(fs, "../e", 0777), 0);
    cr_assert_eq(fs->ops->mkdir(fs, "/e", 0777), -EINVAL);
    cr_assert_eq(fs->ops->mkdir(fs, "d//e", 0777), -EINVAL);
}

/* The inode numbers tell that things moved and were not copied. */
static void check_rename(HostFs *fs)
{
    uint64_t ino, other;

    test_host_create(fs, "a", "1");
    test_host_create(fs, "b", "2");
    cr_assert_eq(fs->ops->mkdir(fs, "d", 0777), 0);
    cr_assert_eq(fs->ops->mkdir(fs, "e", 0777), 0);
    ino = test_host_stat(fs, "a").ino;

    cr_assert_eq(fs->ops->rename(fs, "a", "b", HOST_RENAME_NOREPLACE),
                 -EEXIST);
    cr_assert_eq(fs->ops->rename(fs, "a", "d", HOST_RENAME_NOREPLACE),
                 -EEXIST);
    cr_assert_eq(fs->ops->rename(fs, "d", "e", HOST_RENAME_NOREPLACE),
                 -EEXIST);
    cr_assert_eq(fs->ops->rename(fs, "no", "f", HOST_RENAME_NOREPLACE),
                 -ENOENT);
    cr_assert_eq(fs->ops->rename(fs, "d", "d/d", HOST_RENAME_NOREPLACE),
                 -EINVAL);
    cr_assert_eq(fs->ops->rename(fs, "a", "d/c", HOST_RENAME_NOREPLACE), 0);
    cr_assert_eq(test_host_stat(fs, "d/c").ino, ino);
    cr_assert_eq(test_host_stat(fs, "d/c").nlink, 1);
    cr_assert_not(test_host_exists(fs, "a"));

    other = test_host_stat(fs, "d").ino;
    cr_assert_eq(fs->ops->rename(fs, "d", "e/d", HOST_RENAME_NOREPLACE), 0);
    cr_assert_eq(test_host_stat(fs, "e/d").ino, other);

    cr_assert_eq(fs->ops->rename(fs, "e/d/c", "b", 0), 0);
    cr_assert_eq(test_host_stat(fs, "b").ino, ino);
    assert_text(fs, "b", "1");
    cr_assert_eq(fs->ops->rename(fs, "b", "e", 0), -EISDIR);
}

Test(hostfs_write, names_are_moved)
{
    g_auto(TestHost) host = test_host_new();

    check_rename(host.fs);
}

Test(hostfs_write, names_are_moved_without_renameat2)
{
    g_auto(TestHost) host = test_host_new();

    forbid_syscall(SYS_renameat2, EINVAL);
    check_rename(host.fs);
    test_host_create(host.fs, "x", "x");
    cr_assert_eq(host.fs->ops->rename(host.fs, "x", "b", HOST_RENAME_EXCHANGE),
                 -ENOTSUP);
}

Test(hostfs_write, names_are_moved_where_there_are_no_links)
{
    g_auto(TestHost) host = test_host_new();

    forbid_syscall(SYS_renameat2, EINVAL);
    forbid_syscall(SYS_linkat, EPERM);
    check_rename(host.fs);
}

Test(hostfs_write, names_are_exchanged)
{
    g_auto(TestHost) host = test_host_new();
    HostFs *fs = host.fs;
    int r;

    test_host_create(fs, "a", "1");
    cr_assert_eq(fs->ops->mkdir(fs, "d", 0777), 0);
    test_host_create(fs, "d/b", "2");
    r = fs->ops->rename(fs, "a", "d/b", HOST_RENAME_EXCHANGE);
    if (r == -ENOTSUP) {
        cr_skip_test("the file system does not exchange names");
    }
    cr_assert_eq(r, 0);
    assert_text(fs, "a", "2");
    assert_text(fs, "d/b", "1");
    cr_assert_eq(fs->ops->rename(fs, "a", "c", HOST_RENAME_EXCHANGE), -ENOENT);
    cr_assert_eq(fs->ops->rename(fs, "d/b", "d", HOST_RENAME_EXCHANGE),
                 -EINVAL);
}

/* ---- Contents ---- */

Test(hostfs_write, a_new_file_is_new)
{
    g_auto(TestHost) host = test_host_new();
    HostFs *fs = host.fs;
    HostFile *file;

    test_host_create(fs, "file", "text");
    temp_tree_link(host.t, "link", "nowhere");
    cr_assert_eq(fs->ops->file_create(fs, "file", 0666, &file), -EEXIST);
    cr_assert_eq(fs->ops->file_create(fs, "link", 0666, &file), -EEXIST);
    cr_assert_eq(fs->ops->file_create(fs, "no/file", 0666, &file), -ENOENT);
    cr_assert_not(test_host_exists(fs, "nowhere"));
    assert_text(fs, "file", "text");
}

static void make_socket(const TempTree *t, const char *name)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    g_autofree char *path = temp_tree_path(t, name);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    g_strlcpy(address.sun_path, path, sizeof(address.sun_path));
    cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    close(fd);
}

Test(hostfs_write, an_existing_file_is_opened_as_it_is)
{
    g_auto(TestHost) host = test_host_new();
    g_autofree char *fifo = temp_tree_path(host.t, "fifo");
    HostFs *fs = host.fs;
    HostFile *file;
    HostStat st;

    temp_tree_text(host.t, "file", "some text");
    temp_tree_link(host.t, "link", "file");
    make_socket(host.t, "socket");
    cr_assert_eq(mkfifo(fifo, 0666), 0);

    cr_assert_eq(fs->ops->file_open_rw(fs, "", &file, &st), -EINVAL);
    cr_assert_eq(fs->ops->file_open_rw(fs, "fifo", &file, &st), -EINVAL);
    cr_assert_eq(fs->ops->file_open_rw(fs, "socket", &file, &st), -EINVAL);
    cr_assert_eq(fs->ops->file_open_rw(fs, "link", &file, &st), -ELOOP);
    cr_assert_eq(fs->ops->file_open_rw(fs, "none", &file, &st), -ENOENT);
    cr_assert_eq(fs->ops->file_open_rw(fs, "file", &file, &st), 0);
    cr_assert_eq(st.size, 9);
    cr_assert(st.writable);
    cr_assert_eq(hostfs_write_full(fs, file, 5, "TEXT", 4), 0);
    cr_assert_eq(fs->ops->file_truncate(fs, file, 8), 0);
    cr_assert_eq(fs->ops->file_stat(fs, file, &st), 0);
    cr_assert_eq(st.size, 8);
    fs->ops->file_close(fs, file);
    assert_text(fs, "file", "some TEX");
}

Test(hostfs_write, writing_goes_on_where_it_stopped)
{
    g_auto(TestHost) host = test_host_new();
    HostFs *fs = host.fs;
    HostFile *file;

    fault_short_io(3);
    test_host_create(fs, "file", "more than three bytes");
    fault_short_io(0);
    assert_text(fs, "file", "more than three bytes");

    cr_assert_eq(fs->ops->file_create(fs, "other", 0666, &file), 0);
    fault_arm(FAULT_PWRITEV, 0, 1, ENOSPC);
    cr_assert_eq(hostfs_write_full(fs, file, 0, "x", 1), -ENOSPC);
    fs->ops->file_close(fs, file);
}

Test(hostfs_write, room_is_allocated_and_the_size_stays)
{
    g_auto(TestHost) host = test_host_new();
    HostFs *fs = host.fs;
    HostFile *file;
    HostStat st;
    int r;

    cr_assert_eq(fs->ops->file_create(fs, "file", 0666, &file), 0);
    cr_assert_eq(fs->ops->file_allocate(fs, file, 0, 0), 0);
    r = fs->ops->file_allocate(fs, file, 0, 1 << 20);
    cr_assert(r == 0 || r == -ENOTSUP);
    cr_assert_eq(fs->ops->file_stat(fs, file, &st), 0);
    cr_assert_eq(st.size, 0);
    fault_arm(FAULT_FALLOCATE, 0, 1, EOPNOTSUPP);
    cr_assert_eq(fs->ops->file_allocate(fs, file, 0, 4096), -ENOTSUP);
    fs->ops->file_close(fs, file);
}

static void open_two(const TestHost *host, HostFile **in, HostFile **out)
{
    HostStat st;

    temp_tree_pattern(host->t, "in", 300000, 7);
    cr_assert_eq(host->fs->ops->file_open(host->fs, "in", in, &st), 0);
    cr_assert_eq(host->fs->ops->file_create(host->fs, "out", 0666, out), 0);
}

Test(hostfs_write, ranges_are_copied_in_the_kernel)
{
    g_auto(TestHost) host = test_host_new();
    g_autofree uint8_t *data = g_malloc(200000);
    HostFs *fs = host.fs;
    HostFile *in, *out;
    IOVector iov;
    int r;

    open_two(&host, &in, &out);
    r = fs->ops->file_copy(fs, in, 1234, out, 5, 200000);
    if (r == -ENOTSUP) {
        cr_skip_test("the file system does not copy ranges");
    }
    cr_assert_eq(r, 0);
    iov_init_buf(&iov, data, 200000);
    cr_assert_eq(hostfs_read_full(fs, out, 5, &iov, 0, 200000), 0);
    for (size_t i = 0; i < 200000; i++) {
        cr_assert_eq(data[i], pattern_byte(7, 1234 + i), "%zu", i);
    }
    cr_assert_eq(fs->ops->file_copy(fs, in, 299999, out, 0, 2), -ENODATA);
    cr_assert_eq(fs->ops->file_copy(fs, in, 0, out, 0, 0), 0);
    fault_short_io(1000);
    cr_assert_eq(fs->ops->file_copy(fs, in, 1, out, 0, 4500), 0);
    fault_short_io(0);
    fs->ops->file_close(fs, in);
    fs->ops->file_close(fs, out);
}

Test(hostfs_write, a_kernel_that_does_not_copy_says_so)
{
    static const int errors[] = { EXDEV, EINVAL, ENOSYS, EOPNOTSUPP, 0 };
    g_auto(TestHost) host = test_host_new();
    HostFs *fs = host.fs;
    HostFile *in, *out;

    open_two(&host, &in, &out);
    for (size_t i = 0; i < G_N_ELEMENTS(errors); i++) {
        fault_arm(FAULT_COPY_FILE_RANGE, 0, 1, errors[i]);
        cr_assert_eq(fs->ops->file_copy(fs, in, 0, out, 1, 10), -ENOTSUP);
    }
    fault_arm(FAULT_COPY_FILE_RANGE, 0, 1, ENOSPC);
    cr_assert_eq(fs->ops->file_copy(fs, in, 0, out, 1, 10), -ENOSPC);
    fs->ops->file_close(fs, in);
    fs->ops->file_close(fs, out);
}

/* ---- Durable; the whole ---- */

Test(hostfs_write, everything_can_be_made_durable)
{
    g_auto(TestHost) host = test_host_new();
    HostFs *fs = host.fs;
    HostFile *file;
    HostStat st;

    cr_assert_eq(fs->ops->mkdir(fs, "d", 0777), 0);
    test_host_create(fs, "d/f", "x");
    cr_assert_eq(fs->ops->file_open_rw(fs, "d/f", &file, &st), 0);
    cr_assert_eq(fs->ops->file_sync(fs, file), 0);
    fs->ops->file_close(fs, file);
    cr_assert_eq(fs->ops->dir_sync(fs, "d"), 0);
    cr_assert_eq(fs->ops->dir_sync(fs, ""), 0);
    cr_assert_eq(fs->ops->dir_sync(fs, "d/f"), -ENOTDIR);
    cr_assert_eq(fs->ops->dir_sync(fs, "e"), -ENOENT);
    cr_assert_eq(fs->ops->sync_fs(fs), 0);
}

Test(hostfs_write, the_room_is_told)
{
    g_auto(TestHost) host = test_host_new();
    HostSpace space;

    cr_assert_eq(host.fs->ops->space(host.fs, &space), 0);
    cr_assert_gt(space.total, 0);
    cr_assert_leq(space.free, space.total);
}

Test(hostfs_write, one_writer_at_a_time)
{
    g_auto(TestHost) host = test_host_new();
    HostFs *other = hostfs_posix_new(host.t->dir, NULL);

    cr_assert_eq(other->ops->lock(other), 0);
    cr_assert_eq(other->ops->lock(other), 0);
    cr_assert_eq(host.fs->ops->lock(host.fs), -EWOULDBLOCK);
    hostfs_free(other);
    cr_assert_eq(host.fs->ops->lock(host.fs), 0);
}

/* Any thread may start a program: for a moment there is a process that has all
 * descriptors, and with them the lock. */
Test(hostfs_write, a_process_being_started_keeps_no_lock)
{
    g_auto(TestHost) host = test_host_new();
    HostFs *other = hostfs_posix_new(host.t->dir, NULL);
    int done[2];
    char byte;
    pid_t pid;

    cr_assert_eq(pipe(done), 0);
    cr_assert_eq(other->ops->lock(other), 0);
    pid = fork();
    if (pid == 0) {
        close(done[1]);
        (void)!read(done[0], &byte, 1);
        _exit(0);
    }
    hostfs_free(other);
    cr_assert_eq(host.fs->ops->lock(host.fs), 0);
    close(done[1]);
    cr_assert_eq(waitpid(pid, NULL, 0), pid);
}
