/* SPDX-License-Identifier: MIT */
/*
 * Room for what the guest writes: as much as overlay-max allows, and as the
 * file system has on which the overlay stands. A write that finds none fails
 * alone: the overlay is as it was, and the guest can go on when there is room
 * again.
 */
#include <errno.h>

#include "block/vvfat/writable-int.h"

bool writable_is_full(int ret)
{
    return ret == -ENOSPC || ret == -EDQUOT;
}

char *writable_overlay_place(const VvfatConfig *config)
{
    g_autofree char *path = report_escape(config->overlay ? config->overlay
                                                          : g_get_tmp_dir());

    return g_strdup_printf(config->overlay ? "'%s'" : "in '%s' (TMPDIR)",
                           path);
}

/* What becomes of what the overlay has. */
static const char *fate_of_older(const VvfatConfig *config)
{
    if (config->overlay) {
        return "What was written before is kept. To go on, make room there";
    }
    return config->commit == COMMIT_MANUAL
               ? "What was written before is there, to be committed, or to be "
                 "kept in an image when the disk is closed. To go on, make "
                 "room there; to have more, open the disk with another TMPDIR "
                 "or with overlay=FILE"
               : "What was written before is there, and goes into the "
                 "directory when the disk is closed, if not before. To go on, "
                 "make room there; to have more, open the disk with another "
                 "TMPDIR or with overlay=FILE";
}

void writable_explain_full(const Writable *w, int ret)
{
    if (writable_is_full(ret)) {
        bdrv_set_io_error("The overlay %s could not take this: %s. %s",
                          w->overlay_place, g_strerror(-ret),
                          fate_of_older(w->config));
    }
}

static bool has_room(Writable *w, int64_t bytes)
{
    int64_t most = w->config->overlay_max;

    return most == 0 || overlay_present_bytes(w->overlay) + bytes <= most;
}

/* A commit, unless that is for the program alone to ask for. */
static bool commit_for_room(Writable *w, int64_t bytes)
{
    return w->config->commit != COMMIT_MANUAL &&
           committer_run(w->committer, NULL) == 0 && has_room(w, bytes);
}

/* When the last commit has begun it does not matter: writes are refused, behind
 * the gate (writable-guard.c). */
int writable_make_room(Writable *w, int64_t bytes)
{
    if (!has_room(w, bytes) && !commit_for_room(w, bytes) && !w->is_finished) {
        bdrv_set_io_error("The overlay is full (overlay-max)");
        return -ENOSPC;
    }
    return 0;
}
