/* SPDX-License-Identifier: MIT */
/* Extraction: one file, and what a file or directory has beside contents. */
#include <errno.h>
#include <unistd.h>

#include "block/error.h"
#include "block/vvfat/dirent.h"
#include "block/vvfat/extract-int.h"

/* ---- Attributes and times ---- */

void extract_store_attributes(Extract *x, int fd, const TreeNode *node)
{
    unsigned attributes = node->attr & FAT_ATTR_DOS;
    unsigned usual = 0;
    int ret;

    if (!tree_is_directory(node)) {
        /* The mode says what is read-only. */
        usual = FAT_ATTR_ARCHIVE | (node->attr & FAT_ATTR_READ_ONLY);
    }
    if (attributes == usual) {
        return;
    }
    ret = extract_set_dos_attributes(fd, attributes);
    if (ret < 0 && x->result->unstored++ == 0) {
        g_autofree char *path = guest_view_path(node);
        g_autofree char *text = g_strdup_printf(
            "its attributes (hidden, system, archive) cannot be stored: %s; "
            "others are not named",
            g_strerror(-ret));

        extract_say(x, path, text);
    }
}

int extract_store_times(const Extract *x, int fd, const TreeNode *node)
{
    FatTime access = { .date = node->adate };
    int64_t modified = dirent_time_to_unix(node->mtime, x->options->utc);

    return extract_set_times(
        fd,
        node->adate ? dirent_time_to_unix(access, x->options->utc) : modified,
        modified);
}

/* Modes last: without write permission no attribute can be set. */
static int set_file_metadata(Extract *x, int fd, const TreeNode *node)
{
    int ret;

    extract_store_attributes(x, fd, node);
    ret = extract_store_times(x, fd, node);
    if (ret == 0 && node->attr & FAT_ATTR_READ_ONLY) {
        ret = extract_clear_write_mode(fd);
    }
    return ret;
}

static bool progress(Extract *x)
{
    if (x->options->progress &&
        !x->options->progress(x->result->bytes, x->total,
                              x->options->opaque)) {
        block_error_set(x->errp, ECANCELED, "Stopped");
        return false;
    }
    return true;
}

/* ---- Files ---- */

static int create_file(Extract *x, const TreeNode *node)
{
    int fd = extract_create(x->dir, node->host_name);
    int ret;

    if (!x->options->overwrite) {
        return fd;
    }
    if (fd == -EEXIST) {
        ret = extract_remove_old(x->dir, node->host_name, x->made);
        if (ret < 0) {
            return ret;
        }
        fd = extract_create(x->dir, node->host_name);
    }
    return extract_remember(x, fd);
}

/* What need not be read and written of a large file. */
static int64_t hole_length(const Extract *x, const TreeNode *node,
                           int64_t offset, int64_t bytes)
{
    return bytes < EXTRACT_BUFFER
               ? 0
               : volume_file_zeroes(x->volume, node, offset, bytes);
}

/* Read the next *piece bytes at most; after an error cluster by cluster, up to
 * the very one that fails. */
static int read_piece(const Extract *x, const TreeNode *node, int64_t offset,
                      int64_t left, int64_t *piece)
{
    int64_t cluster_size = volume_cluster_size(x->volume);
    int ret = volume_read_file(x->volume, node, offset, MIN(*piece, left),
                               x->buffer);

    if (ret < 0 && *piece > cluster_size) {
        *piece = cluster_size;
        ret = volume_read_file(x->volume, node, offset, MIN(*piece, left),
                               x->buffer);
    }
    return ret;
}

/*
 * Copy the contents as far as they can be read, *done bytes; *why says why it
 * is not all, or is NULL. Returns 0 or the -errno of a write; -ECANCELED when
 * asked to stop.
 */
static int copy_contents(Extract *x, int fd, const TreeNode *node,
                         int64_t *done, const char **why)
{
    int64_t size = volume_file_readable(x->volume, node);
    int64_t piece = EXTRACT_BUFFER;

    *done = 0;
    *why = size < node->size ? "its chain is damaged" : NULL;
    while (*done < size) {
        int64_t left = size - *done;
        int64_t n = hole_length(x, node, *done, left);

        if (n == 0) {
            int ret = read_piece(x, node, *done, left, &piece);
            if (ret < 0) {
                *why = g_strerror(-ret);
                return 0;
            }
            n = MIN(piece, left);
            ret = extract_write(fd, *done, x->buffer, n);
            if (ret < 0) {
                return ret;
            }
        }
        *done += n;
        x->result->bytes += n;
        if (!progress(x)) {
            return -ECANCELED;
        }
    }
    return 0;
}

/* Fill a new file: 0 or -errno as copy_contents(). */
static int fill_file(Extract *x, int fd, const TreeNode *node)
{
    const char *why;
    int64_t done;
    int ret = copy_contents(x, fd, node, &done, &why);

    if (ret == 0 && ftruncate(fd, done) < 0) {
        ret = -errno;
    }
    if (ret == 0) {
        ret = set_file_metadata(x, fd, node);
    }
    if (ret == 0 && why) {
        extract_report(x, node,
                       "only the first %" G_GINT64_FORMAT
                       " of its %u bytes could be read: %s",
                       done, node->size, why);
    }
    return ret;
}

/* True if the rest can go on. */
bool extract_file(Extract *x, const TreeNode *node)
{
    int fd = create_file(x, node);
    int ret;

    if (fd < 0) {
        return extract_host_failed(x, node, "create", fd);
    }
    ret = fill_file(x, fd, node);
    if (close(fd) < 0 && ret == 0) {
        ret = -errno;
    }
    if (ret == 0) {
        x->result->files++;
        return true;
    }
    /* Nothing that looks whole and is not. */
    extract_remove(x->dir, node->host_name);
    return ret != -ECANCELED && extract_host_failed(x, node, "write", ret);
}
