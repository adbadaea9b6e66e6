/* SPDX-License-Identifier: MIT */
/*
 * Tracked requests. A read-modify-write reads bytes that do not belong to it
 * and writes them back, so no other write to the same blocks may run beside
 * it; it is `serialising`. Other writes only have to be seen, and may overlap
 * each other as their callers please.
 *
 * The list is in order of arrival, and a request waits for earlier ones
 * alone, so no two ever wait for each other. Only nodes whose blocks are
 * longer than a byte, writes that grow a node, and those that are guarded
 * (probe.h) come here at all.
 */
#include "block/request.h"

static bool request_conflicts(const TrackedRequest *a, const TrackedRequest *b)
{
    return (a->serialising || b->serialising) && a->start < b->end &&
           b->start < a->end;
}

static bool request_must_wait(const TrackedRequest *req)
{
    const TrackedRequest *other = req->prev;

    while (other && !request_conflicts(req, other)) {
        other = other->prev;
    }
    return other != NULL;
}

void request_begin(TrackedRequest *req, BlockDriverState *bs, int64_t start,
                   int64_t end, bool serialising)
{
    int64_t alignment = bs->limits.request_alignment;

    req->bs = bs;
    req->start = start - start % alignment;
    req->end = end;
    if (end % alignment != 0) {
        req->end += alignment - end % alignment;
    }
    req->serialising = serialising;
    req->next = NULL;

    pthread_mutex_lock(&bs->request_lock);
    req->prev = bs->last_request;
    if (req->prev) {
        req->prev->next = req;
    } else {
        bs->first_request = req;
    }
    bs->last_request = req;
    while (request_must_wait(req)) {
        pthread_cond_wait(&bs->request_cond, &bs->request_lock);
    }
    pthread_mutex_unlock(&bs->request_lock);
}

void request_end(TrackedRequest *req)
{
    BlockDriverState *bs = req->bs;

    pthread_mutex_lock(&bs->request_lock);
    if (req->prev) {
        req->prev->next = req->next;
    } else {
        bs->first_request = req->next;
    }
    if (req->next) {
        req->next->prev = req->prev;
        /* Only later ones can be waiting for this one. */
        pthread_cond_broadcast(&bs->request_cond);
    } else {
        bs->last_request = req->prev;
    }
    pthread_mutex_unlock(&bs->request_lock);
}
