/* SPDX-License-Identifier: MIT */
/*
 * What is to be copied, handed out to workers: they take segments
 * (copy-walk.h) one after the other, and may have to write them in that order.
 * All calls may be made on any thread.
 */
#ifndef TOOLS_COPY_QUEUE_H
#define TOOLS_COPY_QUEUE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "tools/copy-walk.h"

/* Whether a segment needs nobody: it is asked once about each, in order. */
typedef bool CopyQueueFilter(const Segment *segment, void *opaque);

typedef struct CopyTask {
    Segment segment;
    uint64_t number; /* its turn */
} CopyTask;

typedef struct CopyQueue {
    bool in_turn; /* segments are written in their order */
    CopyQueueFilter *is_left_out;
    void *opaque;

    pthread_mutex_t lock;
    pthread_cond_t turn_changed;
    CopyWalk walk;        /* lock */
    uint64_t next_number; /* lock */
    uint64_t turn;        /* lock */
    atomic_bool stopped;
} CopyQueue;

void copy_queue_init(CopyQueue *queue, const CopyWalk *walk, bool in_turn,
                     CopyQueueFilter *is_left_out, void *opaque);
void copy_queue_destroy(CopyQueue *queue);

/* End the work: after an error, or a signal, which wakes nobody who waits. */
void copy_queue_stop(CopyQueue *queue);

/* Whether the work is to end: stopped, or partial_file_interrupted(). */
bool copy_queue_is_stopped(const CopyQueue *queue);

/* The next segment that needs work. 1, 0 at the end, or -errno, and *position
 * is where in the source. */
int copy_queue_take(CopyQueue *queue, CopyTask *task, int64_t *position)
    G_GNUC_WARN_UNUSED_RESULT;

/* Wait until the task may write. False when everything is stopped. */
bool copy_queue_wait_for_turn(CopyQueue *queue, const CopyTask *task)
    G_GNUC_WARN_UNUSED_RESULT;

/* The task has been written. */
void copy_queue_end_turn(CopyQueue *queue);

/* The kernel cannot copy: no SEGMENT_HOST from now on. */
void copy_queue_forget_host(CopyQueue *queue);

#endif
