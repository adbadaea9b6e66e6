/* SPDX-License-Identifier: MIT */
/*
 * L1 and L2 entries: shared with snapshots, impossible ones, and what is left
 * of a request that fails in the middle.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/image-fixture.h"
#include "tests/unit/qcow2-fixture.h"
#include "tests/unit/qcow2-model.h"
#include "util/bytes.h"

TestSuite(qcow2_entries, .init = model_dir_init, .fini = image_dir_fini);

#define KIB INT64_C(1024)
#define MIB (1024 * KIB)
#define CLUSTER (64 * KIB)
#define OPEN "driver=qcow2,file.filename=%D/i"

/* ---- Snapshots ---- */

static void random_writes(Model *m, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        int64_t offset, bytes;

        model_pick(m, g_rand_boolean(m->rand), &offset, &bytes);
        switch (i % 4) {
        case 0:
            model_zero(m, offset, bytes, BDRV_REQ_MAY_UNMAP);
            break;
        case 1:
            model_pick(m, true, &offset, &bytes);
            model_write_compressed(m, offset, bytes);
            break;
        default:
            model_write(m, offset, bytes);
        }
    }
}

/* What qemu-img does with a snapshot; the image holds `contents` then. */
static void snapshot(Model *m, const char *command, const char *name,
                     const uint8_t *contents)
{
    model_verify(m);
    blk_close(m->blk);
    model_shell("qemu-img snapshot %s %s image && qemu-img check -q image",
                command, name);
    m->blk = image_open(MODEL_RW, "driver=qcow2,file.filename=%D/image");
    if (contents) {
        memcpy(m->bytes, contents, (size_t)m->size);
    }
    model_read(m, 0, m->size);
}

Test(qcow2_entries, snapshots_stay_as_they_are)
{
    static const ModelSetup setup = {
        "cluster_size=4k,compat=1.1", 3 * MIB, 0, "", 100000, 0
    };
    g_autofree uint8_t *first = g_malloc(3 * MIB);
    g_autofree uint8_t *second = g_malloc(3 * MIB);
    Model m;

    model_init(&m, &setup, 1);
    random_writes(&m, 60);
    memcpy(first, m.bytes, 3 * MIB);
    snapshot(&m, "-c", "first", NULL);
    random_writes(&m, 60);
    memcpy(second, m.bytes, 3 * MIB);
    snapshot(&m, "-c", "second", NULL);
    random_writes(&m, 60);
    snapshot(&m, "-c", "third", NULL);

    snapshot(&m, "-a", "first", first);
    random_writes(&m, 60);
    snapshot(&m, "-d", "first", NULL);
    random_writes(&m, 60);
    snapshot(&m, "-a", "second", second);
    random_writes(&m, 30);
    snapshot(&m, "-d", "second", NULL);
    snapshot(&m, "-d", "third", NULL);
    random_writes(&m, 30);
    model_verify(&m);
    model_clear(&m);
}

/* ---- Entries that cannot be ---- */

static uint64_t file_be64(const char *name, int64_t offset)
{
    g_autofree char *path = image_path(name);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    be64 value;

    cr_assert_eq(pread(fd, &value, 8, offset), 8);
    close(fd);
    return be64_get(value);
}

static void file_put_be64(const char *name, int64_t offset, uint64_t value)
{
    g_autofree char *path = image_path(name);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    be64 raw;

    be64_put(&raw, value);
    cr_assert_eq(pwrite(fd, &raw, 8, offset), 8);
    close(fd);
}

/* An image whose first cluster is written and has this L2 entry. */
static void make_entry(const char *options, uint64_t entry)
{
    model_shell("qemu-img create -q -f qcow2 -o %s i 1M && "
                "qemu-io -f qcow2 -c 'write -P 7 0 128k' i >/dev/null",
                options);
    int64_t l1 = (int64_t)file_be64("i", 40);
    int64_t l2 = (int64_t)(file_be64("i", l1) & QCOW2_L1_OFFSET);

    file_put_be64("i", l2, entry);
}

static void check_impossible(const char *options, uint64_t entry,
                             const char *words)
{
    uint8_t buf[512] = { 0 };
    g_auto(BdrvBlockStatus) status = { 0 };

    make_entry(options, entry);
    BlockBackend *blk = image_open(0, OPEN);
    image_check_io(blk_pread(blk, 0, 512, buf, 0), -EIO, words);
    image_check_io(blk_block_status(blk, 0, MIB, 0, &status), -EIO, words);
    cr_assert_eq(blk_pread(blk, CLUSTER, 512, buf, 0), 0);
    cr_assert_eq(buf[0], 7);
    blk_close(blk);

    blk = image_open(MODEL_RW, OPEN);
    image_check_io(blk_pwrite(blk, 100, 512, buf, 0), -EIO, words);
    blk_close(blk);
    if (strstr(options, "1.1")) {
        /* And it is marked as corrupt now. */
        g_autofree char *error = image_open_error(MODEL_RW, OPEN);
        image_check_text(error, "corrupt");
    }
    model_shell("rm i");
}

Test(qcow2_entries, that_cannot_be_are_errors)
{
    check_impossible("compat=1.1", QCOW2_COPIED | 0x50200,
                     "not aligned to a cluster");
    check_impossible("compat=1.1", UINT64_C(1) << 60 | 0x50000,
                     "reserved bits");
    check_impossible("compat=1.1", 0x50000 | 2, "reserved bits");
    check_impossible("compat=0.10", QCOW2_ZERO, "reserved bits");
    check_impossible("compat=1.1", QCOW2_COMPRESSED | QCOW2_COPIED | 0x50000,
                     "compressed and marked as copied");
}

/* A write in place must not go to a table. */
Test(qcow2_entries, data_over_metadata_is_refused)
{
    uint8_t buf[512] = { 0 };

    make_entry("compat=1.1", QCOW2_COPIED | 0x30000);
    BlockBackend *blk = image_open(MODEL_RW, OPEN);
    image_check_io(blk_pwrite(blk, 0, 512, buf, 0), -EIO, "corrupt");
    blk_close(blk);
}

/* Giving up what is no data must not free a table. */
Test(qcow2_entries, metadata_is_not_freed_as_data)
{
    static const uint64_t entries[] = {
        QCOW2_COPIED | 0x20000,             /* the refcount block */
        QCOW2_COMPRESSED | 0x2fff0,         /* its end */
        QCOW2_COMPRESSED,                   /* the header */
        QCOW2_COPIED | QCOW2_ZERO | 0x30000 /* the L1 table */
    };

    for (unsigned i = 0; i < G_N_ELEMENTS(entries); i++) {
        make_entry("compat=1.1", entries[i]);
        BlockBackend *blk = image_open(MODEL_RW, OPEN);
        image_check_io(blk_pwrite_zeroes(blk, 0, CLUSTER, BDRV_REQ_MAY_UNMAP),
                       -EIO, "where there should be data");
        blk_close(blk);
        model_shell("rm i");
    }
}

/* Past the end of the file there are zeroes. */
Test(qcow2_entries, that_lie_behind_the_file_read_as_zeroes)
{
    uint8_t buf[CLUSTER];
    IOVector iov;

    make_entry("compat=1.1", QCOW2_COPIED | INT64_C(1) << 40);
    BlockBackend *blk = image_open(0, OPEN);
    iov_init_buf(&iov, buf, sizeof(buf));
    cr_assert_eq(blk_preadv(blk, 0, CLUSTER, &iov, 0), 0);
    cr_assert(iov_is_zero(&iov, 0, CLUSTER));
    blk_close(blk);
    model_shell("rm i");

    make_entry("compat=1.1", QCOW2_COMPRESSED | INT64_C(1) << 40);
    blk = image_open(0, OPEN);
    image_check_io(blk_preadv(blk, 0, CLUSTER, &iov, 0), -EIO, "damaged");
    blk_close(blk);
}

Test(qcow2_entries, of_the_l1_table_are_checked)
{
    uint8_t buf[512];

    make_entry("compat=1.1", 0);
    int64_t l1 = (int64_t)file_be64("i", 40);
    file_put_be64("i", l1, file_be64("i", l1) + 512);
    BlockBackend *blk = image_open(0, OPEN);
    image_check_io(blk_pread(blk, 0, 512, buf, 0), -EIO, "L1 entry");
    blk_close(blk);
}

/* ---- Requests that fail ---- */

typedef int Change(BlockBackend *blk, uint8_t *buf);

static int change_write(BlockBackend *blk, uint8_t *buf)
{
    return blk_pwrite(blk, 6000, 5 * 4096, buf, 0);
}

static int change_compressed(BlockBackend *blk, uint8_t *buf)
{
    IOVector iov;

    iov_init_buf(&iov, buf, 8 * 4096);
    return blk_pwritev(blk, 4096, 8 * 4096, &iov, BDRV_REQ_WRITE_COMPRESSED);
}

static int change_zero(BlockBackend *blk, uint8_t *buf)
{
    (void)buf;
    return blk_pwrite_zeroes(blk, 4096, 8 * 4096, BDRV_REQ_MAY_UNMAP);
}

/* The k-th write or flush from here on fails, once: each byte is old or new,
 * and the image is sound when the rest has succeeded. True: it did fail. */
static bool fail_at(Change *change, int k)
{
    g_autofree uint8_t *old = g_malloc(MIB);
    g_autofree uint8_t *new = g_malloc(MIB);
    g_autofree uint8_t *buf = g_malloc(MIB);
    BlockBackend *blk = tape_open("f.img", "");

    memset(old, 0, MIB);
    image_pattern(old, 4 * 4096, 3, 0);
    cr_assert_eq(blk_pwrite(blk, 0, 4 * 4096, old, 0), 0);
    cr_assert_eq(blk_flush(blk), 0);
    memset(buf, 0xee, MIB);
    tape_fail(tape_of(blk), k, 1, EIO);
    int ret = change(blk, buf);
    int flush_ret = blk_flush(blk);
    tape_fail(tape_of(blk), 0, 0, 0);
    cr_assert(ret == 0 || ret == -EIO);
    cr_assert_eq(blk_pread(blk, 0, MIB, new, 0), 0);
    for (int64_t i = 0; i < MIB; i++) {
        bool changed = new[i] != old[i];

        cr_assert(!changed || new[i] == 0xee || new[i] == 0);
        cr_assert(!changed || (i >= 4096 && i < 9 * 4096));
    }
    cr_assert_eq(blk_flush(blk), 0);
    tape_save(tape_of(blk), "after.img");
    blk_close(blk);
    cr_assert_eq(tape_check("after.img"), 0);
    return ret < 0 || flush_ret < 0;
}

static void fail_everywhere(Change *change)
{
    int k = 0;

    cr_assert(tape_create("f.img", "cluster_size=4k", "1M"));
    while (fail_at(change, k)) {
        k++;
    }
    cr_assert_gt(k, 2);
}

Test(qcow2_entries, a_failed_write_leaves_old_or_new, .init = tape_init)
{
    fail_everywhere(change_write);
}

Test(qcow2_entries, a_failed_compressed_write_leaves_old_or_new,
     .init = tape_init)
{
    fail_everywhere(change_compressed);
}

Test(qcow2_entries, failed_zeroes_leave_old_or_new, .init = tape_init)
{
    fail_everywhere(change_zero);
}
