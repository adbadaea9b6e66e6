/* SPDX-License-Identifier: MIT */
/* Pieces of tables: what is read, kept, written, and in which order. */
#include "block/table-cache.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "block/block-int.h"
#include "tests/unit/core-fixture.h"

TestSuite(table_cache, .init = core_init);

#define PIECE 512

static BlockBackend *open_disk(const char *options)
{
    g_autofree char *text = g_strdup_printf("driver=mem,%s", options);

    return core_open(BDRV_O_RDWR | BDRV_O_RESIZE, text);
}

static TableCache *new_cache(BlockBackend *blk, unsigned max)
{
    TableCache *cache = table_cache_new(blk->root, PIECE, max, NULL, NULL);

    cr_assert(cache);
    return cache;
}

/* Look at a piece without keeping it pinned. */
static uint8_t first_byte(TableCache *cache, int64_t offset)
{
    void *piece;

    cr_assert_eq(table_cache_get(cache, offset, &piece), 0);
    uint8_t byte = *(uint8_t *)piece;
    table_cache_put(cache, piece);
    return byte;
}

static int set_byte(TableCache *cache, int64_t offset, uint8_t byte)
{
    void *piece;
    int ret = table_cache_get(cache, offset, &piece);

    if (ret == 0) {
        *(uint8_t *)piece = byte;
        table_cache_dirty(cache, piece);
        table_cache_put(cache, piece);
    }
    return ret;
}

Test(table_cache, a_piece_is_read_once)
{
    g_autoptr(BlockBackend) blk = open_disk("size=64k");
    MemDisk *disk = core_disk(blk);
    TableCache *cache = new_cache(blk, 4);

    disk->data[1024] = 7;
    cr_assert_eq(first_byte(cache, 1024), 7);
    cr_assert_eq(first_byte(cache, 1024), 7);
    core_expect(disk, "R1024+512");
    cr_assert_not(table_cache_is_dirty(cache));
    cr_assert_eq(table_cache_write(cache), 0);
    core_expect(disk, "");
    table_cache_free(cache);
    table_cache_free(NULL);
}

Test(table_cache, behind_the_end_there_are_zeroes)
{
    g_autoptr(BlockBackend) blk = open_disk("size=1200");
    MemDisk *disk = core_disk(blk);
    TableCache *cache = new_cache(blk, 4);
    uint8_t *piece;

    memset(disk->data, 1, 4096);
    cr_assert_eq(table_cache_get(cache, 1024, (void **)&piece), 0);
    cr_assert_eq(piece[1199 - 1024], 1);
    for (int i = 1200 - 1024; i < PIECE; i++) {
        cr_assert_eq(piece[i], 0);
    }
    table_cache_put(cache, piece);
    cr_assert_eq(first_byte(cache, 1 << 20), 0);
    core_expect(disk, "R1024+176");
    table_cache_free(cache);
}

Test(table_cache, neighbours_are_written_together_in_order)
{
    g_autoptr(BlockBackend) blk = open_disk("size=64k");
    MemDisk *disk = core_disk(blk);
    TableCache *cache = new_cache(blk, 16);
    static const int64_t order[] = { 4096, 512, 1024, 0, 3072, 4608 };

    for (size_t i = 0; i < G_N_ELEMENTS(order); i++) {
        cr_assert_eq(set_byte(cache, order[i], (uint8_t)(i + 1)), 0);
    }
    core_forget(disk);
    cr_assert(table_cache_is_dirty(cache));
    cr_assert_eq(table_cache_write(cache), 0);
    core_expect(disk, "W0+1536 W3072+512 W4096+1024");
    cr_assert_not(table_cache_is_dirty(cache));
    for (size_t i = 0; i < G_N_ELEMENTS(order); i++) {
        cr_assert_eq(disk->data[order[i]], i + 1);
    }
    cr_assert_eq(table_cache_write(cache), 0);
    core_expect(disk, "");
    table_cache_free(cache);
}

Test(table_cache, long_runs_take_several_writes)
{
    g_autoptr(BlockBackend) blk = open_disk("size=1M");
    MemDisk *disk = core_disk(blk);
    TableCache *cache = new_cache(blk, 512);

    for (int64_t i = 0; i < 300; i++) {
        cr_assert_eq(set_byte(cache, i * PIECE, (uint8_t)(i % 250 + 1)), 0);
    }
    core_forget(disk);
    cr_assert_eq(table_cache_write(cache), 0);
    core_expect(disk, "W0+65536 W65536+65536 W131072+22528");
    for (int64_t i = 0; i < 300; i++) {
        cr_assert_eq(disk->data[i * PIECE], i % 250 + 1);
    }
    table_cache_free(cache);
}

Test(table_cache, the_piece_not_used_for_longest_makes_room)
{
    g_autoptr(BlockBackend) blk = open_disk("size=64k");
    MemDisk *disk = core_disk(blk);
    TableCache *cache = new_cache(blk, 4);
    void *pinned;

    cr_assert_eq(table_cache_get(cache, 0, &pinned), 0);
    for (int64_t i = 1; i < 4; i++) {
        first_byte(cache, i * PIECE);
    }
    first_byte(cache, 512);
    core_forget(disk);
    first_byte(cache, 2048); /* instead of 1024 */
    first_byte(cache, 512);
    core_expect(disk, "R2048+512");
    first_byte(cache, 1024); /* instead of 1536 */
    first_byte(cache, 512);
    first_byte(cache, 2048);
    core_expect(disk, "R1024+512");
    /* What is pinned stays, however long ago. */
    first_byte(cache, 0);
    core_expect(disk, "");
    table_cache_put(cache, pinned);
    table_cache_free(cache);
}

Test(table_cache, one_dirty_piece_that_must_go_takes_all_along)
{
    g_autoptr(BlockBackend) blk = open_disk("size=64k");
    MemDisk *disk = core_disk(blk);
    TableCache *cache = new_cache(blk, 4);

    for (int64_t i = 0; i < 4; i++) {
        cr_assert_eq(set_byte(cache, i * PIECE, 9), 0);
    }
    core_forget(disk);
    first_byte(cache, 4096);
    core_expect(disk, "W0+2048 R4096+512");
    cr_assert_not(table_cache_is_dirty(cache));
    table_cache_free(cache);
}

Test(table_cache, pinning_twice_is_released_twice)
{
    g_autoptr(BlockBackend) blk = open_disk("size=64k");
    MemDisk *disk = core_disk(blk);
    TableCache *cache = new_cache(blk, 4);
    void *a, *b;

    cr_assert_eq(table_cache_get(cache, 512, &a), 0);
    cr_assert_eq(table_cache_get(cache, 512, &b), 0);
    cr_assert_eq(a, b);
    table_cache_put(cache, a);
    for (int64_t i = 2; i < 8; i++) {
        first_byte(cache, i * PIECE);
    }
    core_forget(disk);
    first_byte(cache, 512);
    core_expect(disk, "");
    table_cache_put(cache, b);
    for (int64_t i = 2; i < 8; i++) {
        first_byte(cache, i * PIECE);
    }
    core_forget(disk);
    first_byte(cache, 512);
    core_expect(disk, "R512+512");
    table_cache_free(cache);
}

/* ---- The barrier ---- */

typedef struct Gate {
    MemDisk *disk;
    int ret;
    int calls;
} Gate;

static int pass_gate(void *opaque)
{
    Gate *gate = opaque;

    gate->calls++;
    cr_assert_eq(core_count(gate->disk, MEM_WRITE), 0);
    return gate->ret;
}

Test(table_cache, nothing_is_written_before_the_barrier)
{
    g_autoptr(BlockBackend) blk = open_disk("size=64k");
    Gate gate = { .disk = core_disk(blk), .ret = -EIO };
    TableCache *cache = table_cache_new(blk->root, PIECE, 4, pass_gate, &gate);
    void *piece;

    cr_assert_eq(table_cache_write(cache), 0);
    cr_assert_eq(gate.calls, 0);
    for (int64_t i = 0; i < 4; i++) {
        cr_assert_eq(set_byte(cache, i * PIECE, 9), 0);
    }
    cr_assert_eq(table_cache_write(cache), -EIO);
    cr_assert_eq(table_cache_get(cache, 4096, &piece), -EIO);
    cr_assert_eq(gate.calls, 2);
    cr_assert_eq(core_count(gate.disk, MEM_WRITE), 0);
    cr_assert(table_cache_is_dirty(cache));
    gate.ret = 0;
    cr_assert_eq(table_cache_get(cache, 4096, &piece), 0);
    table_cache_put(cache, piece);
    cr_assert_eq(gate.calls, 3);
    cr_assert_eq(core_count(gate.disk, MEM_WRITE), 1);
    table_cache_free(cache);
}

/* ---- Errors ---- */

Test(table_cache, what_was_not_written_stays_dirty)
{
    g_autoptr(BlockBackend) blk = open_disk("size=64k");
    MemDisk *disk = core_disk(blk);
    TableCache *cache = new_cache(blk, 8);

    for (int64_t i = 0; i < 4; i++) {
        cr_assert_eq(set_byte(cache, i * 1024, 5), 0);
    }
    disk->fail[MEM_WRITE] = ENOSPC;
    disk->fail_after[MEM_WRITE] = 2;
    core_forget(disk);
    cr_assert_eq(table_cache_write(cache), -ENOSPC);
    core_expect(disk, "W0+512 W1024+512 W2048+512");
    cr_assert(table_cache_is_dirty(cache));
    disk->fail[MEM_WRITE] = 0;
    cr_assert_eq(table_cache_write(cache), 0);
    core_expect(disk, "W2048+512 W3072+512");
    cr_assert_not(table_cache_is_dirty(cache));
    table_cache_free(cache);
}

Test(table_cache, a_piece_that_cannot_be_read_is_tried_again)
{
    g_autoptr(BlockBackend) blk = open_disk("size=64k");
    MemDisk *disk = core_disk(blk);
    TableCache *cache = new_cache(blk, 4);
    void *piece;

    disk->data[512] = 3;
    disk->fail[MEM_READ] = EIO;
    cr_assert_eq(table_cache_get(cache, 512, &piece), -EIO);
    disk->fail[MEM_READ] = 0;
    cr_assert_eq(first_byte(cache, 512), 3);
    table_cache_free(cache);
}

/* ---- New pieces, dropped pieces ---- */

Test(table_cache, a_new_piece_is_not_read_and_is_clean)
{
    g_autoptr(BlockBackend) blk = open_disk("size=64k");
    MemDisk *disk = core_disk(blk);
    TableCache *cache = new_cache(blk, 4);
    uint8_t *piece;

    memset(disk->data, 1, 4096);
    cr_assert_eq(set_byte(cache, 512, 9), 0);
    core_forget(disk);
    for (int64_t i = 1; i < 3; i++) {
        cr_assert_eq(table_cache_get_zeroed(cache, i * PIECE, (void **)&piece),
                     0);
        for (int j = 0; j < PIECE; j++) {
            cr_assert_eq(piece[j], 0);
        }
        table_cache_put(cache, piece);
    }
    cr_assert_not(table_cache_is_dirty(cache));
    core_expect(disk, "");
    table_cache_free(cache);
}

Test(table_cache, dropped_pieces_are_read_again)
{
    g_autoptr(BlockBackend) blk = open_disk("size=64k");
    MemDisk *disk = core_disk(blk);

    /* Few pieces of a long range, and many pieces of a short one. */
    for (int64_t bytes = 1024; bytes <= 1 << 20; bytes <<= 10) {
        TableCache *cache = new_cache(blk, 8);

        memset(disk->data, 1, 8192);
        for (int64_t i = 0; i < 8; i++) {
            cr_assert_eq(set_byte(cache, i * PIECE, 9), 0);
        }
        table_cache_drop(cache, 1024, bytes);
        core_forget(disk);
        cr_assert_eq(first_byte(cache, 512), 9);
        core_expect(disk, "");
        cr_assert_eq(first_byte(cache, 1024), 1);
        cr_assert_eq(first_byte(cache, 1536), 1);
        core_expect(disk, "R1024+512 R1536+512");
        cr_assert_eq(first_byte(cache, 2048), bytes == 1024 ? 9 : 1);
        core_forget(disk);
        cr_assert_eq(table_cache_write(cache), 0);
        core_expect(disk, bytes == 1024 ? "W0+1024 W2048+2048" : "W0+1024");
        table_cache_free(cache);
    }
}

Test(table_cache, whatever_is_done_the_last_bytes_count)
{
    g_autoptr(BlockBackend) blk = open_disk("size=64k");
    MemDisk *disk = core_disk(blk);
    uint8_t expected[64] = { 0 };
    g_autoptr(GRand) rand = g_rand_new_with_seed(1);

    for (unsigned max = 4; max <= 64; max *= 2) {
        TableCache *cache = new_cache(blk, max);

        for (int step = 0; step < 3000; step++) {
            int64_t i = g_rand_int_range(rand, 0, 64);
            uint8_t byte = (uint8_t)g_rand_int(rand);

            switch (g_rand_int_range(rand, 0, 12)) {
            case 0:
                cr_assert_eq(table_cache_write(cache), 0);
                break;
            case 1:
                /* Nothing that counts is lost when it was written. */
                cr_assert_eq(table_cache_write(cache), 0);
                table_cache_drop(cache, i * PIECE, byte * PIECE);
                break;
            case 2:
            case 3:
            case 4:
            case 5:
                cr_assert_eq(set_byte(cache, i * PIECE, byte), 0);
                expected[i] = byte;
                break;
            default:
                cr_assert_eq(first_byte(cache, i * PIECE), expected[i]);
            }
        }
        cr_assert_eq(table_cache_write(cache), 0);
        for (int i = 0; i < 64; i++) {
            cr_assert_eq(disk->data[i * PIECE], expected[i]);
        }
        table_cache_free(cache);
    }
}
