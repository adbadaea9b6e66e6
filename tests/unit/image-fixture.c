/* SPDX-License-Identifier: MIT */
#include "tests/unit/image-fixture.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

char image_dir[64];

void image_dir_init(void)
{
    strcpy(image_dir, "/var/tmp/vvfat-test-XXXXXX");
    cr_assert_not_null(mkdtemp(image_dir));
}

void image_dir_fini(void)
{
    int status;

    g_free(image_shell(&status, "umount -q */ 2>/dev/null; true"));
    g_free(image_shell(&status, "cd / && rm -rf --one-file-system '%s'",
                       image_dir));
}

char *image_path(const char *name)
{
    return g_strconcat(image_dir, "/", name, NULL);
}

char *image_shell(int *status, const char *fmt, ...)
{
    va_list ap;
    char *output = NULL;

    va_start(ap, fmt);
    g_autofree char *command = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    g_autofree char *line = g_strdup_printf("cd '%s' && { %s; } 2>&1",
                                            image_dir, command);
    const char *argv[] = { "/bin/sh", "-c", line, NULL };
    cr_assert(g_spawn_sync(NULL, (char **)argv, NULL, 0, NULL, NULL, &output,
                           NULL, status, NULL));
    *status = WIFEXITED(*status) ? WEXITSTATUS(*status) : -1;
    return output;
}

/* ---- File systems and devices ---- */

/* Mounts of a test vanish with its process. */
static bool own_mounts(void)
{
    static bool done;

    if (!done && unshare(CLONE_NEWNS) == 0 &&
        mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) == 0) {
        done = true;
    }
    return done;
}

static bool cannot(const char *what, const char *why)
{
    cr_log_warn("cannot %s here: %s", what, why);
    return false;
}

bool image_mount_tmpfs(const char *name, const char *options)
{
    g_autofree char *path = image_path(name);

    if (!own_mounts()) {
        return cannot("mount", "not privileged");
    }
    (void)mkdir(path, 0755);
    unsigned long flags = strstr(options, "ro") ? MS_RDONLY : 0;
    if (mount("tmpfs", path, "tmpfs", flags, flags ? "" : options) < 0) {
        return cannot("mount tmpfs", g_strerror(errno));
    }
    return true;
}

bool image_mount_loop(const char *name, const char *mkfs)
{
    int status;

    if (!own_mounts()) {
        return cannot("mount", "not privileged");
    }
    g_autofree char *output = image_shell(
        &status,
        "PATH=$PATH:/sbin:/usr/sbin; mkdir %s && truncate -s 512M %s.fs && "
        "%s %s.fs && mount -o loop %s.fs %s",
        name, name, mkfs, name, name, name);
    return status == 0 || cannot(mkfs, output);
}

char *image_loop_new(const char *name, unsigned mib)
{
    int status;
    char *output = image_shell(&status,
                               "PATH=$PATH:/sbin:/usr/sbin; truncate -s %uM "
                               "%s && losetup -f --show %s",
                               mib, name, name);

    if (status != 0) {
        cannot("make a loop device", output);
        g_free(output);
        return NULL;
    }
    return g_strchomp(output);
}

void image_loop_free(char *device)
{
    int status;

    g_free(image_shell(&status, "PATH=$PATH:/sbin:/usr/sbin; losetup -d %s",
                       device));
    g_free(device);
}

/* ---- Host files ---- */

void image_pattern(uint8_t *buf, size_t bytes, int seed, int64_t from)
{
    for (size_t i = 0; i < bytes; i++) {
        buf[i] = (uint8_t)((((uint64_t)from + i) * 7 + (uint64_t)seed) % 251);
    }
}

bool image_pattern_is(const uint8_t *buf, size_t bytes, int seed, int64_t from)
{
    g_autofree uint8_t *expected = g_malloc(bytes);

    image_pattern(expected, bytes, seed, from);
    return bytes == 0 || memcmp(buf, expected, bytes) == 0;
}

void image_make(const char *name, int64_t bytes, int seed)
{
    g_autofree char *path = image_path(name);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);

    cr_assert_geq(fd, 0, "%s: %s", path, g_strerror(errno));
    if (seed < 0) {
        cr_assert_eq(ftruncate(fd, bytes), 0);
    } else {
        g_autofree uint8_t *buf = g_malloc((size_t)bytes);
        image_pattern(buf, (size_t)bytes, seed, 0);
        for (int64_t done = 0; done < bytes;) { /* a test may shorten writes */
            ssize_t n = pwrite(fd, buf + done, (size_t)(bytes - done), done);
            cr_assert_gt(n, 0, "%s: %s", path, g_strerror(errno));
            done += n;
        }
    }
    cr_assert_eq(close(fd), 0);
}

static uint8_t *host_bytes(const char *name, int64_t offset, int64_t bytes)
{
    g_autofree char *path = image_path(name);
    uint8_t *buf = g_malloc((size_t)bytes);
    int fd = open(path, O_RDONLY);

    cr_assert_geq(fd, 0, "%s: %s", path, g_strerror(errno));
    cr_assert_eq(pread(fd, buf, (size_t)bytes, offset), bytes);
    close(fd);
    return buf;
}

bool image_holds(const char *name, int64_t offset, int64_t bytes, int seed,
                 int64_t from)
{
    g_autofree uint8_t *buf = host_bytes(name, offset, bytes);

    return image_pattern_is(buf, (size_t)bytes, seed, from);
}

bool image_is_zero(const char *name, int64_t offset, int64_t bytes)
{
    g_autofree uint8_t *buf = host_bytes(name, offset, bytes);

    for (int64_t i = 0; i < bytes; i++) {
        if (buf[i] != 0) {
            return false;
        }
    }
    return true;
}

bool image_is_hole(const char *name, int64_t offset, int64_t bytes)
{
    g_autofree char *path = image_path(name);
    int fd = open(path, O_RDONLY);

    cr_assert_geq(fd, 0);
    off_t data = lseek(fd, offset, SEEK_DATA);
    close(fd);
    return data < 0 || data >= offset + bytes;
}

static struct stat host_stat(const char *name)
{
    g_autofree char *path = image_path(name);
    struct stat st;

    cr_assert_eq(stat(path, &st), 0, "%s: %s", path, g_strerror(errno));
    return st;
}

int64_t image_size(const char *name)
{
    return host_stat(name).st_size;
}

int64_t image_allocated(const char *name)
{
    return (int64_t)host_stat(name).st_blocks * 512;
}

bool image_exists(const char *name)
{
    g_autofree char *path = image_path(name);

    return g_file_test(path, G_FILE_TEST_EXISTS);
}

/* ---- Images ---- */

static char *with_dir(const char *text)
{
    g_auto(GStrv) parts = g_strsplit(text, "%D", -1);

    return g_strjoinv(image_dir, parts);
}

static BlockBackend *try_open(unsigned flags, const char *text, GError **errp)
{
    g_autoptr(Options) options = options_new();
    g_autofree char *full = with_dir(text);

    cr_assert(options_parse_keyval(options, full, NULL, NULL), "%s", full);
    return blk_open(NULL, options, flags, errp);
}

BlockBackend *image_open(unsigned flags, const char *options)
{
    g_autoptr(GError) error = NULL;
    BlockBackend *blk = try_open(flags, options, &error);

    cr_assert_not_null(blk, "%s: %s", options, error ? error->message : "?");
    return blk;
}

char *image_open_error(unsigned flags, const char *options)
{
    g_autoptr(GError) error = NULL;
    BlockBackend *blk = try_open(flags, options, &error);

    cr_assert_null(blk, "%s was opened", options);
    cr_assert_not_null(error, "%s: no error", options);
    return g_strdup(error->message);
}

BlockBackend *image_open_name(unsigned flags, const char *name)
{
    g_autofree char *full = with_dir(name);
    g_autoptr(GError) error = NULL;
    BlockBackend *blk = blk_open(full, NULL, flags, &error);

    cr_assert_not_null(blk, "%s: %s", full, error ? error->message : "?");
    return blk;
}

void image_check_text(const char *text, const char *part)
{
    cr_assert_not_null(text, "no text, where '%s' was expected", part);
    cr_assert(strstr(text, part) != NULL, "'%s' is not in '%s'", part, text);
}

void image_check_io(int ret, int expected, const char *part)
{
    cr_assert_eq(ret, expected, "%d (%s), not %d", ret, g_strerror(-ret),
                 expected);
    g_autofree char *text = blk_strerror(ret);
    image_check_text(text, part);
}

void image_need_program(const char *name)
{
    g_autofree char *path = g_find_program_in_path(name);

    if (path == NULL) {
        cr_skip_test("needs %s", name);
    }
}
