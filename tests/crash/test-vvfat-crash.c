/* SPDX-License-Identifier: MIT */
/*
 * A writable directory with an overlay that is kept, ended at each call that
 * changes the host, and between any two of them.
 *
 * mtools make the volume of each step from the one before it; a guest writes
 * the sectors that differ, and flushes. Killed, everything that was written is
 * there when the overlay is opened again; after a power cut, everything that
 * was flushed. When the guest has written the step (again), the host has
 * exactly the files that it has without a crash: each old or new, nothing
 * beside them.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/crash/kept-world.h"

#define SKIPPED 77

static unsigned n_cuts, n_faults;

/* ---- Runs ---- */

static RecordDisk *copy_overlay(void)
{
    RecordDisk *disk = record_disk_new(world.overlay->data,
                                       world.overlay->length);

    disk->recording = true;
    return disk;
}

static void note_call(int n, void *opaque)
{
    record_note(opaque, n);
}

/* Without a crash: what the host has after each step, and how many calls
 * change it. */
static int run_whole(void)
{
    g_autoptr(RecordDisk) disk = copy_overlay();
    FaultFs *f = fault_fs_new(memory_hostfs_kill(world.host));
    BlockBackend *blk;
    int calls;

    g_strlcpy(world_context, "without a crash", sizeof(world_context));
    f->kinds = HOST_CALL_CHANGE;
    blk = world_open(&f->fs, disk);
    world_must(blk != NULL, "opening");
    world.trees[0] = world_tree(f->inner);
    for (size_t i = 0; i < N_STEPS; i++) {
        world_must(world_write_step(blk, i, NULL) == 0, world_steps[i]);
        world.trees[i + 1] = world_tree(f->inner);
        world_check_disk(world_steps[i], blk, world.volumes[i + 1],
                         world.volumes[i + 1]);
    }
    calls = f->calls;
    blk_close(blk);
    return calls;
}

typedef struct Cut {
    size_t step;      /* that was under way */
    HostFs *host;     /* when it ended; owned */
    RecordDisk *disk; /* with all events */
    guint call;       /* index of the event that notes the fatal call */
} Cut;

/* Where the k-th call was made. */
static bool find_call(Cut *cut, int k)
{
    for (guint i = 0; i < cut->disk->events->len; i++) {
        const RecordEvent *e = &g_array_index(cut->disk->events, RecordEvent,
                                              i);

        if (e->kind == RECORD_NOTE && e->offset == k) {
            cut->call = i;
            return true;
        }
    }
    return false;
}

/* Run until the k-th call. False: it does not come to that. */
static bool run_until(int k, Cut *cut)
{
    FaultFs *f = fault_fs_new(memory_hostfs_kill(world.host));
    BlockBackend *blk;

    cut->disk = copy_overlay();
    f->kinds = HOST_CALL_CHANGE;
    f->fail_at = k;
    f->crash = true;
    f->on_call = note_call;
    f->opaque = cut->disk;
    blk = world_open(&f->fs, cut->disk);
    world_must(blk != NULL, "opening");
    for (cut->step = 0; cut->step < N_STEPS; cut->step++) {
        /* What is written is kept, so the guest does not notice. */
        world_must(world_write_step(blk, cut->step, cut->disk) == 0,
                   "writing with the host failed");
        if (f->crashed) {
            break;
        }
    }
    if (f->crashed) {
        cut->host = fault_fs_take_inner(f);
        f->inner = memory_hostfs_new();
    }
    blk_close(blk);
    return cut->host && find_call(cut, k);
}

/* The overlay's disk after `n` events; seed: 0: all of them; else what was not
 * flushed only in part. */
static RecordDisk *disk_from(const RecordDisk *from, const Cut *cut, guint n,
                             uint32_t seed)
{
    RecordDisk *disk = record_disk_new(from->data, from->length);
    g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
    guint flushed = n;

    while (seed && flushed > 0 &&
           g_array_index(cut->disk->events, RecordEvent, flushed - 1).kind !=
               RECORD_FLUSH) {
        flushed--;
    }
    for (guint i = 0; i < n; i++) {
        const RecordEvent *e = &g_array_index(cut->disk->events, RecordEvent,
                                              i);

        if (e->kind != RECORD_NOTE &&
            (i < flushed || (seed > 1 && g_rand_boolean(rand)))) {
            record_apply(disk, e);
        }
    }
    return disk;
}

static RecordDisk *disk_after(const Cut *cut, guint n, uint32_t seed)
{
    return disk_from(world.overlay, cut, n, seed);
}

/* host, disk: as the crash left them; both are used up. is_whole: everything
 * of the step was written. */
static void check_restart(const Cut *cut, HostFs *host, RecordDisk *disk,
                          bool is_whole)
{
    const uint8_t *new = world.volumes[cut->step + 1];
    const uint8_t *old = is_whole ? new : world.volumes[cut->step];
    BlockBackend *blk = world_open(host, disk);

    n_cuts++;
    if (!blk) {
        record_disk_free(disk);
        return;
    }
    world_check_disk("opened again", blk, old, new);
    g_autoptr(GError) error = NULL;
    if (is_whole ? blk_commit(blk, false, &error)
                 : world_write_step(blk, cut->step, NULL)) {
        world_fail("the guest cannot write: %s",
                   error ? error->message : "a flush");
    }
    world_check_tree(blk, "flushed", host, world.trees[cut->step + 1]);
    for (size_t i = cut->step + 1; i < N_STEPS; i++) {
        if (world_write_step(blk, i, NULL)) {
            world_fail("the guest cannot write");
        }
    }
    world_check_tree(blk, "at the end", host, world.trees[N_STEPS]);
    world_check_disk("at the end", blk, world.volumes[N_STEPS],
                     world.volumes[N_STEPS]);
    blk_close(blk);
    record_disk_free(disk);
}

/* The event of the call before, or the first of all. */
static guint call_before(const Cut *cut)
{
    guint i = cut->call;

    while (i > 0 &&
           g_array_index(cut->disk->events, RecordEvent, i - 1).kind !=
               RECORD_NOTE) {
        i--;
    }
    return i;
}

/* Whether all of the step was written before event n. */
static bool was_written(const Cut *cut, guint n)
{
    for (guint i = 0; i < n; i++) {
        const RecordEvent *e = &g_array_index(cut->disk->events, RecordEvent,
                                              i);

        if (e->kind == RECORD_NOTE &&
            e->offset == MARK_WRITTEN + (int64_t)cut->step) {
            return true;
        }
    }
    return false;
}

/* Opened again after a kill, and killed again at the j-th call. */
static void check_twice(const Cut *cut, int j)
{
    Cut second = { .step = cut->step, .disk = disk_after(cut, cut->call, 0) };
    FaultFs *f = fault_fs_new(memory_hostfs_kill(cut->host));
    g_autoptr(RecordDisk) before = disk_after(cut, cut->call, 0);
    BlockBackend *blk;

    second.disk->recording = true;
    f->kinds = HOST_CALL_CHANGE;
    f->fail_at = j;
    f->crash = true;
    f->on_call = note_call;
    f->opaque = second.disk;
    blk = world_try_open(&f->fs, second.disk, NULL);
    if (blk) {
        (void)!blk_commit(blk, false, NULL);
        if (f->crashed) {
            second.host = fault_fs_take_inner(f);
            f->inner = memory_hostfs_new();
        }
        blk_close(blk);
    }
    if (second.host && find_call(&second, j)) {
        check_restart(cut, memory_hostfs_kill(second.host),
                      disk_from(before, &second, second.call, 0), true);
        check_restart(cut, memory_hostfs_crash(second.host, 1),
                      disk_from(before, &second, second.call, 2), true);
    }
    hostfs_free(second.host);
    record_disk_free(second.disk);
}

/* Between the call before and this one. */
static void check_early(const Cut *cut, int k, guint n)
{
    guint before = call_before(cut);
    guint early = before + (guint)(k * 7919 + (int)n * 104729) %
                               (cut->call - before + 1);
    bool is_whole = was_written(cut, early);

    g_snprintf(world_context, sizeof(world_context),
               "killed at event %u before call %d, step %zu", early, k,
               cut->step);
    check_restart(cut, memory_hostfs_kill(cut->host),
                  disk_after(cut, early, 0), is_whole);
    g_snprintf(world_context, sizeof(world_context),
               "power cut at event %u before call %d, step %zu", early, k,
               cut->step);
    check_restart(cut, memory_hostfs_crash(cut->host, MEMORY_CRASH_NONE),
                  disk_after(cut, early, 2 + (uint32_t)k), false);
}

static void check_cut(int k)
{
    Cut cut = { 0 };

    g_snprintf(world_context, sizeof(world_context), "call %d", k);
    if (run_until(k, &cut)) {
        bool is_whole = was_written(&cut, cut.call);

        g_snprintf(world_context, sizeof(world_context),
                   "killed at call %d, step %zu", k, cut.step);
        check_restart(&cut, memory_hostfs_kill(cut.host),
                      disk_after(&cut, cut.call, 0), is_whole);
        for (uint32_t seed = 1; seed < 4; seed++) {
            g_snprintf(world_context, sizeof(world_context),
                       "power cut at call %d, step %zu, seed %u", k, cut.step,
                       seed);
            check_restart(&cut, memory_hostfs_crash(cut.host, seed),
                          disk_after(&cut, cut.call, seed), is_whole);
        }
        for (guint n = 0; n < 3; n++) {
            check_early(&cut, k, n);
        }
        for (int j = 1; is_whole && j < 12; j += 1 + k % 4) {
            g_snprintf(world_context, sizeof(world_context),
                       "killed at call %d, step %zu, and again at call %d", k,
                       cut.step, j);
            check_twice(&cut, j);
        }
    }
    hostfs_free(cut.host);
    record_disk_free(cut.disk);
}

/* ---- Faults of the overlay ---- */

/* A call to the overlay's file fails, once or for a while: the guest is told,
 * tries again, and everything is there. False: there are not so many calls. */
static bool check_fault(FaultOn fault, unsigned after, bool stays)
{
    g_autoptr(RecordDisk) disk = copy_overlay();
    HostFs *host = memory_hostfs_kill(world.host);
    BlockBackend *blk = world_open(host, disk);
    bool struck;

    world_must(blk != NULL, "opening");
    disk->recording = false;
    disk->fault = fault;
    disk->fault_errno = ENOSPC;
    disk->fault_after = after;
    disk->fault_stays = stays;
    for (size_t i = 0; i < N_STEPS; i++) {
        if (world_write_step(blk, i, NULL) < 0) {
            disk->fault = FAULT_NOTHING; /* somebody has made room */
            world_must(world_write_step(blk, i, NULL) == 0, "a second try");
        }
        if (disk->faults && stays && i % 2) {
            disk->fault = FAULT_NOTHING;
        }
    }
    struck = disk->faults > 0;
    disk->fault = FAULT_NOTHING;
    world_must(blk_commit(blk, false, NULL) == 0, "the last commit");
    world_check_tree(blk, "at the end", host, world.trees[N_STEPS]);
    world_check_disk("at the end", blk, world.volumes[N_STEPS],
                     world.volumes[N_STEPS]);
    blk_close(blk);
    return struck;
}

static void check_faults(unsigned by)
{
    static const FaultOn faults[] = { FAULT_CHANGES, FAULT_ANY };

    for (size_t f = 0; f < G_N_ELEMENTS(faults); f++) {
        for (unsigned after = 0;; after += by) {
            g_snprintf(world_context, sizeof(world_context),
                       "fault %zu of the overlay after %u calls", f, after);
            n_faults++;
            if (!check_fault(faults[f], after, false)) {
                break;
            }
            check_fault(faults[f], after, true);
        }
    }
}

int main(void)
{
    const char *stride = getenv("STRIDE");
    int calls, by = stride ? atoi(stride) : 1;

    if (system("command -v mmove mdeltree mattrib >/dev/null") != 0) {
        printf("mtools is not installed\n");
        return SKIPPED;
    }
    record_init();
    hostfs_set_opener(world_give_host);
    world_make();
    world_make_volumes();
    calls = run_whole();
    printf("%d calls change the host\n", calls);
    for (int k = 1; k <= calls; k += by) {
        check_cut(k);
    }
    check_faults(stride ? 7 * (unsigned)by : 5);
    printf("%u crashes, %u faults, %u failures\n", n_cuts, n_faults,
           world_failures);
    return world_failures ? 1 : 0;
}
