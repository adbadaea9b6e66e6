/* SPDX-License-Identifier: MIT */
/*
 * The one backend that serves all connections, from start to end.
 *
 * It is opened before nbdkit goes into the background, so that errors reach
 * the terminal and the exit status. But going there is a fork, and threads do
 * not come along: a node that is written to may have some, so it is closed
 * again and opened once more by the process that serves. Until that one has
 * finished its last flush, no request is under way (after_fork precedes the
 * first connection, cleanup follows the last), so nothing is locked here.
 */
#include "tools/nbdkit-vvfat.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tools/tool-output.h"

static BlockBackend *blk;
static int start_dir = -1; /* where relative names begin */

BlockBackend *plugin_backend(void)
{
    return blk;
}

/* ---- What there is to say about the node ---- */

/* Say what of the directory is not in the volume as it is: nbdkit has no
 * warnings of its own, and standard error is still the user's. */
static void warn_report(const Options *facts)
{
    static const char *const fields[] = { "kind", "path", "detail" };

    for (unsigned i = 0; facts; i++) {
        g_autofree char *line = NULL, *clean = NULL;
        const char *value[G_N_ELEMENTS(fields)];

        for (unsigned f = 0; f < G_N_ELEMENTS(fields); f++) {
            g_autofree char *key = g_strdup_printf("report.%u.%s", i,
                                                   fields[f]);

            value[f] = options_get(facts, key);
            if (value[f] == NULL) {
                return;
            }
        }
        line = g_strdup_printf("%s '%s': %s", value[0], value[1], value[2]);
        clean = tool_escape(line, false);
        fprintf(stderr, "nbdkit: vvfat: warning: %s\n", clean);
    }
}

static void debug_fact(const char *key, const char *value, void *opaque)
{
    g_autofree char *clean = tool_escape(value, false);

    nbdkit_debug("%s: %s=%s", (const char *)opaque, key, clean);
}

/* The driver's facts, for `nbdkit -v`: the size of the volume at the start,
 * what of the guest's writes is pending at the end. */
static void debug_facts(const Options *facts, const char *when)
{
    if (facts) {
        options_foreach(facts, debug_fact, (void *)when);
    }
}

static void debug_backend(const char *when)
{
    g_autoptr(BdrvInfo) info = blk_get_info(blk, NULL);

    if (info) {
        debug_facts(info->specific, when);
    }
}

/* ---- Opening and closing ---- */

/*
 * Read-write if the node can be: a directory without rw=on, or an image that
 * may not be written, becomes read-only. Whether nbdkit was given -r is not
 * known here; with it, nbdkit refuses all writes by itself.
 */
static BlockBackend *open_backend(GError **errp)
{
    return blk_open(plugin_image(), plugin_node_options(),
                    BDRV_O_RDWR | BDRV_O_AUTO_RDONLY | BDRV_O_UNMAP, errp);
}

/* What blk_close() would not tell is told here: the last commit into the
 * directory, or the last flush of an image. */
static void finish_writing(void)
{
    g_autoptr(GError) error = NULL;
    int ret;

    if (blk_commit(blk, true, &error) < 0) {
        nbdkit_error("closing: %s", error->message);
        return;
    }
    ret = blk_flush(blk);
    if (ret < 0) {
        g_autofree char *reason = blk_strerror(ret);

        nbdkit_error("closing: %s", reason);
    }
}

static void close_backend(void)
{
    if (blk && !blk_is_read_only(blk)) {
        finish_writing();
    }
    if (blk) {
        debug_backend("at the end");
    }
    g_clear_pointer(&blk, blk_close);
}

int plugin_get_ready(void)
{
    GError *err = NULL;
    g_autoptr(BdrvInfo) info = NULL;

    blk = open_backend(&err);
    if (blk == NULL) {
        return plugin_fail(err);
    }
    info = blk_get_info(blk, NULL);
    if (info) {
        warn_report(info->specific);
    }
    if (blk_is_read_only(blk)) {
        return 0;
    }
    start_dir = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (start_dir < 0) {
        nbdkit_error("working directory: %s", strerror(errno));
        return -1;
    }
    g_clear_pointer(&blk, blk_close);
    return 0;
}

/* Open where get_ready did, so that relative names mean the same. */
static int open_again(int here)
{
    GError *err = NULL;

    if (here < 0 || fchdir(start_dir) < 0) {
        nbdkit_error("working directory: %s", strerror(errno));
        return -1;
    }
    blk = open_backend(&err);
    if (blk == NULL) {
        plugin_fail(err);
    }
    if (fchdir(here) < 0) {
        nbdkit_error("working directory: %s", strerror(errno));
        return -1;
    }
    return blk ? 0 : -1;
}

int plugin_after_fork(void)
{
    if (blk == NULL) {
        int here = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
        int ret = open_again(here);

        if (here >= 0) {
            close(here);
        }
        close(start_dir);
        start_dir = -1;
        if (ret < 0) {
            return -1;
        }
    }
    debug_backend("at the start");
    return 0;
}

void plugin_cleanup(void)
{
    close_backend();
}
