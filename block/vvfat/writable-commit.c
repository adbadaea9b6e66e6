/* SPDX-License-Identifier: MIT */
/*
 * Commits as others ask for them: now, the last one, and one before another
 * disk takes the directory over.
 */
#include <errno.h>

#include "block/error.h"
#include "block/vvfat/writable-int.h"

#define NOT_COMMITTED "nothing is committed by itself with commit=manual"

/* With an overlay that is kept, what nobody asked to commit waits there. */
static bool may_wait(const Writable *w)
{
    return w->kept != NULL;
}

/* ---- The last one ---- */

/* Keep what is missing, tell of it, and say so; false: it is not kept. */
static bool rescue(Writable *w, const char *reason, GError **errp)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *dir = report_escape(w->config->dir);
    g_autofree char *image = writable_rescue(w, &error);
    const BlkEvent event = {
        .kind = BLK_EVENT_RESCUED,
        .error = error ? block_error_to_errno(error) : 0,
        .path = image,
        .detail = error ? error->message : reason,
    };

    if (!error) {
        block_error_set(errp, EIO,
                        "Not all of what the guest wrote is in the directory "
                        "'%s' (%s). What is missing is kept in '%s': "
                        "vvfat-img ls and vvfat-img extract show it and take "
                        "it out",
                        dir, reason, image);
    } else {
        block_error_set(errp, EIO,
                        "Not all of what the guest wrote is in the directory "
                        "'%s' (%s), and what is missing is lost: %s. With "
                        "overlay=FILE, what cannot be committed stays there",
                        dir, reason, error->message);
    }
    writable_tell(&event, w);
    return !error;
}

/* Nobody writes from now on, and what was written is in the overlay. */
static void refuse_writes(Writable *w)
{
    overlay_lock(w->overlay);
    w->is_finished = true;
    overlay_unlock(w->overlay);
}

/* *is_lost: what is missing is not kept. */
static int finish_once(Writable *w, bool *is_lost, GError **errp)
{
    g_autofree char *reason = NULL;

    refuse_writes(w);
    *is_lost = false;
    if (committer_stop(w->committer, may_wait(w)) == 0) {
        writable_drop_rescue(w);
        return 0;
    }
    if (w->kept) {
        reason = committer_reason(w->committer);
        block_error_set(errp, EIO,
                        "Not everything that the guest wrote could be written "
                        "into the directory (%s). It stays in '%s': open the "
                        "directory with the same overlay again, or see "
                        "vvfat-img check and vvfat-img commit",
                        reason, w->config->overlay);
        return -EIO;
    }
    reason = w->config->commit == COMMIT_MANUAL
                 ? g_strdup(NOT_COMMITTED)
                 : committer_reason(w->committer);
    *is_lost = !rescue(w, reason, errp);
    return -EIO;
}

/* Once, until what is missing is kept. */
static int finish(Writable *w, GError **errp)
{
    GError *error = NULL;
    bool is_lost;
    int ret = 0;

    pthread_rwlock_wrlock(&w->finishing);
    if (!w->is_over) {
        ret = finish_once(w, &is_lost, &error);
        w->is_over = !is_lost;
        g_free(w->lost);
        w->lost = is_lost && error ? g_strdup(error->message) : NULL;
    }
    pthread_rwlock_unlock(&w->finishing);
    if (error) {
        g_propagate_error(errp, error);
    }
    return ret;
}

int writable_finished(Writable *w)
{
    g_autofree char *lost = NULL;

    pthread_rwlock_rdlock(&w->finishing);
    lost = g_strdup(w->lost);
    pthread_rwlock_unlock(&w->finishing);
    if (lost) {
        bdrv_set_io_error("%s", lost);
    }
    return lost ? -EIO : 0;
}

/* ---- Others ---- */

static int commit_whole(Writable *w, GError **errp)
{
    g_autofree char *words = NULL;
    g_autofree char *reason = NULL;
    uint64_t lost;
    int ret = committer_run_whole(w->committer, may_wait(w), &lost, &words);

    if (ret < 0) {
        block_error_set(errp, -ret, "%s", words ? words : g_strerror(-ret));
    } else if (lost) {
        g_autofree char *dir = report_escape(w->config->dir);

        ret = -EIO;
        reason = committer_reason(w->committer);
        block_error_set(errp, EIO,
                        "Not all of what the guest wrote is in the directory "
                        "'%s': %s",
                        dir, reason);
    }
    return ret;
}

static int commit_now(Writable *w, GError **errp)
{
    g_autofree char *words = NULL;
    int ret = committer_run(w->committer, &words);

    if (ret < 0) {
        block_error_set(errp, -ret, "%s", words ? words : g_strerror(-ret));
    }
    return ret;
}

int writable_commit(Writable *w, BdrvCommitMode mode, GError **errp)
{
    bool is_finished = mode == BDRV_COMMIT_FINISH;
    int ret = 0;

    if (!w->committer) {
        return 0;
    }
    if (!is_finished) {
        pthread_rwlock_rdlock(&w->finishing);
        is_finished = w->is_finished;
        if (!is_finished) {
            ret = mode == BDRV_COMMIT_WHOLE ? commit_whole(w, errp)
                                            : commit_now(w, errp);
        }
        pthread_rwlock_unlock(&w->finishing);
    }
    return is_finished ? finish(w, errp) : ret;
}

/* ---- Another disk of the same directory ---- */

void writable_inactivate(Writable *w)
{
    if (w->fs->ops->unlock) {
        w->fs->ops->unlock(w->fs);
    }
}

bool writable_activate(Writable *w, GError **errp)
{
    return writable_lock_directory(w, errp);
}

/* ---- Facts ---- */

void writable_info(Writable *w, Options *facts)
{
    committer_info(w->committer, facts);
    options_set_int(facts, "overlay.bytes", overlay_present_bytes(w->overlay));
    options_set_int(facts, "overlay.dirty", overlay_dirty_bytes(w->overlay));
    if (w->made.path) {
        options_set(facts, "overlay.made", w->made.path);
    }
    pthread_mutex_lock(&w->report_lock);
    if (w->rescue) {
        options_set(facts, "commit.rescue", rescue_image_path(w->rescue));
    }
    report_to_options(w->report, facts);
    pthread_mutex_unlock(&w->report_lock);
}
