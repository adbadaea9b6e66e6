/* SPDX-License-Identifier: MIT */
/*
 * A writable directory with an overlay that is kept, whose host fails a sync
 * and loses what that was to write, as Linux does: shown until the power goes.
 * The guest does not notice, as its bytes are in the overlay.
 *
 * Then the power fails; or the next commit works, and then the power fails; or
 * the process is killed, another one commits, and then it fails; or any of
 * that in the middle of the next commit. What was flushed is there when the
 * overlay is opened again, and after a commit that worked the directory has it
 * on its disk.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/crash/kept-world.h"

#define SKIPPED 77

static unsigned n_failed, n_ends;

typedef struct Life {
    size_t step; /* whose flush met the failure */
    FaultFs *fault;
    HostFs *host; /* behind it */
    RecordDisk *disk;
    BlockBackend *blk;
} Life;

static RecordDisk *copy_disk(const RecordDisk *disk)
{
    return record_disk_new(disk->data, disk->length);
}

/* On this host and overlay, which are used up. */
static bool life_begin(Life *life, HostFs *host, RecordDisk *disk)
{
    life->fault = fault_fs_new(host);
    life->host = host;
    life->disk = disk;
    life->blk = world_open(&life->fault->fs, disk);
    return life->blk != NULL;
}

static void life_end(Life *life)
{
    blk_close(life->blk);
    record_disk_free(life->disk);
}

static void note(int k, const Life *life, const char *what)
{
    g_snprintf(world_context, sizeof(world_context),
               "sync %d failed in step %zu, %s", k, life->step, what);
}

/* The directory on the disk after a power cut. */
static void check_durable(const Life *life, const char *when)
{
    g_autoptr(HostFs)
        disk = memory_hostfs_crash(life->host, MEMORY_CRASH_NONE);

    world_check_tree(life->blk, when, disk, world.trees[life->step + 1]);
}

/* What is left of the day. */
static void go_on(const Life *life)
{
    const uint8_t *now = world.volumes[life->step + 1];

    world_check_disk("opened again", life->blk, now, now);
    if (blk_commit(life->blk, false, NULL) < 0) {
        world_fail("a commit does not work again");
    }
    check_durable(life, "committed");
    for (size_t i = life->step + 1; i < N_STEPS; i++) {
        if (world_write_step(life->blk, i, NULL) < 0) {
            world_fail("the guest cannot write");
        }
    }
    world_check_tree(life->blk, "at the end", life->host,
                     world.trees[N_STEPS]);
}

/* Opened again after that. */
static void check_restart(const Life *life, HostFs *host)
{
    Life next = { .step = life->step };

    if (life_begin(&next, host, copy_disk(life->disk))) {
        go_on(&next);
    }
    life_end(&next);
}

/* The same by a process that was killed before it did anything. */
static void check_killed_twice(const Life *life)
{
    Life next = { .step = life->step };

    if (life_begin(&next, memory_hostfs_kill(life->host),
                   copy_disk(life->disk))) {
        check_restart(&next, memory_hostfs_kill(next.host));
    }
    life_end(&next);
}

static void check_failure(int k, const Life *life)
{
    for (uint32_t seed = 0; seed < MEMORY_CRASH_RANDOM + 2; seed++) {
        note(k, life, "power cut");
        check_restart(life, memory_hostfs_crash(life->host, seed));
    }
    note(k, life, "killed");
    check_restart(life, memory_hostfs_kill(life->host));
    note(k, life, "killed twice");
    check_killed_twice(life);

    note(k, life, "again in the next commit");
    memory_hostfs_fail_sync(life->host, 1);
    if (blk_commit(life->blk, false, NULL) == 0) {
        world_fail("a commit works");
    }
    check_restart(life, memory_hostfs_crash(life->host, MEMORY_CRASH_NONE));
    check_restart(life, memory_hostfs_kill(life->host));

    note(k, life, "and a commit worked");
    if (blk_commit(life->blk, false, NULL) < 0) {
        world_fail("a commit does not work again");
    }
    check_durable(life, "committed");
    check_restart(life, memory_hostfs_crash(life->host, MEMORY_CRASH_NONE));
    go_on(life);
}

/* Until the flush whose k-th sync fails. False: there are not so many. */
static bool live(int k, Life *life)
{
    bool failed = false;

    g_snprintf(world_context, sizeof(world_context), "sync %d", k);
    world_must(life_begin(life, memory_hostfs_kill(world.host),
                          copy_disk(world.overlay)),
               "opening");
    memory_hostfs_fail_sync(life->host, (unsigned)k);
    for (; !failed && life->step < N_STEPS; life->step++) {
        world_must(world_write_step(life->blk, life->step, NULL) == 0,
                   "writing with the host failed");
        failed = !memory_hostfs_sync_is_to_fail(life->host);
    }
    life->step -= failed ? 1 : 0;
    return failed;
}

static bool check_sync(int k)
{
    Life life = { 0 };
    bool failed = live(k, &life);

    if (failed) {
        n_failed++;
        check_failure(k, &life);
    }
    life_end(&life);
    return failed;
}

/* The next commit ends at its j-th call. False: it has not so many. */
static bool check_next(int k, int j)
{
    Life life = { 0 };
    bool ended;

    world_must(live(k, &life), "a failing sync");
    life.fault->kinds = HOST_CALL_CHANGE;
    life.fault->calls = 0;
    life.fault->fail_at = j;
    life.fault->crash = true;
    (void)!blk_commit(life.blk, false, NULL);
    ended = life.fault->crashed;
    if (ended) {
        g_autofree char *what =
            g_strdup_printf("the next commit ended at call %d", j);

        note(k, &life, what);
        check_restart(&life, memory_hostfs_kill(life.host));
        check_restart(&life,
                      memory_hostfs_crash(life.host, MEMORY_CRASH_NONE));
        n_ends++;
    }
    life.fault->crashed = 0;
    life.fault->fail_at = 0;
    life_end(&life);
    return ended;
}

/* What the host has after each step. */
static void run_whole(void)
{
    Life life = { 0 };

    g_strlcpy(world_context, "without a failure", sizeof(world_context));
    world_must(life_begin(&life, memory_hostfs_kill(world.host),
                          copy_disk(world.overlay)),
               "opening");
    world.trees[0] = world_tree(life.host);
    for (; life.step < N_STEPS; life.step++) {
        world_must(world_write_step(life.blk, life.step, NULL) == 0,
                   world_steps[life.step]);
        world.trees[life.step + 1] = world_tree(life.host);
        check_durable(&life, "flushed");
    }
    life_end(&life);
}

int main(void)
{
    int k = 1;

    if (system("command -v mmove mdeltree mattrib >/dev/null") != 0) {
        printf("mtools is not installed\n");
        return SKIPPED;
    }
    record_init();
    hostfs_set_opener(world_give_host);
    world_make();
    world_make_volumes();
    run_whole();
    for (; check_sync(k); k++) {
        for (int j = 1; check_next(k, j); j += 1 + k % 2) {
        }
    }
    world_must(n_failed > 20, "failing syncs");
    printf("%u syncs failed, %u commits after that ended, %u failures\n",
           n_failed, n_ends, world_failures);
    return world_failures ? 1 : 0;
}
