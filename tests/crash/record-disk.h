/* SPDX-License-Identifier: MIT */
/*
 * The protocol driver "record": a disk in memory that keeps a tape of what
 * was done to it, and fails when a test says so.
 *
 * A disk outlives the nodes that show it, so an image can be closed and opened
 * again. It is used by one thread. Discarded bytes read as 0xdd, so that
 * nobody relies on them.
 */
#ifndef TESTS_CRASH_RECORD_DISK_H
#define TESTS_CRASH_RECORD_DISK_H

#include "block/driver.h"

typedef enum RecordKind {
    RECORD_WRITE,
    RECORD_ZERO,
    RECORD_DISCARD,
    RECORD_TRUNCATE, /* offset: the new length */
    RECORD_FLUSH,
    RECORD_NOTE, /* not a call: a mark of the test's, its number in offset */
} RecordKind;

typedef struct RecordEvent {
    RecordKind kind;
    bool durable; /* WRITE with FUA */
    int64_t offset, bytes;
    uint8_t *data; /* WRITE: owned */
} RecordEvent;

/* What a fault strikes. */
typedef enum FaultOn {
    FAULT_NOTHING,
    FAULT_ANY,       /* reads, writes, flushes, everything */
    FAULT_CHANGES,   /* writes, zeroes, truncate: a full disk */
    FAULT_HALF_WRITE /* writes, after the first half of the bytes */
} FaultOn;

typedef struct RecordDisk {
    uint8_t *data;
    int64_t length, capacity;
    bool recording;
    GArray *events; /* of RecordEvent */

    FaultOn fault;
    int fault_errno;
    bool fault_stays;     /* from then on always; false: once */
    unsigned fault_after; /* calls that it lets pass */
    unsigned faults;      /* how often it struck */
    unsigned calls;       /* calls that the fault in question could strike */
} RecordDisk;

/* Register the driver. */
void record_init(void);

/* A disk with these bytes. */
RecordDisk *record_disk_new(const uint8_t *data, int64_t length);
RecordDisk *record_disk_load(const char *path);
void record_disk_free(RecordDisk *disk);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(RecordDisk, record_disk_free)

/* Add a mark to the tape. */
void record_note(RecordDisk *disk, int64_t number);

/* Carry out an event on another disk: the whole, or of a change by its first
 * `bytes` from `skip` on. */
void record_apply(RecordDisk *disk, const RecordEvent *event);
void record_apply_part(RecordDisk *disk, const RecordEvent *event,
                       int64_t skip, int64_t bytes);

/* Write the bytes to a host file. */
void record_disk_save(const RecordDisk *disk, const char *path);

/* The options that open an image on the disk: format, "file.driver"... */
Options *record_options(const RecordDisk *disk, const char *format);

#endif
