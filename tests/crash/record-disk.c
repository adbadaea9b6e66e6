/* SPDX-License-Identifier: MIT */
#include "tests/crash/record-disk.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RECORD_MAX (INT64_C(1) << 30)
#define DISCARDED 0xdd

typedef struct RecordState {
    RecordDisk *disk;
} RecordState;

/* ---- The disk ---- */

static void disk_set_length(RecordDisk *disk, int64_t length)
{
    if (length > disk->capacity) {
        disk->capacity = MAX(length, disk->capacity * 2);
        disk->data = g_realloc(disk->data, (gsize)disk->capacity);
    }
    if (length > disk->length) {
        memset(disk->data + disk->length, 0, (size_t)(length - disk->length));
    }
    disk->length = length;
}

RecordDisk *record_disk_new(const uint8_t *data, int64_t length)
{
    RecordDisk *disk = g_new0(RecordDisk, 1);

    disk_set_length(disk, length);
    if (length > 0) {
        memcpy(disk->data, data, (size_t)length);
    }
    disk->events = g_array_new(FALSE, FALSE, sizeof(RecordEvent));
    return disk;
}

RecordDisk *record_disk_load(const char *path)
{
    g_autofree char *data = NULL;
    g_autoptr(GError) error = NULL;
    gsize length;

    if (!g_file_get_contents(path, &data, &length, &error)) {
        fprintf(stderr, "%s\n", error->message);
        exit(1);
    }
    return record_disk_new((const uint8_t *)data, (int64_t)length);
}

void record_disk_free(RecordDisk *disk)
{
    for (guint i = 0; i < disk->events->len; i++) {
        g_free(g_array_index(disk->events, RecordEvent, i).data);
    }
    g_array_free(disk->events, TRUE);
    g_free(disk->data);
    g_free(disk);
}

void record_disk_save(const RecordDisk *disk, const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    int64_t done = 0;

    while (fd >= 0 && done < disk->length) {
        ssize_t n = pwrite(fd, disk->data + done,
                           (size_t)(disk->length - done), done);
        if (n <= 0) {
            break;
        }
        done += n;
    }
    if (fd < 0 || done < disk->length || ftruncate(fd, disk->length) < 0) {
        perror(path);
        exit(1);
    }
    close(fd);
}

/* ---- The tape ---- */

static void record_add(RecordDisk *disk, RecordEvent event,
                       const IOVector *iov)
{
    if (!disk->recording) {
        return;
    }
    if (iov) {
        event.data = g_malloc((gsize)event.bytes);
        iov_to_buf(iov, 0, event.data, (size_t)event.bytes);
    }
    g_array_append_val(disk->events, event);
}

void record_note(RecordDisk *disk, int64_t number)
{
    const RecordEvent event = { .kind = RECORD_NOTE, .offset = number };

    record_add(disk, event, NULL);
}

void record_apply_part(RecordDisk *disk, const RecordEvent *event,
                       int64_t skip, int64_t bytes)
{
    int64_t offset = event->offset + skip;

    if (event->kind != RECORD_DISCARD && offset + bytes > disk->length) {
        disk_set_length(disk, offset + bytes);
    }
    if (event->kind == RECORD_WRITE) {
        memcpy(disk->data + offset, event->data + skip, (size_t)bytes);
    } else if (event->kind == RECORD_ZERO) {
        memset(disk->data + offset, 0, (size_t)bytes);
    } else {
        bytes = MIN(bytes, MAX(disk->length - offset, 0));
        memset(disk->data + offset, DISCARDED, (size_t)bytes);
    }
}

void record_apply(RecordDisk *disk, const RecordEvent *event)
{
    switch (event->kind) {
    case RECORD_WRITE:
    case RECORD_ZERO:
    case RECORD_DISCARD:
        record_apply_part(disk, event, 0, event->bytes);
        break;
    case RECORD_TRUNCATE:
        disk_set_length(disk, event->offset);
        break;
    case RECORD_FLUSH:
    case RECORD_NOTE:
        break;
    }
}

/* ---- Faults ---- */

typedef enum CallKind {
    CALL_READ,
    CALL_WRITE,
    CALL_ZERO,
    CALL_DISCARD,
    CALL_TRUNCATE,
    CALL_FLUSH,
} CallKind;

static bool fault_concerns(const RecordDisk *disk, CallKind call)
{
    switch (disk->fault) {
    case FAULT_NOTHING:
        return false;
    case FAULT_ANY:
        return true;
    case FAULT_CHANGES:
        return call == CALL_WRITE || call == CALL_ZERO ||
               call == CALL_TRUNCATE;
    case FAULT_HALF_WRITE:
        return call == CALL_WRITE;
    }
    return false;
}

/* 0, or the error that this call is to have. */
static int fault_of(RecordDisk *disk, CallKind call)
{
    if (!fault_concerns(disk, call)) {
        return 0;
    }
    unsigned number = disk->calls++;
    if (number < disk->fault_after ||
        (number > disk->fault_after && !disk->fault_stays)) {
        return 0;
    }
    disk->faults++;
    return -disk->fault_errno;
}

/* ---- The driver ---- */

static const OptionDesc record_option_table[] = {
    { .name = "disk", .type = OPTION_NUMBER }, /* the address of the disk */
    { .name = NULL },
};

static bool record_open(BlockDriverState *bs, Options *options, unsigned flags,
                        GError **errp)
{
    RecordState *s = bdrv_opaque(bs);
    g_autoptr(OptionValues)
        values = option_values_absorb(record_option_table, options, errp);

    (void)flags;
    if (values == NULL) {
        return false;
    }
    s->disk = GSIZE_TO_POINTER((gsize)option_values_number(values, "disk"));
    return true;
}

static void record_close(BlockDriverState *bs)
{
    (void)bs;
}

static void record_refresh_limits(BlockDriverState *bs, BdrvLimits *limits)
{
    (void)bs;
    limits->supported_write_flags = BDRV_REQ_FUA;
    limits->supported_zero_flags = BDRV_REQ_MAY_UNMAP | BDRV_REQ_NO_FALLBACK;
}

static RecordDisk *disk_of(BlockDriverState *bs)
{
    const RecordState *s = bdrv_opaque(bs);

    return s->disk;
}

static int64_t record_getlength(BlockDriverState *bs)
{
    return disk_of(bs)->length;
}

static int record_preadv(BlockDriverState *bs, int64_t offset, int64_t bytes,
                         const IOVector *iov, unsigned flags)
{
    RecordDisk *disk = disk_of(bs);
    int ret = fault_of(disk, CALL_READ);

    (void)flags;
    if (ret == 0) {
        iov_from_buf(iov, 0, disk->data + offset, (size_t)bytes);
    }
    return ret;
}

static int record_pwritev(BlockDriverState *bs, int64_t offset, int64_t bytes,
                          const IOVector *iov, unsigned flags)
{
    RecordDisk *disk = disk_of(bs);
    int ret = fault_of(disk, CALL_WRITE);

    if (offset + bytes > RECORD_MAX) {
        return -ENOSPC;
    }
    if (ret < 0) {
        /* Whole sectors, as a disk does. */
        bytes = disk->fault == FAULT_HALF_WRITE ? bytes / 1024 * 512 : 0;
    }
    if (bytes > 0) {
        disk_set_length(disk, MAX(disk->length, offset + bytes));
        iov_to_buf(iov, 0, disk->data + offset, (size_t)bytes);
        record_add(disk,
                   (RecordEvent){ .kind = RECORD_WRITE,
                                  .durable = flags & BDRV_REQ_FUA,
                                  .offset = offset,
                                  .bytes = bytes },
                   iov);
    }
    return ret;
}

/* A call without data that succeeds or does nothing. */
static int record_call(RecordDisk *disk, CallKind call, RecordKind kind,
                       int64_t offset, int64_t bytes)
{
    const RecordEvent event = { .kind = kind,
                                .offset = offset,
                                .bytes = bytes };
    int ret = fault_of(disk, call);

    if (ret == 0) {
        record_apply(disk, &event);
        record_add(disk, event, NULL);
    }
    return ret;
}

static int record_pwrite_zeroes(BlockDriverState *bs, int64_t offset,
                                int64_t bytes, unsigned flags)
{
    (void)flags;
    return record_call(disk_of(bs), CALL_ZERO, RECORD_ZERO, offset, bytes);
}

static int record_pdiscard(BlockDriverState *bs, int64_t offset, int64_t bytes)
{
    return record_call(disk_of(bs), CALL_DISCARD, RECORD_DISCARD, offset,
                       bytes);
}

static int record_flush(BlockDriverState *bs)
{
    return record_call(disk_of(bs), CALL_FLUSH, RECORD_FLUSH, 0, 0);
}

static int record_truncate(BlockDriverState *bs, int64_t size, bool exact,
                           PreallocMode prealloc, GError **errp)
{
    int ret = size > RECORD_MAX ? -ENOSPC
                                : record_call(disk_of(bs), CALL_TRUNCATE,
                                              RECORD_TRUNCATE, size, 0);

    (void)exact;
    (void)prealloc;
    if (ret < 0) {
        block_error_set_errno(errp, -ret, "No disk of %" PRId64 " bytes",
                              size);
    }
    return ret;
}

static bool record_has_zero_init(BlockDriverState *bs)
{
    (void)bs;
    return true;
}

static const char *const record_strong_opts[] = { "disk", NULL };

static const BlockDriver bdrv_record = {
    .format_name = "record",
    .instance_size = sizeof(RecordState),
    .options = record_option_table,
    .strong_runtime_opts = record_strong_opts,
    .open = record_open,
    .close = record_close,
    .refresh_limits = record_refresh_limits,
    .getlength = record_getlength,
    .preadv = record_preadv,
    .pwritev = record_pwritev,
    .pwrite_zeroes = record_pwrite_zeroes,
    .pdiscard = record_pdiscard,
    .flush = record_flush,
    .truncate = record_truncate,
    .has_zero_init = record_has_zero_init,
};

void record_init(void)
{
    g_autoptr(GError) error = NULL;

    if (!bdrv_register(&bdrv_record, &error)) {
        fprintf(stderr, "%s\n", error->message);
        exit(1);
    }
}

Options *record_options(const RecordDisk *disk, const char *format)
{
    Options *options = options_new();

    options_set(options, "driver", format);
    options_set(options, "file.driver", "record");
    options_set_int(options, "file.disk", (int64_t)GPOINTER_TO_SIZE(disk));
    return options;
}
