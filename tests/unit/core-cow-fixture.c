/* SPDX-License-Identifier: MIT */
/*
 * The "cow" driver of core-fixture.h: whole units of 4 KiB are allocated or
 * not, as the option `map` says first and as they are written then. One lock
 * around everything.
 */
#include "tests/unit/core-cow-fixture.h"

#include <errno.h>
#include <string.h>

#include "tests/unit/core-fixture.h"

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

    if (bdrv_driver(bdrv_child_bs(s->file)) == &core_mem) {
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

const BlockDriver core_cow = {
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
