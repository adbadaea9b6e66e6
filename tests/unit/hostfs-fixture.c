/* SPDX-License-Identifier: MIT */
#include "hostfs-fixture.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#define NOBODY 65534

TestHost test_host_new(void)
{
    TestHost host = { .t = temp_tree_new() };

    host.fs = hostfs_posix_new(host.t->dir, NULL);
    cr_assert_not_null(host.fs);
    return host;
}

void test_host_clear(TestHost *host)
{
    hostfs_free(host->fs);
    temp_tree_free(host->t);
}

void test_host_drop_root(TestHost *host)
{
    if (geteuid() == 0) {
        cr_assert_eq(run_command(NULL, "chown -R -h %d:%d '%s'", NOBODY,
                                 NOBODY, host->t->top),
                     0);
        cr_assert_eq(setresgid(NOBODY, NOBODY, NOBODY), 0);
        cr_assert_eq(setresuid(NOBODY, NOBODY, NOBODY), 0);
    }
}

void test_host_create(HostFs *fs, const char *path, const char *text)
{
    HostFile *file;
    int r = fs->ops->file_create(fs, path, 0666, &file);

    cr_assert_eq(r, 0, "%s: %d", path, r);
    cr_assert_eq(hostfs_write_full(fs, file, 0, text, strlen(text)), 0);
    fs->ops->file_close(fs, file);
}

char *test_host_text(HostFs *fs, const char *path)
{
    g_autofree char *text = NULL;
    IOVector iov;
    HostFile *file;
    HostStat st;

    if (fs->ops->file_open(fs, path, &file, &st) < 0) {
        return NULL;
    }
    text = g_malloc0((size_t)st.size + 1);
    iov_init_buf(&iov, text, (size_t)st.size);
    cr_assert_eq(hostfs_read_full(fs, file, 0, &iov, 0, (size_t)st.size), 0);
    fs->ops->file_close(fs, file);
    return g_steal_pointer(&text);
}

HostStat test_host_stat(HostFs *fs, const char *path)
{
    HostStat st;
    int r = fs->ops->stat(fs, path, &st);

    cr_assert_eq(r, 0, "%s: %d", path, r);
    return st;
}

bool test_host_exists(HostFs *fs, const char *path)
{
    HostStat st;
    int r = fs->ops->stat(fs, path, &st);

    cr_assert(r == 0 || r == -ENOENT, "%s: %d", path, r);
    return r == 0;
}
