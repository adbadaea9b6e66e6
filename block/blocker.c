/* SPDX-License-Identifier: MIT */
/*
 * Blockers: reasons why saving the machine's state is unsafe now. Drivers may
 * add and remove them at any time, on any thread.
 */
#include "block/backend.h"

typedef struct Blocker {
    unsigned handle;
    char *reason;
} Blocker;

static void blocker_free(Blocker *blocker)
{
    g_free(blocker->reason);
    g_free(blocker);
}

unsigned bdrv_add_state_save_blocker(BlockDriverState *bs, const char *reason)
{
    Blocker *blocker = g_new(Blocker, 1);

    blocker->reason = g_strdup(reason);
    pthread_mutex_lock(&bs->blocker_lock);
    g_ptr_array_set_free_func(bs->blockers, (GDestroyNotify)blocker_free);
    unsigned handle = ++bs->last_blocker;
    blocker->handle = handle;
    g_ptr_array_add(bs->blockers, blocker);
    pthread_mutex_unlock(&bs->blocker_lock);
    return handle;
}

void bdrv_remove_state_save_blocker(BlockDriverState *bs, unsigned handle)
{
    pthread_mutex_lock(&bs->blocker_lock);
    for (guint i = 0; i < bs->blockers->len; i++) {
        const Blocker *blocker = g_ptr_array_index(bs->blockers, i);

        if (blocker->handle == handle) {
            g_ptr_array_remove_index(bs->blockers, i);
            break;
        }
    }
    pthread_mutex_unlock(&bs->blocker_lock);
}

/* Add the reasons of bs and of all below it, each node once. */
static void collect_reasons(BlockDriverState *bs, GHashTable *seen,
                            GPtrArray *reasons)
{
    if (!g_hash_table_add(seen, bs)) {
        return;
    }
    pthread_mutex_lock(&bs->blocker_lock);
    for (guint i = 0; i < bs->blockers->len; i++) {
        const Blocker *blocker = g_ptr_array_index(bs->blockers, i);

        g_ptr_array_add(reasons, g_strdup(blocker->reason));
    }
    pthread_mutex_unlock(&bs->blocker_lock);
    for (guint i = 0; i < bs->children->len; i++) {
        const BdrvChild *child = g_ptr_array_index(bs->children, i);

        collect_reasons(child->bs, seen, reasons);
    }
}

char **blk_get_state_save_blockers(BlockBackend *blk)
{
    g_autoptr(GHashTable) seen = g_hash_table_new(NULL, NULL);
    GPtrArray *reasons = g_ptr_array_new();

    collect_reasons(backend_look(blk), seen, reasons);
    backend_look_end(blk);
    g_ptr_array_add(reasons, NULL);
    return (char **)g_ptr_array_free(reasons, FALSE);
}
