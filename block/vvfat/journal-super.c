/* SPDX-License-Identifier: MIT */
/*
 * Superblocks. Each is written to the place of the older one: whatever becomes
 * of it, the newer one is still there.
 */
#include <errno.h>
#include <string.h>
#include <zlib.h>

#include "block/vvfat/journal-int.h"

#define MAGIC "vvfat-ov"
#define VERSION 1u

typedef struct JournalSuper {
    uint8_t magic[8];      /* 0 */
    le32 crc;              /* 8: of all that follows, with the identity */
    le32 version;          /* 12 */
    le64 sequence;         /* 16 */
    le32 is_ready;         /* 24 */
    le32 area;             /* 28: 0 or 1 */
    le64 checkpoint_bytes; /* 32 */
    le32 identity_bytes;   /* 40; it follows */
    le32 reserved;         /* 44 */
} JournalSuper;

G_STATIC_ASSERT(sizeof(JournalSuper) == 48);

static uint32_t crc_of(const uint8_t *block, size_t bytes)
{
    size_t from = offsetof(JournalSuper, version);

    return (uint32_t)crc32(0, block + from, (uInt)(bytes - from));
}

static bool is_valid(const Journal *j, const uint8_t *block,
                     const JournalSuper *super)
{
    uint32_t bytes = le32_get(super->identity_bytes);

    return memcmp(super->magic, MAGIC, sizeof(super->magic)) == 0 &&
           bytes <= JOURNAL_MAX_IDENTITY &&
           le32_get(super->crc) == crc_of(block, sizeof(*super) + bytes) &&
           le32_get(super->version) == VERSION && le32_get(super->area) < 2 &&
           le64_get(super->checkpoint_bytes) <=
               (uint64_t)j->store.area_bytes &&
           le64_get(super->sequence) > 0;
}

static bool is_zero(const uint8_t *block, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        if (block[i]) {
            return false;
        }
    }
    return true;
}

int journal_probe(Journal *j, JournalState *state, GByteArray **identity)
{
    g_autofree uint8_t *block = g_malloc(JOURNAL_SUPER_BYTES);

    *state = JOURNAL_NONE;
    *identity = NULL;
    j->sequence = 0;
    for (unsigned i = 0; i < 2; i++) {
        JournalSuper super;
        int ret = j->store.read(j->store.opaque, j->store.supers[i],
                                JOURNAL_SUPER_BYTES, block);

        if (ret < 0) {
            return ret;
        }
        memcpy(&super, block, sizeof(super));
        if (!is_valid(j, block, &super)) {
            if (*state == JOURNAL_NONE &&
                !is_zero(block, JOURNAL_SUPER_BYTES)) {
                *state = JOURNAL_DAMAGED;
            }
            continue;
        }
        if (le64_get(super.sequence) <= j->sequence) {
            continue;
        }
        j->sequence = le64_get(super.sequence);
        j->area = le32_get(super.area);
        j->checkpoint = (int64_t)le64_get(super.checkpoint_bytes);
        *state = le32_get(super.is_ready) ? JOURNAL_READY : JOURNAL_BEGUN;
        g_byte_array_set_size(j->identity, 0);
        g_byte_array_append(j->identity, block + sizeof(super),
                            le32_get(super.identity_bytes));
    }
    if (*state == JOURNAL_READY) {
        *identity = g_byte_array_ref(j->identity);
    }
    return 0;
}

int journal_write_super(Journal *j, bool is_ready, unsigned area,
                        int64_t checkpoint)
{
    g_autofree uint8_t *block = g_malloc0(JOURNAL_SUPER_BYTES);
    uint64_t sequence = j->sequence + 1;
    JournalSuper super = { 0 };
    int ret;

    if (j->identity->len > JOURNAL_MAX_IDENTITY) {
        return -ENAMETOOLONG;
    }
    memcpy(super.magic, MAGIC, sizeof(super.magic));
    le32_put(&super.version, VERSION);
    le64_put(&super.sequence, sequence);
    le32_put(&super.is_ready, is_ready);
    le32_put(&super.area, area);
    le64_put(&super.checkpoint_bytes, (uint64_t)checkpoint);
    le32_put(&super.identity_bytes, j->identity->len);
    memcpy(block, &super, sizeof(super));
    memcpy(block + sizeof(super), j->identity->data, j->identity->len);
    le32_put(&super.crc, crc_of(block, sizeof(super) + j->identity->len));
    memcpy(block, &super, sizeof(super));
    ret = j->store.write(j->store.opaque, j->store.supers[sequence & 1],
                         JOURNAL_SUPER_BYTES, block);
    if (ret == 0) {
        ret = j->store.flush(j->store.opaque);
    }
    if (ret == 0) {
        j->sequence = sequence;
        j->area = area;
        j->checkpoint = checkpoint;
    }
    return ret;
}

int journal_begin(Journal *j, const GByteArray *identity)
{
    g_byte_array_set_size(j->identity, 0);
    g_byte_array_append(j->identity, identity->data, identity->len);
    j->is_stale = true;
    return journal_write_super(j, false, 0, 0);
}
