/* SPDX-License-Identifier: MIT */
/* Emptying and resizing qcow2 images while a write is under way. qemu-img
 * judges. */
#include <criterion/criterion.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/qcow2-fixture.h"

TestSuite(qcow2_beside, .init = tape_init, .fini = image_dir_fini,
          .timeout = 300);

#define CLUSTER 4096
#define SIZE (64 * CLUSTER)

typedef struct Actor {
    BlockBackend *blk;
    int64_t offset;
    bool with_zeroes;
    atomic_bool done;
} Actor;

static void *write_part(void *opaque)
{
    const Actor *a = opaque;
    uint8_t data[512];

    memset(data, 0x77, sizeof(data));
    cr_assert_eq(blk_pwrite(a->blk, a->offset, sizeof(data), data, 0), 0);
    return NULL;
}

static void *empty_image(void *opaque)
{
    Actor *a = opaque;

    cr_assert_eq(blk_make_empty(a->blk, NULL), 0);
    a->done = true;
    return NULL;
}

static void *shrink_image(void *opaque)
{
    Actor *a = opaque;

    cr_assert_eq(blk_truncate(a->blk, CLUSTER, true, PREALLOC_MODE_OFF, NULL),
                 0);
    a->done = true;
    return NULL;
}

/* Until the actor is through, or waits for the writer's range. */
static void wait_for_actor(Actor *a)
{
    Qcow2State *s = tape_state(a->blk);
    bool waits = false;

    while (!waits && !a->done) {
        pthread_mutex_lock(&s->lock);
        waits = s->busy.held && s->busy.held->next;
        pthread_mutex_unlock(&s->lock);
        g_thread_yield();
    }
}

/*
 * A cluster of data, read as zeroes meanwhile or not, is written in part. That
 * write is held until `act` is through, or waits.
 */
static void act_beside_write(void *(*act)(void *), Actor *a)
{
    Tape *tape = tape_of(a->blk);
    uint8_t data[CLUSTER];
    pthread_t writer, actor;

    memset(data, 0x55, sizeof(data));
    cr_assert_eq(blk_pwrite(a->blk, a->offset, CLUSTER, data,
                            a->with_zeroes ? 0 : BDRV_REQ_WRITE_COMPRESSED),
                 0);
    if (a->with_zeroes) {
        cr_assert_eq(blk_pwrite_zeroes(a->blk, a->offset, CLUSTER, 0), 0);
    }
    cr_assert_eq(blk_flush(a->blk), 0);
    tape_hold(tape);
    pthread_create(&writer, NULL, write_part, a);
    tape_wait_held(tape);
    pthread_create(&actor, NULL, act, a);
    wait_for_actor(a);
    tape_release(tape);
    pthread_join(writer, NULL);
    pthread_join(actor, NULL);
}

/* Nothing is of the old contents: the write came before, and was dropped. */
static void check_dropped(BlockBackend *blk, int64_t offset)
{
    uint8_t data[CLUSTER], zeroes[CLUSTER] = { 0 };

    cr_assert_eq(blk_pread(blk, offset, CLUSTER, data, 0), 0);
    cr_assert_arr_eq(data, zeroes, CLUSTER);
}

static void check_saved(BlockBackend *blk)
{
    cr_assert_eq(blk_flush(blk), 0);
    tape_save(tape_of(blk), "saved");
    cr_assert_eq(tape_check("saved"), 0);
}

static void emptying(bool with_zeroes)
{
    if (!tape_create("i", "cluster_size=4k", "256k")) {
        cr_skip_test("needs qemu-img");
    }
    g_autoptr(BlockBackend) blk = tape_open("i", "");
    Actor a = { .blk = blk, .offset = 0, .with_zeroes = with_zeroes };

    act_beside_write(empty_image, &a);
    check_dropped(blk, a.offset);
    check_saved(blk);
}

Test(qcow2_beside, emptying_waits_for_writes_to_reserved_clusters)
{
    emptying(true);
}

Test(qcow2_beside, emptying_waits_for_copies_on_write)
{
    emptying(false);
}

static void shrinking(bool with_zeroes)
{
    if (!tape_create("i", "cluster_size=4k", "256k")) {
        cr_skip_test("needs qemu-img");
    }
    g_autoptr(BlockBackend) blk = tape_open("i", "");
    Actor a = { .blk = blk,
                .offset = SIZE - CLUSTER,
                .with_zeroes = with_zeroes };

    act_beside_write(shrink_image, &a);
    check_saved(blk);
    cr_assert_eq(blk_truncate(blk, SIZE, true, PREALLOC_MODE_OFF, NULL), 0);
    check_dropped(blk, a.offset);
    check_saved(blk);
}

Test(qcow2_beside, shrinking_waits_for_writes_to_reserved_clusters)
{
    shrinking(true);
}

Test(qcow2_beside, shrinking_waits_for_copies_on_write)
{
    shrinking(false);
}
