/* SPDX-License-Identifier: MIT */
/* Records: one behind the other, each at a multiple of JOURNAL_ALIGN. */
#include <errno.h>
#include <string.h>
#include <zlib.h>

#include "block/vvfat/journal-int.h"

#define CHUNK (1 << 20)

static int64_t record_bytes(uint32_t length)
{
    int64_t bytes = (int64_t)sizeof(JournalRecord) + length;

    return (bytes + JOURNAL_ALIGN - 1) / JOURNAL_ALIGN * JOURNAL_ALIGN;
}

static uint32_t crc_of(const JournalRecord *record, const uint8_t *payload,
                       size_t bytes)
{
    size_t from = offsetof(JournalRecord, type);
    uLong crc = crc32(0, (const uint8_t *)record + from,
                      (uInt)(sizeof(*record) - from));

    return (uint32_t)crc32(crc, payload, (uInt)bytes);
}

int journal_write_record(Journal *j, unsigned area, uint64_t sequence,
                         JournalRecordType type, const GByteArray *payload)
{
    int64_t bytes = record_bytes(payload->len), done = 0;
    g_autofree uint8_t *all = NULL;
    JournalRecord record = { 0 };
    int ret = 0;

    if (payload->len > JOURNAL_MAX_RECORD ||
        bytes > j->store.area_bytes - j->end) {
        return -EFBIG;
    }
    all = g_try_malloc0((gsize)bytes);
    if (!all) {
        return -ENOMEM;
    }
    le32_put(&record.magic, JOURNAL_RECORD_MAGIC);
    le32_put(&record.type, type);
    le32_put(&record.length, payload->len);
    le64_put(&record.sequence, sequence);
    le64_put(&record.number, j->number);
    if (payload->len) {
        memcpy(all + sizeof(record), payload->data, payload->len);
    }
    le32_put(&record.crc, crc_of(&record, all + sizeof(record), payload->len));
    memcpy(all, &record, sizeof(record));
    while (ret == 0 && done < bytes) {
        int64_t n = MIN(bytes - done, CHUNK);

        ret = j->store.write(j->store.opaque,
                             j->store.areas[area] + j->end + done, n,
                             all + done);
        done += n;
    }
    if (ret == 0) {
        j->end += bytes;
        j->number++;
    }
    return ret;
}

/* The header at the end, if it can be one. */
static int read_header(Journal *j, JournalRecord *record, bool *found)
{
    uint8_t block[JOURNAL_ALIGN];
    uint32_t length;
    int ret;

    *found = false;
    if (j->end + (int64_t)JOURNAL_ALIGN > j->store.area_bytes) {
        return 0;
    }
    ret = j->store.read(j->store.opaque, j->store.areas[j->area] + j->end,
                        sizeof(block), block);
    memcpy(record, block, sizeof(*record));
    length = le32_get(record->length);
    *found = le32_get(record->magic) == JOURNAL_RECORD_MAGIC &&
             le64_get(record->sequence) == j->sequence &&
             le64_get(record->number) == j->number &&
             length <= JOURNAL_MAX_RECORD &&
             record_bytes(length) <= j->store.area_bytes - j->end;
    return ret;
}

int journal_read_record(Journal *j, JournalRecordType *type,
                        GByteArray **payload)
{
    g_autofree uint8_t *all = NULL;
    JournalRecord record;
    int64_t bytes, done = 0;
    uint32_t length;
    bool found;
    int ret = read_header(j, &record, &found);

    *payload = NULL;
    if (ret < 0 || !found) {
        return ret;
    }
    length = le32_get(record.length);
    bytes = record_bytes(length);
    all = g_try_malloc((gsize)bytes);
    if (!all) {
        return -ENOMEM;
    }
    while (ret == 0 && done < bytes) {
        int64_t n = MIN(bytes - done, CHUNK);

        ret = j->store.read(j->store.opaque,
                            j->store.areas[j->area] + j->end + done, n,
                            all + done);
        done += n;
    }
    if (ret < 0 || le32_get(record.crc) !=
                       crc_of(&record, all + sizeof(record), length)) {
        return ret;
    }
    *type = (JournalRecordType)le32_get(record.type);
    *payload = g_byte_array_new();
    g_byte_array_append(*payload, all + sizeof(record), length);
    j->end += bytes;
    j->number++;
    return 0;
}
