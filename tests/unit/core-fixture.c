/* SPDX-License-Identifier: MIT */
#include "tests/unit/core-fixture.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "block/block-int.h"
#include "tests/unit/core-cow-fixture.h"

#define MEM_MAX (INT64_C(64) << 20)

/* ---- mem ---- */

static const OptionDesc mem_options[] = {
    { .name = "size", .type = OPTION_SIZE, .def = "1M", .max = MEM_MAX },
    { .name = "align", .type = OPTION_NUMBER, .def = "1" },
    { .name = "max-transfer", .type = OPTION_SIZE },
    { .name = "max-zeroes", .type = OPTION_SIZE },
    { .name = "zeroes-align", .type = OPTION_SIZE },
    { .name = "max-discard", .type = OPTION_SIZE },
    { .name = "discard-align", .type = OPTION_SIZE },
    { .name = "fua", .type = OPTION_BOOL },
    { .name = "unmap", .type = OPTION_BOOL },
    { .name = "no-fallback", .type = OPTION_BOOL },
    { .name = "magic", .type = OPTION_STRING },
    { .name = "unwritable", .type = OPTION_BOOL },
    { .name = NULL },
};

static bool mem_parse_filename(const char *filename, Options *options,
                               GError **errp)
{
    const char *size = filename + strlen("mem:");

    if (*size == '\0') {
        block_error_set(errp, EINVAL, "'mem:' lacks a size");
        return false;
    }
    options_set(options, "size", size);
    return true;
}

static void mem_limits_from(MemDisk *disk, const OptionValues *values)
{
    BdrvLimits *l = &disk->limits;

    l->request_alignment = (uint32_t)option_values_number(values, "align");
    l->max_transfer = (int64_t)option_values_size(values, "max-transfer");
    l->max_pwrite_zeroes = (int64_t)option_values_size(values, "max-zeroes");
    l->pwrite_zeroes_alignment = (uint32_t)option_values_size(values,
                                                              "zeroes-align");
    l->max_pdiscard = (int64_t)option_values_size(values, "max-discard");
    l->pdiscard_alignment = (uint32_t)option_values_size(values,
                                                         "discard-align");
    if (option_values_bool(values, "fua")) {
        l->supported_write_flags |= BDRV_REQ_FUA;
        l->supported_zero_flags |= BDRV_REQ_FUA;
    }
    if (option_values_bool(values, "unmap")) {
        l->supported_zero_flags |= BDRV_REQ_MAY_UNMAP;
    }
    if (option_values_bool(values, "no-fallback")) {
        l->supported_zero_flags |= BDRV_REQ_NO_FALLBACK;
    }
}

static bool mem_open(BlockDriverState *bs, Options *options, unsigned flags,
                     GError **errp)
{
    MemDisk *disk = bdrv_opaque(bs);
    g_autoptr(OptionValues)
        values = option_values_absorb(mem_options, options, errp);

    (void)flags;
    if (values == NULL) {
        return false;
    }
    if (option_values_bool(values, "unwritable") &&
        !bdrv_apply_auto_read_only(bs, "mem cannot be written", errp)) {
        return false;
    }
    disk->length = (int64_t)option_values_size(values, "size");
    mem_limits_from(disk, values);
    disk->fd = memfd_create("mem", MFD_CLOEXEC);
    cr_assert_geq(disk->fd, 0);
    cr_assert_eq(ftruncate(disk->fd, MEM_MAX), 0);
    disk->data = mmap(NULL, MEM_MAX, PROT_READ | PROT_WRITE, MAP_SHARED,
                      disk->fd, 0);
    cr_assert_neq(disk->data, MAP_FAILED);
    const char *magic = option_values_string(values, "magic");
    if (magic) {
        memcpy(disk->data, magic, strlen(magic));
    }
    disk->calls = g_array_new(FALSE, FALSE, sizeof(MemCall));
    pthread_mutex_init(&disk->lock, NULL);
    pthread_cond_init(&disk->cond, NULL);
    return true;
}

static void mem_close(BlockDriverState *bs)
{
    MemDisk *disk = bdrv_opaque(bs);

    munmap(disk->data, MEM_MAX);
    close(disk->fd);
    g_array_free(disk->calls, TRUE);
    pthread_mutex_destroy(&disk->lock);
    pthread_cond_destroy(&disk->cond);
}

static void mem_refresh_limits(BlockDriverState *bs, BdrvLimits *limits)
{
    MemDisk *disk = bdrv_opaque(bs);

    *limits = disk->limits;
}

static int64_t mem_getlength(BlockDriverState *bs)
{
    MemDisk *disk = bdrv_opaque(bs);

    return disk->length;
}

/* Whether a call is what driver.h promises. */
static bool mem_call_is_sound(const MemDisk *disk, const MemCall *call)
{
    int64_t align = disk->limits.request_alignment;
    int64_t end = call->offset + call->bytes;
    int64_t max = call->kind == MEM_ZEROES    ? disk->limits.max_pwrite_zeroes
                  : call->kind == MEM_DISCARD ? disk->limits.max_pdiscard
                                              : disk->limits.max_transfer;

    if (call->kind == MEM_FLUSH || call->kind == MEM_TRUNCATE) {
        return true;
    }
    return call->bytes > 0 && call->offset % align == 0 &&
           (end % align == 0 || end >= disk->length) &&
           (end <= disk->length || call->kind == MEM_WRITE ||
            call->kind == MEM_COPY_TO) &&
           (max == 0 || call->kind == MEM_STATUS ||
            call->bytes <= MAX(max, align));
}

/* Record a call, and give 0 or the error that it is to have. */
static int mem_called(MemDisk *disk, MemKind kind, int64_t offset,
                      int64_t bytes, unsigned flags)
{
    const MemCall call = { kind, offset, bytes, flags };
    int ret = 0;

    if (disk->delay_us > 0) {
        g_usleep((gulong)disk->delay_us);
    }
    pthread_mutex_lock(&disk->lock);
    g_array_append_val(disk->calls, call);
    disk->misaligned += !mem_call_is_sound(disk, &call);
    disk->held++;
    pthread_cond_broadcast(&disk->cond);
    while (disk->hold) {
        pthread_cond_wait(&disk->cond, &disk->lock);
    }
    disk->held--;
    if (disk->fail[kind] && disk->fail_after[kind]-- <= 0) {
        ret = -disk->fail[kind];
    }
    pthread_mutex_unlock(&disk->lock);
    return ret;
}

/* Bytes that tests in other threads may be touching: volatile is not enough
 * for the sanitizer, and the core does not order plain overlapping writes. */
static int mem_preadv(BlockDriverState *bs, int64_t offset, int64_t bytes,
                      const IOVector *iov, unsigned flags)
{
    MemDisk *disk = bdrv_opaque(bs);
    int ret = mem_called(disk, MEM_READ, offset, bytes, flags);

    if (ret == 0) {
        iov_from_buf(iov, 0, disk->data + offset, (size_t)bytes);
    }
    return ret;
}

static void mem_grow(MemDisk *disk, int64_t end)
{
    pthread_mutex_lock(&disk->lock);
    disk->length = MAX(disk->length, end);
    pthread_mutex_unlock(&disk->lock);
}

static int mem_pwritev(BlockDriverState *bs, int64_t offset, int64_t bytes,
                       const IOVector *iov, unsigned flags)
{
    MemDisk *disk = bdrv_opaque(bs);
    int ret = mem_called(disk, MEM_WRITE, offset, bytes, flags);

    if (ret == 0) {
        iov_to_buf(iov, 0, disk->data + offset, (size_t)bytes);
        mem_grow(disk, offset + bytes);
    }
    return ret;
}

static int mem_pwrite_zeroes(BlockDriverState *bs, int64_t offset,
                             int64_t bytes, unsigned flags)
{
    MemDisk *disk = bdrv_opaque(bs);
    int ret = mem_called(disk, MEM_ZEROES, offset, bytes, flags);

    if (ret == 0) {
        memset(disk->data + offset, 0, (size_t)bytes);
    }
    return ret;
}

/* What is dropped is not zero afterwards, so that nobody relies on it. */
static int mem_pdiscard(BlockDriverState *bs, int64_t offset, int64_t bytes)
{
    MemDisk *disk = bdrv_opaque(bs);
    int ret = mem_called(disk, MEM_DISCARD, offset, bytes, 0);

    if (ret == 0) {
        memset(disk->data + offset, 0xdd, (size_t)bytes);
    }
    return ret;
}

static int mem_flush(BlockDriverState *bs)
{
    return mem_called(bdrv_opaque(bs), MEM_FLUSH, 0, 0, 0);
}

static int mem_truncate(BlockDriverState *bs, int64_t size, bool exact,
                        PreallocMode prealloc, GError **errp)
{
    MemDisk *disk = bdrv_opaque(bs);
    int ret = mem_called(disk, MEM_TRUNCATE, size, 0, 0);

    (void)exact;
    (void)prealloc;
    if (ret == 0 && size > MEM_MAX) {
        ret = -ENOSPC;
    }
    if (ret < 0) {
        block_error_set_errno(
            errp, -ret, "mem does not get %" G_GINT64_FORMAT " bytes", size);
        return ret;
    }
    if (size < disk->length) {
        memset(disk->data + size, 0, (size_t)(disk->length - size));
    }
    disk->length = size;
    return 0;
}

static int mem_block_status(BlockDriverState *bs, unsigned want,
                            int64_t offset, int64_t bytes,
                            BdrvBlockStatus *status)
{
    MemDisk *disk = bdrv_opaque(bs);
    int ret = mem_called(disk, MEM_STATUS, offset, bytes, want);

    if (ret < 0) {
        return ret;
    }
    status->bytes = bytes;
    status->map = offset;
    status->file = bs;
    status->flags = BDRV_BLOCK_DATA | BDRV_BLOCK_OFFSET_VALID;
    if (disk->status_unit > 0) {
        int64_t unit = disk->status_unit;
        char letter = disk->status_map[offset / unit];
        int64_t end = offset / unit;

        while (disk->status_map[end] == letter) {
            end++;
        }
        status->bytes = MIN(bytes, end * unit - offset);
        status->flags = BDRV_BLOCK_OFFSET_VALID |
                        (letter == 'd'   ? BDRV_BLOCK_DATA
                         : letter == 'z' ? BDRV_BLOCK_ZERO
                                         : 0);
    }
    status->bytes += disk->status_excess;
    return 0;
}

static int mem_copy_range_from(BlockDriverState *bs, int64_t offset,
                               BlockDriverState *dst, int64_t dst_offset,
                               int64_t bytes, unsigned flags)
{
    MemDisk *disk = bdrv_opaque(bs);
    int ret = mem_called(disk, MEM_COPY_FROM, offset, bytes, flags);

    return ret < 0 ? ret
                   : bdrv_copy_host_range(disk->fd, offset, dst, dst_offset,
                                          bytes, flags);
}

static int mem_copy_range_to(BlockDriverState *bs, int fd, int64_t fd_offset,
                             int64_t offset, int64_t bytes, unsigned flags)
{
    MemDisk *disk = bdrv_opaque(bs);
    int ret = mem_called(disk, MEM_COPY_TO, offset, bytes, flags);

    if (ret == 0 &&
        pread(fd, disk->data + offset, (size_t)bytes, fd_offset) != bytes) {
        ret = -EIO;
    }
    if (ret == 0) {
        mem_grow(disk, offset + bytes);
    }
    return ret;
}

static bool mem_check_perm(BlockDriverState *bs, unsigned perm,
                           unsigned shared, GError **errp)
{
    MemDisk *disk = bdrv_opaque(bs);

    (void)perm;
    (void)shared;
    if (disk->refuse_perm) {
        block_error_set(errp, EBUSY, "mem is locked");
        return false;
    }
    disk->checks++;
    return true;
}

static void mem_set_perm(BlockDriverState *bs, unsigned perm, unsigned shared)
{
    MemDisk *disk = bdrv_opaque(bs);

    disk->perm = perm;
    disk->shared = shared;
    disk->sets++;
}

static void mem_abort_perm(BlockDriverState *bs)
{
    MemDisk *disk = bdrv_opaque(bs);

    disk->aborts++;
}

static bool mem_reopen_prepare(BlockDriverState *bs, unsigned flags,
                               GError **errp)
{
    MemDisk *disk = bdrv_opaque(bs);

    (void)flags;
    if (disk->refuse_reopen) {
        block_error_set(errp, EACCES, "mem does not reopen");
        return false;
    }
    disk->prepared++;
    return true;
}

static void mem_reopen_commit(BlockDriverState *bs)
{
    MemDisk *disk = bdrv_opaque(bs);

    disk->committed++;
}

static void mem_reopen_abort(BlockDriverState *bs)
{
    MemDisk *disk = bdrv_opaque(bs);

    disk->aborted++;
}

static const char *const mem_strong_opts[] = { "size", "magic", NULL };

const BlockDriver core_mem = {
    .format_name = "mem",
    .protocol_name = "mem",
    .grows_by_write = true,
    .instance_size = sizeof(MemDisk),
    .options = mem_options,
    .strong_runtime_opts = mem_strong_opts,
    .parse_filename = mem_parse_filename,
    .open = mem_open,
    .close = mem_close,
    .refresh_limits = mem_refresh_limits,
    .getlength = mem_getlength,
    .preadv = mem_preadv,
    .pwritev = mem_pwritev,
    .pwrite_zeroes = mem_pwrite_zeroes,
    .pdiscard = mem_pdiscard,
    .flush = mem_flush,
    .truncate = mem_truncate,
    .block_status = mem_block_status,
    .copy_range_from = mem_copy_range_from,
    .copy_range_to = mem_copy_range_to,
    .check_perm = mem_check_perm,
    .set_perm = mem_set_perm,
    .abort_perm = mem_abort_perm,
    .reopen_prepare = mem_reopen_prepare,
    .reopen_commit = mem_reopen_commit,
    .reopen_abort = mem_reopen_abort,
};

/* ---- pass ---- */

static bool pass_open(BlockDriverState *bs, Options *options, unsigned flags,
                      GError **errp)
{
    (void)flags;
    return bdrv_open_file_child(bs, options, errp) != NULL;
}

static int pass_preadv(BlockDriverState *bs, int64_t offset, int64_t bytes,
                       const IOVector *iov, unsigned flags)
{
    return bdrv_preadv(bdrv_child(bs, "file"), offset, bytes, iov, flags);
}

static int pass_pwritev(BlockDriverState *bs, int64_t offset, int64_t bytes,
                        const IOVector *iov, unsigned flags)
{
    return bdrv_pwritev(bdrv_child(bs, "file"), offset, bytes, iov, flags);
}

static const BlockDriver bdrv_pass = {
    .format_name = "pass",
    .is_filter = true,
    .grows_by_write = true,
    .open = pass_open,
    .preadv = pass_preadv,
    .pwritev = pass_pwritev,
};

/* ---- Helpers ---- */

void core_init(void)
{
    static const BlockDriver *const drivers[] = { &core_mem, &bdrv_pass,
                                                  &core_cow };

    for (guint i = 0; i < G_N_ELEMENTS(drivers); i++) {
        g_autoptr(GError) error = NULL;

        cr_assert(bdrv_register(drivers[i], &error), "%s",
                  error ? error->message : "");
    }
}

BlockBackend *core_open_name(unsigned flags, const char *name,
                             const char *options)
{
    g_autoptr(Options) parsed = options_new();
    g_autoptr(GError) error = NULL;

    cr_assert(
        options_parse_keyval(parsed, options ? options : "", NULL, &error));
    BlockBackend *blk = blk_open(name, parsed, flags, &error);
    cr_assert(blk, "%s", error ? error->message : "");
    return blk;
}

BlockBackend *core_open(unsigned flags, const char *options)
{
    return core_open_name(flags, NULL, options);
}

char *core_open_error(unsigned flags, const char *name, const char *options)
{
    g_autoptr(Options) parsed = options_new();
    g_autoptr(GError) error = NULL;

    cr_assert(
        options_parse_keyval(parsed, options ? options : "", NULL, &error));
    BlockBackend *blk = blk_open(name, parsed, flags, &error);
    cr_assert_null(blk, "opened");
    cr_assert(error, "no error set");
    cr_assert_eq(error->domain, BLOCK_ERROR);
    return g_strdup(error->message);
}

MemDisk *core_disk(BlockBackend *blk)
{
    BlockDriverState *bs = blk_bs(blk);

    while (bs->primary) {
        bs = bs->primary->bs;
    }
    cr_assert_eq(bdrv_driver(bs), &core_mem);
    return bdrv_opaque(bs);
}

unsigned core_count(MemDisk *disk, MemKind kind)
{
    unsigned count = 0;

    pthread_mutex_lock(&disk->lock);
    for (guint i = 0; i < disk->calls->len; i++) {
        count += g_array_index(disk->calls, MemCall, i).kind == kind;
    }
    pthread_mutex_unlock(&disk->lock);
    return count;
}

void core_forget(MemDisk *disk)
{
    pthread_mutex_lock(&disk->lock);
    g_array_set_size(disk->calls, 0);
    pthread_mutex_unlock(&disk->lock);
}

char *core_calls(MemDisk *disk)
{
    static const char letters[] = "RWZDFTSct";
    GString *text = g_string_new(NULL);

    pthread_mutex_lock(&disk->lock);
    for (guint i = 0; i < disk->calls->len; i++) {
        const MemCall *call = &g_array_index(disk->calls, MemCall, i);

        g_string_append_printf(text, "%s%c", i ? " " : "",
                               letters[call->kind]);
        if (call->kind == MEM_TRUNCATE) {
            g_string_append_printf(text, "%" G_GINT64_FORMAT, call->offset);
        } else if (call->kind != MEM_FLUSH) {
            g_string_append_printf(text,
                                   "%" G_GINT64_FORMAT "+%" G_GINT64_FORMAT,
                                   call->offset, call->bytes);
        }
        if (call->kind != MEM_STATUS) {
            g_string_append(text, call->flags & BDRV_REQ_FUA ? "f" : "");
            g_string_append(text, call->flags & BDRV_REQ_MAY_UNMAP ? "m" : "");
            g_string_append(text,
                            call->flags & BDRV_REQ_NO_FALLBACK ? "n" : "");
        }
    }
    pthread_mutex_unlock(&disk->lock);
    return g_string_free(text, FALSE);
}

void core_expect(MemDisk *disk, const char *calls)
{
    g_autofree char *text = core_calls(disk);

    cr_assert_str_eq(text, calls, "calls: %s\nwanted: %s", text, calls);
    cr_assert_eq(disk->misaligned, 0);
    core_forget(disk);
}

void core_hold(MemDisk *disk)
{
    pthread_mutex_lock(&disk->lock);
    disk->hold = true;
    pthread_mutex_unlock(&disk->lock);
}

void core_wait_held(MemDisk *disk, int n)
{
    pthread_mutex_lock(&disk->lock);
    while (disk->held < n) {
        pthread_cond_wait(&disk->cond, &disk->lock);
    }
    pthread_mutex_unlock(&disk->lock);
}

void core_release(MemDisk *disk)
{
    pthread_mutex_lock(&disk->lock);
    disk->hold = false;
    pthread_cond_broadcast(&disk->cond);
    pthread_mutex_unlock(&disk->lock);
}

void core_check_text(const char *text, const char *part)
{
    cr_assert(text && strstr(text, part), "'%s' is not in '%s'", part,
              text ? text : "(null)");
}
