/* SPDX-License-Identifier: MIT */
/* Between the files of journal. */
#ifndef VVFAT_JOURNAL_INT_H
#define VVFAT_JOURNAL_INT_H

#include "block/vvfat/journal.h"
#include "util/bytes.h"

#define JOURNAL_ALIGN 512u
#define JOURNAL_RECORD_MAGIC 0x4a465656u /* "VVFJ" */

typedef enum JournalRecordType {
    RECORD_INODES = 1, /* of a checkpoint */
    RECORD_CHECKPOINT, /* its end: how many there were */
    RECORD_PLAN,
    RECORD_STAGED,
    RECORD_DONE,
} JournalRecordType;

typedef struct JournalRecord {
    le32 magic;    /* 0: JOURNAL_RECORD_MAGIC */
    le32 crc;      /* 4: of all that follows, and the payload */
    le32 type;     /* 8 */
    le32 length;   /* 12: bytes of the payload, which follows */
    le64 sequence; /* 16: of the superblock */
    le64 number;   /* 24: of the record in its area, from 0 */
} JournalRecord;

G_STATIC_ASSERT(sizeof(JournalRecord) == 32);

struct Journal {
    JournalStore store;
    GByteArray *identity;
    uint64_t sequence;  /* of the last superblock; 0: none */
    unsigned area;      /* that counts */
    int64_t checkpoint; /* bytes of it */
    int64_t end;        /* where the next record goes, from the area's start */
    uint64_t number;    /* that it gets */
    bool is_stale;
};

/* A record where the next one goes; not flushed. 0 or -errno; -EFBIG: the area
 * has no room for it. */
int journal_write_record(Journal *journal, unsigned area, uint64_t sequence,
                         JournalRecordType type, const GByteArray *payload)
    G_GNUC_WARN_UNUSED_RESULT;

/* The record where the next one goes, and past it. *payload NULL: there is no
 * whole one. 0 or -errno. */
int journal_read_record(Journal *journal, JournalRecordType *type,
                        GByteArray **payload) G_GNUC_WARN_UNUSED_RESULT;

/* A superblock with the next sequence number, flushed. */
int journal_write_super(Journal *journal, bool is_ready, unsigned area,
                        int64_t checkpoint) G_GNUC_WARN_UNUSED_RESULT;

#endif
