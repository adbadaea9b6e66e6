/* SPDX-License-Identifier: MIT */
/*
 * The k-th call fails, for each k. A request that fails says so with the errno
 * of the fault and words. If that was the only fault, the same request succeeds
 * when it is made again, and everything is there in the end. If the disk goes
 * on failing, what a flush had confirmed is there when it is well again.
 */
#include "tests/crash/faults.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define HANGS_AFTER 60 /* seconds of one run */

typedef struct FaultType {
    const char *name;
    FaultOn on;
    int error;
    bool stays;
} FaultType;

static const FaultType fault_types[] = {
    { "one I/O error", FAULT_ANY, EIO, false },
    { "I/O errors", FAULT_ANY, EIO, true },
    { "full for a moment", FAULT_CHANGES, ENOSPC, false },
    { "full", FAULT_CHANGES, ENOSPC, true },
    { "half a write", FAULT_HALF_WRITE, ENOSPC, false },
    { "halves of writes", FAULT_HALF_WRITE, EIO, true },
};

typedef struct FaultRun {
    Judge *judge;
    RecordDisk *disk;
    GuestModel *model;
    BlockBackend *blk;
    const FaultType *type;
    const char *label;
} FaultRun;

static void complain(FaultRun *run, const Request *request, const char *what)
{
    g_autofree char *text = request ? request_text(request)
                                    : g_strdup("opening");
    g_autofree char *label = g_strdup_printf("%s, %s", run->label, text);

    judge_complain(run->judge, run->disk, label, what);
}

/* An error must be that of the fault, and tell why. */
static void judge_error(FaultRun *run, const Request *request, int ret,
                        const char *why)
{
    /* Opening repairs what is dirty, and says that a repair has failed. */
    bool opens = request == NULL || request->kind == REQUEST_REOPEN;

    if (run->disk->faults == 0) {
        g_autofree char *text = g_strdup_printf("fails without a fault: %s",
                                                why);
        complain(run, request, text);
    } else if (ret != -run->type->error && !(ret == -EIO && opens)) {
        g_autofree char *text = g_strdup_printf("fails with %d (%s)", ret,
                                                why);
        complain(run, request, text);
    } else if (why == NULL || *why == '\0') {
        complain(run, request, "fails without words");
    }
}

static bool open_image(FaultRun *run)
{
    const unsigned flags = BDRV_O_RDWR | BDRV_O_RESIZE | BDRV_O_UNMAP;
    g_autoptr(GError) error = NULL;

    run->blk = workload_open(run->judge->workload, run->disk, flags, &error);
    if (run->blk) {
        return true;
    }
    judge_error(run, NULL, block_error_to_errno(error), error->message);
    if (run->type->stays) {
        return false;
    }
    g_clear_error(&error);
    run->blk = workload_open(run->judge->workload, run->disk, flags, &error);
    if (run->blk == NULL) {
        complain(run, NULL, error->message);
    }
    return run->blk != NULL;
}

/* The disk as it is. A fault that strikes now is none of a request. */
static uint8_t *read_now(FaultRun *run, int64_t *size, char **why)
{
    unsigned faults = run->disk->faults;
    uint8_t *data = guest_read(run->blk, size, why);

    if (data == NULL && !run->type->stays && run->disk->faults > faults) {
        g_clear_pointer(why, g_free);
        data = guest_read(run->blk, size, why);
    }
    return data;
}

static void model_done(FaultRun *run, const Request *request)
{
    g_autofree uint8_t *data = NULL;
    g_autofree char *why = NULL;
    int64_t size;

    if (request_leaves_unknown(request)) {
        data = read_now(run, &size, &why);
        if (data == NULL) {
            /* Not known: as after a failure. */
            judge_error(run, request, -run->type->error, why);
            request_model_failed(run->judge->workload, run->model, request);
            return;
        }
    }
    request_model(run->model, request, data);
    if (request->kind == REQUEST_WRITE_DURABLE) {
        model_settle(run->model, request->offset, request->bytes);
    }
}

/* After a resize that failed some requests have nothing to aim at. */
static bool is_inside(FaultRun *run, const Request *request)
{
    return run->blk == NULL || request->kind == REQUEST_TRUNCATE ||
           request->offset + request->bytes <= blk_getlength(run->blk);
}

/* False: the image is closed and does not open any more. */
static bool do_request(FaultRun *run, const Request *request)
{
    const Workload *w = run->judge->workload;

    for (int attempt = 0; attempt < 2 && is_inside(run, request); attempt++) {
        g_autofree char *why = NULL;
        int ret = request_run(w, run->disk, &run->blk, request, &why);

        if (ret == 0) {
            model_done(run, request);
            return true;
        }
        g_autofree char *words = why ? g_strdup(why) : blk_strerror(ret);
        judge_error(run, request, ret, words);
        request_model_failed(w, run->model, request);
        if (run->type->stays) {
            break;
        }
        if (attempt == 1) {
            complain(run, request, "fails again, though the disk is well");
        }
    }
    return run->blk != NULL;
}

static void check_everything_is_there(FaultRun *run)
{
    g_autofree char *why = NULL;
    int64_t size;
    g_autofree uint8_t *data = read_now(run, &size, &why);

    if (data) {
        why = model_check_now(run->model, data, size);
    }
    if (why) {
        g_autofree char *text = g_strdup_printf("in the end, %s", why);
        complain(run, NULL, text);
    }
}

/* False when there were fewer calls than that. */
static bool fail_call(Judge *judge, const FaultType *type, unsigned k)
{
    const Workload *w = judge->workload;
    gsize length;
    const uint8_t *image = g_bytes_get_data(w->image, &length);
    g_autoptr(RecordDisk) disk = record_disk_new(image, (int64_t)length);
    g_autoptr(GuestModel) model = model_copy(w->start);
    g_autofree char *label = g_strdup_printf("%s at call %u", type->name, k);
    FaultRun run = { .judge = judge,
                     .disk = disk,
                     .model = model,
                     .type = type,
                     .label = label };

    alarm(HANGS_AFTER);
    disk->fault = type->on;
    disk->fault_errno = type->error;
    disk->fault_stays = type->stays;
    disk->fault_after = k;
    bool opened = open_image(&run);
    for (guint i = 0; opened && i < w->requests->len; i++) {
        opened = do_request(&run, &g_array_index(w->requests, Request, i));
    }
    if (opened && !type->stays) {
        check_everything_is_there(&run);
    }
    blk_close(run.blk);
    disk->fault = FAULT_NOTHING;
    judge_image(judge, disk, model, label);
    alarm(0);
    return disk->faults > 0;
}

void faults_run(Judge *judge)
{
    for (guint i = 0; i < G_N_ELEMENTS(fault_types); i++) {
        for (unsigned k = 0; fail_call(judge, &fault_types[i], k); k++) {
        }
    }
}

int faults_main(const Scenario *scenarios)
{
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
        faults_run(&judge);
        failed |= judge_result(&judge);
    }
    return failed;
}
