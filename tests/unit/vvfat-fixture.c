/* SPDX-License-Identifier: MIT */
#include "vvfat-fixture.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <stdarg.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- Trees ---- */

TempTree *temp_tree_new(void)
{
    TempTree *t = g_new(TempTree, 1);

    t->top = g_dir_make_tmp("vvfat-test-XXXXXX", NULL);
    cr_assert_not_null(t->top);
    t->dir = g_build_filename(t->top, "tree", NULL);
    cr_assert_eq(mkdir(t->dir, 0755), 0);
    return t;
}

void temp_tree_free(TempTree *t)
{
    if (t) {
        run_command(NULL, "chmod -R u+rwx '%s'; rm -rf '%s'", t->top, t->top);
        g_free(t->dir);
        g_free(t->top);
        g_free(t);
    }
}

char *temp_tree_path(const TempTree *t, const char *name)
{
    return g_build_filename(t->dir, name, NULL);
}

char *temp_tree_beside(const TempTree *t, const char *name)
{
    return g_build_filename(t->top, name, NULL);
}

/* The path of a name, once the directories above it are there. */
static char *place(const TempTree *t, const char *name)
{
    char *path = temp_tree_path(t, name);
    g_autofree char *parent = g_path_get_dirname(path);

    cr_assert_eq(g_mkdir_with_parents(parent, 0755), 0, "%s", parent);
    return path;
}

void temp_tree_write(const TempTree *t, const char *name, const void *data,
                     size_t bytes)
{
    g_autofree char *path = place(t, name);

    /* In place: a new file may get the inode number of the old one, or not,
     * as others in the system make files meanwhile. */
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC,
                  0644);

    cr_assert_geq(fd, 0, "%s", path);
    cr_assert_eq(write(fd, data, bytes), (ssize_t)bytes, "%s", path);
    close(fd);
}

void temp_tree_text(const TempTree *t, const char *name, const char *text)
{
    temp_tree_write(t, name, text, strlen(text));
}

uint8_t pattern_byte(uint32_t seed, uint64_t offset)
{
    uint64_t x = (offset + 1) * 0x9e3779b97f4a7c15u + seed;

    return (uint8_t)((x ^ x >> 29) >> 11);
}

void temp_tree_pattern(const TempTree *t, const char *name, size_t bytes,
                       uint32_t seed)
{
    g_autofree uint8_t *data = g_malloc(bytes);

    for (size_t i = 0; i < bytes; i++) {
        data[i] = pattern_byte(seed, i);
    }
    temp_tree_write(t, name, data, bytes);
}

void temp_tree_sparse(const TempTree *t, const char *name, int64_t bytes)
{
    g_autofree char *path = place(t, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    cr_assert_geq(fd, 0);
    cr_assert_eq(ftruncate(fd, bytes), 0);
    close(fd);
}

void temp_tree_mkdir(const TempTree *t, const char *name)
{
    g_autofree char *path = place(t, name);

    cr_assert_eq(mkdir(path, 0755), 0, "%s", path);
}

void temp_tree_link(const TempTree *t, const char *name, const char *target)
{
    g_autofree char *path = place(t, name);

    cr_assert_eq(symlink(target, path), 0, "%s", path);
}

void temp_tree_time(const TempTree *t, const char *name, int64_t seconds)
{
    g_autofree char *path = temp_tree_path(t, name);
    struct timespec times[2] = { { .tv_sec = seconds },
                                 { .tv_sec = seconds } };

    cr_assert_eq(utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW), 0);
}

/* ---- Disks ---- */

static Codepage *default_codepage;

ScanOptions scan_options_default(void)
{
    if (!default_codepage) {
        default_codepage = codepage_new(CODEPAGE_DEFAULT, NULL);
    }
    return (ScanOptions){
        .hidden = true,
        .utc = true,
        .clamp_time = INT64_MAX,
        .codepage = default_codepage,
    };
}

LayoutRequest layout_request_default(void)
{
    LayoutRequest request = { .volume_id = BOOT_VOLUME_ID_DEFAULT };

    memcpy(request.label, "QEMU VVFAT ", FAT_SHORT_NAME_SIZE);
    return request;
}

TestDisk *test_disk_try(HostFs *fs, const ScanOptions *scan,
                        const LayoutRequest *request, GError **errp)
{
    g_autoptr(TestDisk) disk = g_new0(TestDisk, 1);
    ScanOptions usual_scan = scan_options_default();
    LayoutRequest usual_request = layout_request_default();
    Tree *tree;

    disk->fs = fs;
    disk->report = report_new();
    tree = scan_directory(fs, scan ? scan : &usual_scan, disk->report, errp);
    if (!tree) {
        return NULL;
    }
    disk->layout = layout_new(tree, request ? request : &usual_request, errp);
    if (!disk->layout) {
        return NULL;
    }
    disk->reader = disk_reader_new(disk->layout, fs);
    return g_steal_pointer(&disk);
}

TestDisk *test_disk_new(const TempTree *t, const LayoutRequest *request)
{
    g_autoptr(GError) error = NULL;
    HostFs *fs = hostfs_posix_new(t->dir, &error);
    TestDisk *disk = fs ? test_disk_try(fs, NULL, request, &error) : NULL;

    cr_assert_not_null(disk, "%s", error->message);
    return disk;
}

void test_disk_free(TestDisk *disk)
{
    if (disk) {
        disk_reader_free(disk->reader);
        layout_free(disk->layout);
        report_free(disk->report);
        hostfs_free(disk->fs);
        g_free(disk);
    }
}

int test_disk_read(TestDisk *disk, int64_t offset, size_t bytes, void *buf)
{
    IOVector iov;

    iov_init_buf(&iov, buf, bytes);
    return disk_reader_preadv(disk->reader, offset, &iov);
}

void test_disk_save(TestDisk *disk, const char *filename, bool volume_alone)
{
    const Geometry *g = layout_geometry(disk->layout);
    int64_t start = volume_alone ? (int64_t)g->volume_start * SECTOR_SIZE : 0;
    int64_t end = volume_alone
                      ? start + (int64_t)g->volume_sectors * SECTOR_SIZE
                      : layout_disk_bytes(disk->layout);
    g_autofree uint8_t *buf = g_malloc(1 << 20);
    int fd = open(filename, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    cr_assert_geq(fd, 0);
    cr_assert_eq(ftruncate(fd, end - start), 0);
    for (int64_t at = start; at < end;) {
        DiskExtent extent;

        cr_assert_eq(disk_reader_extent(disk->reader, at,
                                        MIN(end - at, 1 << 20), true, &extent),
                     0);
        cr_assert_gt(extent.bytes, 0);
        if (!extent.is_zero) {
            cr_assert_eq(test_disk_read(disk, at, (size_t)extent.bytes, buf),
                         0);
            cr_assert_eq(pwrite(fd, buf, (size_t)extent.bytes, at - start),
                         extent.bytes);
        }
        at += extent.bytes;
    }
    close(fd);
}

/* ---- Reports ---- */

static int compare_lines(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

char *report_text(const Report *report)
{
    g_autoptr(Options) opts = options_new();
    g_autoptr(GPtrArray) lines = g_ptr_array_new_with_free_func(g_free);

    report_to_options(report, opts);
    for (unsigned i = 0; i < report_count(report); i++) {
        const char *part[3];
        const char *const names[] = { "kind", "path", "detail" };

        for (int n = 0; n < 3; n++) {
            g_autofree char *key = g_strdup_printf("report.%u.%s", i,
                                                   names[n]);

            part[n] = options_get(opts, key);
            cr_assert_not_null(part[n]);
        }
        g_ptr_array_add(
            lines, g_strdup_printf("%s %s: %s", part[0], part[1], part[2]));
    }
    g_ptr_array_sort(lines, compare_lines);
    g_ptr_array_add(lines, NULL);
    return g_strjoinv("\n", (char **)lines->pdata);
}

/* ---- Programs ---- */

int run_command(char **output, const char *fmt, ...)
{
    g_autofree char *command = NULL;
    g_autofree char *line = NULL;
    g_autofree char *out = NULL;
    char *argv[] = { (char *)"/bin/sh", (char *)"-c", NULL, NULL };
    int status = -1;
    va_list args;

    va_start(args, fmt);
    command = g_strdup_vprintf(fmt, args);
    va_end(args);
    line = g_strdup_printf("export PATH=\"$PATH:/usr/sbin:/sbin\"; "
                           "export MTOOLS_SKIP_CHECK=1 LC_ALL=C.UTF-8; "
                           "exec 2>&1; %s",
                           command);
    argv[2] = line;
    cr_assert(g_spawn_sync(NULL, argv, NULL, G_SPAWN_DEFAULT, NULL, NULL, &out,
                           NULL, &status, NULL));
    if (output) {
        *output = g_steal_pointer(&out);
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void need_program(const char *program)
{
    if (run_command(NULL, "command -v %s", program) != 0) {
        cr_skip_test("%s is not installed", program);
    }
}
