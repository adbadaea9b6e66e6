/* SPDX-License-Identifier: MIT */
#include "tests/crash/tape.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POWER_FEW 4   /* changes, of which all choices are tried */
#define POWER_TRIES 3 /* choices of more */
#define POWER_QEMU 5  /* QEMU judges every n-th of what we judge */

/* Notes: 2 * request when it begins, and one more when it has ended. */

void tape_free(Tape *tape)
{
    record_disk_free(tape->disk);
    g_ptr_array_unref(tape->leftover);
    g_free(tape);
}

/* What the disk shows beside the model, after a request. */
static void compare_now(Judge *judge, RecordDisk *disk, BlockBackend *blk,
                        GuestModel *model, const Request *request,
                        uint8_t **leftover)
{
    g_autofree char *label = request_text(request);
    g_autofree char *why = NULL;
    int64_t size;
    g_autofree uint8_t *data = guest_read(blk, &size, &why);

    if (data && request_leaves_unknown(request)) {
        g_autoptr(GuestModel) before = model_copy(model);

        model_flush(before);
        request_model_failed(judge->workload, before, request);
        why = model_check(before, data, size);
        request_model(model, request, data);
        *leftover = g_steal_pointer(&data);
    } else {
        request_model(model, request, NULL);
        why = data ? model_check_now(model, data, size)
                   : g_steal_pointer(&why);
    }
    if (why) {
        judge_complain(judge, disk, label, why);
    }
}

Tape *tape_record(Judge *judge)
{
    const Workload *w = judge->workload;
    Tape *tape = g_new0(Tape, 1);
    g_autoptr(GError) error = NULL;
    g_autoptr(GuestModel) model = model_copy(w->start);
    gsize length;
    const uint8_t *image = g_bytes_get_data(w->image, &length);
    RecordDisk *disk = record_disk_new(image, (int64_t)length);
    BlockBackend *blk = workload_open(
        w, disk, BDRV_O_RDWR | BDRV_O_RESIZE | BDRV_O_UNMAP, &error);

    tape->workload = w;
    tape->disk = disk;
    tape->leftover = g_ptr_array_new_with_free_func(g_free);
    if (blk == NULL) {
        judge_complain(judge, disk, "opening", error->message);
        return tape;
    }
    disk->recording = true;
    for (guint i = 0; i < w->requests->len; i++) {
        const Request *request = &g_array_index(w->requests, Request, i);
        g_autofree char *why = NULL;
        uint8_t *leftover = NULL;

        record_note(disk, 2 * (int64_t)i);
        if (request_run(w, disk, &blk, request, &why) < 0) {
            g_autofree char *label = request_text(request);

            judge_complain(judge, disk, label, why);
            break;
        }
        record_note(disk, 2 * (int64_t)i + 1);
        compare_now(judge, disk, blk, model, request, &leftover);
        g_ptr_array_add(tape->leftover, leftover);
    }
    blk_close(blk);
    return tape;
}

/* ---- Going through it ---- */

typedef struct Replay {
    const Tape *tape;
    GuestModel *model;
    const Request *request; /* the one under way, or the last */
} Replay;

static void replay_init(Replay *replay, const Tape *tape)
{
    *replay = (Replay){ .tape = tape,
                        .model = model_copy(tape->workload->start) };
}

/* A request begins or ends. True when the guest may rely on more now. */
static bool replay_note(Replay *replay, int64_t note)
{
    const Workload *w = replay->tape->workload;
    guint i = (guint)(note / 2);
    const Request *request = &g_array_index(w->requests, Request, i);
    bool flushes = request->kind == REQUEST_FLUSH ||
                   request->kind == REQUEST_REOPEN;

    replay->request = request;
    if (note % 2 == 0) {
        if (!flushes && i < replay->tape->leftover->len) {
            request_model(replay->model, request,
                          g_ptr_array_index(replay->tape->leftover, i));
        }
        return false;
    }
    if (request->kind == REQUEST_WRITE_DURABLE) {
        model_settle(replay->model, request->offset, request->bytes);
    } else if (flushes) {
        model_flush(replay->model);
    }
    return flushes || request->kind == REQUEST_WRITE_DURABLE;
}

static char *replay_label(const Replay *replay, const char *what, guint event)
{
    g_autofree char *text = replay->request ? request_text(replay->request)
                                            : g_strdup("at the beginning");

    return g_strdup_printf("%s after event %u, %s", what, event, text);
}

static const RecordEvent *tape_event(const Tape *tape, guint i)
{
    return &g_array_index(tape->disk->events, RecordEvent, i);
}

void tape_kill(const Tape *tape, Judge *judge)
{
    gsize length;
    const uint8_t *image = g_bytes_get_data(tape->workload->image, &length);
    g_autoptr(RecordDisk) disk = record_disk_new(image, (int64_t)length);
    Replay replay;

    replay_init(&replay, tape);
    for (guint i = 0; i < tape->disk->events->len; i++) {
        const RecordEvent *event = tape_event(tape, i);

        if (event->kind == RECORD_FLUSH ||
            (event->kind == RECORD_NOTE &&
             !replay_note(&replay, event->offset))) {
            continue;
        }
        record_apply(disk, event);
        g_autofree char *label = replay_label(&replay, "killed", i);
        judge_image(judge, disk, replay.model, label);
    }
    model_free(replay.model);
}

/* ---- The power ---- */

/* Of the changes that are not durable yet, which have reached the disk. */
typedef struct Choice {
    guint mask;  /* bit n: the n-th, if !by_lot */
    bool by_lot; /* each with this chance */
    bool torn;   /* sector by sector */
    double chance;
} Choice;

static void apply_chosen(RecordDisk *disk, const RecordEvent *event, guint n,
                         const Choice *choice, GRand *rand)
{
    if (!choice->by_lot || !choice->torn || event->kind == RECORD_TRUNCATE) {
        if (choice->by_lot ? g_rand_double(rand) < choice->chance
                           : (choice->mask >> n & 1)) {
            record_apply(disk, event);
        }
        return;
    }
    for (int64_t done = 0; done < event->bytes;) {
        int64_t part = MIN(SECTOR - (event->offset + done) % SECTOR,
                           event->bytes - done);
        if (g_rand_double(rand) < choice->chance) {
            record_apply_part(disk, event, done, part);
        }
        done += part;
    }
}

typedef struct PowerCut {
    Replay replay;
    Judge *judge;
    RecordDisk *durable; /* before the events that are not */
    GArray *pending;     /* numbers (guint) of those */
    GRand *rand;
    uint32_t seed;
} PowerCut;

static void cut_power(PowerCut *cut, const Choice *choice)
{
    const Tape *tape = cut->replay.tape;
    g_autoptr(RecordDisk)
        disk = record_disk_new(cut->durable->data, cut->durable->length);
    guint last = 0;

    for (guint n = 0; n < cut->pending->len; n++) {
        last = g_array_index(cut->pending, guint, n);
        const RecordEvent *event = tape_event(tape, last);

        if (event->durable && n + 1 < cut->pending->len) {
            record_apply(disk, event);
        } else {
            apply_chosen(disk, event, n, choice, cut->rand);
        }
    }
    g_autofree char *what = g_strdup_printf("power cut (seed %u)", cut->seed);
    g_autofree char *label = replay_label(&cut->replay, what, last);
    judge_image(cut->judge, disk, cut->replay.model, label);
}

/* Every choice of a few changes with the last of them, but for all of them,
 * which is a kill; some of many. And sectors by lot. */
static void cut_power_here(PowerCut *cut)
{
    static const double chances[] = { 0.1, 0.5, 0.9 };
    guint n = cut->pending->len;
    bool few = n <= POWER_FEW;
    guint last = few && n > 0 ? 1u << (n - 1) : 1;

    for (guint mask = 0; few && mask + 1 < last; mask++) {
        cut_power(cut, &(Choice){ .mask = mask | last });
    }
    for (int i = 0; i < (few ? 1 : POWER_TRIES); i++) {
        const Choice choice = {
            .by_lot = true,
            .torn = few || i % 2 == 0,
            .chance =
                chances[g_rand_int_range(cut->rand, 0, G_N_ELEMENTS(chances))],
        };
        cut_power(cut, &choice);
    }
}

static void make_durable(PowerCut *cut)
{
    for (guint n = 0; n < cut->pending->len; n++) {
        guint i = g_array_index(cut->pending, guint, n);

        record_apply(cut->durable, tape_event(cut->replay.tape, i));
    }
    g_array_set_size(cut->pending, 0);
}

void tape_cut_power(const Tape *tape, Judge *judge, uint32_t seed)
{
    gsize length;
    const uint8_t *image = g_bytes_get_data(tape->workload->image, &length);
    g_autoptr(RecordDisk) durable = record_disk_new(image, (int64_t)length);
    g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
    g_autoptr(GArray) pending = g_array_new(FALSE, FALSE, sizeof(guint));
    PowerCut cut = { .judge = judge,
                     .durable = durable,
                     .pending = pending,
                     .rand = rand,
                     .seed = seed };

    replay_init(&cut.replay, tape);
    for (guint i = 0; i < tape->disk->events->len; i++) {
        const RecordEvent *event = tape_event(tape, i);

        if (event->kind == RECORD_FLUSH) {
            make_durable(&cut);
        } else if (event->kind == RECORD_NOTE) {
            if (replay_note(&cut.replay, event->offset)) {
                cut_power_here(&cut);
            }
        } else {
            g_array_append_val(pending, i);
            cut_power_here(&cut);
        }
    }
    model_free(cut.replay.model);
}

/* ---- Tests ---- */

int tape_main(const Scenario *scenarios)
{
    const char *seed = g_getenv("CRASH_SEED");
    int failed = 0;

    if (!crash_begin()) {
        return 77;
    }
    for (; scenarios->name; scenarios++) {
        if (!crash_wanted(scenarios)) {
            continue;
        }
        g_autoptr(Workload) workload = workload_new(scenarios);
        Judge judge;

        judge_init(&judge, workload);
        g_autoptr(Tape) tape = tape_record(&judge);
        tape_kill(tape, &judge);
        judge.qemu_every *= POWER_QEMU;
        tape_cut_power(tape, &judge,
                          seed ? (uint32_t)strtoul(seed, NULL, 0) : 1);
        failed |= judge_result(&judge);
    }
    return failed;
}
