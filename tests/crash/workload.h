/* SPDX-License-Identifier: MIT */
/*
 * Images and what is done to them while they are watched.
 *
 * A scenario is an image, made by a shell script (qemu-img and qemu-io), and
 * a list of requests, some written down and some drawn by lot.
 */
#ifndef TESTS_CRASH_WORKLOAD_H
#define TESTS_CRASH_WORKLOAD_H

#include "block/block.h"
#include "tests/crash/guest-model.h"
#include "tests/crash/record-disk.h"

typedef struct Scenario {
    const char *name;
    const char *format;
    /* Makes "start.img"; a backing file is $PWD/base.raw, which is there and
     * holds no zeroes. */
    const char *prepare;
    /* "write 0 4k; flush; ...": see workload.c. */
    const char *requests;
    int64_t unit;        /* of offsets drawn by lot */
    bool backed;         /* by base.raw */
    bool lazy_refcounts; /* wrong refcounts after a crash; to be repaired */
    bool snapshot;       /* "snap" must stay as it is */
} Scenario;

extern const Scenario qcow2_scenarios[]; /* ends without a name */
extern const Scenario qcow_scenarios[];
extern const Scenario qcow2_fault_scenarios[];
extern const Scenario qcow_fault_scenarios[];

typedef enum RequestKind {
    REQUEST_WRITE,
    REQUEST_WRITE_COMPRESSED,
    REQUEST_WRITE_DURABLE,
    REQUEST_ZERO,
    REQUEST_ZERO_UNMAP,
    REQUEST_DISCARD,
    REQUEST_TRUNCATE, /* offset: the new size */
    REQUEST_EMPTY,
    REQUEST_FLUSH,
    REQUEST_REOPEN,
} RequestKind;

typedef struct Request {
    RequestKind kind;
    int64_t offset, bytes;
    unsigned number; /* part of the data */
} Request;

/* The requests of a scenario, of Request, for a disk of this size. */
GArray *workload_parse(const Scenario *scenario, int64_t size);

/* "write 4096+512", for messages; g_free(). */
char *request_text(const Request *request);

typedef struct Workload {
    const Scenario *scenario;
    GArray *requests;
    GBytes *image; /* start.img */
    GBytes *base;  /* base.raw: MODEL_MAX bytes */
    GuestModel *start;
    uint8_t *snapshot; /* what "snap" holds, of the size of start; or NULL */
} Workload;

/* Run the script and read what it made. The work happens in the current
 * directory. */
Workload *workload_new(const Scenario *scenario);
void workload_free(Workload *workload);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Workload, workload_free)

/* Open the image on the disk; NULL and *errp. */
BlockBackend *workload_open(const Workload *workload, RecordDisk *disk,
                            unsigned flags, GError **errp);

/* Let the library do a request on *blk (REOPEN: replaces it; NULL if it does
 * not open). 0 or -errno; *why: words for an error, g_free(). */
int request_run(const Workload *workload, RecordDisk *disk, BlockBackend **blk,
                const Request *request, char **why);

/*
 * Do to the model what the request does. What a discard or emptying leaves is
 * not for the model to say: `after` is the disk as it reads then, of the size
 * of the model. (Others: NULL.)
 */
void request_model(GuestModel *model, const Request *request,
                   const uint8_t *after);

/* The same for one that has failed. */
void request_model_failed(const Workload *workload, GuestModel *model,
                          const Request *request);

/* Whether request_model() needs `after`. */
bool request_leaves_unknown(const Request *request);

/* The whole disk, g_free(); NULL and *why. */
uint8_t *guest_read(BlockBackend *blk, int64_t *size, char **why);

/* Run a command line; its status. Output is thrown away. */
int run_shell(const char *command);

#endif
