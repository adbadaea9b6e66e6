/* SPDX-License-Identifier: MIT */
#include "tests/unit/qcow2-fixture.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "block/block-int.h"

typedef enum EventKind { EVENT_WRITE, EVENT_DISCARD, EVENT_FLUSH } EventKind;

typedef struct Event {
    EventKind kind;
    int64_t offset, bytes;
    uint8_t *data; /* of a write */
} Event;

struct Tape {
    pthread_mutex_t lock;
    int fd;       /* the bytes now */
    int first_fd; /* the bytes when it was opened */
    int64_t length;
    GArray *events; /* of Event */
    uint64_t written;
    unsigned flushes;
    int fail_skip, fail_times, fail_error;
    pthread_cond_t changed; /* of these two */
    bool hold;              /* the next write is to wait */
    bool held;              /* one does */
};

/* ---- Bytes ---- */

static void write_fd(int fd, int64_t offset, const void *data, int64_t bytes)
{
    cr_assert_eq(pwrite(fd, data, (size_t)bytes, offset), bytes);
}

static void fill_fd(int fd, int64_t offset, int64_t bytes)
{
    g_autofree uint8_t *junk = g_malloc((size_t)bytes);

    memset(junk, 0xdd, (size_t)bytes);
    write_fd(fd, offset, junk, bytes);
}

static void copy_fd(int from, int to, int64_t bytes)
{
    enum { CHUNK = 1 << 20 };
    g_autofree uint8_t *buf = g_malloc(CHUNK);
    int64_t at = 0;

    cr_assert_eq(ftruncate(to, bytes), 0);
    while (at < bytes) {
        at = lseek(from, at, SEEK_DATA);
        if (at < 0 || at >= bytes) {
            return;
        }
        ssize_t n = pread(from, buf, (size_t)MIN(CHUNK, bytes - at), at);
        cr_assert_gt(n, 0);
        write_fd(to, at, buf, n);
        at += n;
    }
}

/* ---- The driver ---- */

static const OptionDesc tape_options[] = {
    { .name = "filename", .type = OPTION_STRING },
    { .name = NULL },
};

static bool tape_driver_open(BlockDriverState *bs, Options *options,
                             unsigned flags, GError **errp)
{
    Tape *tape = bdrv_opaque(bs);
    g_autoptr(OptionValues)
        values = option_values_absorb(tape_options, options, errp);

    (void)flags;
    cr_assert(values);
    int fd = open(option_values_string(values, "filename"),
                  O_RDONLY | O_CLOEXEC);
    cr_assert_geq(fd, 0);
    tape->length = lseek(fd, 0, SEEK_END);
    tape->fd = memfd_create("tape", MFD_CLOEXEC);
    tape->first_fd = memfd_create("tape-first", MFD_CLOEXEC);
    cr_assert(tape->fd >= 0 && tape->first_fd >= 0);
    copy_fd(fd, tape->fd, tape->length);
    copy_fd(fd, tape->first_fd, tape->length);
    close(fd);
    tape->events = g_array_new(FALSE, FALSE, sizeof(Event));
    pthread_mutex_init(&tape->lock, NULL);
    pthread_cond_init(&tape->changed, NULL);
    return true;
}

static void tape_driver_close(BlockDriverState *bs)
{
    Tape *tape = bdrv_opaque(bs);

    for (guint i = 0; i < tape->events->len; i++) {
        g_free(g_array_index(tape->events, Event, i).data);
    }
    g_array_free(tape->events, TRUE);
    pthread_cond_destroy(&tape->changed);
    pthread_mutex_destroy(&tape->lock);
    close(tape->fd);
    close(tape->first_fd);
}

static int64_t tape_getlength(BlockDriverState *bs)
{
    const Tape *tape = bdrv_opaque(bs);

    return tape->length;
}

/* Whether this call is to fail: 0 or -errno. Under the lock. */
static int take_fault(Tape *tape)
{
    if (tape->fail_times == 0 || tape->fail_skip-- > 0) {
        return 0;
    }
    tape->fail_times -= tape->fail_times > 0;
    return -tape->fail_error;
}

/* Under the lock. */
static void wait_if_held(Tape *tape)
{
    if (!tape->hold) {
        return;
    }
    tape->hold = false;
    tape->held = true;
    pthread_cond_broadcast(&tape->changed);
    while (tape->held) {
        pthread_cond_wait(&tape->changed, &tape->lock);
    }
}

static int tape_preadv(BlockDriverState *bs, int64_t offset, int64_t bytes,
                       const IOVector *iov, unsigned flags)
{
    Tape *tape = bdrv_opaque(bs);
    g_autofree uint8_t *buf = g_malloc0((size_t)bytes);

    (void)flags;
    pthread_mutex_lock(&tape->lock);
    cr_assert_geq(pread(tape->fd, buf, (size_t)bytes, offset), 0);
    pthread_mutex_unlock(&tape->lock);
    iov_from_buf(iov, 0, buf, (size_t)bytes);
    return 0;
}

static int tape_pwritev(BlockDriverState *bs, int64_t offset, int64_t bytes,
                        const IOVector *iov, unsigned flags)
{
    Tape *tape = bdrv_opaque(bs);
    Event event = { .kind = EVENT_WRITE, .offset = offset, .bytes = bytes };

    (void)flags;
    event.data = g_malloc((size_t)bytes);
    iov_to_buf(iov, 0, event.data, (size_t)bytes);
    pthread_mutex_lock(&tape->lock);
    wait_if_held(tape);
    int ret = take_fault(tape);
    if (ret == 0) {
        write_fd(tape->fd, offset, event.data, bytes);
        tape->length = MAX(tape->length, offset + bytes);
        tape->written += (uint64_t)bytes;
        g_array_append_val(tape->events, event);
    } else {
        g_free(event.data);
    }
    pthread_mutex_unlock(&tape->lock);
    return ret;
}

static int tape_pdiscard(BlockDriverState *bs, int64_t offset, int64_t bytes)
{
    Tape *tape = bdrv_opaque(bs);
    Event event = { .kind = EVENT_DISCARD, .offset = offset, .bytes = bytes };

    pthread_mutex_lock(&tape->lock);
    /* Not zero, so that nobody relies on it. */
    fill_fd(tape->fd, offset, bytes);
    g_array_append_val(tape->events, event);
    pthread_mutex_unlock(&tape->lock);
    return 0;
}

static int tape_flush(BlockDriverState *bs)
{
    Tape *tape = bdrv_opaque(bs);
    Event event = { .kind = EVENT_FLUSH };

    pthread_mutex_lock(&tape->lock);
    int ret = take_fault(tape);
    if (ret == 0) {
        tape->flushes++;
        g_array_append_val(tape->events, event);
    }
    pthread_mutex_unlock(&tape->lock);
    return ret;
}

static int tape_truncate(BlockDriverState *bs, int64_t size, bool exact,
                         PreallocMode prealloc, GError **errp)
{
    Tape *tape = bdrv_opaque(bs);

    (void)exact;
    (void)prealloc;
    (void)errp;
    pthread_mutex_lock(&tape->lock);
    cr_assert_eq(ftruncate(tape->fd, size), 0);
    tape->length = size;
    pthread_mutex_unlock(&tape->lock);
    return 0;
}

static const BlockDriver bdrv_tape = {
    .format_name = "tape",
    .grows_by_write = true,
    .instance_size = sizeof(Tape),
    .options = tape_options,
    .open = tape_driver_open,
    .close = tape_driver_close,
    .getlength = tape_getlength,
    .preadv = tape_preadv,
    .pwritev = tape_pwritev,
    .pdiscard = tape_pdiscard,
    .flush = tape_flush,
    .truncate = tape_truncate,
};

/* ---- For tests ---- */

void tape_init(void)
{
    g_autoptr(GError) error = NULL;

    image_dir_init();
    cr_assert(bdrv_register(&bdrv_tape, &error), "%s",
              error ? error->message : "");
}

bool tape_create(const char *name, const char *options, const char *size)
{
    int status;
    g_autofree char *qemu = g_find_program_in_path("qemu-img");

    if (qemu == NULL) {
        return false;
    }
    g_autofree char *out =
        image_shell(&status, "qemu-img create -f qcow2 %s%s %s %s",
                    *options ? "-o " : "", options, name, size);
    cr_assert_eq(status, 0, "%s", out);
    return true;
}

BlockBackend *tape_open(const char *name, const char *options)
{
    g_autofree char *text = g_strdup_printf(
        "driver=qcow2,file.driver=tape,file.filename=%%D/%s%s%s", name,
        *options ? "," : "", options);

    return image_open(BDRV_O_RDWR | BDRV_O_RESIZE | BDRV_O_UNMAP, text);
}

Tape *tape_of(BlockBackend *blk)
{
    BlockDriverState *bs = blk_bs(blk);

    while (bs->primary) {
        bs = bs->primary->bs;
    }
    cr_assert_eq(bs->drv, &bdrv_tape);
    return bs->opaque;
}

Qcow2State *tape_state(BlockBackend *blk)
{
    return bdrv_opaque(blk_bs(blk));
}

void tape_fail(Tape *tape, int skip, int times, int error)
{
    pthread_mutex_lock(&tape->lock);
    tape->fail_skip = skip;
    tape->fail_times = times;
    tape->fail_error = error;
    pthread_mutex_unlock(&tape->lock);
}

void tape_hold(Tape *tape)
{
    pthread_mutex_lock(&tape->lock);
    tape->hold = true;
    pthread_mutex_unlock(&tape->lock);
}

void tape_wait_held(Tape *tape)
{
    pthread_mutex_lock(&tape->lock);
    while (!tape->held) {
        pthread_cond_wait(&tape->changed, &tape->lock);
    }
    pthread_mutex_unlock(&tape->lock);
}

void tape_release(Tape *tape)
{
    pthread_mutex_lock(&tape->lock);
    tape->held = false;
    pthread_cond_broadcast(&tape->changed);
    pthread_mutex_unlock(&tape->lock);
}

unsigned tape_now(Tape *tape)
{
    pthread_mutex_lock(&tape->lock);
    unsigned now = tape->events->len;
    pthread_mutex_unlock(&tape->lock);
    return now;
}

unsigned tape_flushes(Tape *tape)
{
    pthread_mutex_lock(&tape->lock);
    unsigned flushes = tape->flushes;
    pthread_mutex_unlock(&tape->lock);
    return flushes;
}

uint64_t tape_written(Tape *tape)
{
    pthread_mutex_lock(&tape->lock);
    uint64_t written = tape->written;
    pthread_mutex_unlock(&tape->lock);
    return written;
}

static const Event *event_at(const Tape *tape, unsigned i)
{
    return &g_array_index(tape->events, Event, i);
}

bool tape_is_durable(Tape *tape, unsigned instant)
{
    return instant == 0 || event_at(tape, instant - 1)->kind == EVENT_FLUSH;
}

static int create_file(const char *name)
{
    g_autofree char *path = image_path(name);
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    cr_assert_geq(fd, 0);
    return fd;
}

void tape_save(Tape *tape, const char *name)
{
    int fd = create_file(name);

    copy_fd(tape->fd, fd, tape->length);
    close(fd);
}

static void apply(int fd, const Event *event)
{
    if (event->kind == EVENT_WRITE) {
        write_fd(fd, event->offset, event->data, event->bytes);
    } else if (event->kind == EVENT_DISCARD) {
        fill_fd(fd, event->offset, event->bytes);
    }
}

/* What is left of an event that no flush followed: any of its sectors, each
 * whole, as it was `then`. */
static void apply_some(int fd, int then, const Event *event, GRand *dice)
{
    enum { SECTOR = 512 };
    int fate = g_rand_int_range(dice, 0, 4);
    uint8_t sector[SECTOR];

    if (event->kind == EVENT_FLUSH || fate == 0) {
        return;
    }
    for (int64_t at = event->offset & -SECTOR;
         at < event->offset + event->bytes; at += SECTOR) {
        if (fate != 1 || g_rand_boolean(dice)) {
            ssize_t n = pread(then, sector, SECTOR, at);

            cr_assert_gt(n, 0);
            write_fd(fd, at, sector, n);
        }
    }
}

void tape_crash(Tape *tape, unsigned instant, GRand *dice, const char *name)
{
    int64_t length = lseek(tape->first_fd, 0, SEEK_END);
    int then = memfd_create("tape-then", MFD_CLOEXEC);
    int fd = create_file(name);
    unsigned durable = instant;

    copy_fd(tape->first_fd, then, length);
    while (durable > 0 && !tape_is_durable(tape, durable)) {
        durable--;
    }
    for (unsigned i = 0; i < durable; i++) {
        apply(then, event_at(tape, i));
    }
    copy_fd(then, fd, lseek(then, 0, SEEK_END));
    for (unsigned i = durable; i < instant; i++) {
        const Event *event = event_at(tape, i);

        apply(then, event);
        apply_some(fd, then, event, dice);
    }
    close(then);
    close(fd);
}

int64_t tape_check(const char *name)
{
    int status;
    g_autofree char *out = image_shell(&status, "qemu-img check -f qcow2 %s",
                                       name);
    const char *leaks = strstr(out, " leaked clusters were found");

    if (status == 0) {
        return 0;
    }
    cr_assert_eq(status, 3, "qemu-img check gave %d: %s", status, out);
    cr_assert(leaks, "%s", out);
    while (leaks > out && g_ascii_isdigit(leaks[-1])) {
        leaks--;
    }
    return g_ascii_strtoll(leaks, NULL, 10);
}
