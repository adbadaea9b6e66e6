/* SPDX-License-Identifier: MIT */
#include "tests/unit/core-fixture.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "block/block-int.h"

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

static const BlockDriver bdrv_mem = {
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

/* ---- cow ---- */

#define COW_UNIT 4096
#define COW_RECORD 512 /* bytes of "COW!NAME|FORMAT\n" at most */

typedef struct CowState {
    BdrvChild *file;
    pthread_mutex_t lock;
    GString *map; /* lock: d data, z zero, u unallocated, r data to look into;
                     d behind it */
} CowState;

static const OptionDesc cow_options[] = {
    { .name = "map", .type = OPTION_STRING, .def = "" },
    { .name = NULL },
};

static int cow_probe(const uint8_t *buf, size_t size, const char *filename)
{
    (void)filename;
    return size >= 4 && memcmp(buf, "COW!", 4) == 0 ? 100 : 0;
}

/* The record of a backing file: none unless the file begins with one. */
static void cow_read_record(BlockDriverState *bs)
{
    CowState *s = bdrv_opaque(bs);
    char record[COW_RECORD + 1] = { 0 };
    int64_t length = bdrv_getlength(bdrv_child_bs(s->file));
    char *end;

    if (bdrv_driver(bdrv_child_bs(s->file)) == &bdrv_mem) {
        /* Tests want to know of their own calls alone. */
        const MemDisk *disk = bdrv_opaque(bdrv_child_bs(s->file));
        memcpy(record, disk->data, COW_RECORD);
    } else if (length < 4 || bdrv_pread(s->file, 0, MIN(length, COW_RECORD),
                                        record, 0) < 0) {
        return;
    }
    end = strchr(record, '\n');
    if (strncmp(record, "COW!", 4) != 0 || end == NULL) {
        return;
    }
    *end = '\0';
    char *format = strchr(record, '|');
    if (format) {
        *format++ = '\0';
    }
    bdrv_set_backing_file(bs, record + 4, format);
}

static bool cow_open(BlockDriverState *bs, Options *options, unsigned flags,
                     GError **errp)
{
    CowState *s = bdrv_opaque(bs);
    g_autoptr(OptionValues)
        values = option_values_absorb(cow_options, options, errp);

    (void)flags;
    if (values == NULL) {
        return false;
    }
    s->file = bdrv_open_file_child(bs, options, errp);
    if (s->file == NULL) {
        return false;
    }
    cow_read_record(bs);
    pthread_mutex_init(&s->lock, NULL);
    s->map = g_string_new(option_values_string(values, "map"));
    return true;
}

static void cow_close(BlockDriverState *bs)
{
    CowState *s = bdrv_opaque(bs);

    g_string_free(s->map, TRUE);
    pthread_mutex_destroy(&s->lock);
}

static int64_t cow_getlength(BlockDriverState *bs)
{
    CowState *s = bdrv_opaque(bs);

    return bdrv_getlength(bdrv_child_bs(s->file));
}

/* Under the lock. */
static char cow_letter(const CowState *s, int64_t offset)
{
    size_t at = (size_t)(offset / COW_UNIT);

    return at < s->map->len ? s->map->str[at] : 'd';
}

/* Under the lock. bytes inside one unit. */
static int cow_read_unit(BlockDriverState *bs, int64_t offset, int64_t bytes,
                         void *buf)
{
    CowState *s = bdrv_opaque(bs);
    BdrvChild *backing = bdrv_backing(bs);
    char letter = cow_letter(s, offset);

    if (letter == 'd' || letter == 'r') {
        return bdrv_pread(s->file, offset, bytes, buf, 0);
    }
    if (letter == 'u' && backing) {
        return bdrv_pread(backing, offset, bytes, buf, 0);
    }
    memset(buf, 0, (size_t)bytes);
    return 0;
}

static int cow_preadv(BlockDriverState *bs, int64_t offset, int64_t bytes,
                      const IOVector *iov, unsigned flags)
{
    CowState *s = bdrv_opaque(bs);
    uint8_t buf[COW_UNIT];
    int ret = 0;

    (void)flags;
    pthread_mutex_lock(&s->lock);
    bool plain = s->map->len == 0;
    for (int64_t done = 0; !plain && ret == 0 && done < bytes;) {
        int64_t at = offset + done;
        int64_t part = MIN(bytes - done, COW_UNIT - at % COW_UNIT);

        ret = cow_read_unit(bs, at, part, buf);
        iov_from_buf(iov, (size_t)done, buf, (size_t)part);
        done += part;
    }
    pthread_mutex_unlock(&s->lock);
    return plain ? bdrv_preadv(s->file, offset, bytes, iov, flags) : ret;
}

/* Under the lock. */
static int cow_allocate_unit(BlockDriverState *bs, int64_t unit)
{
    CowState *s = bdrv_opaque(bs);
    int64_t left = cow_getlength(bs) - unit * COW_UNIT;
    uint8_t buf[COW_UNIT];
    int ret = cow_read_unit(bs, unit * COW_UNIT, COW_UNIT, buf);

    if (ret == 0 && left > 0) {
        ret = bdrv_pwrite(s->file, unit * COW_UNIT, MIN(left, COW_UNIT), buf,
                          0);
    }
    s->map->str[unit] = 'd';
    return ret;
}

static int cow_pwritev(BlockDriverState *bs, int64_t offset, int64_t bytes,
                       const IOVector *iov, unsigned flags)
{
    CowState *s = bdrv_opaque(bs);
    int ret = 0;

    pthread_mutex_lock(&s->lock);
    for (int64_t unit = offset / COW_UNIT;
         ret == 0 && unit * COW_UNIT < offset + bytes; unit++) {
        if (cow_letter(s, unit * COW_UNIT) != 'd') {
            ret = cow_allocate_unit(bs, unit);
        }
    }
    if (ret == 0) {
        ret = bdrv_pwritev(s->file, offset, bytes, iov, flags);
    }
    pthread_mutex_unlock(&s->lock);
    return ret;
}

/* With a map, what is new is not allocated. */
static int cow_truncate(BlockDriverState *bs, int64_t size, bool exact,
                        PreallocMode prealloc, GError **errp)
{
    CowState *s = bdrv_opaque(bs);

    pthread_mutex_lock(&s->lock);
    while (s->map->len > 0 && (int64_t)s->map->len * COW_UNIT < size) {
        g_string_append_c(s->map, 'u');
    }
    int ret = bdrv_truncate(s->file, size, exact, prealloc, errp);
    pthread_mutex_unlock(&s->lock);
    return ret;
}

static int cow_change_backing_file(BlockDriverState *bs, const char *backing,
                                   const char *format, GError **errp)
{
    CowState *s = bdrv_opaque(bs);
    g_autofree char *record = g_strdup_printf(
        "COW!%s|%s\n", backing ? backing : "", format ? format : "");

    if (strlen(record) > COW_RECORD) {
        block_error_set(errp, EINVAL,
                        "The name of the backing file has %zu "
                        "bytes; there is no room for more than %d",
                        backing ? strlen(backing) : 0, COW_RECORD);
        return -EINVAL;
    }
    return bdrv_pwrite(s->file, 0, (int64_t)strlen(record), record, 0);
}

static int cow_block_status(BlockDriverState *bs, unsigned want,
                            int64_t offset, int64_t bytes,
                            BdrvBlockStatus *status)
{
    CowState *s = bdrv_opaque(bs);

    (void)want;
    pthread_mutex_lock(&s->lock);
    size_t at = (size_t)(offset / COW_UNIT);
    char letter = cow_letter(s, offset);
    size_t end = at;

    while (end < s->map->len && s->map->str[end] == letter) {
        end++;
    }
    pthread_mutex_unlock(&s->lock);
    status->bytes = end == at ? bytes
                              : MIN(bytes, (int64_t)end * COW_UNIT - offset);
    if (letter == 'z') {
        status->flags = BDRV_BLOCK_ZERO;
    } else if (letter != 'u') {
        status->flags = BDRV_BLOCK_DATA | BDRV_BLOCK_OFFSET_VALID;
        status->map = offset;
        status->file = bdrv_child_bs(s->file);
        if (letter == 'r') {
            status->flags |= BDRV_BLOCK_RECURSE;
        }
    }
    return 0;
}

static bool cow_has_zero_init(BlockDriverState *bs)
{
    (void)bs;
    return true;
}

static const BlockDriver bdrv_cow = {
    .format_name = "cow",
    .instance_size = sizeof(CowState),
    .is_format = true,
    .supports_backing = true,
    .options = cow_options,
    .probe = cow_probe,
    .open = cow_open,
    .close = cow_close,
    .getlength = cow_getlength,
    .preadv = cow_preadv,
    .pwritev = cow_pwritev,
    .truncate = cow_truncate,
    .block_status = cow_block_status,
    .change_backing_file = cow_change_backing_file,
    .has_zero_init = cow_has_zero_init,
};

/* ---- Helpers ---- */

void core_init(void)
{
    static const BlockDriver *const drivers[] = { &bdrv_mem, &bdrv_pass,
                                                  &bdrv_cow };

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
    cr_assert_eq(bdrv_driver(bs), &bdrv_mem);
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
