/* SPDX-License-Identifier: MIT */
#include "block/vvfat/redo.h"

#include <pthread.h>
#include <string.h>
#include <zlib.h>

#include "util/bytes.h"

#define HALF (REDO_BYTES / 2)
#define BLOCK 512u
#define MAGIC 0x4f444552u /* "REDO" */
#define CHUNK (INT64_C(1) << 20)

typedef struct RedoRecord {
    le32 magic;  /* 0 */
    le32 crc;    /* 4: of all that follows, and the data */
    le64 epoch;  /* 8 */
    le64 number; /* 16: in its epoch, from 0 */
    le64 offset; /* 24 */
    le64 bytes;  /* 32 */
    le32 zeroes; /* 40: 1: no data follows */
    uint8_t unused[468];
} RedoRecord;

G_STATIC_ASSERT(sizeof(RedoRecord) == BLOCK);

struct Redo {
    BdrvChild *child;
    int64_t start;

    pthread_mutex_t flushing; /* one flush at a time; before lock */
    pthread_mutex_t lock;     /* the following */
    uint64_t epoch, number;   /* of the next record */
    int64_t at;               /* where it goes in its half */
    bool is_behind;           /* the epoch before is not durable */
};

Redo *redo_new(BdrvChild *child, int64_t offset)
{
    Redo *r = g_new0(Redo, 1);

    r->child = child;
    r->start = offset;
    r->epoch = 1;
    pthread_mutex_init(&r->flushing, NULL);
    pthread_mutex_init(&r->lock, NULL);
    return r;
}

void redo_free(Redo *r)
{
    if (r) {
        pthread_mutex_destroy(&r->flushing);
        pthread_mutex_destroy(&r->lock);
        g_free(r);
    }
}

static int64_t half_start(const Redo *r, uint64_t epoch)
{
    return r->start + (epoch & 1 ? HALF : 0);
}

int redo_format(Redo *r)
{
    g_autofree uint8_t *zeroes = g_malloc0((gsize)CHUNK);
    int ret = 0;

    for (int64_t at = 0; ret == 0 && at < REDO_BYTES; at += CHUNK) {
        ret = bdrv_pwrite(r->child, r->start + at, CHUNK, zeroes, 0);
    }
    return ret;
}

/* ---- Writing ---- */

static uint32_t header_crc(const RedoRecord *record)
{
    size_t from = offsetof(RedoRecord, epoch);

    return (uint32_t)crc32(0, (const uint8_t *)record + from,
                           (uInt)(sizeof(*record) - from));
}

static int write_record(Redo *r, int64_t offset, int64_t bytes,
                        const IOVector *iov)
{
    RedoRecord record = { 0 };
    g_auto(IOVector) all = { 0 };
    int64_t length = BLOCK + (iov ? bytes : 0);
    uLong crc;
    int ret;

    le32_put(&record.magic, MAGIC);
    le64_put(&record.epoch, r->epoch);
    le64_put(&record.number, r->number);
    le64_put(&record.offset, (uint64_t)offset);
    le64_put(&record.bytes, (uint64_t)bytes);
    le32_put(&record.zeroes, iov == NULL);
    crc = header_crc(&record);
    iov_init(&all);
    iov_add(&all, &record, sizeof(record));
    for (int i = 0; iov && i < iov->niov; i++) {
        crc = crc32(crc, iov->iov[i].iov_base, (uInt)iov->iov[i].iov_len);
        iov_add(&all, iov->iov[i].iov_base, iov->iov[i].iov_len);
    }
    le32_put(&record.crc, (uint32_t)crc);
    ret = bdrv_pwritev(r->child, half_start(r, r->epoch) + r->at, length, &all,
                       0);
    if (ret == 0) {
        r->at += length;
        r->number++;
    }
    return ret;
}

static int append_record(Redo *r, int64_t offset, int64_t bytes,
                         const IOVector *iov)
{
    int64_t length = BLOCK + (iov ? bytes : 0);
    bool fits;
    int ret = 0;

    do {
        pthread_mutex_lock(&r->lock);
        fits = length <= HALF - r->at;
        if (fits) {
            ret = write_record(r, offset, bytes, iov);
        }
        pthread_mutex_unlock(&r->lock);
        if (!fits) {
            ret = redo_flush(r);
        }
    } while (ret == 0 && !fits);
    return ret;
}

/* However much it is: what is durable, but not in the log, would be overwritten
 * by older records of the same range when they are repeated. */
int redo_append(Redo *r, int64_t offset, int64_t bytes, const IOVector *iov)
{
    int64_t done = 0;
    int ret = 0;

    if (!iov) {
        return append_record(r, offset, bytes, NULL);
    }
    while (ret == 0 && done < bytes) {
        g_auto(IOVector) part = { 0 };
        int64_t n = MIN(bytes - done, CHUNK);

        iov_init_slice(&part, iov, (size_t)done, (size_t)n);
        ret = append_record(r, offset + done, n, &part);
        done += n;
    }
    return ret;
}

/* The next epoch, if the half that it takes is not needed any more. */
static void begin_epoch(Redo *r)
{
    pthread_mutex_lock(&r->lock);
    if (!r->is_behind) {
        r->epoch++;
        r->number = 0;
        r->at = 0;
    }
    pthread_mutex_unlock(&r->lock);
}

int redo_flush(Redo *r)
{
    int ret;

    pthread_mutex_lock(&r->flushing);
    begin_epoch(r);
    ret = bdrv_flush(bdrv_child_bs(r->child));
    pthread_mutex_lock(&r->lock);
    r->is_behind = ret < 0;
    pthread_mutex_unlock(&r->lock);
    pthread_mutex_unlock(&r->flushing);
    return ret;
}

/* ---- Repeating ---- */

/* The record at `at` of a half; *found false: there is none, or it is not
 * whole. *data: for g_free(), NULL for zeroes. */
static int read_record(const Redo *r, int64_t half, int64_t at,
                       RedoRecord *record, uint8_t **data, bool *found)
{
    g_autofree uint8_t *buffer = NULL;
    uint64_t bytes;
    uLong crc;
    int ret;

    *found = false;
    *data = NULL;
    if (at + (int64_t)BLOCK > HALF) {
        return 0;
    }
    ret = bdrv_pread(r->child, half + at, BLOCK, record, 0);
    bytes = le64_get(record->bytes);
    if (ret < 0 || le32_get(record->magic) != MAGIC || bytes == 0 ||
        bytes % BLOCK || bytes > INT64_MAX / 2 ||
        le64_get(record->offset) > INT64_MAX / 2) {
        return ret;
    }
    crc = header_crc(record);
    if (!le32_get(record->zeroes)) {
        if (bytes > (uint64_t)(HALF - at - (int64_t)BLOCK)) {
            return 0;
        }
        buffer = g_malloc(bytes);
        ret = bdrv_pread(r->child, half + at + BLOCK, (int64_t)bytes, buffer,
                         0);
        crc = crc32(crc, buffer, (uInt)bytes);
    }
    *found = ret == 0 && le32_get(record->crc) == crc;
    *data = *found ? g_steal_pointer(&buffer) : NULL;
    return ret;
}

static int repeat_half(const Redo *r, uint64_t epoch, RedoVisitor *visit,
                       void *opaque)
{
    uint64_t number = 0;
    int64_t at = 0;
    int ret = 0;

    while (ret == 0) {
        g_autofree uint8_t *data = NULL;
        RedoRecord record;
        IOVector iov;
        int64_t bytes;
        bool found;

        ret = read_record(r, half_start(r, epoch), at, &record, &data, &found);
        if (ret < 0 || !found || le64_get(record.epoch) != epoch ||
            le64_get(record.number) != number) {
            break;
        }
        bytes = (int64_t)le64_get(record.bytes);
        if (data) {
            iov_init_buf(&iov, data, (size_t)bytes);
        }
        ret = visit((int64_t)le64_get(record.offset), bytes,
                    data ? &iov : NULL, opaque);
        at += BLOCK + (data ? bytes : 0);
        number++;
    }
    return ret;
}

/* The epoch that begins in a half; 0: none. */
static int half_epoch(const Redo *r, unsigned half, uint64_t *epoch)
{
    g_autofree uint8_t *data = NULL;
    RedoRecord record;
    bool found;
    int ret = read_record(r, half_start(r, half), 0, &record, &data, &found);

    found = found && le64_get(record.number) == 0 &&
            (le64_get(record.epoch) & 1) == half;
    *epoch = found ? le64_get(record.epoch) : 0;
    return ret;
}

int redo_repeat(Redo *r, RedoVisitor *visit, void *opaque)
{
    uint64_t epochs[2] = { 0 }, last;
    int ret = half_epoch(r, 0, &epochs[0]);

    if (ret == 0) {
        ret = half_epoch(r, 1, &epochs[1]);
    }
    if (ret < 0) {
        return ret;
    }
    last = MAX(epochs[0], epochs[1]);
    if (last > 1 && epochs[(last - 1) & 1] == last - 1) {
        ret = repeat_half(r, last - 1, visit, opaque);
    }
    if (ret == 0 && last) {
        ret = repeat_half(r, last, visit, opaque);
    }
    r->epoch = last;
    return ret < 0 ? ret : redo_flush(r);
}
