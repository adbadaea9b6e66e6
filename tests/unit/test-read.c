/* SPDX-License-Identifier: MIT */
/* Reading: bytes, vectors, holes, files that change, faults, the cache. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "block/vvfat/open-files.h"
#include "fault-hostfs.h"
#include "vvfat-fixture.h"

static const TreeNode *file_node(TestDisk *disk, const char *path,
                                 int64_t *offset)
{
    const TreeNode *node = tree_lookup(layout_tree(disk->layout), path);

    cr_assert_not_null(node, "%s", path);
    *offset = geometry_cluster_offset(layout_geometry(disk->layout),
                                      chain_first(&node->chain));
    return node;
}

static void check_pattern(const uint8_t *buf, size_t bytes, uint32_t seed,
                          uint64_t offset)
{
    for (size_t i = 0; i < bytes; i++) {
        cr_assert_eq(buf[i], pattern_byte(seed, offset + i), "at %zu", i);
    }
}

Test(read, files_come_back_with_zeroes_behind_them)
{
    g_autoptr(TempTree) t = temp_tree_new();
    g_autoptr(TestDisk) disk = NULL;
    uint8_t buf[16384];
    int64_t offset;

    temp_tree_pattern(t, "a", 10000, 7);
    disk = test_disk_new(t, NULL);
    file_node(disk, "a", &offset);
    memset(buf, 0xee, sizeof(buf));
    cr_assert_eq(test_disk_read(disk, offset, sizeof(buf), buf), 0);
    check_pattern(buf, 10000, 7, 0);
    for (size_t i = 10000; i < sizeof(buf); i++) {
        cr_assert_eq(buf[i], 0);
    }
    cr_assert_eq(test_disk_read(disk, offset + 4097, 1000, buf), 0);
    check_pattern(buf, 1000, 7, 4097);
}

/* A whole small disk, and the same through vectors of odd pieces. */
Test(read, any_vector_gives_the_same_bytes)
{
    g_autoptr(TempTree) t = temp_tree_new();
    LayoutRequest request = layout_request_default();
    const size_t total = 1440 * 1024;
    g_autofree uint8_t *whole = g_malloc(total);
    g_autofree uint8_t *part = g_malloc(total);
    g_autoptr(GRand) rand = g_rand_new_with_seed(42);
    g_autoptr(TestDisk) disk = NULL;

    for (unsigned i = 0; i < 100; i++) {
        g_autofree char *name = g_strdup_printf("dir%u/file%u", i % 7, i);

        temp_tree_pattern(t, name, i * 37, i);
    }
    request.geometry.floppy = true;
    request.geometry.fat_type = 12;
    disk = test_disk_new(t, &request);
    cr_assert_eq(test_disk_read(disk, 0, total, whole), 0);
    for (unsigned round = 0; round < 300; round++) {
        size_t start = (size_t)g_rand_int_range(rand, 0, total - 200000);
        size_t done = 0;
        g_auto(IOVector) iov;

        iov_init(&iov);
        for (unsigned i = 0; i < 30; i++) {
            size_t n = (size_t)g_rand_int_range(rand, 1, 6000);

            iov_add(&iov, part + done, n);
            done += n;
        }
        cr_assert_eq(disk_reader_preadv(disk->reader, (int64_t)start, &iov),
                     0);
        cr_assert_arr_eq(part, whole + start, done);
    }
}

Test(read, vectors_longer_than_the_kernel_takes_are_cut)
{
    g_autoptr(TempTree) t = temp_tree_new();
    g_autofree uint8_t *buf = g_malloc(5000);
    g_autoptr(TestDisk) disk = NULL;
    g_auto(IOVector) iov;
    int64_t offset;

    temp_tree_pattern(t, "a", 5000, 3);
    disk = test_disk_new(t, NULL);
    file_node(disk, "a", &offset);
    iov_init(&iov);
    for (unsigned i = 0; i < 5000; i++) {
        iov_add(&iov, buf + i, 1);
    }
    cr_assert_eq(disk_reader_preadv(disk->reader, offset, &iov), 0);
    check_pattern(buf, 5000, 3, 0);
}

/* ---- Files that change ---- */

static void check_io_error(TestDisk *disk, int64_t offset)
{
    uint8_t buf[4096];

    cr_assert_eq(test_disk_read(disk, offset, sizeof(buf), buf), -EIO);
}

Test(read, a_file_that_vanished_is_an_error)
{
    g_autoptr(TempTree) t = temp_tree_new();
    g_autofree char *path = temp_tree_path(t, "a");
    g_autoptr(TestDisk) disk = NULL;
    int64_t offset;

    temp_tree_pattern(t, "a", 10000, 1);
    disk = test_disk_new(t, NULL);
    file_node(disk, "a", &offset);
    unlink(path);
    check_io_error(disk, offset);
    check_io_error(disk, offset);
}

Test(read, a_file_that_was_replaced_is_an_error)
{
    g_autoptr(TempTree) t = temp_tree_new();
    g_autofree char *path = temp_tree_path(t, "a");
    g_autofree char *other = temp_tree_path(t, "b");
    g_autoptr(TestDisk) disk = NULL;
    int64_t offset;

    temp_tree_pattern(t, "a", 10000, 1);
    temp_tree_pattern(t, "b", 10000, 2);
    disk = test_disk_new(t, NULL);
    file_node(disk, "a", &offset);
    cr_assert_eq(rename(other, path), 0);
    check_io_error(disk, offset);
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(symlink("/etc/passwd", path), 0);
    check_io_error(disk, offset);
}

Test(read, a_file_that_shrank_is_an_error_before_and_while_it_is_open)
{
    g_autoptr(TempTree) t = temp_tree_new();
    g_autofree char *path = temp_tree_path(t, "a");
    g_autoptr(TestDisk) disk = NULL;
    uint8_t buf[8192];
    int64_t offset;

    temp_tree_pattern(t, "a", 10000, 1);
    disk = test_disk_new(t, NULL);
    file_node(disk, "a", &offset);
    cr_assert_eq(test_disk_read(disk, offset, sizeof(buf), buf), 0);
    cr_assert_eq(truncate(path, 9000), 0);
    cr_assert_eq(test_disk_read(disk, offset + 8192, 4096, buf), -EIO);
    test_disk_free(disk);
    temp_tree_pattern(t, "a", 10000, 1);
    disk = test_disk_new(t, NULL);
    file_node(disk, "a", &offset);
    cr_assert_eq(truncate(path, 9999), 0);
    check_io_error(disk, offset);
}

Test(read, a_file_that_grew_reads_as_it_was_scanned)
{
    g_autoptr(TempTree) t = temp_tree_new();
    g_autofree char *path = temp_tree_path(t, "a");
    g_autoptr(TestDisk) disk = NULL;
    uint8_t buf[8192];
    int64_t offset;
    int fd;

    temp_tree_pattern(t, "a", 5000, 1);
    disk = test_disk_new(t, NULL);
    file_node(disk, "a", &offset);
    fd = open(path, O_WRONLY | O_APPEND);
    cr_assert_eq(write(fd, "more", 4), 4);
    close(fd);
    cr_assert_eq(test_disk_read(disk, offset, sizeof(buf), buf), 0);
    check_pattern(buf, 5000, 1, 0);
    cr_assert_arr_eq(buf + 5000, "\0\0\0\0", 4);
}

/* ---- Faults ---- */

Test(read, every_fault_is_a_clean_error_and_reading_goes_on)
{
    g_autoptr(TempTree) t = temp_tree_new();
    LayoutRequest request = layout_request_default();
    const size_t total = 1440 * 1024;
    g_autofree uint8_t *whole = g_malloc(total);
    g_autofree uint8_t *again = g_malloc(total);
    bool done = false;

    temp_tree_pattern(t, "a", 3000, 1);
    temp_tree_pattern(t, "d/b", 30000, 2);
    request.geometry.floppy = true;
    request.geometry.fat_type = 12;
    for (int k = 1; !done; k++) {
        FaultFs *f = fault_fs_new(hostfs_posix_new(t->dir, NULL));
        g_autoptr(TestDisk) disk = test_disk_try(&f->fs, NULL, &request, NULL);
        int r;

        f->calls = 0;
        f->fail_at = k;
        f->error = k % 2 ? -EIO : -ENOMEM;
        r = test_disk_read(disk, 0, total, again);
        done = f->calls < k;
        cr_assert(done ? r == 0 : r == -EIO || r == f->error, "call %d: %d", k,
                  r);
        f->fail_at = 0;
        cr_assert_eq(test_disk_read(disk, 0, total, again), 0);
        if (k == 1) {
            memcpy(whole, again, total);
        }
        cr_assert_arr_eq(whole, again, total);
        g_clear_pointer(&disk->reader, disk_reader_free);
        cr_assert_eq(f->n_open, 0);
    }
}

/* ---- The cache ---- */

static void make_files(const TempTree *t, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        g_autofree char *name = g_strdup_printf("file%u", i);

        temp_tree_pattern(t, name, 100, i);
    }
}

static void read_files(TestDisk *disk, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        g_autofree char *name = g_strdup_printf("file%u", i);
        uint8_t buf[100];
        int64_t offset;

        file_node(disk, name, &offset);
        cr_assert_eq(test_disk_read(disk, offset, 100, buf), 0);
        check_pattern(buf, 100, i, 0);
    }
}

Test(read, few_files_stay_open)
{
    g_autoptr(TempTree) t = temp_tree_new();
    FaultFs *f = fault_fs_new(hostfs_posix_new(t->dir, NULL));
    g_autoptr(TestDisk) disk = NULL;

    make_files(t, 300);
    disk = test_disk_try(&f->fs, NULL, NULL, NULL);
    read_files(disk, 300);
    cr_assert_leq(f->max_open, 129);
    cr_assert_eq(f->n_file_opens, 300);
    read_files(disk, 1);
    cr_assert_eq(f->n_file_opens, 301, "the oldest was closed");
    read_files(disk, 1);
    cr_assert_eq(f->n_file_opens, 301, "the newest was not");
}

Test(read, makes_do_with_few_descriptors)
{
    g_autoptr(TempTree) t = temp_tree_new();
    g_autoptr(TestDisk) disk = NULL;
    struct rlimit limit;

    make_files(t, 100);
    disk = test_disk_new(t, NULL);
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = 40;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    read_files(disk, 100);
}

typedef struct Reading {
    TestDisk *disk;
    int64_t offset;
    gint64 took;
} Reading;

static gpointer read_one(gpointer opaque)
{
    Reading *reading = opaque;
    gint64 start = g_get_monotonic_time();
    uint8_t buf[100];

    cr_assert_eq(test_disk_read(reading->disk, reading->offset, 100, buf), 0);
    reading->took = g_get_monotonic_time() - start;
    return NULL;
}

Test(read, one_file_is_opened_once_for_many_readers_and_nobody_else_waits)
{
    g_autoptr(TempTree) t = temp_tree_new();
    FaultFs *f = fault_fs_new(hostfs_posix_new(t->dir, NULL));
    g_autoptr(TestDisk) disk = NULL;
    Reading readings[8], other;
    GThread *threads[8];

    make_files(t, 2);
    disk = test_disk_try(&f->fs, NULL, NULL, NULL);
    other.disk = disk;
    file_node(disk, "file1", &other.offset);
    read_one(&other);
    f->open_delay = 300000;
    for (unsigned i = 0; i < 8; i++) {
        readings[i].disk = disk;
        file_node(disk, "file0", &readings[i].offset);
        threads[i] = g_thread_new("reader", read_one, &readings[i]);
    }
    g_usleep(50000);
    read_one(&other);
    cr_assert_lt(other.took, 200000);
    for (unsigned i = 0; i < 8; i++) {
        g_thread_join(threads[i]);
    }
    cr_assert_eq(f->n_file_opens, 2);
}

/* ---- Extents ---- */

Test(read, holes_of_sparse_files_are_seen_when_asked)
{
    g_autoptr(TempTree) t = temp_tree_new();
    g_autofree char *path = temp_tree_path(t, "sparse");
    g_autoptr(TestDisk) disk = NULL;
    DiskExtent extent;
    int64_t offset, size = INT64_C(0xffffffff), data = 0, zero = 0;
    int fd;

    temp_tree_sparse(t, "sparse", size);
    fd = open(path, O_WRONLY);
    cr_assert_eq(pwrite(fd, "data", 4, 1 << 30), 4);
    close(fd);
    disk = test_disk_new(t, NULL);
    file_node(disk, "sparse", &offset);

    cr_assert_eq(disk_reader_extent(disk->reader, offset, INT64_C(1) << 32,
                                    false, &extent),
                 0);
    cr_assert_not(extent.is_zero);
    cr_assert_eq(extent.bytes, size / 512 * 512);
    for (int64_t at = 0; at < size;) {
        cr_assert_eq(disk_reader_extent(disk->reader, offset + at,
                                        (size - at + 511) / 512 * 512, true,
                                        &extent),
                     0);
        cr_assert_eq(extent.bytes % 512, 0);
        cr_assert_eq(extent.file_offset, at);
        if (!extent.is_zero) {
            cr_assert(at <= 1 << 30 && at + extent.bytes > 1 << 30);
            data += extent.bytes;
        } else {
            zero += extent.bytes;
        }
        at += extent.bytes;
    }
    cr_assert_leq(data, 1 << 20);
    cr_assert_gt(data, 0);
    cr_assert_eq(data + zero, size + 1);
}

Test(read, a_sparse_file_that_shrank_has_no_holes)
{
    g_autoptr(TempTree) t = temp_tree_new();
    g_autofree char *path = temp_tree_path(t, "sparse");
    g_autoptr(TestDisk) disk = NULL;
    DiskExtent extent;
    int64_t offset;

    temp_tree_sparse(t, "sparse", 10 << 20);
    disk = test_disk_new(t, NULL);
    file_node(disk, "sparse", &offset);
    cr_assert_eq(disk_reader_extent(disk->reader, offset, 4096, true, &extent),
                 0);
    cr_assert(extent.is_zero);
    cr_assert_eq(truncate(path, 5 << 20), 0);
    cr_assert_eq(disk_reader_extent(disk->reader, offset + (6 << 20), 4096,
                                    true, &extent),
                 0);
    cr_assert_not(extent.is_zero, "reading it must fail");
    check_io_error(disk, offset + (6 << 20));
}

Test(read, extents_agree_with_the_bytes)
{
    g_autoptr(TempTree) t = temp_tree_new();
    LayoutRequest request = layout_request_default();
    const int64_t total = 1440 * 1024;
    g_autofree uint8_t *whole = g_malloc((size_t)total);
    g_autoptr(TestDisk) disk = NULL;
    int64_t zeroes = 0;

    temp_tree_pattern(t, "a", 70001, 1);
    temp_tree_pattern(t, "d/b", 3, 2);
    temp_tree_sparse(t, "d/c", 100000);
    request.geometry.floppy = true;
    request.geometry.fat_type = 12;
    disk = test_disk_new(t, &request);
    cr_assert_eq(test_disk_read(disk, 0, (size_t)total, whole), 0);
    for (int64_t at = 0; at < total;) {
        DiskExtent extent;

        cr_assert_eq(
            disk_reader_extent(disk->reader, at, total - at, true, &extent),
            0);
        for (int64_t i = at; extent.is_zero && i < at + extent.bytes; i++) {
            cr_assert_eq(whole[i], 0, "at %d", (int)i);
            zeroes++;
        }
        at += extent.bytes;
    }
    cr_assert_gt(zeroes, total - 100000);
}
