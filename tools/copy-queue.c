/* SPDX-License-Identifier: MIT */
/*
 * `turn` is the number of the segment to be written next; what nobody needs to
 * write gets no number. A target that may be written out of order knows no
 * turns.
 */
#include "tools/copy-queue.h"

#include "tools/partial-file.h"

void copy_queue_init(CopyQueue *queue, const CopyWalk *walk, bool in_turn,
                     CopyQueueFilter *is_left_out, void *opaque)
{
    *queue = (CopyQueue){ .in_turn = in_turn,
                          .is_left_out = is_left_out,
                          .opaque = opaque,
                          .walk = *walk };
    pthread_mutex_init(&queue->lock, NULL);
    pthread_cond_init(&queue->turn_changed, NULL);
}

void copy_queue_destroy(CopyQueue *queue)
{
    pthread_mutex_destroy(&queue->lock);
    pthread_cond_destroy(&queue->turn_changed);
}

void copy_queue_stop(CopyQueue *queue)
{
    pthread_mutex_lock(&queue->lock);
    atomic_store(&queue->stopped, true);
    pthread_cond_broadcast(&queue->turn_changed);
    pthread_mutex_unlock(&queue->lock);
}

bool copy_queue_is_stopped(const CopyQueue *queue)
{
    return atomic_load(&queue->stopped) || partial_file_interrupted();
}

int copy_queue_take(CopyQueue *queue, CopyTask *task, int64_t *position)
{
    Segment *s = &task->segment;
    int ret;

    pthread_mutex_lock(&queue->lock);
    do {
        ret = copy_walk_next(&queue->walk, s);
    } while (ret > 0 && queue->is_left_out(s, queue->opaque));
    task->number = queue->next_number++;
    *position = queue->walk.position;
    pthread_mutex_unlock(&queue->lock);
    return ret;
}

bool copy_queue_wait_for_turn(CopyQueue *queue, const CopyTask *task)
{
    if (queue->in_turn) {
        pthread_mutex_lock(&queue->lock);
        while (queue->turn != task->number && !copy_queue_is_stopped(queue)) {
            pthread_cond_wait(&queue->turn_changed, &queue->lock);
        }
        pthread_mutex_unlock(&queue->lock);
    }
    return !copy_queue_is_stopped(queue);
}

void copy_queue_end_turn(CopyQueue *queue)
{
    if (queue->in_turn) {
        pthread_mutex_lock(&queue->lock);
        queue->turn++;
        pthread_cond_broadcast(&queue->turn_changed);
        pthread_mutex_unlock(&queue->lock);
    }
}

void copy_queue_forget_host(CopyQueue *queue)
{
    pthread_mutex_lock(&queue->lock);
    queue->walk.min_host = 0;
    pthread_mutex_unlock(&queue->lock);
}
