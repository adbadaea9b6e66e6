/* SPDX-License-Identifier: MIT */
/*
 * Writing what is there already to files that the host protects: a guest that
 * copies a whole image over the disk writes every sector. It succeeds, and
 * nothing comes of it.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "image-fixture.h"
#include "tests/unit/host-tree.h"
#include "tests/unit/machine.h"

#define LOCKED_BYTES 5000
#define CLUSTER 512

TestSuite(writable_protect, .init = image_dir_init, .fini = image_dir_fini);

/* A protected file between others, one with a hole, a protected directory. */
static Machine *start(const char *more)
{
    Machine *m = machine_new();
    g_autofree char *text = g_strnfill(LOCKED_BYTES, 'L');
    g_autofree char *zeroes = g_malloc0(LOCKED_BYTES);

    cr_assert_eq(host_tree_text(m->host, "a", "in front of it"), 0);
    cr_assert_eq(host_tree_text(m->host, "locked", text), 0);
    cr_assert_eq(host_tree_text(m->host, "shut/inside", text), 0);
    cr_assert_eq(host_tree_file(m->host, "nothing", zeroes, LOCKED_BYTES), 0);
    cr_assert_eq(host_tree_text(m->host, "z", "behind it"), 0);
    cr_assert_eq(m->host->ops->set_mode(m->host, "locked", 0444), 0);
    cr_assert_eq(m->host->ops->set_mode(m->host, "nothing", 0444), 0);
    cr_assert_eq(m->host->ops->set_mode(m->host, "shut/inside", 0444), 0);
    cr_assert_eq(m->host->ops->set_mode(m->host, "shut", 0555), 0);
    machine_open(m, more);
    return m;
}

static char *dump(Machine *m)
{
    return host_tree_dump(m->host, HOST_TREE_MODES | HOST_TREE_TIMES |
                                       HOST_TREE_INODES);
}

/* Where a text begins on the guest's disk, from an offset on. */
static int64_t find(Machine *m, const char *text, int64_t from)
{
    const uint8_t *at = memmem(m->disk->mem + from,
                               (size_t)(m->disk->size - from), text,
                               strlen(text));

    cr_assert_not_null(at, "'%s' is not on the disk", text);
    return at - m->disk->mem;
}

/* All of the guest's memory over the disk, so many bytes a request. */
static int write_all(Machine *m, int64_t bytes)
{
    int ret = 0;

    for (int64_t at = 0; ret == 0 && at < m->disk->size; at += bytes) {
        ret = blk_pwrite(m->disk->blk, at, MIN(bytes, m->disk->size - at),
                         m->disk->mem + at, 0);
    }
    return ret;
}

static void check_nothing_pending(Machine *m)
{
    g_autofree char *pending = NULL;

    cr_assert_eq(blk_flush(m->disk->blk), 0);
    pending = machine_fact(m, "commit.pending");
    cr_assert_str_eq(pending, "0");
}

static void check_refused(int ret, const char *part)
{
    image_check_io(ret, -EACCES, part);
}

static void check_same_bytes(const char *more)
{
    static const int64_t sizes[] = { 1 << 20, 3 * CLUSTER, CLUSTER };

    for (size_t i = 0; i < G_N_ELEMENTS(sizes); i++) {
        g_autoptr(Machine) m = start(more);
        g_autofree char *before = dump(m);
        g_autofree char *after = NULL;
        g_autofree char *words = NULL;

        cr_assert_eq(write_all(m, sizes[i]), 0);
        check_nothing_pending(m);
        words = disk_verify(m->disk, true, 1);
        cr_assert_null(words, "%s", words);
        words = machine_close(m);
        cr_assert_null(words, "%s", words);
        after = dump(m);
        cr_assert_str_eq(after, before);
    }
}

Test(writable_protect, the_same_bytes_are_accepted_and_change_nothing)
{
    check_same_bytes(NULL);
}

Test(writable_protect, the_same_bytes_are_not_reported)
{
    check_same_bytes("protect=report");
}

/* Where all may be written: the file with other bytes waits, and no other. */
Test(writable_protect, other_bytes_are_reported)
{
    g_autoptr(Machine) m = start("protect=report");
    g_autofree char *pending = NULL;
    g_autofree char *before = host_tree_read(m->host, "locked", NULL);
    g_autofree char *after = NULL;
    g_autofree uint8_t *now = g_malloc((gsize)m->disk->size);

    m->disk->mem[find(m, "LLLLLLLL", 0) + 1000] ^= 1;
    cr_assert_eq(write_all(m, 1 << 20), 0);
    cr_assert_leq(blk_flush(m->disk->blk), 0);
    cr_assert_eq(blk_pread(m->disk->blk, 0, m->disk->size, now, 0), 0);
    cr_assert_arr_eq(now, m->disk->mem, (size_t)m->disk->size);
    pending = machine_facts(m, "pending.");
    image_check_text(pending, "pending.0.path: locked");
    cr_assert_null(strstr(pending, "pending.1"), "%s", pending);
    after = host_tree_read(m->host, "locked", NULL);
    cr_assert_str_eq(after, before);
}

Test(writable_protect, the_same_bytes_with_an_overlay_that_is_kept)
{
    g_autofree char *image = image_path("kept.qcow2");
    g_autofree char *more = g_strdup_printf("overlay=%s", image);
    g_autoptr(Machine) m = start(more);
    g_autofree char *before = dump(m);
    g_autofree char *after = NULL;

    cr_assert_eq(write_all(m, 1 << 20), 0);
    check_nothing_pending(m);
    cr_assert_null(machine_close(m));
    after = dump(m);
    cr_assert_str_eq(after, before);
    machine_open(m, more);
    cr_assert_eq(write_all(m, 3 * CLUSTER), 0);
    check_nothing_pending(m);
}

/* One request: what others have in it is written around the protected. */
Test(writable_protect, changes_beside_the_same_bytes_are_written)
{
    g_autoptr(Machine) m = start(NULL);
    g_autofree char *text = NULL;

    memcpy(m->disk->mem + find(m, "in front of it", 0), "IN FRONT", 8);
    memcpy(m->disk->mem + find(m, "behind it", 0), "BEHIND", 6);
    cr_assert_eq(write_all(m, 1 << 20), 0);
    check_nothing_pending(m);
    text = host_tree_read(m->host, "a", NULL);
    cr_assert_str_eq(text, "IN FRONT of it");
    g_free(text);
    text = host_tree_read(m->host, "z", NULL);
    cr_assert_str_eq(text, "BEHIND it");
}

/* One other byte, and nothing of the request is on the disk. */
Test(writable_protect, another_byte_refuses_the_whole_request)
{
    static const int64_t places[] = { 0, 1000, LOCKED_BYTES - 1,
                                      LOCKED_BYTES }; /* behind the end */

    for (size_t i = 0; i < G_N_ELEMENTS(places); i++) {
        g_autoptr(Machine) m = start(NULL);
        int64_t file = find(m, "LLLLLLLL", 0);
        uint8_t *byte = m->disk->mem + file + places[i];
        g_autofree uint8_t *old = g_memdup2(m->disk->mem,
                                            (gsize)m->disk->size);
        g_autofree uint8_t *now = g_malloc((gsize)m->disk->size);

        memcpy(m->disk->mem + find(m, "in front of it", 0), "IN FRONT", 8);
        *byte ^= 1;
        check_refused(write_all(m, 1 << 20), "'locked'; its data");
        cr_assert_eq(blk_pread(m->disk->blk, 0, m->disk->size, now, 0), 0);
        cr_assert_arr_eq(now, old, (size_t)m->disk->size);
    }
}

Test(writable_protect, zeroes_over_zeroes_alone)
{
    g_autoptr(Machine) m = start(NULL);
    int64_t file = find(m, "LLLLLLLL", 0);
    int64_t zeroes = file + 10 * CLUSTER; /* the next file: "nothing" */
    BlockBackend *blk = m->disk->blk;

    cr_assert_eq(blk_pwrite_zeroes(blk, zeroes, 10 * CLUSTER, 0), 0);
    cr_assert_eq(blk_pwrite_zeroes(blk, zeroes, CLUSTER, BDRV_REQ_MAY_UNMAP),
                 0);
    check_refused(blk_pwrite_zeroes(blk, zeroes - CLUSTER, 2 * CLUSTER, 0),
                  "'locked'; its data");
    check_refused(blk_pwrite(blk, zeroes, CLUSTER, m->disk->mem + file, 0),
                  "'nothing'; its data");
    check_nothing_pending(m);
}

/* Not to be known is not the same. */
Test(writable_protect, a_file_that_cannot_be_read)
{
    g_autoptr(Machine) m = start(NULL);
    HostFile *file;
    HostStat st;

    cr_assert_eq(m->host->ops->set_mode(m->host, "locked", 0644), 0);
    cr_assert_eq(m->host->ops->file_open_rw(m->host, "locked", &file, &st), 0);
    cr_assert_eq(m->host->ops->file_truncate(m->host, file, 10), 0);
    m->host->ops->file_close(m->host, file);
    image_check_io(write_all(m, 1 << 20), -EIO, "locked");
}
