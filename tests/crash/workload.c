/* SPDX-License-Identifier: MIT */
/*
 * The language of requests, separated by semicolons:
 *
 *   write|compress|durable OFFSET BYTES
 *   zero|unmap|discard OFFSET BYTES     unmap: zeroes that may be a hole
 *   truncate SIZE   empty   flush   reopen
 *   random COUNT SEED                   drawn by lot: all but resizing
 */
#include "tests/crash/workload.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "util/size.h"

static const char *const kind_names[] = {
    [REQUEST_WRITE] = "write",
    [REQUEST_WRITE_COMPRESSED] = "compress",
    [REQUEST_WRITE_DURABLE] = "durable",
    [REQUEST_ZERO] = "zero",
    [REQUEST_ZERO_UNMAP] = "unmap",
    [REQUEST_DISCARD] = "discard",
    [REQUEST_TRUNCATE] = "truncate",
    [REQUEST_EMPTY] = "empty",
    [REQUEST_FLUSH] = "flush",
    [REQUEST_REOPEN] = "reopen",
};

G_NORETURN static void die(const char *what, const char *text)
{
    fprintf(stderr, "%s: %s\n", what, text);
    exit(1);
}

/* ---- Requests ---- */

static int64_t parse_number(const char *text)
{
    g_autoptr(GError) error = NULL;
    uint64_t bytes;

    if (text == NULL || !size_parse(text, &bytes, &error)) {
        die("not a number", text ? text : "nothing");
    }
    return (int64_t)bytes;
}

static void add_random(GArray *requests, const Scenario *scenario,
                       int64_t size, int64_t count, uint32_t seed)
{
    static const RequestKind draw[] = {
        REQUEST_WRITE,   REQUEST_WRITE,         REQUEST_WRITE,
        REQUEST_WRITE,   REQUEST_WRITE_DURABLE, REQUEST_WRITE_COMPRESSED,
        REQUEST_ZERO,    REQUEST_ZERO_UNMAP,    REQUEST_ZERO_UNMAP,
        REQUEST_DISCARD, REQUEST_DISCARD,       REQUEST_FLUSH,
        REQUEST_FLUSH,   REQUEST_REOPEN,
    };
    g_autoptr(GRand) rand = g_rand_new_with_seed(seed);

    for (int64_t i = 0; i < count; i++) {
        int64_t unit = g_rand_boolean(rand) ? scenario->unit : SECTOR;
        Request request = {
            .kind = draw[g_rand_int_range(rand, 0, G_N_ELEMENTS(draw))],
        };

        if (request.kind == REQUEST_WRITE_COMPRESSED) {
            unit = scenario->unit;
        }
        request.offset = g_rand_int_range(rand, 0, (gint32)(size / unit)) *
                         unit;
        request.bytes = g_rand_int_range(rand, 1, 9) * unit;
        request.bytes = MIN(request.bytes, size - request.offset);
        g_array_append_val(requests, request);
    }
}

static void parse_one(GArray *requests, const Scenario *scenario,
                      char *const *word, int64_t *size)
{
    Request request = { 0 };

    if (strcmp(word[0], "random") == 0) {
        add_random(requests, scenario, *size, parse_number(word[1]),
                   (uint32_t)parse_number(word[2]));
        return;
    }
    for (guint i = 0; i < G_N_ELEMENTS(kind_names); i++) {
        if (strcmp(word[0], kind_names[i]) == 0) {
            request.kind = (RequestKind)i;
            if (word[1]) {
                request.offset = parse_number(word[1]);
                request.bytes = word[2] ? parse_number(word[2]) : 0;
            }
            if (request.kind == REQUEST_TRUNCATE) {
                *size = request.offset;
            }
            g_array_append_val(requests, request);
            return;
        }
    }
    die("no such request", word[0]);
}

GArray *workload_parse(const Scenario *scenario, int64_t size)
{
    GArray *requests = g_array_new(FALSE, FALSE, sizeof(Request));
    g_auto(GStrv) lines = g_strsplit(scenario->requests, ";", 0);

    for (int i = 0; lines[i]; i++) {
        g_auto(GStrv) word = g_strsplit(g_strstrip(lines[i]), " ", 0);

        if (word[0]) {
            parse_one(requests, scenario, word, &size);
        }
    }
    for (guint i = 0; i < requests->len; i++) {
        g_array_index(requests, Request, i).number = i + 1;
    }
    return requests;
}

char *request_text(const Request *request)
{
    return g_strdup_printf("request %u, %s %" PRId64 "+%" PRId64,
                           request->number, kind_names[request->kind],
                           request->offset, request->bytes);
}

/* ---- Data ---- */

/* Each sector tells request and place. Those of every other request do not
 * compress. Never zero. */
static uint8_t *request_data(const Request *request)
{
    uint8_t *data = g_malloc((gsize)request->bytes + 1);

    for (int64_t i = 0; i < request->bytes; i += sizeof(uint64_t)) {
        uint64_t sector = (uint64_t)(request->offset + i) / SECTOR;
        uint64_t word = (uint64_t)request->number << 32 | sector;

        if (request->number % 2 && i % SECTOR != 0) {
            word = (word << 9 | (uint64_t)(i % SECTOR)) *
                   UINT64_C(0x9e3779b97f4a7c15);
            word ^= word >> 29;
        }
        memcpy(data + i, &word, sizeof(word));
    }
    return data;
}

/* ---- Images ---- */

int run_shell(const char *command)
{
    const char *argv[] = { "/bin/sh", "-c", command, NULL };
    int status = -1;

    if (!g_spawn_sync(NULL, (char **)argv, NULL,
                      G_SPAWN_LEAVE_DESCRIPTORS_OPEN |
                          G_SPAWN_STDOUT_TO_DEV_NULL |
                          G_SPAWN_STDERR_TO_DEV_NULL,
                      NULL, NULL, NULL, NULL, &status, NULL)) {
        return -1;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void must_run(const char *command)
{
    if (run_shell(command) != 0) {
        die("failed", command);
    }
}

static GBytes *file_bytes(const char *path)
{
    g_autoptr(GError) error = NULL;
    char *data;
    gsize length;

    if (!g_file_get_contents(path, &data, &length, &error)) {
        die("cannot read", error->message);
    }
    return g_bytes_new_take(data, length);
}

static GBytes *make_base(void)
{
    const Request request = { .bytes = MODEL_MAX, .number = 0xba5e };
    uint8_t *data = request_data(&request);

    if (!g_file_set_contents("base.raw", (const char *)data, MODEL_MAX,
                             NULL)) {
        die("cannot write", "base.raw");
    }
    return g_bytes_new_take(data, MODEL_MAX);
}

Workload *workload_new(const Scenario *scenario)
{
    Workload *w = g_new0(Workload, 1);
    g_autofree char *convert = g_strdup_printf(
        "qemu-img convert -f %s -O raw start.img start.raw", scenario->format);

    w->scenario = scenario;
    w->base = make_base();
    must_run(scenario->prepare);
    must_run(convert);
    g_autoptr(GBytes) raw = file_bytes("start.raw");
    w->image = file_bytes("start.img");
    w->start = model_new(g_bytes_get_data(raw, NULL),
                         (int64_t)g_bytes_get_size(raw));
    w->requests = workload_parse(scenario, model_size(w->start));
    if (scenario->snapshot) {
        must_run("qemu-img convert -l snap -f qcow2 -O raw start.img "
                 "snap.raw");
        g_autoptr(GBytes) snap = file_bytes("snap.raw");
        w->snapshot = g_memdup2(g_bytes_get_data(snap, NULL),
                                g_bytes_get_size(snap));
    }
    return w;
}

void workload_free(Workload *w)
{
    g_array_free(w->requests, TRUE);
    g_bytes_unref(w->image);
    g_bytes_unref(w->base);
    model_free(w->start);
    g_free(w->snapshot);
    g_free(w);
}

BlockBackend *workload_open(const Workload *w, RecordDisk *disk,
                            unsigned flags, GError **errp)
{
    g_autoptr(Options) options = record_options(disk, w->scenario->format);

    if (w->scenario->backed) {
        options_set(options, "backing.driver", "raw");
        options_set(options, "backing.file.driver", "file");
        options_set(options, "backing.file.filename", "base.raw");
    }
    return blk_open(NULL, options, flags, errp);
}

/* ---- Running ---- */

static int reopen(const Workload *w, RecordDisk *disk, BlockBackend **blk,
                  char **why)
{
    g_autoptr(GError) error = NULL;
    int ret = *blk ? blk_flush(*blk) : 0;

    blk_close(*blk);
    *blk = workload_open(w, disk, BDRV_O_RDWR | BDRV_O_RESIZE | BDRV_O_UNMAP,
                         &error);
    if (*blk == NULL) {
        *why = g_strdup(error->message);
        return block_error_to_errno(error);
    }
    return ret;
}

static int run_configuring(BlockBackend *blk, const Request *request,
                           char **why)
{
    g_autoptr(GError) error = NULL;
    int ret = request->kind == REQUEST_EMPTY
                  ? blk_make_empty(blk, &error)
                  : blk_truncate(blk, request->offset, true, PREALLOC_MODE_OFF,
                                 &error);

    if (ret < 0) {
        *why = g_strdup(error ? error->message : "");
    }
    return ret;
}

static int run_io(BlockBackend *blk, const Request *request)
{
    g_autofree uint8_t *data = request_data(request);

    switch (request->kind) {
    case REQUEST_WRITE:
        return blk_pwrite(blk, request->offset, request->bytes, data, 0);
    case REQUEST_WRITE_COMPRESSED:
        return blk_pwrite(blk, request->offset, request->bytes, data,
                          BDRV_REQ_WRITE_COMPRESSED);
    case REQUEST_WRITE_DURABLE:
        return blk_pwrite(blk, request->offset, request->bytes, data,
                          BDRV_REQ_FUA);
    case REQUEST_ZERO:
        return blk_pwrite_zeroes(blk, request->offset, request->bytes, 0);
    case REQUEST_ZERO_UNMAP:
        return blk_pwrite_zeroes(blk, request->offset, request->bytes,
                                 BDRV_REQ_MAY_UNMAP);
    case REQUEST_DISCARD:
        return blk_pdiscard(blk, request->offset, request->bytes);
    default:
        return blk_flush(blk);
    }
}

int request_run(const Workload *w, RecordDisk *disk, BlockBackend **blk,
                const Request *request, char **why)
{
    *why = NULL;
    if (request->kind == REQUEST_REOPEN) {
        return reopen(w, disk, blk, why);
    }
    if (request->kind == REQUEST_EMPTY || request->kind == REQUEST_TRUNCATE) {
        return run_configuring(*blk, request, why);
    }
    int ret = run_io(*blk, request);
    if (ret < 0) {
        *why = blk_strerror(ret);
    }
    return ret;
}

bool request_leaves_unknown(const Request *request)
{
    return request->kind == REQUEST_DISCARD || request->kind == REQUEST_EMPTY;
}

void request_model(GuestModel *model, const Request *request,
                   const uint8_t *after)
{
    g_autofree uint8_t *data = NULL;

    switch (request->kind) {
    case REQUEST_WRITE:
    case REQUEST_WRITE_COMPRESSED:
    case REQUEST_WRITE_DURABLE:
        data = request_data(request);
        model_write(model, request->offset, request->bytes, data);
        break;
    case REQUEST_ZERO:
    case REQUEST_ZERO_UNMAP:
        data = g_malloc0((gsize)request->bytes);
        model_write(model, request->offset, request->bytes, data);
        break;
    case REQUEST_DISCARD:
        model_write(model, request->offset, request->bytes,
                    after + request->offset);
        break;
    case REQUEST_EMPTY:
        model_write(model, 0, model_size(model), after);
        break;
    case REQUEST_TRUNCATE:
        model_resize(model, request->offset);
        break;
    case REQUEST_FLUSH:
    case REQUEST_REOPEN:
        model_flush(model);
        break;
    }
}

void request_model_failed(const Workload *w, GuestModel *model,
                          const Request *request)
{
    const uint8_t *base = g_bytes_get_data(w->base, NULL);
    g_autofree uint8_t *zeroes = g_malloc0(MODEL_MAX);
    int64_t offset = request->kind == REQUEST_EMPTY ? 0 : request->offset;
    int64_t bytes = request->kind == REQUEST_EMPTY ? model_size(model)
                                                   : request->bytes;
    g_autofree uint8_t *data = NULL;

    switch (request->kind) {
    case REQUEST_WRITE:
    case REQUEST_WRITE_COMPRESSED:
    case REQUEST_WRITE_DURABLE:
        data = request_data(request);
        model_write_failed(model, offset, bytes, data);
        break;
    case REQUEST_DISCARD:
    case REQUEST_EMPTY:
        if (w->scenario->backed) {
            model_write_failed(model, offset, bytes, base + offset);
        }
        model_write_failed(model, offset, bytes, zeroes);
        break;
    case REQUEST_ZERO:
    case REQUEST_ZERO_UNMAP:
        model_write_failed(model, offset, bytes, zeroes);
        break;
    case REQUEST_TRUNCATE:
        model_resize_failed(model, request->offset);
        break;
    case REQUEST_FLUSH:
    case REQUEST_REOPEN:
        break;
    }
}

uint8_t *guest_read(BlockBackend *blk, int64_t *size, char **why)
{
    *size = blk_getlength(blk);
    if (*size > MODEL_MAX) {
        *why = g_strdup_printf("the disk has %" PRId64 " bytes", *size);
        return NULL;
    }
    uint8_t *data = g_malloc((gsize)MAX(*size, 1));
    int ret = *size < 0    ? (int)*size
              : *size == 0 ? 0
                           : blk_pread(blk, 0, *size, data, 0);
    if (ret < 0) {
        *why = blk_strerror(ret);
        g_free(data);
        return NULL;
    }
    return data;
}
