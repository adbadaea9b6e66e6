/* SPDX-License-Identifier: MIT */
#include "tests/crash/judge.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "block/qcow2/qcow2-format.h"

#define ENOUGH_FAILURES 4

bool crash_begin(void)
{
    record_init();
    if (run_shell("qemu-img --version && qemu-io --version") != 0) {
        puts("qemu-img or qemu-io is not installed");
        return false;
    }
    return true;
}

bool crash_wanted(const Scenario *scenario)
{
    const char *only = g_getenv("CRASH_SCENARIO");

    return only == NULL || strcmp(only, scenario->name) == 0;
}

void judge_init(Judge *judge, const Workload *workload)
{
    const char *every = g_getenv("CRASH_EVERY");

    *judge = (Judge){ .workload = workload };
    judge->qemu_every = every ? (unsigned)MAX(atoi(every), 1) : 1;
    judge->write_every = 5;
}

int judge_result(const Judge *judge)
{
    printf("%s: %u images, %u wrong\n", judge->workload->scenario->name,
           judge->judged, judge->failed);
    fflush(stdout);
    return judge->failed > 0;
}

void judge_complain(Judge *judge, RecordDisk *disk, const char *label,
                    const char *what)
{
    const char *name = judge->workload->scenario->name;
    g_autofree char *path = g_strdup_printf("%s-%u.img", name, judge->failed);

    record_disk_save(disk, path);
    printf("%s: %s: %s (image in %s)\n", name, label, what, path);
    if (++judge->failed >= ENOUGH_FAILURES) {
        exit(judge_result(judge));
    }
}

/* Exit status of a program in the search path, or -1. */
static int run(const char *const *argv)
{
    int status = -1;

    if (!g_spawn_sync(NULL, (char **)argv, NULL,
                      G_SPAWN_LEAVE_DESCRIPTORS_OPEN | G_SPAWN_SEARCH_PATH |
                          G_SPAWN_STDOUT_TO_DEV_NULL |
                          G_SPAWN_STDERR_TO_DEV_NULL,
                      NULL, NULL, NULL, NULL, &status, NULL)) {
        return -1;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* ---- QEMU ---- */

/* Whether refcounts may be wrong: they are lazy, and the image says so. */
static bool may_be_wrong(const Workload *w, const RecordDisk *disk)
{
    const Qcow2DiskHeader *header = (const Qcow2DiskHeader *)disk->data;

    return w->scenario->lazy_refcounts &&
           (GUINT64_FROM_BE(header->incompatible_features) &
            QCOW2_INCOMPAT_DIRTY);
}

/* NULL, or what is wrong with the image, which is saved there. *leaks: whether
 * there are any. */
static char *qemu_checks(const Workload *w, const RecordDisk *disk,
                         const char *path, bool *leaks)
{
    bool dirty = may_be_wrong(w, disk);
    const char *check[] = { "qemu-img",          "check", "-q", "-f",
                            w->scenario->format, path,    NULL };
    const char *repair[] = {
        "qemu-img", "check", "-q", "-f", w->scenario->format,
        "-r",       "all",   path, NULL
    };
    int status;

    if (strcmp(w->scenario->format, "qcow2") != 0) {
        return NULL;
    }
    if (dirty && run(repair) != 0) {
        return g_strdup("qemu-img check -r all could not mend it");
    }
    status = run(check);
    *leaks = status == 3;
    return status == 0 || (status == 3 && !dirty)
               ? NULL
               : g_strdup_printf("qemu-img check ends with %d", status);
}

static char *qemu_reads(const Workload *w, const char *path,
                        const GuestModel *model)
{
    const char *convert[] = { "qemu-img", "convert",           "-t", "unsafe",
                              "-f",       w->scenario->format, "-O", "raw",
                              path,       "judged.raw",        NULL };
    g_autofree char *data = NULL;
    gsize size;

    if (run(convert) != 0 ||
        !g_file_get_contents("judged.raw", &data, &size, NULL)) {
        return g_strdup("qemu-img convert fails");
    }
    return size > MODEL_MAX
               ? g_strdup("far too large")
               : model_check(model, (const uint8_t *)data, (int64_t)size);
}

static char *qemu_reads_snapshot(const Workload *w, const char *path)
{
    const char *convert[] = { "qemu-img", "convert", "-t", "unsafe",
                              "-l",       "snap",    "-f", "qcow2",
                              "-O",       "raw",     path, "judged.raw",
                              NULL };
    g_autofree char *data = NULL;
    gsize size;

    if (run(convert) != 0 ||
        !g_file_get_contents("judged.raw", &data, &size, NULL)) {
        return g_strdup("qemu-img convert of the snapshot fails");
    }
    return (int64_t)size != model_size(w->start) ||
                   memcmp(data, w->snapshot, size) != 0
               ? g_strdup("the snapshot has changed")
               : NULL;
}

static char *qemu_judges(Judge *judge, const RecordDisk *disk,
                         const GuestModel *model, bool own_leaks)
{
    const Workload *w = judge->workload;
    bool leaks = false;
    char *wrong;

    record_disk_save(disk, "judged.img");
    wrong = qemu_checks(w, disk, "judged.img", &leaks);
    if (wrong == NULL && leaks != own_leaks &&
        strcmp(w->scenario->format, "qcow2") == 0 && !may_be_wrong(w, disk)) {
        wrong = g_strdup_printf("%s sees leaks",
                                leaks ? "only qemu-img" : "qemu-img does not");
    }
    if (wrong || judge->judged % (2 * judge->qemu_every) != 0) {
        return wrong;
    }
    wrong = qemu_reads(w, "judged.img", model);
    if (wrong) {
        g_autofree char *text = wrong;

        wrong = g_strdup_printf("QEMU reads: %s", text);
    } else if (w->snapshot) {
        wrong = qemu_reads_snapshot(w, "judged.img");
    }
    return wrong;
}

/* ---- Our driver ---- */

static void keep_finding(const char *text, void *opaque)
{
    char **first = opaque;

    if (*first == NULL) {
        *first = g_strdup(text);
    }
}

static char *own_checks(const Workload *w, const RecordDisk *disk,
                        BlockBackend *blk, bool *leaks)
{
    g_autofree char *finding = NULL;
    g_autoptr(GError) error = NULL;
    BdrvCheckResult result = { .message = keep_finding, .opaque = &finding };
    int ret = blk_check(blk, &result, 0, &error);

    *leaks = result.leaks > 0;
    if (ret == -ENOTSUP) {
        return NULL;
    }
    if (ret < 0) {
        return g_strdup_printf("our check fails: %s", error->message);
    }
    return result.check_errors > 0 ||
                   (result.corruptions > 0 && !may_be_wrong(w, disk))
               ? g_strdup_printf("our check: %s", finding ? finding : "?")
               : NULL;
}

static char *own_judges(Judge *judge, RecordDisk *disk,
                        const GuestModel *model, bool *leaks)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(BlockBackend)
        blk = workload_open(judge->workload, disk, 0, &error);
    g_autofree char *why = NULL;
    int64_t size;

    if (blk == NULL) {
        return g_strdup_printf("does not open: %s", error->message);
    }
    g_autofree uint8_t *data = guest_read(blk, &size, &why);
    if (data == NULL) {
        return g_strdup_printf("cannot be read: %s", why);
    }
    why = model_check(model, data, size);
    return why ? g_strdup_printf("we read: %s", why)
               : own_checks(judge->workload, disk, blk, leaks);
}

/* Work goes on after the crash. */
static char *own_continues(Judge *judge, const RecordDisk *disk)
{
    static const char data[4096] = "written after the crash";
    const Workload *w = judge->workload;
    g_autoptr(RecordDisk) copy = record_disk_new(disk->data, disk->length);
    g_autoptr(GError) error = NULL;
    BlockBackend *blk = workload_open(w, copy, BDRV_O_RDWR | BDRV_O_UNMAP,
                                      &error);
    g_autofree char *read = g_malloc(sizeof(data));
    char *wrong = NULL;
    bool leaks;
    int ret;

    if (blk == NULL) {
        return g_strdup_printf("does not open for writing: %s",
                               error->message);
    }
    for (int64_t offset = 0; offset + 4096 <= blk_getlength(blk);
         offset += 100 * INT64_C(1024)) {
        ret = blk_pwrite(blk, offset, sizeof(data), data, 0);
        ret = ret < 0 ? ret : blk_flush(blk);
        ret = ret < 0 ? ret : blk_pread(blk, offset, sizeof(data), read, 0);
        if (ret < 0 || memcmp(read, data, sizeof(data)) != 0) {
            g_autofree char *text = blk_strerror(ret);

            blk_close(blk);
            return g_strdup_printf("writing again fails: %s",
                                   ret < 0 ? text : "other data come back");
        }
    }
    blk_close(blk);
    record_disk_save(copy, "judged.img");
    wrong = qemu_checks(w, copy, "judged.img", &leaks);
    if (wrong) {
        g_autofree char *text = wrong;

        wrong = g_strdup_printf("after further writes: %s", text);
    }
    return wrong;
}

void judge_image(Judge *judge, RecordDisk *disk, const GuestModel *model,
                 const char *label)
{
    bool leaks = false;
    g_autofree char *wrong = own_judges(judge, disk, model, &leaks);

    if (wrong == NULL && judge->judged % judge->qemu_every == 0) {
        wrong = qemu_judges(judge, disk, model, leaks);
    }
    if (wrong == NULL && judge->judged % judge->write_every == 0) {
        wrong = own_continues(judge, disk);
    }
    judge->judged++;
    if (wrong) {
        judge_complain(judge, disk, label, wrong);
    }
}
