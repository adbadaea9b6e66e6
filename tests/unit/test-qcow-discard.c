/* SPDX-License-Identifier: MIT */
/* Discards in qcow images: what is read then, and which blocks go when. */
#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "tests/unit/qcow-fixture.h"
#include "tests/unit/qcow2-fixture.h"

#define KIB INT64_C(1024)
#define MIB (1024 * KIB)
#define CLUSTER (4 * KIB)

TestSuite(qcow_discard, .init = tape_init, .fini = image_dir_fini,
          .timeout = 300);

static BlockBackend *open_image(const char *driver, unsigned flags)
{
    g_autofree char *options = g_strdup_printf(
        "driver=qcow,file.driver=%s,file.filename=%%D/image", driver);

    return image_open(BDRV_O_RDWR | BDRV_O_UNMAP | flags, options);
}

/* With clusters of 4 KiB. Its first MiB is written, and durable. */
static BlockBackend *make(int64_t size, const char *backing)
{
    g_autofree uint8_t *buf = g_malloc(MIB);
    int64_t written = MIN(size, MIB);

    if (backing != NULL) {
        image_make(backing, MIB, 1);
    }
    qcow_make("image", 12, 9, size, backing);
    BlockBackend *blk = open_image("file", 0);
    image_pattern(buf, (size_t)written, 2, 0);
    cr_assert_eq(blk_pwrite(blk, 0, written, buf, 0), 0);
    cr_assert_eq(blk_flush(blk), 0);
    return blk;
}

static void check_pattern(BlockBackend *blk, int64_t offset, int64_t bytes,
                          int seed)
{
    g_autofree uint8_t *buf = g_malloc((gsize)bytes);

    cr_assert_eq(blk_pread(blk, offset, bytes, buf, 0), 0);
    cr_assert(image_pattern_is(buf, (size_t)bytes, seed, offset));
}

static bool is_zero(BlockBackend *blk, int64_t offset, int64_t bytes)
{
    g_autofree uint8_t *buf = g_malloc((gsize)bytes);
    IOVector iov;

    cr_assert_eq(blk_pread(blk, offset, bytes, buf, 0), 0);
    iov_init_buf(&iov, buf, (size_t)bytes);
    return iov_is_zero(&iov, 0, (size_t)bytes);
}

static bool is_allocated(BlockBackend *blk, int64_t offset)
{
    g_auto(BdrvBlockStatus) status = { 0 };

    cr_assert_eq(blk_block_status(blk, offset, 512, 0, &status), 0);
    return (status.flags & BDRV_BLOCK_ALLOCATED) && status.depth == 0;
}

/* Where a cluster is in the file. */
static int64_t host_offset(BlockBackend *blk, int64_t offset)
{
    g_auto(BdrvBlockStatus) status = { 0 };

    cr_assert_eq(blk_block_status(blk, offset, 512, 0, &status), 0);
    cr_assert(status.flags & BDRV_BLOCK_OFFSET_VALID);
    return status.map;
}

/* Close it; it is sound, and qemu-img reads what we read. */
static void finish(BlockBackend *blk)
{
    int status;

    cr_assert_eq(qcow_corruptions(blk, NULL), 0);
    cr_assert_eq(blk_flush(blk), 0);
    int64_t size = blk_getlength(blk);
    g_autofree char *bytes = g_malloc((gsize)size);
    g_autofree char *path = image_path("expected");
    cr_assert_eq(blk_pread(blk, 0, size, bytes, 0), 0);
    blk_close(blk);
    cr_assert(g_file_set_contents(path, bytes, (gssize)size, NULL));
    g_autofree char *output =
        image_shell(&status, "qemu-img compare -f qcow -F raw image expected");
    cr_assert_eq(status, 0, "%s", output);
}

/* ---- Without a backing file ---- */

Test(qcow_discard, blocks_go_with_the_next_flush_and_the_file_stays_as_long)
{
    BlockBackend *blk = make(4 * MIB, NULL);
    int64_t size = image_size("image");
    int64_t host = host_offset(blk, 256 * KIB);

    cr_assert_eq(blk_pdiscard(blk, 256 * KIB, 512 * KIB), 0);
    cr_assert(is_zero(blk, 256 * KIB, 512 * KIB));
    cr_assert_not(is_allocated(blk, 256 * KIB));
    /* On the disk, something names them. */
    cr_assert(image_holds("image", host, 512 * KIB, 2, 256 * KIB));
    cr_assert_eq(blk_flush(blk), 0);
    cr_assert(image_is_hole("image", host, 512 * KIB));
    cr_assert_eq(image_size("image"), size);
    check_pattern(blk, 0, 256 * KIB, 2);
    check_pattern(blk, 768 * KIB, 256 * KIB, 2);
    finish(blk);
}

Test(qcow_discard, closing_is_as_good_as_a_flush)
{
    BlockBackend *blk = make(4 * MIB, NULL);
    int64_t host = host_offset(blk, 0);

    cr_assert_eq(blk_pdiscard(blk, 0, MIB), 0);
    blk_close(blk);
    cr_assert(image_is_hole("image", host, MIB));
    finish(open_image("file", 0));
}

Test(qcow_discard, parts_of_clusters_stay)
{
    BlockBackend *blk = make(4 * MIB, NULL);

    cr_assert_eq(blk_pdiscard(blk, 1000, 9000), 0);
    check_pattern(blk, 0, CLUSTER, 2);
    cr_assert(is_zero(blk, CLUSTER, CLUSTER));
    check_pattern(blk, 2 * CLUSTER, MIB - 2 * CLUSTER, 2);
    cr_assert_eq(blk_pdiscard(blk, 3 * CLUSTER + 1, CLUSTER - 1), 0);
    check_pattern(blk, 3 * CLUSTER, CLUSTER, 2);
    finish(blk);
}

Test(qcow_discard, cluster_that_the_device_ends_in)
{
    BlockBackend *blk = make(2 * CLUSTER + 512, NULL);

    cr_assert_eq(blk_pdiscard(blk, 2 * CLUSTER, 512), 0);
    cr_assert_not(is_allocated(blk, 2 * CLUSTER));
    check_pattern(blk, 0, 2 * CLUSTER, 2);
    finish(blk);
}

Test(qcow_discard, runs_end_where_tables_do)
{
    g_autofree uint8_t *buf = g_malloc(MIB);

    qcow_make("image", 9, 6, 2 * MIB, NULL);
    BlockBackend *blk = open_image("file", 0);
    image_pattern(buf, MIB, 3, 512 * KIB);
    cr_assert_eq(blk_pwrite(blk, 512 * KIB, MIB, buf, 0), 0);
    cr_assert_eq(blk_pdiscard(blk, 600 * KIB, 700 * KIB), 0);
    check_pattern(blk, 512 * KIB, 88 * KIB, 3);
    cr_assert(is_zero(blk, 600 * KIB, 700 * KIB));
    check_pattern(blk, 1300 * KIB, 236 * KIB, 3);
    cr_assert_eq(blk_pdiscard(blk, 0, 2 * MIB), 0);
    cr_assert(is_zero(blk, 0, 2 * MIB));
    finish(blk);
}

Test(qcow_discard, streams_are_given_back_too)
{
    g_autofree uint8_t *buf = g_malloc(MIB);
    BlockBackend *blk = make(4 * MIB, NULL);

    image_pattern(buf, MIB, 5, MIB);
    cr_assert_eq(blk_pwrite(blk, MIB, MIB, buf, BDRV_REQ_WRITE_COMPRESSED), 0);
    cr_assert_eq(blk_flush(blk), 0);
    int64_t before = image_allocated("image");
    cr_assert_eq(blk_pdiscard(blk, MIB, MIB - CLUSTER), 0);
    cr_assert_eq(blk_flush(blk), 0);
    cr_assert_lt(image_allocated("image"), before);
    cr_assert(is_zero(blk, MIB, MIB - CLUSTER));
    /* Its neighbour stood right behind the others. */
    check_pattern(blk, 2 * MIB - CLUSTER, CLUSTER, 5);
    finish(blk);
}

Test(qcow_discard, what_is_written_afterwards_is_there)
{
    g_autofree uint8_t *buf = g_malloc(MIB);
    BlockBackend *blk = make(4 * MIB, NULL);

    for (int i = 0; i < 3; i++) {
        cr_assert_eq(blk_pdiscard(blk, 0, MIB), 0);
        image_pattern(buf, MIB, 7 + i, 0);
        cr_assert_eq(
            blk_pwrite(blk, CLUSTER + 100, 5000, buf + CLUSTER + 100, 0), 0);
        cr_assert(is_zero(blk, 0, CLUSTER + 100));
        check_pattern(blk, CLUSTER + 100, 5000, 7 + i);
        cr_assert(is_zero(blk, CLUSTER + 5100, MIB - CLUSTER - 5100));
    }
    finish(blk);
}

/* What is behind does not come into the way of what follows. */
Test(qcow_discard, emptying_forgets_what_was_to_go)
{
    g_autofree uint8_t *buf = g_malloc(MIB);
    BlockBackend *blk = make(4 * MIB, NULL);

    cr_assert_eq(blk_pdiscard(blk, 0, MIB), 0);
    cr_assert_eq(blk_make_empty(blk, NULL), 0);
    image_pattern(buf, MIB, 4, 0);
    cr_assert_eq(blk_pwrite(blk, 0, MIB, buf, 0), 0);
    cr_assert_eq(blk_flush(blk), 0);
    check_pattern(blk, 0, MIB, 4);
    finish(blk);
}

/* Backwards, so that no two make one. */
Test(qcow_discard, many_are_given_back_without_a_flush)
{
    enum { CLUSTERS = 70000 };
    g_autofree uint8_t *buf = g_malloc0(512 * CLUSTERS);

    qcow_make("image", 9, 12, 512 * CLUSTERS, NULL);
    BlockBackend *blk = open_image("file", 0);
    memset(buf, 0x5a, 512 * CLUSTERS);
    cr_assert_eq(blk_pwrite(blk, 0, 512 * CLUSTERS, buf, 0), 0);
    int64_t host = host_offset(blk, 512 * (CLUSTERS - 4000));
    for (int64_t i = CLUSTERS - 1; i >= 0; i--) {
        cr_assert_eq(blk_pdiscard(blk, i * 512, 512), 0);
    }
    cr_assert(image_is_zero("image", host, INT64_C(512) * 4000));
    cr_assert(is_zero(blk, 0, 512 * CLUSTERS));
    finish(blk);
}

Test(qcow_discard, long_discards_of_nothing_are_quick)
{
    qcow_make("image", 12, 9, INT64_C(2) << 40, NULL);
    g_autoptr(BlockBackend) blk = open_image("file", 0);
    int64_t size = image_size("image");

    cr_assert_eq(blk_pdiscard(blk, 0, INT64_C(2) << 40), 0);
    cr_assert_eq(blk_flush(blk), 0);
    cr_assert_eq(image_size("image"), size);
}

Test(qcow_discard, are_not_for_images_that_do_not_pass_them)
{
    BlockBackend *blk = make(4 * MIB, NULL);

    blk_close(blk);
    blk = qcow_open_rw("image");
    cr_assert_eq(blk_pdiscard(blk, 0, MIB), 0);
    check_pattern(blk, 0, MIB, 2);
    finish(blk);
}

/* ---- With one ---- */

Test(qcow_discard, does_not_show_the_backing_file)
{
    BlockBackend *blk = make(4 * MIB, "base");
    g_autofree uint8_t *buf = g_malloc(MIB);
    int64_t host = host_offset(blk, 0);

    cr_assert_eq(blk_pdiscard(blk, 0, 128 * KIB), 0);
    cr_assert(is_allocated(blk, 0));
    cr_assert(is_zero(blk, 0, 128 * KIB));
    cr_assert(image_is_hole("image", host, 128 * KIB));
    check_pattern(blk, 128 * KIB, MIB - 128 * KIB, 2);

    /* A stream has nothing that could go. */
    image_pattern(buf, 64 * KIB, 6, 0);
    cr_assert_eq(blk_make_empty(blk, NULL), 0);
    cr_assert_eq(blk_pwrite(blk, 0, 64 * KIB, buf, BDRV_REQ_WRITE_COMPRESSED),
                 0);
    cr_assert_eq(blk_pdiscard(blk, 0, 128 * KIB), 0);
    check_pattern(blk, 0, 64 * KIB, 6);
    check_pattern(blk, 64 * KIB, MIB - 64 * KIB, 1);
    finish(blk);
}

Test(qcow_discard, behind_the_backing_file_nothing_stays)
{
    BlockBackend *blk = make(4 * MIB, "base");
    g_autofree uint8_t *buf = g_malloc(MIB);

    image_pattern(buf, MIB, 3, MIB - 64 * KIB);
    cr_assert_eq(blk_pwrite(blk, MIB - 64 * KIB, 128 * KIB, buf, 0), 0);
    cr_assert_eq(blk_pdiscard(blk, MIB - 64 * KIB, 128 * KIB), 0);
    cr_assert(is_allocated(blk, MIB - 512));
    cr_assert_not(is_allocated(blk, MIB));
    cr_assert(is_zero(blk, MIB - 64 * KIB, 128 * KIB));
    finish(blk);
}

Test(qcow_discard, backing_file_that_is_not_open_stays_hidden)
{
    BlockBackend *blk = make(4 * MIB, "base");

    blk_close(blk);
    blk = open_image("file", BDRV_O_NO_BACKING);
    cr_assert_eq(blk_pdiscard(blk, 0, 4 * MIB), 0);
    cr_assert_eq(blk_pwrite_zeroes(blk, 2 * MIB, 100 * KIB, 0), 0);
    cr_assert(is_allocated(blk, 2 * MIB));
    blk_close(blk);
    blk = open_image("file", 0);
    cr_assert(is_zero(blk, 0, 4 * MIB));
    finish(blk);
}

/* ---- Requests under way ---- */

typedef struct Writer {
    BlockBackend *blk;
    uint8_t buf[CLUSTER];
    int ret;
} Writer;

static gpointer write_first(gpointer opaque)
{
    Writer *w = opaque;

    w->ret = blk_pwrite(w->blk, 0, CLUSTER, w->buf, 0);
    return NULL;
}

/* The bytes of the file are no longer those that were written. */
static bool is_given_back(Tape *tape, int64_t host)
{
    tape_save(tape, "now");
    return !image_holds("now", host, CLUSTER, 2, CLUSTER);
}

Test(qcow_discard, waits_for_requests_and_lets_others_pass)
{
    Writer w = { 0 };

    blk_close(make(4 * MIB, NULL));
    BlockBackend *blk = w.blk = open_image("tape", 0);
    Tape *tape = tape_of(blk);
    int64_t host = host_offset(blk, CLUSTER);

    tape_hold(tape);
    GThread *thread = g_thread_new("writer", write_first, &w);
    tape_wait_held(tape);
    /* It may have found this cluster before. */
    cr_assert_eq(blk_pdiscard(blk, CLUSTER, CLUSTER), 0);
    for (int i = 0; i < 3; i++) {
        cr_assert_eq(blk_flush(blk), 0);
        cr_assert_not(is_given_back(tape, host));
        check_pattern(blk, 2 * CLUSTER, CLUSTER, 2);
    }
    /* What is freed meanwhile waits for this one. */
    int64_t next = host_offset(blk, 2 * CLUSTER);
    cr_assert_eq(blk_pdiscard(blk, 2 * CLUSTER, CLUSTER), 0);
    cr_assert_eq(blk_flush(blk), 0);
    tape_release(tape);
    g_thread_join(thread);
    cr_assert_eq(w.ret, 0);
    cr_assert_eq(blk_flush(blk), 0);
    cr_assert(is_given_back(tape, host));
    cr_assert(is_given_back(tape, next));
    cr_assert(is_zero(blk, CLUSTER, 2 * CLUSTER));
    blk_close(blk);
}

Test(qcow_discard, flush_that_fails_gives_nothing_back)
{
    blk_close(make(4 * MIB, NULL));
    g_autoptr(BlockBackend) blk = open_image("tape", 0);
    Tape *tape = tape_of(blk);
    int64_t host = host_offset(blk, CLUSTER);

    cr_assert_eq(blk_pdiscard(blk, CLUSTER, CLUSTER), 0);
    /* The table; again, behind a flush; the flush that follows it. */
    for (int k = 0; k < 3; k++) {
        tape_fail(tape, k, 1, EIO);
        cr_assert_eq(blk_flush(blk), -EIO, "%d", k);
        cr_assert_not(is_given_back(tape, host));
    }
    cr_assert_eq(blk_flush(blk), 0);
    cr_assert(is_given_back(tape, host));
}
