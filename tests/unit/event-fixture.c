/* SPDX-License-Identifier: MIT */
#include "tests/unit/event-fixture.h"

#include <criterion/criterion.h>

Listener *listener_new(void)
{
    Listener *l = g_new0(Listener, 1);

    pthread_mutex_init(&l->lock, NULL);
    l->heard = g_string_new(NULL);
    return l;
}

void listener_free(Listener *l)
{
    if (l) {
        pthread_mutex_destroy(&l->lock);
        g_string_free(l->heard, TRUE);
        g_free(l);
    }
}

static void hear(BlockBackend *blk, const BlkEvent *event, void *opaque)
{
    Listener *l = opaque;
    g_autoptr(BdrvInfo) info = NULL;

    cr_assert_not_null(event->node);
    if (l->asks && blk) {
        info = blk_get_info(blk, NULL);
    }
    pthread_mutex_lock(&l->lock);
    l->asked += info != NULL;
    g_string_append_printf(l->heard, "%s%s %s: %s (%d)\n",
                           blk ? "" : "closed ", blk_event_name(event->kind),
                           event->path ? event->path : "-",
                           event->detail ? event->detail : "-", event->error);
    pthread_mutex_unlock(&l->lock);
}

static void forget(gpointer opaque)
{
    Listener *l = opaque;

    pthread_mutex_lock(&l->lock);
    l->destroyed++;
    pthread_mutex_unlock(&l->lock);
}

unsigned listener_add(Listener *l, BlockBackend *blk, AioContext *ctx)
{
    unsigned handle = blk_add_event_handler(blk, ctx, hear, l, forget);

    cr_assert_neq(handle, 0);
    return handle;
}

char *listener_take(Listener *l)
{
    pthread_mutex_lock(&l->lock);
    char *heard = g_strdup(l->heard->str);
    g_string_truncate(l->heard, 0);
    pthread_mutex_unlock(&l->lock);
    return heard;
}

void listener_expect(Listener *l, const char *lines)
{
    g_autofree char *heard = listener_take(l);

    cr_assert_str_eq(heard, lines, "heard\n%sbut not\n%s", heard, lines);
}
