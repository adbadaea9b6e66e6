/* SPDX-License-Identifier: MIT */
/* Listening to a device: what was told, as text. */
#ifndef TESTS_EVENT_FIXTURE_H
#define TESTS_EVENT_FIXTURE_H

#include <pthread.h>

#include "block/event.h"

typedef struct Listener {
    pthread_mutex_t lock;
    GString *heard;     /* a line for each: "kind path: detail (error)" */
    unsigned destroyed; /* how often destroy was called */
    bool asks;          /* ask for the node's information in each call */
    unsigned asked;     /* how often that gave an answer */
} Listener;

Listener *listener_new(void);
void listener_free(Listener *l);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Listener, listener_free)

/* A handler with it; gives the handle. */
unsigned listener_add(Listener *l, BlockBackend *blk, AioContext *ctx);

/* Fail the test unless this was told since the last time. */
void listener_expect(Listener *l, const char *lines);

/* What was told since the last time; g_free(). */
char *listener_take(Listener *l);

#endif
