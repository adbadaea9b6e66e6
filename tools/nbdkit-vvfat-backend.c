/* SPDX-License-Identifier: MIT */
/*
 * The one backend that serves all connections, from start to end.
 *
 * It is opened before nbdkit goes into the background, so that errors reach
 * the terminal and the exit status. But going there is a fork, and threads do
 * not come along: a node that is written to may have some, so it is closed
 * again and opened once more by the process that serves. That may run as
 * another user, too (-u): so the first opening commits nothing, and leaves no
 * overlay that this user could not write. Until the second one has finished
 * its last flush, no request is under way (after_fork precedes the first
 * connection, cleanup follows the last), so nothing is locked here.
 */
#include "tools/nbdkit-vvfat.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static BlockBackend *blk;
static int start_dir = -1; /* where relative names begin */
static uid_t start_user;   /* who had opened it there */
static char *description;

BlockBackend *plugin_backend(void)
{
    return blk;
}

const char *plugin_description(void)
{
    return description;
}

/* For clients, which are to see nothing of the host. */
static void describe(void)
{
    g_autoptr(BdrvInfo) info = blk_get_info(blk, NULL);
    const Options *facts = info ? info->specific : NULL;
    const char *type = facts ? options_get(facts, "fat-type") : NULL;
    const char *label = facts ? options_get(facts, "label") : NULL;
    g_autofree char *text = NULL;

    if (type) {
        text = label && *label
                   ? g_strdup_printf("directory as FAT%s, %s", type, label)
                   : g_strdup_printf("directory as FAT%s", type);
    } else {
        text = g_strdup_printf("%s image", info ? info->format : "disk");
    }
    g_free(description);
    description = g_utf8_make_valid(text, -1);
}

/* ---- Opening and closing ---- */

/*
 * Read-write if the node can be: a directory without rw=on, or an image that
 * may not be written, becomes read-only. Whether nbdkit was given -r is not
 * known here; with it, nbdkit refuses all writes by itself.
 */
static BlockBackend *open_backend(const Options *options, GError **errp)
{
    return blk_open(plugin_image(), options,
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
        plugin_log_facts(blk, "at the end");
    }
    g_clear_pointer(&blk, blk_close);
}

/* The overlay, if it was not there: whoever will be writing to it makes it. It
 * is open here, so it is nobody else's. */
static void remove_made(void)
{
    g_autoptr(BdrvInfo) info = blk_get_info(blk, NULL);
    const Options *facts = info ? info->specific : NULL;
    const char *made = facts ? options_get(facts, "overlay.made") : NULL;

    if (made) {
        (void)unlink(made);
    }
}

int plugin_get_ready(void)
{
    g_autoptr(Options) options = plugin_trial_options();
    GError *err = NULL;

    blk = open_backend(options, &err);
    if (blk == NULL) {
        return plugin_image() ? plugin_fail(err) : plugin_fail_directory(err);
    }
    plugin_log_report(blk);
    if (blk_is_read_only(blk)) {
        plugin_log_watch(blk);
        return 0;
    }
    start_user = geteuid();
    if (start_user == 0) { /* another one may serve */
        remove_made();
    }
    start_dir = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (start_dir < 0) {
        nbdkit_error("working directory: %s", strerror(errno));
        return -1;
    }
    g_clear_pointer(&blk, blk_close);
    return 0;
}

/* What may be wrong for the user that nbdkit runs as now. */
static void explain_user(GError *err)
{
    int code = -block_error_to_errno(err);

    if (geteuid() != start_user && (code == EACCES || code == EPERM)) {
        char *all =
            g_strdup_printf("%s; nbdkit runs as another user now (-u), "
                            "who must be able to write to the "
                            "directory, to the overlay, and where "
                            "that is made",
                            err->message);

        g_free(err->message);
        err->message = all;
    }
}

/* Open where get_ready did, so that relative names mean the same. */
static int open_again(int here)
{
    GError *err = NULL;

    if (here < 0 || fchdir(start_dir) < 0) {
        nbdkit_error("working directory: %s", strerror(errno));
        return -1;
    }
    blk = open_backend(plugin_node_options(), &err);
    if (blk) {
        plugin_log_watch(blk);
    } else {
        explain_user(err);
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
    describe();
    plugin_log_facts(blk, "at the start");
    return 0;
}

void plugin_cleanup(void)
{
    close_backend();
    g_clear_pointer(&description, g_free);
    plugin_log_end();
}
