/* SPDX-License-Identifier: MIT */
/* Images whose fields and entries cannot be. */
#include <criterion/criterion.h>
#include <errno.h>
#include <unistd.h>

#include "tests/unit/image-fixture.h"
#include "tests/unit/qcow-fixture.h"

#define MIB (INT64_C(1) << 20)

TestSuite(qcow_damage, .init = image_dir_init, .fini = image_dir_fini,
          .timeout = 300);

/* ---- The header ---- */

typedef struct HeaderCase {
    int64_t offset;
    unsigned bytes; /* 1, 4 or 8 */
    uint64_t value;
    const char *message;
} HeaderCase;

static void poke(const HeaderCase *c)
{
    uint8_t byte = (uint8_t)c->value;

    switch (c->bytes) {
    case 1:
        qcow_poke("image", c->offset, &byte, 1);
        break;
    case 4:
        qcow_poke_be32("image", c->offset, (uint32_t)c->value);
        break;
    default:
        qcow_poke_be64("image", c->offset, c->value);
        break;
    }
}

Test(qcow_damage, impossible_headers_are_refused)
{
    static const HeaderCase cases[] = {
        { 0, 4, 0x514649fa, "not in the format qcow" },
        { 4, 4, 0, "version 0" },
        { 4, 4, 2, "version 2" },
        { 24, 8, 0, "impossible size: 0" },
        { 24, 8, UINT64_MAX, "impossible size" },
        { 24, 8, INT64_MAX, "impossible size" },
        { 24, 8, UINT64_C(1) << 40, "its L1 table (4194304 bytes" },
        { 32, 1, 8, "clusters of 1 << 8" },
        { 32, 1, 17, "clusters of 1 << 17" },
        { 32, 1, 255, "clusters of 1 << 255" },
        { 33, 1, 5, "L2 tables of 1 << 5" },
        { 33, 1, 14, "L2 tables of 1 << 14" },
        { 36, 4, 1, "encrypted, which is not supported" },
        { 36, 4, 2, "unknown method, 2" },
        { 40, 8, 0, "its L1 table" },
        { 40, 8, 1000, "its L1 table (32 bytes at offset 1000)" },
        { 40, 8, UINT64_MAX, "its L1 table" },
        { 16, 4, 1024, "has 1024 bytes, of at most 1023" },
        { 16, 4, UINT32_MAX, "of at most 1023" },
        { 16, 4, 1000, "backing file's name (1000 bytes at offset 48)" },
        { 8, 8, UINT64_MAX, "backing file's name" },
        { 49, 1, 0, "a NUL in the name" },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        qcow_make("image", 9, 12, 8 * MIB, "base");
        poke(&cases[i]);
        g_autofree char *error =
            image_open_error(0, "driver=qcow,file.filename=%D/image");
        image_check_text(error, cases[i].message);
    }
}

Test(qcow_damage, short_files_are_refused)
{
    for (int64_t bytes = 0; bytes < 48 + 8; bytes += 5) {
        qcow_make("image", 12, 9, MIB, NULL);
        g_autofree char *path = image_path("image");
        cr_assert_eq(truncate(path, bytes), 0);
        g_autofree char *error = image_open_error(
            BDRV_O_CHECK, "driver=qcow,file.filename=%D/image");
        cr_assert_not_null(error);
    }
}

/* ---- Entries ---- */

/* An image with one table at 4096, and data from 8192 to 24576. */
static void make_image(void)
{
    uint8_t buf[16384];

    qcow_make("image", 12, 9, 8 * MIB, NULL);
    g_autoptr(BlockBackend) blk = qcow_open_rw("image");
    image_pattern(buf, sizeof(buf), 1, 0);
    cr_assert_eq(blk_pwrite(blk, 0, sizeof(buf), buf, 0), 0);
    cr_assert_eq(blk_flush(blk), 0);
    cr_assert_eq(qcow_peek_be64("image", 48), 4096);
    cr_assert_eq(qcow_peek_be64("image", 4096), 8192);
}

Test(qcow_damage, entries_that_name_nothing)
{
    static const uint64_t entries[] = {
        24576,                    /* the end of the file */
        8192 + 1,                 /* between sectors */
        UINT64_C(1) << 62,        /* far away */
        INT64_MAX - 511,          /* farther */
        UINT64_C(1) << 63 | 8192, /* a stream of no bytes */
        UINT64_C(1) << 63 | UINT64_C(10) << 51 | 24570, /* goes on behind */
        UINT64_C(1) << 63 | UINT64_C(10) << 51 | 10,    /* the header */
        UINT64_MAX,
    };
    uint8_t buf[4096];

    for (size_t i = 0; i < G_N_ELEMENTS(entries); i++) {
        g_autoptr(GString) text = g_string_new(NULL);

        make_image();
        qcow_poke_be64("image", 4096 + 8, entries[i]);
        g_autoptr(BlockBackend) blk = qcow_open_rw("image");
        image_check_io(blk_pread(blk, 4096, 4096, buf, 0), -EIO,
                       "guest offset 4096");
        image_check_io(blk_pwrite(blk, 5000, 100, buf, 0), -EIO, "damaged");
        image_check_io(blk_pwrite_zeroes(blk, 4096, 4096, 0), -EIO, "damaged");
        g_auto(BdrvBlockStatus) status = { 0 };
        cr_assert_eq(blk_block_status(blk, 4096, 4096, 0, &status), -EIO);
        /* Its neighbours are as well as ever. */
        cr_assert_eq(blk_pread(blk, 0, 4096, buf, 0), 0);
        cr_assert(image_pattern_is(buf, 4096, 1, 0));
        cr_assert_eq(blk_pread(blk, 8192, 4096, buf, 0), 0);
        cr_assert(image_pattern_is(buf, 4096, 1, 8192));
        cr_assert_eq(qcow_corruptions(blk, text), 1, "%s", text->str);
        image_check_text(text->str, "guest offset 4096 names no cluster");
    }
}

Test(qcow_damage, tables_that_are_not_there)
{
    static const uint64_t entries[] = { 24576,      4097,
                                        UINT64_MAX, 8,
                                        0x8000000,  UINT64_C(1) << 63 | 4096 };
    uint8_t buf[4096] = { 0 };

    for (size_t i = 0; i < G_N_ELEMENTS(entries); i++) {
        g_autoptr(GString) text = g_string_new(NULL);

        make_image();
        qcow_poke_be64("image", 48 + 8, entries[i]);
        /* It might come to name something if the file grew. */
        g_autofree char *error = image_open_error(
            BDRV_O_RDWR, "driver=qcow,file.filename=%D/image");
        image_check_text(error, "an L1 entry names no L2 table");

        g_autoptr(BlockBackend)
            blk = image_open(0, "driver=qcow,file.filename=%D/image");
        image_check_io(blk_pread(blk, 2 * MIB, 10, buf, 0), -EIO,
                       "no L2 table");
        cr_assert_not(blk_set_read_only(blk, false, NULL));
        cr_assert_eq(blk_pread(blk, 0, 4096, buf, 0), 0);
        cr_assert(image_pattern_is(buf, 4096, 1, 0));
        cr_assert_eq(qcow_corruptions(blk, text), 1);
        image_check_text(text->str, "L1 entry 1 names no L2 table");
    }
}

Test(qcow_damage, clusters_used_twice)
{
    static const struct {
        int64_t at;
        uint64_t entry;
        int64_t corruptions;
    } cases[] = {
        { 4096 + 8, 8192, 1 },        /* that of the cluster before */
        { 4096 + 8, 12288 + 512, 1 }, /* half of the next one */
        { 4096 + 8, 4096, 1 },        /* the table itself */
        { 4096 + 40, UINT64_C(1) << 63 | UINT64_C(10) << 51 | 9000, 1 },
        { 48 + 8, 4096, 1 }, /* a table for two */
        { 48 + 8, 8192, 0 }, /* a cluster as a table: what is in it? */
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        make_image();
        qcow_poke_be64("image", cases[i].at, cases[i].entry);
        g_autoptr(BlockBackend) blk = qcow_open_rw("image");
        g_autoptr(GString) text = g_string_new(NULL);
        int64_t found = qcow_corruptions(blk, text);
        if (cases[i].corruptions > 0) {
            cr_assert_eq(found, cases[i].corruptions, "%zu: %s", i, text->str);
            image_check_text(text->str, "is used twice");
        } else {
            cr_assert_gt(found, 1);
        }
    }
}

Test(qcow_damage, compressed_cluster_that_is_none)
{
    uint8_t buf[4096];

    make_image();
    qcow_poke_be64("image", 4096 + 8,
                   UINT64_C(1) << 63 | UINT64_C(100) << 51 | 8192);
    qcow_poke_be64("image", 8192, UINT64_MAX);
    g_autoptr(BlockBackend) blk = qcow_open_rw("image");
    image_check_io(blk_pread(blk, 4096, 1, buf, 0), -EIO,
                   "cannot be decompressed");
    /* Not when all of it is written; part of it needs the rest. */
    cr_assert_eq(blk_pwrite(blk, 4096 + 1, 1, buf, 0), -EIO);
    cr_assert_eq(blk_pwrite(blk, 4096, 4096, buf, 0), 0);
    cr_assert_eq(blk_pread(blk, 4096, 4096, buf, 0), 0);
}

Test(qcow_damage, table_at_the_end_of_a_file_that_was_cut)
{
    uint8_t buf[512];

    /* The table of the second half reaches behind the end of the file. */
    make_image();
    qcow_poke_be64("image", 48 + 8, 24576 - 512);
    g_autofree char *path = image_path("image");
    qcow_poke_be64("image", 24576 - 512, 0);
    cr_assert_eq(truncate(path, 24576 - 504), 0);
    qcow_poke_be64("image", 4096 + 24, 0);
    g_autoptr(BlockBackend) blk = qcow_open_rw("image");
    /* What is allocated now must not be in it. */
    image_pattern(buf, sizeof(buf), 3, 0);
    cr_assert_eq(blk_pwrite(blk, 20000, sizeof(buf), buf, 0), 0);
    cr_assert_eq(blk_flush(blk), 0);
    cr_assert_eq(qcow_corruptions(blk, NULL), 0);
    cr_assert_geq(qcow_peek_be64("image", 4096 + 32), 24576 - 512 + 4096);
}
