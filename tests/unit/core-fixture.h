/* SPDX-License-Identifier: MIT */
/*
 * Drivers for testing the core:
 *
 *   mem    protocol "mem:SIZE": bytes in memory; keeps a record of its calls,
 *          with limits and abilities as the test wants them
 *   pass   a filter over "file" that does nothing
 *   cow    a format over "file" and "backing" whose allocation is given as an
 *          option; probed by "COW!". "COW!NAME|FORMAT" and a newline at the
 *          start of the file record a backing file, FORMAT may be left out.
 */
#ifndef TESTS_CORE_FIXTURE_H
#define TESTS_CORE_FIXTURE_H

#include <pthread.h>

#include "block/driver.h"

typedef enum MemKind {
    MEM_READ,
    MEM_WRITE,
    MEM_ZEROES,
    MEM_DISCARD,
    MEM_FLUSH,
    MEM_TRUNCATE,
    MEM_STATUS,
    MEM_COPY_FROM,
    MEM_COPY_TO,
    MEM_KINDS,
} MemKind;

typedef struct MemCall {
    MemKind kind;
    int64_t offset, bytes;
    unsigned flags;
} MemCall;

typedef struct MemDisk {
    uint8_t *data;
    int fd; /* of the same bytes, for copies */
    int64_t length;
    BdrvLimits limits; /* as the options want them */
    bool grows;

    /* Set by tests while no request runs. */
    int delay_us;              /* of each call */
    int fail[MEM_KINDS];       /* errno to fail with; 0: none */
    int fail_after[MEM_KINDS]; /* let so many calls pass first */
    unsigned status_unit;      /* bytes a letter of status_map; 0: no answer */
    const char *status_map;    /* d data, z zeroes, u unallocated */
    int64_t status_excess;     /* added to every answer's bytes */

    pthread_mutex_t lock;
    pthread_cond_t cond;
    GArray *calls;       /* lock: of MemCall */
    bool hold;           /* lock: calls wait */
    int held;            /* lock: calls that wait */
    unsigned misaligned; /* lock: calls that broke the contract */

    /* Permissions, as the driver was told them. */
    unsigned perm, shared;
    int checks, sets, aborts;
    bool refuse_perm;
    bool refuse_reopen;
    int prepared, committed, aborted;
} MemDisk;

/* Register the drivers. Suits .init. */
void core_init(void);

/* Open from "key=value,..."; fails the test if that fails. */
BlockBackend *core_open(unsigned flags, const char *options);
BlockBackend *core_open_name(unsigned flags, const char *name,
                             const char *options);

/* The error of an open that must fail. g_free(). */
char *core_open_error(unsigned flags, const char *name, const char *options);

/* The mem node at the end of the chain of PRIMARY children. */
MemDisk *core_disk(BlockBackend *blk);

/* How many calls of a kind there were since core_forget(). */
unsigned core_count(MemDisk *disk, MemKind kind);
void core_forget(MemDisk *disk);

/* "W 0+512 f Z 512+1024", in order; f: FUA, m: MAY_UNMAP, n: NO_FALLBACK.
 * g_free(). */
char *core_calls(MemDisk *disk);

/* Fail the test unless the calls were these; forgets them. */
void core_expect(MemDisk *disk, const char *calls);

/* Make calls wait from now on, until released; wait until n of them do. */
void core_hold(MemDisk *disk);
void core_wait_held(MemDisk *disk, int n);
void core_release(MemDisk *disk);

/* Fail the test unless text holds part. */
void core_check_text(const char *text, const char *part);

#endif
